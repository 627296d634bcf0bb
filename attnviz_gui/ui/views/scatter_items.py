"""What stands over and around the scatter's points: lines, marked pairs, legend and axes.

None of these ever changes how the points beneath are drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPen, QPixmap

from attnviz_gui.ui.theme import NORMAL, SMALL, font
from attnviz_gui.ui.views.points import PixelItem
from attnviz_gui.ui.views.still import STILL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.pairs import Line
    from attnviz_gui.ui.views.raster import Area

_DASHES = [4.0, 2.5]  # of the line before, in widths of the line
_MIDDLE = 1.8  # where in the dashes the legend's sample starts, so that a dash is in its middle
_WIDTH = 1.8  # of a regression line
PALE = 0.72  # how far points fade behind those that are lit
_EXACT = 64  # marked pairs up to which each is drawn anew, not stamped


@dataclass(frozen=True, eq=False)
class Marked:
    """Pairs that are drawn once more, over the points.

    Attributes
    ----------
    before, after : (n, 2)
        Cosine distance and dot product of each pair.
    color : QColor
    size : float
        Diameter in logical pixels.
    linked : bool
        With a line from before to after.
    ringed : bool
        With a ring around after.
    """

    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    color: QColor
    size: float = 6.0
    linked: bool = False
    ringed: bool = False


class Marks(PixelItem):
    """Regression lines, the pairs in focus and the watched pairs."""

    def __init__(self, box: pg.ViewBox, z: float, theme: Theme) -> None:
        super().__init__(box, z)
        self.theme = theme
        self.lines: list[tuple[Line, QPen]] = []
        self.focus: list[Marked] = []
        self.watched: list[Marked] = []

    def line_ends(self, line: Line) -> QLineF:
        """Return where a regression line starts and ends, in pixels."""
        area = self.area
        assert area is not None
        # In plain numbers: arrays of two take ten times as long, in every frame.
        ends = []
        for x in (line.left, line.right):
            y = line.slope * x + line.intercept
            ends.append(((x - area.left) * area.per_x, (y - area.top) * area.per_y))
        return QLineF(*ends[0], *ends[1])

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw all of it."""
        if self.area is None:
            return
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        # Opaque: Qt takes ten times as long for a wide line that lets something through.
        halo = QPen(self.theme.color("ground"), _WIDTH + 1.2)
        halo.setCapStyle(Qt.PenCapStyle.FlatCap)  # round caps take ten times as long
        for line, pen in self.lines:
            ends = self.line_ends(line)
            for each in (halo, pen):
                painter.setPen(each)
                painter.drawLine(ends)
        for marked in (*self.focus, *self.watched):
            self._draw(painter, self.area, marked)

    def _draw(self, painter: QPainter, area: Area, marked: Marked) -> None:
        before, after = (_pixels(area, points) for points in (marked.before, marked.after))
        ground = self.theme.color("ground")
        if marked.linked:
            for start, end in zip(before, after, strict=True):
                line = QLineF(*start, *end)
                painter.setPen(QPen(self.theme.color("ground"), 2.8))
                painter.drawLine(line)
                painter.setPen(QPen(marked.color, 1.4))
                painter.drawLine(line)
        # Before: the grey of all points before, with an edge; after: the colour itself.
        grey = self.theme.color("before")
        edge = 2.4 if marked.size > 5 else 1.6
        _discs(painter, before, (marked.size * 0.9, marked.color), (marked.size * 0.9 - edge, grey))
        _discs(painter, after, (marked.size + 2, ground), (marked.size, marked.color))
        if marked.ringed:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for x, y in after:
                for color, width in ((ground, 3.6), (self.theme.color("text"), 1.6)):
                    painter.setPen(QPen(color, width))
                    painter.drawEllipse(QPointF(x, y), marked.size * 0.5 + 4, marked.size * 0.5 + 4)


class Veil(PixelItem):
    """Lets what lies beneath fade, where something is lit."""

    def __init__(self, box: pg.ViewBox, z: float) -> None:
        super().__init__(box, z)
        self._color = QColor(0, 0, 0, 0)
        self.setVisible(False)

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's ground."""
        self._color = theme.color("ground", PALE)
        self.update()

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw it."""
        painter.fillRect(self.boundingRect(), self._color)


def _pixels(area: Area, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n, 2) of x, y to (n, 2) of pixels; far out of sight is brought near, for Qt's sake."""
    pixels = np.column_stack([area.across(points[:, 0]), area.down(points[:, 1])])
    return np.clip(pixels, -1e5, 1e5)


def _discs(
    painter: QPainter, centres: npt.NDArray[np.float64], *layers: tuple[float, QColor]
) -> None:
    """Draw discs over each other at each centre; a layer is a diameter and a colour."""
    if len(centres) > _EXACT:
        half = math.ceil(max(diameter for diameter, _ in layers)) / 2 + 1
        stamp = _stamp(half, layers, painter.deviceTransform().m11())
        for x, y in (centres - half).tolist():
            painter.drawPixmap(QPointF(x, y), stamp)
        return
    painter.setPen(Qt.PenStyle.NoPen)
    for x, y in centres.tolist():
        for diameter, color in layers:
            painter.setBrush(color)
            painter.drawEllipse(QPointF(x, y), diameter / 2, diameter / 2)


