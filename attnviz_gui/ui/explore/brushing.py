"""What a drag does in the panels that can be brushed: one tool for all of them.

A menu and a button above each panel choose it. Knows no view's content, and selects nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, get_args

from PySide6.QtCore import QObject, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QActionGroup, QColor, QIcon, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QMenu, QToolButton

from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.views.brush import HELP, Brush, Tool

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.panels.dock import PanelHeader
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.base import View

ICON = 14  # pixels
WORDS: dict[Tool, tuple[str, str]] = {
    "move": ("&Move", "Drag moves the picture."),
    "rectangle": ("Select with a &rectangle", "Drag selects what is in a rectangle."),
    "lasso": ("Select with a &lasso", "Drag selects what the line goes around."),
}


class Brushing(QObject):
    """The tool, its menu, and the brushes of all views that have joined, whenever they did."""

    def __init__(self, parent: QWidget, theme: Theme) -> None:
        super().__init__(parent)
        self.tool: Tool = "move"
        self.brushes: list[Brush] = []
        self.buttons: list[QToolButton] = []
        self.menu = QMenu("&Drag in the panels", parent)
        self.menu.setObjectName("brush_tools")
        self.menu.setToolTipsVisible(True)
        self.tools = QActionGroup(self)
        for tool in get_args(Tool):
            words, tip = WORDS[tool]
            action = self.menu.addAction(words)
            action.setToolTip(f"{tip}\n{HELP}")
            action.setCheckable(True)
            action.setData(tool)
            action.triggered.connect(partial(self.use, tool))
            self.tools.addAction(action)
        self.tools.actions()[0].setChecked(True)
        self.set_theme(theme)

    def join(self, view: View, header: PanelHeader, name: str) -> None:
        """Give a view a brush, and the header of its panel a button; both have the tool in use."""
        brush = Brush(view)
        brush.set_tool(self.tool)
        self.brushes.append(brush)
        button = tool_button("")
        button.setObjectName(f"{name}_tool")
        button.setAccessibleName("What a drag does")
        button.setToolTip(f"What a drag in the panels does.\n{HELP}")
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setIconSize(QSize(ICON, ICON))
        button.setMenu(self.menu)
        header.add_badge(button)
        self.buttons.append(button)
        self._show_tool()

    def use(self, tool: Tool) -> None:
        """Choose what a plain drag in the panels does."""
        self.tool = tool
        for action in self.tools.actions():
            action.setChecked(action.data() == tool)
        for brush in self.brushes:
            brush.set_tool(tool)
        self._show_tool()

    def _show_tool(self) -> None:
        icon = _icon(self.tool, self._color)
        for button in self.buttons:
            button.setIcon(icon)

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self._color = theme.color("text")
        for action in self.tools.actions():
            action.setIcon(_icon(action.data(), self._color))
        self._show_tool()

    def close(self) -> None:
        """Select nothing more."""
        for brush in self.brushes:
            brush.cancel()


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
