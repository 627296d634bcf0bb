"""A few lines about what lies under the cursor, beside it. Never in an exported picture.

A widget over the view, not an item in its scene: a figure draws the scene alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QRect, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter
from PySide6.QtWidgets import QWidget

from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QPaintEvent

    from attnviz_gui.ui.theme import Theme

PAD = 7
GAP = 6


class Readout(QWidget):
    """A small sheet over a view: the first line bold, mice pass through it."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = parent
        self.theme = theme
        self.lines: tuple[str, ...] = ()
        self.setObjectName("readout")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    def say(self, lines: Sequence[str], avoid: QRect) -> None:
        """Show lines beside an area of the parent, which stays uncovered where that can be."""
        widest = self._over.width() - 2 * PAD - 4
        self.lines = tuple(
            metrics.elidedText(text, Qt.TextElideMode.ElideRight, widest)
            for text, metrics in zip(lines, self._metrics(len(lines)), strict=True)
        )
        sizes = list(zip(self.lines, self._metrics(len(lines)), strict=True))
        width = max(metrics.horizontalAdvance(text) for text, metrics in sizes)
        height = sum(metrics.height() for _, metrics in sizes)
        size = QSize(int(width) + 2 * PAD + 2, int(height) + 2 * PAD - 2)
        self.setGeometry(QRect(place(size, avoid, self._over.rect()), size))
        self.show()
        self.raise_()
        self.update()

    def _metrics(self, n: int) -> list[QFontMetricsF]:
        plain = QFontMetricsF(font(SMALL))
        return [QFontMetricsF(font(SMALL, bold=True)), *[plain] * (n - 1)]

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the sheet."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(self.theme.color("muted", 0.6))
        painter.setBrush(self.theme.color("ground", 0.97))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.setPen(self.theme.color("text"))
        y = PAD - 1.0
        for i, (text, metrics) in enumerate(
            zip(self.lines, self._metrics(len(self.lines)), strict=True)
        ):
            painter.setFont(font(SMALL, bold=i == 0))
            line = QRectF(PAD, y, self.width() - PAD, metrics.height())
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, text)
            y += metrics.height()
        painter.end()


def place(size: QSize, avoid: QRect, area: QRect) -> QPoint:
    """Return where a sheet goes: inside `area`, beside `avoid`, else where it covers least."""
    w, h = size.width(), size.height()
    right, below = avoid.right() + GAP, avoid.bottom() + GAP
    left, above = avoid.left() - GAP - w, avoid.top() - GAP - h
    x = min(max(avoid.left(), area.left()), area.right() - w)
    y = min(max(avoid.top(), area.top()), area.bottom() - h)
    beside = [
        (right, below), (right, above), (left, below), (left, above),
        (right, y), (left, y), (x, below), (x, above),
    ]  # fmt: skip
    for corner in beside:
        sheet = QRect(QPoint(*corner), size)
        if area.contains(sheet) and not sheet.intersects(avoid):
            return sheet.topLeft()
    ends = [
        (x, y) for x in (area.left(), area.right() - w) for y in (area.top(), area.bottom() - h)
    ]

    def covered(corner: tuple[int, int]) -> int:
        shared = QRect(QPoint(*corner), size).intersected(avoid)
        return max(shared.width(), 0) * max(shared.height(), 0)

    return QPoint(*min(ends, key=covered))
