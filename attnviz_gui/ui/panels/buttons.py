"""Small buttons that bear a word or a sign."""

from __future__ import annotations

from PySide6.QtWidgets import QToolButton


def tool_button(words: str, *, checkable: bool = False) -> QToolButton:
    """Return a flat button, or one that stays down."""
    button = QToolButton()
    button.setText(words)
    button.setCheckable(checkable)
    button.setAutoRaise(not checkable)
    button.setProperty("segment", checkable)  # coloured while it is down, in every theme
    return button
