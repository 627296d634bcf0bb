"""The selected tokens as a list, however many: sorted by a click, copied, and a way to each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QAction, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.session.search import show_position
from attnviz_gui.ui.views.brush import HELP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.selection import Row, Selection

COLUMNS = (
    ("token", "As a person reads it."),
    ("as", "Whether its query, its key, or both are selected."),
    ("text", "The number of its text."),
    ("position", "Its position in the text, from 0."),
)
Place = QModelIndex | QPersistentModelIndex
EMPTY = f"Nothing is selected. {HELP}"


class TokenModel(QAbstractTableModel):
    """The rows of a selection; made when they are seen."""

    def __init__(self) -> None:
        super().__init__()
        self._selection: Selection | None = None
        self._order = np.zeros(0, dtype=np.intp)
        self._sorted = (2, Qt.SortOrder.AscendingOrder)

    def set_selection(self, selection: Selection) -> None:
        """Show another selection, in the order that was chosen last."""
        self.beginResetModel()
        self._selection = selection
        self._order = self._ordered()
        self.endResetModel()

    def _ordered(self) -> np.ndarray:
        assert self._selection is not None
        table, (column, order) = self._selection.table, self._sorted
        if column == 0:
            names = np.array([self.name(row) for row in range(len(table))], dtype=object)
            ranks = np.argsort(names, kind="stable") if len(names) else np.zeros(0, dtype=np.intp)
        else:
            values = {1: table.as_query * 2 + table.as_key, 3: table.position}
            by = values.get(column)
            ranks = np.arange(len(table)) if by is None else np.argsort(by, kind="stable")
        return ranks if order == Qt.SortOrder.AscendingOrder else ranks[::-1]

    def name(self, row: int) -> str:
        """Return the token of a row of the table."""
        assert self._selection is not None
        return self._selection.row(row).name

    def row_at(self, row: int) -> Row:
        """Return what stands in a row as it is seen."""
        assert self._selection is not None
        return self._selection.row(int(self._order[row]))

    def rowCount(self, parent: Place | None = None) -> int:
        """One for each token."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: Place | None = None) -> int:
        """Token, side, text and position."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def cells(self, row: int) -> tuple[str, str, str, str]:
        """Return what is written in a row."""
        at = self.row_at(row)
        sides = "both" if at.as_query and at.as_key else "query" if at.as_query else "key"
        return at.name, sides, str(at.text + 1), str(at.position)

    def data(self, index: Place, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Write a cell."""
        if role == Qt.ItemDataRole.DisplayRole:
            return one_line(self.cells(index.row())[index.column()])
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > 1:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(
        self, section: int, way: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Name the columns."""
        if way != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section][0]
        return COLUMNS[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; by text is the order of the texts."""
        self._sorted = (column, order)
        if self._selection is not None:
            self.set_selection(self._selection)


class SelectionPanel(QWidget):
    """The list with its count, and what can be done with all of it."""

    copied = Signal(str)

    def __init__(self, document: Document, actions: Sequence[QAction]) -> None:
        """`actions`: a button for each stands below the list."""
        super().__init__()
        self.setObjectName("selection")
        self.setAccessibleName("Selected tokens")
        self.document = document
        self.count = QLabel()
        self.count.setWordWrap(True)
        self.count.setAccessibleName("Number of selected tokens")
        self.model = TokenModel()
        self.table = QTableView()
        self.table.setModel(self.model)
        self.table.setObjectName("selection_table")
        self.table.setAccessibleName("Selected tokens")
        self.table.setToolTip(
            "Click a column to sort by it. Double click or Enter: show the token."
        )
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setAlternatingRowColors(True)
        self.table.setWordWrap(False)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.table.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(44)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for section, widest in ((1, "query"), (2, "text ▾"), (3, "position ▾")):
            header.resizeSection(section, self.fontMetrics().horizontalAdvance(widest) + 14)
        header.setSortIndicator(2, Qt.SortOrder.AscendingOrder)
        self.table.setSortingEnabled(True)
        self.empty = QLabel(EMPTY)
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.empty.setMargin(16)
        self.pages = QStackedLayout()
        self.pages.addWidget(self.empty)
        self.pages.addWidget(self.table)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the list as text, tab separated, in this order.")
        self.copy_button.clicked.connect(self.copy)
        foot = QHBoxLayout()
        foot.addWidget(self.copy_button)
        self.buttons = []
        for action, words in zip(actions, ("Undo", "Redo", "Invert", "Clear"), strict=True):
            button = QPushButton(words)
            button.setToolTip(action.text().replace("&", ""))
            button.clicked.connect(action.trigger)
            self.buttons.append((button, action))
            foot.addWidget(button)
        for button in (self.copy_button, *(b for b, _ in self.buttons)):
            button.setMinimumWidth(40)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 6)
        column.addWidget(self.count)
        column.addLayout(self.pages, 1)
        column.addLayout(foot)
        self.table.doubleClicked.connect(lambda index: self.go_to(index.row()))
        enter = QShortcut(QKeySequence(Qt.Key.Key_Return), self.table)
        enter.setContext(Qt.ShortcutContext.WidgetShortcut)
        enter.activated.connect(lambda: self.go_to(self.table.currentIndex().row()))
        document.selection_changed.connect(self.fill)
        self.fill()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.selection_changed.disconnect(self.fill, missing_ok=True)

    def fill(self) -> None:
        """Show what is selected."""
        selection = self.document.selection
        self.model.set_selection(selection)
        self.count.setText(in_words(selection))
        self.pages.setCurrentIndex(int(bool(selection)))
        self.copy_button.setEnabled(bool(selection))
        for button, action in self.buttons:
            button.setEnabled(action.isEnabled())

    def go_to(self, row: int) -> None:
        """Show a token of the list, pinned in its text."""
        if 0 <= row < self.model.rowCount():
            at = self.model.row_at(row)
            show_position(self.document, at.which, at.text, at.position)

    def copy(self) -> None:
        """Copy the list, tab separated."""
        rows = [tuple(name for name, _ in COLUMNS)]
        rows += [self.model.cells(row) for row in range(self.model.rowCount())]
        text = "\n".join("\t".join(one_line(cell) for cell in row) for row in rows)
        QGuiApplication.clipboard().setText(text + "\n")
        self.copied.emit(f"Copied: {in_words(self.document.selection)}")


def in_words(selection: Selection) -> str:
    """Return how much is selected: ``12 tokens (8 queries, 9 keys) in 2 texts · 30 pairs``."""
    if not selection:
        return ""
    queries, keys = selection.n_of("query"), selection.n_of("key")
    words = (
        f"{_number(selection.n_tokens, 'token')} ({_number(queries, 'query')}, "
        f"{_number(keys, 'key')}) in {_number(selection.n_texts, 'text')}"
    )
    if selection.n_pairs:
        words += f" · {_number(selection.n_pairs, 'pair')}"
    return words


def _number(n: int, what: str) -> str:
    if n == 1:
        return f"1 {what}"
    return f"{n:,} {what[:-1] + 'ie' if what.endswith('ry') else what}s"


def one_line(cell: str) -> str:
    """Return a token without what would break a line or a column of text."""
    return cell.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
