"""The sheet on which the steps stand: shows what is under the mouse, scrolls, opens a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPoint, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QFrame, QScrollArea, QWidget

from attnviz_gui.session.document import Focus
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import LARGE, font
from attnviz_gui.ui.views.readout import Readout

if TYPE_CHECKING:
    from PySide6.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent

    from attnviz_gui.capture.anatomy.record import Matrix
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.anatomy.flow import Box, Flow
    from attnviz_gui.ui.views.anatomy.paint import FlowPainter

STILL = 4  # pixels that a click may move


class Canvas(QWidget):
    """Paints a flow and tells which cell the mouse is on. Tokens are counted in the whole text."""

    pointed = Signal(object)  # Focus, in tokens of the whole text; nothing: Focus()
    opened = Signal(object)  # the Prepared matrix that was clicked on
    pinned = Signal(object)  # Focus whose label was clicked on

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.theme = theme
        self.flow: Flow | None = None
        self.painter: FlowPainter | None = None
        self.under: tuple[Box, int | None, int | None] | None = None
        self._pressed: QPointF | None = None
        self.setMouseTracking(True)
        self.setObjectName("anatomy_steps")
        self.setAccessibleName("Steps of the computation")

    def show_flow(self, flow: Flow, painter: FlowPainter) -> None:
        """Show other steps."""
        self.flow, self.painter = flow, painter
        self.under = None
        self.update()

    def set_lit(self, query: int | None, key: int | None) -> None:
        """Light up a query's row and a key's row and column."""
        painter = self.painter
        if painter is not None and (painter.query, painter.key) != (query, key):
            painter.query, painter.key = query, key
            self.update()

    def at(self, position: QPointF) -> tuple[Box, int | None, int | None] | None:
        """Return the matrix under a place, and its row and column; None beside the cells."""
        for block in self.flow.blocks if self.flow is not None else ():
            for box in block.boxes:
                area = box.area
                x, y = position.x() - area.left(), position.y() - area.top()
                rows, columns = box.prepared.matrix.rows, box.prepared.matrix.columns
                down = 0 <= y < area.height()
                row = int(y / area.height() * rows.size) if down else None
                column = int(x / area.width() * columns.size) if 0 <= x < area.width() else None
                if row is not None and column is not None:
                    return box, row, column
                if row is not None and -box.label_rows <= x < 0:
                    return box, row, None
        return None

    def focus_of(self, under: tuple[Box, int | None, int | None] | None) -> Focus:
        """Return the tokens that a cell belongs to."""
        if under is None or self.painter is None:
            return Focus()
        box, row, column = under
        matrix = box.prepared.matrix
        query = key = None
        if matrix.rows.kind == "query" or (matrix.rows.kind == "key" and self.painter.same_tokens):
            query = row
        elif matrix.rows.kind == "key":
            key = row
        if matrix.columns.kind == "key":
            key = column
        return Focus(query, key)

    def describe(self) -> list[str]:
        """Lines about what is under the mouse; the first says where."""
        if self.under is None:
            return []
        box, row, column = self.under
        matrix = box.prepared.matrix
        if row is None or column is None:
            return []
        names = _in_words(matrix, row, column)
        value = float(matrix.values[row, column])
        masked = matrix.mask is not None and not matrix.mask[row, column]
        said = "masked: attention is not allowed" if masked else number(value, 4)
        return [f"{matrix.name}  {names}", said, f"{matrix.words} · {matrix.shape}"]

    # -- Qt ----------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the steps."""
        p = QPainter(self)
        p.fillRect(event.rect(), self.theme.color("ground"))
        if self.painter is not None:
            p.setRenderHints(
                QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing
            )
            self.painter.paint(p, QRectF(event.rect()))
        p.end()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell about the cell under the mouse."""
        self.point(event.position())

    def point(self, position: QPointF | None) -> None:
        """Light up what is at a place; None for nothing."""
        under = None if position is None else self.at(position)
        if under == self.under:
            return
        self.under = under
        cells = under is not None and under[2] is not None
        self.setCursor(Qt.CursorShape.PointingHandCursor if cells else Qt.CursorShape.ArrowCursor)
        self.pointed.emit(self.focus_of(under))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Remember where a click began."""
        self._pressed = event.position() if event.button() == Qt.MouseButton.LeftButton else None
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Open the matrix that was clicked on; a click on a row's name keeps the row lit."""
        began, self._pressed = self._pressed, None
        if began is None or (event.position() - began).manhattanLength() > STILL:
            return
        under = self.at(event.position())
        if under is not None and under[2] is not None:
            self.opened.emit(under[0].prepared)
        elif under is not None:
            self.pinned.emit(self.focus_of(under))
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Keep a double click, which on a dock's title would mean something else."""
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone."""
        self.point(None)
        super().leaveEvent(event)


def _in_words(matrix: Matrix, row: int, column: int) -> str:
    pair = matrix.rows.name(row), matrix.columns.name(column)
    if matrix.columns.kind == "key" and matrix.columns.names is not None:
        return " → ".join(pair)
    return ", ".join(pair)


class Sheet(QScrollArea):
    """The canvas with its scroll bars, its readout, and a sentence where there are no steps."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.theme = theme
        self.sentence = ""
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.canvas = Canvas(theme, self)
        self.setWidget(self.canvas)
        self.readout = Readout(theme, self.viewport())
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = self.canvas.theme = theme
        self.readout.set_theme(theme)
        palette = self.viewport().palette()
        palette.setColor(self.viewport().backgroundRole(), theme.color("ground"))
        self.viewport().setPalette(palette)
        self.viewport().setAutoFillBackground(True)
        self.canvas.update()

    def say(self, sentence: str) -> None:
        """Show a sentence in place of steps; an empty one shows the steps."""
        self.sentence = sentence
        self.canvas.setVisible(not sentence)
        if sentence:
            self.readout.hide()
        self.viewport().update()

    def lay_out(self) -> None:
        """Set the steps anew for the room there is."""
        flow = self.canvas.flow
        if flow is None or self.sentence:
            return
        room = self.viewport().size()
        flow.lay_out(room.width(), room.height())
        size = QSize(max(room.width(), int(flow.width)), max(room.height(), int(flow.height)))
        self.canvas.under = None
        self.readout.hide()
        self.canvas.resize(size)
        self.canvas.update()

    def tell(self) -> None:
        """Say what is under the mouse, beside it; or hide."""
        lines = self.canvas.describe()
        if not lines or self.canvas.under is None:
            self.readout.hide()
            return
        box, row, column = self.canvas.under
        matrix, area = box.prepared.matrix, box.area
        w, h = area.width() / matrix.columns.size, area.height() / matrix.rows.size
        cell = QRectF(area.left() + (column or 0) * w, area.top() + (row or 0) * h, w, h)
        cell.adjust(-8, -8, 8, 8)
        offset = self.canvas.mapTo(self.viewport(), QPoint())
        self.readout.say(lines, QRect(cell.toAlignedRect().translated(offset)))

    # -- Qt ----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Set the steps anew."""
        super().resizeEvent(event)
        self.lay_out()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Write the sentence."""
        super().paintEvent(event)
        if not self.sentence:
            return
        p = QPainter(self.viewport())
        p.setFont(font(LARGE))
        p.setPen(self.theme.color("muted"))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        p.drawText(self.viewport().rect().adjusted(24, 24, -24, -24), flags, self.sentence)
        p.end()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave the keys to the window: arrows choose heads there, they do not scroll here."""
        event.ignore()
