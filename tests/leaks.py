"""Fail a test that leaves something running or open: a window, a timer, a thread, a Qt warning.

The hooks here are taken in by conftest.py. They never import Qt themselves: a test that does not
use it pays for a look into `sys.modules`. What fixtures of a wider scope leave is theirs.
"""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

GRACE = 1.0  # seconds in which a thread that has been told to end must end
# Qt keeps one tooltip and one help bubble for the whole application.
_QT_OWN = {"QTipLabel", "QWhatsThat"}
# tqdm keeps one thread for the whole process from the first progress bar on.
_PROCESS_THREADS = {"TMonitor"}

_started_timers: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def _widgets_module() -> Any:
    """QtWidgets where a test has made a QApplication, else None."""
    module = sys.modules.get("PySide6.QtWidgets")
    return module if module is not None and module.QApplication.instance() is not None else None


# -- what is there -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Census:
    """What was there at one moment, by address or number, so that it keeps nothing alive."""

    windows: frozenset[int]
    threads: frozenset[int | None]

    @classmethod
    def take(cls) -> Census:
        """Note what is there now; timers count from now."""
        _watch_timers()
        _started_timers.clear()
        return cls(
            frozenset(_address(w) for w in _top_levels()),
            frozenset(t.ident for t in threading.enumerate()),
        )

    def leaks(self) -> list[str]:
        """Return a line for everything that came after this census and is still there."""
        _flush()
        if not any(self._look()):
            return []
        # Slow path: what is in a reference cycle goes with a collection.
        gc.collect()
        _flush()
        until = time.monotonic() + GRACE
        while any(True for _ in self._threads()) and time.monotonic() < until:
            time.sleep(0.005)
        return list(self._look())

    def _look(self) -> Iterator[str]:
        yield from self._windows()
        yield from _timers()
        yield from self._threads()

    def _windows(self) -> Iterator[str]:
        for widget in _top_levels():
            if _address(widget) in self.windows or type(widget).__name__ in _QT_OWN:
                continue
            parent = widget.parentWidget()
            if parent is not None and _address(parent.window()) not in self.windows:
                continue  # goes with its parent, which is named
            if (
                type(widget).__name__ == "QWidget"
                and not widget.children()
                and _never_shown(widget)
            ):
                continue  # pyqtgraph's, the empty shell of a plot's menu: goes with the plot
            yield f"a window is still there: {_describe(widget)}"

    def _threads(self) -> Iterator[str]:
        for thread in threading.enumerate():
            if thread.ident in self.threads or type(thread).__name__ in _PROCESS_THREADS:
                continue
            if not _runs(thread):
                continue
            target = getattr(thread, "_target", None)
            doing = f", running {target.__module__}.{target.__qualname__}" if target else ""
            yield f"a thread still runs: {thread.name}{doing}"
        core = sys.modules.get("PySide6.QtCore")
        if core is not None:
            busy = core.QThreadPool.globalInstance().activeThreadCount()
            if busy:
                yield f"Qt's global thread pool still runs {busy} tasks"


def _top_levels() -> list[Any]:
    widgets = _widgets_module()
    return widgets.QApplication.topLevelWidgets() if widgets else []


def _never_shown(widget: Any) -> bool:
    created = sys.modules["PySide6.QtCore"].Qt.WidgetAttribute.WA_WState_Created
    return not widget.testAttribute(created)


def _address(widget: Any) -> int:
    return sys.modules["shiboken6"].getCppPointer(widget)[0]


def _describe(widget: Any) -> str:
    kind = type(widget)
    parts = [f"{kind.__module__}.{kind.__qualname__}"]
    parts += [f"{label} {text!r}" for label, text in (
        ("objectName", widget.objectName()), ("title", widget.windowTitle())) if text]  # fmt: skip
    if not widget.parentWidget():
        children = [type(c).__name__ for c in widget.children() if c.isWidgetType()][:4]
        parts += [f"children {', '.join(children)}"] if children else []
    return ", ".join(parts)


def _runs(thread: threading.Thread) -> bool:
    """Whether the thread's system thread is there; Python forgets no foreign thread by itself."""
    tasks = Path("/proc/self/task")
    if isinstance(thread, threading._DummyThread) and tasks.is_dir():
        return (tasks / str(thread.native_id)).exists()
    return thread.is_alive()


def _timers() -> Iterator[str]:
    for timer, place in list(_started_timers.items()):
        if sys.modules["shiboken6"].isValid(timer) and timer.isActive():
            yield f"a QTimer of {timer.interval()} ms is still active, started at {place}"


def _watch_timers() -> None:
    """From now on, note where each QTimer is started."""
    core = sys.modules.get("PySide6.QtCore")
    if core is None or hasattr(core.QTimer.start, "__wrapped__"):
        return
    start = core.QTimer.start

    def noting_start(self: Any, *args: Any, **kwargs: Any) -> None:
        frame = sys._getframe(1)
        _started_timers[self] = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        start(self, *args, **kwargs)

    noting_start.__wrapped__ = start  # type: ignore[attr-defined]
    core.QTimer.start = noting_start


def _flush() -> None:
    """Carry out the deletions that were put off with deleteLater."""
    if _widgets_module():
        core = sys.modules["PySide6.QtCore"]
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)


# -- hooks ---------------------------------------------------------------------------------------

_before: list[Census] = []  # the one of the test that runs
_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Note what is there before the test's fixtures."""
    _before[:] = [Census.take()]
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any],
) -> Generator[None, object, object]:
    """Count what a fixture of a wider scope makes as there before the test."""
    result = yield
    if fixturedef.scope != "function":
        _before[:] = [Census.take()]
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember a failure: its traceback keeps the test's objects alive, which is no leak."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """After all fixtures have gone, fail the test that left something behind."""
    warnings: list[str] = []
    core = sys.modules.get("PySide6.QtCore")
    if core:
        ignore = item.config.getini("qt_log_ignore")
        previous = core.qInstallMessageHandler(_noting(core, warnings, ignore))
    try:
        result = yield
        leaks = [] if item.stash.get(_FAILED, False) else _before[0].leaks()
    finally:
        if core:
            core.qInstallMessageHandler(previous)
    if leaks or warnings:
        pytest.fail("\n".join([f"{item.nodeid} left something behind:", *leaks, *warnings]), False)
    return result


def _noting(core: Any, warnings: list[str], ignore: list[str]) -> Any:
    """A Qt message handler for closing down, when pytest-qt no longer listens."""
    quiet = {core.QtMsgType.QtDebugMsg, core.QtMsgType.QtInfoMsg}

    def handler(kind: Any, context: Any, message: str) -> None:
        if kind not in quiet and not any(re.search(pattern, message) for pattern in ignore):
            warnings.append(f"Qt warned while the test was closing down: {message}")

    return handler
