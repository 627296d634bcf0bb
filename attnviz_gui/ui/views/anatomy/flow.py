"""Where the steps of a computation stand: like words in lines, joined by arrows. Draws nothing.

Sections are kept whole where a line has room for them. All lengths are in logical pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QStaticText, QTextOption, QTransform

from attnviz_gui.ui.theme import NORMAL, SMALL, font

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.anatomy.record import Axis, Section, Step
    from attnviz_gui.ui.views.anatomy.colors import Prepared

MARGIN = 14.0
GAP = 34.0  # between steps: room for an arrow
BESIDE = 14.0  # between the matrices of a step
BELOW = 26.0  # between lines
ROW = 18.0  # height of a row of numbers
TALL = 168.0  # of many tokens or dimensions
LABEL = 66.0  # longest token
FEW = 64  # entries up to which a matrix shows its numbers at once
LEAST_ROW = 13.0  # of a token whose name is written beside it
SCALES = (1.6, 1.45, 1.3, 1.15, 1.0, 0.9, 0.82)
NARROW = 1000.0  # width below which everything is drawn smaller


@dataclass
class Box:
    """One matrix on the sheet.

    Attributes
    ----------
    area
        The cells.
    name
        Where symbol and shape begin, above it.
    label_rows, label_columns
        Room for tokens at its sides, 0 where none are written.
    upright
        Whether the columns' tokens are written across, not from bottom to top.
    """

    prepared: Prepared
    area: QRectF
    name: QPointF
    numbers: bool
    label_rows: float = 0.0
    label_columns: float = 0.0
    upright: bool = False


@dataclass
class Block:
    """One step on the sheet."""

    step: Step
    left: float
    width: float
    top: float = 0.0  # of its words
    middle: float = 0.0  # where its sign stands
    heading: str = ""
    sign: str = ""  # what joins it to the one before
    begins_line: bool = False
    boxes: list[Box] = field(default_factory=list)
    bottom: float = 0.0


@lru_cache(maxsize=512)
def static_text(html: str, points: int, bold: bool = False) -> QStaticText:
    """Return a line with lowered and raised signs, ready to be measured and drawn."""
    text = QStaticText(html)
    text.setTextFormat(Qt.TextFormat.RichText)
    option = QTextOption()
    option.setWrapMode(QTextOption.WrapMode.NoWrap)
    text.setTextOption(option)
    text.setPerformanceHint(QStaticText.PerformanceHint.AggressiveCaching)
    text.prepare(QTransform(), font(points, bold=bold))
    return text


def text_width(html: str, points: int = NORMAL, bold: bool = False) -> float:
    """Return how long a line is."""
    return static_text(html, points, bold).size().width() if html else 0.0


class Flow:
    """The steps of one page, set in lines of a width."""

    def __init__(
        self, sections: Sequence[Section], prepared: dict[int, Prepared], note: str = ""
    ) -> None:
        self.sections = sections
        self.note = note  # a sentence above all steps
        self.prepared = prepared
        self.blocks: list[Block] = []
        self.width = self.height = 0.0
        self.small = QFontMetricsF(font(SMALL))
        self.line = self.small.height()
        self.number = self.small.horizontalAdvance("−0.0000") + 3
        self._scale = 1.0

    def lay_out(self, width: float, height: float) -> None:
        """Set the steps in lines; as large as fits, and at least so that it can be read."""
        for scale in SCALES:
            self._scale = scale
            self._set(width)
            if self.width <= width and self.height <= height:
                return
        # It has to be scrolled: then at a size that suits the width.
        self._scale = min(max(width / NARROW, 0.72), 1.0)
        self._set(width)

    # -- sizes -------------------------------------------------------------------------------

    def _extent(self, axis: Axis, numbers: float | None) -> float:
        """Return how long an axis is drawn."""
        if numbers is not None:
            return axis.size * numbers
        if axis.names is not None and axis.kind != "dimension":
            high = min(ROW * axis.size, TALL) * self._scale
            return max(high, min(LEAST_ROW * axis.size, TALL))
        return max(min(axis.size * 9.0, 16.0 * axis.size**0.4), 9.0) * self._scale

    def _size(self, prepared: Prepared) -> tuple[float, float, bool]:
        matrix = prepared.matrix
        rows, columns = matrix.rows, matrix.columns
        numbers = rows.size * columns.size <= FEW and columns.size <= 12
        scale = min(self._scale, 1.3)
        width = self._extent(columns, self.number * min(max(scale, 1.0), 1.15) if numbers else None)
        high = self._extent(rows, ROW * max(scale, 1.0) if numbers else None)
        if not numbers and rows.kind != "dimension" and rows.size * ROW <= TALL:
            high = rows.size * ROW * max(scale, 1.0)
        if not numbers and rows.kind == "dimension" and rows.size > 1:
            high = min(high, TALL * 1.05 * self._scale)
        return round(width), round(high), numbers

    def _row_labels(self, axis: Axis) -> float:
        if axis.names is None or axis.kind == "dimension":
            return 0.0
        longest = max((self.small.horizontalAdvance(n) for n in set(axis.names)), default=0.0)
        return min(longest, LABEL) + 8

    # -- setting -----------------------------------------------------------------------------

    def _set(self, width: float) -> None:
        self.blocks = []
        lines: list[list[Block]] = [[]]
        x = MARGIN
        for section in self.sections:
            blocks = self._blocks(section, first=not lines[-1])
            whole = sum(b.width for b in blocks) + GAP * (len(blocks) - 1)
            lead = GAP if section.follows or lines[-1] else 0.0
            fits = MARGIN + lead + whole <= width - MARGIN  # on a line of its own
            full = x + lead + whole > width - MARGIN
            if lines[-1] and (section.own_line or (full and fits)):
                lines.append([])
                x = MARGIN
                blocks = self._blocks(section, first=True)
            for index, block in enumerate(blocks):
                joined = index > 0 or section.follows
                lead = GAP if lines[-1] or joined else 0.0
                if lines[-1] and x + lead + block.width > width - MARGIN:
                    lines.append([])
                    x = MARGIN
                    block = self._block(block.step, block.heading, first=True)
                    lead = GAP if joined else 0.0
                block.sign = block.step.sign if joined else ""
                block.begins_line = not lines[-1]
                block.left = x + lead
                x = block.left + block.width
                lines[-1].append(block)
        top = MARGIN + (self.line + 10 if self.note else 0)
        self.width = 0.0
        for line in lines:
            top = self._place(line, top) + BELOW
            self.blocks += line
            if line:
                self.width = max(self.width, line[-1].left + line[-1].width + MARGIN)
        self.height = top - BELOW + MARGIN

    def _blocks(self, section: Section, *, first: bool) -> list[Block]:
        return [
            self._block(step, section.name if index == 0 else "", first=first and index == 0)
            for index, step in enumerate(section.steps)
        ]

    def _block(self, step: Step, heading: str, *, first: bool) -> Block:
        """Set a step's matrices beside each other, from x = 0; those of one row below."""
        boxes: list[Box] = []
        x = 0.0
        for index, matrix in enumerate(step.matrices):
            prepared = self.prepared[id(matrix)]
            w, h, numbers = self._size(prepared)
            labels = 0.0
            square = matrix.columns.kind == "key" and matrix.columns.names is not None
            if (first and index == 0) or square or (numbers and index == 0):
                labels = self._row_labels(matrix.rows)
            header = text_width(matrix.symbol, NORMAL, True) + 7
            header += self.small.horizontalAdvance(matrix.shape)
            box = Box(prepared, QRectF(0, 0, w, h), QPointF(), numbers, labels)
            if matrix.rows.size == 1 and boxes:
                box.area.moveTo(boxes[-1].area.left(), -1)
                box.name = QPointF(boxes[-1].area.left(), -1)
            else:
                x += BESIDE if index else 0.0
                box.area.moveTo(x + labels, 0)
                box.name = QPointF(x + labels, 0)
                x += labels + max(w, header)
            cell = w / matrix.columns.size
            if square and self._row_labels(matrix.columns) <= cell:
                box.upright, box.label_columns = True, self.line
            elif square and cell >= self.line - 2:
                box.label_columns = min(self._row_labels(matrix.columns), LABEL)
            boxes.append(box)
        words = max(
            text_width(step.name, SMALL),
            text_width(step.formula, NORMAL),
            self.small.horizontalAdvance(step.note),
            text_width(heading, NORMAL, True),
        )
        return Block(step, 0.0, max(x, words), heading=heading, boxes=boxes)

    def _place(self, line: list[Block], top: float) -> float:
        """Give the blocks of a line their heights; return where the line ends."""
        above = max((box.label_columns for b in line for box in b.boxes), default=0.0)
        above = max(above, self.line)  # names of parts and first dimensions
        words = (self.line + 3) * 3 + 3
        cells = top + words + self.line + 4 + above
        tallest = max(
            (box.area.height() for b in line for box in b.boxes if box.area.top() >= 0), default=0.0
        )
        bottom = cells
        for block in line:
            block.top = top
            block.middle = cells + min(tallest, TALL * self._scale) / 2
            for box in block.boxes:
                below = box.area.top() < 0
                y = cells
                if below:
                    y = block.boxes[0].area.bottom() + 2 * self.line + 8
                box.area.moveTo(box.area.left() + block.left, y)
                lift = max(box.label_columns, self.line)
                box.name = QPointF(box.name.x() + block.left, y - lift - self.line - 7)
                block.bottom = max(block.bottom, box.area.bottom())
            bottom = max(bottom, block.bottom + (self.line + 4 if block.step.note else 0))
        return bottom
