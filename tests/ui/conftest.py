"""What every test of the window has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_button_stays_down(qapp: QApplication) -> Iterator[None]:
    """Let go of the mouse, which QTest else holds down in the moves of the next test, too."""
    yield
    anywhere = QWidget()
    QTest.mouseRelease(anywhere, Qt.MouseButton.LeftButton)
    anywhere.deleteLater()
    QApplication.processEvents()
