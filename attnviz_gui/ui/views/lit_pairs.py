"""The pairs of a scatter that are lit or brushed: found in the arrays, never in what is drawn.

Knows no Qt and no view; what goes through all pairs may run in a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnviz_gui.ui.views.pair_sources import AllTexts, Unwanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from attnviz_gui.session.selection import Marks
    from attnviz_gui.ui.views.pair_sources import Source, Wanted
    from attnviz_gui.ui.views.pairs import Pairs
    from attnviz_gui.ui.views.raster import Area
    from attnviz_gui.ui.views.region import Region

    Float32 = npt.NDArray[np.float32]
    IndexArray = npt.NDArray[np.intp]
    BoolArray = npt.NDArray[np.bool_]
    Block = tuple[int, int, Float32, Float32, BoolArray | None]

ROWS = 1 << 19  # pairs at once


class Lit(NamedTuple):
    """Lit pairs as points, (n,) each."""

    x: Float32
    y: Float32

    @classmethod
    def none(cls) -> Lit:
        """Return no points."""
        return cls(np.zeros(0, np.float32), np.zeros(0, np.float32))


def lit_rows(pairs: Pairs, marks: Marks) -> IndexArray:
    """Return which points of listed pairs are lit."""
    query, key = marks.whole
    flat = np.arange(len(pairs.x)) if pairs.index is None else pairs.index
    n_keys = max(len(key), 1)
    lit = np.zeros(len(flat), dtype=bool)
    if query.any() or key.any():
        i = flat // n_keys
        lit |= query[i]
        lit |= key[flat - i * n_keys]
    if len(marks.pairs) and len(flat):
        at = np.searchsorted(flat, marks.pairs)
        at[at == len(flat)] = 0
        lit[at[flat[at] == marks.pairs]] = True
    return np.flatnonzero(lit)


def lit_of_all(source: AllTexts, marks: Marks, wanted: Wanted) -> Lit:
    """Return the lit pairs of all texts, after the normalisation; text by text.

    Raises
    ------
    Unwanted
        When nobody waits any more.
    """
    live, n_keys = source.corpus.live, len(marks.whole[1])
    parts: list[tuple[Float32, Float32]] = []
    bounds = live.query_start * n_keys
    for text in range(live.n_texts):
        queries, keys = live.queries(text), live.keys(text)
        query, key = marks.whole[0][queries], marks.whole[1][keys]
        first, last = np.searchsorted(marks.pairs, bounds[text : text + 2])
        if not (query.any() or key.any() or last > first):
            continue
        if not wanted():
            raise Unwanted
        i, j = np.divmod(marks.pairs[first:last], n_keys)
        lit = query[:, None] | key
        lit[i - queries.start, j - keys.start] = True
        mask = live.masks[text]
        if mask is not None:
            lit &= mask
        for rows in live.row_blocks(text):
            x, y = source.frame.block(text, rows)
            kept = lit[rows] & np.isfinite(x)
            parts.append((x[kept], y[kept]))
    if not parts:
        return Lit.none()
    x, y = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Lit(x, y)


def pairs_inside(
    source: Source, region: Region, area: Area, wanted: Wanted
) -> tuple[IndexArray, IndexArray]:
    """Return the queries and keys, (n,) each, of all pairs whose points lie in a region.

    After the normalisation, all pairs that the mask allows, counted as the source counts them.

    Parameters
    ----------
    region
        In pixels of the area; what is out of sight is not in it.

    Raises
    ------
    Unwanted
        When nobody waits any more.
    """
    queries, keys = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
    for blocks in _together(_blocks(source)):
        if not wanted():
            raise Unwanted
        # Of many small texts at once: the outline's edges are then gone through once for them.
        across = area.across(np.concatenate([x.ravel() for _, _, x, _, _ in blocks]))
        down = area.down(np.concatenate([y.ravel() for _, _, _, y, _ in blocks]))
        inside = region.contains(across, down)
        inside &= (across >= 0) & (across < area.width) & (down >= 0) & (down < area.height)
        end = 0
        for first, start, x, _, allowed in blocks:
            begin, end = end, end + x.size
            here = inside[begin:end]
            if allowed is not None:
                here = here & allowed.ravel()
            i, j = np.divmod(np.flatnonzero(here), x.shape[1] or 1)
            queries.append(i + first)
            keys.append(j + start)
    return np.concatenate(queries), np.concatenate(keys)


def _together(blocks: Iterator[Block]) -> Iterator[list[Block]]:
    """Yield blocks in lists that hold `ROWS` pairs or a little more."""
    some: list[Block] = []
    size = 0
    for block in blocks:
        some.append(block)
        size += block[2].size
        if size >= ROWS:
            yield some
            some, size = [], 0
    if some:
        yield some


def _blocks(source: Source) -> Iterator[Block]:
    """Yield the first query and key of blocks of pairs, their x and y, and which are allowed."""
    if isinstance(source, AllTexts):
        live = source.corpus.live
        for text in range(live.n_texts):
            mask = live.masks[text]
            for rows in live.row_blocks(text):
                x, y = source.frame.block(text, rows)
                first = live.queries(text).start + rows.start
                yield first, live.keys(text).start, x, y, None if mask is None else mask[rows]
        return
    frame, mask = source.frame, source.picture.mask
    step = max(ROWS // max(mask.shape[1], 1), 1)
    for start in range(0, len(mask), step):
        rows = slice(start, start + step)
        x, y = frame.distances[rows].astype(np.float32), frame.dots[rows].astype(np.float32)
        yield start, 0, x, y, mask[rows]
