"""The dock of the anatomy view: hidden at first, and given all the room when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QApplication, QFileDialog

from attnviz_gui.errors import InputError
from attnviz_gui.ui.figure import write_png
from attnviz_gui.ui.panels.dock import PanelDock
from attnviz_gui.ui.views.anatomy import AnatomyView

if TYPE_CHECKING:
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.base import View

_SCALE = 2.0  # pixels for each logical unit of a picture


class AnatomyPanel(PanelDock):
    """How the head on show is computed, step by step."""

    refused = Signal(str)  # why a picture could not be written
    done = Signal(str)  # what was copied or written

    def __init__(self, document: Document, theme: Theme) -> None:
        self.anatomy = AnatomyView(document, theme)
        # Not drawn with pyqtgraph, but with all that a dock asks of a view.
        super().__init__("How it is computed", cast("View", self.anatomy))
        self.menu.addAction("Copy").triggered.connect(self.copy)
        self.menu.addAction("Export…").triggered.connect(self.export)

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
            write_png(image, target)
        except InputError as error:
            self.refused.emit(str(error))
        else:
            self.done.emit(f"Written: {target}")
