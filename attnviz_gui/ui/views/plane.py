"""One plane: a plot with equal scales on both axes, a caption above it, and a range that holds.

A length of one pixel means the same on both axes at all times, so distances in the picture are
distances. Knows nothing of the document.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QGraphicsGridLayout

from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views import marks
from attnviz_gui.ui.views.drawing import Drawing
from attnviz_gui.ui.views.still import STILL

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.session.coloring import Side
    from attnviz_gui.ui.theme import Theme

    Float = npt.NDArray[np.float64]

MARGIN = 26.0, 15.0  # pixels around the points, for markers and labels
LEGEND: tuple[tuple[marks.Shape, Side], ...] = ("circle", "query"), ("triangle", "key")
TICK = 40  # pixels between two ticks, at least


@dataclass(frozen=True)
class Box:
    """A rectangle in the plane's unit."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def size(self) -> float:
        """The longer side."""
        return max(self.x1 - self.x0, self.y1 - self.y0)

    @property
    def center(self) -> tuple[float, float]:
        """The middle."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def union(self, other: Box) -> Box:
        """The smallest rectangle around both."""
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )


def box_around(xy: Float) -> Box:
    """Return the smallest rectangle around the finite points of `xy`, (N, 2)."""
    if not len(xy):
        return Box(0, 0, 0, 0)
    low, high = xy.min(axis=0), xy.max(axis=0)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return box_around(xy[np.isfinite(xy).all(axis=1)])
    return Box(*low.tolist(), *high.tolist())


def nice(step: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `step`."""
    ten = 10.0 ** math.floor(math.log10(step))
    return next((n * ten for n in (1, 2, 5) if n * ten >= step * (1 - 1e-9)), 10 * ten)


class Axis(pg.AxisItem):
    """An axis whose ticks depend on the scale alone, so that both axes of a plane get the same."""

    def tickSpacing(self, minVal, maxVal, size):
        """One level of ticks."""
        if not (size > 0 and maxVal > minVal):
            return []
        return [(nice(TICK * (maxVal - minVal) / size), 0)]

    def tickStrings(self, values, scale, spacing):
        """With as many decimals as the spacing has, and a true minus sign."""
        places = max(0, -math.floor(math.log10(spacing) + 1e-9))
        if places > 5 or spacing >= 1e5:
            texts = [f"{round(v / spacing) * spacing:.3g}" for v in values]
        else:
            texts = [f"{round(v / spacing) * spacing + 0.0:.{places}f}" for v in values]
        return [text.replace("-", "−") for text in texts]


class PlaneBox(pg.ViewBox):
    """The wheel zooms, the left button moves; nothing else changes the range."""

    def wheelEvent(self, ev, axis=None):
        """Zoom, within reason."""
        span = self.viewRange()[0][1] - self.viewRange()[0][0]
        into = ev.delta() > 0
        size = max(self.fitted, 1e-12)
        if (into and span < size * 1e-3) or (not into and span > size * 20):
            ev.accept()
            return
        super().wheelEvent(ev, axis)

    fitted = 1.0  # width that shows everything, set by Plane.look

    def mouseDragEvent(self, ev, axis=None):
        """Move; the right button does nothing."""
        if ev.button() == Qt.MouseButton.RightButton:
            ev.ignore()
        else:
            super().mouseDragEvent(ev, axis)


class Caption(pg.GraphicsWidget):
    """What stands above a plot: a word, what follows it, and the legend where it is wanted.

    One line, or two (the word and the legend, and below them what follows) where there is no room.
    """

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.word = self.rest = ""
        self.legend = False
        self._colored = True  # queries and keys have colours of their own, not those of a class
        self._hidden: frozenset[Side] = frozenset()
        self._fonts = font(SMALL), font(SMALL, bold=True)
        self._plain, self._bold = (QFontMetricsF(f) for f in self._fonts)
        self._line = self._bold.height() + 1
        self._lines = 0
        self.set_lines(1)
        self.setToolTip("Click query or key to hide these points, and again to show them.")

    def set_lines(self, lines: int) -> None:
        """Take one line or two."""
        if lines != self._lines:
            self._lines = lines
            self.setFixedHeight(self._line * lines + 3)
            self.update()

    def set_text(self, word: str, rest: str) -> None:
        """Show another text."""
        if (word, rest) != (self.word, self.rest):
            self.word, self.rest = word, rest
            self.update()

    def color(self, colored: bool, hidden: frozenset[Side]) -> None:
        """Take whether queries and keys have colours of their own, and which of them are hidden."""
        self._colored, self._hidden = colored, hidden
        self.update()

    def side_at(self, at: QPointF) -> Side | None:
        """Return what of the legend is at a place of the caption."""
        return next((side for place, _, side in self._entries() if place.contains(at)), None)

    def _entries(self) -> list[tuple[QRectF, marks.Shape, Side]]:
        """Return where queries and keys are named, with their shapes."""
        area, found = self.rect(), []
        x = area.right() - self._legend_width()
        for shape, side in LEGEND if self.legend else ():
            width = 12 + self._plain.horizontalAdvance(side)
            found.append((QRectF(x, area.top(), width, self._line), shape, side))
            x += width + 14
        return found

    def needs(self) -> float:
        """Return the width that one line takes, in pixels."""
        width = self._word_width() + self._plain.horizontalAdvance(self.rest)
        return width + (self._legend_width() + 12 if self.legend else 0)

    def _word_width(self) -> float:
        return self._bold.horizontalAdvance(self.word + "  ")

    def _legend_width(self) -> float:
        return self._plain.horizontalAdvance("query") + self._plain.horizontalAdvance("key") + 38

    def paint(self, p: QPainter, *_: object) -> None:
        """Draw the text at the left, the legend at the right."""
        area = self.rect()
        x, y = area.left(), area.top() + self._bold.ascent()
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        p.setFont(self._fonts[1])
        p.setPen(self.theme.color("text"))
        p.drawText(QPointF(x, y), self.word)
        p.setFont(self._fonts[0])
        right = area.right()
        if self.legend:
            self._draw_legend(p, y)
            right -= (self._legend_width() + 12) * (self._lines == 1)
        p.setPen(self.theme.color("muted"))
        if self._lines == 1:
            x += self._word_width()
        else:
            y += self._line
        text = self._plain.elidedText(self.rest, Qt.TextElideMode.ElideRight, right - x)
        p.drawText(QPointF(x, y), text)

    def _draw_legend(self, p: QPainter, y: float) -> None:
        for place, shape, side in self._entries():
            off, color = side in self._hidden, self.theme.color(side if self._colored else "muted")
            middle = y - self._plain.xHeight() / 2
            p.save()
            p.translate(place.left() + 4, middle)
            p.setPen(QPen(color, 1.2) if off else Qt.PenStyle.NoPen)
            p.setBrush(Qt.BrushStyle.NoBrush if off else color)
            marks.outline(p, shape, 7 if off else 8)
            p.restore()
            p.setPen(self.theme.color("muted" if off else "text"))
            p.drawText(QPointF(place.left() + 12, y), side)
            if off:
                p.drawLine(QPointF(place.left() + 12, middle), QPointF(place.right(), middle))


