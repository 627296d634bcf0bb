"""All fits in a table: sorted by a click on a column, copied, and a way to each head."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.session.fits import ALL_TEXTS, Basis, HeadFit
from attnviz_gui.session.words import number

if TYPE_CHECKING:
    from attnviz_gui.session.document import Document

COLUMNS = (
    ("layer", "The layer, from 0."),
    ("head", "The head, from 0."),
    ("text", "The text that was fitted on."),
    ("objective", "What was made as large as possible."),
    ("mode", "The shift mode."),
    ("a or t", "The position of the shift's slider, in raw units."),
    ("c", "The scale."),
    ("before", "The objective for the model's own queries and keys."),
    ("after", "The objective under this a and c."),
    ("gain", "After minus before."),
    ("remarks", "Whether the best lies at the end of its range, and how many heads share it."),
)
_VALUE = Qt.ItemDataRole.UserRole


class Cell(QTableWidgetItem):
    """A cell that is sorted by its number where it has one; what is undefined comes last."""

    def __init__(self, words: str, value: float | None = None) -> None:
        super().__init__(words)
        self.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        self.value = value
        if value is not None:
            self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        """Order as numbers, else as words."""
        if isinstance(other, Cell) and self.value is not None and other.value is not None:
            mine, theirs = (
                math.inf if math.isnan(v) else v for v in (self.value, other.value)
            )  # fmt: skip
            return mine < theirs
        return self.text() < other.text()


class FitsTable(QDialog):
    """Every kept fit of the capture on show; follows the document."""

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("fits_table")
        self.setWindowTitle("Fits of all heads")
        self.document = document
        self.about = QLabel()
        self.about.setWordWrap(True)
        self.table = QTableWidget(0, len(COLUMNS))
        self.table.setAccessibleName("Fits of all heads")
        self.table.setToolTip("Click a column to sort by it. Double click or Enter: show the head.")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setAlternatingRowColors(True)
        self.table.verticalHeader().hide()
        for i, (name, tip) in enumerate(COLUMNS):
            item = QTableWidgetItem(name)
            item.setToolTip(tip)
            self.table.setHorizontalHeaderItem(i, item)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setStretchLastSection(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setToolTip("Copy the table as text, tab separated, in this order.")
        close = QPushButton("Close")
        foot = QHBoxLayout()
        foot.addWidget(self.about, 1)
        foot.addWidget(self.copy_button)
        foot.addWidget(close)
        column = QVBoxLayout(self)
        column.addWidget(self.table, 1)
        column.addLayout(foot)
        self.copy_button.clicked.connect(self.copy)
        close.clicked.connect(self.close)
        self.table.cellDoubleClicked.connect(lambda row, _column: self.go_to(row))
        enter = QShortcut(QKeySequence(Qt.Key.Key_Return), self.table)
        enter.setContext(Qt.ShortcutContext.WidgetShortcut)
        enter.activated.connect(lambda: self.go_to(self.table.currentRow()))
        document.fits_changed.connect(self.fill)
        self.resize(self.sizeHint())
        self.fill()

    @classmethod
    def open_for(cls, document: Document, window: QWidget) -> FitsTable:
        """Show the window's table, the one that is open already where there is one."""
        dialog = window.findChild(cls)
        if dialog is None:
            dialog = cls(document, window)
            dialog.show()
        else:
            dialog.activateWindow()
        return dialog

    def sizeHint(self) -> QSize:
        """Room for all columns and a layer or two."""
        return QSize(860, 480)

    def done(self, result: int) -> None:
        """Follow the document no longer."""
        self.document.fits_changed.disconnect(self.fill, missing_ok=True)
        super().done(result)

    def closeEvent(self, event) -> None:
        """Follow the document no longer."""
        self.document.fits_changed.disconnect(self.fill, missing_ok=True)
        super().closeEvent(event)

    def fill(self) -> None:
        """Show the fits that are kept now, in the order that was chosen."""
        fits = list(self.document.fits)
        self.table.setSortingEnabled(False)
        self.table.setRowCount(len(fits))
        for row, (basis, fit) in enumerate(fits):
            for column, cell in enumerate(_cells(basis, fit)):
                self.table.setItem(row, column, cell)
        self.table.setSortingEnabled(True)
        found = [fit for _, fit in fits if fit.found]
        edges = sum(bool(fit.edges) for fit in found)
        words = f"{len(found):,} fits" if len(found) != 1 else "1 fit"
        if edges:
            words += f", {edges:,} at the end of a range: a wider one may hold something better"
        if len(found) < len(fits):
            words += f"; {len(fits) - len(found):,} undefined"
        self.about.setText(words if fits else "No head has been fitted yet: press Fit.")
        self.copy_button.setEnabled(bool(fits))

    def go_to(self, row: int) -> None:
        """Show the head of a row."""
        item = self.table.item(row, 0)
        if item is None:
            return
        layer, head, text = item.data(_VALUE)
        self.document.show_head(layer, head, text=None if text == ALL_TEXTS else text)

    def text(self) -> str:
        """Return the table as it stands, tab separated."""
        lines = ["\t".join(name for name, _ in COLUMNS)]
        for row in range(self.table.rowCount()):
            cells = [self.table.item(row, column) for column in range(len(COLUMNS))]
            lines.append("\t".join(_exact(cell) for cell in cells))
        return "\n".join(lines) + "\n"

    def copy(self) -> None:
        """Copy the table as text."""
        QGuiApplication.clipboard().setText(self.text())


def _cells(basis: Basis, fit: HeadFit) -> list[Cell]:
    remarks = []
    if fit.edges:
        names = {"t": "a" if fit.mode == "constant" else "t", "c": "c"}
        remarks.append("at the end of " + " and ".join(names[edge] for edge in fit.edges))
    if fit.together > 1:
        remarks.append(f"one for {fit.together:,} heads")
    if fit.reason:
        remarks.append(fit.reason)
    own = basis.text != ALL_TEXTS
    cells = [
        Cell(str(fit.layer), fit.layer),
        Cell(str(fit.head), fit.head),
        Cell(str(basis.text + 1) if own else "all", basis.text),
        Cell(fit.objective),
        Cell(fit.mode),
        *(Cell(number(v), v) for v in (fit.t, fit.scale, fit.before, fit.value)),
        Cell(number(fit.value - fit.before), fit.value - fit.before),
        Cell("; ".join(remarks)),
    ]
    cells[0].setData(_VALUE, (fit.layer, fit.head, basis.text))
    return cells


def _exact(cell: QTableWidgetItem | None) -> str:
    """Return a cell's number with all its digits, or its words."""
    if isinstance(cell, Cell) and isinstance(cell.value, float):
        return "" if math.isnan(cell.value) else repr(cell.value)
    return cell.text() if cell is not None else ""
