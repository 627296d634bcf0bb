"""One page of many heads, as for a paper: small multiples with one colour scale and a caption.

It paints the cells that it is given, one at a time, so that a window can paint a few and go on;
it computes none and asks no document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter, QPen, QPolygonF

from attnviz_gui.errors import InputError
from attnviz_gui.export.gallery import MASKED, SHADES, rows_and_columns
from attnviz_gui.ui.theme import NORMAL, PAPER, SMALL, font
from attnviz_gui.ui.views.anatomy.colors import masked_color
from attnviz_gui.ui.views.color_scale import ColorScale
from attnviz_gui.ui.views.labels import mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.export.gallery import Cell, Half, Kind, Place

SIZES = {"heatmap": (150.0, 150.0), "embedding": (290.0, 140.0), "scatter": (170.0, 150.0)}
# A mark's colour and name; the heatmap has a bar.
ENTRIES: dict[Kind, tuple[tuple[str, str], ...]] = {
    "embedding": (("query", "queries"), ("key", "keys")),
    "scatter": (("before", "before"), ("after", "after")),
}
MARGIN, GAP, HEAD = 16.0, 12.0, 15.0  # around the page, between cells, a cell's title
BAR = 180.0, 9.0
MOST_PIXELS = 120_000_000  # half a gigabyte
_DOT = 1.9  # radius of a point, where they are few
_FEW = 60


class GalleryPage:
    """A page that is painted cell by cell.

    Parameters
    ----------
    kind
        What its cells show.
    places
        Which heads, in their order.
    heading, caption
        The lines above and beneath.
    levels
        Attention at the first and the last colour of a heatmap.
    logarithmic
        Whether the colours go by powers of ten.
    pixels
        Pixels for each logical unit, 1 to 4.

    Raises
    ------
    InputError
        When the page would be too large for a picture.
    """

    def __init__(
        self, kind: Kind, places: Sequence[Place], *, heading: str, caption: str,
        levels: tuple[float, float] = (0.0, 1.0), logarithmic: bool = False, pixels: int = 2,
    ) -> None:  # fmt: skip
        self.kind, self.places = kind, tuple(places)
        self.heading, self.caption = heading, caption
        self.scale = ColorScale(*levels, logarithmic=logarithmic)
        wide, high = SIZES[kind]
        self.rows, self.columns = rows_and_columns(self.places, wide / (high + HEAD))
        self.cell = QSize(round(wide), round(high + HEAD))
        self._top = MARGIN + QFontMetricsF(font(NORMAL, bold=True)).height() + 8
        small = QFontMetricsF(font(SMALL)).height()
        self._foot = small + 10 + (BAR[1] + small + 12 if kind == "heatmap" else 0)
        width = 2 * MARGIN + self.columns * (wide + GAP) - GAP
        height = self._top + self.rows * (self.cell.height() + GAP) - GAP + self._foot + MARGIN
        least = QFontMetricsF(font(NORMAL, bold=True)).horizontalAdvance(heading) + 2 * MARGIN
        least += self._legend_width(QFontMetricsF(font(SMALL)))
        size = QSize(round(max(width, least, 420)), round(height))
        if size.width() * size.height() * pixels**2 > MOST_PIXELS:
            raise InputError(
                f"{len(self.places):,} heads at {pixels}× make a page of "
                f"{size.width() * pixels:,} × {size.height() * pixels:,} pixels. Choose a lower "
                "resolution, one layer, or the folder of single pictures."
            )
        self.size = size
        self.image = QImage(size * pixels, QImage.Format.Format_RGB32)
        self.image.setDevicePixelRatio(pixels)
        self.image.fill(Qt.GlobalColor.white)
        self._pixels = pixels
        lut = pg.colormap.get("viridis").getLookupTable(nPts=SHADES, alpha=False)
        masked = masked_color(PAPER)
        self._lut = np.vstack([lut, [masked.red(), masked.green(), masked.blue()]])
        self._masked_named = False
        self._words()

    @property
    def side(self) -> int:
        """Most pixels to a side of a heatmap."""
        return round(max(SIZES["heatmap"]) * self._pixels)

    def area(self, n: int) -> QRectF:
        """Return where a cell lies, its title included."""
        row, column = divmod(n, self.columns)
        return QRectF(
            MARGIN + column * (self.cell.width() + GAP),
            self._top + row * (self.cell.height() + GAP),
            self.cell.width(),
            self.cell.height(),
        )

    def draw(self, n: int, cell: Cell) -> None:
        """Paint the n-th cell."""
        p = QPainter(self.image)
        p.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        area = self.area(n)
        title = QRectF(area.left(), area.top(), area.width(), HEAD)
        small = font(SMALL)
        p.setPen(PAPER.color("text"))
        p.setFont(font(SMALL, bold=True))
        left = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        p.drawText(title, left, cell.title)
        p.setFont(small)
        p.setPen(PAPER.color("muted"))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        room = title.width() - QFontMetricsF(font(SMALL, bold=True)).horizontalAdvance(cell.title)
        numbers = QFontMetricsF(small).elidedText(
            cell.numbers, Qt.TextElideMode.ElideRight, max(room - 8, 0)
        )
        p.drawText(title, right, numbers)
        inner = area.adjusted(0, HEAD, 0, 0)
        if cell.fault:
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            p.drawText(inner.adjusted(6, 6, -6, -6), flags, cell.fault)
        elif cell.shades is not None:
            self._heatmap(p, inner, cell)
        elif cell.before is not None and cell.after is not None:
            if self.kind == "scatter":
                self._scatter(p, inner, cell.before, cell.after)
            else:
                self._planes(p, inner, cell)
        p.end()

    # -- cells -------------------------------------------------------------------------------

    def _heatmap(self, p: QPainter, area: QRectF, cell: Cell) -> None:
        assert cell.shades is not None
        rows, columns = cell.shades.shape
        colors = np.ascontiguousarray(self._lut[cell.shades], dtype=np.uint8)
        image = QImage(
            colors.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888
        )  # fmt: skip
        p.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        p.drawImage(area, image)
        self._frame(p, area)
        if not self._masked_named and (cell.shades == MASKED).any():
            self._masked_named = True
            self._name_masked(p)

    def _planes(self, p: QPainter, area: QRectF, cell: Cell) -> None:
        assert cell.before is not None and cell.after is not None and cell.lines is not None
        middle = area.center().x()
        halves = (
            QRectF(area.topLeft(), QPointF(middle - 2, area.bottom())),
            QRectF(QPointF(middle + 2, area.top()), area.bottomRight()),
        )
        # One unit for both, so that a length is as long before and after.
        sides = [np.concatenate(half.points) for half in (cell.before, cell.after)]
        extents = [np.ptp(xy, axis=0) if len(xy) else np.zeros(2) for xy in sides]
        room = np.array([halves[0].width() - 16, halves[0].height() - 16])
        wide = float(max((extent / room).max() for extent in extents))
        unit = 1 / wide if wide > 0 else 1.0
        for half, xy, box in zip((cell.before, cell.after), sides, halves, strict=True):
            centre = (xy.min(axis=0) + xy.max(axis=0)) / 2 if len(xy) else np.zeros(2)
            queries, keys = (
                (side - centre) * (unit, -unit) + (box.center().x(), box.center().y())
                for side in half.points
            )
            p.save()
            p.setClipRect(box)
            tone = 0.35 if len(cell.lines) <= _FEW else 0.2
            p.setPen(QPen(mix(PAPER.color("ground"), PAPER.color("text"), tone), 0.6))
            p.drawLines(
                [
                    QLineF(QPointF(*queries[i]), QPointF(*keys[j]))
                    for i, j in cell.lines.tolist()
                ]
            )  # fmt: skip
            few = min(1.0, (_FEW / max(len(xy), 1)) ** 0.5)
            radius = max(_DOT * few, 0.6)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(PAPER.color("key"))
            for x, y in keys.tolist():
                p.drawPolygon(_triangle(x, y, 1.25 * radius))
            p.setBrush(PAPER.color("query"))
            for x, y in queries.tolist():
                p.drawEllipse(QPointF(x, y), radius, radius)
            p.restore()
            self._frame(p, box)

    def _scatter(self, p: QPainter, area: QRectF, before: Half, after: Half) -> None:
        sides = [half.points[0] for half in (before, after)]
        both = np.concatenate(sides)
        if not len(both):
            self._frame(p, area)
            return
        low, high = both.min(axis=0), both.max(axis=0)
        size = np.where(high > low, high - low, 1)
        low = np.where(high > low, low, low - 0.5)  # what is equal everywhere is in the middle
        inner = area.adjusted(4, 4, -4, -4)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        for xy, role in zip(sides, ("before", "after"), strict=True):
            few = min(1.0, (200 / max(len(xy), 1)) ** 0.5)
            color = mix(PAPER.color("ground"), PAPER.color(role), max(few, 0.6))
            pen = QPen(color, max(2.6 * few, 1.0))
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            p.setPen(pen)
            # In half pixels, each place once: thousands of pairs fall onto the same ones.
            room = np.array([inner.width(), inner.height()]) * 2 * self._pixels
            at = np.round((xy - low) / size * room).astype(np.int64)
            places = np.unique(at[:, 0] * (1 << 20) + at[:, 1])
            half = 0.5 / self._pixels
            x = inner.left() + half * (places >> 20)
            y = inner.bottom() - half * (places & ((1 << 20) - 1))
            p.drawPoints(QPolygonF([QPointF(*v) for v in zip(x.tolist(), y.tolist(), strict=True)]))
        self._frame(p, area)

    @staticmethod
    def _frame(p: QPainter, area: QRectF) -> None:
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(PAPER.color("faint"), 0.8))
        p.drawRect(area)

    # -- around them -------------------------------------------------------------------------

    def _words(self) -> None:
        p = QPainter(self.image)
        p.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        width = self.size.width() - 2 * MARGIN
        p.setPen(PAPER.color("text"))
        p.setFont(font(NORMAL, bold=True))
        p.drawText(QRectF(MARGIN, MARGIN, width, 20), Qt.AlignmentFlag.AlignLeft, self.heading)
        small = font(SMALL)
        metrics = QFontMetricsF(small)
        p.setFont(small)
        if self.kind == "heatmap":
            self._bar(p, metrics)
        else:
            self._legend(p, metrics)
        p.setPen(PAPER.color("muted"))
        line = QRectF(
            MARGIN, self.size.height() - MARGIN - metrics.height(), width, metrics.height()
        )
        # The end says which model and which a and c: it is the text that is shortened.
        text, mark, facts = self.caption.rpartition("  ·  ")
        room = width - metrics.horizontalAdvance(mark + facts)
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, max(room, 0))
        p.drawText(line, Qt.AlignmentFlag.AlignLeft, text + mark + facts)
        p.end()

    def _bar(self, p: QPainter, metrics: QFontMetricsF) -> None:
        bar = self._bar_area
        row = np.ascontiguousarray(self._lut[None, :SHADES, :], dtype=np.uint8)
        n = row.shape[1]
        p.drawImage(bar, QImage(row.tobytes(), n, 1, 3 * n, QImage.Format.Format_RGB888))
        p.setPen(PAPER.color("muted"))
        centre = Qt.AlignmentFlag.AlignHCenter
        p.drawText(QPointF(MARGIN, bar.bottom()), "attention")
        for at, words in self.scale.ticks:
            x = bar.left() + at * bar.width()
            p.drawText(QRectF(x - 40, bar.bottom() + 2, 80, metrics.height()), centre, words)

    @property
    def _bar_area(self) -> QRectF:
        return QRectF(MARGIN + 60, self.size.height() - MARGIN - self._foot + 8, *BAR)

    def _name_masked(self, p: QPainter) -> None:
        """Say what the colour of masked pairs is, beside the bar."""
        bar = self._bar_area
        swatch = QRectF(bar.right() + 24, bar.top(), bar.height(), bar.height())
        p.fillRect(swatch, masked_color(PAPER))
        self._frame(p, swatch)
        p.setFont(font(SMALL))
        p.setPen(PAPER.color("muted"))
        p.drawText(QPointF(swatch.right() + 5, bar.bottom()), "masked")

    def _legend_width(self, metrics: QFontMetricsF) -> float:
        """Return how wide the legend is, with what keeps it from the heading."""
        entries = ENTRIES.get(self.kind, ())
        return sum(metrics.horizontalAdvance(name) + 24 for _, name in entries) + 12

    def _legend(self, p: QPainter, metrics: QFontMetricsF) -> None:
        """Say what the marks are, at the right of the heading."""
        x, y = self.size.width() - MARGIN, MARGIN + 9.0
        for role, name in reversed(ENTRIES[self.kind]):
            x -= metrics.horizontalAdvance(name)
            p.setPen(PAPER.color("muted"))
            p.drawText(QPointF(x, y + 4), name)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(PAPER.color(role))
            if role == "key":
                p.drawPolygon(_triangle(x - 8, y, 3.6))
            else:
                p.drawEllipse(QPointF(x - 8, y), 3, 3)
            x -= 24


def _triangle(x: float, y: float, size: float) -> QPolygonF:
    return QPolygonF(
        [QPointF(x, y - size), QPointF(x + size, y + 0.8 * size), QPointF(x - size, y + 0.8 * size)]
    )