class Plane(pg.GraphicsWidget):
    """A plot of queries and keys with its axes and caption."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.box = PlaneBox(enableMenu=False, enableMouse=True)
        self.box.setAspectLocked(True)
        self.box.disableAutoRange()
        self.caption = Caption(theme)
        self.left, self.bottom = Axis("left"), Axis("bottom")
        for axis in (self.left, self.bottom):
            axis.setCacheMode(STILL)
        for axis in (self.left, self.bottom):
            axis.enableAutoSIPrefix(False)
            axis.setStyle(tickFont=font(SMALL), tickLength=4, autoExpandTextSpace=False)
            axis.linkToView(self.box)
        self.left.setStyle(tickTextWidth=34)
        grid = QGraphicsGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        grid.addItem(self.caption, 0, 1)
        grid.addItem(self.left, 1, 0)
        grid.addItem(self.box, 1, 1)
        grid.addItem(self.bottom, 2, 1)
        grid.setRowStretchFactor(1, 1)
        grid.setColumnStretchFactor(1, 1)
        self.setLayout(grid)
        self.setPreferredSize(300, 300)  # two planes share the room equally
        self.drawing = Drawing(self.box, theme)
        self.retheme(theme)

    def retheme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.caption.theme = theme
        self.drawing.retheme(theme)
        size = f"{SMALL}pt"
        for axis, name in ((self.left, "axis 2"), (self.bottom, "axis 1")):
            axis.setPen(pg.mkPen(theme.color("faint"), width=1))
            axis.setTickPen(pg.mkPen(theme.color("faint"), width=1))
            axis.setTextPen(theme.color("muted"))
            axis.setLabel(f"joint plane, {name}", **{"color": theme.muted, "font-size": size})
        self.caption.update()

    # -- the range ---------------------------------------------------------------------------

    @property
    def room(self) -> tuple[float, float]:
        """Pixels inside the axes, across and down."""
        return self.box.width(), self.box.height()

    def unit_to_fit(self, box: Box) -> float:
        """Return the length of a pixel that shows the whole box, margins included."""
        w, h = self.room
        mx, my = min(MARGIN[0], w * 0.15), min(MARGIN[1], h * 0.15)
        unit = max((box.x1 - box.x0) / max(w - 2 * mx, 1), (box.y1 - box.y0) / max(h - 2 * my, 1))
        # A box without size: a plane one unit wide, or as wide as the point is far out.
        smallest = max(abs(box.x0), abs(box.y0), 1.0) if unit == 0 else 0
        return max(unit, smallest / max(w, 1), 1e-12)

    def look(self, center: tuple[float, float], unit: float, *, by_hand: bool = False) -> None:
        """Show the plane around `center`, one pixel being `unit` long."""
        w, h = self.room
        if w < 2 or h < 2:
            return
        x, y = center
        if not by_hand:
            self.box.fitted = w * unit
        self.box.setRange(
            xRange=(x - w * unit / 2, x + w * unit / 2),
            yRange=(y - h * unit / 2, y + h * unit / 2),
            padding=0,
            disableAutoRange=False,
        )

    def looking(self) -> tuple[tuple[float, float], float]:
        """Return the centre, and the length of a pixel."""
        (x0, x1), (y0, y1) = self.box.viewRange()
        return ((x0 + x1) / 2, (y0 + y1) / 2), (x1 - x0) / max(self.room[0], 1)

    def shows(self, box: Box) -> bool:
        """True when the whole box is in sight."""
        (x0, x1), (y0, y1) = self.box.viewRange()
        return x0 <= box.x0 and box.x1 <= x1 and y0 <= box.y0 and box.y1 <= y1

    def area(self) -> QRectF:
        """Return where the inside of the axes is, in the scene."""
        return self.box.sceneBoundingRect()
