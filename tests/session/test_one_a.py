"""All texts together stand under one a, c, M and R: plane, scatter, proof, curve, measures, fit."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from attnviz_gui.geometry.correlation import OBJECTIVES
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.landscape import Landscape
from attnviz_gui.jobs.fitting import CloserRequest, FitRequest, SpaceRequest
from attnviz_gui.session.curve import Question, answer
from attnviz_gui.session.document import Document, Sliders
from attnviz_gui.session.fits import ALL_TEXTS, Basis, HeadFit
from attnviz_gui.session.honest import measured
from tests.samples import random_capture

PLACES = [("constant", -0.25, 0.7), ("centroid", 0.8, 1.3), ("locked", 0.0, 1.2)]
PLACES += [("balanced", 0.6, 0.8), ("lifted", 0.4, 1.5)]
IN_PLANE = ("plane", "neighbours")


def uneven(n_texts: int = 3, *, causal: bool = False):
    """Texts whose means lie far apart."""
    capture = random_capture(11, texts=n_texts, head_dim=6, causal=causal)
    records = tuple(
        tuple(
            replace(r, query=r.query + np.float32(text), key=r.key * np.float32(1 + text))
            for r in layers
        )
        for text, layers in enumerate(capture.records)
    )
    return replace(capture, records=records)


@pytest.fixture(params=["every pair", "causal", "special hidden"])
def document(request):
    d = Document()
    d.open(uneven(causal=request.param == "causal"))
    d.set_options(together=True, show_special=request.param != "special hidden")
    return d


@pytest.mark.parametrize(("mode", "t", "scale"), PLACES)
def test_the_chosen_text_stands_where_it_stands_among_all(document, mode, t, scale):
    document.move(mode=mode, t=t, scale=scale)
    whole = document.corpus_frame
    for text in (2, 0):
        document.show_head(text=text)
        frame = document.frame
        live = document.corpus.live
        own = live.queries(text), live.keys(text)
        q, k = np.meshgrid(np.arange(99)[own[0]], np.arange(99)[own[1]])
        distances, dots = whole.values(q.ravel(), k.ravel())
        assert np.allclose(frame.dots.T.ravel(), dots, atol=1e-9)
        assert np.allclose(frame.distances.T.ravel(), distances, atol=1e-9)
        # The same points as in the plane of all texts, but for where that has its origin.
        drawn = whole.projection
        apart = frame.key @ drawn.axes - drawn.key_xy[own[1]]
        assert np.ptp(apart, axis=0).max() < 1e-4 * np.ptp(drawn.key_xy)
        assert document.picture.attention_difference(frame) < 1e-6


def test_lifted_keys_are_as_long_as_the_longest_of_all_texts(document):
    document.move(mode="lifted", t=0.3, scale=2.0)
    live = document.corpus.live
    shift = document.corpus_frame.shift
    longest = np.linalg.norm(live.key + shift, axis=1).max() / 2.0
    document.show_head(text=0)
    assert np.allclose(np.linalg.norm(document.frame.key, axis=1), longest)
    alone = document.picture.live.at("lifted", 0.3, 2.0)
    assert np.linalg.norm(alone.key, axis=1).max() < 0.9 * longest
    x, y = document.frame.dots, document.frame.distances
    mask = document.picture.mask
    r = np.corrcoef(x[mask], y[mask])[0, 1]
    assert document.frame.correlation == pytest.approx(r, abs=1e-12)
    assert document.frame.rank_disagreements == 0


@pytest.mark.parametrize(("mode", "t", "scale"), PLACES)
def test_curve_and_scatter_have_one_value(document, mode, t, scale):
    document.move(mode=mode, t=t, scale=scale)
    low, high = (0.1, 10.0) if mode == "locked" else (-1.0, 1.0)
    question = Question(document.corpus.as_head, "cosine", mode, low, high)
    found = answer(question, None, t, scale)
    assert found.value == pytest.approx(-document.corpus_frame.correlation, abs=1e-9)


@pytest.mark.parametrize("mode", [mode for mode, *_ in PLACES])
def test_a_fit_of_all_texts_is_what_is_then_drawn(document, mode):
    document.move(mode=mode, t=0.0)
    assert document.basis.text == ALL_TEXTS
    request = FitRequest(document.capture, document.basis, [[(0, 0)]], "cosine", mode)
    (kept,) = request(lambda *_: None, threading.Event())
    document.keep_fits(document.basis, [kept])
    sliders = document.sliders
    assert (sliders.mode, sliders.t, sliders.scale) == (mode, kept.t, kept.scale)
    assert kept.value == pytest.approx(-document.corpus_frame.correlation, abs=1e-9)
    reach = document.corpus.reach
    low, high = {"locked": (0.1, 10.0), "constant": (-reach, reach)}.get(mode, (0.0, 1.0))
    question = Question(document.corpus.as_head, "cosine", mode, low, high)
    drawn = answer(question, None, sliders.t, sliders.scale)
    assert drawn.value == pytest.approx(kept.value, abs=1e-9)
    assert drawn.curve.best.value == pytest.approx(kept.value, abs=1e-5)


# Two are of the drawn plane, which is that of all texts and not one for each.
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in IN_PLANE])
def test_all_texts_as_one_head_are_their_pairs_under_one_a(document, name):
    """Mode constant has one a anyway: the value is that of the texts as heads with it."""
    heads = [_Vectors(p, p.attention) for p in document.corpus.pictures]
    as_one = Landscape([document.corpus.as_head], name)
    apart = Landscape(heads, name)
    t, c = [0.0, 0.3, -0.8], [1.0, 0.5, 2.0]
    one, several = as_one.value(t, c).value, apart.value(t, c).value
    assert np.allclose(one, several, atol=1e-9, equal_nan=True)


class _Vectors:
    def __init__(self, picture, attention):
        self.query, self.key = picture.live.query, picture.live.key
        self.mask, self.attention = picture.mask, attention


def test_the_most_attended_keys_are_each_texts_own(document):
    corpus = document.corpus
    strongest = corpus.as_head.strongest
    for text, picture in enumerate(corpus.pictures):
        own = strongest[corpus.live.queries(text)] - corpus.key_start[text]
        assert np.array_equal(own, np.where(picture.mask, picture.attention, -1).argmax(axis=1))


def test_measures_are_of_the_one_a(document):
    document.move(mode="centroid", t=1.0)
    document.show_head(text=2)
    found = measured(document.picture, document.frame, "cosine", document.sliders)
    assert found.after.objective == pytest.approx(-document.frame.correlation, abs=1e-9)
    alone = document.picture.live.at("centroid", 1.0, 1.0)
    assert abs(found.after.objective + alone.correlation) > 1e-3


def test_one_text_alone_has_its_own_means_again(document):
    document.move(mode="centroid", t=1.0)
    document.show_head(text=2)
    together = document.frame.shift
    document.set_options(together=False)
    live = document.picture.live
    assert np.allclose(document.frame.shift, live.query_mean - live.key_mean)
    assert np.abs(document.frame.shift - together).max() > 0.1


def kept(mode: str, t: float) -> HeadFit:
    return HeadFit(0, 0, "cosine", mode, t, 1.0, value=0.5, before=0.25)


def test_a_fit_of_all_texts_comes_back_where_its_a_is_what_is_drawn(document):
    document.set_options(together=False)
    document.keep_fits(Basis(ALL_TEXTS, *document_shows(document)), [kept("centroid", 0.5)])
    assert document.fit_here is None and document.sliders == Sliders()
    document.set_options(together=True)
    assert document.fit_here.t == 0.5 and document.sliders == Sliders("centroid", 0.5)
    document.set_options(together=False)
    document.keep_fits(Basis(ALL_TEXTS, *document_shows(document)), [kept("constant", 0.25)])
    assert document.fit_here.t == 0.25
    # One text's own fit is not that of all.
    document.keep_fits(Basis(0, *document_shows(document)), [kept("constant", -0.125)])
    assert document.sliders.t == -0.125
    document.set_options(together=True)
    assert document.sliders.t == 0.25


def document_shows(document) -> tuple[bool, bool]:
    return document.options.show_special, document.options.rotary


def test_layer_and_model_are_measured_under_the_a_of_all_texts(document):
    basis = Basis(1, *document_shows(document))
    sliders = Sliders("lifted", 0.7)
    request = CloserRequest(document.capture, basis, 0, sliders, {}, together=True)
    layer, _ = request(lambda *_: None, threading.Event())
    document.move(mode="lifted", t=0.7)
    document.show_head(text=1)
    here = measured(document.picture, document.frame, "cosine", document.sliders).answer
    assert layer.after[0] == pytest.approx(here.after[0], abs=1e-9)
    alone, _ = replace(request, together=False)(lambda *_: None, threading.Event())
    assert abs(alone.after[0] - layer.after[0]) > 1e-6


def test_places_of_all_heads_stand_under_the_a_of_all_texts(document, tmp_path):
    basis = Basis(1, *document_shows(document))
    sliders = Sliders("centroid", 1.0)
    files = []
    for together in (False, True):
        path = tmp_path / f"{together}.npz"
        request = SpaceRequest(
            document.capture, basis, sliders, {}, path, together=together
        )  # fmt: skip
        request(lambda *_: None, threading.Event())
        files.append(path.read_bytes())
    assert files[0] != files[1]


def test_several_heads_of_all_texts_are_fitted_as_one(document):
    request = FitRequest(
        document.capture, document.basis, [[(0, 0), (0, 1)]], "cosine", "centroid"
    )  # fmt: skip
    first, second = request(lambda *_: None, threading.Event())
    assert (first.t, first.value) == (second.t, second.value) and first.found
    own = fit([document.corpus.as_head], shift_mode="centroid")
    assert first.value != own.value
