"""Cells of the grid become one image: values to colours, points to dots. Knows no document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QColor, QImage

from attnviz_gui.analysis.mosaic import MASKED, Density
from attnviz_gui.jobs.mosaic import Points
from attnviz_gui.ui.views.cell_marks import PALE
from attnviz_gui.ui.views.color_scale import mix
from attnviz_gui.ui.views.raster import count_dots

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt
    from PySide6.QtCore import QRectF

    from attnviz_gui.jobs.mosaic import Tile
    from attnviz_gui.session.selection import Marks
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.color_scale import ColorScale

    Place = tuple[int, int]
    Codes = npt.NDArray[np.uint8 | np.uint16]

GROUND, EMPTY, HIDDEN, FIRST = 0, 1, 2, 3  # codes: between cells, not there yet, masked, colours
N_COLORS = 256 - FIRST
FADED = 256  # added to the code of what is not lit


def viridis() -> npt.NDArray[np.uint8]:
    """Return the colours from low to high, (`N_COLORS`, 3)."""
    import pyqtgraph as pg

    table: npt.NDArray[np.uint8] = pg.colormap.get("viridis").getLookupTable(
        nPts=N_COLORS, alpha=False
    )
    return table


def masked_color(theme: Theme) -> QColor:
    """The colour of what the model does not allow, as in a head's own matrix."""
    return mix(theme.color("ground"), theme.color("faint"), 0.55)


def table(theme: Theme) -> npt.NDArray[np.uint32]:
    """Return the colour of each code, (512,) as 0xffRRGGBB; from `FADED` on, grey."""
    ground = theme.color("ground")
    quiet = [ground, mix(ground, theme.color("faint"), 0.3), masked_color(theme)]
    rgb = [(color.red(), color.green(), color.blue()) for color in quiet]
    colors = np.vstack([rgb, viridis()]).astype(np.uint32)
    # Grey, as pale colours would be read as others of the scale.
    cell, ink = (
        np.array([c.red(), c.green(), c.blue()], float)
        for c in (quiet[EMPTY], theme.color("muted"))
    )
    strength = np.linspace(0.15, 0.5, N_COLORS)[:, None]
    grey = (cell + (ink - cell) * strength).round().astype(np.uint32)
    colors = np.vstack([colors, colors[:FIRST], grey])
    whole = np.uint32(0xFF000000) | colors[:, 0] << 16 | colors[:, 1] << 8 | colors[:, 2]
    return whole.astype(np.uint32)


def codes_of(tile: Tile, scale: ColorScale) -> Codes:
    """Return a cell's values as codes, of the tile's own shape."""
    values = tile.values
    if isinstance(values, Density):
        codes = _count_codes(values.counts)
        if values.lit is None:
            return codes
        # The selected pairs by themselves, over a grey picture of all.
        faded = codes.astype(np.uint16) + np.uint16(FADED)
        return np.where(values.lit > 0, _count_codes(values.lit), faded)
    assert isinstance(values, np.ndarray)
    codes = (scale.place(values) * (N_COLORS - 1) + 0.5).astype(np.uint8) + np.uint8(FIRST)
    codes[values == MASKED] = HIDDEN
    return codes


