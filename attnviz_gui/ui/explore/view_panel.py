"""A view in a part's panel: its title and numbers, its choices, copy and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QHBoxLayout, QMenu, QVBoxLayout, QWidget

from attnviz_gui.ui.panels.dock import PanelHeader
from attnviz_gui.ui.panels.view_options import Choice

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QShowEvent

    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme


class AsShown:
    """Makes a view like one that is on show, in the place of its class: what a figure draws."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self.name, self.normalised = view.name, view.normalised

    def __call__(self, document: Document, theme: Theme) -> Any:
        """Return a view of the same kind with the same choices."""
        made = type(self._view)(document, theme)
        made.like(self._view)
        return made


class ViewPanel(QWidget):
    """The content of a part's dock.

    Parameters
    ----------
    view
        With `choosable`, `choices`, `choose` and `like` beside what a view has.
    label
        What the panel is called where nothing is on show.
    """

    def __init__(self, window: MainWindow, view: Any, label: str) -> None:
        super().__init__()
        self.window_, self.view, self.label = window, view, label
        self.setObjectName(f"{view.name}_content")
        self.setMinimumSize(260, 180)  # smaller than this, nothing in it can be read
        self.header = PanelHeader()
        self.menu = QMenu(self)
        self.header.menu_button.setMenu(self.menu)
        self.menu.addAction("Copy").triggered.connect(self.copy)
        self.menu.addAction("Export…").triggered.connect(self.export)
        self.options = QWidget()
        self.row = QHBoxLayout(self.options)
        self.row.setContentsMargins(8, 0, 8, 2)
        self.row.setSpacing(6)
        self.picks: dict[str, Choice] = {}
        for one in view.choosable:
            pick = Choice(f"{view.name}_{one.name}", one.accessible, list(one.entries))
            pick.show_value(view.choices[one.name])
            pick.group.idClicked.connect(
                lambda i, name=one.name: view.choose(name, self.picks[name].values[i])
            )
            self.picks[one.name] = pick
            self.row.addWidget(pick)
        self.row.addStretch(1)
        self.second: QHBoxLayout | None = None
        column = self.column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.header)
        column.addWidget(self.options)
        column.addWidget(view, 1)
        view.titled.connect(self.follow)
        view.menu_wanted.connect(self.menu.popup)
        self._following = False

    def showEvent(self, event: QShowEvent) -> None:
        """It is seen: draw, and follow the document from now on."""
        super().showEvent(event)
        if not self._following:
            self._following = True
            self.view.start()
            self.follow()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks: what is hidden costs nothing."""
        super().hideEvent(event)
        self.stop()

    def add_option(self, widget: QWidget, *, below: bool = False) -> None:
        """Put another control beside the choices, or in a row `below` them."""
        if not below:
            self.row.insertWidget(self.row.count() - 1, widget)
            return
        if self.second is None:
            self.second = QHBoxLayout()
            self.second.setContentsMargins(8, 0, 8, 2)
            self.second.addStretch(1)
            self.column.insertLayout(2, self.second)
        self.second.insertWidget(self.second.count() - 1, widget)

    def follow(self) -> None:
        """Show the view's title and numbers."""
        title, numbers = self.view.title(), self.view.numbers()
        self.header.title.say(title or self.label)
        self.header.numbers.say(numbers)
        self.view.setAccessibleDescription(f"{title}. {numbers}")

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.view.retheme(theme)

    def stop(self) -> None:
        """Follow the document no longer."""
        self._following = False
        self.view.stop()

    def copy(self) -> None:
        """Copy what is on show, drawn for paper, to the clipboard."""
        from PySide6.QtWidgets import QApplication

        from attnviz_gui.ui.figure import draw_figure

        window = self.window_
        if window.document.picture is None:
            window.banner.say("There is nothing to copy yet: type a text and press Run.")
            return
        kind: Any = AsShown(self.view)
        image = draw_figure(kind, window.document, scale=window.memory.settings.export_scale)
        QApplication.clipboard().setImage(image)
        window.statusBar().showMessage(f"Copied: {self.label}", 4000)

    def export(self) -> None:
        """Ask where to write what is on show."""
        from pathlib import Path

        from PySide6.QtCore import Qt

        from attnviz_gui.ui.dialogs.export import ExportDialog

        window = self.window_
        settings = window.memory.settings
        kind: Any = AsShown(self.view)
        folder = settings.export_folder or str(Path("~") / "attnviz")
        dialog = ExportDialog(
            window.document, {self.label: kind}, folder, settings.export_scale, window
        )
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.exported.connect(lambda written: self._exported(written, dialog))
        dialog.open()

    def _exported(self, written: list[Any], dialog: Any) -> None:
        window, folder = self.window_, written[0].parent
        window.memory.change(export_folder=str(folder), export_scale=dialog.scale.currentData())
        names = ", ".join(path.name for path in written)
        window.statusBar().showMessage(f"Written to {folder}: {names}", 8000)
