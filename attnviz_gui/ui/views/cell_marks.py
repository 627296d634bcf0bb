"""What of a matrix is selected or found: bars beside its rows and columns, the other cells pale.

Laid over the matrix; knows nothing of documents, and never changes the image beneath.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter

from attnviz_gui.ui.views.matrix_item import shape_in_pixels, strongest

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.session.selection import Marks
    from attnviz_gui.ui.theme import Theme

    BoolArray = npt.NDArray[np.bool_]

PALE = 0.6  # how far cells that are not lit fade
WIDE = 3.0  # pixels: of a bar
APART = 1.5  # between the matrix and the bars


class CellVeil(pg.GraphicsObject):
    """Lets the cells fade that are not lit; a pixel with a lit cell stays as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._lit: npt.NDArray[np.float32] | None = None
        self._color = 0
        self._image = QImage()
        self._made_for: tuple[int, int] | None = None
        self.setZValue(5)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)

    def set_lit(self, lit: BoolArray | None) -> None:
        """Take which cells are lit, (rows, columns); None: nothing fades."""
        self.prepareGeometryChange()
        self._lit = None if lit is None else lit.astype(np.float32)
        self._made_for = None
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        ground = theme.color("ground")
        parts = (round(PALE * v) for v in (ground.red(), ground.green(), ground.blue()))
        red, green, blue = parts
        self._color = (round(PALE * 255) << 24) | (red << 16) | (green << 8) | blue
        self._made_for = None
        self.update()

    def boundingRect(self) -> QRectF:
        """The matrix."""
        if self._lit is None:
            return QRectF()
        rows, columns = self._lit.shape
        return QRectF(0, 0, columns, rows)

    def paint(self, p: QPainter, *args: object) -> None:
        """Draw the veil."""
        if self._lit is None or not self._lit.size:
            return
        device = p.deviceTransform()
        shape = shape_in_pixels(
            self._lit.shape,
            math.hypot(device.m21(), device.m22()),
            math.hypot(device.m11(), device.m12()),
        )
        if shape != self._made_for:
            lit = self._lit if shape == self._lit.shape else strongest(self._lit, shape)
            self._image = QImage(shape[1], shape[0], QImage.Format.Format_ARGB32_Premultiplied)
            pixels = np.frombuffer(self._image.bits(), dtype=np.uint32).reshape(shape)
            pixels[:] = np.where(lit > 0, 0, self._color)
            self._made_for = shape
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        p.drawImage(self.boundingRect(), self._image)


class AxisBars(pg.GraphicsObject):
    """Bars along the rows and columns that are selected, and those that are found.

    Drawn in the pixels of the view, between the labels and the matrix; a row that is thinner than
    a pixel still has its pixel.
    """

    def __init__(self, box: pg.ViewBox, theme: Theme) -> None:
        super().__init__()
        self.box = box
        self.theme = theme
        self.marks: Marks | None = None
        self.setZValue(11)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        box.sigRangeChanged.connect(self._moved)
        box.sigResized.connect(self._moved)

    def set_marks(self, marks: Marks | None) -> None:
        """Take other marks."""
        if marks is not self.marks:
            self.marks = marks
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    def _moved(self, *_: object) -> None:
        self.prepareGeometryChange()
        self.update()

    def boundingRect(self) -> QRectF:
        """The view box, and the bars around it."""
        out = APART + 2 * WIDE + 1
        return self.box.geometry().adjusted(-out, -out, 1, 1)

    def paint(self, p: QPainter, *args: object) -> None:
        """Draw the bars: what is selected beside the matrix, what is found beside that."""
        if self.marks is None:
            return
        area = self.box.geometry()
        (x0, x1), (y0, y1) = self.box.viewRange()
        places = (
            (y0, area.height() / (y1 - y0), area.top(), area.height()),
            (x0, area.width() / (x1 - x0), area.left(), area.width()),
        )
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for place, (of, role) in enumerate(
            ((self.marks.selected, "text"), (self.marks.found, "found"))
        ):
            out = APART + (place + 1) * WIDE
            color = self.theme.color(role)
            for side, (first, cell, start, length) in enumerate(places):
                for begin, end in _runs(of[side]):
                    low = max((begin - first) * cell, 0.0)
                    high = min((end - first) * cell, length)
                    if high <= 0 or low >= length:
                        continue
                    high = max(high - (1 if cell > 6 else 0), low + 1)
                    if side == 0:
                        bar = QRectF(area.left() - out, start + low, WIDE, high - low)
                    else:
                        bar = QRectF(start + low, area.top() - out, high - low, WIDE)
                    p.fillRect(bar, color)


def _runs(on: BoolArray) -> list[tuple[int, int]]:
    """Return the beginnings and ends of the stretches that are True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
