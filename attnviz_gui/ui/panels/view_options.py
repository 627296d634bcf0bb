"""The few switches that stand above a view. They write to the document and follow it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QBoxLayout,
    QButtonGroup,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.session.coloring import COLORINGS
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from attnviz_gui.session.document import Document

_SHORTEST = 90  # pixels of a list whose words give way before those of a button
_BETWEEN = 3  # pixels between two rows
_APART = 10  # pixels between two groups in a row


class Choice(QWidget):
    """Two or three words of which one is chosen, side by side."""

    def __init__(self, name: str, accessible: str, entries: list[tuple[str, str, str]]) -> None:
        """`entries`: value, words, tooltip."""
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(accessible)
        self.group = QButtonGroup(self)
        self.group.setExclusive(True)
        self.values = [value for value, _, _ in entries]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        for index, (value, words, tip) in enumerate(entries):
            button = tool_button(words, checkable=True)
            button.setObjectName(f"{name}_{value.replace(' ', '_')}")
            button.setAccessibleName(f"{accessible}: {words}")
            button.setToolTip(tip)
            self.group.addButton(button, index)
            row.addWidget(button)

    def show_value(self, value: str) -> None:
        """Mark the chosen entry."""
        self.group.button(self.values.index(value)).setChecked(True)


class HeatmapOptions(QWidget):
    """Linear or logarithmic colour."""

    def __init__(self, document: Document) -> None:
        super().__init__()
        self.document = document
        self.color = Choice(
            "color_scale",
            "Colour scale",
            [
                ("linear", "linear", "Colour proportional to the attention."),
                (
                    "logarithmic",
                    "log",
                    "Colour by the logarithm of the attention: one strong token does not drown\n"
                    "the rest.",
                ),
            ],
        )
        row = _row(self)
        row.addWidget(_quiet("colour"))
        row.addWidget(self.color)
        row.addStretch(1)
        self.color.group.idClicked.connect(
            lambda i: document.set_options(color_scale=self.color.values[i])
        )
        document.options_changed.connect(self.follow)
        self.follow()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.options_changed.disconnect(self.follow, missing_ok=True)

    def follow(self) -> None:
        """Show the document's options."""
        self.color.show_value(self.document.options.color_scale)


