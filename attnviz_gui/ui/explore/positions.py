"""The panel *Mean attention by position*: all texts of a capture, averaged by a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QProgressBar, QWidget

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.position_pairs import PositionPairsView, PositionsRequest

LABEL = "Mean attention by position"


class PositionsPart(Part):
    """Its menu entry, its panel and its worker."""

    view: PositionPairsView

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panel: ViewPanel | None = None
        self._worker: Worker | None = None
        self._runner: Runner | None = None
        self._then: Callable[[Any], None] | None = None
        self.dock = PartDock(LABEL, "position_pairs_panel", self._make)
        window.workspace.add(self.dock)
        window.explore_menu.addAction(self.dock.toggleViewAction())

    def _make(self) -> QWidget:
        from attnviz_gui.ui.explore.view_panel import ViewPanel
        from attnviz_gui.ui.views.position_pairs import PositionPairsView

        view = self.view = PositionPairsView(self.document, self.window.theme)
        self._worker = Worker("positions")
        runner = self._runner = Runner(self._worker, self)
        view.compute = self._compute
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumWidth(120)
        self.bar.setMaximumHeight(10)
        self.bar.setAccessibleName("Progress of the averaging")
        self.bar.setToolTip("How many texts are done.")
        self.cancel_button = tool_button("Cancel")
        self.cancel_button.setObjectName("position_pairs_cancel")
        self.cancel_button.setToolTip("Stop averaging.")
        self.cancel_button.clicked.connect(self.cancel)
        runner.finished.connect(self._finished)
        runner.failed.connect(self._failed)
        runner.progressed.connect(self._progressed)
        runner.stopped.connect(lambda: self._show_running(False))
        self.panel = ViewPanel(self.window, view, LABEL)
        self.panel.add_option(self.bar)
        self.panel.add_option(self.cancel_button)
        self._show_running(False)
        return self.panel

    # -- computing ---------------------------------------------------------------------------

    def _compute(self, request: PositionsRequest, then: Callable[[Any], None]) -> None:
        assert self._runner is not None
        self._then = then
        self.bar.setRange(0, 0)
        self._runner.submit(request)
        self._show_running(True)

    def cancel(self) -> None:
        """Stop averaging; nothing is shown then."""
        if self._runner is not None:
            self._runner.cancel()
            self.view.give_up()

    def _finished(self, means: Any) -> None:
        if self._then is not None:
            self._then(means)

    def _failed(self, fault: BaseException) -> None:
        self.view.give_up()
        if not isinstance(fault, InputError):
            raise fault
        self.window.banner.say(str(fault), fault=True)

    def _progressed(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _show_running(self, running: bool) -> None:
        self.bar.setVisible(running)
        self.cancel_button.setVisible(running)

    # -- as a part ---------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""
        self._then = None
        if self._runner is not None and self._worker is not None:
            self._runner.close()
            self._worker.close()
        if self.panel is not None:
            self.panel.stop()
