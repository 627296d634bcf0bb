from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.normalization import (
    SCALE_RANGE,
    SHIFT_MODES,
    ShiftMode,
    shift_line,
    shift_range,
)
from attnviz_gui.geometry.pearson import EQUAL_DOTS, pearson
from attnviz_gui.geometry.transforms import balancing, lift, transform_vectors
from tests.geometry.oracles import cosine_objective
from tests.geometry.strategies import SmallHead, heads


def random_head(seed: int, n: int = 25, d: int = 8, mask: np.ndarray | None = None) -> SmallHead:
    rng = np.random.default_rng(seed)
    return SmallHead(
        rng.normal(size=(n, d)) + rng.normal(size=d), rng.normal(size=(n, d)) + 0.5, mask
    )


def fine_grid(mode: ShiftMode, key: np.ndarray, n: int) -> np.ndarray:
    low, high = shift_range(mode, key)
    return np.geomspace(low, high, n) if mode == "locked" else np.linspace(low, high, n)


@pytest.mark.parametrize("mode", SHIFT_MODES)
@pytest.mark.parametrize("d", [2, 3, 8, 32])
@pytest.mark.parametrize("seed", range(4))
def test_the_search_misses_nothing_that_a_fine_grid_finds(seed: int, d: int, mode: ShiftMode):
    head = random_head(seed, d=d, mask=np.tri(25, dtype=bool) if seed % 2 else None)
    found = fit(head, shift_mode=mode)
    query, key = head.query, head.key
    if mode == "balanced":
        query, key = transform_vectors(query, key, balancing(query, key))
    base, direction = shift_line(mode, query.mean(axis=0), key.mean(axis=0))
    if mode == "lifted":
        values = np.array(
            [
                correlate(*lift(query, key + t * direction), mask=head.mask)
                for t in fine_grid(mode, key, 301)
            ]
        )
    else:
        grid = fine_grid(mode, key, 5_001)
        position = grid**2 if mode == "locked" else grid
        values = pearson(PairMoments(query, key, head.mask).along(base, direction, position)).value
    assert found.value >= np.nanmax(values) - 1e-9
    assert found.value == pytest.approx(
        cosine_objective(*found.normalization.apply(head.query, head.key), head.mask), abs=1e-10
    )


@pytest.mark.parametrize("mode", ["constant", "centroid", "locked"])
@settings(max_examples=60, deadline=None)
@given(
    head=heads(),
    candidates=st.lists(st.integers(1, 64).map(lambda n: n / 16), min_size=1, max_size=6),
)
def test_the_curve_is_the_objective_at_each_candidate(mode: ShiftMode, head, candidates):
    try:
        found = fit(head, shift_mode=mode, candidates=candidates)
    except InputError:
        assume(False)
    assert found.curve.shape == (len(candidates), 2)
    assert found.curve[:, 0].tolist() == candidates
    for t, value in found.curve:
        scale = t if mode == "locked" else 1.0
        mean_q, mean_k = head.query.mean(axis=0), head.key.mean(axis=0)
        shift = {
            "constant": np.full(mean_k.shape, t),
            "centroid": t * (mean_q - mean_k),
            "locked": t * t * mean_q - mean_k,
        }[mode]
        expected = cosine_objective(scale * head.query, (head.key + shift) / scale, head.mask)
        if not np.isnan(value) and not np.isnan(expected):
            assert abs(value - expected) < 1e-8
    assert found.value == np.nanmax(found.curve[:, 1])
    assert found.t in candidates


@pytest.mark.parametrize("mode", SHIFT_MODES)
def test_what_a_search_returns(mode: ShiftMode):
    head = random_head(11)
    found = fit(head, shift_mode=mode)
    assert (found.objective, found.shift_mode) == ("cosine", mode)
    assert found.normalizations == (found.normalization,)
    assert found.normalization.scale == (found.t if mode == "locked" else 1.0)
    assert found.value == correlate(
        *found.normalization.apply(head.query, head.key)
    ) or found.value == pytest.approx(
        correlate(*found.normalization.apply(head.query, head.key)), abs=1e-10
    )
    ts, values = found.curve.T
    assert (np.diff(ts) > 0).all()
    assert (ts[0], ts[-1]) == pytest.approx(shift_range(mode, head.key))
    assert found.value == np.nanmax(values)
    assert found.t == ts[np.nanargmax(values)]
    assert found.at_edge == (found.t in (ts[0], ts[-1]))


