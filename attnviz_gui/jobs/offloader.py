"""Call a function in the worker and hand its result to somebody on the GUI thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QTimer

from attnviz_gui.jobs.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import QObject

    from attnviz_gui.jobs.runner import Worker


class Offloader:
    """``offload(work, then)``: a newer call replaces the one before, whose result is dropped.

    `rest_ms`: work waits so long, and newer work takes its place meanwhile. What is being drawn
    then does not share Python's lock with it. `patient`: the wait begins anew with newer work, so
    that nothing is begun before all has come to rest.
    """

    def __init__(
        self, worker: Worker, on_fault: Callable[[BaseException], object], parent: QObject,
        *, rest_ms: int = 0, patient: bool = False,
    ) -> None:  # fmt: skip
        self._patient = patient
        self._work: Callable[[], Any] | None = None
        self._rest = QTimer(parent, singleShot=True, interval=rest_ms)
        self._rest.timeout.connect(self._start)
        self._runner = Runner(worker, parent)
        self._then: Callable[[Any], object] | None = None
        self._runner.finished.connect(self._on_finished)
        self._runner.failed.connect(on_fault)

    def __call__(self, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Run `work` in the worker, then `then` with its result on the GUI thread."""
        self._work, self._then = work, then
        if self._rest.interval() == 0:
            self._start()
        elif self._patient or not self._rest.isActive():
            self._rest.start()

    def close(self) -> None:
        """Drop what is under way."""
        self._rest.stop()
        self._runner.close()

    def _start(self) -> None:
        work, self._work = self._work, None
        assert work is not None
        self._runner.submit(lambda _progress, _cancel: work())

    def _on_finished(self, result: Any) -> None:
        if self._then is not None:
            self._then(result)
