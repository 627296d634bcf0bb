"""Markers and lines in bulk, drawn by QPainter straight from arrays.

Every colour is opaque: Qt draws a translucent line about ten times slower than an opaque one, so a
weak line is mixed with the ground instead. Knows neither the document nor a plot.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from pyqtgraph.Qt.internals import PrimitiveArray
from PySide6.QtCore import QLineF, QPointF, Qt
from PySide6.QtGui import QBrush, QPainter, QPen, QPixmap, QPolygonF

from attnviz_gui.ui.views.labels import mix

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QColor

    Float = npt.NDArray[np.float64]

Shape = Literal["circle", "triangle"]

# A line's look by its attention: one class of width and tone between two edges.
_EDGES = np.array([0.05, 0.1, 0.2, 0.4, 0.7])
_WIDTHS = (1.0, 1.0, 1.4, 2.0, 2.8, 3.6)
_TONES = (0.30, 0.40, 0.52, 0.66, 0.80, 0.95)
FEW = 16  # so many lines have their full width and tone; more of them are drawn lighter
KINDS = 4  # of lines in one picture: all, those of the focus, the watched ones


def line_class(weight: Float) -> npt.NDArray[np.intp]:
    """Return the class of each line, 0 (weakest) to 5, from its attention."""
    return np.searchsorted(_EDGES, weight, side="right")


class Lines:
    """Draws many lines, wider and darker with their attention, the strongest on top."""

    def __init__(self) -> None:
        self._array = PrimitiveArray(QLineF, 4)
        self._known: list[tuple[Float, object, list[tuple[npt.NDArray[np.intp], QPen]]]] = []

    def draw(
        self,
        painter: QPainter,
        start: Float,
        end: Float,
        weight: Float,
        color: QColor,
        ground: QColor,
        *,
        thinnest: float = 1.0,
        faintest: float = 0.0,
    ) -> None:
        """Draw lines from `start` to `end`, both (M, 2) in pixels; `weight` (M,) from 0 to 1.

        `thinnest` (pixels) and `faintest` (part of the colour, the rest is ground) hold for all.
        """
        for index, pen in self._pens(weight, color, ground, thinnest, faintest):
            self._array.resize(len(index))
            memory = self._array.ndarray()
            memory[:, :2] = start[index]
            memory[:, 2:] = end[index]
            painter.setPen(pen)
            painter.drawLines(*self._array.drawargs())

    def _pens(
        self, weight: Float, color: QColor, ground: QColor, thinnest: float, faintest: float
    ) -> list[tuple[npt.NDArray[np.intp], QPen]]:
        """Return which lines are drawn with which pen; the same ones move with a slider."""
        how = color.rgba(), ground.rgba(), thinnest, faintest
        for of, drawn, pens in self._known:
            if of is weight and drawn == how:
                return pens
        classes = line_class(weight)
        light = min(1.0, (FEW / max(len(weight), 1)) ** 0.25)
        pens = []
        for c in range(len(_WIDTHS)):
            index = np.flatnonzero(classes == c)
            if not index.size:
                continue
            tone = mix(ground, color, max(light * _TONES[c], faintest))
            pen = QPen(tone, max(light * _WIDTHS[c], thinnest))
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            pens.append((index, pen))
        self._known = [(weight, how, pens), *self._known[: KINDS - 1]]
        return pens


class Markers:
    """Draws many equal markers from one small picture, sharp at any device pixel ratio."""

    def __init__(self) -> None:
        self._array = PrimitiveArray(QPainter.PixmapFragment, 10)
        self._pictures: dict[tuple[Shape, float, int, int, float], QPixmap] = {}

    def draw(
        self,
        painter: QPainter,
        points: Float,
        shape: Shape,
        diameter: float,
        fill: QColor,
        edge: QColor,
        scale: float,
    ) -> None:
        """Draw a marker at each of `points`, (N, 2) in pixels.

        `edge` is a thin rim that keeps neighbours apart; `scale` is the painter's device pixels
        per pixel.
        """
        points = points[np.isfinite(points).all(axis=1)]
        if not len(points):
            return
        picture = self._picture(shape, diameter, fill, edge, scale)
        size = picture.width()
        self._array.resize(len(points))
        memory = self._array.ndarray()
        # On whole device pixels: every marker looks the same.
        m = painter.deviceTransform()
        origin = np.array([m.dx(), m.dy()])
        half = size / 2
        memory[:, :2] = (np.round(points * scale + origin - half) + half - origin) / scale
        memory[:, 2:4] = 0
        memory[:, 4:6] = size
        memory[:, 6:8] = 1 / scale
        memory[:, 8] = 0
        memory[:, 9] = 1
        fragments, count = self._array.drawargs()
        painter.drawPixmapFragments(fragments, count, picture)

    def _picture(
        self, shape: Shape, diameter: float, fill: QColor, edge: QColor, scale: float
    ) -> QPixmap:
        key = shape, diameter, fill.rgba(), edge.rgba(), scale
        picture = self._pictures.get(key)
        if picture is None:
            size = math.ceil((diameter * 1.3 + 2) * scale) | 1  # odd: the middle is a pixel
            picture = QPixmap(size, size)
            picture.fill(Qt.GlobalColor.transparent)
            painter = QPainter(picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.translate(size / 2, size / 2)
            painter.scale(scale, scale)
            painter.setPen(QPen(edge, 0.9 if diameter > 5 else 0.6))
            painter.setBrush(QBrush(fill))
            outline(painter, shape, diameter)
            painter.end()
            if len(self._pictures) > 512:  # 32 levels of a scale, two shapes, some sizes
                self._pictures.clear()
            self._pictures[key] = picture
        return picture


def outline(painter: QPainter, shape: Shape, diameter: float) -> None:
    """Draw one marker around the origin with the painter's pen and brush."""
    r = diameter / 2
    if shape == "circle":
        painter.drawEllipse(QPointF(0, 0), r, r)
    else:
        r *= 1.25  # about the circle's area
        corners = [
            (r * math.sin(a), -r * math.cos(a)) for a in (0, 2 * math.pi / 3, -2 * math.pi / 3)
        ]
        painter.drawPolygon(QPolygonF([QPointF(x, y) for x, y in corners]))


def diameter(n_tokens: int) -> float:
    """Return the markers' diameter in pixels: smaller where there are more."""
    return float(np.clip(9.0 * (32 / max(n_tokens, 1)) ** 0.22, 3.5, 9.0))
