"""Small parts of the table of measures: a menu that stays, a table with a sentence, buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QMenu, QTableView, QToolButton, QWidget

from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.theme import LARGE, font

if TYPE_CHECKING:
    from PySide6.QtGui import QAction, QMouseEvent, QPaintEvent

EMPTY = "Type a text and press Run: every head's measures are listed here."


class StayingMenu(QMenu):
    """A menu that stays open while ticks are set."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Set the tick and stay."""
        action = self.activeAction()
        if action is not None and action.isCheckable() and action.isEnabled():
            action.trigger()
            event.accept()
            return
        super().mouseReleaseEvent(event)


class Table(QTableView):
    """A table that says in a sentence why it is empty."""

    sentence = EMPTY

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the rows, or the sentence."""
        super().paintEvent(event)
        if self.model() is None or self.model().rowCount() == 0:
            painter = QPainter(self.viewport())
            painter.setFont(font(LARGE))
            painter.setPen(self.palette().placeholderText().color())
            area = self.viewport().rect().adjusted(16, 16, -16, -16)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(area, flags, self.sentence)
            painter.end()


def named(widget: QWidget, name: str, accessible: str, words: str) -> None:
    """Give a control its name, what a screen reader says, and its tooltip."""
    widget.setObjectName(name)
    widget.setAccessibleName(accessible)
    widget.setToolTip(words)


def menu_button(words: str, name: str, accessible: str, tip_: str) -> QToolButton:
    """Return a button that opens a menu."""
    button = tool_button(f"{words} ▾")
    named(button, name, accessible, tip_)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    return button


def tick(menu: QMenu, words: str, on: bool, tip_: str, switch: Any) -> QAction:
    """Add an entry with a tick."""
    action = menu.addAction(words)
    action.setCheckable(True)
    action.setChecked(on)
    action.setToolTip(tip_)
    action.toggled.connect(switch)
    return action
