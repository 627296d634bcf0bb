"""`show`: a script waits for it, a program with Qt of its own goes on."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from PySide6.QtWidgets import QApplication

import attnviz_gui
from attnviz_gui.errors import InputError
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture

SCRIPT = """
import threading
import time
import attnviz_gui
from attnviz_gui.ui.application import _open_windows
from tests.samples import random_capture

def leave():
    from PySide6.QtCore import QMetaObject, Qt
    while not (windows := [window for window in _open_windows if window.isVisible()]):
        time.sleep(0.1)  # a busy machine takes its time
    [window] = windows
    print(window.document.capture.model_name, window.isVisible())
    QMetaObject.invokeMethod(window, "close", Qt.ConnectionType.QueuedConnection)

for round in range(2):
    threading.Timer(2, leave).start()
    attnviz_gui.show(random_capture(5))
print("done")
"""


def test_a_script_waits_until_the_window_is_closed():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["random True", "random True", "done"]


def test_a_program_with_qt_of_its_own_goes_on(qtbot):
    attnviz_gui.show(random_capture(5))
    windows = [w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow)]
    assert len(windows) == 1 and windows[0].isVisible()
    gone = []
    windows[0].destroyed.connect(lambda: gone.append(True))
    windows[0].close()
    qtbot.waitUntil(lambda: gone == [True])


def test_what_is_neither_a_capture_nor_a_model_is_refused(qapp):
    with pytest.raises(InputError, match="str"):
        attnviz_gui.show("bundled")


def test_a_window_is_opened_by_the_main_thread_alone(qapp):
    with ThreadPoolExecutor(1) as pool:
        shown = pool.submit(attnviz_gui.show, random_capture(5))
        with pytest.raises(InputError, match="main thread"):
            shown.result(60)


STARTING = """
import gc, time
from attnviz_gui.ui.application import start_on_screen
app = start_on_screen()
print(gc.isenabled())
until = time.monotonic() + 60
while not gc.isenabled() and time.monotonic() < until:
    app.processEvents()
print(gc.isenabled())
"""


def test_the_collector_rests_until_the_event_loop_runs():
    done = subprocess.run(
        [sys.executable, "-c", STARTING],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "True"]
