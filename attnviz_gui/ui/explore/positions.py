"""The panel *Mean attention by position*: all texts of a capture, averaged by a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attnviz_gui.ui.explore.computing import Computing
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.position_pairs import PositionPairsView

LABEL = "Mean attention by position"


class PositionsPart(Part):
    """Its menu entry, its panel and its worker."""

    view: PositionPairsView

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panel: ViewPanel | None = None
        self.averaging: Computing | None = None
        self.dock = PartDock(LABEL, "position_pairs_panel", self._make)
        window.workspace.add(self.dock)
        window.explore_menu.addAction(self.dock.toggleViewAction())

    def _make(self) -> QWidget:
        from attnviz_gui.ui.explore.view_panel import ViewPanel
        from attnviz_gui.ui.views.position_pairs import PositionPairsView

        view = self.view = PositionPairsView(self.document, self.window.theme)
        self.averaging = Computing(self.window, view, "averaging", "texts")
        self.panel = ViewPanel(self.window, view, LABEL)
        self.averaging.join(self.panel)
        return self.panel

    # -- as a part ---------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""
        if self.averaging is not None:
            self.averaging.close()
        if self.panel is not None:
            self.panel.stop()
