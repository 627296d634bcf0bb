"""A matrix as an image, and the frames that are laid over its cells. Knows nothing of documents."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainterPath, QPen

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt
    from PySide6.QtGui import QColor, QPainter

    from attnviz_gui.ui.theme import Theme

LARGE = 12  # pixels: a cell that has room for a frame of its own


class FastImage(pg.ImageItem):
    """An image of one number per place, painted ten times faster than pyqtgraph's own.

    That one leaves the colours in a table, which Qt looks up anew in every paint.
    """

    qimage: QImage | None

    def __init__(self) -> None:
        super().__init__(axisOrder="row-major")

    def render(self) -> None:
        """Make the picture that is painted."""
        super().render()
        if self.qimage is not None:
            self.qimage = self.qimage.convertToFormat(QImage.Format.Format_RGB32)


class MatrixItem(FastImage):
    """A matrix that keeps its strongest entries where cells are smaller than pixels.

    An image that is merely scaled down drops rows and columns, and with them entries that matter;
    here every pixel shows the largest of the cells that fall into it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._small = FastImage()  # never in a scene, only painted
        self._small_shape: tuple[int, int] | None = None

    def set_matrix(self, matrix: npt.NDArray[np.float32], levels: tuple[float, float]) -> None:
        """Show a matrix, (rows, columns) contiguous float32 without NaN."""
        self._small_shape = None
        self.setImage(matrix, autoLevels=False, levels=levels)

    def set_colors(self, lut: npt.NDArray[np.uint8]) -> None:
        """Take another table of colours, (n, 3)."""
        self._small_shape = None
        self.setLookupTable(lut)

    def paint(self, painter: QPainter, *args: object) -> None:
        """Draw the matrix, or the largest of the entries that share a pixel."""
        if self.image is None:
            return
        device = painter.deviceTransform()
        rows, columns = self.image.shape
        shape = shape_in_pixels(
            (rows, columns),
            math.hypot(device.m21(), device.m22()),
            math.hypot(device.m11(), device.m12()),
        )
        if shape == (rows, columns):
            super().paint(painter, *args)
            return
        if shape != self._small_shape:
            self._small_shape = shape
            small = strongest(self.image, shape)
            self._small.setImage(small, autoLevels=False, levels=self.levels, lut=self.lut)
        painter.save()
        painter.scale(columns / shape[1], rows / shape[0])
        self._small.paint(painter, *args)
        painter.restore()


def shape_in_pixels(shape: tuple[int, int], high: float, wide: float) -> tuple[int, int]:
    """Return a matrix' shape, or how many pixels it covers where those are fewer.

    A cell is `high` by `wide` pixels.
    """
    rows, columns = shape
    return (
        min(max(round(rows * high), 1), rows),
        min(max(round(columns * wide), 1), columns),
    )


