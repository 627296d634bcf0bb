"""Collect reference cycles on the GUI thread alone, while a worker runs Python.

Python's collector runs in whichever thread happens to allocate next. In a worker it would take
apart the Qt objects of closed windows there, beside a GUI thread that paints: the binding's table
of objects then keeps entries of objects that are gone, which crash much later, at exit for
instance. So automatic collection is off while a worker has something to do, and a timer on the
GUI thread collects what is young meanwhile; afterwards Python does it by itself again.
"""

from __future__ import annotations

import gc
import threading

from PySide6.QtCore import QCoreApplication, QTimer

EVERY_MS = 200


class GuiCollector:
    """Keeps the collector away from workers. One for the process: `COLLECTOR`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks = 0
        self._off = False  # by us: somebody else's choice is left alone
        self._timer: QTimer | None = None

    @property
    def tasks(self) -> int:
        """How many tasks of workers have been submitted and have not ended."""
        return self._tasks

    def hold(self) -> None:
        """On the GUI thread: a task is about to be handed to a worker."""
        with self._lock:
            self._tasks += 1
        if self._off or not gc.isenabled() or QCoreApplication.instance() is None:
            return
        gc.disable()
        self._off = True
        self._timer = QTimer(interval=EVERY_MS)
        self._timer.timeout.connect(self.tick)
        self._timer.start()

    def release(self) -> None:
        """In any thread: the task has ended, or never began. Starts no collection here."""
        with self._lock:
            self._tasks -= 1

    def tick(self) -> None:
        """On the GUI thread: collect what is young, or hand back to Python once nothing runs."""
        if not self._off:
            return
        if self._tasks:
            gc.collect(1)
            return
        assert self._timer is not None
        self._timer.stop()
        self._timer = None
        self._off = False
        gc.enable()


COLLECTOR = GuiCollector()
