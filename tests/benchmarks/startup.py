"""Time to a visible window, against the least that any window with a plot in it needs.

Fresh processes, taking turns, from the start of Python to the end of the first paint. The window's
first run, and with it torch, starts after that.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS = 9

# Both scripts end in `window`, then this: show it, wait for its first paint, say when that was.
SHOW = """
import os, sys, time
from PySide6.QtCore import QEvent, QObject

class Watch(QObject):
    painted = False
    def eventFilter(self, watched, event):
        self.painted = self.painted or event.type() == QEvent.Type.Paint
        return False

watch = Watch()
port = window.viewport() if hasattr(window, "viewport") else window
port.installEventFilter(watch)
window.show()
until = time.time() + 30
while not watch.painted and time.time() < until:
    app.processEvents()
assert watch.painted
print(time.time(), flush=True)
os._exit(0)
"""
OURS = """
from attnviz_gui.ui.application import start_on_screen
app = start_on_screen()
from attnviz_gui.ui.main_window import MainWindow
window = MainWindow()
window.resize(1280, 800)
"""
PLAIN = """
from PySide6.QtWidgets import QApplication
app = QApplication([])
import pyqtgraph
window = pyqtgraph.PlotWidget()
window.resize(1280, 800)
"""


def rows() -> list[tuple[str, float, float, str]]:
    times: dict[str, list[float]] = {OURS: [], PLAIN: []}
    with tempfile.TemporaryDirectory() as compiled:
        # Modules are compiled once, as an installation has them, whatever this checkout holds.
        environment = os.environ | {"PYTHONPYCACHEPREFIX": compiled}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for turn in range(ROUNDS + 1):
            for script, taken in times.items():
                start = time.time()
                run = subprocess.run(
                    [sys.executable, "-c", script + SHOW],
                    check=True, capture_output=True, text=True, env=environment,
                )  # fmt: skip
                if turn:  # the first turn fills the disk's cache
                    taken.append(float(run.stdout.split()[-1]) - start)
    ours, plain = (statistics.median(taken) for taken in times.values())
    return [("start to a visible window, median", ours, plain, "ratio ≤ 1.5")]
