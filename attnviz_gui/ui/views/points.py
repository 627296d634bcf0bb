"""Many points in one view box: exact discs up to 20,000, above it how many fall on each cell.

The item draws its arrays at the resolution of whatever it is painted on, so an enlarged figure is
as sharp as the screen. It never drops or recolours a point: highlights are items of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PySide6.QtCore import QPoint, QRect, QRectF
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QGraphicsItem

from attnviz_gui.ui.views.few_discs import FewDiscs
from attnviz_gui.ui.views.raster import CHUNK, Area, count_cells, sheet_of, splat

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyqtgraph as pg
    from PySide6.QtGui import QColor
    from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

MANY = 2_000_000  # points above which counting them takes too long for the GUI thread
DENSE = 20_000  # points above which they are drawn as a density
CELL = 2.0  # side of a density's cells, in logical pixels
DEEPEST = 100_000  # counts above this have the last colour
_LEVELS, _INK = 1024, 256.0  # steps of opacity, and steps per unit of ink


class Counted(NamedTuple):
    """How many points each cell of an area holds, (rows + 2, columns + 2), as `count_cells`."""

    area: Area
    counts: npt.NDArray[np.intp]


Counter = Callable[[Area], Counted]


def count(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], area: Area) -> Counted:
    """Count the points in the cells of an area; the border of the result is out of sight."""
    return Counted(area, count_cells(x, y, area, CELL))


class PixelItem(QGraphicsItem):
    """An item that draws in the logical pixels of a view box, not in its data coordinates."""

    def __init__(self, box: pg.ViewBox, z: float) -> None:
        super().__init__()
        # Given to the box once it is whole: the box looks at a child while it is being given one.
        self.setParentItem(box)
        self.area: Area | None = None
        self.setZValue(z)

    def set_area(self, area: Area) -> None:
        """Take other axes or another size."""
        self.prepareGeometryChange()
        self.area = area

    def boundingRect(self) -> QRectF:
        """The whole view box."""
        if self.area is None:
            return QRectF()
        return QRectF(0, 0, self.area.width, self.area.height)


class Points(PixelItem):
    """One set of points of one colour."""

    def __init__(self, box: pg.ViewBox, z: float) -> None:
        super().__init__(box, z)
        self.xs = self.ys = np.empty(0, dtype=np.float32)
        self._dots = self._colors = np.zeros(2, dtype=np.uint32)
        self._peak = 0
        self.ramp: tuple[QColor, QColor] | None = None  # of a density: few, many
        self._n = 0
        self._counted: Counted | None = None
        self._counter: Counter | None = None
        self._highest: tuple[npt.NDArray[np.intp], int] | None = None
        self._image = QImage()
        self._few, self._margin = FewDiscs(), 0  # and the margin of the image on show
        self._made_for: object = None  # what the image shows; None when it is out of date

    @property
    def dense(self) -> bool:
        """Whether the points are drawn as a density."""
        return self._n > DENSE

    @property
    def stale(self) -> bool:
        """Whether the density on show was counted for other axes; it is stretched to these."""
        return self._counted is not None and self._counted.area != self.area

    def set_points(
        self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32],
        counted: Counted | None = None,
    ) -> None:  # fmt: skip
        """Take other points, (n,) each, and their counts where these are known."""
        self.xs, self.ys, self._n = x, y, len(x)
        self._counter = None
        self.set_counted(counted)

    def set_counts(self, n: int, counted: Counted | None, counter: Counter) -> None:
        """Take `n` points that are nowhere listed: their counts, and how to count them anew."""
        self.xs = self.ys = np.empty(0, dtype=np.float32)
        self._n, self._counter = n, counter
        self.set_counted(counted)

    def counting(self) -> Counter:
        """Return what counts these very points for other axes; may run in a worker."""
        return self._counter or partial(count, self.xs, self.ys)

    def set_counted(self, counted: Counted | None) -> None:
        """Take counts of the same points that were made elsewhere."""
        self._counted = counted
        self._forget_image()

    def set_area(self, area: Area) -> None:
        """Take other axes or another size."""
        super().set_area(area)
        if self._counter is None and self._n <= MANY:
            self._counted = None
        self._forget_image()

    def set_colors(self, dot: QColor, few: QColor, many: QColor) -> None:
        """Take the colour of discs, and those of a density's lowest and highest counts."""
        opacity = -np.expm1(-np.arange(_LEVELS) / _INK)
        self._dots = _premultiplied(np.tile(_rgb(dot), (_LEVELS, 1)), opacity)
        self.ramp = (few, many)
        self._peak = 0
        self._forget_image()

    def set_peak(self, peak: int) -> None:
        """Give the density's last colour to this count."""
        if self.ramp is not None and peak != self._peak:
            self._peak = peak
            self._colors = density_colors(*self.ramp, peak)
            self._forget_image()

    @property
    def counted(self) -> Counted | None:
        """The counts, if they have been made."""
        return self._counted

    @property
    def counts(self) -> npt.NDArray[np.intp]:
        """How many points each cell holds, (rows + 2, columns + 2); the border is out of sight."""
        if self._counted is None:
            assert self.area is not None
            self._counted = self.counting()(self.area)
        return self._counted.counts

    @property
    def highest(self) -> int:
        """The highest count in sight."""
        counts = self.counts
        if self._highest is None or self._highest[0] is not counts:
            inner = counts[1:-1, 1:-1]
            self._highest = counts, int(inner.max()) if inner.size else 0
        return self._highest[1]

    @property
    def disc_diameter(self) -> float:
        """Of a disc, in logical pixels: the more points, the smaller."""
        return min(max(11.5 - 2.1 * math.log10(max(self._n, 1)), 2.5), 7.0)

    @property
    def disc_opacity(self) -> float:
        """Of a disc: the more points, the more of them lie over each other."""
        return min(max(1.15 - 0.17 * math.log10(max(self._n, 1)), 0.4), 0.8)

    def paint(
        self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None
    ) -> None:
        """Draw the density or the discs."""
        if self.area is None or not self._n:
            return
        if self.dense:
            image = self._density()
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
            painter.save()
            painter.setClipRect(self.boundingRect())
            painter.drawImage(self._place_of(image), image)
            painter.restore()
            return
        to_device = painter.deviceTransform()
        place = to_device.mapRect(self.boundingRect())
        corner = QPoint(math.floor(place.left()), math.floor(place.top()))
        shape = math.ceil(place.bottom()) - corner.y(), math.ceil(place.right()) - corner.x()
        image, margin = self._discs(
            to_device.m11(), place.left() - corner.x(), place.top() - corner.y(), shape
        )
        painter.save()
        painter.setTransform(to_device.inverted()[0], True)
        painter.drawImage(corner, image, QRect(margin, margin, shape[1], shape[0]))
        painter.restore()

    def _place_of(self, image: QImage) -> QRectF:
        """Where a density goes: stretched from the axes that it was counted for to these."""
        place = QRectF(0, 0, image.width() * CELL, image.height() * CELL)
        if not self.stale:
            return place
        assert self.area is not None and self._counted is not None
        now, then = self.area, self._counted.area
        wide, high = now.per_x / then.per_x, now.per_y / then.per_y
        left, top = float(now.across(then.left)), float(now.down(then.top))
        return QRectF(left, top, place.width() * wide, place.height() * high)

    def _density(self) -> QImage:
        if self._made_for != "density":
            self._image = self._colored(self.counts[1:-1, 1:-1], self._colors)
            self._made_for = "density"
        return self._image

    def _discs(
        self, scale: float, left: float, top: float, shape: tuple[int, int]
    ) -> tuple[QImage, int]:
        """Return an image, and how wide its margin is."""
        assert self.area is not None
        wanted = (scale, left, top, shape)
        few = self._n * self.disc_diameter**2 * scale**2 < shape[0] * shape[1] / 4
        if self._made_for != wanted:
            across, down = self.area.across(self.xs), self.area.down(self.ys)
            discs = (
                across * scale + left, down * scale + top, shape,
                round(self.disc_diameter * scale * 4) / 4, round(self.disc_opacity, 2),
            )  # fmt: skip
            self._margin = 0
            if few:
                sheet = sheet_of(*discs)
                self._few.draw(sheet, self._dots, _INK)
                self._margin = sheet.margin
            else:
                self._image = self._colored(splat(*discs), self._dots, _INK)
            self._made_for = wanted
        return (self._few.image if few else self._image), self._margin

    def _colored(
        self,
        values: npt.NDArray[np.float64] | npt.NDArray[np.intp],
        colors: npt.NDArray[np.uint32],
        steps: float = 1.0,
    ) -> QImage:
        """Return an image of (rows, columns) values; the old one's memory serves again."""
        rows, columns = values.shape
        image = self._image
        if (image.height(), image.width()) != (rows, columns):
            image = QImage(columns, rows, QImage.Format.Format_ARGB32_Premultiplied)
        pixels = np.frombuffer(image.bits(), dtype=np.uint32).reshape(rows, columns)
        band = max(CHUNK // max(columns, 1), 1)
        for start in range(0, rows, band):
            level = (values[start : start + band] * steps).astype(np.intp)
            colors.take(level, mode="clip", out=pixels[start : start + band])
        return image

    def _forget_image(self) -> None:
        self._made_for = None
        self.update()


def density_colors(few: QColor, many: QColor, peak: int) -> npt.NDArray[np.uint32]:
    """Return the colours of the counts 0 (nothing) to `peak`, by the logarithm of the count."""
    steps = np.log(np.arange(1, peak + 1)) / math.log(max(peak, 2))
    rgb = np.outer(1 - steps, _rgb(few)) + np.outer(steps, _rgb(many))
    colors = np.zeros(peak + 1, dtype=np.uint32)
    colors[1:] = _premultiplied(rgb, np.ones(peak))
    return colors


def round_peak(count: int) -> int:
    """Return the next of 2, 5, 10, 20, 50 ... `DEEPEST`: it stays put for small changes."""
    decade = 10 ** (len(str(max(count, 2))) - 1)
    peak = next(step * decade for step in (1, 2, 5, 10) if step * decade >= max(count, 2))
    return min(peak, DEEPEST)


def _rgb(color: QColor) -> tuple[float, float, float]:
    return color.redF(), color.greenF(), color.blueF()


def _premultiplied(
    rgb: npt.NDArray[np.float64], opacity: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint32]:
    """(n, 3) from 0 to 1 and (n,) to 0xAARRGGBB."""
    parts = np.column_stack([opacity, rgb * opacity[:, None]])
    parts = np.rint(parts * 255).astype(np.uint32)
    return (parts << np.array([24, 16, 8, 0], dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
