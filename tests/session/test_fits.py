"""Fits are kept for every head, and come back with it."""

from __future__ import annotations

import pytest

from attnviz_gui.errors import InputError
from attnviz_gui.session.document import Document
from attnviz_gui.session.fits import ALL_TEXTS, Basis, Fits, HeadFit
from tests.samples import random_capture


def fit(layer: int, head: int, t: float, **more) -> HeadFit:
    return HeadFit(layer, head, "cosine", "constant", t, 1.0, value=0.5, before=0.25, **more)


@pytest.fixture
def document() -> Document:
    document = Document()
    document.open(random_capture(5))
    return document


def test_a_head_of_its_own_text_goes_before_all_texts():
    fits = Fits()
    fits.keep(Basis(ALL_TEXTS), [fit(0, 0, 1.0), fit(0, 1, 2.0)])
    fits.keep(Basis(text=3), [fit(0, 1, 3.0)])
    assert fits.of(Basis(text=3), 0, 0).t == 1.0
    assert fits.of(Basis(text=3), 0, 1).t == 3.0
    assert fits.of(Basis(text=4), 0, 1).t == 2.0
    assert fits.of(Basis(text=3, show_special=False), 0, 1) is None


def test_the_newest_fit_of_a_head_stays_and_all_are_in_order():
    fits = Fits()
    fits.keep(Basis(), [fit(1, 0, 1.0), fit(0, 2, 2.0)])
    fits.keep(Basis(), [fit(1, 0, 3.0)])
    assert [(f.layer, f.head, f.t) for _, f in fits] == [(0, 2, 2.0), (1, 0, 3.0)]
    fits.forget()
    assert len(fits) == 0


def test_each_head_brings_back_its_own_fit(document):
    document.keep_fits(document.basis, [fit(0, 0, 0.125), fit(0, 1, -0.25)])
    assert document.sliders.t == 0.125
    document.show_head(0, 1)
    assert document.sliders.t == -0.25
    document.move(t=0.75)
    document.show_head(1, 0)  # it has none: the sliders stay
    assert document.sliders.t == 0.75
    document.show_head(0, 1)
    assert document.sliders.t == -0.25
    assert document.frame.shift.max() == -0.25


def test_a_fit_that_found_nothing_moves_nothing(document):
    document.move(t=0.5)
    document.keep_fits(document.basis, [fit(0, 0, 0.0, reason="fewer than two pairs")])
    assert document.sliders.t == 0.5


def test_another_capture_forgets_the_fits(document):
    told = []
    document.fits_changed.connect(lambda: told.append(len(document.fits)))
    document.keep_fits(document.basis, [fit(0, 0, 0.125)])
    document.open(random_capture(5))
    assert told == [1, 0]
    assert document.fit_here is None


def test_fits_of_other_vectors_are_not_taken(document):
    document.keep_fits(Basis(show_special=False), [fit(0, 0, 0.125)])
    assert document.sliders.t == 0


def test_an_objective_must_exist(document):
    told = []
    document.objective_changed.connect(lambda: told.append(document.objective))
    document.choose_objective("cosine")
    assert told == []
    with pytest.raises(InputError, match="no objective"):
        document.choose_objective("nothing")
    assert document.objective == "cosine"
