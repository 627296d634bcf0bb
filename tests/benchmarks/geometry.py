"""What a slider and a fit compute, without a window, against the plain way with numpy and PCA.

The plain way goes through the matrix of pairs for every candidate of a curve, and fits
scikit-learn's PCA anew for every frame. Run alone: ``python -m tests.benchmarks geometry``.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

from attnviz_gui.geometry.correlation import Candidates, HeadPairs, objective_named
from attnviz_gui.geometry.live import LiveHead

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_DIM = 64
CANDIDATES = 201


def rows() -> list[tuple[str, float, float, str]]:
    """Return what is measured, its median time, that of the plain way, and the goal."""
    return [
        curve_row(128, causal=False),
        curve_row(512, causal=False),
        curve_row(512, causal=True),
        frame_row(128, causal=False),
        frame_row(512, causal=False),
        frame_row(512, causal=True),
    ]


def random_head(n_tokens: int, *, causal: bool) -> LiveHead:
    rng = np.random.default_rng(0)
    query = (rng.normal(size=(n_tokens, HEAD_DIM)) + rng.normal(size=HEAD_DIM)).astype(np.float32)
    key = (rng.normal(size=(n_tokens, HEAD_DIM)) + rng.normal(size=HEAD_DIM)).astype(np.float32)
    mask = np.ones((n_tokens, n_tokens), dtype=bool)
    if causal:
        mask = np.tril(mask)
    scaling = HEAD_DIM**-0.5
    attention = softmax(scaling * query @ key.T, mask)
    return LiveHead(query, key, attention, mask, scaling)


def curve_row(n_tokens: int, *, causal: bool) -> tuple[str, float, float, str]:
    """The objective over a whole curve of shifts, moments included."""
    head = random_head(n_tokens, causal=causal)
    ts = np.linspace(-1, 1, CANDIDATES)
    line = (np.zeros(HEAD_DIM), np.ones(HEAD_DIM))
    pairs = HeadPairs(head.query, head.key, head.mask if causal else None)

    def ours() -> np.ndarray:
        search = objective_named("cosine").prepare([pairs])
        return search(Candidates([line], ts, np.ones(CANDIDATES))).value

    def plain() -> np.ndarray:
        return np.array([plain_objective(head.query, head.key + t, head.mask) for t in ts])

    assert np.abs(ours() - plain()).max() < 1e-10
    what = f"objective over {CANDIDATES} candidates, {n_tokens} tokens{', causal' * causal}"
    return what, median(ours, 9), median(plain, 3), f"≥ {10 if n_tokens < 512 else 100} × faster"


def frame_row(n_tokens: int, *, causal: bool) -> tuple[str, float, float, str]:
    """All that a frame draws: pairs, plane, r and the proof that the attention is unchanged."""
    head = random_head(n_tokens, causal=causal)
    shifts = [np.full(HEAD_DIM, t) for t in np.linspace(-0.5, 0.5, 40)]
    near = head.frame(shifts[0], 1.0).projection
    turn = iter(range(1 << 30))

    def ours() -> None:
        frame = head.frame(shifts[next(turn) % len(shifts)], 1.5, near=near)
        assert frame.dots.shape == frame.distances.shape
        assert frame.projection.axes.shape == (HEAD_DIM, 2)
        assert abs(frame.correlation) <= 1
        assert frame.attention_difference < 1e-5

    def plain() -> None:
        query, key = 1.5 * head.query, (head.key + shifts[next(turn) % len(shifts)]) / 1.5
        PCA(2).fit_transform(np.concatenate([query, key]))
        assert abs(plain_objective(query, key, head.mask)) <= 1
        new = softmax(head.scaling * query @ key.T, head.mask)
        assert np.abs(new - head.attention).max() < 1e-5

    ours()
    what = f"one frame's numbers, {n_tokens} tokens{', causal' * causal}"
    return what, median(ours, 40), median(plain, 15), f"≤ {2 if n_tokens < 512 else 6} ms"


def plain_objective(query: np.ndarray, key: np.ndarray, mask: np.ndarray) -> float:
    dots = query @ key.T
    norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
    distances = 1 - dots / norms
    return -float(np.corrcoef(dots[mask], distances[mask])[0, 1])


def softmax(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    logits = np.where(mask, logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def median(function: Callable[[], object], times: int) -> float:
    """Median of the seconds that a call takes, after one to warm up."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


if __name__ == "__main__":
    for what, seconds, plain, goal in rows():
        ratio = plain / seconds
        print(f"{what:<55} {seconds * 1e3:>9.2f} ms {plain * 1e3:>9.2f} ms {ratio:>7.0f} ×  {goal}")
