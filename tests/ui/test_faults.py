"""Nothing is swallowed: every way to fail ends in the log and in a sentence."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from PySide6.QtCore import QtMsgType, qInstallMessageHandler

from attnviz_gui.ui.faults import Faults, log_file
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture


@pytest.fixture
def faults(qapp):
    before = sys.excepthook, threading.excepthook
    handler = qInstallMessageHandler(None)
    faults = Faults()
    faults.install()
    faults.heard = []
    faults.happened.connect(lambda sentence, details: faults.heard.append((sentence, details)))
    yield faults
    faults.remove()
    assert (sys.excepthook, threading.excepthook) == before
    qInstallMessageHandler(handler)


def raise_it() -> None:
    raise RuntimeError("broken on purpose")


def test_an_uncaught_fault_is_logged_and_said(faults):
    try:
        raise_it()
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    sentence, details = faults.heard[0]
    assert "RuntimeError" in sentence and str(log_file()) in sentence
    assert "broken on purpose" in details and "raise_it" in details
    assert "broken on purpose" in log_file().read_text(encoding="utf-8")


def test_a_want_of_memory_is_said_with_what_to_do(qtbot, faults):
    with qtbot.waitSignal(faults.happened) as said:
        try:
            np.empty(1 << 50, np.float64)
        except MemoryError as error:
            faults.report(error)
    assert said.args[0].startswith("There is not enough memory for that.")
    assert "fewer texts" in said.args[0] and "attnviz.log" in said.args[0]
    assert "Unable to allocate" in said.args[1]


def test_a_fault_in_a_thread_is_caught_too(qtbot, faults):
    with qtbot.waitSignal(faults.happened):
        thread = threading.Thread(target=raise_it)
        thread.start()
        thread.join()
    assert "broken on purpose" in faults.heard[0][1]


def test_qt_warnings_go_to_the_log(faults):
    faults._on_qt(QtMsgType.QtWarningMsg, None, "a remark of Qt's")
    assert "Qt: a remark of Qt's" in log_file().read_text(encoding="utf-8")
    assert faults.heard == []


def test_the_window_shows_a_fault_with_details_to_copy_and_keeps_its_picture(qtbot, qapp, faults):
    window = MainWindow(capture=random_capture(5), faults=faults)
    qtbot.addWidget(window)
    window.show()
    picture = window.document.picture
    faults.report(RuntimeError("broken on purpose"))
    assert window.banner.isVisible() and "RuntimeError" in window.banner.sentence
    window.banner.copy.click()
    assert "broken on purpose" in qapp.clipboard().text()
    assert window.document.picture is picture
    qapp.clipboard().clear()
    window.close()


def test_without_a_place_for_the_log_faults_are_still_said(qapp, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    handler = qInstallMessageHandler(None)
    faults = Faults()
    faults.install()
    heard = []
    faults.happened.connect(lambda sentence, details: heard.append(sentence))
    faults.report(RuntimeError("no log"))
    faults.remove()
    qInstallMessageHandler(handler)
    assert heard
    assert "no log" in capsys.readouterr().err
