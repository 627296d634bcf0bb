"""The legend of a matrix: its colours from low to high with ticks, and what masked looks like.

It stands at the right of the matrix or lies below it, wherever the matrix loses less room.
"""

from __future__ import annotations

import math
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

THICK = 12.0  # of the colours
TICK = 3.0
GAP = 6.0  # between things that belong together
MASKED = "masked"
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
CENTER = Qt.AlignmentFlag.AlignCenter


class ColorBar(pg.GraphicsObject):
    """Colours from low to high along a length in pixels; the origin is the top left of them.

    Upright it reads from the bottom to the top, the title above. Lying, from left to right, the
    title at its left.

    Parameters
    ----------
    title
        What the colours stand for.
    more
        Called with the painter: what is added to the title.
    """

    def __init__(self, title: str, theme: Theme, more: Callable[[QPainter], list[str]]) -> None:
        super().__init__()
        self.title = title
        self.theme = theme
        self.more = more
        self.length = 100.0
        self.upright = True
        self.ticks: list[tuple[float, str]] = []
        self.masked: QColor | None = None
        self.masked_words = MASKED
        self._upright_colors = self._lying_colors = QImage()
        self._font = font(SMALL)
        self._metrics = QFontMetricsF(self._font)

    def set_colors(self, lut: npt.NDArray[np.uint8]) -> None:
        """Show the colours of a table, (n, 3)."""
        n = len(lut)
        row, column = np.ascontiguousarray(lut), np.ascontiguousarray(lut[::-1])
        kind = QImage.Format.Format_RGB888
        self._lying_colors = QImage(row.data, n, 1, 3 * n, kind).copy()
        self._upright_colors = QImage(column.data, 1, n, 3, kind).copy()
        self.update()

    def set_scale(self, ticks: list[tuple[float, str]], masked: QColor | None) -> None:
        """Show other ticks (place from 0 to 1, text), and the colour of masked pairs if any."""
        self.ticks, self.masked = ticks, masked
        self.update()

    def set_length(self, length: float, *, upright: bool) -> None:
        """Stretch to this length, upright or lying."""
        if (length, upright) != (self.length, self.upright):
            self.prepareGeometryChange()
            self.length, self.upright = length, upright
            self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    # -- room, the same whatever the scale ----------------------------------------------------

    @property
    def line(self) -> float:
        """Height of a line of text."""
        return self._metrics.height()

    @property
    def wide(self) -> float:
        """Width with the ticks and the title, upright."""
        title = max(map(self._advance, (self.title, "pixel max")))
        return max(title, THICK + GAP + self._advance(self.masked_words)) + 2

    @property
    def high(self) -> float:
        """Height with the ticks, lying."""
        return THICK + TICK + self.line

    @property
    def beside(self) -> float:
        """Width of the title at the left, lying."""
        return GAP + max(map(self._advance, (self.title, "pixel max")))

    def _advance(self, text: str) -> float:
        return self._metrics.horizontalAdvance(text)

    # -- drawing -----------------------------------------------------------------------------

    def boundingRect(self) -> QRectF:
        """The colours, the ticks, the title."""
        if self.upright:
            above = 2 * self.line + GAP + 2
            return QRectF(-2, -above, self.wide + 4, self.length + above + self.line)
        return QRectF(-self.beside - 2, -2, self.length + self.beside + 8, self.high + 4)

    def paint(self, p: QPainter, *args: object) -> None:
        """Draw it."""
        p.setFont(self._font)
        words = [self.title, *self.more(p)]
        length = self.length - (0 if self.masked is None else self._draw_masked(p))
        if self.upright:
            p.drawImage(QRectF(0, 0, THICK, length), self._upright_colors)
            self._draw_upright(p, words, length)
        else:
            p.drawImage(QRectF(0, 0, length, THICK), self._lying_colors)
            self._draw_lying(p, words, length)

    def _draw_upright(self, p: QPainter, words: list[str], length: float) -> None:
        for i, word in enumerate(words):
            y = -GAP - (len(words) - i) * self.line
            self._write(p, QRectF(0, y, self.wide, self.line), LEFT, word, muted=i > 0)
        for place, word in self._fitting(length, self.line):
            y = (1 - place) * length
            self._tick(p, QPointF(THICK, y), QPointF(THICK + TICK, y))
            area = QRectF(THICK + GAP, y - self.line / 2, self.wide, self.line)
            self._write(p, area, LEFT, word)

    def _draw_lying(self, p: QPainter, words: list[str], length: float) -> None:
        for i, word in enumerate(words):
            area = QRectF(-self.beside, (THICK - self.line) / 2 + i * self.line, 0, self.line)
            area.setRight(-GAP)
            self._write(p, area, RIGHT, word, muted=i > 0)
        widest = max((self._advance(word) for _, word in self.ticks), default=1.0)
        # Words at the ends are moved inwards by half their width, towards their neighbours.
        for place, word in self._fitting(length, 1.5 * widest):
            x = place * length
            self._tick(p, QPointF(x, THICK), QPointF(x, THICK + TICK))
            # The words at the ends stay above the colours: beside them is the title.
            start = min(max(x - widest / 2, 0), length - widest)
            align = LEFT if place == 0 else RIGHT if place == 1 else CENTER
            self._write(p, QRectF(start, THICK + TICK, widest, self.line), align, word)

    def _draw_masked(self, p: QPainter) -> float:
        """Draw what masked looks like at the end; return how much room that takes."""
        if self.upright:
            swatch = QRectF(0, self.length - THICK, THICK, THICK)
            room = self.line + 9
        else:
            words = self._advance(self.masked_words) + 1
            swatch = QRectF(self.length - words - GAP - THICK, 0, THICK, THICK)
            room = self.length - swatch.left() + 2 * GAP
        p.fillRect(swatch, self.masked)
        p.setPen(QPen(self.theme.color("faint"), 1))
        p.drawRect(swatch)
        y = swatch.center().y() - self.line / 2
        self._write(p, QRectF(swatch.right() + GAP, y, 80, self.line), LEFT, self.masked_words)
        return room

    def _fitting(self, length: float, need: float) -> list[tuple[float, str]]:
        """The ticks that have room, from the highest on: it is the one that must be there."""
        apart = length / max(len(self.ticks) - 1, 1)
        return self.ticks[:: -max(math.ceil(1.1 * need / max(apart, 1e-3)), 1)]

    def _tick(self, p: QPainter, start: QPointF, end: QPointF) -> None:
        p.setPen(QPen(self.theme.color("muted"), 1))
        p.drawLine(start, end)

    def _write(
        self, p: QPainter, area: QRectF, align: Qt.AlignmentFlag, text: str, *, muted: bool = False
    ) -> None:
        p.setPen(self.theme.color("muted" if muted else "text"))
        p.drawText(area, align | Qt.TextFlag.TextDontClip, text)
