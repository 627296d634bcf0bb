"""Whether both ways come to the same, in numbers; and the lines of PyTorch that check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontDatabase, QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.session.words import number
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.theme import LARGE, SMALL, font

if TYPE_CHECKING:
    from attnviz_gui.capture.anatomy.record import Anatomy, Equality
    from attnviz_gui.ui.theme import Theme

WAYS = {
    "stacked and head by head": "PyTorch’s way and the paper’s",
    "stacked and the model's own": "PyTorch’s way and the model itself",
    "head by head and the model's own": "the paper’s way and the model itself",
}
WHATS = {"weights": "attention weights", "output": "output"}


class EqualityPage(QScrollArea):
    """A sentence, a table of largest differences, and lines of code to copy."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("anatomy_equality")
        self.setAccessibleName("Equality of both ways")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.body = body = QWidget()
        self.setWidget(body)
        column = QVBoxLayout(body)
        column.setContentsMargins(18, 14, 18, 14)
        column.setSpacing(10)
        self.verdict = QLabel()
        self.verdict.setFont(font(LARGE, bold=True))
        self.verdict.setWordWrap(True)
        self.reason = QLabel()
        self.reason.setWordWrap(True)
        self.reason.setProperty("quiet", True)
        self.grid = QGridLayout()
        self.grid.setHorizontalSpacing(24)
        self.grid.setVerticalSpacing(6)
        self.cells: list[QLabel] = []
        self.needs = QLabel()
        self.needs.setWordWrap(True)
        self.needs.setProperty("quiet", True)
        self.code = QPlainTextEdit()
        self.code.setReadOnly(True)
        self.code.setAccessibleName("Lines of PyTorch that check it")
        fixed = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        fixed.setPointSizeF(SMALL)
        self.code.setFont(fixed)
        self.code.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.copy_button = tool_button("Copy")
        self.copy_button.setAutoRaise(False)
        self.copy_button.setToolTip("Copy these lines")
        self.copy_button.clicked.connect(self.copy)
        self.code_heading = QLabel("Check it yourself, in PyTorch")
        self.code_heading.setFont(font(bold=True))
        heading = QHBoxLayout()
        heading.addWidget(self.code_heading)
        heading.addStretch(1)
        heading.addWidget(self.copy_button)
        grid = QHBoxLayout()
        grid.addLayout(self.grid)
        grid.addStretch(1)
        for part in (self.verdict, self.reason):
            column.addWidget(part)
        column.addLayout(grid)
        column.addSpacing(8)
        column.addLayout(heading)
        column.addWidget(self.code)
        column.addWidget(self.needs)
        column.addStretch(1)
        self.set_theme(theme)

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        for widget in (self.viewport(), self.body):
            palette = widget.palette()
            palette.setColor(widget.backgroundRole(), theme.color("ground"))
            widget.setPalette(palette)
            widget.setAutoFillBackground(True)
        self.verdict.setStyleSheet(f"color: {theme.text}")

    def show_anatomy(self, anatomy: Anatomy) -> None:
        """Show another head's numbers."""
        for cell in self.cells:
            self.grid.removeWidget(cell)
            cell.hide()
            cell.deleteLater()
        self.cells = []
        equality = anatomy.equality
        if equality is None:
            self.verdict.setText("There are not two ways to compare.")
            self.reason.setText(anatomy.missing)
        else:
            self.verdict.setText(("✓  " if equality.holds else "≠  ") + verdict(equality))
            self.reason.setText(
                "Largest absolute difference, over all heads and tokens; entries of the output "
                f"reach {number(equality.size)}. Both ways were computed in float32, the model "
                f"in {equality.precision}. {anatomy.missing}"
            )
            self._fill(equality)
        has_code = bool(anatomy.check)
        for part in (self.code, self.needs, self.copy_button, self.code_heading):
            part.setVisible(has_code)
        self.code.setPlainText(anatomy.check.rstrip())
        lines = anatomy.check.rstrip().count("\n") + 1
        self.code.setFixedHeight(self.code.fontMetrics().lineSpacing() * lines + 26)
        self.needs.setText(anatomy.check_needs)

    def _fill(self, equality: Equality) -> None:
        self._cell(0, 0, "largest difference between", quiet=True)
        for column, words in enumerate(WHATS.values(), start=1):
            self._cell(0, column, words, quiet=True)
        for row, (between, words) in enumerate(WAYS.items(), start=1):
            self._cell(row, 0, words)
            for column, what in enumerate(WHATS, start=1):
                found = [
                    d.largest
                    for d in equality.differences
                    if d.between == between and d.what == what and d.largest is not None
                ]
                text = number(found[0], 2) if found else "not known"
                self._cell(row, column, text, quiet=not found)

    def _cell(self, row: int, column: int, text: str, *, quiet: bool = False) -> None:
        label = QLabel(text)
        label.setProperty("quiet", quiet)
        if column:
            label.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.grid.addWidget(label, row, column)
        self.cells.append(label)

    def copy(self) -> None:
        """Put the lines on the clipboard."""
        QGuiApplication.clipboard().setText(self.code.toPlainText() + "\n")


def verdict(equality: Equality) -> str:
    """Say in a sentence whether it holds."""
    largest = max((d.largest for d in equality.known if d.largest is not None), default=0.0)
    if equality.holds:
        return (
            f"Both ways and the model come to the same: nowhere more than {number(largest, 2)} "
            "apart, which is rounding."
        )
    return f"They differ by up to {number(largest, 2)}, which is more than rounding."
