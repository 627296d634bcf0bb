"""What the menus, keys and panel menus do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.panels.dock import PanelDock


class Actions:
    """The window's actions; each is one thing that a person asks for."""

    def __init__(self, window: MainWindow) -> None:
        self.window = window

    def step(self, *, layer: int = 0, head: int = 0) -> None:
        """Go to another layer or head, counted from here."""
        d = self.window.document
        d.show_head(d.layer + layer, d.head + head)

    def geometry_failed(self, fault: BaseException) -> None:
        """Say why a count, a curve or another head came to nothing."""
        self.window.document.stay()
        if not isinstance(fault, InputError):
            raise fault
        self.window.banner.say(str(fault), fault=True)

    def watch(self) -> None:
        """Watch the chosen pair, or stop watching it."""
        document = self.window.document
        focus = document.focus
        if focus.query is None or focus.key is None:
            self.window.banner.say(
                "Choose a pair first: click a cell of the heatmap, then watch it."
            )
            return
        document.toggle_watch(focus.query, focus.key)

    def let_go(self) -> None:
        """Give the other panels back, else let go of what is chosen."""
        if not self.window.workspace.restore():
            self.window.document.clear_focus()

    def copy(self, dock: PanelDock) -> None:
        """Copy a panel's figure to the clipboard."""
        window = self.window
        if window.document.picture is None:
            window.banner.say("There is nothing to copy yet: type a text and press Run.")
            return
        from attnviz_gui.ui.figure import draw_figure

        scale = window.memory.settings.export_scale
        QApplication.clipboard().setImage(
            draw_figure(type(dock.view), window.document, scale=scale)
        )
        window.statusBar().showMessage(f"Copied: {dock.windowTitle()}", 4000)

    def export(self, only: PanelDock | None = None) -> None:
        """Ask where to write one panel, or all of them."""
        from attnviz_gui.ui.dialogs.export import ExportDialog

        window = self.window
        docks = window.docks if only is None else (only,)
        settings = window.memory.settings
        dialog = ExportDialog(
            window.document,
            {dock.windowTitle(): type(dock.view) for dock in docks},
            settings.export_folder or str(Path("~") / "attnviz"),
            settings.export_scale,
            window,
        )
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.exported.connect(lambda written: self._exported(written, dialog))
        dialog.open()

    def choose_folder(self) -> None:
        """Let the user look for a model folder."""
        dialog = QFileDialog(self.window, "Model folder")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        self._ask(dialog)

    def choose_hub_model(self) -> None:
        """Let the user name a model of the hub, to be downloaded and run."""
        from attnviz_gui.ui.dialogs.download import DownloadDialog

        dialog = DownloadDialog(self.window)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.wanted.connect(self.window.runs.download)
        dialog.open()

    def save_capture(self) -> None:
        """Ask where to save the capture on show."""
        window = self.window
        capture = window.document.capture
        if capture is None:
            window.banner.say("There is nothing to save yet: type a text and press Run.")
            return
        dialog = QFileDialog(window, "Save capture", window.memory.settings.capture_folder)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)  # asks before it overwrites
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setNameFilter("Captures (*.safetensors)")
        dialog.setDefaultSuffix("safetensors")
        dialog.selectFile(f"{_file_name(capture.model_name)}.safetensors")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.save_to(Path(path), capture))
        dialog.open()

    def save_to(self, path: Path, capture: Capture) -> None:
        """Save a capture in the worker."""
        if path.suffix.lower() != ".safetensors":
            self.window.banner.say(
                f"The capture was not saved: name the file {path.stem}.safetensors, so that it can "
                "be opened again.",
                fault=True,
            )
            return
        self.window.statusBar().showMessage(f"Saving {path.name}…")
        self.window.files.save(capture, path)

    def saved(self, path: Path) -> None:
        """Say that a capture is written, and keep it among the recent ones."""
        self.window.memory.change(capture_folder=str(path.parent))
        self.window.memory.add_file("captures", str(path))
        self.window.statusBar().showMessage(f"Saved to {path}", 8000)

    def export_places(self) -> None:
        """Ask where to write the places of all heads' tokens in one plane."""
        window = self.window
        if window.document.picture is None:
            window.banner.say("There is nothing to export yet: type a text and press Run.")
            return
        folder = window.memory.settings.export_folder
        dialog = QFileDialog(window, "Places of all heads in one plane", folder)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)  # asks before it overwrites
        dialog.setFileMode(QFileDialog.FileMode.AnyFile)
        dialog.setNameFilters(["Table (*.csv)", "Arrays of numpy (*.npz)"])
        dialog.setDefaultSuffix("csv")
        dialog.filterSelected.connect(lambda kind: dialog.setDefaultSuffix(kind[-4:-1]))
        dialog.selectFile("places.csv")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.place_to(Path(path)))
        dialog.open()

    def place_to(self, path: Path) -> None:
        """Write the places of all heads, each under its own fit, in the worker."""
        self.window.statusBar().showMessage(f"Writing {path.name}…")
        self.window.files.place(self.window.fitting.places(path))

    def placed(self, answer: tuple[Path, int, int]) -> None:
        """Say that the places are written, and which heads are not among them."""
        path, n, left_out = answer
        words = f"{n:,} heads written to {path}"
        if left_out:
            words += f"; {left_out:,} have no place in the plane and are named in the .npz file"
        self.window.statusBar().showMessage(words, 8000)

    def save_failed(self, fault: BaseException) -> None:
        """Say why a file is not written."""
        self.window.statusBar().clearMessage()
        if not isinstance(fault, InputError):
            raise fault
        self.window.banner.say(str(fault), fault=True)

    def lost(self, kind: str, path: str) -> None:
        """Take what is no longer there off the recent ones."""
        self.window.memory.forget(kind, path)
        if kind == "models":
            self.window.text_bar.set_models(self.window.memory.settings.recent_models)

    def choose_file(self) -> None:
        """Let the user look for a text or a capture."""
        dialog = QFileDialog(self.window, "Text or capture")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setNameFilter("Texts and captures (*.txt *.md *.safetensors);;All files (*)")
        self._ask(dialog)

    def explain(self) -> None:
        """Open the page about a and c."""
        from attnviz_gui.ui.dialogs.help import normalisation_help

        normalisation_help(self.window).show()

    def about(self) -> None:
        """Open the page about this program."""
        from attnviz_gui.ui.dialogs.help import about

        about(self.window).show()

    def _ask(self, dialog: QFileDialog) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.window.runs.open(Path(path)))
        dialog.open()

    def _exported(self, written: list[Path], dialog: Any) -> None:
        folder = written[0].parent
        self.window.memory.change(
            export_folder=str(folder), export_scale=dialog.scale.currentData()
        )
        names = ", ".join(path.name for path in written)
        self.window.statusBar().showMessage(f"Written to {folder}: {names}", 8000)


def _file_name(words: str) -> str:
    """Return words as the name of a file that every system takes."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in words)[:80] or "capture"
