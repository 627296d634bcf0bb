"""The legend of a matrix: its colours from low to high with ticks, and what masked looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPen

from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from PySide6.QtGui import QColor, QPainter

    from attnviz_gui.ui.theme import Theme

WIDTH = 12.0  # of the colours


class ColorBar(pg.GraphicsObject):
    """Colours from low (bottom) to high (top), `height` pixels high, its origin at the top left.

    Parameters
    ----------
    title
        What the colours stand for.
    lines
        Called with the painter: more lines beneath the title.
    """

    def __init__(self, title: str, theme: Theme, lines: Callable[[QPainter], list[str]]) -> None:
        super().__init__()
        self.title = title
        self.theme = theme
        self.lines = lines
        self.height = 100.0
        self.ticks: list[tuple[float, str]] = []
        self.masked: QColor | None = None
        self._image = QImage()
        self._font = font(SMALL)
        self._metrics = QFontMetricsF(self._font)

    def set_colors(self, lut: npt.NDArray[np.uint8]) -> None:
        """Show the colours of a table, (n, 3)."""
        column = np.ascontiguousarray(lut[::-1])
        n = len(column)
        self._image = QImage(column.data, 1, n, 3, QImage.Format.Format_RGB888).copy()
        self.update()

    def set_scale(self, ticks: list[tuple[float, str]], masked: QColor | None) -> None:
        """Show other ticks (place from 0 to 1, text), and the colour of masked pairs if any."""
        self.ticks, self.masked = ticks, masked
        self.update()

    def set_height(self, height: float) -> None:
        """Stretch to this height."""
        if height != self.height:
            self.prepareGeometryChange()
            self.height = height

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    @property
    def width(self) -> float:
        """Width with the ticks and the title, the same whatever the scale."""
        words = (self.title, "pixel max")
        masked = WIDTH + 6 + self._metrics.horizontalAdvance("masked")
        return max(masked, *map(self._metrics.horizontalAdvance, words)) + 2

    def boundingRect(self) -> QRectF:
        """The bar, its ticks, and the title above."""
        above = 3 * self._metrics.height() + 8
        return QRectF(-2, -above, self.width + 60, self.height + above + 10)

    def paint(self, p: QPainter, *args: object) -> None:
        """Draw it."""
        p.setFont(self._font)
        line = self._metrics.height()
        text, muted = self.theme.color("text"), self.theme.color("muted")
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        words = [self.title, *self.lines(p)]
        for i, word in enumerate(words):
            p.setPen(text if i == 0 else muted)
            y = -6 - line / 2 - (len(words) - i) * line
            p.drawText(QRectF(0, y, self.boundingRect().width(), line), left, word)

        height = self.height
        if self.masked is not None:
            height -= line + 9
            swatch = QRectF(0, self.height - WIDTH, WIDTH, WIDTH)
            p.fillRect(swatch, self.masked)
            p.setPen(QPen(self.theme.color("faint"), 1))
            p.drawRect(swatch)
            p.setPen(text)
            p.drawText(QRectF(WIDTH + 6, swatch.center().y() - line / 2, 80, line), left, "masked")
        p.drawImage(QRectF(0, 0, WIDTH, height), self._image)

        every = max(int(-(-1.2 * line * (len(self.ticks) - 1) // max(height, 1))), 1)
        for place, word in self.ticks[::-every]:
            y = (1 - place) * height
            p.setPen(QPen(muted, 1))
            p.drawLine(QPointF(WIDTH, y), QPointF(WIDTH + 3, y))
            p.setPen(text)
            p.drawText(QRectF(WIDTH + 6, y - line / 2, 80, line), left, word)
