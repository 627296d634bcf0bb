"""Conditions as a person writes them."""

from __future__ import annotations

import math

import pytest

from attnviz_gui.analysis.filtering import Condition, parse
from attnviz_gui.errors import InputError

COLUMNS = {
    "layer": ["layer"],
    "entropy": ["entropy"],
    "entropy_normalised": ["entropy / most"],
    "previous": ["previous token"],
    "first": ["first token"],
    "first:shuffled": ["first token · shuffled"],
}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", []),
        (" , ", []),
        ("entropy > 0.5", [("entropy", ">", 0.5)]),
        ("Entropy/most>=.5", [("entropy_normalised", ">=", 0.5)]),
        ("prev > 0.5, layer < 4", [("previous", ">", 0.5), ("layer", "<", 4)]),
        ("fir > 1, first:shuffled < 1", [("first", ">", 1), ("first:shuffled", "<", 1)]),
        ("first token ≤ 1e-3 and layer = 2", [("first", "≤", 1e-3), ("layer", "=", 2)]),
        ("entropy_normalised != −1; layer ≠ 0",
         [("entropy_normalised", "!=", -1), ("layer", "≠", 0)]),
    ],
)  # fmt: skip
def test_what_is_written_is_understood(text, wanted):
    assert [(c.column, c.sign, c.number) for c in parse(text, COLUMNS)] == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("entropy", "no condition"),
        ("> 3", "no condition"),
        ("entropy > high", "no number"),
        ("entropy > 0,5", "no number"),
        ("entropy > nan", "no number"),
        ("joy > 3", "no column joy"),
        ("ent > 3", "entropy or entropy / most"),
    ],
)
def test_what_is_not_understood_is_said(text, says):
    with pytest.raises(InputError, match=says):
        parse(text, COLUMNS)


def test_each_sign_compares_and_what_is_undefined_never_holds():
    found = {s: [Condition("x", s, 1).holds(v) for v in (0, 1, 2, math.nan)]
             for s in (">", ">=", "<", "<=", "=", "!=")}  # fmt: skip
    assert found == {
        ">": [False, False, True, False],
        ">=": [False, True, True, False],
        "<": [True, False, False, False],
        "<=": [True, True, False, False],
        "=": [False, True, False, False],
        "!=": [True, False, True, False],
    }
