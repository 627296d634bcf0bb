from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import (
    OBJECTIVES,
    Objective,
    correlate,
    each_candidate,
    explain,
)
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.pearson import EQUAL_DISTANCES, EQUAL_DOTS, NOT_FINITE, TOO_FEW
from tests.geometry.oracles import cosine_objective
from tests.geometry.strategies import SmallHead, heads, scales, shifts


@settings(max_examples=200, deadline=None)
@given(head=heads())
def test_the_value_is_that_of_plain_loops(head: SmallHead):
    value = correlate(head.query, head.key, mask=head.mask)
    expected = cosine_objective(head.query, head.key, head.mask)
    assert math.isnan(value) == math.isnan(expected)
    assert math.isnan(value) or abs(value - expected) < 1e-10


@settings(max_examples=100, deadline=None)
@given(head=heads())
def test_a_missing_value_has_a_reason_and_a_value_has_none(head: SmallHead):
    value, reason = explain(head.query, head.key, mask=head.mask)
    assert math.isnan(value) == bool(reason)
    assert math.isnan(value) or -1 <= value <= 1


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(), scale=scales)
def test_the_scale_changes_no_cosine_correlation(data, head: SmallHead, scale: float):
    shift = data.draw(shifts(head.key.shape[1]))
    plain = correlate(*Normalization(shift).apply(head.query, head.key), mask=head.mask)
    scaled = correlate(*Normalization(shift, scale).apply(head.query, head.key), mask=head.mask)
    assume(not math.isnan(plain))
    assert abs(plain - scaled) < 1e-10


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_tokens(n: int):
    rng = np.random.default_rng(n)
    query, key = rng.normal(size=(2, n, 8))
    value, reason = explain(query, key)
    if n == 1:
        assert math.isnan(value)
        assert reason == TOO_FEW
    else:
        assert abs(value - cosine_objective(query, key)) < 1e-12


def test_why_there_is_no_value():
    query, key = np.random.default_rng(0).normal(size=(2, 5, 3))
    same = np.ones((5, 3))
    nothing = np.zeros((5, 5), dtype=bool)
    assert explain(query, key, mask=nothing)[1] == TOO_FEW
    assert explain(same, same)[1] == EQUAL_DOTS
    assert explain(np.zeros((5, 3)), key)[1] == TOO_FEW
    assert explain(np.empty((0, 3)), key)[1] == TOO_FEW
    # Parallel vectors of different lengths: the dot products differ, the angles do not.
    assert explain(np.outer(range(1, 6), [1.0, 2, 2]), np.outer(range(1, 6), [2.0, 1, 2]))[1] == (
        EQUAL_DISTANCES
    )
    key[2, 1] = np.nan
    assert explain(query, key)[1] == NOT_FINITE
    for bad in (np.inf, -np.inf, 1e200):
        key[2, 1] = bad
        assert explain(query, key)[1] == NOT_FINITE
        assert math.isnan(correlate(query, key))


@pytest.mark.parametrize("size", [1e-38, 1e-9, 1e38])
def test_the_size_of_the_vectors_does_not_matter(size: float):
    query, key = np.random.default_rng(4).normal(size=(2, 8, 4))
    assert correlate(size * query, size * key) == pytest.approx(correlate(query, key), abs=1e-12)


def test_zero_vectors_are_left_out():
    rng = np.random.default_rng(1)
    query, key = rng.normal(size=(6, 4)), rng.normal(size=(7, 4))
    query[2] = 0
    key[[0, 5]] = 0
    without = correlate(np.delete(query, 2, 0), np.delete(key, [0, 5], 0))
    assert correlate(query, key) == pytest.approx(without, abs=1e-13)


def test_perfect_correlation_stays_within_one():
    # One key, queries of one length: dot product and cosine are the same thing.
    angle = np.linspace(0, 3, 50)
    query = np.column_stack([np.cos(angle), np.sin(angle)])
    value = correlate(query, np.array([[1.0, 0.0]]))
    assert 1 - 1e-12 < value <= 1


def test_single_precision_and_integers_are_read_as_they_are():
    rng = np.random.default_rng(2)
    query, key = rng.normal(size=(2, 9, 4)).astype(np.float32)
    assert correlate(query, key) == correlate(query.astype(float), key.astype(float))
    assert correlate([[1, 2], [3, 4]], [[5, 6], [7, -8]]) == pytest.approx(
        cosine_objective([[1, 2], [3, 4]], [[5, 6], [7, -8]]), abs=1e-13
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((np.ones((2, 3)), np.ones((2, 4))), "head_dim"),
        ((np.ones(3), np.ones((2, 3))), "shape"),
        ((np.ones((2, 0)), np.ones((2, 0))), "shape"),
        ((np.ones((2, 3)), np.ones((2, 3)), "cosine", np.ones((3, 2))), "mask"),
        ((np.ones((2, 3)), np.ones((2, 3)), "nonsense"), "cosine"),
        ((np.ones((2, 3)) * 1j, np.ones((2, 3))), "real"),
        (([[1, 2], [3]], np.ones((2, 2))), "array"),
        ((np.array([["a"]]), np.ones((2, 1))), "numbers"),
    ],
)
def test_what_cannot_be_valued_is_refused(arguments, word: str):
    with pytest.raises(InputError, match=word):
        correlate(*arguments)


def test_a_new_objective_is_one_entry(monkeypatch: pytest.MonkeyPatch):
    def small_keys(heads):
        return -float(sum((head.key**2).sum() for head in heads)), ""

    entry = Objective("small keys", "short keys", "this test", True, each_candidate(small_keys))
    monkeypatch.setitem(OBJECTIVES, "small keys", entry)
    query, key = np.random.default_rng(3).normal(size=(2, 6, 4)) + 1.0
    assert correlate(query, key, "small keys") == pytest.approx(-(key**2).sum())
    found = fit(SmallHead(query, key, None), "small keys")
    assert found.t == pytest.approx(-key.mean(), abs=1e-4)
