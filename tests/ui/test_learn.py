"""The Learn menu, clicked through: the steps of a head, the worked example, the classifier."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu

from attnviz_gui.ui.learn import CLASSIFIER
from attnviz_gui.ui.main_window import MainWindow
from tests.ui.driving import LONG, child, opened


@pytest.fixture
def window(qtbot, capybara):
    yield from opened(qtbot, MainWindow(capture=capybara))


def entry(window: MainWindow, words: str):
    """The one entry of the Learn menu that has these words."""
    [menu] = [m for m in window.menuBar().findChildren(QMenu) + window.findChildren(QMenu)
              if m.title() == "&Learn"]  # fmt: skip
    [action] = [a for a in menu.actions() if words in a.text()]
    return action


def dissected(window: MainWindow) -> bool:
    ready = window.anatomy_panel.anatomy.ready
    return ready is not None and ready.picture is window.document.picture


def test_the_steps_of_the_head_on_show(qtbot, window):
    assert window.anatomy_panel.isHidden()
    window.document.show_head(1, 7)
    entry(window, "How this head").trigger()
    assert window.anatomy_panel.isVisible()
    assert not window.docks[0].isVisible()
    qtbot.waitUntil(lambda: dissected(window), timeout=LONG)
    assert window.anatomy_panel.header.title.whole == "How L1 H7 is computed"
    assert "both ways equal" in window.anatomy_panel.header.numbers.whole
    assert window.anatomy_panel.anatomy.ready.anatomy.equality.holds
    qtbot.keyClick(window, Qt.Key.Key_Right)
    qtbot.waitUntil(lambda: dissected(window), timeout=LONG)
    assert window.anatomy_panel.header.title.whole == "How L1 H8 is computed"
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert window.anatomy_panel.isHidden()
    assert all(dock.isVisible() for dock in window.docks)


def test_the_steps_can_stand_beside_the_other_panels(qtbot, window):
    window.anatomy_panel.toggleViewAction().trigger()
    assert window.anatomy_panel.isVisible()
    assert all(dock.isVisible() for dock in window.docks)
    qtbot.waitUntil(lambda: dissected(window), timeout=LONG)
    window.workspace.arrange()
    assert window.anatomy_panel.isHidden()


def test_the_steps_are_copied_and_written_for_paper(qtbot, window, tmp_path):
    window.anatomy_panel.copy()
    assert "no steps to copy yet" in window.banner.sentence
    entry(window, "How this head").trigger()
    qtbot.waitUntil(lambda: dissected(window), timeout=LONG)
    window.anatomy_panel.copy()
    assert QGuiApplication.clipboard().image().width() >= 2000
    target = tmp_path / "new" / "steps.png"
    window.anatomy_panel.write(target)
    assert target.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert str(target) in window.statusBar().currentMessage()
    window.anatomy_panel.write(tmp_path)
    assert "can't be written" in window.banner.sentence


def test_the_worked_example(qtbot, window):
    entry(window, "Worked example").trigger()
    qtbot.waitUntil(lambda: len(window.document.picture.query_tokens) == 5, timeout=LONG)
    assert window.anatomy_panel.isVisible()
    qtbot.waitUntil(lambda: dissected(window), timeout=LONG)
    attention = window.document.capture.head(0, 0).attention
    assert np.round(attention[0], 4).tolist() == pytest.approx(
        [0.0424, 0.2048, 0.3446, 0.2414, 0.1667], abs=1e-6
    )
    assert "worked example" in child(window, "facts").text()
    assert window.text_bar.text == "t0 t1 t2 t3 t4"


def test_the_classifier_is_trained_and_reads_what_is_typed(qtbot, window):
    entry(window, "text classifier").trigger()
    document = window.document
    qtbot.waitUntil(lambda: "classifier" in document.picture.capture.model_name, timeout=4 * LONG)
    assert "% right" in child(window, "facts").text()
    assert child(window, "model_select").currentText() == CLASSIFIER
    # A second text runs on the trained model, which is not trained again.
    window.text_bar.set_text("Open the file and read its lines.")
    with qtbot.waitSignal(window.runner.stopped, timeout=LONG):
        window.runs.run()
    assert list(document.picture.query_tokens[:3]) == ["open", "the", "file"]
    # And the bundled model is still there.
    select = child(window, "model_select")
    select.setCurrentIndex(select.findText("all-MiniLM-L6-v2", Qt.MatchFlag.MatchContains))
    qtbot.waitUntil(lambda: document.picture.query_tokens[0] == "[CLS]", timeout=LONG)


def test_training_is_cancelled(qtbot, window):
    from attnviz_gui.jobs import examples

    examples._shelf.clear()
    before = window.document.picture
    entry(window, "text classifier").trigger()
    qtbot.wait(500)
    qtbot.mouseClick(child(window, "cancel_button"), Qt.MouseButton.LeftButton)
    assert not window.runner.running
    assert window.document.picture is before
    assert examples._shelf == []
