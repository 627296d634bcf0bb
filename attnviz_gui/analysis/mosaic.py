"""What one cell of a mosaic of all heads shows: attention, points or pairs, at a cell's pixels.

A head's attention is computed a block of queries at a time and reduced straight away, so that no
head's matrix is ever there as a whole. No entry is left out: a pixel shows the largest, or the
mean, of all the pairs that fall on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture, Head, LayerRecord

    Float32 = npt.NDArray[np.float32]
    BoolArray = npt.NDArray[np.bool_]
    Index = npt.NDArray[np.intp]

Pool = Literal["maximum", "mean"]
BLOCK = 1 << 17  # entries at once: 512 kB, which stays in a core's cache
MASKED = np.float32(-1)  # where the model allows no pair of a pixel


@dataclass(frozen=True)
class Part:
    """A rectangle of a head's visible tokens, and the pixels it is drawn on.

    Attributes
    ----------
    rows, columns : (first, stop)
        Among the visible queries and keys.
    height, width : int
        Pixels there are at most; where there are fewer entries, each entry is one value.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of what is computed."""
        (top, bottom), (left, right) = self.rows, self.columns
        return min(self.height, bottom - top), min(self.width, right - left)

    @property
    def exact(self) -> bool:
        """True where each value is one entry."""
        (top, bottom), (left, right) = self.rows, self.columns
        return self.shape == (bottom - top, right - left)


def visible(
    capture: Capture, layer: int, text: int, *, show_special: bool = True
) -> tuple[Index, Index]:
    """Return which queries and keys of a layer are shown, as a picture of a head shows them."""
    record, special = capture.records[text][layer], capture.special[text]
    sides = (
        (record.query.shape[1], record.query_tokens), (record.key.shape[1], record.key_tokens),
    )  # fmt: skip
    shown = []
    for n, own in sides:
        every = np.arange(n)
        if not show_special and own is None:
            plain = np.flatnonzero(~special)
            every = plain if plain.size else every
        shown.append(every)
    return shown[0], shown[1]


def edges(n: int, bins: int) -> Index:
    """Return where each of the bins begins that `n` things are dealt into, (bins + 1,)."""
    return np.arange(bins + 1) * n // max(bins, 1)


class Allowed:
    """The pooled masks of a layer's heads; equal ones are pooled once."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[BoolArray, Float32]] = {}

    def of(self, mask: BoolArray, queries: Index, keys: Index, part: Part) -> Float32:
        """Return how many allowed pairs fall on each pixel, `part.shape` float32."""
        # The mask is kept beside its count: as long as it lives, no other has its place.
        key = mask.ctypes.data, mask.strides, mask.shape, len(queries), len(keys), part
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = mask, _count(mask, queries, keys, part)
        return found[1]


def _count(mask: BoolArray, queries: Index, keys: Index, part: Part) -> Float32:
    height, width = part.shape
    rows, columns = queries[slice(*part.rows)], keys[slice(*part.columns)]
    down, across = edges(len(rows), height), edges(len(columns), width)
    out = np.empty((height, width), np.float32)
    for pixel in range(height):
        of = mask[rows[down[pixel] : down[pixel + 1]]]
        count = of.sum(axis=0, dtype=np.int32)
        out[pixel] = np.add.reduceat(count[columns], across[:-1])
    return out


def pooled_attention(
    record: LayerRecord, head: int, queries: Index, keys: Index, part: Part, pool: Pool,
    *, allowed: Allowed | None = None, stop: Callable[[], object] = lambda: None,
) -> Float32:  # fmt: skip
    """Return a head's attention at a cell's pixels, `part.shape` float32.

    Pixel (r, c) of h x w is the largest attention (or the mean over the allowed pairs) of queries
    floor(r n / h) to floor((r + 1) n / h) and the keys likewise; `MASKED` where no pair of them is
    allowed. The attention is the head's own, over all keys, not normalised again where some are
    hidden.

    Cost: O(T_q T_k d) for the queries of the part, memory O(T_k) for a few of them at a time.
    """
    of = record.head(head)
    height, width = part.shape
    rows, columns = queries[slice(*part.rows)], keys[slice(*part.columns)]
    down, across = edges(len(rows), height), edges(len(columns), width)
    whole = len(columns) == len(of.key)
    join = np.maximum if pool == "maximum" else np.add
    lines = np.zeros((height, len(columns)), np.float32)
    for start, stop_, weights in _weights(of, rows, down):
        stop()
        if not whole:
            weights = weights[:, columns]
        first, last = np.searchsorted(down, [start, stop_ - 1], side="right") - 1
        for line in range(first, last + 1):
            low, high = max(down[line], start) - start, min(down[line + 1], stop_) - start
            if high - low == 1:
                join(lines[line], weights[low], out=lines[line])
            else:
                join(lines[line], join.reduce(weights[low:high], axis=0), out=lines[line])
    out: Float32 = lines if width == len(columns) else join.reduceat(lines, across[:-1], axis=1)
    count = (allowed or Allowed()).of(of.mask, queries, keys, part)
    if pool == "mean":
        out = np.divide(out, np.maximum(count, 1), dtype=np.float32)
    return np.where(count > 0, out, MASKED)


