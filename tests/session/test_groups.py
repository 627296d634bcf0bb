"""Layers grouped by stack and kind, a logit taken apart, and the badge: all in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnviz_gui.capture.record import Layer
from attnviz_gui.session.badge import Checked, badge_of
from attnviz_gui.session.document import Document
from attnviz_gui.session.groups import group_of, groups
from attnviz_gui.session.logit import why_masked
from attnviz_gui.session.picture import make_picture
from tests.samples import random_capture

BART = [("encoder", "self")] * 2 + [("decoder", "self"), ("decoder", "cross")] * 2


def layers(kinds) -> tuple[Layer, ...]:
    return tuple(Layer(f"{i}", kind, 3, 32, stack) for i, (stack, kind) in enumerate(kinds))


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        (BART, {"encoder": (0, 1), "decoder, self": (2, 4), "decoder, cross": (3, 5)}),
        ([("", "self"), ("", "cross")], {"self": (0,), "cross": (1,)}),
        ([("", "self")] * 3, {"self": (0, 1, 2)}),
        ([("vision", "self"), ("text", "self")], {"vision": (0,), "text": (1,)}),
    ],
)
def test_groups_have_short_names_and_their_layers(kinds, wanted):
    assert {g.short: g.layers for g in groups(layers(kinds))} == wanted


def test_a_group_in_words_and_the_same_place_in_another():
    encoder, own, cross = groups(layers(BART))
    assert cross.label == "decoder, cross · 2 layers"
    assert (encoder.numbers, cross.numbers) == ("0, 1", "3, 5")
    assert groups(layers([("", "self")] * 6))[0].numbers == "0–5"
    assert own.like(1, encoder) == 4
    assert group_of(layers(BART), 3) == cross


def test_a_title_names_the_group_only_where_there_are_several():
    capture = random_capture(6, layers=6)
    assert make_picture(capture, 0, 5, 2).title == "L5 H2"
    capture = replace(capture, layers=layers(BART))
    assert make_picture(capture, 0, 5, 2).title == "L5 H2 · decoder, cross"
    assert make_picture(capture, 0, 5, 2).name == "L5 H2"


def changed(**changes):
    """A random head with extras."""
    capture = random_capture(6, causal=True)
    record = replace(capture.records[0][0], **changes)
    return replace(capture, records=((record, *capture.records[0][1:]),))


def test_a_plain_logit_has_no_parts_worth_a_line():
    assert make_picture(changed(), 0, 0, 0).logit_parts(2, 1).in_words() == []


@pytest.mark.parametrize("show_special", [True, False])
def test_the_parts_of_a_logit_add_up_to_the_model_s_own(show_special):
    bias = np.random.default_rng(1).normal(size=(3, 6, 6)).astype(np.float32)
    picture = make_picture(
        changed(bias=bias, softcap=2.0, scaling=0.5), 0, 0, 1, show_special=show_special
    )
    parts = picture.logit_parts(2, 1)
    i, j = picture.query_index[2], picture.key_index[1]
    assert parts.bias == pytest.approx(float(bias[1, i, j]))
    assert parts.capped == pytest.approx(2 * np.tanh(parts.content / 2))
    assert abs(parts.capped) < abs(parts.content)
    assert parts.logit == pytest.approx(float(picture.logits[2, 1]), abs=1e-5)
    cap, whole = parts.in_words()
    assert cap.startswith("capped at 2.00: content ")
    assert whole.startswith("logit ") and " = capped " in whole and " + bias " in whole


def test_a_mask_s_rule_is_told_where_it_shows_one():
    causal = np.tril(np.ones((6, 6), dtype=bool))
    assert why_masked(causal, 2, 4, same_tokens=True) == "the key comes after the query"
    window = causal & ~np.tril(np.ones((6, 6), dtype=bool), -3)
    assert why_masked(window, 5, 1, same_tokens=True) == "the key lies outside the query's window"
    padding = np.ones((6, 6), dtype=bool)
    padding[:, 4] = False
    assert why_masked(padding, 2, 4, same_tokens=False) == "no query may attend to this key"
    padding[0, 4] = True
    assert why_masked(padding, 2, 4, same_tokens=False) == "the model's mask"


def test_the_sink_s_share_follows_the_visible_queries():
    capture = changed(sink=np.array([0.5, 3.0, -1.0], dtype=np.float32))
    whole = make_picture(capture, 0, 0, 1)
    rest = 1 - whole.source.attention.sum(axis=1)
    np.testing.assert_allclose(whole.sink, rest, atol=1e-6)
    np.testing.assert_allclose(
        make_picture(capture, 0, 0, 1, show_special=False).sink, rest[1:-1], atol=1e-6
    )
    assert make_picture(random_capture(6), 0, 0, 0).sink is None


def badge(difference: float, precision: str = "float32", **changes):
    document = Document()
    document.open(changed(**changes))
    found = np.array([difference, 0, 0], dtype=np.float32)
    return badge_of(document.picture, Checked([[found, found]], precision))


def test_the_badge_says_exact_or_how_far_off_and_why():
    assert badge(4e-8).text == "exact"
    assert "4e−8" in badge(4e-8).tip
    assert badge(2e-3, "bfloat16").text == "off by 0.002"
    assert "bfloat16" in badge(2e-3, "bfloat16").tip
    assert "with care" in badge(0.2).tip
    large = badge(2e-5, scaling=20.0)
    assert "Its logits reach" in large.tip and large.text.startswith("off by 2")
