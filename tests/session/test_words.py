"""Numbers and settings in words."""

from __future__ import annotations

import math

import pytest

from attnviz_gui.export.caption import caption_of
from attnviz_gui.session.document import Document, Sliders
from attnviz_gui.session.words import hidden_in_words, normalisation_in_words, number
from tests.samples import random_capture


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1, "1.00"), (-0.98765, "−0.988"), (0.001234, "0.00123"), (3.14e-8, "3.1e−8"),
        (-12345, "−12345"), (1e9, "1.0e9"), (math.nan, "undefined"), (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)  # fmt: skip
def test_numbers(value, text):
    assert number(value) == text


def test_settings():
    assert normalisation_in_words(Sliders()) == "a = 0, c = 1"
    assert normalisation_in_words(Sliders("centroid", 1.0, 2.0)) == "a = 1.00 · (q̄ − k̄), c = 2.00"
    assert normalisation_in_words(Sliders("locked", 0.0, 0.5)) == "a = c²·q̄ − k̄, c = 0.500"


def test_one_hidden_token_is_one():
    assert hidden_in_words(1) == "1 special token hidden"
    assert hidden_in_words(2) == "2 special tokens hidden"


def test_a_caption_names_all_that_the_figure_depends_on():
    document = Document()
    assert caption_of(document) == ""
    document.open(random_capture(4))
    document.move(t=0.25)
    told = caption_of(document)
    assert told == "“[CLS] t1 t2 [SEP]”  ·  random, L0 H0, a = 0.250, c = 1"
    document.set_options(show_special=False)
    assert caption_of(document, normalised=False).endswith("L0 H0, 2 special tokens hidden")
