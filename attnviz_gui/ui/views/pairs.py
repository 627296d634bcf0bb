"""The pairs of one frame as points: x = cosine distance, y = dot product.

Knows no Qt; may run in a worker. Only pairs that the mask allows are counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnviz_gui.ui.views.raster import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.geometry.sample import PairSample
    from attnviz_gui.geometry.together import TextPart, TextsFrame

    Index = npt.NDArray[np.intp]
    Float64 = npt.NDArray[np.float64]
    Which = Index | Sequence[int] | slice

EVERYWHERE = (-math.inf, math.inf)
DISTANCES = (-0.05, 2.05)  # where cosine distances can be, and a little room


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
        Cosine distance and dot product; empty where so many pairs are only counted.
    line : Line or None
        None where all x are the same.
    extent : Extent or None
        None where there is no point.
    n_undefined : int
        Pairs without a cosine distance, because a vector is zero; they have no point.
    whole : bool
        False where only a part of the pairs was taken.
    n : int
        The number of points.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    line: Line | None
    extent: Extent | None
    n_undefined: int
    whole: bool
    n: int
    _index: Index | None = None
    _n_keys: int = 1

    def __len__(self) -> int:
        return self.n

    @property
    def index(self) -> Index | None:
        """Of listed points, their query * T_k + key, rising; None where they are all of them."""
        return self._index

    def pair(self, point: int) -> tuple[int, int]:
        """Return the query and the key of a point."""
        flat = point if self._index is None else int(self._index[point])
        return divmod(flat, self._n_keys)


def take_pairs(
    frame: Frame, mask: npt.NDArray[np.bool_], sample: PairSample | None = None
) -> Pairs:
    """Return the pairs of a frame that the mask (T_q, T_k) allows, or a sample of them."""
    if sample is not None:
        return _of_sample(frame, sample, mask.shape[1])
    allowed = int(np.count_nonzero(mask))
    directed = [(vectors != 0).any(axis=1) for vectors in (frame.query, frame.key)]
    if not all(side.all() for side in directed):
        mask = mask & np.logical_and.outer(*directed)
    n = int(np.count_nonzero(mask))
    x, y = frame.distances.ravel(), frame.dots.ravel()
    index = None
    if n < mask.size:
        index = np.flatnonzero(mask)
        x, y = x.take(index), y.take(index)
    line, extent = line_and_extent(x, y)
    return Pairs(
        x.astype(np.float32), y.astype(np.float32), line, extent,
        allowed - n, True, n, index, mask.shape[1],
    )  # fmt: skip


def _of_sample(frame: Frame, sample: PairSample, n_keys: int) -> Pairs:
    """Return a sample's pairs: of q'.k', only what the shift adds to each query's is new."""
    live = frame.live
    added = frame.query @ frame.key[0] - live.query @ live.key[0]
    y = sample.product + added.astype(np.float32).take(sample.query)
    weights = [1 / np.where(norm > 0, norm, np.nan) for norm in _norms(frame)]
    x = y * weights[0].astype(np.float32).take(sample.query)
    x *= weights[1].astype(np.float32).take(sample.key)
    np.subtract(1, x, out=x)
    np.clip(x, 0, 2, out=x)
    return _listed(x, y, sample, n_keys)


def take_texts(frame: TextsFrame, sample: PairSample) -> Pairs:
    """Return a sample's pairs of a frame of many texts; their line is that of all pairs."""
    exact = partial(exact_line, frame)
    return _listed(*frame.points(sample), sample, len(frame.live.key), exact)


def exact_line(frame: TextsFrame, left: float, right: float) -> Line | None:
    """Return the regression line through all pairs of all texts, from their closed form."""
    _, dot, cosine, _, together, cosines, _ = frame.sums.table[:, 0].tolist()
    if not (math.isfinite(frame.correlation) and cosines > 0):
        return None
    slope = -together / cosines
    return Line(slope, dot - slope * (1 - cosine), left, right)


def take_text(part: TextPart, mask: npt.NDArray[np.bool_]) -> Pairs:
    """Return the pairs of one of many texts that the mask (T_q, T_k) allows."""
    x, y = (values.ravel() for values in part.whole.block(part.text))
    index = np.flatnonzero(mask.ravel() & np.isfinite(x))
    x, y = x.take(index), y.take(index)
    line, extent = line_and_extent(x, y)
    return Pairs(x, y, line, extent, 0, True, len(x), index, mask.shape[1])


