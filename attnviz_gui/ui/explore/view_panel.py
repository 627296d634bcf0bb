"""A view in a part's panel: its title and numbers, its choices, copy and export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import (
    QBoxLayout,
    QDockWidget,
    QHBoxLayout,
    QMenu,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.ui.panels.dock import FILL, PanelHeader
from attnviz_gui.ui.panels.view_options import Choice

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QResizeEvent, QShowEvent

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


class Folding(QWidget):
    """Controls side by side; one below the other where their words would be cut short."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self.row.setContentsMargins(8, 0, 8, 2)
        self.row.setSpacing(6)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold, or unfold."""
        super().resizeEvent(event)
        self._fold()

    def event(self, event: QEvent) -> bool:
        """Fold where a control has come or gone."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self._fold()
        return done

    def minimumSizeHint(self) -> QSize:
        """As narrow as the widest of them: folding makes the room."""
        margins, own = self.row.contentsMargins(), super().minimumSizeHint()
        hints = [w.minimumSizeHint().width() for w in self._widgets() if not w.isHidden()]
        wide = max(hints, default=0) + margins.left() + margins.right()
        return QSize(min(wide, own.width()), own.height())

    def _widgets(self) -> list[QWidget]:
        items = (self.row.itemAt(i) for i in range(self.row.count()))
        found = (item.widget() for item in items if item is not None)
        return [widget for widget in found if widget is not None]

    def _fold(self) -> None:
        widgets = self._widgets()
        widths = [widget.sizeHint().width() for widget in widgets if not widget.isHidden()]
        margins = self.row.contentsMargins()
        needed = sum(widths) + self.row.spacing() * max(len(widths) - 1, 0)
        needed += margins.left() + margins.right()
        way = QBoxLayout.Direction
        apart = len(widths) > 1 and needed > self.width()
        want = way.TopToBottom if apart else way.LeftToRight
        if self.row.direction() != want:
            left = Qt.AlignmentFlag.AlignLeft if apart else Qt.AlignmentFlag(0)
            for widget in widgets:
                self.row.setAlignment(widget, left)
            self.row.setSpacing(3 if apart else 6)
            self.row.setDirection(want)


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
        self.header.doubled.connect(self.fill)
        self.menu.addAction(FILL).triggered.connect(self.fill)
        self.menu.addSeparator()
        self.menu.addAction("Copy").triggered.connect(self.copy)
        self.menu.addAction("Export…").triggered.connect(self.export)
        self.options = Folding()
        self.row = self.options.row
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

    def fill(self) -> None:
        """Take all the room, or give it back."""
        dock = self.parentWidget()
        if isinstance(dock, QDockWidget):
            self.window_.workspace.maximise(dock)

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
