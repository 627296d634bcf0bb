"""The close views: dimensions of q·k, value-weighted attention, rollout, and text with lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QMenu, QProgressBar, QToolButton

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.rollout import RolloutRequest, RolloutView
    from attnviz_gui.ui.views.text_lines import TextLinesView


class CloseViews(Part):
    """Four panels that look at one head, or one layer, more closely."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panels: dict[str, ViewPanel] = {}
        self._worker: Worker | None = None
        self._runner: Runner | None = None
        self._then: Callable[[Any], None] | None = None
        self._stopping: tuple[Any, ...] = ()
        self.docks: dict[str, PartDock] = {}
        for name, title, make in (
            ("dimensions", "Dimensions of q·k", self._dimensions),
            ("value_weighted", "Value-weighted attention", self._value_weighted),
            ("rollout", "Attention rollout", self._rollout),
            ("text_lines", "Text with lines", self._text_lines),
        ):
            dock = PartDock(title, f"{name}_panel", make)
            self.docks[name] = dock
            window.workspace.add(dock)
            window.explore_menu.addAction(dock.toggleViewAction())

    # -- making ------------------------------------------------------------------------------

    def _panel(self, view: Any, label: str) -> ViewPanel:
        from attnviz_gui.ui.explore.view_panel import ViewPanel

        panel = self.panels[view.name] = ViewPanel(self.window, view, label)
        return panel

    def _dimensions(self) -> QWidget:
        from attnviz_gui.ui.views.dimensions import DimensionsView

        view = DimensionsView(self.document, self.window.theme)
        panel = self._panel(view, "Dimensions of q·k")
        pick = panel.picks["rotary"]
        view.titled.connect(lambda: pick.setVisible(view.has_rotary))
        return panel

    def _value_weighted(self) -> QWidget:
        from attnviz_gui.ui.views.value_weighted import ValueWeightedView

        view = ValueWeightedView(self.document, self.window.theme)
        return self._panel(view, "Value-weighted attention")

    def _text_lines(self) -> QWidget:
        from attnviz_gui.ui.views.text_lines import TextLinesView

        view = TextLinesView(self.document, self.window.theme)
        panel = self._panel(view, "Text with lines")
        panel.add_option(HeadsButton(view))
        return panel

    def _rollout(self) -> QWidget:
        from attnviz_gui.ui.views.rollout import RolloutView

        view = RolloutView(self.document, self.window.theme)
        self._worker = Worker("rollout")
        runner = self._runner = Runner(self._worker, self)
        view.compute = self._compute
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumWidth(120)
        self.bar.setMaximumHeight(10)
        self.bar.setAccessibleName("Rollout's progress")
        self.bar.setToolTip("How many layers are done.")
        self.cancel_button = tool_button("Cancel")
        self.cancel_button.setObjectName("rollout_cancel")
        self.cancel_button.setToolTip("Stop the rollout.")
        self.cancel_button.clicked.connect(self.cancel)
        runner.finished.connect(self._finished)
        runner.failed.connect(self._failed)
        runner.progressed.connect(self._progressed)
        runner.stopped.connect(lambda: self._show_running(False))
        panel = self._panel(view, "Attention rollout")
        panel.add_option(self.bar)
        panel.add_option(self.cancel_button)
        self._show_running(runner.running)
        return panel

    # -- the rollout -------------------------------------------------------------------------

    def _compute(self, request: RolloutRequest, then: Callable[[Any], None]) -> None:
        assert self._runner is not None
        self._then = then
        self._runner.submit(request)
        self._show_running(True)

    def cancel(self) -> None:
        """Stop the rollout; nothing is shown then."""
        if self._runner is not None:
            self._runner.cancel()
            view: RolloutView = self.panels["rollout"].view
            view.give_up()

    def _finished(self, values: Any) -> None:
        if self._then is not None:
            self._then(values)

    def _failed(self, fault: BaseException) -> None:
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
        for panel in self.panels.values():
            panel.retheme(theme)

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""
        if self._runner is not None:
            self._runner.close()
        if self._worker is not None:
            self._worker.close()
        for panel in self.panels.values():
            panel.stop()


class HeadsButton(QToolButton):
    """Chooses by the keyboard, or all at once, what the squares choose by the mouse."""

    def __init__(self, view: TextLinesView) -> None:
        super().__init__()
        self.view = view
        self.setText("heads ▾")
        self.setObjectName("text_lines_heads")
        self.setAccessibleName("Heads whose lines are drawn")
        self.setToolTip("Which heads of the layer are drawn.")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setAutoRaise(True)
        menu = QMenu(self)
        self.setMenu(menu)
        menu.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """List the layer's heads."""
        menu, view = self.menu(), self.view
        menu.clear()
        picture = view.document.picture
        n = 0 if picture is None else picture.capture.layers[picture.layer].n_heads
        menu.addAction("The head on show").triggered.connect(lambda: view.choose_heads(set()))
        every = menu.addAction("All heads")
        every.triggered.connect(lambda: view.choose_heads(set(range(n))))
        menu.addSeparator()
        for head in range(n):
            action = menu.addAction(f"Head {head}")
            action.setCheckable(True)
            action.setChecked(head in view.heads)
            action.triggered.connect(lambda _=False, h=head: view.toggle_head(h))