def _listed(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], sample: PairSample, n_keys: int,
    line_of: Callable[[float, float], Line | None] | None = None,
) -> Pairs:  # fmt: skip
    """Return the sample's pairs that have a point, with a line of theirs or the one given."""
    index = sample.entries(n_keys)
    undefined = 0
    if x.size and np.isnan(x.min()):
        kept = np.isfinite(x)
        undefined = int(x.size - np.count_nonzero(kept))
        x, y, index = x[kept], y[kept], index[kept]
    line, extent = line_and_extent(x, y, line_of)
    return Pairs(x, y, line, extent, undefined, sample.whole, len(x), index, n_keys)


def line_and_extent(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.floating],
    line_of: Callable[[float, float], Line | None] | None = None,
) -> tuple[Line | None, Extent | None]:  # fmt: skip
    """Return the regression line through points and the rectangle around both; None of neither.

    `line_of` gives the line between two x where it is known already.
    """
    if not x.size:
        return None, None
    extent = Extent(float(x.min()), float(x.max()), float(y.min()), float(y.max()))
    line_of = line_of or partial(_line, x, y)
    line = line_of(extent.left, extent.right)
    return line, around(extent, line)


def around(extent: Extent, line: Line | None) -> Extent:
    """Return the rectangle around points and their line."""
    if line is None:
        return extent
    ends = [line.slope * at + line.intercept for at in (line.left, line.right)]
    return extent._replace(bottom=min(extent.bottom, *ends), top=max(extent.top, *ends))


def pair_points(
    frames: Sequence[Frame | TextPart], mask: npt.NDArray[np.bool_],
    queries: Which = slice(None), keys: Which = slice(None),
) -> list[Float64]:  # fmt: skip
    """Return (n, 2) points for each frame: the pairs of these queries and keys that have one.

    Parameters
    ----------
    mask : (T_q, T_k)
        Of the text that the queries and keys are counted in.
    """
    rows, columns = np.arange(mask.shape[0])[queries], np.arange(mask.shape[1])[keys]
    i, j = np.nonzero(mask[rows][:, columns])
    values = [np.column_stack(_values(frame, rows[i], columns[j])) for frame in frames]
    drawn = np.all([np.isfinite(each).all(axis=1) for each in values], axis=0)
    return [each[drawn] for each in values]


def _values(frame: Frame | TextPart, query: Index, key: Index) -> tuple[Float64, Float64]:
    """Return cosine distance and dot product of pairs (n,); NaN for a zero vector's."""
    from attnviz_gui.geometry.together import TextPart

    if isinstance(frame, TextPart):
        return frame.values(query, key)
    q, k = frame.query[query], frame.key[key]
    dots: Float64 = np.einsum("nd,nd->n", q, k)
    norms = np.sqrt(np.einsum("nd,nd->n", q, q) * np.einsum("nd,nd->n", k, k))
    cosine = np.divide(dots, norms, out=np.full(norms.shape, np.nan), where=norms > 0)
    return np.clip(1 - cosine, 0, 2), dots


def _norms(frame: Frame) -> tuple[Float64, Float64]:
    """Return the lengths of q' and k', (T_q,) and (T_k,)."""
    query, key = (np.sqrt(np.einsum("td,td->t", v, v)) for v in (frame.query, frame.key))
    return query, key


def _line(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], left: float, right: float
) -> Line | None:
    """Least squares, as numpy.polyfit gives it."""
    mean = float(x.mean())
    rounding = max(1e-9, 4 * float(np.finfo(x.dtype).eps))
    if right - left <= rounding * max(abs(mean), 1e-3):
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


def grown(
    low: float, high: float, least: float, most: float, bounds: tuple[float, float] = EVERYWHERE
) -> tuple[float, float]:
    """Return a range that holds its points with room to move, and all that it showed before.

    Beyond `bounds` no point can be, so that no room is made there.
    """
    more = 0.35 * (max(high, most) - min(low, least))
    bottom, top = max(least - more, bounds[0]), min(most + more, bounds[1])
    return min(low, least, bottom), max(high, most, top)