def _stamp(half: float, layers: tuple[tuple[float, QColor], ...], scale: float) -> QPixmap:
    """Return the discs once, at the resolution that they are painted at."""
    stamp = QPixmap(math.ceil(2 * half * scale), math.ceil(2 * half * scale))
    stamp.setDevicePixelRatio(scale)
    stamp.fill(Qt.GlobalColor.transparent)
    painter = QPainter(stamp)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    _discs(painter, np.array([[half, half]]), *layers)
    painter.end()
    return stamp


def line_pen(color: QColor, *, dashed: bool = False) -> QPen:
    """Return the pen of a regression line."""
    pen = QPen(color, _WIDTH)
    pen.setCapStyle(Qt.PenCapStyle.FlatCap)
    if dashed:
        pen.setDashPattern(_DASHES)
    return pen


@dataclass(frozen=True)
class Entry:
    """One sign of the legend and what it means.

    A dot, a dot on a line, a bar of colours, or words alone.
    """

    words: str
    dot: QColor | None = None
    line: QPen | None = None
    bar: tuple[QColor, QColor] | None = None
    edge: QColor | None = None


class Legend(pg.GraphicsWidget):
    """Signs and words in one row; what has no room is left out from the end, never cut."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.entries: Sequence[Entry] = ()
        self._font = font(SMALL)
        self._metrics = QFontMetricsF(self._font)
        self.setFixedHeight(math.ceil(self._metrics.height()) + 6)
        self.setCacheMode(STILL)

    def say(self, entries: Sequence[Entry]) -> None:
        """Show these entries."""
        if list(entries) != list(self.entries):
            self.entries = entries
            self.update()

    def shown(self) -> list[tuple[float, Entry]]:
        """Return the entries that have room, and where each starts."""
        places, x = [], 0.0
        for entry in self.entries:
            width = self._sign(entry) + self._metrics.horizontalAdvance(entry.words)
            if x + width > self.size().width():
                break
            places.append((x, entry))
            x += width + 16
        return places

    @staticmethod
    def _sign(entry: Entry) -> float:
        if entry.bar is not None or entry.line is not None:
            return 30.0
        return 14.0 if entry.dot is not None else 0.0

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw what has room."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._font)
        middle = self.size().height() / 2
        for x, entry in self.shown():
            wide = self._sign(entry) - 6
            if entry.bar is not None:
                place = QRectF(x, middle - 4.5, wide, 9)
                blend = QLinearGradient(place.topLeft(), place.topRight())
                blend.setColorAt(0, entry.bar[0])
                blend.setColorAt(1, entry.bar[1])
                painter.fillRect(place, blend)
            if entry.line is not None:
                ends = QLineF(x, middle, x + wide, middle)
                if entry.bar is not None:
                    painter.setPen(QPen(self.theme.color("ground"), entry.line.widthF() + 1.6))
                    painter.drawLine(ends)
                pen = QPen(entry.line)
                pen.setDashOffset(_MIDDLE)
                painter.setPen(pen)
                painter.drawLine(ends)
            if entry.dot is not None:
                painter.setPen(Qt.PenStyle.NoPen if entry.edge is None else QPen(entry.edge, 1.2))
                painter.setBrush(entry.dot)
                painter.drawEllipse(QPointF(x + wide / 2, middle), 3.5, 3.5)
            painter.setPen(self.theme.color("text"))
            room = QRectF(x + self._sign(entry), 0, self.size().width(), self.size().height())
            painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, entry.words)


class NumberAxis(pg.AxisItem):
    """A quiet axis: few ticks, a name, a true minus sign."""

    def __init__(self, orientation: str, words: str) -> None:
        super().__init__(orientation)
        self.words = words
        self.enableAutoSIPrefix(False)
        self.setStyle(tickLength=4, maxTickLevel=0, maxTextLevel=0, tickFont=font(SMALL))
        self.label.setFont(font(NORMAL))
        self.label.document().setDocumentMargin(1)
        for item in (self, self.label):
            item.setCacheMode(STILL)

    def retheme(self, theme: Theme) -> None:
        """Take the theme's colours."""
        self.setPen(QPen(theme.color("muted"), 1))
        self.setTextPen(theme.color("text"))
        self.setLabel(self.words)

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        """Write the numbers."""
        return [text.replace("-", "−") for text in super().tickStrings(values, scale, spacing)]


def one_line(token: str, longest: int = 40) -> str:
    """Return a token for a line of text, the middle left out where it is long."""
    token = " ".join(token.splitlines()) or "␣"
    half = longest // 2
    return token if len(token) <= longest else f"{token[:half]}…{token[1 - half :]}"
