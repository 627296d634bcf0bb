"""The dock of the anatomy view: hidden at first, and given all the room when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QFileDialog

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.dissection import dissect
from attnviz_gui.ui.panels.dock import PanelDock

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.offload import Offload
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.anatomy.view import AnatomyView
    from attnviz_gui.ui.views.base import View

_SCALE = 2.0  # pixels for each logical unit of a picture


class AnatomyPanel(PanelDock):
    """How the head on show is computed, step by step.

    The view is made once the window is there, or when it is first seen: opening does not wait.
    """

    refused = Signal(str)  # why a picture could not be written
    done = Signal(str)  # what was copied or written

    def __init__(self, document: Document, theme: Theme, offload: Offload) -> None:
        """`offload` hands the work to a worker that may run the model."""
        super().__init__("How it is computed", name="anatomy")
        self._document, self._theme, self._offload = document, theme, offload
        self._anatomy: AnatomyView | None = None
        self._closed = False
        self.menu.addAction("Copy").triggered.connect(self.copy)
        self.menu.addAction("Export…").triggered.connect(self.export)

    @property
    def anatomy(self) -> AnatomyView:
        """The view, made when it is first asked for."""
        if self._anatomy is None:
            from attnviz_gui.ui.views.anatomy.view import AnatomyView

            view = self._anatomy = AnatomyView(self._document, self._theme)
            view.dissect, view.offload = dissect, self._offload
            # Not drawn with pyqtgraph, but with all that a dock asks of a view.
            self.hold(cast("View", view))
            view.start()
        return self._anatomy

    def make(self) -> None:
        """Make the view, if there is none yet and the window still stands."""
        if not self._closed:
            _ = self.anatomy

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self._theme = theme
        if self._anatomy is not None:
            self._anatomy.retheme(theme)

    def say_running(self, running: bool) -> None:
        """While there is no picture yet, say whether one is on its way."""
        if self._anatomy is not None:
            self._anatomy.say_running(running)

    def stop(self) -> None:
        """Follow the document no longer."""
        self._closed = True
        if self._anatomy is not None:
            self._anatomy.stop()

    def showEvent(self, event: QShowEvent) -> None:
        """It is seen: now the view is needed."""
        self.make()
        super().showEvent(event)

    def copy(self) -> None:
        """Copy the page on show, drawn for paper, to the clipboard."""
        image = self.anatomy.picture(_SCALE)
        if image is None:
            self.refused.emit("There are no steps to copy yet: run a text first.")
            return
        QApplication.clipboard().setImage(image)
        self.done.emit(f"Copied: {self.windowTitle()}")

    def export(self) -> None:
        """Ask for a file, and write the page on show to it, drawn for paper."""
        if self.anatomy.picture(1.0) is None:
            self.refused.emit("There are no steps to export yet: run a text first.")
            return
        dialog = QFileDialog(self, "Export the steps", str(Path.home() / "anatomy.png"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter("Pictures (*.png)")
        dialog.setDefaultSuffix("png")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.write(Path(path)))
        dialog.open()

    def write(self, target: Path) -> None:
        """Write the page on show to a PNG file."""
        image = self.anatomy.picture(_SCALE)
        if image is None:
            return
        try:
            from attnviz_gui.ui.figure import write_png

            write_png(image, target)
        except InputError as error:
            self.refused.emit(str(error))
        else:
            self.done.emit(f"Written: {target}")