def _count_codes(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Within a cell: the most pairs on a pixel are the last colour, none is the ground.

    Where no pixel has two, one pair looks as it does beside a pixel of two.
    """
    shown = np.log1p(counts)
    top = max(float(shown.max()), math.log1p(2))
    codes = (shown * ((N_COLORS - 1) / top)).astype(np.uint8) + np.uint8(FIRST)
    codes[counts == 0] = EMPTY
    return codes


def value_image(
    rects: Mapping[Place, QRectF], tiles: Iterable[Mapping[Place, Tile]], counts: Mapping[
        Place, tuple[int, int]], size: tuple[int, int], dpr: float, scale: ColorScale,
    colors: npt.NDArray[np.uint32],
) -> QImage:  # fmt: skip
    """Draw cells of values.

    Parameters
    ----------
    rects
        Where cells are, in logical pixels from the upper left.
    tiles
        What there is of them, from coarse to fine: later ones cover earlier ones.
    counts
        Visible queries and keys of each.
    size : (height, width) in pixels of the device.
    """
    height, width = size
    found = list(tiles)
    faded = any(
        isinstance(tile.values, Density) and tile.values.lit is not None
        for kind in found
        for tile in kind.values()
    )
    canvas = np.zeros(size, np.uint16 if faded else np.uint8)
    for place, rect in rects.items():
        x0, x1 = round(rect.left() * dpr), round(rect.right() * dpr)
        y0, y1 = round(rect.top() * dpr), round(rect.bottom() * dpr)
        left, right, top, bottom = max(x0, 0), min(x1, width), max(y0, 0), min(y1, height)
        if left >= right or top >= bottom:
            continue
        canvas[top:bottom, left:right] = EMPTY
        for kind in found:
            tile = kind.get(place)
            if tile is None or isinstance(tile.values, (str, Points)):
                continue
            codes = codes_of(tile, scale)
            if codes.shape == (y1 - y0, x1 - x0) and _is_whole(tile, counts[place]):
                canvas[top:bottom, left:right] = codes[
                    top - y0 : bottom - y0, left - x0 : right - x0
                ]
                continue
            down = _sample(
                np.arange(top, bottom) - y0, y1 - y0, tile, codes.shape[0], 0, counts[place]
            )
            across = _sample(
                np.arange(left, right) - x0, x1 - x0, tile, codes.shape[1], 1, counts[place]
            )
            inside = [np.flatnonzero(one >= 0) for one in (down, across)]
            if not inside[0].size or not inside[1].size:
                continue
            rows = slice(top + int(inside[0][0]), top + int(inside[0][-1]) + 1)
            columns = slice(left + int(inside[1][0]), left + int(inside[1][-1]) + 1)
            canvas[rows, columns] = codes[down[inside[0]][:, None], across[inside[1]]]
    return _image(colors[canvas], dpr)


def _is_whole(tile: Tile, count: tuple[int, int]) -> bool:
    rows, columns = tile.part.rows, tile.part.columns
    return (rows, columns) == ((0, count[0]), (0, count[1]))


def _sample(
    pixels: npt.NDArray[np.intp], length: int, tile: Tile, n: int, axis: int,
    count: tuple[int, int],
) -> npt.NDArray[np.intp]:  # fmt: skip
    """Return which of a tile's `n` values each pixel of a cell shows; -1 beyond the tile."""
    first, stop = (tile.part.rows, tile.part.columns)[axis]
    if isinstance(tile.values, Density):
        first, stop, entries = 0, n, n
    else:
        entries = count[axis]
    at = (pixels + 0.5) * entries / length - first
    index = np.floor(at * n / max(stop - first, 1)).astype(np.intp)
    return np.where((at >= 0) & (at < stop - first), np.clip(index, 0, n - 1), -1)


def point_image(
    rects: Mapping[Place, QRectF], tiles: Mapping[Place, Tile], size: tuple[int, int], dpr: float,
    theme: Theme, marks: Mapping[int, Marks] | None = None,
) -> QImage:  # fmt: skip
    """Draw cells of points: queries and keys as dots, where both are many as a mixture.

    With `marks` of each layer, points that are neither selected nor found are pale beneath the
    others.
    """
    sides: tuple[list[npt.NDArray[np.float32]], ...] = ([], [], [], [])
    lit: tuple[list[npt.NDArray[np.bool_]], ...] = ([], [])
    canvas = np.zeros(size, bool)
    side = max((rect.width() for rect in rects.values()), default=0.0) * dpr
    most = max(
        (len(t.values.query) for t in tiles.values() if isinstance(t.values, Points)), default=0
    )
    diameter = min(max(side / 24 if most < 64 else side / 48, 1.3 * dpr), 6 * dpr)
    inset = diameter / 2 + 1
    for place, rect in rects.items():
        x0, y0, w = rect.left() * dpr, rect.top() * dpr, rect.width() * dpr
        x1, y1 = round(x0 + w), round(y0 + w)
        canvas[max(round(y0), 0) : max(y1, 0), max(round(x0), 0) : max(x1, 0)] = True
        tile = tiles.get(place)
        if tile is None or not isinstance(tile.values, Points):
            continue
        room = max(w - 2 * inset, 1)
        for i, xy in enumerate((tile.values.query, tile.values.key)):
            sides[2 * i].append(xy[:, 0] * np.float32(room) + np.float32(x0 + inset))
            sides[2 * i + 1].append((1 - xy[:, 1]) * np.float32(room) + np.float32(y0 + inset))
            if marks:
                lit[i].append(marks[place[0]].lit[i])
    none = np.empty(0, np.float32)
    across = [np.concatenate(part) if part else none for part in sides]
    masks = [np.concatenate(part) if part else None for part in lit]
    layers = []  # how many queries and keys are on a pixel, and how much of their colour it takes
    for on, strength in ((False, 1 - PALE), (True, 1.0)) if marks else ((None, 1.0),):
        of = [slice(None) if on is None or mask is None else mask == on for mask in masks]
        query = count_dots(across[0][of[0]], across[1][of[0]], size, diameter)
        key = count_dots(across[2][of[1]], across[3][of[1]], size, diameter)
        total = query + key
        ink = np.float32(strength) * (1 - np.exp(-1.6 * total))
        layers.append((ink, query / np.maximum(total, np.float32(1e-9))))
    ground = theme.color("ground")
    cell = mix(ground, theme.color("faint"), 0.3)
    out = np.full(size, 0xFF000000, np.uint32)
    for shift, name in ((16, "red"), (8, "green"), (0, "blue")):
        back, q, k = (
            float(getattr(color, name)())
            for color in (cell, theme.color("query"), theme.color("key"))
        )
        value = np.full(size, back, np.float32)
        for ink, share in layers:
            value += (k + (q - k) * share - value) * ink
        whole = np.where(canvas, value, float(getattr(ground, name)()))
        out |= whole.astype(np.uint32) << np.uint32(shift)
    return _image(out, dpr)


def _image(pixels: npt.NDArray[np.uint32], dpr: float) -> QImage:
    height, width = pixels.shape
    pixels = np.ascontiguousarray(pixels)
    image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32).copy()
    image.setDevicePixelRatio(dpr)
    return image
