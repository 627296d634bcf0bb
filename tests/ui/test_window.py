"""The real window, driven as a person drives it, on the real bundled model."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtGui import (
    QContextMenuEvent,
    QGuiApplication,
    QImage,
    QInputMethodEvent,
    QKeyEvent,
)
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from attnviz_gui.session.document import Focus
from attnviz_gui.ui.main_window import FIRST_TEXT, MainWindow
from attnviz_gui.ui.theme import NORMAL
from tests.samples import random_capture, save_tiny_bert
from tests.ui.driving import LONG, child, drop, opened

CONTRACT = [
    "text_input", "model_select", "run_button", "cancel_button", "progress", "layer_select",
    "head_select", "heatmap", "scatter", "embedding", "token_strip", "shift_slider", "shift_mode",
    "scale_slider", "objective_select", "fit_button", "reset_button",
    "anatomy",
]  # fmt: skip


@pytest.fixture
def window(qtbot, bundled):
    """The window as it opens, its first run done."""
    window = MainWindow()
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.ready, timeout=LONG):
        window.show()
    yield window
    window.close()


@pytest.fixture
def still(qtbot):
    """A window on twelve random tokens; no model runs."""
    yield from opened(qtbot, MainWindow(capture=random_capture(12, layers=3, heads=4)))


def run_text(qtbot, window: MainWindow, text: str) -> None:
    window.text_bar.set_text(text)
    with qtbot.waitSignal(window.runner.stopped, timeout=LONG):
        qtbot.mouseClick(child(window, "run_button"), Qt.MouseButton.LeftButton)


def test_the_window_stays_awake_while_a_large_head_is_computed(qtbot):
    """Thousands of tokens: the last picture stays, the controls move on, the newest head comes."""
    window = MainWindow(capture=random_capture(2_000, layers=3, heads=4))
    qtbot.addWidget(window)
    with qtbot.waitSignal(window.ready, timeout=LONG):
        window.show()
    document = window.document
    before = document.picture
    for _ in range(3):
        window.actions_.step(head=1)
    assert document.picture is before
    assert child(window, "head_select").value() == 3
    assert "Computing L0 H3" in child(window, "facts").text()
    qtbot.waitUntil(lambda: not document.pending, timeout=LONG)
    assert document.picture.name == "L0 H3"
    assert "2,000 tokens" in child(window, "facts").text()
    assert window.heatmap.title().endswith("L0 H3")
    window.close()


def test_every_promised_widget_has_its_name_its_words_and_its_tooltip(still):
    for name in CONTRACT:
        widget = child(still, name)
        assert widget.accessibleName(), name
        assert widget.toolTip(), name


def test_it_opens_on_the_first_text_with_its_watched_pairs(window):
    d = window.document
    assert child(window, "text_input").toPlainText() == FIRST_TEXT
    assert d.picture.query_tokens == (
        "[CLS]", "the", "brown", "cap", "##y", "##bara", "is", "sleeping", "now", ".", "[SEP]",
    )  # fmt: skip
    assert d.watched_here == [(2, 3), (2, 4), (2, 5)]
    facts = child(window, "facts").text()
    assert "11 tokens" in facts and "6 layers × 12 heads" in facts
    assert not child(window, "progress").isVisible()


def test_before_the_first_picture_the_panels_say_what_happens(qtbot, bundled):
    window = MainWindow()
    qtbot.addWidget(window)
    window.join()
    held = threading.Event()  # a run may else be over before anybody looks
    window.workers[0].submit(held.wait, LONG / 1000)
    window.show()
    waiting = pixels(window.scatter)
    qtbot.waitUntil(lambda: window.runner.running, timeout=LONG)
    window.scatter.repaint()
    running = pixels(window.scatter)
    assert (running != waiting).any()
    window.runs.cancel()
    held.set()
    np.testing.assert_array_equal(pixels(window.scatter), waiting)
    assert "Nothing on show yet" in child(window, "facts").text()
    window.close()


def test_typing_a_text_and_ctrl_enter_runs_it(qtbot, window):
    box = child(window, "text_input")
    box.selectAll()
    qtbot.keyClicks(box, "Cats sleep.")
    assert window.document.capture.texts == (FIRST_TEXT,)
    with qtbot.waitSignal(window.runner.stopped, timeout=LONG):
        qtbot.keyClick(box, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
    assert window.document.capture.texts == ("Cats sleep.",)
    assert window.document.picture.query_tokens[1:4] == ("cats", "sleep", ".")
    assert box.toPlainText() == "Cats sleep."


def test_a_capture_takes_away_what_was_said_of_the_text_before(qtbot, window):
    run_text(qtbot, window, "The brown capybara is sleeping now. " * 120)
    assert child(window, "banner_action").isVisible()
    window.runs.show_capture(random_capture(5))
    assert not window.banner.isVisible()


def test_japanese_text(qtbot, window):
    run_text(qtbot, window, "カピバラは今眠っています。")
    assert window.document.capture.texts == ("カピバラは今眠っています。",)
    assert not window.banner.isVisible()


def test_an_input_method_composes_without_losing_a_key(qtbot, still):
    box = child(still, "text_input")
    box.setFocus()
    box.selectAll()
    composing = QInputMethodEvent("かぴ", [])
    QApplication.sendEvent(box, composing)
    assert "かぴ" not in box.toPlainText()
    head = still.document.head
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Space):
        event = QKeyEvent(QEvent.Type.ShortcutOverride, key, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(box, event)
    assert still.document.head == head
    commit = QInputMethodEvent()
    commit.setCommitString("カピバラ")
    QApplication.sendEvent(box, commit)
    assert box.toPlainText() == "カピバラ"


def test_typing_during_a_run_replaces_it_and_the_late_result_never_appears(qtbot, window):
    shown = []
    window.document.picture_changed.connect(lambda: shown.append(window.document.capture.texts[0]))
    window.text_bar.set_text("one two three " * 150)
    child(window, "run_button").click()
    assert window.runner.running
    box = child(window, "text_input")
    box.selectAll()
    qtbot.keyClicks(box, "four")
    assert not window.runner.running
    qtbot.waitUntil(lambda: shown == ["four"], timeout=LONG)
    qtbot.wait(200)
    assert shown == ["four"]


def test_composing_during_a_run_waits_for_what_is_composed(qtbot, window):
    shown = []
    window.document.picture_changed.connect(lambda: shown.append(window.document.capture.texts[0]))
    window.text_bar.set_text("one two three " * 150)
    child(window, "run_button").click()
    box = child(window, "text_input")
    box.selectAll()
    QApplication.sendEvent(box, QInputMethodEvent("ねk", []))  # takes the place of what is selected
    assert not window.runner.running
    for composing in ("ねこ", "猫"):
        qtbot.wait(600)  # longer than a pause in typing
        QApplication.sendEvent(box, QInputMethodEvent(composing, []))
    assert not window.banner.isVisible() and not shown
    commit = QInputMethodEvent()
    commit.setCommitString("猫")
    QApplication.sendEvent(box, commit)
    qtbot.waitUntil(lambda: shown == ["猫"], timeout=LONG)


def test_emptying_the_text_during_a_run_waits_for_the_next_one(qtbot, window):
    window.text_bar.set_text("one two three " * 150)
    child(window, "run_button").click()
    box = child(window, "text_input")
    box.selectAll()
    qtbot.keyClick(box, Qt.Key.Key_Delete)
    qtbot.wait(600)  # longer than a pause in typing
    assert not window.banner.isVisible()
    qtbot.keyClicks(box, "four")
    qtbot.waitUntil(lambda: window.document.capture.texts == ("four",), timeout=LONG)


def test_cancel_keeps_the_last_picture(qtbot, window):
    picture = window.document.picture
    window.text_bar.set_text("one two three " * 150)
    child(window, "run_button").click()
    cancel = child(window, "cancel_button")
    assert cancel.isVisible() and cancel.isEnabled()
    qtbot.mouseClick(cancel, Qt.MouseButton.LeftButton)
    assert not window.runner.running
    qtbot.wait(400)
    assert window.document.picture is picture
    assert not cancel.isVisible()
    run_text(qtbot, window, "Still alive.")
    assert window.document.capture.texts == ("Still alive.",)


@pytest.mark.parametrize("text", ["", "   \n\t ", "\u3000"])
def test_an_empty_text_is_answered_and_the_picture_stays(qtbot, window, text):
    picture = window.document.picture
    run_text(qtbot, window, text)
    assert window.banner.isVisible()
    assert "text" in window.banner.sentence.lower()
    assert window.document.picture is picture
    run_text(qtbot, window, "Fine.")
    assert not window.banner.isVisible()


def test_a_hundred_thousand_characters_say_what_is_used_and_offer_to_split(qtbot, window):
    text = ("The brown capybara is sleeping now. " * 2800)[:100_000]
    run_text(qtbot, window, text)
    capture = window.document.capture
    assert len(capture.tokens[0]) <= 512
    assert capture.cut_from > 20_000
    assert f"{capture.cut_from:,}" in window.banner.sentence
    assert "512" in window.banner.sentence
    button = child(window, "banner_action")
    assert button.isVisible() and "Split" in button.text()
    assert f"of {capture.cut_from:,} tokens" in child(window, "facts").text()


def test_splitting_shows_every_part(qtbot, window):
    run_text(qtbot, window, "The brown capybara is sleeping now. " * 120)
    with qtbot.waitSignal(window.runner.stopped, timeout=LONG):
        child(window, "banner_action").click()
    capture = window.document.capture
    assert len(capture.texts) >= 2
    assert "".join("".join(capture.texts).split()) == "Thebrowncapybaraissleepingnow." * 120
    select = child(window, "text_select")
    assert select.isVisible() and select.maximum() == len(capture.texts)
    select.setValue(2)
    assert window.document.text == 1


def test_control_characters_give_a_picture_or_a_sentence(qtbot, window):
    for text in ("a\x00b\x1b[31mc", "tab\tand\r\nline", "\ud800 alone"):
        run_text(qtbot, window, text)
        sentence = window.banner.sentence
        assert sentence == "" or "fault" not in sentence


def test_a_long_text_is_shown_in_three_lines_and_scrolls(qtbot, still):
    box = child(still, "text_input")
    one = box.height()
    still.text_bar.set_text("many words " * 60)
    qtbot.wait(10)
    three = box.height()
    assert 1.5 * one < three < 3 * one
    assert box.verticalScrollBar().isVisible()
    line = box.document().firstBlock().layout().lineAt(0)
    assert line.naturalTextWidth() <= box.viewport().width()
    still.text_bar.set_text("few")
    qtbot.waitUntil(lambda: box.height() == one)


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_word_without_an_end_is_broken_anywhere(qtbot, still, by_hand):
    """Qt looks for its end in every line: a word of 300,000 letters would take seconds."""
    box = child(still, "text_input")
    modes = type(box.wordWrapMode())
    word = "a" * 10_000
    if by_hand:
        QApplication.clipboard().setText(word)
        box.selectAll()
        box.paste()
    else:
        still.text_bar.set_text(word)
    assert box.wordWrapMode() == modes.WrapAnywhere
    layout = box.document().firstBlock().layout()
    widths = [layout.lineAt(i).naturalTextWidth() for i in range(layout.lineCount())]
    assert max(widths) <= box.viewport().width()
    assert min(widths[:-1]) > 0.9 * max(widths)
    still.text_bar.set_text("日本語の文章は空白なしに書かれる。" * 300)
    assert box.wordWrapMode() == modes.WrapAtWordBoundaryOrAnywhere
    still.text_bar.set_text(word)
    still.text_bar.set_text("few words")
    assert box.wordWrapMode() == modes.WrapAtWordBoundaryOrAnywhere
    box.undo()
    assert box.toPlainText() == word


@pytest.mark.parametrize("letter", ["—", "→", "ꙮ", "\u00a0", "\u0e01", "\U0001d41a"])
def test_no_kind_of_letter_makes_a_word_without_an_end_slow(still, letter):
    box = child(still, "text_input")
    modes = type(box.wordWrapMode())
    still.text_bar.set_text(f"so {letter * 2_000} on")
    assert box.wordWrapMode() == modes.WrapAnywhere
    still.text_bar.set_text(f"{letter * 1_990} " * 2 + "日本語の文章は空白なしに書かれる。" * 200)
    assert box.wordWrapMode() == modes.WrapAtWordBoundaryOrAnywhere


def test_no_scrap_of_a_fourth_line_is_seen(qtbot, still):
    box = child(still, "text_input")
    still.text_bar.set_text("bdfhkl " * 300)
    qtbot.wait(10)
    seen = pixels(box.viewport()).reshape(box.viewport().height(), -1, 4)
    inked = np.flatnonzero((seen != seen[0, 0]).any(axis=(1, 2)))
    bottom = round(3 * box.fontMetrics().lineSpacing() + box.document().documentMargin())
    assert bottom - 8 < inked.max() < bottom


def test_layer_and_head_by_spin_box_and_by_key(qtbot, still):
    d = still.document
    child(still, "layer_select").setValue(2)
    child(still, "head_select").setValue(3)
    assert (d.layer, d.head) == (2, 3)
    still.heatmap.setFocus()
    qtbot.keyClick(still.heatmap, Qt.Key.Key_Left)
    assert d.head == 2
    qtbot.keyClick(still.heatmap, Qt.Key.Key_PageUp)
    assert d.layer == 1
    qtbot.keyClick(child(still, "text_input"), Qt.Key.Key_PageDown)
    assert d.layer == 2
    qtbot.keyClick(still.scatter, Qt.Key.Key_Up)
    qtbot.keyClick(still.embedding, Qt.Key.Key_Right)
    assert (d.layer, d.head) == (1, 3)
    assert child(still, "layer_select").value() == 1
    assert child(still, "head_select").value() == 3


def test_the_sliders_move_scatter_and_plane_and_not_the_heatmap(qtbot, still):
    d = still.document
    frames = {view: pixels(view) for view in still.views}
    slider = child(still, "shift_slider")
    slider.setValue(slider.maximum())
    assert d.sliders.t > 0
    child(still, "scale_slider").setValue(300)
    assert d.sliders.scale < 0.5
    np.testing.assert_array_equal(pixels(still.heatmap), frames[still.heatmap])
    assert (pixels(still.scatter) != frames[still.scatter]).any()
    assert (pixels(still.embedding) != frames[still.embedding]).any()
    proof = child(still, "proof").text()
    assert proof.startswith("attention unchanged: largest difference ")
    assert d.picture.attention_difference(d.frame) < 1e-5


def test_a_long_text_is_proved_by_the_worker_and_the_line_is_of_the_last_move(qtbot):
    window = MainWindow(capture=random_capture(300, layers=1, heads=1))
    qtbot.addWidget(window)
    window.show()
    d, proof = window.document, child(window, "proof")
    qtbot.waitUntil(lambda: "unchanged" in proof.text())
    d.begin_drag()
    for t in np.linspace(0, 0.3, 5):
        d.move(t=t)
        assert "unchanged" in proof.text()
    d.end_drag()
    assert proof.text() == "attention: checking…"
    qtbot.waitUntil(lambda: "unchanged" in proof.text())
    told = proof.text()
    window.normalization_panel._show_proof(d.picture.attention_difference(d.frame))
    assert proof.text() == told
    window.close()


def test_a_slider_follows_the_mouse_and_a_double_click_resets_it(qtbot, still):
    slider = child(still, "shift_slider")
    seen = []
    still.document.frame_changed.connect(lambda: seen.append(still.document.sliders.t))
    middle = QPoint(slider.width() // 2, slider.height() // 2)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=middle)
    for step in range(1, 6):
        qtbot.mouseMove(slider, middle + QPoint(8 * step, 0))
    assert still.document.dragging
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 0))
    assert not still.document.dragging
    assert len(seen) >= 4 and seen == sorted(seen)
    qtbot.mouseDClick(slider, Qt.MouseButton.LeftButton, pos=middle)
    assert still.document.sliders.t == 0.0


def test_values_can_be_typed(qtbot, still):
    for name, typed, read in (
        ("shift_value", "0.1234", lambda: still.document.sliders.t),
        ("scale_value", "2.5", lambda: still.document.sliders.scale),
    ):
        box = child(still, name)
        box.setFocus()
        box.selectAll()
        qtbot.keyClicks(box, typed)
        qtbot.keyClick(box, Qt.Key.Key_Return)
        assert read() == pytest.approx(float(typed))


@pytest.mark.parametrize(("typed", "value"), [("1,5", 1.5), ("0,25", 0.25), ("1.5", 1.5)])
def test_a_decimal_comma_is_a_decimal_point(qtbot, still, typed, value):
    for name, read in (
        ("shift_value", lambda: still.document.sliders.t),
        ("scale_value", lambda: still.document.sliders.scale),
    ):
        box = child(still, name)
        box.selectAll()
        qtbot.keyClicks(box, typed)
        qtbot.keyClick(box, Qt.Key.Key_Return)
        assert read() == value


def test_the_range_of_a_widens_to_a_bound_and_reset_narrows_it(qtbot, still):
    slider, wider = child(still, "shift_slider"), child(still, "widen_button")
    slider.setValue(slider.maximum())
    first = still.document.sliders.t
    for _ in range(60):
        wider.click()
    assert not wider.isEnabled()
    for step in (slider.maximum(), slider.minimum()):
        slider.setValue(step)
        assert 1e3 < abs(still.document.sliders.t) <= 1e6
        still.grab()
        assert "unchanged" in child(still, "proof").text()
    child(still, "reset_button").click()
    assert wider.isEnabled()
    slider.setValue(slider.maximum())
    assert still.document.sliders.t == pytest.approx(first)


def test_the_range_of_c_widens_to_a_bound_and_holds_what_is_typed(qtbot, still):
    slider, wider = child(still, "scale_slider"), child(still, "widen_scale_button")
    box = child(still, "scale_value")
    box.setValue(250)
    assert still.document.sliders.scale == 250
    assert slider.value() == slider.maximum()
    for _ in range(2):
        wider.click()
    assert not wider.isEnabled()
    for step, scale in ((slider.maximum(), 1000), (slider.minimum(), 0.001)):
        slider.setValue(step)
        assert still.document.sliders.scale == pytest.approx(scale)
        still.grab()
        assert "unchanged" in child(still, "proof").text()
    child(still, "reset_button").click()
    assert wider.isEnabled()
    slider.setValue(slider.maximum())
    assert still.document.sliders.scale == pytest.approx(10)


def test_the_middle_of_each_slider_is_its_resting_value(still):
    child(still, "shift_slider").setValue(1700)
    child(still, "shift_slider").setValue(1000)
    child(still, "scale_slider").setValue(10)
    child(still, "scale_slider").setValue(1000)
    assert still.document.sliders.t == 0.0
    assert still.document.sliders.scale == 1.0


def test_c_goes_from_a_tenth_to_ten_by_equal_ratios(still):
    slider = child(still, "scale_slider")
    found = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        slider.setValue(round(share * slider.maximum()))
        found.append(still.document.sliders.scale)
    np.testing.assert_allclose(found, [0.1, 10**-0.5, 1, 10**0.5, 10], rtol=1e-12)


@pytest.mark.parametrize("size", [(1280, 800), (1900, 700), (1100, 1000)])
def test_a_unit_of_the_plane_is_as_long_across_as_down(qtbot, still, size):
    """Measured on the points as they are drawn, before and after a zoom along one axis."""
    still.resize(*size)
    still.document.move(t=0.3, scale=0.4)
    qtbot.wait(20)
    still.grab()
    plane = still.embedding.right
    for _ in range(2):
        across, down = np.ptp(plane.drawing.pixels(), axis=0) / np.ptp(plane.drawing.xy, axis=0)
        assert across == pytest.approx(down, rel=1e-9)
        plane.box.scaleBy((0.5, 1.0))
        still.grab()


def test_fit_and_reset(qtbot, window):
    d = window.document
    before = d.picture.before.correlation
    line = child(window, "fit_line")
    child(window, "fit_button").click()
    qtbot.waitUntil(lambda: line.text().startswith("Best a = "), timeout=LONG)
    assert d.frame.correlation < before
    assert "→" in line.text()
    child(window, "reset_button").click()
    assert (d.sliders.t, d.sliders.scale) == (0.0, 1.0)
    assert d.frame.correlation == pytest.approx(before)


@pytest.mark.parametrize("mode", ["centroid", "locked"])
def test_shift_modes(qtbot, still, mode):
    box = child(still, "shift_mode")
    assert isinstance(box, QComboBox)
    box.setCurrentIndex(box.findData(mode))
    d = still.document
    assert d.sliders.mode == mode
    child(still, "scale_slider").setValue(1500)
    middle = d.frame.key.mean(axis=0) - d.frame.query.mean(axis=0)
    if mode == "locked":
        np.testing.assert_allclose(middle, 0, atol=1e-9)
        assert not child(still, "shift_slider").isEnabled()
        assert "follows c" in child(still, "about_scale").text()
    else:
        assert child(still, "shift_slider").isEnabled()
        assert "c has no effect" in child(still, "about_scale").text()
        child(still, "reset_button").click()
        d.move(t=1.0)
        middle = d.frame.key.mean(axis=0) - d.frame.query.mean(axis=0)
        np.testing.assert_allclose(middle, 0, atol=1e-9)


def test_a_pinned_pair_lights_up_everywhere_and_escape_lets_go(qtbot, still):
    plain = {view: pixels(view) for view in (*still.views, still.token_strip)}
    still.document.pin(2, 5)
    for view, picture in plain.items():
        assert (pixels(view) != picture).any(), view.objectName()
    still.activateWindow()
    qtbot.keyClick(still, Qt.Key.Key_Escape)
    assert not still.document.focus
    for view, picture in plain.items():
        np.testing.assert_array_equal(pixels(view), picture, err_msg=view.objectName())


def test_watching_a_chosen_pair(still):
    still.actions_.watch()
    assert "Choose a pair" in still.banner.sentence
    still.document.pin(2, 5)
    still.actions_.watch()
    assert still.document.watched_here == [(2, 5)]


@pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
def test_the_right_button_watches_the_pair_under_the_mouse(qtbot, still):
    view = still.heatmap
    still.document.hover(3, 4)
    where = view.mapToGlobal(view.rect().center())
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, view.rect().center(), where)
    QApplication.sendEvent(view.viewport(), event)
    menu = still.docks[0].menu
    assert menu.isVisible()
    still.document.hover()
    next(action for action in menu.actions() if "Watch" in action.text()).trigger()
    menu.close()
    assert still.document.watched_here == [(3, 4)]


def test_maximising_a_panel_and_escape_gives_the_others_back(qtbot, still):
    header = still.docks[1].header
    qtbot.mouseDClick(header, Qt.MouseButton.LeftButton, pos=QPoint(20, 8))
    assert [dock.isVisible() for dock in still.docks] == [False, True, False]
    still.document.pin(1, 1)
    qtbot.keyClick(still, Qt.Key.Key_Escape)
    assert all(dock.isVisible() for dock in still.docks)
    assert still.document.pinned == Focus(1, 1)


def test_a_model_folder_by_drop_then_one_that_is_no_model(qtbot, window, tmp_path):
    folder = save_tiny_bert(tmp_path / "tiny")
    drop(window, folder)
    qtbot.waitUntil(lambda: window.document.capture.model_name == "tiny", timeout=LONG)
    box = child(window, "model_select")
    assert box.currentText() == "tiny"
    picture = window.document.picture
    empty = tmp_path / "empty"
    empty.mkdir()
    with qtbot.waitSignal(window.runner.failed, timeout=LONG):
        drop(window, empty)
    assert window.banner.isVisible()
    assert "empty" in window.banner.sentence
    assert window.document.picture is picture
    assert box.currentText() == "tiny"
    index = box.findData("bundled")
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        box.setCurrentIndex(index)
    assert window.document.capture.model_name == "all-MiniLM-L6-v2"


def test_choosing_a_folder_asks_and_forgets_nothing(qtbot, still):
    box = child(still, "model_select")
    index = box.findText("Choose a folder…")
    box.setCurrentIndex(index)
    dialog = still.findChild(QFileDialog)
    assert dialog is not None and dialog.isVisible()
    assert box.currentData() == "bundled"
    dialog.reject()


def test_a_text_file_by_drop(qtbot, window, tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("Dropped text.", encoding="utf-8")
    with qtbot.waitSignal(window.runner.finished, timeout=LONG):
        drop(window, file)
    assert window.document.capture.texts == ("Dropped text.",)


def test_exporting_all_panels(qtbot, still, tmp_path):
    still.actions_.export()
    dialog = child(still, "export_dialog")
    folder = tmp_path / "made" / "here"
    child(dialog, "export_folder").setText(str(folder))
    dialog.scale.setCurrentIndex(2)
    save(dialog)
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["embedding.png", "heatmap.png", "scatter.png"]
    image = QImage(str(folder / "heatmap.png"))
    assert (image.width(), image.height()) == (760 * 3, 700 * 3)
    assert image.pixelColor(2, 2).name() == "#ffffff"


def test_exporting_where_nothing_can_be_written_says_so_and_stays_open(qtbot, still, tmp_path):
    (tmp_path / "file").write_text("in the way")
    still.actions_.export()
    dialog = child(still, "export_dialog")
    child(dialog, "export_folder").setText(str(tmp_path / "file" / "folder"))
    save(dialog)
    assert dialog.isVisible()
    assert "can't be written" in child(dialog, "export_fault").text()
    child(dialog, "export_folder").setText("~nobody-of-that-name/figures")
    save(dialog)
    assert "not known here" in child(dialog, "export_fault").text()
    dialog.reject()


def test_copying_a_panel(qtbot, still):
    QGuiApplication.clipboard().clear()
    still.actions_.copy(still.docks[0])
    image = QGuiApplication.clipboard().image()
    assert not image.isNull() and image.width() == 760 * 2


def test_closing_during_a_run_waits_for_it(qtbot, bundled):
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    window.runs.run()
    assert window.runner.running
    window.close()
    assert not window.isVisible()
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith(("model", "geometry")) for name in names)


def test_a_message_stands_alone_also_where_the_theme_changes_meanwhile(still):
    bar, facts = still.statusBar(), child(still, "facts")
    bar.showMessage("Copied: 12 tokens", 60_000)
    still.resize(1500, 900)
    still.set_theme("dark")
    QApplication.processEvents()
    seen = bar.grab().toImage()
    facts.setText("Something else is on show")
    assert bar.grab().toImage() == seen
    bar.clearMessage()
    assert bar.grab().toImage() != seen


def test_dark_and_light(still):
    still.set_theme("dark")
    dark = still.grab().toImage()
    still.set_theme("light")
    light = still.grab().toImage()
    corner = QPoint(4, still.height() - 8)
    assert dark.pixelColor(corner).lightness() < 80 < 200 < light.pixelColor(corner).lightness()
    for view in still.views:
        assert view.theme.name == "light"


def test_the_window_opens_in_its_own_font_whatever_the_desktops(qtbot, qapp):
    desktops = qapp.font()
    desktops.setPointSizeF(23)
    qapp.setFont(desktops)
    window = MainWindow(capture=random_capture(5))
    qtbot.addWidget(window)
    window.show()
    fonts = {w.font().pointSizeF() for w in window.findChildren(QPushButton) if w.isVisible()}
    assert fonts == {NORMAL}
    size = child(window, "run_button").size()
    window.set_theme("dark")
    assert child(window, "run_button").size() == size
    window.close()


def test_what_was_chosen_is_remembered(qtbot, home):
    first = MainWindow(capture=random_capture(5))
    qtbot.addWidget(first)
    first.document.set_options(color_scale="logarithmic", lines="top entries", n_lines=33)
    first.set_theme("dark")
    first.close()
    second = MainWindow(capture=random_capture(5))
    qtbot.addWidget(second)
    assert second.theme.name == "dark"
    assert second.document.options.color_scale == "logarithmic"
    assert second.document.options.n_lines == 33
    assert child(second, "lines_slider").value() == 33
    second.set_theme("light")
    second.close()


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_nothing_in_the_controls_is_cut_off(qtbot, still, size):
    still.resize(*size)
    qtbot.wait(10)
    for kind in (QLabel, QPushButton, QSpinBox):
        for widget in still.normalization_panel.findChildren(kind):
            if widget.isVisible():
                assert widget.width() >= min(widget.sizeHint().width(), 240), widget.objectName()


def save(dialog: QWidget) -> None:
    next(b for b in dialog.findChildren(QPushButton) if "Save" in b.text()).click()


def pixels(widget: QWidget) -> np.ndarray:
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    flat = np.frombuffer(image.constBits(), np.uint8)
    return flat.reshape(image.height(), image.bytesPerLine())[:, : image.width() * 4].copy()
