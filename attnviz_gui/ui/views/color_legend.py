"""What the colours of a plane mean: classes with their counts, or a bar with its ends.

A click on a class hides its points, or shows them again. Knows no document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QLinearGradient, QPainter, QPen

from attnviz_gui.session.coloring import COLORINGS, LEVELS
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.labels import rim
from attnviz_gui.ui.views.tones import class_color, colors_of

if TYPE_CHECKING:
    from attnviz_gui.session.coloring import Coloring
    from attnviz_gui.ui.theme import Theme

SIGN, GAP, BAR = 9.0, 14.0, 120.0  # pixels
LONGEST = 130.0  # of a class's name
ROWS = 2


class ColorLegend(pg.GraphicsWidget):
    """One or two lines under the planes; no height where there is nothing to say."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.coloring: Coloring | None = None
        self.hidden: frozenset[int] = frozenset()
        self._font = font(SMALL)
        self._metrics = QFontMetricsF(self._font)
        self._line = self._metrics.height() + 4
        self.setFixedHeight(0)
        self.setToolTip("Click a class to hide its points, and again to show them.")

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self.update()

    def say(self, coloring: Coloring | None, hidden: frozenset[int]) -> None:
        """Take what the colours mean; None where they mean query and key."""
        self.coloring, self.hidden = coloring, hidden
        self._fit()
        self.update()

    def resizeEvent(self, event) -> None:
        """Take another line where the classes need it."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        rows = 0
        if self.coloring is not None:
            places = self.places()
            rows = 1 + max((int(r.top() // self._line) for r, _ in places), default=0)
        height = rows * self._line
        if height != self.minimumHeight():
            self.setFixedHeight(height)

    # -- classes -----------------------------------------------------------------------------

    def words(self, which: int) -> str:
        """What is written beside a class's sign."""
        coloring = self.coloring
        assert coloring is not None
        name = self._metrics.elidedText(
            coloring.classes[which].strip() or "␣", Qt.TextElideMode.ElideRight, LONGEST
        )
        return f"{name} ({coloring.counts[which]:,})"

    def places(self) -> list[tuple[QRectF, int]]:
        """Return where each class stands, as far as there is room for it."""
        coloring, x, row = self.coloring, 0.0, 0
        found: list[tuple[QRectF, int]] = []
        if coloring is None:
            return found
        x = self._metrics.horizontalAdvance(self.heading()) + GAP
        for i in range(len(coloring.classes)):
            width = SIGN + 5 + self._metrics.horizontalAdvance(self.words(i))
            if x + width > self.size().width() and x > 0:
                x, row = 0.0, row + 1
                if row >= ROWS:
                    break
            found.append((QRectF(x, row * self._line, width, self._line), i))
            x += width + GAP
        return found

    def heading(self) -> str:
        """What the points are coloured by."""
        assert self.coloring is not None
        return COLORINGS[self.coloring.name][0]

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, *_: object) -> None:
        """Draw the classes, or the bar."""
        coloring = self.coloring
        if coloring is None:
            return
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setFont(self._font)
        p.setPen(self.theme.color("muted"))
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        p.drawText(QRectF(0, 0, self.size().width(), self._line), middle, self.heading())
        if not coloring.of_classes:
            self._paint_bar(p)
            return
        for place, i in self.places():
            off = i in self.hidden
            sign = QRectF(place.left(), place.center().y() - SIGN / 2, SIGN, SIGN)
            color, ground = class_color(i, self.theme), self.theme.color("ground")
            edge = rim(color, ground)
            p.setPen(QPen(color if edge.rgba() == ground.rgba() else edge, 1.4))
            p.setBrush(Qt.BrushStyle.NoBrush if off else color)
            p.drawRoundedRect(sign, 2, 2)
            p.setPen(self.theme.color("muted" if off else "text"))
            words = place.adjusted(SIGN + 5, 0, 2, 0)
            p.drawText(words, middle, self.words(i))
            if off:
                y = place.center().y()
                p.drawLine(QPointF(words.left(), y), QPointF(place.right(), y))

    def _paint_bar(self, p: QPainter) -> None:
        assert self.coloring is not None
        low, high = self.coloring.ends()
        x = self._metrics.horizontalAdvance(self.heading()) + GAP
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        p.setPen(self.theme.color("text"))
        width = self._metrics.horizontalAdvance(low)
        p.drawText(QRectF(x, 0, width + 2, self._line), middle, low)
        bar = QRectF(x + width + 6, self._line / 2 - 4, BAR, 8)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        for i, color in enumerate(colors_of(self.coloring, self.theme)[:LEVELS]):
            gradient.setColorAt(i / (LEVELS - 1), color)
        p.fillRect(bar, gradient)
        p.drawText(QRectF(bar.right() + 6, 0, 90, self._line), middle, high)

    # -- mouse -------------------------------------------------------------------------------

    def class_at(self, at: QPointF) -> int | None:
        """Return the class at a place of the legend."""
        return next((i for place, i in self.places() if place.contains(at)), None)
