"""Fits of many heads: which are fitted together, what is kept of each, and cancel."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from attnviz_gui.errors import Cancelled
from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.fit import fit
from attnviz_gui.jobs.fitting import CloserRequest, FitRequest, groups
from attnviz_gui.session.corpus import make_corpus
from attnviz_gui.session.document import Sliders
from attnviz_gui.session.fits import ALL_TEXTS, Basis
from attnviz_gui.session.picture import make_picture
from tests.samples import random_capture


@pytest.fixture(scope="module")
def capture():
    return random_capture(9, layers=2, heads=3, texts=2)


def run(request: FitRequest, cancel: threading.Event | None = None):
    told = []
    found = request(lambda *told_of: told.append(told_of), cancel or threading.Event())
    return found, told


@pytest.mark.parametrize(
    ("scope", "pools", "sizes"),
    [
        ("head", False, [1]),
        ("layer", False, [1, 1, 1]),
        ("all", False, [1] * 6),
        ("layer together", False, [3]),
        ("all together", False, [6]),
        ("head", True, [3]),
        ("layer", True, [3]),
        ("all", True, [3, 3]),
        ("all together", True, [6]),
    ],
)
def test_which_heads_are_fitted_together(capture, scope, pools, sizes):
    found = groups(capture, scope, (1, 2), pools_layer=pools)
    assert [len(group) for group in found] == sizes
    assert (1, 2) in [place for group in found for place in group]


def test_each_head_gets_the_fit_of_its_own_and_is_told_of(capture):
    found, told = run(
        FitRequest(
            capture, Basis(), groups(capture, "all", (0, 0), pools_layer=False), "cosine",
            "constant",
        )
    )  # fmt: skip
    assert [(f.layer, f.head) for f in found] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for kept in found:
        head = capture.head(kept.layer, kept.head)
        own = fit(head)
        assert (kept.t, kept.value) == (own.t, own.value)
        assert kept.before == pytest.approx(correlate(head.query, head.key), abs=1e-12)
        assert kept.together == 1
    assert {words for _, _, words in told} >= {"Fitting L0 H0 (1 of 6)", "Fitting L1 H2 (6 of 6)"}
    assert all(0 <= done <= total for done, total, _ in told)


def test_heads_fitted_together_share_one_a(capture):
    request = FitRequest(capture, Basis(), [[(0, 0), (0, 1), (0, 2)]], "cosine", "constant")
    found, _ = run(request)
    together = fit([capture.head(0, h) for h in range(3)])
    assert {f.t for f in found} == {together.t}
    assert {f.together for f in found} == {3}


def test_all_texts_count(capture):
    found, _ = run(FitRequest(capture, Basis(ALL_TEXTS), [[(1, 0)]], "euclidean", "centroid"))
    picture = make_picture(capture, 1, 1, 0)
    corpus = make_corpus(picture, show_special=True, rotary=True)
    own = fit(corpus.as_head, "euclidean", shift_mode="centroid")
    assert (found[0].t, found[0].scale) == (own.t, own.scale)
    # One set with the means of all; each text with means of its own is another question.
    heads = [capture.head(1, 0, text) for text in range(2)]
    assert fit(heads, "euclidean", shift_mode="centroid").value != own.value


def test_hidden_tokens_do_not_count(capture):
    (shown,), _ = run(FitRequest(capture, Basis(), [[(0, 0)]], "cosine", "constant"))
    (hidden,), _ = run(
        FitRequest(capture, Basis(show_special=False), [[(0, 0)]], "cosine", "constant")
    )
    assert shown.before != hidden.before


def test_in_mode_locked_the_scale_is_what_was_searched(capture):
    (kept,), _ = run(FitRequest(capture, Basis(), [[(0, 0)]], "cosine", "locked"))
    assert kept.t == 0
    assert kept.scale == fit(capture.head(0, 0), shift_mode="locked").t


def test_a_head_without_a_value_says_why():
    capture = random_capture(1)
    (kept,), _ = run(FitRequest(capture, Basis(), [[(0, 0)]], "cosine", "constant"))
    assert not kept.found
    assert "two pairs" in kept.reason
    assert np.isnan(kept.value)


def test_cancel_stops_between_heads_and_within(capture):
    cancel = threading.Event()
    cancel.set()
    places = groups(capture, "all", (0, 0), pools_layer=False)
    with pytest.raises(Cancelled):
        run(FitRequest(capture, Basis(), places, "plane", "centroid"), cancel)


def test_the_question_is_answered_for_layer_and_model(capture):
    sliders = Sliders("centroid", 1.0, 1.0)
    request = CloserRequest(capture, Basis(), 1, sliders, {(1, 2): Sliders()})
    layer, model = request(lambda *_: None, threading.Event())
    assert layer.n_heads == 3
    assert model.n_heads == 6
    np.testing.assert_array_equal(model.after[3:], layer.after)
    assert layer.before[2] == layer.after[2]  # the head that stands under its own, unmoved
    assert (layer.before[:2] != layer.after[:2]).all()
