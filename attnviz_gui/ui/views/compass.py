"""Where the three axes of a turned space point: a small cross in the corner of a plot.

Knows nothing of the document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen

from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.ui.theme import Theme

ARM, CORNER = 22.0, 36.0  # pixels


class Compass(pg.GraphicsObject):
    """Three arms from one point, with the numbers of their components; the nearest on top."""

    def __init__(self, box: pg.ViewBox, theme: Theme) -> None:
        super().__init__()
        self.setParentItem(box)
        self._box, self._theme = box, theme
        self._turning: npt.NDArray[np.float64] = np.eye(3)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self.setZValue(20)
        box.sigResized.connect(self._moved)

    def _moved(self, *_: object) -> None:
        self.prepareGeometryChange()
        self.update()

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self._theme = theme
        self.update()

    def turn(self, turning: npt.NDArray[np.float64]) -> None:
        """Take another rotation, (3, 3)."""
        self._turning = turning
        self.update()

    def boundingRect(self) -> QRectF:
        """A square in the lower left corner."""
        room = self._box.rect()
        return QRectF(room.left(), room.bottom() - 2 * CORNER, 2 * CORNER, 2 * CORNER)

    def paint(self, p: QPainter, *_: object) -> None:
        """Draw the arms, the farthest first."""
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setFont(font(SMALL))
        middle = self.boundingRect().center()
        arms = self._turning.T  # one row for each axis
        for axis in np.argsort(arms[:, 2]).tolist():
            right, up, near = arms[axis].tolist()
            color = self._theme.color("text" if near >= 0 else "muted")
            p.setPen(QPen(color, 1.4))
            end = middle + QPointF(right, -up) * ARM
            p.drawLine(middle, end)
            name = middle + QPointF(right, -up) * (ARM + 8)
            place = QRectF(name.x() - 8, name.y() - 8, 16, 16)
            p.drawText(place, Qt.AlignmentFlag.AlignCenter, str(axis + 1))
