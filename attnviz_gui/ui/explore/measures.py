"""Joins the table of all heads' measures to the window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QWidget

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.measuring import TableRequest
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.explore.measures_engine import Measuring
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from attnviz_gui.ui.explore.measures_table import MeasuresPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme


class MeasuresTable(Part):
    """Joins the table to the window."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.measuring = Measuring(self.document, window.workers[0], window.runner, self)
        self._files = Worker("tables")
        self.writer = Runner(self._files, self)
        self.writer.finished.connect(self._written)
        self.writer.failed.connect(self._not_written)
        self.dock = PartDock("Measures of heads", "measures_panel", self._make, early=True)
        self.panel: MeasuresPanel | None = None
        window.workspace.add(self.dock)
        action = self.dock.toggleViewAction()
        action.setToolTip("All heads in a table: entropy, distance, previous token and others.")
        window.explore_menu.addAction(action)
        like = window.explore_menu.addAction("Heads like this one")
        like.triggered.connect(self.show_like)

    def _make(self) -> QWidget:
        from attnviz_gui.ui.explore.measures_table import MeasuresPanel

        self.panel = MeasuresPanel(self.document, self.window.theme, self.measuring)
        self.panel.export_wanted.connect(self.export)
        self.panel.room_wanted.connect(lambda: self.window.workspace.maximise(self.dock))
        self.panel.copied.connect(lambda words: self.window.statusBar().showMessage(words, 4000))
        return self.panel

    def show_like(self) -> None:
        """Open the table, sorted by how alike heads are to the one on show."""
        picture = self.document.picture
        if picture is None:
            self.window.banner.say("There is no head on show yet: type a text and press Run.")
            return
        self.dock.open()
        self.measuring.want(like=(picture.layer, picture.head))

    def export(self) -> None:
        """Ask where to write the table."""
        dialog = QFileDialog(
            self.window, "Measures of heads", self.window.memory.settings.export_folder
        )
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)  # asks before it overwrites
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setNameFilter("Table (*.csv)")
        dialog.setDefaultSuffix("csv")
        dialog.selectFile("heads.csv")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.export_to(Path(path)))
        dialog.open()

    def export_to(self, path: Path) -> None:
        """Write the table as it is shown, in a worker."""
        self.dock.make()
        assert self.panel is not None
        self.writer.submit(TableRequest(self.panel.rows(), path))

    def _written(self, path: Path) -> None:
        self.window.memory.change(export_folder=str(path.parent))
        self.window.statusBar().showMessage(f"Written to {path}", 8000)

    def _not_written(self, fault: BaseException) -> None:
        if not isinstance(fault, InputError):
            raise fault
        self.window.banner.say(str(fault), fault=True)

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Cancel what is measured; write what is being written."""
        self.measuring.close()
        self.writer.close()
        self._files.close(finish=True)
