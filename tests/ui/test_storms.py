"""An impatient hand: everything at once, at the worst moment, in the wrong order."""

from __future__ import annotations

import os
import sys
import threading

import pytest
from PySide6.QtCore import QPoint, QSettings, Qt, QUrl

import attnviz_gui
from attnviz_gui.session.document import NOTHING
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture, save_tiny_bert
from tests.ui.driving import LONG, child, drop, opened


@pytest.fixture
def still(qtbot):
    """A window on thirty random tokens; no model runs."""
    yield from opened(qtbot, MainWindow(capture=random_capture(30, layers=3, heads=4)))


def workers() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("model", "geometry"))]


def test_run_and_cancel_in_turns_end_in_one_picture(qtbot, still, bundled):
    shown = []
    still.document.picture_changed.connect(lambda: shown.append(still.document.capture.texts))
    for turn in range(12):
        still.text_bar.set_text(f"Run number {turn}.")
        child(still, "run_button").click()
        if turn % 3 == 0:
            child(still, "cancel_button").click()
    qtbot.waitUntil(lambda: not still.runner.running, timeout=LONG)
    qtbot.wait(100)
    assert shown == [("Run number 11.",)]
    assert not child(still, "progress").isVisible()


def test_a_drop_that_is_no_file_is_answered_and_runs_nothing(qtbot, still):
    picture = still.document.picture
    drop(still, QUrl("https://example.org/text.txt"))
    assert "on this machine" in still.banner.sentence
    assert not still.runner.running and still.document.picture is picture


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names there")
@pytest.mark.parametrize("name", ["pipe.txt", "pipe.safetensors"])
def test_a_pipe_does_not_stop_the_window(still, tmp_path, name):
    os.mkfifo(tmp_path / name)
    drop(still, tmp_path / name)
    assert "pipe" in still.banner.sentence


def test_of_two_texts_the_first_is_run_and_the_other_spoken_of(qtbot, still, bundled, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"{name} text")
    with qtbot.waitSignal(still.runner.finished, timeout=LONG):
        drop(still, tmp_path / "one.txt", tmp_path / "two.txt")
    assert still.document.capture.texts == ("one text",)
    assert "the first" in still.banner.sentence
    with qtbot.waitSignal(still.runner.finished, timeout=LONG):
        child(still, "run_button").click()
    assert still.banner.sentence == ""


def test_a_fit_that_comes_late_moves_nothing(qtbot, still):
    line = child(still, "fit_line")
    child(still, "fit_button").click()
    still.document.move(mode="locked", scale=2.0)
    qtbot.waitUntil(lambda: "moved meanwhile" in line.text(), timeout=LONG)
    assert (still.document.sliders.mode, still.document.sliders.scale) == ("locked", 2.0)
    child(still, "fit_button").click()
    still.runs.show_capture(random_capture(10))
    qtbot.wait(100)
    assert line.text() == "" and still.document.sliders.scale == 2.0


def test_a_model_in_memory_stays_on_the_list(qtbot, bundled, tmp_path):
    window = MainWindow(model=bundled)
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.ready, timeout=LONG):
        window.show()
    box = child(window, "model_select")
    assert window.text_bar.source is bundled
    assert box.currentText() == bundled.name
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        window.runs.run_model(str(save_tiny_bert(tmp_path / "tiny")))
    assert box.currentText() == "tiny"
    assert box.findText(bundled.name) >= 0
    window.close()


def test_everything_during_a_drag(qtbot, still):
    slider = child(still, "shift_slider")
    middle = slider.rect().center()
    still.document.pin(29, 29)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(6):
        qtbot.mouseMove(slider, middle + QPoint(5 * step, 0))
        child(still, "special_tokens").toggle()
        still.set_theme("dark" if step % 2 else "light")
        still.document.show_head(step % 3, step % 4)
        if step == 3:
            still.runs.show_capture(random_capture(4, layers=1, heads=1))
        still.grab()
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=middle + QPoint(25, 0))
    assert not still.document.dragging
    assert still.document.focus == NOTHING
    assert (still.document.layer, still.document.head) == (0, 0)
    assert child(still, "layer_select").maximum() == 0


@pytest.mark.parametrize("moment", ["unseen", "before the run", "import", "fit", "dialogs"])
def test_closing_at_any_moment_leaves_no_thread(qtbot, moment):
    capture = random_capture(200) if moment in ("fit", "dialogs") else None
    window = MainWindow(capture=capture)
    qtbot.addWidget(window)
    if moment != "unseen":
        window.show()
    if moment == "import":
        window.runs.run()
    elif moment == "fit":
        window.fitting.fit()
    elif moment == "dialogs":
        window.actions_.export()
        window.actions_.explain()
    window.close()
    assert not window.isVisible()
    assert workers() == []
    window.close()  # twice does no harm


def test_windows_come_and_go(qtbot):
    before = threading.active_count()
    first = MainWindow(capture=random_capture(12))
    qtbot.addWidget(first)
    first.show()
    for _ in range(3):
        window = MainWindow(capture=random_capture(12))
        qtbot.addWidget(window)
        window.show()
        window.document.move(t=0.5)
        assert first.document.sliders.t == 0.0
        window.close()
    first.document.move(t=0.1)
    first.grab()
    first.close()
    assert threading.active_count() <= before


@pytest.mark.parametrize("settings", ['{"n_lines": 100000000000000000000}', "[" * 200_000, "\0"])
def test_settings_that_are_nonsense_open_the_window_all_the_same(qtbot, home, settings):
    (home / "config" / "attnviz").mkdir(parents=True)
    (home / "config" / "attnviz" / "settings.json").write_text(settings)
    window = MainWindow(capture=random_capture(12))
    qtbot.addWidget(window)
    assert window.document.options.n_lines == 20
    window.close()


@pytest.mark.parametrize("nonsense", [5, "words", ["a", "b"]])
def test_a_layout_that_is_nonsense_opens_the_window_all_the_same(qtbot, nonsense):
    stored = QSettings("AttnViz", "AttnViz")
    for name in ("geometry", "panels"):
        stored.setValue(name, nonsense)
    window = MainWindow(capture=random_capture(12))
    qtbot.addWidget(window)
    window.show()
    assert all(dock.isVisible() for dock in window.docks)
    window.close()
    for name in ("geometry", "panels"):
        stored.remove(name)


@pytest.mark.parametrize("thing", [None, "a text", 5])
def test_show_says_what_it_takes(qapp, thing):
    with pytest.raises(attnviz_gui.InputError, match=r"load_model\(\)"):
        attnviz_gui.show(thing)
