"""One matrix, enlarged: its numbers in a table, with tokens and dimensions at its sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QEvent, QLineF, QModelIndex, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QKeyEvent, QKeySequence, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QStyledItemDelegate,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.theme import NORMAL, SMALL, font
from attnviz_gui.ui.views.anatomy.colors import colors_of
from attnviz_gui.ui.views.anatomy.paint import short_number
from attnviz_gui.ui.views.color_scale import ink_on

if TYPE_CHECKING:
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.anatomy.colors import Prepared

MOST_COPIED = 1_000_000  # entries


class _Numbers(QAbstractTableModel):
    """The entries of a matrix; colours are found for what is seen only."""

    def __init__(self, prepared: Prepared, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.prepared, self.theme = prepared, theme
        self.chosen: int | None = None

    def rowCount(self, parent: Any = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else self.prepared.matrix.rows.size

    def columnCount(self, parent: Any = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else self.prepared.matrix.columns.size

    def data(self, index: Any, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        value = self.prepared.matrix.values[index.row(), index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return short_number(float(value))
        if role in (Qt.ItemDataRole.BackgroundRole, Qt.ItemDataRole.ForegroundRole):
            mask = self.prepared.matrix.mask
            if mask is not None and not mask[index.row(), index.column()]:
                value = np.float32(-np.inf)
            color = QColor(*(int(c) for c in colors_of(self.prepared, value[None], self.theme)[0]))
            return color if role == Qt.ItemDataRole.BackgroundRole else ink_on(color)
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            matrix = self.prepared.matrix
            names = matrix.rows.name(index.row()), matrix.columns.name(index.column())
            return f"{names[0]}, {names[1]}: {value:.8g}".replace("-", "−")
        return None

    def headerData(
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if role == Qt.ItemDataRole.ForegroundRole:
            chosen = orientation == Qt.Orientation.Vertical and section == self.chosen
            return self.theme.color("query" if chosen else "text")
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        matrix = self.prepared.matrix
        axis = matrix.columns if orientation == Qt.Orientation.Horizontal else matrix.rows
        return " ".join(axis.name(section).splitlines())


class _Framed(QStyledItemDelegate):
    """Draws the chosen row between two lines: its colours stay."""

    def paint(self, painter: QPainter, option: Any, index: Any) -> None:
        super().paint(painter, option, index)
        model = index.model()
        if index.row() == model.chosen:
            painter.save()
            painter.setPen(QPen(model.theme.color("query"), 2))
            rect = QRectF(option.rect)
            painter.drawLine(QLineF(rect.left(), rect.top() + 1, rect.right(), rect.top() + 1))
            painter.drawLine(QLineF(rect.left(), rect.bottom(), rect.right(), rect.bottom()))
            painter.restore()


class MatrixTable(QFrame):
    """Covers the steps while a matrix is looked at; Esc or × closes it."""

    closed = Signal()

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.theme = theme
        self.setObjectName("anatomy_matrix")
        self.setAccessibleName("Enlarged matrix")
        self.setAutoFillBackground(True)
        self.prepared: Prepared | None = None
        self.heading = QLabel()
        self.heading.setFont(font(NORMAL))
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        self.heading.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
        self.copy_button = tool_button("Copy")
        self.copy_button.setToolTip("Copy all numbers, rows as lines, columns parted by tabs")
        self.copy_button.clicked.connect(self.copy)
        self.close_button = tool_button("×")
        self.close_button.setAccessibleName("Close the matrix")
        self.close_button.setToolTip("Back to the steps (Esc)")
        self.close_button.clicked.connect(self.closed)
        self.table = QTableView()
        self.table.setAccessibleName("Numbers of the matrix")
        self.table.setFont(font(SMALL))
        self.table.setFrameShape(QFrame.Shape.NoFrame)
        self.table.setShowGrid(False)
        self.table.setCornerButtonEnabled(False)
        self.table.setWordWrap(False)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setItemDelegate(_Framed(self.table))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        for header in (self.table.horizontalHeader(), self.table.verticalHeader()):
            header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
            header.setFont(font(SMALL))
            header.setHighlightSections(True)
        self.table.installEventFilter(self)
        row = QHBoxLayout()
        row.addWidget(self.heading, 1)
        row.addWidget(self.copy_button)
        row.addWidget(self.close_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 4, 6, 6)
        column.setSpacing(4)
        column.addLayout(row)
        column.addWidget(self.table, 1)
        self.hide()

    def open(self, prepared: Prepared, row: int | None) -> None:
        """Show a matrix, one row of it chosen."""
        self.prepared = prepared
        matrix = prepared.matrix
        self.heading.setText(f"<b>{matrix.symbol}</b>&nbsp; {matrix.shape} · {matrix.words}")
        old = self.table.model()
        self.table.setModel(_Numbers(prepared, self.theme, self))
        if old is not None:
            old.deleteLater()
        metrics = self.table.fontMetrics()
        names = [matrix.columns.name(i) for i in self._sample(matrix.columns.size)]
        wide = max(map(metrics.horizontalAdvance, names), default=0) + 14
        self.table.horizontalHeader().setDefaultSectionSize(
            min(max(wide, metrics.horizontalAdvance("−0.0000") + 14), 130)
        )
        self.table.verticalHeader().setDefaultSectionSize(metrics.height() + 8)
        self.choose(row)
        self.show()
        self.raise_()
        self.table.setFocus()

    @staticmethod
    def _sample(size: int) -> list[int]:
        return sorted({*range(min(size, 64)), *range(0, size, max(size // 64, 1)), size - 1})

    def choose(self, row: int | None) -> None:
        """Frame a row and scroll to it, None for none."""
        model = self.table.model()
        assert isinstance(model, _Numbers)
        model.chosen = row
        if row is not None and row < model.rowCount():
            self.table.scrollTo(model.index(row, 0))
        self.table.viewport().update()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        if self.prepared is not None and self.isVisible():
            self.open(self.prepared, None)

    def copy(self) -> None:
        """Put the numbers on the clipboard; of very large matrices the first rows."""
        assert self.prepared is not None
        values = self.prepared.matrix.values
        values = values[: max(MOST_COPIED // max(values.shape[1], 1), 1)]
        lines = ("\t".join(f"{v:.7g}" for v in row) for row in np.asarray(values))
        QGuiApplication.clipboard().setText("\n".join(lines))

    def eventFilter(self, watched: Any, event: QEvent) -> bool:
        """Esc closes; Ctrl+C copies all of the matrix, not a cell."""
        if isinstance(event, QKeyEvent) and event.type() != QEvent.Type.KeyRelease:
            if event.key() == Qt.Key.Key_Escape:
                if event.type() == QEvent.Type.KeyPress:
                    self.closed.emit()
                event.accept()
                return True
            if event.matches(QKeySequence.StandardKey.Copy):
                if event.type() == QEvent.Type.KeyPress:
                    self.copy()
                event.accept()
                return True
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.closed.emit()
        else:
            super().keyPressEvent(event)
