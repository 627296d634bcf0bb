"""What stands around the cells of the grid: names of layers and heads, and frames.

Knows where cells are, and never what they show.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen

from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    from collections.abc import Collection

    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.grid_layout import Lattice, Sight

    Place = tuple[int, int]  # layer, head


def paint_frames(
    p: QPainter, lattice: Lattice, sight: Sight, theme: Theme, here: Collection[Place],
    cursor: Place | None,
) -> None:  # fmt: skip
    """Frame the heads on show, and the one that the keys are on."""
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    p.setPen(QPen(theme.color("watched"), 2, j=Qt.PenJoinStyle.MiterJoin))
    for place in here:
        if place in lattice.cells:
            p.drawRect(sight.rect(lattice, place).adjusted(-1, -1, 1, 1))
    if cursor is not None and cursor not in here and cursor in lattice.cells:
        pen = QPen(theme.color("text"), 2, Qt.PenStyle.DotLine)
        p.setPen(pen)
        p.drawRect(sight.rect(lattice, cursor).adjusted(-1, -1, 1, 1))
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)


def paint_labels(
    p: QPainter, body: QRectF, lattice: Lattice, sight: Sight, theme: Theme, here: Place
) -> None:
    """Write layers and heads beside the cells in sight: as many as have room."""
    metrics = QFontMetricsF(font(SMALL))
    line = metrics.height()
    pitch, side = lattice.pitch * sight.scale, lattice.side * sight.scale
    muted, text = theme.color("muted"), theme.color("text")
    every = _every(1.05 * line / pitch)
    right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
    for row, (top, (layer, _)) in enumerate(zip(lattice.tops, lattice.rows, strict=True)):
        low, high = top * sight.scale - sight.y, top * sight.scale - sight.y + side
        low, high = max(low, 0.0), min(high, body.height())
        if high - low < min(line, side) * 0.8 or row % every:
            continue
        p.setPen(text if layer == here[0] else muted)
        at = QRectF(0, body.top() + (low + high - line) / 2, body.left() - 5, line)
        p.drawText(at, right, f"L{layer}")
    n = lattice.order.n_columns
    columns = lattice.order.columns
    words = [f"{i + 1}." for i in range(n)] if columns is None else [f"H{h}" for h in columns]
    room = max(metrics.horizontalAdvance(word) for word in words) + 6
    every = _every(room / pitch)
    for column in range(0, n, every):
        low = column * pitch - sight.x
        low, high = max(low, 0.0), min(low + side, body.width())
        if high - low < min(room, side) * 0.6:
            continue
        mine = columns is not None and columns[column] == here[1]
        p.setPen(text if mine else muted)
        middle = body.left() + (low + high) / 2
        at = QRectF(middle - room, body.top() - line - 2, 2 * room, line)
        p.drawText(at, Qt.AlignmentFlag.AlignCenter, words[column])
    p.setPen(muted)
    for y, label in lattice.headings:
        at_y = y * sight.scale - sight.y + (lattice.heading * (sight.scale - 1))
        if 0 <= at_y <= body.height() - line:
            at = QRectF(body.left(), body.top() + at_y + 1, body.width(), line)
            p.drawText(at, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, label)


def _every(need: float) -> int:
    """Return of how many labels one has room."""
    steps = (1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100)
    return next((n for n in steps if n >= need), max(math.ceil(need), 1))