def strongest(matrix: npt.NDArray[np.float32], shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Return a smaller matrix of the largest entries, each entry belonging to one place."""
    for axis in (0, 1):
        n, few = matrix.shape[axis], shape[axis]
        if few == n:
            continue
        # Place p takes the rows from start[p] to before start[p + 1]. One pass over all places
        # for each of those rows: maximum.reduceat says the same in ten times as long.
        start = np.arange(few + 1) * n // few
        last = start[1:] - 1
        small = matrix.take(start[:-1], axis=axis)
        for step in range(1, -(-n // few)):
            rows = np.minimum(start[:-1] + step, last)
            np.maximum(small, matrix.take(rows, axis=axis), out=small)
        matrix = small
    return matrix


class CellFrames(pg.GraphicsObject):
    """Frames around rows, columns and cells of the matrix in a view box.

    Drawn in pixels, not in cells: lines keep their width, and the frame of a cell that is smaller
    than a pixel can still be seen. Lines along a row or column lie outside it: what they point at
    keeps its colours.
    """

    def __init__(self, box: pg.ViewBox, theme: Theme) -> None:
        super().__init__()
        self.box = box
        self.theme = theme
        self.row: int | None = None
        self.column: int | None = None
        self.watched: list[tuple[int, int]] = []
        self.setZValue(10)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        box.sigRangeChanged.connect(self._moved)
        box.sigResized.connect(self._moved)

    def set_focus(self, row: int | None, column: int | None) -> None:
        """Frame a row, a column, or both."""
        self.row, self.column = row, column
        self.update()

    def set_watched(self, cells: Iterable[tuple[int, int]]) -> None:
        """Frame these cells in the colour of watched pairs."""
        self.watched = list(cells)
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    def _moved(self) -> None:
        self.prepareGeometryChange()
        self.update()

    def boundingRect(self) -> QRectF:
        """The view box and the width of a line around it."""
        return self.box.geometry().adjusted(-4, -4, 4, 4)

    def rect(
        self, row: int, column: int, rows: int = 1, columns: int = 1, *, least: float = 0
    ) -> QRectF:
        """Return where some cells are, in pixels of the view; at least `least` wide and high."""
        area = self.box.geometry()
        (x0, x1), (y0, y1) = self.box.viewRange()
        w, h = area.width() / (x1 - x0), area.height() / (y1 - y0)
        rect = QRectF(
            area.left() + (column - x0) * w, area.top() + (row - y0) * h, columns * w, rows * h
        )
        wide, high = max(least - rect.width(), 0) / 2, max(least - rect.height(), 0) / 2
        return rect.adjusted(-wide, -high, wide, high)

    def paint(self, p: QPainter, *args: object) -> None:
        """Draw the border of the matrix and the frames."""
        area = self.box.geometry()
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(self.theme.color("faint"), 1))
        p.drawRect(area.adjusted(-0.5, -0.5, 0.5, 0.5))  # outside: small cells lie at the edges
        p.setClipRect(area.adjusted(-3, -3, 3, 3))
        (x0, x1), (y0, y1) = self.box.viewRange()
        if self.row is not None:
            band = self.rect(self.row, math.floor(x0), 1, math.ceil(x1 - x0) + 1, least=3)
            self._around(p, band & area, self.theme.color("query"))
        if self.column is not None:
            band = self.rect(math.floor(y0), self.column, math.ceil(y1 - y0) + 1, 1, least=3)
            self._around(p, band & area, self.theme.color("key"))
        self._frame_watched(p)
        if self.row is not None and self.column is not None:
            cell = self.rect(self.row, self.column)
            inset = 4 if (self.row, self.column) in self.watched else 0
            if min(cell.width(), cell.height()) >= LARGE + 3 * inset and cell.intersects(area):
                cell.adjust(inset, inset, -inset, -inset)
                self._stroke(p, _path([cell]), self.theme.color("text"))

    def _frame_watched(self, p: QPainter) -> None:
        cells = [self.rect(row, column, least=8) for row, column in self.watched]
        path = _path(cells)
        if cells and min(cells[0].width(), cells[0].height()) < LARGE:
            path = path.simplified()  # small neighbours share a frame
        self._stroke(p, path, self.theme.color("watched"))

    def _around(self, p: QPainter, rect: QRectF, color: QColor) -> None:
        if rect.isEmpty():
            return
        p.setPen(_pen(self.theme.color("ground", 0.85), 1.5))
        p.drawRect(rect.adjusted(-2.5, -2.5, 2.5, 2.5))
        p.setPen(_pen(color, 2))
        p.drawRect(rect.adjusted(-1, -1, 1, 1))

    def _stroke(self, p: QPainter, path: QPainterPath, color: QColor) -> None:
        # Ground on both sides of the line: it must be seen on every colour of the image.
        for pen in (_pen(self.theme.color("ground", 0.85), 4), _pen(color, 2)):
            p.strokePath(path, pen)


def _path(rects: Iterable[QRectF]) -> QPainterPath:
    path = QPainterPath()
    path.setFillRule(Qt.FillRule.WindingFill)
    for rect in rects:
        path.addRect(rect)
    return path


def _pen(color: QColor, width: float) -> QPen:
    pen = QPen(color, width)
    pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
    return pen
