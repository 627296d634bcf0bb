"""The closed form against the pairs, where it is easy and where digits are in danger."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.geometry.masks import TextPairs
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


def texts_of(lengths: list[int], masks: list) -> TextPairs:
    ends = np.cumsum([0, *lengths])
    parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
    return TextPairs([(part, part, mask) for part, mask in zip(parts, masks, strict=True)])


@pytest.mark.parametrize("mode", POSITIONS)
@pytest.mark.parametrize(
    "masks",
    [
        [None, None, None, None],
        ["causal", "causal", "causal", "causal"],
        [None, "causal", np.random.default_rng(3).random((7, 7)) < 0.5, np.zeros((3, 3), bool)],
    ],
)
def test_many_texts_equal_their_pairs_and_the_texts_pooled(masks, mode):
    lengths, d = [90, 20, 7, 3], 6
    rng = np.random.default_rng(1)
    # Every text has means of its own.
    offset = np.repeat(rng.normal(size=(4, d)), lengths, axis=0)
    query = rng.normal(size=(120, d)) + offset + 0.5
    key = rng.normal(size=(120, d)) - offset - 0.5
    query[95] = 0
    texts = texts_of(lengths, masks)
    base, direction = shift_line(mode, query.mean(axis=0), key.mean(axis=0))
    dense = np.zeros((120, 120), dtype=bool)
    for queries, keys, mask in texts.texts:
        n = keys.stop - keys.start
        dense[queries, keys] = (
            np.tri(n) if isinstance(mask, str) else np.ones((n, n)) if mask is None else mask
        )
    parts = [
        PairMoments(query[queries], key[keys], dense[queries, keys]).along(
            base, direction, POSITIONS[mode]
        )
        for queries, keys, _ in texts.texts
    ]
    found = PairMoments(query, key, texts).along(base, direction, POSITIONS[mode])
    np.testing.assert_allclose(pearson(found).value, pearson(pool(parts)).value, atol=1e-12)
    np.testing.assert_array_equal(found.table[0], pool(parts).table[0])
    counted = dense.copy()
    counted[95] = False  # a zero query has no cosine
    query[95] = 1
    for position, value in zip(POSITIONS[mode], pearson(found).value, strict=True):
        shifted = key + (base + position * direction)
        assert abs(value - cosine_objective_of_arrays(query, shifted, counted)) < 1e-12


def test_many_texts_need_no_matrix_of_pairs():
    n, d, length = 20_000, 16, 500
    query, key = np.random.default_rng(0).normal(size=(2, n, d))
    for mask in (None, "causal"):
        texts = texts_of([length] * (n // length), [mask] * (n // length))
        tracemalloc.start()
        moments = PairMoments(query, key, texts)
        moments.along(np.zeros(d), np.ones(d), np.linspace(-1, 1, 5))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < n * n / 4


def exact_objective(query: np.ndarray, key: np.ndarray, shift: np.ndarray) -> float:
    """-Pearson(dot, cosine distance) over all pairs, in rational numbers.

    Only roots are not rational: they are taken to 60 digits. No rounding before the last step.
    """
    digits = 10**60

    def root(value: Fraction) -> Fraction:
        large = value * digits * digits
        return Fraction(math.isqrt(large.numerator * large.denominator), large.denominator * digits)

    q = [[Fraction(float(x)) for x in row] for row in query]
    k = [
        [Fraction(float(x)) + Fraction(float(a)) for x, a in zip(row, shift, strict=True)]
        for row in key
    ]
    # Made of a size near 1, where 60 digits are 60 digits.
    q_size, k_size = (max(abs(x) for row in side for x in row) for side in (q, k))
    pairs = []
    for i in q:
        for j in k:
            a, b = [x / q_size for x in i], [x / k_size for x in j]
            if any(a) and any(b):
                dot = sum(x * y for x, y in zip(a, b, strict=True))
                norms = root(sum(x * x for x in a)) * root(sum(x * x for x in b))
                pairs.append((dot, dot / norms))
    mean_x = sum(x for x, _ in pairs) / len(pairs)
    mean_y = sum(y for _, y in pairs) / len(pairs)
    xx = sum((x - mean_x) ** 2 for x, _ in pairs)
    yy = sum((y - mean_y) ** 2 for _, y in pairs)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    return float(xy / (root(xx) * root(yy)))


def check_exactly(query: np.ndarray, key: np.ndarray, tolerance: float) -> None:
    """Compare one shift and a line of shifts with rational numbers; sides in float64."""
    d = key.shape[1]
    direction = np.ones(d) * np.abs(key.astype(np.float64)).mean()
    moments = PairMoments(query, key)
    values = pearson(moments.along(np.zeros(d), direction, np.array([-1, 0, 0.25]))).value
    for position, value in zip((-1, 0, 0.25), values, strict=True):
        shift = position * direction
        assert abs(value - exact_objective(query, key, shift)) < tolerance
        assert abs(pearson(PairMoments(query, key).at(shift)).value[0] - value) < tolerance


@pytest.mark.parametrize("small", [1e-6, 1e-30, 1e-100, 1e-200])
def test_norms_near_zero_are_exact(small):
    rng = np.random.default_rng(11)
    query, key = rng.normal(size=(2, 5, 3))
    query[1] *= small
    key[2] *= small
    check_exactly(query, key, 1e-12)


@pytest.mark.parametrize(("mean", "tolerance"), [(1e2, 1e-12), (1e4, 1e-10)])
def test_means_far_larger_than_the_spread_are_exact(mean, tolerance):
    rng = np.random.default_rng(12)
    query, key = rng.normal(size=(2, 5, 3))
    check_exactly(query + mean, key - mean, tolerance)
    check_exactly(query, key + mean * np.array([1, -1, 0.5]), tolerance)


def test_half_precision_is_read_as_the_numbers_it_holds():
    rng = np.random.default_rng(13)
    query, key = (rng.normal(size=(2, 6, 4)) * 30).astype(np.float16)
    check_exactly(query, key, 1e-13)
    wide = PairMoments(query.astype(np.float64), key.astype(np.float64)).at(np.full(4, 0.5))
    np.testing.assert_array_equal(PairMoments(query, key).at(np.full(4, 0.5)).table, wide.table)


def test_subnormal_half_precision_is_exact():
    # 6e-8 is the smallest number that float16 holds.
    rng = np.random.default_rng(14)
    query, key = (rng.integers(-40, 40, size=(2, 5, 3)) * 6e-8).astype(np.float16)
    assert query.any()
    check_exactly(query, key, 1e-12)


@pytest.mark.parametrize("size", [1e-300, 5e-324])
def test_vectors_too_small_to_square_have_no_wrong_value(size):
    rng = np.random.default_rng(15)
    query, key = rng.integers(-9, 9, size=(2, 5, 3)) * size
    for a, b in ((query, key), (query, key / size), (query / size, key)):
        outcome = pearson(PairMoments(a, b).at(np.zeros(3)))
        if np.isnan(outcome.value[0]):
            assert outcome.reason[0]
        else:
            assert abs(outcome.value[0] - exact_objective(a, b, np.zeros(3))) < 1e-10


@pytest.mark.parametrize("mask", ["all", "causal", "random"])
def test_a_slider_that_moves_along_a_line_shows_what_fresh_moments_show(mask):
    rng = np.random.default_rng(16)
    query, key = rng.normal(size=(2, T, 6)) + 1
    moments = PairMoments(query, key, mask_named(mask))
    centroid = query.mean(axis=0) - key.mean(axis=0)
    ways = [t * np.ones(6) for t in np.linspace(-2, 2, 9)]
    ways += [t * centroid for t in np.linspace(0, 1, 9)]
    ways += [rng.normal(size=6) for _ in range(4)] + [np.zeros(6)] * 3
    for shift in ways:
        value = pearson(moments.at(shift)).value[0]
        expected = cosine_objective_of_arrays(query, key + shift, mask_named(mask))
        assert abs(value - expected) < 1e-12
