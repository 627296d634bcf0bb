"""Several heads as one: exactly their mean or maximum, and refused in words where they differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from attnviz_gui.capture.record import Layer
from attnviz_gui.errors import InputError
from attnviz_gui.export.caption import caption_of
from attnviz_gui.session.badge import Checked, badge_of
from attnviz_gui.session.document import Document, Sliders
from attnviz_gui.session.fits import HeadFit
from attnviz_gui.session.mix import Mix
from tests.samples import random_capture


@pytest.fixture
def document():
    d = Document()
    d.open(random_capture(9, layers=3, heads=4, texts=2, causal=True))
    d.show_head(1, 2)
    return d


LAYER = Mix(tuple((1, h) for h in range(4)))
SOME = ((0, 1), (1, 3), (2, 0))


@pytest.mark.parametrize("places", [LAYER.places, SOME, ((2, 2),)])
@pytest.mark.parametrize("how", ["mean", "maximum"])
def test_it_is_the_mean_or_maximum_of_their_attention(document, places, how):
    document.show_mix(Mix(places, how))
    attention = document.picture.attention
    parts = [document.capture.head(*place).attention for place in places]
    for i in range(9):
        for j in range(9):
            values = [float(part[i, j]) for part in parts]
            expected = max(values) if how == "maximum" else sum(values) / len(values)
            assert attention[i, j] == pytest.approx(expected, abs=1e-7)
    assert np.array_equal(document.picture.mask, np.tril(np.ones((9, 9), bool)))
    if how == "mean":
        assert np.allclose(attention.sum(axis=1), 1, atol=1e-6)


def test_special_tokens_are_left_out_of_it_too(document):
    document.show_mix(LAYER)
    whole = document.picture.attention
    document.set_options(show_special=False)
    assert document.mix is LAYER and document.picture.attention.shape == (7, 7)
    assert np.array_equal(document.picture.attention, whole[1:-1, 1:-1])


def test_what_each_is_called(document):
    named = {
        LAYER: "mean of 4 heads of layer 1",
        Mix(((0, 1), (0, 3)), "maximum"): "maximum of H1, H3 of layer 0",
        Mix(tuple((i, 2) for i in range(3))): "mean of head 2 in 3 layers",
        Mix(SOME): "mean of L0 H1, L1 H3, L2 H0",
        Mix(tuple((i, h) for i in range(3) for h in range(4))): "mean of 12 heads of 3 layers",
    }
    for mix, words in named.items():
        document.show_mix(mix)
        assert document.picture.title == words
        assert words in caption_of(document) and "a =" not in caption_of(document)


def test_choosing_a_head_or_a_layer_leaves_it_and_a_text_does_not(document):
    document.show_mix(LAYER)
    document.show_head(text=1)
    assert document.picture.mix == LAYER and document.picture.text == 1
    first = document.capture.head(1, 0, 1).attention
    assert document.picture.attention[3, 0] != first[3, 0]
    document.show_head(layer=1, head=2)
    assert document.mix is None and document.picture.name == "L1 H2"
    document.show_mix(LAYER)
    document.show_head(head=3)
    assert document.picture.name == "L1 H3"
    document.show_mix(LAYER)
    document.open(random_capture(5))
    assert document.mix is None


def test_no_fit_of_the_head_behind_moves_the_sliders(document):
    document.keep_fits(document.basis, [HeadFit(1, 2, "cosine", "constant", 0.5, 1, 0.5, 0.2)])
    document.move(t=0.0)
    document.show_mix(LAYER)
    assert document.fit_here is None and document.sliders == Sliders()
    document.show_head(layer=1, head=2)
    assert document.sliders.t == 0.5


def test_all_texts_together_wait_until_one_head_is_back(document):
    document.set_options(together=True)
    assert document.corpus is not None
    document.show_mix(LAYER)
    assert document.corpus is None
    document.show_head(layer=1, head=2)
    assert document.corpus is not None


def test_it_is_computed_where_large_heads_are(document):
    later = []
    document.offload = lambda work, then: later.append((work, then))
    document.show_mix(LAYER)
    assert document.pending and document.mix == LAYER and document.picture.mix is None
    (work, then), = later  # fmt: skip
    result = work()
    assert "attention" in document._wanted.__dict__
    then(result)
    assert document.picture.mix == LAYER and not document.pending


def test_what_cannot_be_taken_together_is_said(document):
    with pytest.raises(InputError, match="at least one"):
        document.show_mix(Mix(()))
    with pytest.raises(InputError, match="no head 4 in layer 0"):
        document.show_mix(Mix(((0, 4),)))
    with pytest.raises(InputError, match="no layer 3"):
        document.show_mix(Mix(((3, 0),)))
    with pytest.raises(InputError, match="type a text"):
        Document().show_mix(LAYER)
    assert document.mix is None


def test_layers_of_another_kind_or_other_tokens_are_refused(document):
    capture = document.capture
    layers = tuple(
        Layer(f"l{i}", kind, 4, 32, "decoder") for i, kind in enumerate(["self", "cross", "self"])
    )
    document.open(replace(capture, layers=layers))
    with pytest.raises(InputError, match=r"Layer 0 .*layer 1 .*cross.*one kind"):
        document.show_mix(Mix(((0, 0), (1, 0))))
    document.show_mix(Mix(((0, 0), (2, 0))))
    record = capture.records[0][2]
    fewer = replace(
        record, key=record.key[:, :5], value=record.value[:, :5], mask=record.mask[:, :5],
        key_tokens=tuple("abcde"),
    )  # fmt: skip
    records = ((*capture.records[0][:2], fewer), capture.records[1])
    document.open(replace(capture, records=records))
    with pytest.raises(InputError, match="9 × 9 and 9 × 5"):
        document.show_mix(Mix(((0, 0), (2, 0))))


def test_it_is_as_exact_as_the_worst_of_its_heads(document):
    document.show_mix(LAYER)
    differences = [[np.full(4, 1e-7, np.float32) for _ in range(3)] for _ in range(2)]
    assert badge_of(document.picture, Checked(differences)).text == "exact"
    differences[0][0][2] = 0.5  # no part of it
    assert badge_of(document.picture, Checked(differences)).text == "exact"
    differences[0][1][3] = 0.25
    badge = badge_of(document.picture, Checked(differences))
    assert "off by" in badge.text and "one by one" in badge.tip


def test_every_head_is_named_however_many_there_are():
    capture = random_capture(5, layers=3, heads=6)
    places = ((0, 5), (0, 1), (0, 2), (0, 3), (2, 0), (2, 1), *((1, h) for h in range(6)))
    assert Mix(places).listing(capture) == "L0 H1–3, H5; all of L1; L2 H0, H1"
