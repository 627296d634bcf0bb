"""The panel that lists what is selected, and the keys that undo.

Gives the window's views their brushes; the views show the selection themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenu

from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.runner import Worker
from attnviz_gui.session.selection import Selection, select_pairs_at, select_places
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.explore.selection_panel import SelectionPanel
    from attnviz_gui.ui.main_window import MainWindow

_REST_MS = 60  # before all lit pairs of very many are looked for: the selection is painted first


class SelectionPart(Part):
    """The panel *Selection*, the entries of the menus, and brushes for the window's own views."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.worker = Worker("brush")
        self.seekers = [
            Offloader(self.worker, window.actions_.geometry_failed, self, rest_ms=rest)
            for rest in (0, _REST_MS)
        ]
        window.scatter.seek, window.scatter.lighten = self.seekers
        for dock in window.docks:
            window.brushing.join(dock.view, dock.header, dock.objectName())
        self.panel: SelectionPanel | None = None
        self.dock = PartDock("Selection", "selection_panel", self._make)
        window.workspace.add(self.dock)
        window.explore_menu.addMenu(window.brushing.menu)
        self._add_entries()
        self.document.selection_changed.connect(self._follow)
        self.document.picture_changed.connect(self._follow)
        self._follow()

    # -- menus -------------------------------------------------------------------------------

    def _add_entries(self) -> None:
        window, document = self.window, self.document
        menus = window.menuBar().findChildren(QMenu)
        edit = next(menu for menu in menus if menu.title() == "&Edit")
        first = edit.actions()[0]
        self.undo, self.redo = QAction("&Undo selection", self), QAction("&Redo selection", self)
        edit.insertActions(first, [self.undo, self.redo])
        edit.insertSeparator(first)
        self.clear = edit.addAction("C&lear the selection")
        self.invert = edit.addAction("In&vert the selection")
        # A text field that is being typed in takes these keys before any menu does.
        self.undo.setShortcut(QKeySequence.StandardKey.Undo)
        self.redo.setShortcuts([QKeySequence("Ctrl+Shift+Z"), QKeySequence("Ctrl+Y")])
        self.undo.triggered.connect(document.undo)
        self.redo.triggered.connect(document.redo)
        self.clear.triggered.connect(self.select_nothing)
        self.invert.triggered.connect(self.select_rest)
        self.choose = edit.addAction("Select the &chosen token or pair")
        self.choose.setShortcut("Ctrl+Shift+D")
        self.choose.setToolTip("Adds what is pinned to the selection, or takes it away.")
        self.choose.triggered.connect(self.toggle_chosen)
        window.explore_menu.addAction(self.dock.toggleViewAction())

    # -- what the entries do -----------------------------------------------------------------

    def select_nothing(self) -> None:
        """Clear the selection; it can be undone."""
        self.document.select(Selection(self.document.token_lists))

    def select_rest(self) -> None:
        """Select what is not selected."""
        self.document.select(self.document.selection.inverted())

    def toggle_chosen(self) -> None:
        """Select what is pinned, or let it go."""
        document, focus = self.document, self.document.focus
        picture = document.picture
        if picture is None or not focus:
            self.window.banner.say("Choose a token first: click one in the strip or a panel.")
            return
        lists = document.token_lists
        of = lists.of_layer[picture.layer]
        query, key = (
            [] if index is None else [int(at[index]) + int(lists.starts[which][picture.text])]
            for index, at, which in zip(
                (focus.query, focus.key), (picture.query_index, picture.key_index), of,
                strict=True,
            )
        )  # fmt: skip
        if query and key:
            brush = select_pairs_at(lists, np.array(query), np.array(key), of)
        else:
            brush = select_places(lists, query, key, of)
        document.select(brush, "toggle")

    def _follow(self) -> None:
        document = self.document
        some = bool(document.selection)
        self.undo.setEnabled(document.can_undo)
        self.redo.setEnabled(document.can_redo)
        self.clear.setEnabled(some)
        self.invert.setEnabled(document.picture is not None)

    def _make(self) -> QWidget:
        from attnviz_gui.ui.explore.selection_panel import SelectionPanel

        panel = SelectionPanel(self.document, (self.undo, self.redo, self.invert, self.clear))
        panel.copied.connect(lambda words: self.window.statusBar().showMessage(words, 4000))
        self.panel = panel
        return panel

    def close(self) -> None:
        """Look for nothing more."""
        for seeker in self.seekers:
            seeker.close()
        self.worker.close()
        self.document.selection_changed.disconnect(self._follow, missing_ok=True)
        self.document.picture_changed.disconnect(self._follow, missing_ok=True)
        if self.panel is not None:
            self.panel.stop()
