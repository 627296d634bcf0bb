"""Sums over allowed queries against the matrix of pairs, for every kind of mask."""

from __future__ import annotations

import numpy as np
import pytest

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_mask
from attnviz_gui.geometry.masks import (
    Blocks,
    Everything,
    Listed,
    Staircase,
    TextPairs,
    counted_pairs,
)


def check(mask, shape, weights, rows, kind) -> None:
    """Compare with the matrix `weights` (T_q, T_k) of 0 and 1, of the queries `rows` alone."""
    weights = weights * rows[:, None]
    got_rows, got_columns, pairs = counted_pairs(mask, rows, shape[1])
    assert type(pairs) is kind
    np.testing.assert_array_equal(got_rows, weights.any(axis=1))
    np.testing.assert_array_equal(got_columns, weights.any(axis=0))
    weights = weights[got_rows][:, got_columns]
    shape = weights.shape
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, shape[0], 5))
    key = rng.normal(size=(shape[1], 5))
    np.testing.assert_array_equal(pairs.count, weights.sum(axis=0))
    gathered = np.broadcast_to(pairs.gather(left), (shape[1], 5))
    np.testing.assert_allclose(gathered, weights.T @ left, atol=1e-11)
    for one, other in ((left, right), (left, left)):
        outer = np.einsum("ij,ia,ib->jab", weights, one, other)
        expected = np.einsum("jab,jb->ja", (outer + outer.swapaxes(1, 2)) / 2, key)
        np.testing.assert_allclose(pairs.form(one, other, key), expected, atol=1e-10)
    listed = np.zeros(shape)
    for queries, keys, allowed in pairs.blocks():
        listed[queries, keys] += 1 if allowed is None else allowed
    np.testing.assert_array_equal(listed, weights)
    columns = pairs.columns(slice(1, 40))
    np.testing.assert_array_equal(1 if columns is None else columns, weights[:, 1:40])


@pytest.mark.parametrize("all_rows", [True, False])
@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (None, Everything),
        (np.ones((4, 6), dtype=bool), Everything),
        (np.tri(150, dtype=bool), Staircase),
        (np.tri(150, 170, dtype=bool), Staircase),
        (np.tri(150, 140, k=3, dtype=bool), Staircase),
        (np.tri(1500, dtype=bool), Staircase),
        (np.tri(150, dtype=bool)[::3, ::2], Staircase),
        (np.tri(150, dtype=bool).T, Listed),
        (np.random.default_rng(1).random((150, 170)) < 0.5, Listed),
        (np.random.default_rng(1).random((900, 700)) < 0.5, Listed),
    ],
)
def test_sums_over_allowed_queries(mask, kind, all_rows):
    shape = (4, 6) if mask is None else mask.shape
    rows = np.ones(shape[0], dtype=bool) if all_rows else np.arange(shape[0]) % 3 > 0
    weights = np.ones(shape) if mask is None else mask.astype(float)
    check(mask, shape, weights, rows, kind)


@pytest.mark.parametrize("all_rows", [True, False])
def test_sums_over_the_queries_of_each_text(all_rows):
    rng = np.random.default_rng(2)
    some = rng.random((30, 20)) < 0.4
    nothing = np.zeros((5, 4), dtype=bool)
    texts = TextPairs(
        [
            (slice(3), slice(4), None),
            (slice(3, 33), slice(4, 24), some),
            (slice(33, 38), slice(24, 28), nothing),
            (slice(40, 41), slice(28, 28), None),
            (slice(41, 171), slice(30, 160), "causal"),
            (slice(171, 175), slice(160, 170), "causal"),
            (slice(175, 180), slice(170, 172), "causal"),
        ]
    )
    shape = (182, 175)
    weights = np.zeros(shape)
    weights[:3, :4] = 1
    weights[3:33, 4:24] = some
    weights[41:171, 30:160] = np.tri(130)
    weights[171:175, 160:170] = np.tri(4, 10)
    weights[175:180, 170:172] = np.tri(5, 2)
    rows = np.ones(shape[0], dtype=bool) if all_rows else np.arange(shape[0]) % 3 > 0
    assert as_mask(texts, shape) is texts
    check(texts, shape, weights, rows, Blocks)


def test_one_text_is_no_more_than_its_own_kind():
    everything = np.ones(4, dtype=bool)
    for mask, kind in ((None, Everything), ("causal", Staircase)):
        _, _, pairs = counted_pairs(TextPairs([(slice(4), slice(4), mask)]), everything, 4)
        assert type(pairs) is kind


def test_texts_without_a_pair_have_none():
    for texts in ([], [(slice(2), slice(0), None)], [(slice(0), slice(2), "causal")]):
        rows, columns, pairs = counted_pairs(TextPairs(texts), np.ones(2, dtype=bool), 2)
        assert pairs is None
        assert not rows.any()
        assert not columns.any()


@pytest.mark.parametrize(
    "texts",
    [
        [(slice(3), slice(3), None), (slice(2, 5), slice(3, 5), None)],
        [(slice(2, 5), slice(3, 5), None), (slice(2), slice(3), None)],
        [(slice(0, 4, 2), slice(4), None)],
        [(slice(0, None), slice(4), None)],
        [(slice(2), slice(2), "casual")],
        [(slice(2), slice(2), np.ones((2, 3), dtype=bool))],
    ],
)
def test_texts_that_do_not_stand_side_by_side_are_refused(texts):
    with pytest.raises(InputError):
        TextPairs(texts)


def test_texts_that_end_outside_the_tokens_are_refused():
    with pytest.raises(InputError):
        as_mask(TextPairs([(slice(5), slice(5), None)]), (5, 4))
