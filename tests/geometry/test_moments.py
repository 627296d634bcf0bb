"""The closed form against the pairs, where it is easy and where digits are in danger."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.geometry.masks import Everything, Listed, Staircase, allowed_pairs
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.normalization import shift_line
from attnviz_gui.geometry.pearson import TOO_FEW, pearson, pool
from tests.geometry.oracles import cosine_objective, cosine_objective_of_arrays
from tests.geometry.strategies import SmallHead, heads

T = 50
POSITIONS = {
    "constant": np.linspace(-1, 1, 7),
    "centroid": np.linspace(0, 1, 7),
    "locked": np.geomspace(0.1, 10, 7) ** 2,
}


def mask_named(name: str, n: int = T) -> np.ndarray | None:
    causal = np.tri(n, dtype=bool)
    rng = np.random.default_rng(7)
    return {
        "all": None,
        "causal": causal,
        "window": causal & ~np.tri(n, k=-9, dtype=bool),
        "causal, some hidden": causal & (rng.random(n) < 0.7) & (rng.random(n) < 0.7)[:, None],
        "random": rng.random((n, n)) < 0.3,
    }[name]


@pytest.mark.parametrize("mode", POSITIONS)
@pytest.mark.parametrize("mask", ["all", "causal", "window", "causal, some hidden", "random"])
@pytest.mark.parametrize("d", [2, 8, 32])
@pytest.mark.parametrize("means", [(0.5, -0.5), (1e4, 0), (0, 1e4), (1e4, 1e4), (1e4, -1e4)])
def test_every_candidate_equals_its_pairs_also_with_large_means(means, d, mask, mode):
    rng = np.random.default_rng(d)
    query, key = (rng.normal(size=(T, d)) + mean for mean in means)
    allowed = mask_named(mask)
    base, direction = shift_line(mode, query.mean(axis=0), key.mean(axis=0))
    moments = PairMoments(query, key, allowed)
    found = pearson(moments.along(base, direction, POSITIONS[mode]))
    # Where both means are large, distances differ by 1e-8: the definition itself, which takes them
    # from 1, keeps but 11 digits in extended precision and 8 in double.
    tolerance = {0: 1e-12, 1: 1e-10, 2: 1e-8}[sum(abs(mean) == 1e4 for mean in means)]
    for position, value in zip(POSITIONS[mode], found.value, strict=True):
        shift = base + position * direction
        expected = cosine_objective_of_arrays(query, key + shift, allowed)
        assert abs(value - expected) < tolerance
        assert abs(pearson(moments.at(shift)).value[0] - expected) < tolerance


@settings(max_examples=100, deadline=None)
@given(head=heads(), data=st.data())
def test_a_line_through_the_keys_counts_zero_keys_as_the_loops_do(head: SmallHead, data):
    # A line that meets a key's opposite: that key is a zero vector at position 1.
    j = data.draw(st.integers(0, len(head.key) - 1))
    positions = np.array([0.0, 0.5, 1.0, 2.0])
    direction = -head.key[j]
    outcome = pearson(
        PairMoments(head.query, head.key, head.mask).along(0 * direction, direction, positions)
    )
    for position, value in zip(positions, outcome.value, strict=True):
        expected = cosine_objective(head.query, head.key + position * direction, head.mask)
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mask", ["all", "causal", "random"])
def test_a_key_that_nearly_vanishes(mask):
    rng = np.random.default_rng(5)
    query, key = rng.normal(size=(2, T, 6))
    for distance in (1e-3, 1e-6, 1e-9):
        shift = -key[3] + distance * rng.normal(size=6)
        value = pearson(PairMoments(query, key, mask_named(mask)).at(shift)).value[0]
        expected = cosine_objective_of_arrays(query, key + shift, mask_named(mask))
        assert abs(value - expected) < 1e-10


def test_pooled_heads_are_one_set_of_pairs():
    rng = np.random.default_rng(6)
    small = [
        SmallHead(rng.normal(size=(n, 4)) + n, rng.normal(size=(n, 4)) - 1, mask)
        for n, mask in ((5, None), (9, np.tri(9, dtype=bool)), (3, np.zeros((3, 3), dtype=bool)))
    ]
    shift = np.full(4, 0.3)
    sums = [PairMoments(h.query, h.key, h.mask).at(shift) for h in small]
    # All pairs of all heads, as one block-diagonal head in which no pair crosses.
    mask = np.zeros((17, 17), dtype=bool)
    mask[:5, :5] = True
    mask[5:14, 5:14] = np.tri(9, dtype=bool)
    query = np.concatenate([h.query for h in small])
    key = np.concatenate([h.key for h in small]) + shift
    assert pearson(pool(sums)).value[0] == pytest.approx(
        cosine_objective(query, key, mask), abs=1e-12
    )


def test_a_head_in_which_nothing_is_allowed_has_no_pairs():
    query, key = np.random.default_rng(0).normal(size=(2, 4, 3))
    moments = PairMoments(query, key, np.zeros((4, 4), dtype=bool))
    assert pearson(moments.at(np.zeros(3))).reason == (TOO_FEW,)


def test_no_matrix_of_pairs_is_made():
    n, d = 4096, 16
    query, key = np.random.default_rng(0).normal(size=(2, n, d))
    tracemalloc.start()
    moments = PairMoments(query, key)
    moments.along(np.zeros(d), np.ones(d), np.linspace(-1, 1, 64))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * n * 8 / 8


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (None, Everything),
        (np.ones((4, 6), dtype=bool), Everything),
        (np.tri(150, dtype=bool), Staircase),
        (np.tri(150, 170, dtype=bool), Staircase),
        (np.tri(150, 140, k=3, dtype=bool), Staircase),
        (np.tri(150, dtype=bool)[::3, ::2], Staircase),
        (np.tri(150, dtype=bool).T, Listed),
        (np.random.default_rng(1).random((150, 170)) < 0.5, Listed),
        (np.random.default_rng(1).random((900, 700)) < 0.5, Listed),
    ],
)
def test_sums_over_allowed_queries(mask, kind):
    shape = (4, 6) if mask is None else mask.shape
    weights = np.ones(shape) if mask is None else mask.astype(float)
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, shape[0], 5))
    key = rng.normal(size=(shape[1], 5))
    pairs = allowed_pairs(mask, *shape)
    assert type(pairs) is kind
    np.testing.assert_array_equal(pairs.count, weights.sum(axis=0))
    gathered = np.broadcast_to(pairs.gather(left), (shape[1], 5))
    np.testing.assert_allclose(gathered, weights.T @ left, atol=1e-11)
    for one, other in ((left, right), (left, left)):
        outer = np.einsum("ij,ia,ib->jab", weights, one, other)
        expected = np.einsum("jab,jb->ja", (outer + outer.swapaxes(1, 2)) / 2, key)
        np.testing.assert_allclose(pairs.form(one, other, key), expected, atol=1e-10)
    columns = pairs.columns(slice(1, 4))
    if columns is None:
        assert weights.all()
    else:
        np.testing.assert_array_equal(columns, weights[:, 1:4])
