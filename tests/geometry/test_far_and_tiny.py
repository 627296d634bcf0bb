"""Few tokens far from the origin, and vectors too small for double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnviz_gui.geometry.correlation import OBJECTIVES, Candidates, HeadPairs
from attnviz_gui.geometry.pearson import NOT_FINITE
from tests.geometry import oracles


def test_few_tokens_far_from_the_origin() -> None:
    """Means of 10,000 times the spread, a few pairs allowed: each one's rounding would count."""
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(60):
        n, d = int(rng.integers(2, 6)), int(rng.integers(1, 9))
        query, key = rng.normal(size=(n, d)) + 1e4, rng.normal(size=(n, d)) + 1e4
        mask = rng.random((n, n)) < 0.6
        mask[:, rng.integers(n)] = False
        shift = np.zeros(d)
        try:
            expected = oracles.exact_cosine_objective(query, key, mask)
        except oracles.Unclear:
            continue
        search = OBJECTIVES["cosine"].prepare([HeadPairs(query, key, mask)])
        found = search(Candidates([(shift, rng.normal(size=d))], np.zeros(1), np.ones(1)))
        assert math.isnan(found.value[0]) == math.isnan(expected)
        if not math.isnan(expected):
            compared += 1
            assert found.value[0] == pytest.approx(expected, abs=1e-10, rel=0)
    assert compared > 30


@pytest.mark.parametrize("name", ["cosine", "euclidean", "rank", "weighted", "neighbours"])
@pytest.mark.parametrize("size", [1e-300, 1e-150])
def test_what_double_precision_cannot_square_is_named(name: str, size: float) -> None:
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(9, 3)), rng.normal(size=(9, 3))
    for q, k in ((query * size, key), (query, key * size)):
        search = OBJECTIVES[name].prepare([HeadPairs(q, k, None)])
        line = (np.zeros(3), np.full(3, np.abs(k).max()))
        found = search(Candidates([line], np.array([0.0, 1.0]), np.ones(2)))
        assert np.isnan(found.value).all()
        assert found.reason == (NOT_FINITE, NOT_FINITE)
