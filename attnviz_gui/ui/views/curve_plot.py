"""The picture of a curve or a map: axes, ticks, line or colours, the marked best. Only paints.

`Plot` is made for one curve, one size and one theme, and painted once into a pixmap; the point
that stands for the sliders is the view's own, painted over it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QBrush,
    QColor,
    QFontMetricsF,
    QImage,
    QPainter,
    QPainterPath,
    QPen,
    QPolygonF,
)

from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.ticks import log_ticks, tick_text, ticks

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.session.curve import Curve
    from attnviz_gui.ui.theme import Theme

LEFT, RIGHT, BOTTOM = 40.0, 22.0, 18.0  # room for the ticks' numbers
BAR = 8.0  # width of a map's colours
BAR_ROOM = 54.0  # for them and their numbers
TICK = 3.0
GAP = 4.0
LINE = 1.6  # width of the curve
MARK = 4.5  # half a diagonal of the best's diamond
ROOM = 0.08  # above and below the curve, as a share of its height
_MIDDLE = Qt.AlignmentFlag.AlignVCenter


class Plot:
    """A curve within a rectangle."""

    def __init__(self, curve: Curve, area: QRectF, theme: Theme) -> None:
        """`area`: all there is, ticks and names included."""
        self.curve = curve
        self.area = area
        self.theme = theme
        self._font = font(SMALL)
        self._metrics = QFontMetricsF(self._font)
        right = BAR_ROOM if self.is_map else RIGHT
        self.inner = area.adjusted(LEFT, MARK, -right, -BOTTOM)
        self.locked = curve.question.mode == "locked"
        self.low, self.high = value_range(curve.values)
        pad = ROOM * (self.high - self.low)
        self.bottom, self.top = self.low - pad, self.high + pad

    @property
    def is_map(self) -> bool:
        """True for colours over t and c, false for a line."""
        return self.curve.scales is not None

    # -- where things are --------------------------------------------------------------------

    def x(self, along: float) -> float:
        """Where a t (in mode locked, a c) is; beyond the ends, at the end."""
        q = self.curve.question
        low, high = q.low, q.high
        if self.locked:
            low, high, along = math.log(low), math.log(high), math.log(along)
        share = (along - low) / (high - low) if high > low else 0.5
        return self.inner.left() + min(max(share, 0.0), 1.0) * self.inner.width()

    def along(self, x: float) -> float:
        """Return the t (or c) at a place; the middle and 0 snap to a pixel."""
        q = self.curve.question
        share = (x - self.inner.left()) / max(self.inner.width(), 1.0)
        share = min(max(share, 0.0), 1.0)
        rest = 1.0 if self.locked else 0.0
        if q.low < rest < q.high and abs(x - self.x(rest)) <= 1:
            return rest
        if self.locked:
            return q.low * (q.high / q.low) ** share
        return q.high if share == 1 else q.low + share * (q.high - q.low)

    def y(self, value: float) -> float:
        """Where a value of the objective is."""
        share = (value - self.bottom) / (self.top - self.bottom)
        return self.inner.bottom() - share * self.inner.height()

    def y_of_scale(self, scale: float) -> float:
        """Where a c is, on a map."""
        scales = self._scales()
        low, high = math.log(scales[0]), math.log(scales[-1])
        share = min(max((math.log(scale) - low) / (high - low), 0.0), 1.0)
        return self.inner.bottom() - share * self.inner.height()

    def scale(self, y: float) -> float:
        """Return the c at a place on a map; 1 snaps to a pixel."""
        if abs(y - self.y_of_scale(1.0)) <= 1:
            return 1.0
        scales = self._scales()
        share = (self.inner.bottom() - y) / max(self.inner.height(), 1.0)
        ratio = math.log(scales[-1] / scales[0])
        return float(scales[0]) * math.exp(min(max(share, 0.0), 1.0) * ratio)

    def _scales(self) -> npt.NDArray[np.float64]:
        assert self.curve.scales is not None
        return self.curve.scales

    def best_at(self) -> QPointF | None:
        """Where the best is."""
        best = self.curve.best
        if best is None:
            return None
        x = self.x(best.scale if self.locked else best.t)
        return QPointF(x, self.y_of_scale(best.scale) if self.is_map else self.y(best.value))

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter) -> None:
        """Paint all but the point."""
        p.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        p.setFont(self._font)
        if self.is_map:
            self._paint_map(p)
        else:
            self._paint_line(p)
        self._paint_frame(p)
        self._paint_best(p)

    def _paint_line(self, p: QPainter) -> None:
        inner, curve = self.inner, self.curve
        most = max(2, int(inner.height() / 34))
        for value in ticks(self.bottom, self.top, most, least=2) if curve.best is not None else ():
            y = round(self.y(value)) + 0.5
            p.setPen(QPen(self.theme.color("faint"), 1))
            p.drawLine(QPointF(inner.left(), y), QPointF(inner.right(), y))
            self._left_number(p, y, tick_text(value))
        defined = ~np.isnan(curve.values)
        path, points = QPainterPath(), []
        drawing = False
        for i, (along, value) in enumerate(zip(curve.along, curve.values, strict=True)):
            if not defined[i]:
                drawing = False
                continue
            at = QPointF(self.x(float(along)), self.y(float(value)))
            if drawing:
                path.lineTo(at)
            else:
                path.moveTo(at)
                if i + 1 == len(defined) or not defined[i + 1]:
                    points.append(at)  # alone between gaps: a line would not show it
            drawing = True
        p.setPen(QPen(self.theme.color("text"), LINE))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawPath(path)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(self.theme.color("text"))
        for at in points:
            p.drawEllipse(at, LINE, LINE)
        self._paint_gaps(p, defined)

    def _paint_gaps(self, p: QPainter, defined: npt.NDArray[np.bool_]) -> None:
        """Hatch where the objective is undefined."""
        if defined.all() or not len(defined):
            return
        places = np.array([self.x(float(along)) for along in self.curve.along])
        middle = (places[1:] + places[:-1]) / 2
        left = np.concatenate([[self.inner.left()], middle])
        right = np.concatenate([middle, [self.inner.right()]])
        p.setBrush(self._hatch())
        for i in np.flatnonzero(~defined):
            p.drawRect(QRectF(left[i], self.inner.top(), right[i] - left[i], self.inner.height()))

    def _hatch(self) -> QBrush:
        return QBrush(self.theme.color("muted", 0.45), Qt.BrushStyle.BDiagPattern)

    def _paint_map(self, p: QPainter) -> None:
        inner, curve = self.inner, self.curve
        image = colored(self.shares(curve.values), self.theme)
        # Each sample's colour lies around its place, so that those at the ends stand out by half.
        n, m = curve.values.shape
        half = inner.width() / max(n - 1, 1) / 2, inner.height() / max(m - 1, 1) / 2
        p.save()
        p.setClipRect(inner)
        p.fillRect(inner, self._hatch())
        p.drawImage(inner.adjusted(-half[0], -half[1], half[0], half[1]), image)
        p.restore()
        low, high = self._scales()[[0, -1]]
        for scale in log_ticks(low, high, () if inner.height() < 70 else (3.0,)):
            y = self.y_of_scale(scale)
            p.setPen(QPen(self.theme.color("muted"), 1))
            p.drawLine(QPointF(inner.left() - TICK, y), QPointF(inner.left(), y))
            self._left_number(p, y, f"{scale:g}")
        self._name(p, QRectF(inner.left() - LEFT, inner.top(), 12, inner.height()), "c")
        self._paint_bar(p)

    def shares(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return where values lie between the lowest (0) and the highest (1)."""
        span = self.high - self.low
        return (values - self.low) / span if span > 0 else np.where(np.isnan(values), np.nan, 1.0)

    def _paint_bar(self, p: QPainter) -> None:
        """Say what the colours stand for."""
        inner = self.inner
        bar = QRectF(inner.right() + GAP, inner.top(), BAR, inner.height())
        ramp = np.linspace(0, 1, 64)[None, :]
        p.drawImage(bar, colored(ramp, self.theme))
        p.setPen(self.theme.color("muted"))
        height = self._metrics.height()
        room = QRectF(bar.right() + 3, 0, BAR_ROOM - BAR - GAP - 3, height)
        flags = Qt.AlignmentFlag.AlignLeft | _MIDDLE
        for value, y in ((self.high, bar.top() + 3), (self.low, bar.bottom() - 3)):
            p.drawText(room.translated(0, y - height / 2), flags, number(value, 2))

    def _paint_frame(self, p: QPainter) -> None:
        inner = self.inner
        p.setPen(QPen(self.theme.color("muted"), 1))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.drawLine(inner.bottomLeft(), inner.bottomRight())
        p.drawLine(inner.bottomLeft(), inner.topLeft())
        q = self.curve.question
        name = "c" if self.locked else "a" if q.mode == "constant" else "t"
        height = self._metrics.height()
        row = QRectF(0, inner.bottom() + TICK, 0, height)
        taken = inner.right() + RIGHT - self._metrics.horizontalAdvance(name)
        self._name(p, row.adjusted(taken - 2, 0, inner.right() + RIGHT, 0), name)
        if self.locked:
            places = log_ticks(q.low, q.high, () if inner.width() < 180 else (2.0, 5.0))
        else:
            places = ticks(q.low, q.high, max(2, int(inner.width() / 48)))
        end = -math.inf
        for place in places:
            x = self.x(place)
            words = tick_text(place)
            width = self._metrics.horizontalAdvance(words)
            p.setPen(QPen(self.theme.color("muted"), 1))
            p.drawLine(QPointF(x, inner.bottom()), QPointF(x, inner.bottom() + TICK))
            left = x - width / 2
            if left < end + GAP or x + width / 2 > taken - GAP:
                continue
            p.drawText(QPointF(left, row.top() + self._metrics.ascent()), words)
            end = x + width / 2

    def _name(self, p: QPainter, where: QRectF, name: str) -> None:
        face = font(SMALL)
        face.setItalic(True)
        p.setFont(face)
        p.setPen(self.theme.color("text"))
        p.drawText(where, Qt.AlignmentFlag.AlignLeft | _MIDDLE, name)
        p.setFont(self._font)

    def _left_number(self, p: QPainter, y: float, words: str) -> None:
        height = self._metrics.height()
        p.setPen(self.theme.color("muted"))
        where = QRectF(0, y - height / 2, self.inner.left() - TICK - 2, height)
        p.drawText(where, Qt.AlignmentFlag.AlignRight | _MIDDLE, words)

    def _paint_best(self, p: QPainter) -> None:
        at = self.best_at()
        if at is None or self.curve.best is None:
            return
        p.setPen(QPen(self.theme.color("ground"), 3))
        p.setBrush(self.theme.color("ground"))
        p.drawPolygon(diamond(at))
        p.setPen(QPen(self.theme.color("text"), 1.4))
        if self.curve.best.edges:  # filled: it is only the best of the range
            p.setBrush(self.theme.color("text"))
        p.drawPolygon(diamond(at))


