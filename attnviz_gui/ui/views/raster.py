"""Points to pixels in numpy: where they fall, how many fall on one cell, which is nearest.

Knows no Qt and no document. Never drops a point in silence: what lies outside of the area is
counted in the border that `count_cells` returns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float32 = npt.NDArray[np.float32]

CHUNK = 1 << 16  # points at once: the work stays in the processor's cache


@dataclass(frozen=True)
class Area:
    """A rectangle of data and the pixels it fills; y grows upwards in data, downwards in pixels."""

    left: float
    right: float
    bottom: float
    top: float
    width: float
    height: float

    @property
    def per_x(self) -> float:
        """Pixels per unit of x."""
        return self.width / (self.right - self.left)

    @property
    def per_y(self) -> float:
        """Pixels per unit of y, downwards."""
        return self.height / (self.bottom - self.top)

    def across(self, x: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Pixels from the left edge, in the precision of `x`."""
        return (np.asarray(x) - self.left) * self.per_x

    def down(self, y: npt.ArrayLike) -> npt.NDArray[np.floating]:
        """Pixels from the upper edge, in the precision of `y`."""
        return (np.asarray(y) - self.top) * self.per_y


def count_cells(x: Float32, y: Float32, area: Area, cell: float) -> npt.NDArray[np.intp]:
    """Count the points in square cells that start in the area's upper left corner.

    Parameters
    ----------
    x, y : (n,) float32, finite
    cell : float
        Side of a cell in pixels of the area.

    Returns
    -------
    (rows + 2, columns + 2) int
        The first and last row and column hold the points outside of the area, so the sum is n.
    """
    columns, rows = math.ceil(area.width / cell), math.ceil(area.height / cell)
    stride = columns + 2
    counts = np.zeros((rows + 2) * stride, dtype=np.intp)
    per_x, per_y = area.per_x / cell, area.per_y / cell
    for start in range(0, len(x), CHUNK):
        column = x[start : start + CHUNK] - np.float32(area.left)
        column *= np.float32(per_x)
        np.floor(column, out=column)
        np.clip(column, -1, columns, out=column)
        row = y[start : start + CHUNK] - np.float32(area.top)
        row *= np.float32(per_y)
        np.floor(row, out=row)
        np.clip(row, -1, rows, out=row)
        # Whole numbers below 2^24 are exact in float32: one conversion instead of two.
        row *= np.float32(stride)
        row += column
        row += np.float32(stride + 1)
        counts += np.bincount(row.astype(np.intp), minlength=counts.size)
    return counts.reshape(rows + 2, stride)


def splat(
    across: Float32, down: Float32, shape: tuple[int, int], diameter: float, opacity: float
) -> npt.NDArray[np.float64]:
    """Draw each point as a disc with smooth edges; return how much ink lies on each pixel.

    Ink adds up: the opacity of a pixel is 1 - exp(-ink), as if the discs were painted one after
    the other.

    Parameters
    ----------
    across, down : (n,)
        Centres in pixels from the upper left corner; a pixel's own centre is at a half.
    shape : (rows, columns)
    diameter : float, in pixels
    opacity : float, 0 to below 1

    Returns
    -------
    (rows, columns) float64
    """
    sheet = sheet_of(across, down, shape, diameter, opacity)
    margin, (height, width) = sheet.margin, sheet.shape
    total: npt.NDArray[np.float64] = np.bincount(  # type: ignore[assignment]
        sheet.place, sheet.ink, minlength=height * width
    )
    rows, columns = shape
    return total.reshape(sheet.shape)[margin : margin + rows, margin : margin + columns]


class Sheet(NamedTuple):
    """Ink, pixel by pixel, on an image that has a margin for discs on its edge.

    Attributes
    ----------
    place, ink : (m,)
        Where ink lies, in pixels of the flat image, and how much: what lies on the same adds up.
    margin : int
    shape : (rows + 2 margin, columns + 2 margin)
    """

    place: npt.NDArray[np.intp]
    ink: npt.NDArray[np.float64]
    margin: int
    shape: tuple[int, int]


