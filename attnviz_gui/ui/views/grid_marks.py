"""What is selected or found, in the cells of the grid: what is not lit turns pale.

As in a head's own matrix and plane. Knows tokens and pixels, and never what a cell's values are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QImage

from attnviz_gui.analysis.mosaic import edges, visible
from attnviz_gui.session.selection import Places, marks_at
from attnviz_gui.ui.views.cell_marks import PALE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy.typing as npt
    from PySide6.QtCore import QRectF

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.selection import Marks
    from attnviz_gui.ui.theme import Theme

    Place = tuple[int, int]
    BoolArray = npt.NDArray[np.bool_]
    Index = npt.NDArray[np.intp]


def marks_key(document: Document) -> tuple[Any, ...]:
    """Return what tells one selection, and what a search has found, from others."""
    return document.selection, document.found


def chosen(document: Document) -> tuple[Any, ...] | None:
    """Return the same where something is selected or found, else None."""
    return marks_key(document) if document.selection or document.found else None


def marks_of_layers(document: Document) -> dict[int, Marks]:
    """Return what is selected or found among the visible tokens of each layer of the text.

    Layers that count the same tokens have the same marks; where nothing is selected and nothing
    found, there are none.
    """
    picture, selection, found = document.picture, document.selection, document.found
    if picture is None or not (selection or found):
        return {}
    lists, text, show = document.token_lists, picture.text, document.options.show_special
    made: dict[Any, Marks] = {}
    marks = {}
    for layer, of in enumerate(lists.of_layer):
        queries, keys = visible(picture.capture, layer, text, show_special=show)
        which = of, len(queries), len(keys)
        if which not in made:
            first = [lists.part(one, text).start for one in of]
            places = Places(queries + first[0], keys + first[1], of)
            made[which] = marks_at(places, selection, found)
        marks[layer] = made[which]
    return marks


def lit_pixels(
    marks: Marks, down: Index, across: Index, size: tuple[int, int]
) -> npt.NDArray[np.bool_]:
    """Return which pixels of a cell show a lit pair, (len(down), len(across)).

    Parameters
    ----------
    down, across
        Some of the pixels of a cell, without gaps.
    size : (height, width)
        Pixels of the whole cell. A pixel on which many pairs fall is lit where one of them is.
    """
    bins, seen = [], []
    for pixels, length, n in zip((down, across), size, map(len, marks.whole), strict=True):
        at = pixels if length < n else ((pixels + 0.5) * n / length).astype(np.intp)
        bins.append(edges(n, min(length, n)))
        seen.append(at)
    first, last = [int(at[0]) for at in seen], [int(at[-1]) + 1 for at in seen]
    whole = [
        np.logical_or.reduceat(on, edge[:-1])[low:high]
        for on, edge, low, high in zip(marks.whole, bins, first, last, strict=True)
    ]
    lit = whole[0][:, None] | whole[1]
    if len(marks.pairs):
        ends = np.divmod(marks.pairs, len(marks.whole[1]))
        row, column = (
            np.searchsorted(edge, end, side="right") - 1 - low
            for edge, end, low in zip(bins, ends, first, strict=True)
        )
        here = (row >= 0) & (row < lit.shape[0]) & (column >= 0) & (column < lit.shape[1])
        lit[row[here], column[here]] = True
    return lit[(seen[0] - first[0])[:, None], seen[1] - first[1]]


def veil(
    rects: Mapping[Place, QRectF], marks: Mapping[int, Marks], size: tuple[int, int], dpr: float,
    theme: Theme,
) -> QImage:  # fmt: skip
    """Return what is laid over cells of attention: the ground over every pixel that is not lit."""
    height, width = size
    pale = np.zeros(size, bool)
    made: dict[Any, BoolArray] = {}
    for place, rect in rects.items():
        x0, x1 = round(rect.left() * dpr), round(rect.right() * dpr)
        y0, y1 = round(rect.top() * dpr), round(rect.bottom() * dpr)
        left, right, top, bottom = max(x0, 0), min(x1, width), max(y0, 0), min(y1, height)
        of = marks[place[0]]
        if left >= right or top >= bottom or not all(map(len, of.whole)):
            continue
        key = id(of), top - y0, bottom - y0, left - x0, right - x0, y1 - y0, x1 - x0
        if key not in made:
            made[key] = ~lit_pixels(
                of, np.arange(top, bottom) - y0, np.arange(left, right) - x0, (y1 - y0, x1 - x0)
            )
        pale[top:bottom, left:right] = made[key]
    ground = theme.color("ground")
    red, green, blue = (round(PALE * v) for v in (ground.red(), ground.green(), ground.blue()))
    color = np.uint32((round(PALE * 255) << 24) | (red << 16) | (green << 8) | blue)
    pixels = np.where(pale, color, np.uint32(0))
    image = QImage(
        pixels.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied
    ).copy()  # fmt: skip
    image.setDevicePixelRatio(dpr)
    return image
