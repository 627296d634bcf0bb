"""A few lines about what lies under the cursor, beside it. Never in an exported picture.

A widget over the view, not an item in its scene: a figure draws the scene alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QFont,
    QFontMetricsF,
    QPainter,
    QTextCharFormat,
    QTextLayout,
    QTextOption,
)
from PySide6.QtWidgets import QWidget

from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PySide6.QtGui import QPaintEvent

    from attnviz_gui.session.quote import Quote
    from attnviz_gui.ui.theme import Theme

PAD = 7
GAP = 6
WIDE = 380  # pixels: a quoted text is wrapped
MOST_LINES = 12  # of a quoted text
LEAST = 20  # characters of it


class Readout(QWidget):
    """A small sheet over a view: the first line bold, mice pass through it."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._over = parent
        self.theme = theme
        self.lines: tuple[str, ...] = ()
        self.quote: Quote | None = None  # as it is shown
        self._layout: QTextLayout | None = None
        self.setObjectName("readout")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    def say(self, lines: Sequence[str], avoid: QRect, quote: Quote | None = None) -> None:
        """Show lines beside an area of the parent, which stays uncovered where that can be.

        Below them a text is quoted: wrapped, and around its token where it is long.
        """
        widest = self._over.width() - 2 * PAD - 4
        self.lines = tuple(
            metrics.elidedText(text, Qt.TextElideMode.ElideRight, widest)
            for text, metrics in zip(lines, self._metrics(len(lines)), strict=True)
        )
        sizes = list(zip(self.lines, self._metrics(len(lines)), strict=True))
        width = max(metrics.horizontalAdvance(text) for text, metrics in sizes)
        height = sum(metrics.height() for _, metrics in sizes)
        self.quote, self._layout = None, None
        if quote is not None and quote.text.strip():
            room = self._over.height() - height - 4 * PAD
            self.quote, layout = laid_out(quote, max(min(WIDE, widest), 40), room)
            self._layout, box = layout, layout.boundingRect()
            width, height = max(width, box.width()), height + GAP + box.height()
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
        if self._layout is not None:
            self._layout.draw(painter, QPointF(PAD, y + GAP))
        painter.end()


def laid_out(quote: Quote, width: float, room: float) -> tuple[Quote, QTextLayout]:
    """Wrap a text to a width; of a long one, as much around its token as `room` is high for."""
    plain = font(SMALL)
    metrics = QFontMetricsF(plain)
    room = min(max(room, 2 * metrics.height()), MOST_LINES * metrics.height())
    # The text's own letters: a Japanese one is as wide as two Latin ones.
    sample = quote.text[:400]
    letter = max(metrics.horizontalAdvance(sample) / len(sample), 1.0)
    most = max(int(room / metrics.height() * width / letter), LEAST)
    while True:
        shown = quote.elided(most)
        layout = QTextLayout(shown.text, plain)
        option = QTextOption()
        option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        layout.setTextOption(option)
        layout.setFormats([_bold(shown.text, *span) for span in shown.spans])
        high = 0.0
        layout.beginLayout()
        while (line := layout.createLine()).isValid():
            line.setLineWidth(width)
            line.setPosition(QPointF(0, high))
            high += line.height()
        layout.endLayout()
        if high <= room or most <= LEAST:
            return shown, layout
        most = max(int(most * 0.85), LEAST)


def _bold(text: str, start: int, end: int) -> QTextLayout.FormatRange:
    """Return what makes a part of a text bold and underlined; Qt counts in UTF-16."""
    marked = QTextLayout.FormatRange()
    marked.start = _units(text[:start])
    marked.length = _units(text[start:end])
    look = QTextCharFormat()
    look.setFontWeight(QFont.Weight.Bold)
    look.setFontUnderline(True)
    marked.format = look
    return marked


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


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
