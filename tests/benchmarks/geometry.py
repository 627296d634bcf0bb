"""What a slider and a fit compute, without a window, against the plain way with numpy and PCA.

The plain way goes through the matrix of pairs for every candidate of a curve, and fits
scikit-learn's PCA anew for every frame. Run alone: ``python -m tests.benchmarks geometry``.
"""

from __future__ import annotations

import functools
import statistics
import time
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from attnviz_gui.geometry.correlation import Candidates, HeadPairs, objective_named
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.live import LiveHead
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.pearson import pearson
from attnviz_gui.geometry.projection import JointPlane
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_DIM = 64
CANDIDATES = 201


def rows() -> list[tuple[object, ...]]:
    """Return what is measured, its median time, that of the plain way, and the goal.

    Both ways with one BLAS thread, as the application sets it: in several, small matrices wait for
    each other on a busy machine, and the comparison would be one of threads.
    """
    with threadpool_limits(1, "blas"):
        return [
            curve_row(128, 100),
            curve_row(512, 300),
            curve_row(512, 100, causal=True),
            curve_row(8192, 5000),
            *growth_rows(),
            texts_row(causal=False),
            texts_row(causal=True),
            fit_row(),
            corpus_row(),
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


def curve_row(n_tokens: int, times: int, *, causal: bool = False) -> tuple[object, ...]:
    """The objective over a whole curve of shifts, moments included.

    The plain way is timed on a few candidates, in turn with ours, and scaled to all of them.
    """
    query, key = random_vectors(n_tokens)
    mask = np.tri(n_tokens, dtype=bool) if causal else None
    ts = np.linspace(-1, 1, CANDIDATES)
    some = ts[:: CANDIDATES // 2] if n_tokens > 1000 else ts[:: CANDIDATES // 20]
    ours, plain = [], []
    curve(query, key, mask, ts)
    for t in some:
        start = time.perf_counter()
        values = curve(query, key, mask, ts)
        middle = time.perf_counter()
        expected = plain_candidate(query, key, t, 1.5, mask)
        end = time.perf_counter()
        assert abs(values[np.searchsorted(ts, t)] - expected) < 1e-10
        ours.append(middle - start)
        plain.append((end - middle) * CANDIDATES)
    what = f"{CANDIDATES} candidates, {n_tokens:,} tokens{', causal' * causal}"
    what += f" (plain: {len(some)}, scaled)"
    return what, statistics.median(ours), statistics.median(plain), f"≥ {times:,} × faster"


def growth_rows() -> list[tuple[object, ...]]:
    """How the closed form grows with the tokens, and the most memory it takes."""
    sizes = (512, 2048, 8192, 50_000)
    ts = np.linspace(-1, 1, CANDIDATES)
    taken = []
    for n in sizes:
        query, key = random_vectors(n)
        taken.append(median(functools.partial(curve, query, key, None, ts), 9 if n < 9000 else 3))
    exponent = float(np.polyfit(np.log(sizes), np.log(taken), 1)[0])
    tracemalloc.start()
    curve(query, key, None, ts)
    peak = tracemalloc.get_traced_memory()[1] / query.nbytes
    tracemalloc.stop()
    return [
        (
            "growth with the tokens, 512 to 50,000: exponent",
            exponent,
            None,
            "≤ 1.2",
            "{:.2f}".format,
        ),
        (
            "memory at 50,000 tokens, in arrays of the queries",
            peak,
            None,
            "O(T d)",
            "{:.1f}".format,
        ),
    ]


def texts_row(*, causal: bool) -> tuple[object, ...]:
    """A slider's correlation over 100 texts of 500 tokens, on a line, and how long to prepare."""
    query, key = random_vectors(50_000)
    texts = text_pairs(100, 500, causal=causal)
    start = time.perf_counter()
    moments = PairMoments(query, key, texts)
    prepared = time.perf_counter() - start
    positions = iter(np.linspace(-1, 1, 30))
    for _ in range(2):
        moments.at(np.full(HEAD_DIM, next(positions)))

    def ours() -> None:
        assert pearson(moments.at(np.full(HEAD_DIM, next(positions)))).value[0] > -1

    what = f"r over 100 texts × 500 tokens{', causal' * causal} (made ready in {prepared:.2f} s)"
    return what, median(ours, 20), None, "≤ 5 ms, ≤ 1.5 s"


def fit_row() -> tuple[object, ...]:
    """Fit of `cosine` for every head of a model of BERT-base's size."""
    capture = random_capture(512, layers=12, heads=12, head_dim=HEAD_DIM)
    heads = [capture.head(layer, head) for layer in range(12) for head in range(12)]

    def ours() -> None:
        for head in heads:
            assert np.isfinite(fit(head).value)

    return "fit of 144 heads, 512 tokens", once(ours), None, "≤ 3 s"


def corpus_row() -> tuple[object, ...]:
    """Every head of a corpus fitted, and projected with its best shift."""
    capture = random_capture(500, layers=12, heads=12, head_dim=HEAD_DIM, texts=10)
    texts = text_pairs(10, 500, causal=False)

    def ours() -> None:
        for layer in range(12):
            for head in range(12):
                several = [capture.head(layer, head, text) for text in range(10)]
                query = np.concatenate([one.query for one in several]).astype(np.float64)
                key = np.concatenate([one.key for one in several]).astype(np.float64)
                best = fit(TextsOfHead(query, key, texts)).normalization
                shift = best.vector(query, key)
                assert JointPlane(query, key).at(shift, best.scale).query_xy.shape == (5000, 2)

    return "144 heads of 10 texts × 500 tokens fitted, projected", once(ours), None, "≤ 60 s"


@dataclass(frozen=True)
class TextsOfHead:
    """One head on many texts, as `fit` takes it."""

    query: np.ndarray
    key: np.ndarray
    mask: TextPairs


def text_pairs(texts: int, length: int, *, causal: bool) -> TextPairs:
    parts = [slice(i * length, (i + 1) * length) for i in range(texts)]
    return TextPairs([(part, part, "causal" if causal else None) for part in parts])


def random_vectors(n_tokens: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, n_tokens, HEAD_DIM)) + rng.normal(size=(2, 1, HEAD_DIM))
    return query, key


def curve(
    query: np.ndarray, key: np.ndarray, mask: np.ndarray | None, ts: np.ndarray
) -> np.ndarray:
    """The closed form from the start, as a fit asks for it."""
    search = objective_named("cosine").prepare([HeadPairs(query, key, mask)])
    line = (np.zeros(HEAD_DIM), np.ones(HEAD_DIM))
    return search(Candidates([line], ts, np.ones(len(ts)))).value


def plain_candidate(
    query: np.ndarray, key: np.ndarray, shift: float, scale: float, mask: np.ndarray | None
) -> float:
    """One candidate as one would write it: normalise, all dot products, all distances, Pearson."""
    query, key = scale * query, (key + shift) / scale
    dots = query @ key.T
    norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(key, axis=1)
    distances = 1 - dots / norms
    if mask is None:
        return -float(np.corrcoef(dots.ravel(), distances.ravel())[0, 1])
    return -float(np.corrcoef(dots[mask], distances[mask])[0, 1])


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


def once(function: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def median(function: Callable[[], object], times: int) -> float:
    """Median of the seconds that a call takes, after one to warm up."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
