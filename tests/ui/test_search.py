"""The search bar: what it says, what it lights, where it goes, and what comes too late."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from attnviz_gui.session.document import Focus
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened

SHIFT = Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def window(qtbot):
    """A window on three texts of twelve tokens, t0 … t11."""
    yield from opened(qtbot, MainWindow(capture=random_capture(12, layers=2, texts=3)))


def part(window):
    return next(p for p in window.parts if type(p).__name__ == "SearchPart")


def searched(qtbot, window, words, mode="substring"):
    """Search as a person does, and wait for the answer."""
    searching = part(window)
    QTest.keyClick(window.heatmap, Qt.Key.Key_F, SHIFT | Qt.KeyboardModifier.ControlModifier)
    assert searching.bar.isVisible()
    searching.bar.mode.setCurrentIndex(searching.bar.mode.findData(mode))
    searching.bar.input.clear()
    with qtbot.waitSignal(searching.runner.stopped, timeout=LONG):
        QTest.keyClicks(searching.bar.input, words)
    qtbot.waitUntil(lambda: not searching.runner.running and not searching._wait.isActive())
    return searching


def test_matches_are_counted_lit_and_gone_to_in_turns(qtbot, window):
    document = window.document
    searching = searched(qtbot, window, "t3")
    bar = searching.bar
    assert bar.count.whole == "3 matches in 3 texts"
    assert np.flatnonzero(document.found.mask("key")).tolist() == [3, 15, 27]
    assert np.flatnonzero(document.marks.found[0]).tolist() == [3]
    assert not document.selection
    seen = []
    for key, keys in (
        (Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_F3, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_Return, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_Return, SHIFT),
    ):
        QTest.keyClick(bar.input, key, keys)
        assert document.pinned == Focus(query=3)
        seen.append(document.text)
    assert seen == [0, 1, 2, 0, 2]
    assert bar.count.whole == "3 of 3 matches in 3 texts"
    bar.select.click()
    assert document.selection.n_tokens == 3
    QTest.keyClick(bar.input, Qt.Key.Key_Escape)
    assert not bar.isVisible() and not document.found
    assert document.selection.n_tokens == 3


def test_the_next_match_is_the_next_from_the_text_that_is_gone_to_by_hand(qtbot, window):
    window.runs.show_capture(random_capture(12, texts=9))
    searching = searched(qtbot, window, "t3")
    searching.step(1)
    searching.step(1)
    assert window.document.text == 1
    assert searching.bar.count.whole == "2 of 9 matches in 9 texts"
    window.document.show_head(text=6)
    assert searching.bar.count.whole == "9 matches in 9 texts"  # it is on none of them
    searching.step(1)
    assert window.document.text == 6
    assert searching.bar.count.whole == "7 of 9 matches in 9 texts"
    window.document.show_head(layer=0, head=1)  # another head of the same text
    assert searching.bar.count.whole == "7 of 9 matches in 9 texts"
    searching.step(1)
    assert window.document.text == 7


def test_enter_right_after_typing_goes_to_the_first_match(qtbot, window):
    searching = part(window)
    window.document.show_head(text=1)
    searching.open()
    QTest.keyClicks(searching.bar.input, "t7")
    QTest.keyClick(searching.bar.input, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.document.pinned == Focus(query=7), timeout=LONG)
    assert window.document.text == 1  # from the text on show on


def test_a_wrong_expression_is_said_in_place_and_the_last_result_stays(qtbot, window):
    searching = searched(qtbot, window, "^t1$", "regex")
    assert searching.bar.count.whole == "3 matches in 3 texts"
    found = window.document.found
    with qtbot.waitSignal(searching.runner.failed, timeout=LONG):
        QTest.keyClicks(searching.bar.input, "(")
    assert searching.bar.count.whole.startswith("This is no regular expression: ")
    assert window.document.found is found
    assert not window.banner.isVisible()
    searched(qtbot, window, "nothing", "regex")
    assert searching.bar.count.whole == "no match"
    assert not window.document.found and not searching.bar.next.isEnabled()


def test_another_capture_is_searched_for_the_same(qtbot, window):
    searching = searched(qtbot, window, "t3")
    window.runs.show_capture(random_capture(6, texts=2))
    qtbot.waitUntil(lambda: window.document.found.n_tokens == 2, timeout=LONG)
    assert searching.bar.count.whole == "2 matches in 2 texts"
    searching.bar.input.setText("t4")
    searching.search()
    window.runs.show_capture(random_capture(4))  # before the answer is there
    qtbot.waitUntil(lambda: not searching.runner.running, timeout=LONG)
    qtbot.wait(50)
    assert not window.document.found
    assert searching.bar.count.whole == "no match"


def test_a_slash_opens_the_search_but_stays_a_letter_in_a_text(window):
    searching, field = part(window), child(window, "text_input")
    field.setFocus()
    QTest.keyClicks(field, "a/b")
    assert "a/b" in window.text_bar.text and not searching.bar.isVisible()
    window.heatmap.setFocus()
    QTest.keyClick(window.heatmap, Qt.Key.Key_Slash)
    assert searching.bar.isVisible()


def test_capital_letters_count_where_they_are_to(qtbot, window):
    searching = searched(qtbot, window, "T3")
    assert searching.bar.count.whole == "3 matches in 3 texts"
    with qtbot.waitSignal(searching.runner.stopped, timeout=LONG):
        searching.bar.case.click()
    assert searching.bar.count.whole == "no match"


def test_closing_the_window_ends_a_search(qtbot, window):
    searching = part(window)
    searching.open()
    searching.bar.input.setText("t")
    searching.search()
    window.close()
    assert not searching.runner.running
