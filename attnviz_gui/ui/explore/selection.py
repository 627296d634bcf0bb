"""The panel that lists what is selected, the tools that brush, and the keys that undo.

Gives every view of the window a brush; the views show the selection themselves.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, get_args

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QAction,
    QActionGroup,
    QColor,
    QIcon,
    QKeySequence,
    QPainter,
    QPen,
    QPixmap,
)
from PySide6.QtWidgets import QMenu, QToolButton

from attnviz_gui.jobs.offloader import Offloader
from attnviz_gui.jobs.runner import Worker
from attnviz_gui.session.selection import Selection, select_pairs_at, select_places
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock
from attnviz_gui.ui.views.brush import HELP, Brush, Tool

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.explore.selection_panel import SelectionPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme

ICON = 14  # pixels
_REST_MS = 60  # before all lit pairs of very many are looked for: the selection is painted first
WORDS: dict[Tool, tuple[str, str]] = {
    "move": ("&Move", "Drag moves the picture."),
    "rectangle": ("Select with a &rectangle", "Drag selects what is in a rectangle."),
    "lasso": ("Select with a &lasso", "Drag selects what the line goes around."),
}


class SelectionPart(Part):
    """Brushes on the views, the panel *Selection*, and the entries of the menus."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.worker = Worker("brush")
        self.seekers = [
            Offloader(self.worker, window.actions_.geometry_failed, self, rest_ms=rest)
            for rest in (0, _REST_MS)
        ]
        window.scatter.seek, window.scatter.lighten = self.seekers
        self.brushes = [Brush(view) for view in window.views]
        self.panel: SelectionPanel | None = None
        self.dock = PartDock("Selection", "selection_panel", self._make)
        window.workspace.add(self.dock)
        self.tools = QActionGroup(self)
        self.buttons: list[QToolButton] = []
        self._add_buttons(self._tool_menu())
        self._add_entries()
        self.document.selection_changed.connect(self._follow)
        self.document.picture_changed.connect(self._follow)
        self.set_theme(window.theme)
        self._follow()

    # -- menus and buttons -------------------------------------------------------------------

    def _tool_menu(self) -> QMenu:
        menu = self.window.explore_menu.addMenu("&Drag in the panels")
        menu.setObjectName("brush_tools")
        menu.setToolTipsVisible(True)
        for tool in get_args(Tool):
            words, tip = WORDS[tool]
            action = menu.addAction(words)
            action.setToolTip(f"{tip}\n{HELP}")
            action.setCheckable(True)
            action.setData(tool)
            action.triggered.connect(partial(self.use, tool))
            self.tools.addAction(action)
        self.tools.actions()[0].setChecked(True)
        return menu

    def _add_buttons(self, menu: QMenu) -> None:
        for dock in self.window.docks:
            button = tool_button("")
            button.setObjectName(f"{dock.objectName()}_tool")
            button.setAccessibleName("What a drag does")
            button.setToolTip(f"What a drag in the panels does.\n{HELP}")
            button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
            button.setIconSize(QSize(ICON, ICON))
            button.setMenu(menu)
            dock.header.add_badge(button)
            self.buttons.append(button)

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

    def use(self, tool: Tool) -> None:
        """Choose what a plain drag in the panels does."""
        for action in self.tools.actions():
            action.setChecked(action.data() == tool)
        for brush in self.brushes:
            brush.set_tool(tool)
        self._show_tool()

    @property
    def tool(self) -> Tool:
        """What a plain drag in the panels does."""
        return self.brushes[0].tool

    def _show_tool(self) -> None:
        for button in self.buttons:
            button.setIcon(_icon(self.tool, self.window.theme.color("text")))

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        for action in self.tools.actions():
            action.setIcon(_icon(action.data(), theme.color("text")))
        self._show_tool()

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
        for brush in self.brushes:
            brush.cancel()
        for seeker in self.seekers:
            seeker.close()
        self.worker.close()
        self.document.selection_changed.disconnect(self._follow, missing_ok=True)
        self.document.picture_changed.disconnect(self._follow, missing_ok=True)
        if self.panel is not None:
            self.panel.stop()


def _icon(tool: Tool, color: QColor) -> QIcon:
    """Draw a tool: a cross of arrows, a dashed rectangle, or a loop."""
    size = 2 * ICON
    picture = QPixmap(size, size)
    picture.setDevicePixelRatio(2)
    picture.fill(Qt.GlobalColor.transparent)
    p = QPainter(picture)
    p.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(color, 1.3)
    if tool == "move":
        p.setPen(pen)
        middle = ICON / 2
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            tip = QPointF(middle + x * (middle - 1), middle + y * (middle - 1))
            p.drawLine(QPointF(middle, middle), tip)
            for turn in (1, -1):
                p.drawLine(tip, tip + QPointF(-2 * x + 2 * turn * y, -2 * y + 2 * turn * x))
    elif tool == "rectangle":
        pen.setStyle(Qt.PenStyle.DashLine)
        pen.setDashPattern([2.2, 1.6])
        p.setPen(pen)
        p.drawRect(QRectF(1.5, 2.5, ICON - 3, ICON - 5))
    else:
        p.setPen(pen)
        p.drawEllipse(QRectF(1.5, 1.5, ICON - 3, ICON - 6))
        p.drawLine(QPointF(4.5, ICON - 5.0), QPointF(2.5, ICON - 1.0))
    p.end()
    return QIcon(picture)
