"""Check in the worker that what is shown is what the model computed; give way to all else.

A check begins after a short rest, once for each capture. A run, a moving slider or another capture
ends it at its next layer, and it begins anew after the next rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner
from attnviz_gui.session.badge import CHECKING, Badge, Checked, badge_of, unchecked

if TYPE_CHECKING:
    import threading

    from attnviz_gui.capture.progress import Progress
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.jobs.runner import Worker
    from attnviz_gui.session.document import Document

REST_MS = 400
MOST_WEIGHTS = 1 << 28  # of one layer: 1 GiB, and about three times that while they are computed


@dataclass(frozen=True, eq=False)
class CheckRequest:
    """Compare every head of a capture with the model's own attention."""

    capture: Capture

    def __call__(self, progress: Progress, cancel: threading.Event) -> Checked:
        """Run the model once more.

        Raises
        ------
        InputError
            When its attention would take too much memory.
        """
        from attnviz_gui.capture.verify import head_differences, precision, weights_at_once

        weights = weights_at_once(self.capture)
        if weights > MOST_WEIGHTS:
            raise InputError(
                f"the attention of one layer would take {weights * 4 / 2**30:.0f} GiB; "
                "a shorter text can be verified."
            )
        return Checked(head_differences(self.capture, cancel), precision(self.capture))


class Verification(QObject):
    """The badge of the head on show."""

    changed = Signal()  # badge may say something new

    def __init__(
        self, document: Document, worker: Worker, runs: Runner, parent: QObject | None = None
    ) -> None:
        """`worker` is the one that runs models; `runs` go before the checks."""
        super().__init__(parent)
        self.document = document
        self._runs = runs
        self._of: Capture | None = None  # what the answer is about
        self._answer: Checked | str | None = None  # found, or why nothing was
        self._runner = Runner(worker, self)
        self._runner.finished.connect(self._take)
        self._runner.failed.connect(self._failed)
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._begin)
        runs.started.connect(self._wait)
        runs.stopped.connect(self._wait)
        document.picture_changed.connect(self._on_picture)
        document.frame_changed.connect(self._wait)
        self._on_picture()

    @property
    def badge(self) -> Badge | None:
        """What is known of the head on show; None where nothing is on show."""
        picture = self.document.picture
        if picture is None or picture.capture is not self._of:
            return None
        if self._answer is None:
            return CHECKING
        if isinstance(self._answer, str):
            return unchecked(self._answer)
        return badge_of(picture, self._answer)

    def stop(self) -> None:
        """Follow nothing any longer; a check under way is ended."""
        self._rest.stop()
        self._runner.close()
        self.document.picture_changed.disconnect(self._on_picture, missing_ok=True)
        self.document.frame_changed.disconnect(self._wait, missing_ok=True)

    def _on_picture(self) -> None:
        picture = self.document.picture
        capture = None if picture is None else picture.capture
        if capture is not self._of:
            self._runner.cancel()
            self._of, self._answer = capture, None
            if capture is not None and capture.verifier is None:
                self._answer = (
                    "the model is not at hand, as this capture was opened from a file; "
                    "run the text to have it checked."
                )
        self._wait()
        self.changed.emit()

    def _wait(self) -> None:
        """Let what matters more go first; begin (anew) once nothing has happened for a while."""
        if self._of is not None and self._answer is None:
            if self._runner.running:
                self._runner.cancel()
            self._rest.start()

    def _begin(self) -> None:
        if self._of is None or self._answer is not None or self._runner.running:
            return
        if self._runs.running or self.document.dragging or self.document.pending:
            self._rest.start()
            return
        self._runner.submit(CheckRequest(self._of))

    def _take(self, checked: Checked) -> None:
        self._answer = checked
        self.changed.emit()

    def _failed(self, fault: BaseException) -> None:
        known = isinstance(fault, (InputError, RuntimeError))
        self._answer = str(fault) if known else f"the check failed ({fault!r})."
        self.changed.emit()
