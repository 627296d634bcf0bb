"""What a brush goes around: a rectangle or a lasso, and which of very many points lie in it.

Exact for every point: a grid only tells most of them apart at once, and those near the outline are
looked at one by one. Knows no Qt and no document; may run in a worker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.lazy import lazy
from attnviz_gui.ui.views.raster import CHUNK

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Float = npt.NDArray[np.floating]
    BoolArray = npt.NDArray[np.bool_]

MOST_CELLS = 1 << 20  # of the grid
FEW = 256  # points that are looked at one by one, without a grid
_OUT, _IN, _NEAR = 0, 1, 2


@dataclass(frozen=True)
class Region:
    """A closed outline in pixels; a point on its left or upper edge is in it.

    Parameters
    ----------
    points
        The corners (x, y) of a lasso, which closes itself and counts as even and odd; of a
        rectangle, two that lie across from each other.
    """

    points: tuple[tuple[float, float], ...]
    rectangle: bool = False

    @lazy
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        x, y = zip(*self.points, strict=True)
        return min(x), min(y), max(x), max(y)

    def moved(self, dx: float, dy: float) -> Region:
        """Return the same elsewhere."""
        return Region(tuple((x + dx, y + dy) for x, y in self.points), self.rectangle)

    def contains(self, x: Float, y: Float) -> BoolArray:
        """Return which points lie in it, (n,); NaN lies nowhere."""
        inside = np.zeros(len(x), dtype=bool)
        for start in range(0, len(x), CHUNK):
            part = slice(start, start + CHUNK)
            inside[part] = self._contains(x[part], y[part])
        return inside

    def _contains(self, x: Float, y: Float) -> BoolArray:
        left, top, right, bottom = self.bounds
        inside: BoolArray = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        if self.rectangle:
            return inside
        rows = np.flatnonzero(inside)
        if rows.size <= FEW:
            inside[rows] = self._crossings(x[rows], y[rows])
            return inside
        corner, size, grid = self._grid
        column = ((x[rows] - corner[0]) / size).astype(np.intp)
        row = ((y[rows] - corner[1]) / size).astype(np.intp)
        kind = grid[row, column]
        inside[rows] = kind == _IN
        near = rows[kind == _NEAR]
        inside[near] = self._crossings(x[near], y[near])
        return inside

    def _crossings(self, x: Float, y: Float) -> BoolArray:
        """Return which points have an odd number of edges at their right, one by one."""
        odd = np.zeros(len(x), dtype=bool)
        for (x0, y0), (x1, y1) in self._edges:
            across = (y0 <= y) != (y1 <= y)
            if across.any():
                odd[across] ^= x[across] < x0 + (y[across] - y0) / (y1 - y0) * (x1 - x0)
        return odd

    @property
    def _edges(self) -> Sequence[tuple[tuple[float, float], tuple[float, float]]]:
        return [*zip(self.points, self.points[1:] + self.points[:1], strict=True)]

    @lazy
    def _grid(self) -> tuple[tuple[float, float], float, npt.NDArray[np.uint8]]:
        """The corner of a grid, the side of its cells, and what each is: out, in, or near an edge.

        (rows, columns), with a margin of two cells.
        """
        left, top, right, bottom = self.bounds
        size = max(1.0, math.sqrt((right - left) * (bottom - top) / MOST_CELLS))
        corner = left - 2 * size, top - 2 * size
        columns = math.ceil((right - left) / size) + 5
        rows = math.ceil((bottom - top) / size) + 5
        flips = np.zeros((rows, columns + 1), dtype=np.int32)
        near = np.zeros((rows, columns), dtype=bool)
        for edge in self._edges:
            (x0, y0), (x1, y1) = [((x - corner[0]) / size, (y - corner[1]) / size) for x, y in edge]
            # Points along the edge, half a cell apart: with their neighbours, all that it touches.
            steps = np.linspace(0, 1, math.ceil(2 * max(abs(x1 - x0), abs(y1 - y0))) + 2)
            near[(y0 + steps * (y1 - y0)).astype(int), (x0 + steps * (x1 - x0)).astype(int)] = True
            # Cells right of where it crosses the middle of a row change from out to in and back.
            first, last = sorted((math.ceil(y0 - 0.5), math.ceil(y1 - 0.5)))
            if last > first:
                row = np.arange(first, last)
                cross = x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
                np.add.at(flips, (row, np.ceil(cross - 0.5).astype(int)), 1)
        kind = (np.cumsum(flips, axis=1)[:, :columns] % 2).astype(np.uint8)
        wide = near.copy()
        wide[1:] |= near[:-1]
        wide[:-1] |= near[1:]
        near = wide.copy()
        near[:, 1:] |= wide[:, :-1]
        near[:, :-1] |= wide[:, 1:]
        kind[near] = _NEAR
        return corner, size, kind
