"""Says beside a head's name whether it is what the model computed; the sentence is its tooltip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLabel

if TYPE_CHECKING:
    from attnviz_gui.session.badge import Badge


class BadgeLabel(QLabel):
    """A word or two in a panel's title row."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("badge")
        self.setProperty("quiet", True)
        self.say(None)

    def say(self, badge: Badge | None) -> None:
        """Show a badge, None for none."""
        text = "" if badge is None else badge.text
        if text != self.text():
            self.setText(text)
        self.setVisible(badge is not None)
        self.setToolTip("" if badge is None else badge.tip)
        self.setAccessibleName(f"Checked against the model: {text}" if text else "")