def sheet_of(
    across: Float32, down: Float32, shape: tuple[int, int], diameter: float, opacity: float
) -> Sheet:
    """Return the ink of `splat` before it is added up; the same parameters."""
    # Many discs are set to whole pixels; a few to the quarter of a pixel.
    phases = 4 if len(across) <= 4_000 else 1
    reach, offsets, stamps = _stamps(diameter, opacity, phases)
    rows, columns = shape
    margin = 2 * reach  # a disc may lie wholly outside, as far as it reaches
    stride = columns + 2 * margin
    inside = (
        (across > -reach) & (across < columns + reach) & (down > -reach) & (down < rows + reach)
    )
    if not inside.all():
        across, down = across[inside], down[inside]
    column, row = np.floor(across), np.floor(down)
    place = (row + margin).astype(np.intp) * stride + (column + margin).astype(np.intp)
    # One row per pixel of a stamp: long rows are what numpy adds and counts fastest.
    index = (offsets[:, :1] * stride + offsets[:, 1:]) + place  # (pixels of a stamp, n)
    if phases == 1:
        ink = stamps[0].repeat(place.size)
    else:
        phase = ((down - row) * phases).astype(np.intp) * phases
        phase += ((across - column) * phases).astype(np.intp)
        ink = stamps.T.take(phase, axis=1).ravel()
    return Sheet(index.ravel(), ink, margin, (rows + 2 * margin, stride))


def count_dots(
    across: Float32, down: Float32, shape: tuple[int, int], diameter: float,
    dot_weight: Float32 | None = None,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """Return how many round dots lie on each pixel, with smooth edges, (rows, columns).

    For very many dots: their centres are counted on whole pixels, and the counts are then spread
    over a dot's pixels, so that the time depends on the picture's size rather than on the dots.

    Parameters
    ----------
    across, down : (n,)
        Centres in pixels from the upper left corner; dots elsewhere are out of sight.
    shape : (rows, columns)
    diameter : float, in pixels
    dot_weight : (n,), optional
        What each dot counts, 1 without it.
    """
    reach, offsets, covered = _dot(diameter)
    rows, columns = shape
    # Centres a little out of sight still have a part in it.
    wide, high = columns + 2 * reach, rows + 2 * reach
    column = np.floor(across + np.float32(reach))
    row = np.floor(down + np.float32(reach))
    inside = (column >= 0) & (column < wide) & (row >= 0) & (row < high)
    place = row[inside].astype(np.intp) * wide + column[inside].astype(np.intp)
    counted = None if dot_weight is None else dot_weight[inside]
    counts = np.bincount(place, counted, minlength=high * wide)
    centres = counts.reshape(high, wide).astype(np.float32)
    total = np.zeros(shape, dtype=np.float32)
    part = np.empty(shape, dtype=np.float32)
    for (y, x), weight in zip(offsets, covered, strict=True):
        top, left = reach - y, reach - x
        np.multiply(centres[top : top + rows, left : left + columns], weight, out=part)
        total += part
    return total


@lru_cache(maxsize=16)
def _dot(diameter: float) -> tuple[int, list[tuple[int, int]], list[np.float32]]:
    """Return the reach of a dot in pixels, its pixels' (row, column) offsets and their cover."""
    radius = diameter / 2
    reach = math.ceil(radius + 0.5)
    side = np.arange(-reach, reach + 1)
    covered = np.clip(radius + 0.5 - np.hypot(side[:, None], side), 0, 1)
    used = np.argwhere(covered > 0)
    offsets = [(int(y) - reach, int(x) - reach) for y, x in used]
    return reach, offsets, [np.float32(covered[y, x]) for y, x in used]


@lru_cache(maxsize=64)
def _stamps(
    diameter: float, opacity: float, phases: int
) -> tuple[int, npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return reach, (pixels, 2) offsets and (phases^2, pixels) ink of a disc.

    A phase is where in its pixel the centre lies: row by row, then column by column.
    """
    radius = diameter / 2
    reach = math.ceil(radius + 0.5)
    side = np.arange(-reach, reach + 1)
    offsets = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    centre = (np.arange(phases) + 0.5) / phases - 0.5  # from the pixel's own centre
    centres = np.stack(np.meshgrid(centre, centre, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    apart = np.linalg.norm(offsets - centres, axis=-1)
    covered = np.clip(radius + 0.5 - apart, 0, 1)
    used = covered.any(axis=0)
    return reach, offsets[used], -np.log1p(-opacity * covered[:, used])


def nearest(
    x: Float32, y: Float32, area: Area, across: float, down: float, radius: float
) -> tuple[int, float] | None:
    """Return the point nearest to a pixel and how far it is, None where none is within `radius`."""
    at, reach = np.float32(area.left + across / area.per_x), np.float32(radius / area.per_x)
    columns = [
        np.flatnonzero(np.abs(x[start : start + CHUNK] - at) <= reach) + start
        for start in range(0, len(x), CHUNK)
    ]
    close = np.concatenate(columns) if columns else np.empty(0, dtype=np.intp)
    if not close.size:
        return None
    squares = (area.across(x[close]) - across) ** 2 + (area.down(y[close]) - down) ** 2
    best = int(squares.argmin())
    apart = math.sqrt(squares[best])
    return (int(close[best]), apart) if apart <= radius else None
