"""Faults of the program's own: one log file, one dialog, nothing swallowed.

Python's, threads' and Qt's ways to report a fault all end here; a crash of the interpreter is
written to the same file by faulthandler.
"""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from platformdirs import user_log_dir
from PySide6.QtCore import QObject, QtMsgType, Signal, qInstallMessageHandler

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("attnviz_gui")
NO_MEMORY = (
    "There is not enough memory for that. What was on show is untouched; end other programs, or "
    "take a shorter text or fewer texts; "
)


def log_file() -> Path:
    """Return where the log lies."""
    return Path(user_log_dir("attnviz", appauthor=False)) / "attnviz.log"


class Faults(QObject):
    """Catches what nobody caught, from `install` to `remove`."""

    happened = Signal(str, str)  # a sentence, and details to copy; any thread may emit

    def __init__(self) -> None:
        super().__init__()
        self._handler: logging.Handler | None = None
        self._crashes: IO[str] | None = None
        self._before: tuple[Any, Any] | None = None

    def install(self) -> None:
        """Start to write the log and to catch faults; without a log folder, only to catch."""
        try:
            log_file().parent.mkdir(parents=True, exist_ok=True)
            self._handler = logging.FileHandler(log_file(), encoding="utf-8")
            self._crashes = log_file().with_name("crash.log").open("a", encoding="utf-8")
            faulthandler.enable(self._crashes)
        except OSError:
            self._handler = logging.StreamHandler()
        form = "%(asctime)s %(levelname)s %(threadName)s %(message)s"
        self._handler.setFormatter(logging.Formatter(form))
        log.addHandler(self._handler)
        self._before = sys.excepthook, threading.excepthook
        sys.excepthook = self._on_fault
        threading.excepthook = lambda args: self._on_fault(
            args.exc_type, args.exc_value, args.exc_traceback
        )
        qInstallMessageHandler(self._on_qt)

    def remove(self) -> None:
        """Give everything back as it was."""
        qInstallMessageHandler(None)
        if self._before is not None:
            sys.excepthook, threading.excepthook = self._before
            self._before = None
        if self._handler is not None:
            log.removeHandler(self._handler)
            self._handler.close()
        if self._crashes is not None:
            faulthandler.disable()
            self._crashes.close()

    def report(self, fault: BaseException) -> None:
        """Log a fault and say that it happened."""
        self._on_fault(type(fault), fault, fault.__traceback__)

    def _on_fault(
        self,
        kind: type[BaseException],
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, fault or kind(), trace)
            return
        details = "".join(traceback.format_exception(kind, fault, trace))
        log.error(details)
        said = f"A fault of AttnViz's own: {kind.__name__}. What was on show is untouched; "
        if issubclass(kind, MemoryError):
            said = NO_MEMORY
        self.happened.emit(f"{said}the log is {log_file()}.", details)

    def _on_qt(self, kind: QtMsgType, context: Any, message: str) -> None:
        level = {
            QtMsgType.QtDebugMsg: logging.DEBUG,
            QtMsgType.QtInfoMsg: logging.INFO,
            QtMsgType.QtWarningMsg: logging.WARNING,
        }.get(kind, logging.ERROR)
        log.log(level, "Qt: %s", message)


def details_of(fault: BaseException) -> str:
    """Return a fault with its traceback, to copy into a report."""
    return "".join(traceback.format_exception(fault))
