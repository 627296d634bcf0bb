"""The sums of few pairs against plain loops and against the moments, also where digits are lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.few_pairs import FewPairs, few_or_many
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.normalization import shift_line
from attnviz_gui.geometry.pearson import pearson
from tests.geometry.oracles import (
    Unclear,
    cosine_objective_of_arrays,
    exact_cosine_objective,
)
from tests.geometry.strategies import SmallHead, heads
from tests.geometry.test_moments import POSITIONS, T, mask_named


@pytest.mark.parametrize("mode", POSITIONS)
@pytest.mark.parametrize("mask", ["all", "causal", "window", "causal, some hidden", "random"])
@pytest.mark.parametrize("means", [(0.5, -0.5), (30, 3), (1e4, 0), (0, 1e4), (1e4, 1e4)])
def test_every_candidate_equals_its_pairs_also_with_large_means(means, mask, mode):
    rng = np.random.default_rng(3)
    query, key = (rng.normal(size=(T, 16)) + mean for mean in means)
    allowed = mask_named(mask)
    base, direction = shift_line(mode, query.mean(axis=0), key.mean(axis=0))
    found = pearson(FewPairs(query, key, allowed).along(base, direction, POSITIONS[mode]))
    tolerance = 1e-8 if min(means) > 100 else 1e-10  # as the definition itself, see test_moments
    for position, value in zip(POSITIONS[mode], found.value, strict=True):
        expected = cosine_objective_of_arrays(query, key + base + position * direction, allowed)
        assert abs(value - expected) < tolerance


# At 1 the line meets a key's opposite: a zero vector there, and beside it one that nearly vanishes.
NEAR_OPPOSITE = [0.0, 0.5, 1 - 2.0**-30, 1.0, 1 + 2.0**-30, 1 + 2.0**-12, 2.0]


@settings(max_examples=200, deadline=None)
@given(head=heads(), data=st.data(), way=st.sampled_from([FewPairs, PairMoments]))
def test_drawn_heads_equal_the_loops(head: SmallHead, data, way):
    positions = np.array(NEAR_OPPOSITE)
    direction = -head.key[data.draw(st.integers(0, len(head.key) - 1))]
    outcome = pearson(
        way(head.query, head.key, head.mask).along(0 * direction, direction, positions)
    )
    for position, value in zip(positions, outcome.value, strict=True):
        try:
            expected = exact_cosine_objective(
                head.query, head.key + position * direction, head.mask
            )
        except Unclear:
            continue
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mask", ["all", "causal", "random"])
@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-9])
def test_a_key_that_nearly_vanishes(mask, distance):
    rng = np.random.default_rng(5)
    query, key = rng.normal(size=(2, T, 6))
    shift = -key[3] + distance * rng.normal(size=6)
    value = pearson(
        FewPairs(query, key, mask_named(mask)).along(shift, 0 * shift, np.zeros(1))
    ).value[0]
    expected = cosine_objective_of_arrays(query, key + shift, mask_named(mask))
    assert abs(value - expected) < 1e-10


def test_products_that_nearly_cancel_beside_a_key_that_nearly_vanishes():
    query, key = np.array([[0.0, 1], [1, 0]]), np.array([[2.0, 1], [2, 0]])
    mask, shift = np.tri(2, dtype=bool), -(1 + 2.0**-30) * key[0]
    value = pearson(FewPairs(query, key, mask).along(shift, 0 * shift, np.zeros(1))).value[0]
    assert abs(value - exact_cosine_objective(query, key + shift, mask)) < 1e-12


@pytest.mark.parametrize("means", [(1e4, 0), (0, 1e4), (1e4, 1e4), (1e4, -1e4)])
@pytest.mark.parametrize("way", [FewPairs, PairMoments])
@pytest.mark.parametrize("causal", [False, True])
def test_large_means_to_the_tenth_digit(causal, way, means):
    # Where both means are large, distances differ by 1e-8: loops in double precision keep 8 digits.
    rng = np.random.default_rng(8)
    query, key = (rng.normal(size=(12, 8)) + mean for mean in means)
    mask = np.tri(12, dtype=bool) if causal else None
    positions = np.array([0, 0.3, -means[1], 0.01 - means[1]])
    found = pearson(way(query, key, mask).along(np.zeros(8), np.ones(8), positions))
    for position, value in zip(positions, found.value, strict=True):
        assert abs(value - exact_cosine_objective(query, key + position, mask)) < 1e-10


def test_equal_vectors_have_no_correlation_and_the_reason_is_given():
    outcome = pearson(
        FewPairs(np.ones((9, 4)), np.ones((9, 4))).along(np.zeros(4), np.ones(4), np.arange(3.0))
    )
    assert np.isnan(outcome.value).all()
    assert all("equal" in reason for reason in outcome.reason)


def test_an_ordinary_head_needs_no_moments_and_one_that_would_lose_digits_does():
    rng = np.random.default_rng(4)
    query, key = rng.normal(size=(2, 40, 16)) + 1
    line, positions = (np.zeros(16), np.ones(16)), np.linspace(-1, 1, 51)
    ordinary = FewPairs(query, key)
    ordinary.along(*line, positions)
    assert ordinary.moments is None
    far = FewPairs(query + 1e4, key + 1e4)
    sums = far.along(*line, positions).table
    assert far.moments is not None
    np.testing.assert_array_equal(
        sums[1:6], PairMoments(query + 1e4, key + 1e4).along(*line, positions).table[1:6]
    )


def test_few_tokens_take_all_pairs_and_many_the_moments():
    rng = np.random.default_rng(5)
    short, long = rng.normal(size=(30, 8)), rng.normal(size=(400, 8))
    assert isinstance(few_or_many(short, short, None), FewPairs)
    assert isinstance(few_or_many(short, long, None), PairMoments)
    assert isinstance(few_or_many(long, short, None), PairMoments)
    parts = slice(0, 15), slice(15, 30)
    texts = TextPairs([(part, part, None) for part in parts])
    assert isinstance(few_or_many(short, short, texts), PairMoments)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InputError):
        few_or_many(np.ones((3, 4)), np.ones((3, 5)), None)
    with pytest.raises(InputError):
        few_or_many(np.ones(4), np.ones((3, 4)), None)
    with pytest.raises(InputError):
        few_or_many(np.ones((3, 4)), np.ones((3, 4)), np.ones((2, 2), dtype=bool))
