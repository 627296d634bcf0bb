"""One line above the panels that says what went wrong, or what was left out, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from attnviz_gui.ui.panels.buttons import tool_button

if TYPE_CHECKING:
    from collections.abc import Callable


class Banner(QFrame):
    """A sentence, at most one thing to do about it, details to copy, and a way to close it."""

    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("banner")
        self.setAccessibleName("Message")
        self._details = ""
        self._act: Callable[[], object] | None = None
        self.message = QLabel()
        self.message.setObjectName("banner_message")
        self.message.setWordWrap(True)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = QPushButton()
        self.action.setObjectName("banner_action")
        self.action.clicked.connect(self._on_action)
        self.copy = QPushButton("Copy details")
        self.copy.setObjectName("banner_copy")
        self.copy.clicked.connect(self._on_copy)
        close = tool_button("✕")
        close.setAccessibleName("Close the message")
        close.setToolTip("Close the message")
        close.clicked.connect(self.clear)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 6, 4)
        row.addWidget(self.message, 1)
        row.addWidget(self.action)
        row.addWidget(self.copy)
        row.addWidget(close)
        self.hide()

    def say(
        self,
        sentence: str,
        *,
        fault: bool = False,
        details: str = "",
        action: tuple[str, Callable[[], object]] | None = None,
    ) -> None:
        """Show a sentence; `action` is a button's words and what it does."""
        self.message.setText(sentence)
        self.setAccessibleDescription(sentence)
        self._details = details
        self.copy.setVisible(bool(details))
        self._act = action[1] if action else None
        self.action.setText(action[0] if action else "")
        self.action.setVisible(action is not None)
        self.setProperty("fault", fault)
        self.style().unpolish(self)
        self.style().polish(self)
        self.show()

    def clear(self) -> None:
        """Take the sentence away."""
        self.message.clear()
        self.hide()
        self.closed.emit()

    @property
    def sentence(self) -> str:
        """The sentence that is shown, empty when there is none."""
        return self.message.text()

    def _on_action(self) -> None:
        if self._act is not None:
            self._act()

    def _on_copy(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.sentence}\n\n{self._details}")
