"""Call a function in the worker and hand its result to somebody on the GUI thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnviz_gui.jobs.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import QObject

    from attnviz_gui.jobs.runner import Worker


class Offloader:
    """``offload(work, then)``: a newer call replaces the one before, whose result is dropped."""

    def __init__(
        self, worker: Worker, on_fault: Callable[[BaseException], object], parent: QObject
    ) -> None:
        self._runner = Runner(worker, parent)
        self._then: Callable[[Any], object] | None = None
        self._runner.finished.connect(self._on_finished)
        self._runner.failed.connect(on_fault)

    def __call__(self, work: Callable[[], Any], then: Callable[[Any], object]) -> None:
        """Run `work` in the worker, then `then` with its result on the GUI thread."""
        self._then = then
        self._runner.submit(lambda _progress, _cancel: work())

    def close(self) -> None:
        """Drop what is under way."""
        self._runner.close()

    def _on_finished(self, result: Any) -> None:
        if self._then is not None:
            self._then(result)
