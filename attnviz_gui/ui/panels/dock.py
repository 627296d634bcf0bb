"""A panel: a view in a dock, with its title, its numbers and a small menu above it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QDockWidget,
    QHBoxLayout,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.steady import Steady
from attnviz_gui.ui.theme import font

if TYPE_CHECKING:
    from PySide6.QtGui import QMouseEvent, QPaintEvent

    from attnviz_gui.ui.views.base import View

FILL = "Fill the window, or give the room back"  # of every panel's menu; a double click does it
STEP = 16  # pixels
# Patterns that a line says shorter before anything is cut off, one after the other; the whole is
# in the tooltip.
SHORTER = (
    (" of variance", " var."),
    ("mean distance", "distance"),
    (" → ", "→"),
    (r" var\.", ""),
    (" · distance ", " · dist. "),
    (" as density$", ""),
    (r" · [\d,]+ pairs?$", ""),  # where all of them are drawn
)


class ElidedLabel(QWidget):
    """A line of text that gives way: it is said shorter, then cut with …, and widens no window.

    Not a QLabel: that one has the whole window laid out anew for every text, in every frame.
    """

    def __init__(self, side: Qt.AlignmentFlag, *, shortest: int) -> None:
        """`shortest`: the width in letters below which it does not go."""
        super().__init__()
        self._shortest = shortest
        self._text = ""
        self._width = 0
        self._side = side | Qt.AlignmentFlag.AlignVCenter
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def say(self, text: str) -> None:
        """Set the whole text; what is cut is in the tooltip."""
        if text == self._text:
            return
        self._text = text
        self.setAccessibleName(text)
        # In steps: numbers that change in every frame are not to have the panel laid out anew.
        width = -(-(self.fontMetrics().horizontalAdvance(text) + 2) // STEP) * STEP
        if width != self._width:
            self._width = width
            self.updateGeometry()
        self.update()

    @property
    def whole(self) -> str:
        """The text as it was set."""
        return self._text

    def text(self) -> str:
        """The text as it is seen, shorter or cut where there is no room."""
        metrics, seen, room = self.fontMetrics(), self._text, self.width() + 1
        for words, fewer in SHORTER:
            if metrics.horizontalAdvance(seen) <= room:
                return seen
            seen = re.sub(words, fewer, seen)
        return metrics.elidedText(seen, Qt.TextElideMode.ElideRight, room)

    def sizeHint(self) -> QSize:
        """Room for the whole text."""
        return QSize(self._width, self.fontMetrics().height() + 2)

    def minimumSizeHint(self) -> QSize:
        """Room for the letters that it never goes without, or for all there are."""
        few = self.fontMetrics().averageCharWidth() * self._shortest
        return QSize(min(few, self._width), self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Write what there is room for."""
        seen = self.text()
        self.setToolTip(self._text if seen != self._text else "")
        painter = QPainter(self)
        painter.setPen(self.palette().windowText().color())
        painter.drawText(self.rect(), self._side, seen)
        painter.end()


class PanelHeader(QWidget):
    """Title at the left, numbers at the right, then a badge where there is one, and the menu."""

    doubled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = ElidedLabel(Qt.AlignmentFlag.AlignLeft, shortest=40)
        self.title.setFont(font(bold=True))
        self.numbers = ElidedLabel(Qt.AlignmentFlag.AlignRight, shortest=6)
        self.menu_button = tool_button("⋯")
        self.menu_button.setAccessibleName("Panel menu")
        self.menu_button.setToolTip("Enlarge, copy or export this panel")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(8, 2, 4, 2)
        self.row.setSpacing(8)
        self.row.addWidget(self.title)
        self.row.addWidget(self.numbers, 1)
        self.row.addWidget(self.menu_button)

    def add_badge(self, badge: QWidget) -> None:
        """Put a badge between the numbers and the menu."""
        self.row.insertWidget(self.row.indexOf(self.menu_button), badge)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Ask for the whole window, or to give it back."""
        self.doubled.emit()
        event.accept()


class PanelDock(QDockWidget):
    """A view that can be moved, closed, brought back and maximised."""

    view: View

    def __init__(
        self, label: str, view: View | None = None, options: QWidget | None = None, *,
        name: str = "",
    ) -> None:  # fmt: skip
        """Without a view, the panel is called `name` and waits for `hold`."""
        super().__init__(label)
        self.setObjectName(f"{name or getattr(view, 'name', '')}_panel")
        self.header = PanelHeader()
        self.setTitleBarWidget(self.header)
        self.menu = QMenu(self)
        self.header.menu_button.setMenu(self.menu)
        body = QWidget()
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0)
        if options is not None:
            self._column.addWidget(options)
        body.setMinimumSize(260, 180)  # smaller than this, nothing in it can be read
        self.setWidget(body)
        self._steady = Steady(self._say, self)
        if view is None:
            self.header.title.say(label)
        else:
            self.hold(view)

    def hold(self, view: View) -> None:
        """Take the view that is shown."""
        self.view = view
        self._column.addWidget(view, 1)
        view.titled.connect(self.follow)
        view.menu_wanted.connect(self.menu.popup)
        self.follow()

    def follow(self) -> None:
        """Show the view's title and numbers: at once, while a slider moves as fast as is read."""
        if self.view.document.dragging:
            self._steady.soon()
        else:
            self._steady.now()

    def _say(self) -> None:
        title, numbers = self.view.title(), self.view.numbers()
        self.header.title.say(title or self.windowTitle())
        self.header.numbers.say(numbers)
        self.view.setAccessibleDescription(f"{title}. {numbers}")