def diamond(at: QPointF) -> QPolygonF:
    """Return the best's mark around a place."""
    x, y = at.x(), at.y()
    return QPolygonF(
        [QPointF(x, y - MARK), QPointF(x + MARK, y), QPointF(x, y + MARK), QPointF(x - MARK, y)]
    )


def colored(shares: npt.NDArray[np.float64], theme: Theme) -> QImage:
    """Return shares (n, m) of t and c as an image, c upwards; what is NaN is left open.

    From nearly the ground (the lowest) to the colour of what is normalised (the highest), so that
    lightness alone tells the order.
    """
    ground = _rgb(theme.color("ground"))
    color = _rgb(theme.color("query"))
    filled = np.nan_to_num(shares, nan=0.0).T[::-1, :, None]
    weight = 0.06 + 0.86 * np.clip(filled, 0, 1)
    pixels = np.empty((*filled.shape[:2], 4), dtype=np.uint8)
    pixels[..., :3] = np.round((1 - weight) * ground + weight * color)
    pixels[..., 3] = np.where(np.isnan(shares.T[::-1]), 0, 255)
    height, width = pixels.shape[:2]
    # A copy: the image of an array lives no longer than the array.
    return QImage(
        np.ascontiguousarray(pixels).tobytes(), width, height, 4 * width,
        QImage.Format.Format_RGBA8888,
    ).copy()  # fmt: skip


def _rgb(color: QColor) -> npt.NDArray[np.float64]:
    return np.array([color.red(), color.green(), color.blue()], dtype=np.float64)


def value_range(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the lowest and highest value; some room around a single one, 0 to 1 without any."""
    if not values.size or np.isnan(values).all():
        return 0.0, 1.0
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if high - low < 1e-6:  # flat, but for rounding
        return low - 0.05, high + 0.05
    return low, high
