from __future__ import annotations

import numpy as np

from attnviz_gui.geometry.buffers import KEPT, SMALL, Buffers
from attnviz_gui.geometry.live import LiveHead

LARGE = (SMALL // 64, 64)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_what_nobody_holds_is_used_again():
    buffers = Buffers()
    first = buffers.take(LARGE)
    where = address(first)
    assert address(buffers.take(LARGE)) != where
    del first
    assert address(buffers.take(LARGE)) == where
    assert buffers.take((LARGE[0] + 1, 64)).shape == (LARGE[0] + 1, 64)


def test_a_view_holds_its_array():
    buffers = Buffers()
    for view in (lambda a: a[3:5], lambda a: a.ravel(), lambda a: a.T[2], memoryview):
        array = buffers.take(LARGE)
        where = address(array)
        kept = view(array)
        del array
        assert address(buffers.take(LARGE)) != where
        del kept
        assert address(buffers.take(LARGE)) == where


def test_no_more_than_some_are_kept():
    buffers = Buffers()
    held = [buffers.take(LARGE) for _ in range(KEPT + 5)]
    assert len({address(array) for array in held}) == KEPT + 5
    kept = {address(array) for array in held[:KEPT]}
    held.clear()
    assert {address(array) for array in [buffers.take(LARGE) for _ in range(KEPT)]} <= kept


def test_a_frame_that_is_kept_never_changes_under_a_moving_slider():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 100, 8))
    mask = np.ones((100, 100), dtype=bool)
    attention = np.full((100, 100), 0.01, dtype=np.float32)
    live = LiveHead(query, key, attention, mask, 0.3)
    kept = live.frame(np.zeros(8), 1.0)
    part = live.frame(np.ones(8), 1.0).distances[2:4]
    before = kept.dots.copy(), kept.distances.copy(), part.copy()
    for t in np.linspace(-1, 1, 12):
        frame = live.frame(np.full(8, t), 2.0)
        assert frame.distances.shape == frame.dots.shape == (100, 100)
        assert frame.attention_difference > 0
        assert frame.mean_pair_distance > 0
    for now, then in zip((kept.dots, kept.distances, part), before, strict=True):
        np.testing.assert_array_equal(now, then)
