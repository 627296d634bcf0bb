"""A view's own worker with a bar that shows how far it is, and a Cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QProgressBar

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.panels.buttons import tool_button

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow


class Asking(Protocol):
    """A view that has its picture computed."""

    name: str
    compute: Any  # called with a request, and with what takes the answer

    def give_up(self) -> None:
        """Take no answer to what was asked for."""


class Computing(QObject):
    """Runs what a view asks for; nothing is shown of what was cancelled or asked for before.

    Parameters
    ----------
    view
        Asks by `compute(request, then)`; `then` takes the answer.
    what
        What is computed, for screen readers: "rollout".
    counted
        What the bar counts: "layers".
    """

    def __init__(self, window: MainWindow, view: Asking, what: str, counted: str) -> None:
        super().__init__(window)
        self.window, self.view = window, view
        self._then: Callable[[Any], None] | None = None
        self._worker = Worker(view.name)
        self._runner = Runner(self._worker, self)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setMaximumWidth(120)
        self.bar.setMaximumHeight(10)
        self.bar.setAccessibleName(f"Progress of the {what}")
        self.bar.setToolTip(f"How many {counted} are done.")
        self.button = tool_button("Cancel")
        self.button.setObjectName(f"{view.name}_cancel")
        self.button.setAccessibleName(f"Cancel the {what}")
        self.button.setToolTip(f"Stop the {what}.")
        self.button.clicked.connect(self.cancel)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed)
        self._runner.progressed.connect(self._progressed)
        self._runner.stopped.connect(lambda: self._show(False))
        view.compute = self._compute

    def join(self, panel: ViewPanel) -> None:
        """Put bar and button into the view's panel."""
        panel.add_option(self.bar)
        panel.add_option(self.button)
        self._show(self._runner.running)

    def cancel(self) -> None:
        """Stop; nothing is shown then."""
        self._runner.cancel()
        self.view.give_up()

    def close(self) -> None:
        """Cancel what runs, and wait for it."""
        self._then = None
        self._runner.close()
        self._worker.close()

    def _compute(self, request: Any, then: Callable[[Any], None]) -> None:
        self._then = then
        self.bar.setRange(0, 0)
        self._runner.submit(request)
        self._show(True)

    def _finished(self, answer: Any) -> None:
        if self._then is not None:
            self._then(answer)

    def _failed(self, fault: BaseException) -> None:
        self.view.give_up()
        if not isinstance(fault, InputError):
            raise fault
        self.window.banner.say(str(fault), fault=True)

    def _progressed(self, done: int, total: int) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)

    def _show(self, running: bool) -> None:
        self.bar.setVisible(running)
        self.button.setVisible(running)
