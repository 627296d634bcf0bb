"""What follows a moving slider no faster than a person can read it, or a screen show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_MS = 50  # words and numbers
FRAME_MS = 16  # what moves: a screen's frame


class Steady(QObject):
    """Calls at once, then again after a pause if it was asked for meanwhile: the last word wins."""

    def __init__(self, call: Callable[[], object], parent: QObject, pause: int = PAUSE_MS) -> None:
        super().__init__(parent)
        self._call = call
        self._again = False
        self._pause = QTimer(self, singleShot=True, interval=pause)
        self._pause.timeout.connect(self._paused)

    def now(self) -> None:
        """Call without a pause; what was asked for before is answered by that."""
        self._again = False
        self._pause.stop()
        self._call()

    def soon(self) -> None:
        """Call now, or when the pause since the last call is over."""
        if self._pause.isActive():
            self._again = True
            return
        self._call()
        self._pause.start()

    def _paused(self) -> None:
        if self._again:
            self._again = False
            self._call()
            self._pause.start()
