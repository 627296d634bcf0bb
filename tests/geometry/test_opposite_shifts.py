"""Shifts that undo all keys, or nearly: what the rounded mean of the keys must not decide."""

from __future__ import annotations

import math

import numpy as np
import pytest

from attnviz_gui.geometry.correlation import OBJECTIVES, Candidates, HeadPairs
from tests.geometry import oracles

ORACLES = {
    "cosine": oracles.exact_cosine_objective,
    "euclidean": oracles.exact_euclidean_objective,
}


def masks(rng, n):
    return None, np.tri(n, dtype=bool), rng.random((n, n)) < 0.5


def value(name, query, key, mask):
    """The objective at a = -k_0, as a place on a line that begins elsewhere."""
    search = OBJECTIVES[name].prepare([HeadPairs(query, key, mask)])
    still = np.zeros(query.shape[1])
    return search(Candidates([(still, -key[0])], np.ones(1), np.ones(1)))


@pytest.mark.parametrize("name", list(ORACLES))
def test_equal_keys_brought_to_zero_have_no_value(name):
    rng = np.random.default_rng(0)
    for n in range(3, 12):
        for d in (1, 2, 4):
            query, key = rng.normal(size=(n, d)), np.tile(rng.normal(size=d), (n, 1))
            for mask in masks(rng, n):
                found = value(name, query, key, mask)
                assert math.isnan(found.value[0]), (n, d)
                assert found.reason[0]


@pytest.mark.parametrize("name", list(ORACLES))
def test_nearly_equal_keys_brought_to_nearly_zero_keep_their_digits(name):
    rng = np.random.default_rng(1)
    for n in (3, 5, 7):
        for d in (1, 2, 3):
            query = rng.normal(size=(n, d))
            key = rng.normal(size=d) + 1e-9 * rng.normal(size=(n, d))
            for mask in masks(rng, n):
                true = ORACLES[name](query, key - key[0], mask)
                found = value(name, query, key, mask).value[0]
                assert found == pytest.approx(true, abs=1e-10, nan_ok=True), (n, d)
