"""The leak checks bite: what a test leaves behind is found and named, what it cleans up is not."""

from __future__ import annotations

import gc
import sys
import threading
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QThread, QTimer, qWarning
from PySide6.QtWidgets import QDialog, QLabel, QMainWindow, QMenu, QVBoxLayout, QWidget

from tests import leaks
from tests.leaks import Census

if TYPE_CHECKING:
    import pytest
    from PySide6.QtWidgets import QApplication
    from pytestqt.qtbot import QtBot


def test_a_window_left_open_is_named(qapp: QApplication) -> None:
    before = Census.take()
    window = QMainWindow(objectName="stray", windowTitle="Stray")
    window.setCentralWidget(QLabel("x"))
    (line,) = before.leaks()
    assert "QMainWindow" in line
    assert "'stray'" in line
    assert "'Stray'" in line
    window.deleteLater()
    assert before.leaks() == []


def test_a_dialog_goes_with_its_window(qapp: QApplication) -> None:
    before = Census.take()
    window = QWidget()
    dialog = QDialog(window)
    (line,) = before.leaks()
    assert "QWidget" in line
    later = Census.take()
    second = QDialog(window)
    (line,) = later.leaks()
    assert "QDialog" in line
    del dialog, second
    window.deleteLater()
    assert before.leaks() == []


def test_windows_in_a_cycle_are_collected(qapp: QApplication) -> None:
    """Pyqtgraph's plots keep menus that only a collection frees."""
    before = Census.take()
    gc.disable()
    try:
        plot = pg.PlotWidget()
        menu = QMenu()
        menu.me = menu  # type: ignore[attr-defined]
        del menu
        plot.close()
        plot.deleteLater()
        del plot
        assert before.leaks() == []
    finally:
        gc.enable()


def test_a_running_timer_is_named_with_its_line(qapp: QApplication) -> None:
    before = Census.take()
    timer = QTimer()
    timer.start(123)
    line_number = sys._getframe().f_lineno - 1
    (line,) = before.leaks()
    assert "123 ms" in line
    assert f"test_leaks.py:{line_number}" in line
    timer.stop()
    assert before.leaks() == []


def test_a_running_thread_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "GRACE", 0.02)
    before = Census.take()
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="stray-worker")
    thread.start()
    (line,) = before.leaks()
    assert "stray-worker" in line
    assert "Event.wait" in line
    end.set()
    thread.join()
    assert before.leaks() == []


def test_a_thread_about_to_end_is_waited_for() -> None:
    before = Census.take()
    thread = threading.Timer(0.05, int)
    thread.start()
    assert before.leaks() == []
    assert not thread.is_alive()


def test_a_thread_of_qt_counts_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "GRACE", 0.02)
    before = Census.take()
    began, end = threading.Event(), threading.Event()

    class Worker(QThread):
        def run(self) -> None:
            threading.current_thread()  # Python notes a foreign thread when it asks for itself
            began.set()
            end.wait()

    worker = Worker()
    worker.start()
    assert began.wait(5)
    (line,) = before.leaks()
    assert "Dummy" in line
    end.set()
    worker.wait()
    assert before.leaks() == []


def test_what_qtbot_closes_is_no_leak(qtbot: QtBot) -> None:
    """Nothing to assert here: the hooks look after the test."""
    window = QWidget()
    window.timer = QTimer(window)  # type: ignore[attr-defined]
    window.timer.start(10)  # type: ignore[attr-defined]
    QVBoxLayout(window).addWidget(pg.PlotWidget())
    qtbot.addWidget(window)
    window.show()


def test_a_warning_of_qt_while_closing_down_is_heard(qapp: QApplication) -> None:
    from PySide6 import QtCore

    heard: list[str] = []
    previous = QtCore.qInstallMessageHandler(leaks._noting(QtCore, heard, ["^known"]))
    try:
        qWarning("a late word")
        qWarning("known and harmless")
    finally:
        QtCore.qInstallMessageHandler(previous)
    (line,) = heard
    assert "a late word" in line
