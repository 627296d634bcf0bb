"""Colours that take time, groups of vectors say, are computed in a worker of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.runner import Worker
from attnviz_gui.session.offload import at_once
from attnviz_gui.ui.parts import Part

if TYPE_CHECKING:
    from attnviz_gui.ui.main_window import MainWindow


class ColorWorker(Part):
    """Gives the document's colours a worker."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.worker = Worker("colours")
        self.offload = Offloader(self.worker, window.actions_.geometry_failed, self)
        self.document.colors.offload = self.offload

    def close(self) -> None:
        """Drop what is under way, and wait for it."""
        self.document.colors.offload = at_once
        self.offload.close()
        self.worker.close()
