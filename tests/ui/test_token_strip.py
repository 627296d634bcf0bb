"""The token strip: what a token's fill says, how tokens are chosen, how long texts are held."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QHelpEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QToolTip, QVBoxLayout, QWidget

from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.color_scale import mix
from attnviz_gui.ui.views.token_strip import ROWS, TokenStrip
from tests.samples import random_capture
from tests.ui.known import at, count, known_capture, near, picture_of, pixels, rgb, rows_of_one

TOKENS = ["the", "brown", "cap", "##y"]
ATTENTION = rows_of_one([[5, 1, 1, 3], [1, 1, 7, 1], [90, 1, 4, 5], [1, 20, 1, 2]])


@pytest.fixture
def strip(qtbot):
    """Make a token strip of a capture (None: of nothing) and show it."""
    strips = []

    def make(capture=None, theme=LIGHT, width=600, parent=None, **options) -> TokenStrip:
        document = Document()
        document.set_options(**options)
        if capture is not None:
            document.open(capture)
        box = parent or QWidget()
        strip = TokenStrip(document, theme)
        strip.start()
        strips.append(strip)
        column = QVBoxLayout(box)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(strip)
        column.addWidget(QLabel("below"), 1)
        qtbot.addWidget(box)
        box.resize(width, 200)
        with qtbot.waitExposed(box):
            box.show()
        strip.box = box  # keep it
        return strip

    yield make
    for strip in strips:
        strip.stop()


def middle(strip: TokenStrip, index: int) -> QPoint:
    return strip.chip(index).center().toPoint()


def fill(strip: TokenStrip, index: int) -> np.ndarray:
    """The colour of a chip beside its text."""
    chip = strip.chip(index)
    return at(picture_of(strip.viewport()), QPointF(chip.left() + 5, chip.center().y()))


def tint(theme, role: str, weight: float) -> np.ndarray:
    return rgb(mix(theme.color("ground"), theme.color(role), weight))


def move_to(strip: TokenStrip, point: QPoint) -> None:
    QTest.mouseMove(strip.viewport(), point)
    QApplication.processEvents()


# -- what a fill says -------------------------------------------------------------------------


def test_without_a_focus_tokens_are_plain(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))
    assert all(near(fill(shown, i), 255, 1) for i in range(4))
    assert shown.weights() is None


@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=lambda theme: theme.name)
def test_a_query_fills_the_tokens_by_its_attention(strip, theme):
    shown = strip(known_capture(ATTENTION, TOKENS), theme)
    shown.document.hover(query=0)
    for index, weight in enumerate((1.0, 0.2, 0.2, 0.6)):  # of the strongest
        assert near(fill(shown, index), tint(theme, "key", weight), 2)
    shown.document.hover(query=1, key=3)
    for index, weight in enumerate((1 / 7, 1 / 7, 1.0, 1 / 7)):
        assert near(fill(shown, index), tint(theme, "key", weight), 2)


def test_a_key_alone_fills_the_tokens_by_the_attention_they_pay_it(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))
    shown.document.hover(key=1)
    column = ATTENTION[:, 1] / ATTENTION[:, 1].max()
    for index in range(4):
        assert near(fill(shown, index), tint(LIGHT, "query", column[index]), 2)
    assert "attention to brown: 0.0100" in shown.tip(2)


def test_the_logarithmic_scale_is_that_of_the_options(strip):
    shown = strip(known_capture(ATTENTION, TOKENS), color_scale="logarithmic")
    shown.document.hover(query=2)
    place = (np.log10(ATTENTION[2]) + 2) / 2  # four keys: from 0.01 to 1
    for index in range(4):
        assert near(fill(shown, index), tint(LIGHT, "key", place[index]), 2)
    shown.document.set_options(color_scale="linear")
    assert near(fill(shown, 3), tint(LIGHT, "key", 5 / 90), 2)


def test_masked_tokens_are_plain_and_told_to_be_masked(strip):
    shown = strip(random_capture(6, causal=True))
    shown.document.hover(query=2)
    assert near(fill(shown, 4), 255, 1)
    assert not near(fill(shown, int(shown.document.picture.attention[2].argmax())), 255, 40)
    assert shown.tip(4).endswith("masked: no attention is allowed")
    image = picture_of(shown.viewport())
    darkest = [pixels(image.copy(shown.chip(i).toAlignedRect())).sum(axis=-1).min() for i in (1, 4)]
    assert darkest[0] < 60 < rgb(LIGHT.color("muted")).sum() <= darkest[1] + 20  # quiet letters


def test_the_chosen_query_and_key_are_outlined(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))

    def outlined(index: int, role: str) -> bool:
        image = picture_of(shown.viewport()).copy(shown.chip(index).toAlignedRect())
        return count(image, LIGHT.color(role)) > shown.chip(index).width()

    shown.document.hover(query=0, key=1)
    assert [outlined(i, "query") for i in range(4)] == [True, False, False, False]
    assert [outlined(i, "key") for i in (1, 2, 3)] == [True, False, False]
    shown.document.hover(query=2, key=2)
    assert outlined(2, "query")
    assert outlined(2, "key")


def test_watched_tokens_are_underlined_in_red(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))

    def underlined() -> list[bool]:
        image = picture_of(shown.viewport())
        return [
            count(image.copy(shown.chip(i).toAlignedRect()), LIGHT.color("watched")) > 15
            for i in range(4)
        ]

    assert underlined() == [False] * 4
    shown.document.watch([WatchedPair("brown", "cap")])
    assert underlined() == [False, True, True, False]


# -- the mouse --------------------------------------------------------------------------------


def test_hovering_chooses_a_query_and_leaving_ends_it(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))
    for index in (0, 2, 3):
        move_to(shown, middle(shown, index))
        assert shown.document.focus == Focus(query=index)
    assert near(fill(shown, 1), tint(LIGHT, "key", 1.0), 2)
    between = int((shown.chip(0).right() + shown.chip(1).left()) / 2)
    move_to(shown, QPoint(between, middle(shown, 0).y()))
    assert shown.document.focus.query in (0, 1)  # no flicker from chip to chip
    move_to(shown, QPoint(590, 5))
    assert not shown.document.focus


def test_a_click_pins_and_another_lets_go(strip, qtbot):
    shown = strip(known_capture(ATTENTION, TOKENS))
    left = Qt.MouseButton.LeftButton
    qtbot.mouseClick(shown.viewport(), left, pos=middle(shown, 1))
    assert shown.document.pinned == Focus(query=1)
    assert near(fill(shown, 2), tint(LIGHT, "key", 1.0), 2)
    qtbot.mouseClick(shown.viewport(), left, pos=QPoint(590, 5))
    assert shown.document.pinned == Focus(query=1)
    qtbot.mouseClick(shown.viewport(), left, pos=middle(shown, 1))
    assert not shown.document.pinned


@pytest.mark.qt_log_ignore("does not support raise", extend=True)
def test_each_token_has_a_tooltip(strip):
    shown = strip(random_capture(12), show_special=False)
    shown.document.pin(query=2)

    def hold(index: int) -> str:
        point = middle(shown, index)
        event = QHelpEvent(QHelpEvent.Type.ToolTip, point, shown.viewport().mapToGlobal(point))
        QApplication.sendEvent(shown.viewport(), event)
        text = QToolTip.text()
        QToolTip.hideText()
        return text

    token, position, attention = hold(4).splitlines()
    assert (token, position) == ("t5", "position 5")  # [CLS] is hidden and counts
    assert attention.startswith("attention from t3: 0.")


# -- rows -------------------------------------------------------------------------------------


def test_tokens_wrap_and_the_strip_takes_up_to_three_rows(strip):
    shown = strip(random_capture(12), width=900)
    assert shown.rows == 1
    height = shown.height()
    shown.box.resize(220, 200)
    QApplication.processEvents()
    assert shown.rows in (2, 3, 4)
    assert shown.height() >= height + shown.line
    assert all(shown.chip(i).right() <= shown.viewport().width() for i in range(12))


def test_five_hundred_tokens_scroll_and_the_right_one_is_chosen(strip, qtbot):
    shown = strip(random_capture(512), width=700)
    bar = shown.verticalScrollBar()
    assert shown.rows > 20
    assert bar.maximum() > 0
    assert shown.viewport().height() < (ROWS + 1) * shown.line
    bar.setValue(bar.maximum())
    assert shown.viewport().rect().contains(middle(shown, 511))
    qtbot.mouseClick(shown.viewport(), Qt.MouseButton.LeftButton, pos=middle(shown, 511))
    assert shown.document.pinned == Focus(query=511)
    top = picture_of(shown.viewport())
    bar.setValue(0)
    assert picture_of(shown.viewport()) != top


def test_what_is_pinned_elsewhere_comes_into_view_and_what_is_hovered_does_not(strip):
    shown = strip(random_capture(512), width=700)
    shown.document.hover(query=400, key=3)
    assert shown.verticalScrollBar().value() == 0
    shown.document.pin(query=400, key=3)
    assert shown.viewport().rect().contains(middle(shown, 400))


def test_two_thousand_tokens_then_one_then_hidden_special_tokens(strip):
    shown = strip(random_capture(2000, layers=1, heads=1))
    assert shown.rows > 100
    move_to(shown, middle(shown, 3))
    assert shown.document.focus == Focus(query=3)
    shown.document.open(random_capture(1))
    assert shown.rows == 1
    shown.document.pin(query=0)
    assert near(fill(shown, 0), tint(LIGHT, "key", 1.0), 2)
    shown.document.open(random_capture(12))
    shown.document.set_options(show_special=False)
    assert shown.rows == 1
    assert shown.tip(0).startswith("t1\n")


def test_long_and_japanese_tokens(strip):
    shown = strip(known_capture(ATTENTION, ["capybara" * 40, "カピバラ", "🦫", "two\nlines"]))
    assert shown.chip(0).width() < 300
    image = picture_of(shown.viewport()).copy(shown.chip(1).toAlignedRect())
    assert (pixels(image).max(axis=-1) < 100).sum() > 40


# -- nothing to show, themes, keyboard, names -------------------------------------------------


def test_without_a_text_it_says_a_quiet_sentence(strip, qtbot):
    shown = strip(None)
    image = picture_of(shown.viewport())
    assert count(image, LIGHT.color("muted"), 60) > 50
    qtbot.mouseClick(shown.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(20, 10))
    qtbot.keyClick(shown, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    move_to(shown, QPoint(30, 10))
    assert not shown.document.focus
    shown.document.open(known_capture(ATTENTION, TOKENS))
    assert near(fill(shown, 0), 255, 1)


def test_another_theme(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))
    shown.document.pin(query=1)
    shown.retheme(DARK)
    assert near(fill(shown, 0), tint(DARK, "key", 1 / 7), 2)
    assert near(at(picture_of(shown.viewport()), QPoint(590, 2)), rgb(DARK.color("window")), 0)


def test_shift_and_arrows_move_the_pinned_query(strip, qtbot):
    shown = strip(random_capture(512), width=700)
    shift = Qt.KeyboardModifier.ShiftModifier
    for key, wanted in (
        (Qt.Key.Key_Right, 0),
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_Left, 0),
        (Qt.Key.Key_Left, 0),
    ):
        qtbot.keyClick(shown, key, shift)
        assert shown.document.pinned == Focus(query=wanted)
    assert shown.accessibleDescription().startswith("[CLS]. position 0. attention from [CLS]: ")
    for _ in range(70):
        qtbot.keyClick(shown, Qt.Key.Key_Right, shift)
    assert shown.document.pinned == Focus(query=70)
    assert shown.viewport().rect().contains(middle(shown, 70))


def test_plain_arrows_are_left_to_the_window(strip, qtbot):
    class Window(QWidget):
        def __init__(self) -> None:
            super().__init__()
            self.keys = []

        def keyPressEvent(self, event) -> None:
            self.keys.append(event.key())

    window = Window()
    shown = strip(random_capture(512), width=700, parent=window)
    keys = [Qt.Key.Key_Left, Qt.Key.Key_Down, Qt.Key.Key_PageDown, Qt.Key.Key_Escape]
    for key in keys:
        qtbot.keyClick(shown, key)
    assert window.keys == keys
    assert shown.verticalScrollBar().value() == 0
    assert not shown.document.pinned


def test_names(strip):
    shown = strip(None)
    assert shown.objectName() == "token_strip"
    assert shown.accessibleName()
    assert shown.toolTip()


def test_a_stopped_strip_follows_no_longer(strip):
    shown = strip(known_capture(ATTENTION, TOKENS))
    shown.stop()
    rows, tokens = shown.rows, shown.tip(0)
    shown.document.open(random_capture(512))
    assert shown.rows == rows
    assert tokens.startswith("the")