def test_heads_fitted_together_share_t_and_pool_their_pairs():
    several = [random_head(1, n=12), random_head(2, n=20, d=5), random_head(3, n=7)]
    mask = np.tri(20, dtype=bool)
    several[1] = SmallHead(several[1].query, several[1].key, mask)
    candidates = [-0.5, 0.25, 1.0]
    together = fit(several, shift_mode="centroid", candidates=candidates)
    for t, value in together.curve:
        dots, distances = [], []
        for head in several:
            key = head.key + t * (head.query.mean(axis=0) - head.key.mean(axis=0))
            products = head.query @ key.T
            norms = np.linalg.norm(head.query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
            keep = np.ones(products.shape, dtype=bool) if head.mask is None else head.mask
            dots.append(products[keep])
            distances.append((1 - products / norms)[keep])
        expected = -np.corrcoef(np.concatenate(dots), np.concatenate(distances))[0, 1]
        assert value == pytest.approx(expected, abs=1e-12)
    assert len(together.normalizations) == 3
    for head, normalization in zip(several, together.normalizations, strict=True):
        expected = together.t * (head.query.mean(axis=0) - head.key.mean(axis=0))
        np.testing.assert_allclose(normalization.shift, expected, atol=1e-14)
    assert fit(several[:1]).value == fit(several[0]).value
    # One number serves heads of any dimension.
    assert len(set(fit(several).normalizations)) == 1


def test_a_head_needs_only_queries_and_keys():
    head = random_head(4)
    bare = SimpleNamespace(query=head.query, key=head.key)
    assert fit(bare).value == fit(head).value
    assert fit((bare,)).value == fit(head).value


def test_the_edge_of_the_range_is_told():
    head = random_head(2)
    inner = fit(head)
    assert not inner.at_edge
    assert fit(head, candidates=[inner.t, inner.t + 0.1]).at_edge
    assert not fit(head, candidates=[inner.t + 0.1, inner.t, inner.t - 0.1]).at_edge
    assert not fit(head, candidates=[inner.t]).at_edge


def test_undefined_candidates_are_passed_over():
    # d = 1: cosines are 1 or -1, all alike unless the shift parts the keys.
    head = SmallHead(np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]), None)
    found = fit(head, candidates=[0.0, -2.0, 5.0])
    assert np.isnan(found.curve[:, 1]).tolist() == [True, False, True]
    assert found.t == -2.0
    assert fit(head).value >= found.value


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"objective": "nonsense"}, "cosine"),
        ({"shift_mode": "sideways"}, "locked"),
        ({"heads": []}, "at least one head"),
        ({"heads": SmallHead(np.ones((0, 3)), np.ones((2, 3)), None)}, "at least one query"),
        ({"candidates": []}, "at least one"),
        ({"candidates": [0.0, np.nan]}, "finite"),
        ({"candidates": [[0.0]]}, "list"),
        ({"candidates": ["a"]}, "real numbers"),
        ({"candidates": [1.0, 0.0], "shift_mode": "locked"}, "above 0"),
        ({"heads": SmallHead(np.ones((3, 2)), np.ones((3, 2)), None)}, EQUAL_DOTS),
        ({"heads": SmallHead(np.full((3, 2), np.nan), np.ones((3, 2)), None)}, "NaN or infinity"),
        ({"heads": SmallHead(np.ones((3, 2)), np.full((3, 2), np.nan), None)}, "NaN or infinity"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, word: str):
    arguments = {"heads": random_head(0)} | change
    with pytest.raises(InputError, match=word):
        fit(**arguments)


def test_progress_ends_and_cancel_stops():
    seen: list[tuple[int, int]] = []
    fit(random_head(0), progress=lambda done, total: seen.append((done, total)))
    assert seen[0][0] == 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] <= seen[-1][1]
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        fit(random_head(0), cancel=event)
    calls = iter([False, False, True])
    with pytest.raises(Cancelled):
        fit(random_head(0), cancel=lambda: next(calls))


def test_locked_searches_the_range_of_the_scale():
    found = fit(random_head(0), shift_mode="locked")
    assert SCALE_RANGE[0] <= found.t <= SCALE_RANGE[1]
    assert found.curve[0, 0] == pytest.approx(SCALE_RANGE[0])
