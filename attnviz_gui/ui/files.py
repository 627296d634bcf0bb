"""Saving captures, and looking which models are on this machine: in a worker of its own.

Apart from the runs, so that a save is neither replaced by a run nor waits for one; when the window
closes, what is being saved is written first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from attnviz_gui.jobs.requests import ModelsRequest, SaveRequest
from attnviz_gui.jobs.runner import Runner, Worker

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.record import Capture


class Files(QObject):
    """What is written to and looked up on disk beside the runs."""

    saved = Signal(object)  # the file of a capture that is written
    failed = Signal(object)  # why one is not
    listed = Signal(object)  # the ids of the hub's models on this machine

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._worker = Worker("files")
        self._lister = Runner(self._worker, self)
        self._lister.finished.connect(self.listed)

    def save(self, capture: Capture, path: Path) -> None:
        """Write a capture; one save never replaces another."""
        saver = Runner(self._worker, self)
        saver.finished.connect(self.saved)
        saver.failed.connect(self.failed)
        saver.stopped.connect(saver.deleteLater)
        saver.submit(SaveRequest(capture, path))

    def look(self) -> None:
        """Look which models are on this machine."""
        if not self._lister.running:
            self._lister.submit(ModelsRequest())

    def close(self) -> None:
        """Write what is to be written, and end."""
        self._lister.close()
        self._worker.close(finish=True)