def _weights(of: Head, rows: Index, down: Index) -> Iterator[tuple[int, int, Float32]]:
    """Yield blocks of rows of the attention: the first, the one after the last, the weights.

    The numbers are those of `Head.attention` to rounding. The next block takes the place of this.
    """
    n_keys = len(of.key)
    key = np.ascontiguousarray(of.key.T)
    step = max(1, BLOCK // max(n_keys, 1))
    buffer = np.empty((min(step, len(rows)), n_keys), np.float32)
    every = bool(of.mask.all())
    query = of.query if len(rows) == len(of.query) else of.query[rows]
    query = query * np.float32(of.scaling)
    for start in range(0, len(rows), step):
        end = min(start + step, len(rows))
        weights = buffer[: end - start]
        np.matmul(query[start:end], key, out=weights)
        if of.softcap is not None:
            weights /= np.float32(of.softcap)
            np.tanh(weights, out=weights)
            weights *= np.float32(of.softcap)
        if of.bias is not None:
            weights += of.bias[rows[start:end]]
        if not every:
            np.copyto(weights, np.float32(-np.inf), where=~of.mask[rows[start:end]])
        top = weights.max(axis=1, keepdims=True)
        if of.sink is not None:
            top = np.maximum(top, np.float32(of.sink))
        top = np.where(np.isfinite(top), top, np.float32(0))
        weights -= top
        np.exp(weights, out=weights)
        total = weights.sum(axis=1, keepdims=True)
        if of.sink is not None:
            total += np.exp(np.float32(of.sink) - top)
        weights *= 1 / np.where(total > 0, total, np.float32(1))
        yield start, end, weights


@dataclass(frozen=True, eq=False)
class Density:
    """How many allowed pairs have which product and which distance.

    Attributes
    ----------
    counts : (h, w) float32
        The distance grows upwards, from the last row to the first; the product to the right.
    dots, distances : (lowest, highest)
    lit : (h, w) float32 or None
        How many of these pairs are chosen; None where it was not asked.
    """

    counts: Float32
    dots: tuple[float, float]
    distances: tuple[float, float]
    lit: Float32 | None = None


def dot_distance(
    query: Float32, key: Float32, mask: BoolArray, height: int, width: int,
    *, chosen: BoolArray | None = None, stop: Callable[[], object] = lambda: None,
) -> Density:  # fmt: skip
    """Count the allowed pairs of a head by q·k (across) and |q - k| (upwards).

    With `chosen`, (T_q, T_k), those of the allowed pairs that it names are counted once more by
    themselves, at the same limits.

    Twice through all pairs, a block of queries at a time: for the limits, and for the counts.
    """
    squares = np.square(query).sum(axis=1)[:, None], np.square(key).sum(axis=1)[None]
    step = max(1, BLOCK // max(len(key), 1))
    every = bool(mask.all())
    lows, highs = np.full(2, np.inf), np.full(2, -np.inf)

    def blocks() -> Iterator[tuple[Float32, Float32]]:
        for start in range(0, len(query), step):
            stop()
            rows = slice(start, start + step)
            dots = query[rows] @ key.T
            distances = squares[0][rows] + squares[1] - 2 * dots
            np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
            if every:
                yield dots.ravel(), distances.ravel()
            else:
                yield dots[mask[rows]], distances[mask[rows]]

    for pair in blocks():
        for i, values in enumerate(pair):
            if values.size:
                lows[i] = min(lows[i], float(values.min()))
                highs[i] = max(highs[i], float(values.max()))
    counts = np.zeros(height * width, np.int64)
    lit = None if chosen is None else np.zeros_like(counts)
    if not np.isfinite(lows).all():
        none = np.zeros((height, width), np.float32)
        return Density(none, (0.0, 0.0), (0.0, 0.0), None if chosen is None else none)
    span = np.where(highs > lows, highs - lows, 1.0)
    for i, (dots, distances) in enumerate(blocks()):
        column = ((dots - np.float32(lows[0])) * np.float32(width / span[0])).astype(np.int32)
        row = ((distances - np.float32(lows[1])) * np.float32(height / span[1])).astype(np.int32)
        np.clip(column, 0, width - 1, out=column)
        np.clip(row, 0, height - 1, out=row)
        column += (height - 1 - row) * np.int32(width)
        counts += np.bincount(column, minlength=height * width)
        if lit is not None and chosen is not None:
            rows = slice(i * step, (i + 1) * step)
            these = chosen[rows].ravel() if every else chosen[rows][mask[rows]]
            lit += np.bincount(column[these], minlength=height * width)
    return Density(
        counts.reshape(height, width).astype(np.float32),
        (float(lows[0]), float(highs[0])), (float(lows[1]), float(highs[1])),
        None if lit is None else lit.reshape(height, width).astype(np.float32),
    )  # fmt: skip
