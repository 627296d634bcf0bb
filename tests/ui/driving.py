"""What every test of the whole window does with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QWidget

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

    from attnviz_gui.ui.main_window import MainWindow

LONG = 60_000  # milliseconds: the first run imports torch


def child(window: QWidget, name: str) -> QWidget:
    """The one widget of this name."""
    found = window.findChildren(QWidget, name)
    assert len(found) == 1, (name, found)
    return found[0]


def opened(qtbot: QtBot, window: MainWindow) -> Iterator[MainWindow]:
    """Show a window, hand it to a test, and close it: ``yield from`` it in a fixture."""
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    yield window
    window.close()


def drop(window: MainWindow, *what: Path | QUrl) -> None:
    """Drop files, folders or links on the window."""
    data = QMimeData()
    data.setUrls([e if isinstance(e, QUrl) else QUrl.fromLocalFile(str(e)) for e in what])
    event = QDropEvent(
        QPointF(50, 50), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )  # fmt: skip
    window.dropEvent(event)