class PlaneOptions(QWidget):
    """Before, after or both; which lines, and how many."""

    def __init__(self, document: Document) -> None:
        super().__init__()
        self.document = document
        self.plane = Choice(
            "plane_mode",
            "Plane",
            [
                ("before", "before", "The plane at a = 0, c = 1."),
                ("after", "after", "The plane under the sliders' a and c."),
                ("both", "side by side", "Before and after beside each other."),
            ],
        )
        self.lines = QComboBox()
        self.lines.setObjectName("lines_select")
        self.lines.setAccessibleName("Lines")
        self.lines.setToolTip("Which queries and keys are joined by lines; width shows attention.")
        self.lines.addItem("each query → strongest key", "each query")
        self.lines.addItem("strongest entries", "top entries")
        self.lines.addItem("none", "none")
        self.lines.setMinimumWidth(_SHORTEST)
        self.count = QSlider(Qt.Orientation.Horizontal)
        self.count.setObjectName("lines_slider")
        self.count.setAccessibleName("Number of lines")
        self.count.setToolTip("How many of the strongest entries of the whole matrix get a line.")
        self.count.setRange(1, 200)
        self.count.setMinimumWidth(60)
        self.count.setMaximumWidth(140)
        self.number = _quiet("")
        self.color = QComboBox()
        self.color.setObjectName("color_select")
        self.color.setAccessibleName("Colour of the points")
        self.color.setToolTip("What queries and keys are coloured by; their shapes stay.")
        for value, (words, tip) in COLORINGS.items():
            self.color.addItem(words, value)
            self.color.setItemData(self.color.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.color.setMinimumWidth(_SHORTEST)
        self.modulo = QSpinBox()
        self.modulo.setObjectName("modulo")
        self.modulo.setAccessibleName("Modulo")
        self.modulo.setToolTip("Positions that differ by this number have the same colour.")
        self.modulo.setRange(2, 64)
        self.norm = tool_button("size: norm", checkable=True)
        self.norm.setObjectName("size_by_norm")
        self.norm.setAccessibleName("Size of the points by their norm")
        self.norm.setToolTip("Longer queries and keys are larger points.")
        rows = self._rows = QVBoxLayout(self)
        rows.setContentsMargins(8, 0, 8, 2)
        rows.setSpacing(_BETWEEN)
        self._lines = QHBoxLayout()
        self._lines.setSpacing(4)
        self._lines.addWidget(_quiet("lines"))
        self._lines.addWidget(self.lines)
        self._lines.addWidget(self.count, 1)
        self._lines.addWidget(self.number)
        self._lines.addStretch(1)
        self._first = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._first.setSpacing(_APART)
        self._first.addWidget(self.plane, 0, Qt.AlignmentFlag.AlignLeft)
        self._first.addLayout(self._lines, 1)
        rows.addLayout(self._first)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(_quiet("colour"))
        row.addWidget(self.color)
        row.addWidget(self.modulo)
        row.addWidget(self.norm)
        row.addStretch(1)
        rows.addLayout(row)
        self.plane.group.idClicked.connect(
            lambda i: document.set_options(plane=self.plane.values[i])
        )
        self.lines.currentIndexChanged.connect(
            lambda i: document.set_options(lines=self.lines.itemData(i))
        )
        self.count.valueChanged.connect(lambda n: document.set_options(n_lines=n))
        self.color.currentIndexChanged.connect(
            lambda i: document.set_options(color_by=self.color.itemData(i))
        )
        self.modulo.valueChanged.connect(lambda n: document.set_options(modulo=n))
        self.norm.toggled.connect(lambda on: document.set_options(size_by_norm=on))
        document.options_changed.connect(self.follow)
        document.picture_changed.connect(self.follow)
        self.follow()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.options_changed.disconnect(self.follow, missing_ok=True)
        self.document.picture_changed.disconnect(self.follow, missing_ok=True)

    def follow(self) -> None:
        """Show the document's options."""
        options = self.document.options
        self.plane.show_value(options.plane)
        with quiet(self.lines):
            self.lines.setCurrentIndex(self.lines.findData(options.lines))
        self.lines.update()
        with quiet(self.color):
            self.color.setCurrentIndex(self.color.findData(options.color_by))
        self.color.update()
        with quiet(self.modulo):
            self.modulo.setValue(options.modulo)
        self.modulo.setVisible(options.color_by == "modulo")
        with quiet(self.norm):
            self.norm.setChecked(options.size_by_norm)
        picture = self.document.picture
        most = 200 if picture is None else min(max(picture.n_pairs, 1), 1000)
        with quiet(self.count):
            self.count.setRange(1, max(most, options.n_lines))
            self.count.setValue(options.n_lines)
        top = options.lines == "top entries"
        self.count.setVisible(top)
        self.number.setVisible(top)
        self.number.setText(str(options.n_lines))
        self._fold()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the first row where it has no room: words cut short say nothing."""
        super().resizeEvent(event)
        self._fold()

    def _fold(self) -> None:
        needed = self.plane.sizeHint().width() + self._lines.sizeHint().width() + _APART
        margins = self._rows.contentsMargins()
        wide = needed <= self.width() - margins.left() - margins.right()
        way = QBoxLayout.Direction
        self._first.setDirection(way.LeftToRight if wide else way.TopToBottom)
        self._first.setSpacing(_APART if wide else _BETWEEN)


def _row(widget: QWidget) -> QHBoxLayout:
    row = QHBoxLayout(widget)
    row.setContentsMargins(8, 0, 8, 2)
    row.setSpacing(4)
    return row


def _quiet(text: str) -> QLabel:
    label = QLabel(text)
    label.setProperty("quiet", True)
    return label
