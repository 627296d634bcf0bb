"""Joins the grid of all heads to the window: its panel and its worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.theme import Theme


class GridPart(Part):
    """One panel, with every layer and head in it."""

    def __init__(self, window: Any) -> None:
        super().__init__(window)
        self.panel: Any = None
        self._worker = Worker("grid")
        self.runner = Runner(self._worker, self)
        self.dock = PartDock("Head grid", "head_grid_panel", self._make)
        window.workspace.add(self.dock)
        action = self.dock.toggleViewAction()
        action.setToolTip("All layers and heads on one screen.")
        window.explore_menu.addAction(action)

    def _make(self) -> QWidget:
        from attnviz_gui.ui.explore.view_panel import ViewPanel
        from attnviz_gui.ui.views.head_grid import HeadGridView

        view = HeadGridView(self.document, self.window.theme)
        view.compute = self.runner.submit
        self.panel = ViewPanel(self.window, view, "Head grid")
        cancel = tool_button("Cancel")
        cancel.setObjectName("head_grid_cancel")
        cancel.setToolTip("Compute no more cells.")
        cancel.clicked.connect(self.runner.cancel)
        cancel.hide()
        self.panel.add_option(cancel)
        self.runner.started.connect(cancel.show)
        self.runner.stopped.connect(cancel.hide)
        self.runner.progressed.connect(lambda *_: view.take())
        self.runner.stopped.connect(view.give_up)
        self.runner.failed.connect(self._failed)
        return self.panel

    def _failed(self, fault: BaseException) -> None:
        raise fault

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Cancel what is computed, and wait for it."""
        self.runner.close()
        self._worker.close()
        if self.panel is not None:
            self.panel.stop()
