"""Run one request at a time on a worker thread, and bring its result to the GUI thread.

The only place where threads and Qt meet. A newer request replaces the one before: that one is
cancelled, and should it still end, its number is no longer the newest and its result is dropped
on the GUI thread. The worker holds nothing of Qt but this object's bound signals.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import QObject, Qt, Signal

from attnviz_gui.errors import Cancelled
from attnviz_gui.jobs.garbage import COLLECTOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.capture.progress import Report


class Request(Protocol):
    """All that a piece of work needs; calling it changes nothing else.

    One with a true `keeps_done` returns what it has done when it is told to stop; see
    `Runner.stop`.
    """

    def __call__(self, progress: Report, cancel: threading.Event, /) -> Any:
        """Do the work; say how far it is, and stop with `Cancelled` when told to."""


class Worker:
    """One worker thread, started when it is first needed. Several runners may share it."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Queue a call."""
        COLLECTOR.hold()
        try:
            task = self._pool.submit(function, *arguments)
        except RuntimeError:  # closed
            COLLECTOR.release()
            raise
        task.add_done_callback(lambda _task: COLLECTOR.release())

    def close(self, *, finish: bool = False) -> None:
        """Drop what is queued (`finish`: do it still), and wait until the thread has ended."""
        self._pool.shutdown(wait=True, cancel_futures=not finish)
        COLLECTOR.tick()


class Runner(QObject):
    """One line of requests to a worker, the newest one's progress and result as signals."""

    started = Signal()
    progressed = Signal(int, int)  # steps done, steps in all; 0 in all: not known yet
    told = Signal(str)  # what is being done, in words; none while a model runs
    finished = Signal(object)  # what the request returned
    failed = Signal(object)  # the exception that ended it
    nothing_done = Signal()  # it was stopped before it had anything to keep
    stopped = Signal()  # finished, failed or cancelled: nothing is running for the user now

    _progress = Signal(int, int, int, str)
    _ended = Signal(int, object, object)

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self._number = 0
        self._running = False
        self._closed = False
        self._keeps = False  # what runs returns what is done when it is stopped
        self._cancel = threading.Event()
        queued = Qt.ConnectionType.QueuedConnection
        self._progress.connect(self._on_progress, queued)
        self._ended.connect(self._on_ended, queued)

    @property
    def running(self) -> bool:
        """True while the newest request has neither ended nor been cancelled."""
        return self._running

    def submit(self, request: Request) -> None:
        """Start a request; one that is under way is cancelled and its result never shown."""
        if self._closed:
            return
        self._cancel.set()
        self._cancel = threading.Event()
        self._number += 1
        self._running = True
        self._keeps = bool(getattr(request, "keeps_done", False))
        self.started.emit()
        self._worker.submit(
            _run, request, self._number, self._cancel, self._progress.emit, self._ended.emit
        )

    def cancel(self) -> None:
        """Cancel what runs; the last complete picture stays."""
        self._cancel.set()
        self._number += 1
        if self._running:
            self._running = False
            self.stopped.emit()

    def stop(self) -> None:
        """End what runs: with what it has done, if it keeps that, and without a second time."""
        if self._running and self._keeps:
            self._keeps = False
            self._cancel.set()
            self.told.emit("Stopping; what is done is kept…")
        else:
            self.cancel()

    def close(self) -> None:
        """Cancel what runs, and take no more requests."""
        self._closed = True
        self.cancel()

    def _on_progress(self, number: int, done: int, total: int, words: str) -> None:
        if number == self._number:
            self.told.emit(words)
            self.progressed.emit(done, total)

    def _on_ended(self, number: int, result: object, fault: BaseException | None) -> None:
        if number != self._number:
            return
        self._running = False
        if isinstance(fault, Cancelled):
            self.nothing_done.emit()  # cancelled otherwise, it has another number by now
        elif fault is not None:
            self.failed.emit(fault)
        else:
            self.finished.emit(result)
        if not self._running:  # a slot may have submitted the next request
            self.stopped.emit()


def _run(
    request: Request,
    number: int,
    cancel: threading.Event,
    progress: Callable[[int, int, int, str], object],
    ended: Callable[[int, object, object], object],
) -> None:
    """Run the request in the worker; every way it can end is reported, none is swallowed."""
    result: object = None
    fault: BaseException | None = None
    try:
        if not cancel.is_set():
            result = request(
                lambda done, total, words="": progress(number, done, total, words), cancel
            )
    except BaseException as error:  # noqa: BLE001 - reported to the user by whoever listens
        fault = error
    if cancel.is_set() and (result is None or not getattr(request, "keeps_done", False)):
        result, fault = None, Cancelled("cancelled")
    ended(number, result, fault)
