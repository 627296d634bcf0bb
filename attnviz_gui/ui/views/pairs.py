"""The pairs of one frame as points: x = cosine distance, y = dot product.

Knows no Qt; may run in a worker. Only pairs that the mask allows are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnviz_gui.geometry.live import LiveHead
from attnviz_gui.ui.views.raster import CHUNK

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame

    Index = npt.NDArray[np.intp]
    Float64 = npt.NDArray[np.float64]
    Which = Index | Sequence[int] | slice


class Line(NamedTuple):
    """The regression line y = slope x + intercept, where it has points."""

    slope: float
    intercept: float
    left: float
    right: float


class Extent(NamedTuple):
    """The smallest rectangle around points and their line."""

    left: float
    right: float
    bottom: float
    top: float

    def union(self, other: Extent | None) -> Extent:
        """Return the smallest rectangle around both."""
        if other is None:
            return self
        return Extent(
            min(self.left, other.left),
            max(self.right, other.right),
            min(self.bottom, other.bottom),
            max(self.top, other.top),
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Points of one frame.

    Attributes
    ----------
    x, y : (n,) float32
        Cosine distance and dot product.
    line : Line or None
        None where all x are the same.
    extent : Extent or None
        None where there is no point.
    n_undefined : int
        Pairs without a cosine distance, because a vector is zero; they have no point.
    whole : bool
        False where only some of the queries were taken.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    line: Line | None
    extent: Extent | None
    n_undefined: int
    whole: bool
    _queries: Index | None
    _index: Index | None
    _n_keys: int

    def __len__(self) -> int:
        return len(self.x)

    def pair(self, point: int) -> tuple[int, int]:
        """Return the query and the key of a point."""
        flat = point if self._index is None else int(self._index[point])
        query, key = divmod(flat, self._n_keys)
        return (query if self._queries is None else int(self._queries[query])), key


def take_pairs(frame: Frame, mask: npt.NDArray[np.bool_], queries: Index | None = None) -> Pairs:
    """Return the pairs of a frame that the mask allows, of some queries or of all.

    Parameters
    ----------
    mask : (T_q, T_k)
    queries : (n,) int or None
    """
    if queries is not None:
        frame, mask = part(frame, queries), mask[queries]
    allowed = int(np.count_nonzero(mask))
    if not all(directed.all() for directed in _directed(frame)):
        mask = mask & np.logical_and.outer(*_directed(frame))
    n = int(np.count_nonzero(mask))
    x, y = frame.distances.ravel(), frame.dots.ravel()
    index = None
    if n < mask.size:
        index = np.flatnonzero(mask)
        x, y = x.take(index), y.take(index)
    extent = line = None
    if x.size:
        extent = Extent(float(x.min()), float(x.max()), float(y.min()), float(y.max()))
        line = _line(x, y, extent.left, extent.right)
        if line is not None:
            ends = [line.slope * at + line.intercept for at in (line.left, line.right)]
            extent = extent._replace(bottom=min(extent.bottom, *ends), top=max(extent.top, *ends))
    return Pairs(
        x.astype(np.float32), y.astype(np.float32), line, extent,
        allowed - n, queries is None, queries, index, mask.shape[1],
    )  # fmt: skip


def pair_points(
    frames: Sequence[Frame], queries: Which = slice(None), keys: Which = slice(None)
) -> list[Float64]:
    """Return (n, 2) points for each frame: the pairs of these queries and keys that have one."""
    parts = [part(frame, queries, keys) for frame in frames]
    drawn = parts[0].live.mask.copy()
    for some in parts:
        drawn &= np.logical_and.outer(*_directed(some))
    return [np.column_stack([some.distances[drawn], some.dots[drawn]]) for some in parts]


def part(frame: Frame, queries: Which, keys: Which = slice(None)) -> Frame:
    """Return the same a and c for some of the queries and keys."""
    live = frame.live
    some = LiveHead(
        live.query[queries], live.key[keys], live.attention[queries][:, keys],
        live.mask[queries][:, keys], live.scaling,
    )  # fmt: skip
    return some.frame(frame.shift, frame.scale)


def _directed(frame: Frame) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Queries and keys that have a direction: a zero vector has none."""
    return (frame.query != 0).any(axis=1), (frame.key != 0).any(axis=1)


def _line(x: Float64, y: Float64, left: float, right: float) -> Line | None:
    """Least squares, as numpy.polyfit gives it."""
    mean = float(x.mean())
    if right - left <= 1e-9 * max(abs(mean), 1e-3):
        return None
    products = squares = 0.0
    for start in range(0, x.size, CHUNK):
        apart = x[start : start + CHUNK] - mean
        # einsum, not @: a sum so short is slower in threads, and waits for them on busy cores.
        products += float(np.einsum("i,i", apart, y[start : start + CHUNK]))
        squares += float(np.einsum("i,i", apart, apart))
    slope = products / squares
    return Line(slope, float(y.mean()) - slope * mean, left, right)


def padded(low: float, high: float) -> tuple[float, float]:
    """Leave a little room at both ends; make room where there is none."""
    room = 0.05 * (high - low)
    if room <= 1e-9 * max(abs(low), abs(high), 1e-3):
        room = max(0.1 * max(abs(low), abs(high)), 0.1)
    return low - room, high + room


def grown(low: float, high: float, least: float, most: float) -> tuple[float, float]:
    """Widen a range that does not hold its points, by more than it needs at once."""
    more = 0.2 * (max(high, most) - min(low, least))
    return (least - more if least < low else low), (most + more if most > high else high)
