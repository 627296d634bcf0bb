"""Saving captures and places, and looking which models are here: in a worker of its own.

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

    from PySide6.QtCore import SignalInstance

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.fitting import SpaceRequest
    from attnviz_gui.jobs.runner import Request


class Files(QObject):
    """What is written to and looked up on disk beside the runs."""

    saved = Signal(object)  # the file of a capture that is written
    placed = Signal(object)  # the file of all heads' places, and how many heads are in it
    failed = Signal(object)  # why one is not
    listed = Signal(object)  # the ids of the hub's models on this machine

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._worker = Worker("files")
        self._lister = Runner(self._worker, self)
        self._lister.finished.connect(self.listed)

    def save(self, capture: Capture, path: Path) -> None:
        """Write a capture; one save never replaces another."""
        self._write(SaveRequest(capture, path), self.saved)

    def place(self, request: SpaceRequest) -> None:
        """Write where all heads' tokens lie in one plane."""
        self._write(request, self.placed)

    def _write(self, request: Request, then: SignalInstance) -> None:
        writer = Runner(self._worker, self)
        writer.finished.connect(then)
        writer.failed.connect(self.failed)
        writer.stopped.connect(writer.deleteLater)
        writer.submit(request)

    def look(self) -> None:
        """Look which models are on this machine."""
        if not self._lister.running:
            self._lister.submit(ModelsRequest())

    def close(self) -> None:
        """Write what is to be written, and end."""
        self._lister.close()
        self._worker.close(finish=True)
