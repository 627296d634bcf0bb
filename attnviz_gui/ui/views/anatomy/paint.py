"""Draw the steps of a computation: for the window or for paper, from one and the same layout."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPen, QPolygonF

from attnviz_gui.ui.theme import LARGE, NORMAL, SMALL, font
from attnviz_gui.ui.views.anatomy.colors import colors_of, image_of
from attnviz_gui.ui.views.anatomy.flow import GAP, MARGIN, static_text
from attnviz_gui.ui.views.color_scale import ink_on

if TYPE_CHECKING:
    from PySide6.QtGui import QImage, QPainter

    from attnviz_gui.capture.anatomy.record import Axis, Part
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.anatomy.flow import Block, Box, Flow


def short_number(value: float) -> str:
    """Write an entry of a matrix in at most seven signs, four decimals where there is room."""
    if not math.isfinite(value):
        return "−∞" if value < 0 else ("∞" if value > 0 else "–")
    size = abs(value)
    digits = 4 if size < 10 else 3 if size < 100 else 2 if size < 1000 else 1
    text = f"{value:.{digits}f}" if size < 1e5 else f"{value:.1e}"
    return text.replace("-", "−") if float(value) != 0 else "0"


class FlowPainter:
    """Draws a flow; keeps the pictures of its matrices for as long as the theme lasts."""

    def __init__(self, flow: Flow, theme: Theme) -> None:
        self.flow = flow
        self.theme = theme
        self.query: int | None = None  # rows and columns that are lit up, counted in all tokens
        self.key: int | None = None
        self.same_tokens = True  # keys are the queries' own tokens
        self._pictures: dict[tuple[int, int, int], QImage] = {}
        self._small = font(SMALL)
        self._metrics = QFontMetricsF(self._small)

    def paint(self, p: QPainter, clip: QRectF) -> None:
        """Draw what lies in a rectangle of the sheet."""
        if self.flow.note:
            p.setFont(font(NORMAL))
            p.setPen(self.theme.color("muted"))
            p.drawText(QPointF(MARGIN, MARGIN + self._metrics.ascent()), self.flow.note)
        for block in self.flow.blocks:
            reach = QRectF(
                block.left - GAP, block.top, block.width + GAP + 8, block.bottom - block.top + 24
            )
            if reach.intersects(clip):
                self._block(p, block)

    # -- words -------------------------------------------------------------------------------

    def _block(self, p: QPainter, block: Block) -> None:
        line = self.flow.line
        theme = self.theme
        self._sign(p, block)
        y = block.top
        if block.heading:
            p.setPen(theme.color("text"))
            self._rich(p, QPointF(block.left, y), block.heading, NORMAL, bold=True)
        y += line + 3
        p.setPen(theme.color("muted"))
        self._rich(p, QPointF(block.left, y), block.step.name, SMALL)
        y += line + 1
        p.setPen(theme.color("text"))
        self._rich(p, QPointF(block.left, y), block.step.formula, NORMAL)
        for box in block.boxes:
            self._box(p, box)
        if block.step.note:
            p.setPen(theme.color("muted"))
            p.setFont(self._small)
            p.drawText(QPointF(block.left, block.bottom + line), block.step.note)

    @staticmethod
    def _rich(p: QPainter, at: QPointF, html: str, points: int, *, bold: bool = False) -> None:
        if html:
            p.setFont(font(points, bold=bold))
            p.drawStaticText(at, static_text(html, points, bold))

    def _sign(self, p: QPainter, block: Block) -> None:
        """Draw the arrow, or the ×, between a step and the one before."""
        if not block.sign:
            return
        x = block.left - GAP / 2
        # Beside the labels of the rows, which reach to the left of their matrix.
        y = block.middle
        color = self.theme.color("muted")
        if block.sign == "→":
            pen = QPen(color, 1.6)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            p.setPen(pen)
            half = GAP / 2 - 10
            p.drawLine(QLineF(x - half, y, x + half - 4, y))
            p.setBrush(color)
            p.setPen(Qt.PenStyle.NoPen)
            tip = QPointF(x + half + 1, y)
            p.drawPolygon(QPolygonF([tip, tip + QPointF(-8, -4.5), tip + QPointF(-8, 4.5)]))
            return
        p.setPen(color)
        p.setFont(font(LARGE + 4))
        p.drawText(QRectF(x - 20, y - 20, 40, 40), Qt.AlignmentFlag.AlignCenter, block.sign)

    # -- a matrix ----------------------------------------------------------------------------

    def _box(self, p: QPainter, box: Box) -> None:
        matrix = box.prepared.matrix
        theme = self.theme
        role = {"query": "query", "key": "key"}.get(matrix.role, "text")
        name = theme.color(role)
        if role == "key" and theme.name != "dark":
            name = name.darker(125)  # orange letters on white
        p.setPen(name)
        self._rich(p, box.name, matrix.symbol, NORMAL, bold=True)
        wide = static_text(matrix.symbol, NORMAL, True).size().width()
        p.setPen(theme.color("muted"))
        p.setFont(self._small)
        p.drawText(
            QPointF(box.name.x() + wide + 7, box.name.y() + self._metrics.ascent() + 2),
            matrix.shape,
        )
        area = box.area
        p.drawImage(area, self._picture(p, box))
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(theme.color("muted", 0.55), 1))
        p.drawRect(area.adjusted(-0.5, -0.5, 0.5, 0.5))
        if box.numbers:
            self._numbers(p, box)
        self._parts(p, box)
        self._labels(p, box)
        self._focus(p, box)

    def _picture(self, p: QPainter, box: Box) -> QImage:
        device = p.deviceTransform()
        across = math.hypot(device.m11(), device.m12())
        down = math.hypot(device.m21(), device.m22())
        size = round(box.area.width() * across), round(box.area.height() * down)
        key = id(box.prepared), *size
        if key not in self._pictures:
            self._pictures[key] = image_of(
                box.prepared, max(size[0], 1), max(size[1], 1), self.theme
            )
        return self._pictures[key]

    def _numbers(self, p: QPainter, box: Box) -> None:
        values = box.prepared.matrix.values
        colors = colors_of(box.prepared, box.prepared.small, self.theme)
        rows, columns = values.shape
        w, h = box.area.width() / columns, box.area.height() / rows
        p.setFont(self._small)
        for i in range(rows):
            for j in range(columns):
                cell = QRectF(box.area.left() + j * w, box.area.top() + i * h, w, h)
                p.setPen(ink_on(QColor(*(int(c) for c in colors[i, j]))))
                p.drawText(cell, Qt.AlignmentFlag.AlignCenter, short_number(float(values[i, j])))

    # -- what stands at its sides --------------------------------------------------------------

    def _parts(self, p: QPainter, box: Box) -> None:
        """Mark Q, K, V and the chosen head along an axis; else the first and last dimension."""
        matrix, area = box.prepared.matrix, box.area
        for axis, along in ((matrix.columns, True), (matrix.rows, False)):
            if axis.names is not None:
                continue
            length = area.width() if along else area.height()
            per = length / axis.size
            coarse = [part for part in axis.parts if part.level == 0]
            named = coarse or self._roomy(axis, per)
            for part in coarse[1:]:
                self._rule(p, area, part.start * per, along=along)
            p.setFont(self._small)
            for part in axis.parts:
                if part.level and part.chosen:
                    self._chosen(p, area, part.start * per, part.stop * per, along=along)
            if not along:
                continue
            p.setPen(self.theme.color("muted"))
            for part in named:
                words = _bare(part)
                if part.chosen:
                    p.setPen(self.theme.color("text"))
                where = QRectF(
                    area.left() + part.start * per - 20, area.top() - self.flow.line - 4,
                    (part.stop - part.start) * per + 40, self.flow.line,
                )  # fmt: skip
                p.drawText(where, Qt.AlignmentFlag.AlignCenter, words)
                p.setPen(self.theme.color("muted"))
            if not named:
                self._ends(p, box, axis)

    def _roomy(self, axis: Axis, per: float) -> list[Part]:
        """Return the heads whose number has room above their columns."""
        if not axis.parts:
            return []
        chosen = next((i for i, part in enumerate(axis.parts) if part.chosen), None)
        wide = max(self._metrics.horizontalAdvance(_bare(part)) for part in axis.parts) + 3
        each = per * (axis.parts[0].stop - axis.parts[0].start)
        return [axis.parts[i] for i in shown(len(axis.parts), each, wide, chosen)]

    def _ends(self, p: QPainter, box: Box, axis: Axis) -> None:
        """Number the dimensions: all where there are numbers, else the first and the last."""
        area = box.area
        per = area.width() / axis.size
        y = area.top() - self.flow.line - 4
        p.setPen(self.theme.color("muted"))
        if box.numbers:
            for index in range(axis.size):
                cell = QRectF(area.left() + index * per, y, per, self.flow.line)
                p.drawText(cell, Qt.AlignmentFlag.AlignCenter, str(index))
            return
        ends = QRectF(area.left(), y, area.width(), self.flow.line)
        last = str(axis.size - 1)
        p.drawText(ends, Qt.AlignmentFlag.AlignLeft, "0")
        if self._metrics.horizontalAdvance("0" + last) + 6 <= area.width():
            p.drawText(ends, Qt.AlignmentFlag.AlignRight, last)

    def _rule(self, p: QPainter, area: QRectF, at: float, *, along: bool) -> None:
        p.setPen(QPen(self.theme.color("text", 0.8), 1.4))
        if along:
            x = area.left() + at
            p.drawLine(QLineF(x, area.top() - 4, x, area.bottom()))
        else:
            y = area.top() + at
            p.drawLine(QLineF(area.left() - 4, y, area.right(), y))

    def _chosen(self, p: QPainter, area: QRectF, start: float, stop: float, *, along: bool) -> None:
        """Frame the chosen head's stretch, in no colour that means something else."""
        least = max(3.0 - (stop - start), 0.0) / 2
        start, stop = start - least, stop + least
        if along:
            rect = QRectF(area.left() + start, area.top(), stop - start, area.height())
        else:
            rect = QRectF(area.left(), area.top() + start, area.width(), stop - start)
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(self.theme.color("ground", 0.85), 4))
        p.drawRect(rect)
        p.setPen(QPen(self.theme.color("text"), 2))
        p.drawRect(rect)

    def _labels(self, p: QPainter, box: Box) -> None:
        """Write the tokens beside rows and above columns."""
        matrix, area = box.prepared.matrix, box.area
        p.setFont(self._small)
        if box.label_rows and matrix.rows.names is not None:
            per = area.height() / matrix.rows.size
            chosen = self._lit_row(matrix.rows)
            for index in shown(matrix.rows.size, per, self.flow.line - 2, chosen):
                text = self._elided(matrix.rows.names[index], box.label_rows - 6)
                middle = area.top() + (index + 0.5) * per
                where = QRectF(area.left() - box.label_rows, middle - 9, box.label_rows - 5, 18)
                p.setPen(self.theme.color("query" if index == chosen else "text"))
                p.drawText(where, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, text)
        if box.label_columns and matrix.columns.names is not None:
            per = area.width() / matrix.columns.size
            lit = self._lit_column(matrix.columns)
            for index, name in enumerate(matrix.columns.names):
                if box.upright:
                    p.setPen(self.theme.color("key" if index == lit else "text"))
                    y = area.top() - self.flow.line - 4
                    cell = QRectF(area.left() + index * per, y, per, self.flow.line)
                    p.drawText(cell, Qt.AlignmentFlag.AlignCenter, self._elided(name, per))
                    continue
                p.save()
                p.translate(area.left() + (index + 0.5) * per, area.top() - 5)
                p.rotate(-90)
                p.setPen(self.theme.color("text"))
                if index == lit:
                    p.setPen(self.theme.color("key"))
                p.drawText(
                    QRectF(0, -9, box.label_columns, 18),
                    Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter,
                    self._elided(name, box.label_columns - 2),
                )
                p.restore()

    def _elided(self, text: str, room: float) -> str:
        line = " ".join(text.splitlines())
        return self._metrics.elidedText(line, Qt.TextElideMode.ElideRight, room)

    # -- what is lit up ------------------------------------------------------------------------

    def _lit_row(self, axis: Axis) -> int | None:
        if axis.kind == "query" or (axis.kind == "key" and self.same_tokens):
            return self.query
        return None

    def _lit_column(self, axis: Axis) -> int | None:
        return self.key if axis.kind == "key" else None

    def _focus(self, p: QPainter, box: Box) -> None:
        """Frame the chosen query's row in every matrix, and the chosen key's row and column."""
        matrix, area = box.prepared.matrix, box.area
        row = self._lit_row(matrix.rows)
        if self.key is not None and matrix.rows.kind == "key":
            self._band(p, area, self.key, matrix.rows.size, "key", along=False)
        column = self._lit_column(matrix.columns)
        if column is not None:
            self._band(p, area, column, matrix.columns.size, "key", along=True)
        if row is not None:
            self._band(p, area, row, matrix.rows.size, "query", along=False)

    def _band(
        self, p: QPainter, area: QRectF, index: int, size: int, role: str, *, along: bool
    ) -> None:
        if index >= size:
            return
        length = area.width() if along else area.height()
        per = length / size
        start, stop = index * per, (index + 1) * per
        least = max(3.0 - per, 0.0) / 2
        if along:
            rect = QRectF(area.left() + start - least, area.top(), per + 2 * least, area.height())
        else:
            rect = QRectF(
                area.left(), area.top() + start - least, area.width(), stop - start + 2 * least
            )
        p.setBrush(Qt.BrushStyle.NoBrush)
        p.setPen(QPen(self.theme.color("ground", 0.85), 1.5))
        p.drawRect(rect.adjusted(-2.5, -2.5, 2.5, 2.5))
        p.setPen(QPen(self.theme.color(role), 2))
        p.drawRect(rect.adjusted(-1, -1, 1, 1))


def _bare(part: Part) -> str:
    """Return a head's number, or Q, K, V."""
    return part.name.removeprefix("head ")


def shown(size: int, per: float, line: float, chosen: int | None) -> list[int]:
    """Return which of many labels have room: the chosen one, then every k-th."""
    step = max(math.ceil(line / per), 1)
    places = [
        index
        for index in range(0, size, step)
        if chosen is None or chosen >= size or abs(index - chosen) * per >= line
    ]
    if chosen is not None and chosen < size:
        places.append(chosen)
    return [int(i) for i in np.unique(places)]
