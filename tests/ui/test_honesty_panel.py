"""The honesty panel: every measure with its change, the article's question, and nothing stale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QApplication

from attnviz_gui.geometry.honesty import MEASURES, Closer, measure
from attnviz_gui.session.document import Document
from attnviz_gui.session.words import number
from attnviz_gui.ui.panels.honesty_panel import (
    BETTER,
    COMPUTING,
    PRESS,
    QUESTION,
    WORSE,
    HonestyPanel,
)
from attnviz_gui.ui.style import dress
from attnviz_gui.ui.theme import DARK, LIGHT
from tests.samples import random_capture
from tests.ui.test_curve import Later
from tests.ui.test_scatter import pixels


@pytest.fixture
def make(qtbot):
    """Return a function that shows the panel of a capture, or of so many random tokens."""

    def show(sample=12, theme=LIGHT, size=(370, 400), offload=None, head=(0, 0), **sliders):
        document = Document()
        if sample:
            capture = random_capture(sample, layers=2) if isinstance(sample, int) else sample
            document.open(capture)
            document.show_head(*head)
            document.move(**sliders)
        panel = HonestyPanel(document, theme)
        if offload is not None:
            panel.offload = offload
        qtbot.addWidget(panel, before_close_func=lambda p: p.stop())
        panel.resize(*size)
        panel.show()
        qtbot.waitExposed(panel)
        QApplication.processEvents()
        return panel

    return show


def cells(panel) -> list[tuple[str, ...]]:
    table = panel.table
    return [
        tuple(table.item(row, column).text() for column in range(4))
        for row in range(table.rowCount())
    ]


def answers(*heads: tuple[float, float]) -> Closer:
    before, after = np.array(heads).T
    return Closer(before, after, before, after)


def test_every_measure_stands_in_the_table_before_and_after(make, capybara):
    panel = make(capybara, head=(0, 8), mode="constant", t=-0.74, scale=1.5)
    document = panel.document
    before = measure(document.picture.before)
    after = measure(document.frame)
    shown = cells(panel)
    assert len(shown) == len(MEASURES)
    for of, (name, first, last, sign) in zip(MEASURES, shown, strict=True):
        values = before[of.name], after[of.name]
        assert name == ("objective: cosine" if of.name == "objective" else of.title)
        for value, words in zip(values, (first, last), strict=True):
            assert words in (number(value), f"{number(100 * value)} %")
        assert first.endswith("%") == (of.range == (0.0, 1.0))
        if first == last:
            assert sign == "="
        else:
            better = (values[1] > values[0]) == (of.better == "higher")
            assert sign == ("▲" if better else "▼"), name
    signs = {sign for *_, sign in shown}
    assert {"▲", "▼"} <= signs  # this head has both


def test_the_question_is_answered_for_this_head(make, capybara):
    panel = make(capybara, head=(0, 8), mode="constant", t=-0.74, scale=1.5)
    d = panel.document
    first, last = (number(measure(f).line_length) for f in (d.picture.before, d.frame))
    assert panel.answers[0].text() == f"yes: {first} → {last}"
    assert [label.text() for label in panel.answers[1:]] == [PRESS, PRESS]
    d.move(t=0.0, scale=1.0)
    assert panel.answers[0].text() == f"no change: {first}"
    assert all(sign == "=" for *_, sign in cells(panel))


def test_colour_and_sign_say_better_and_worse(make, capybara):
    for theme in (LIGHT, DARK):
        panel = make(capybara, theme=theme, head=(0, 8), mode="constant", t=-0.74, scale=1.5)
        image = pixels(panel.table.viewport().grab().toImage()).reshape(-1, 3).astype(int)
        for row, (*_, sign) in enumerate(cells(panel)):
            wanted = {"▲": BETTER, "▼": WORSE}.get(sign)
            if wanted is not None:
                color = QColor(wanted[theme.name])
                assert panel.table.item(row, 3).foreground().color() == color
                apart = np.abs(image - np.array(color.getRgb()[:3])).max(axis=1)
                assert (apart < 12).sum() > 5
        assert panel.table.item(0, 3).data(Qt.ItemDataRole.AccessibleTextRole) in (
            "better", "worse", "same",
        )  # fmt: skip


def test_every_row_tells_its_definition_and_its_source(make):
    panel = make(12, t=0.3)
    for row, of in enumerate(MEASURES):
        tip = panel.table.item(row, 0).toolTip()
        assert of.sentence in tip and f"{of.better.capitalize()} is better." in tip
        assert "Source: " in tip
        if of.name != "objective":
            assert of.source in tip


def test_a_collapse_is_named_and_only_then(make, capybara):
    panel = make(capybara, head=(0, 3), mode="constant", t=2.5)
    assert panel.measured.after.collapsed
    assert "Collapse" in panel.collapse.text() and panel.collapse.isVisible()
    assert number(panel.measured.after.collapse, 2) in panel.collapse.text()
    panel.document.move(t=0.0)
    assert not panel.collapse.isVisible()


def test_in_a_drag_the_numbers_stay_with_a_mark(make):
    panel = make(12, mode="centroid", t=0.2)
    before = cells(panel)
    panel.document.begin_drag()
    panel.document.move(t=0.9)
    assert cells(panel) == before
    assert panel.table.horizontalHeaderItem(2).text() == "after …"
    assert panel.answers[0].text().endswith(" …")
    panel.document.end_drag()
    assert cells(panel) != before
    assert panel.table.horizontalHeaderItem(2).text() == "after"
    assert not panel.answers[0].text().endswith("…")


def test_answers_that_come_too_late_are_dropped(make):
    later = Later()
    panel = make(12, offload=later, t=0.2)
    assert panel.waiting
    panel.document.move(t=0.5)
    panel.document.show_head(head=1)
    assert len(later.asked) == 3
    later.answer(0)
    later.answer(1)
    assert panel.measured is None and panel.waiting
    later.answer(2)
    assert panel.measured.picture is panel.document.picture and not panel.waiting
    # Back to where it was before the answer came: the numbers on show are right again.
    panel.document.move(t=0.7)
    panel.document.begin_drag()
    later.answer()
    assert panel.table.horizontalHeaderItem(2).text() == "after …"


def test_a_hidden_panel_measures_nothing(make):
    later = Later()
    panel = make(12, offload=later)
    panel.hide()
    asked = len(later.asked)
    panel.document.show_head(head=1)
    assert len(later.asked) == asked
    panel.show()
    assert len(later.asked) == asked + 1


def test_the_objective_s_row_follows_the_objective(make):
    panel = make(12, t=0.2)
    panel.document.choose_objective("rank")
    frame = panel.document.frame
    assert cells(panel)[0][0] == "objective: rank"
    assert cells(panel)[0][2] == number(measure(frame, "rank").objective)


def test_compute_asks_and_the_answers_of_layer_and_model_are_shown(qtbot, make):
    panel = make(12, t=0.2)
    with qtbot.waitSignal(panel.answers_wanted):
        qtbot.mouseClick(panel.compute, Qt.MouseButton.LeftButton)
    assert [label.text() for label in panel.answers[1:]] == [COMPUTING, COMPUTING]
    layer = answers((0.9, 0.6), (0.8, 0.7), (0.7, 0.8))
    panel.show_answers(layer, answers((0.5, 0.9), (0.6, 0.7)))
    assert panel.answers[1].text() == "yes: 0.800 → 0.700 (2 of 3 heads)"
    assert panel.answers[2].text() == "no: 0.550 → 0.800 (0 of 2 heads)"
    assert BETTER["light"] in panel.answers[1].styleSheet()
    assert WORSE["light"] in panel.answers[2].styleSheet()
    assert not panel.compute.isVisible()  # nothing is left to ask
    panel.document.show_head(layer=1)
    assert panel.answers[1].text() == PRESS and panel.answers[2].text().startswith("no")
    assert panel.compute.isVisible()
    panel.document.move(t=0.4)
    assert panel.answers[2].text() == PRESS
    panel.show_answers(layer, layer)
    panel.document.open(random_capture(12, seed=3))
    assert [label.text() for label in panel.answers[1:]] == [PRESS, PRESS]


def test_one_token_says_what_is_undefined_and_why(make):
    panel = make(1)
    shown = {name: (first, last) for name, first, last, _ in cells(panel)}
    assert shown["objective: cosine"] == ("—", "—")
    assert "Undefined: fewer than two pairs" in panel.table.item(0, 1).toolTip()
    assert not any("nan" in cell for row in cells(panel) for cell in row)
    assert math.isnan(panel.measured.after.objective)


def test_without_a_picture_it_is_empty_and_says_so(make):
    panel = make(0)
    assert cells(panel) == []
    assert not panel.compute.isEnabled() and not panel.copy_button.isEnabled()
    assert panel.answers[0].text() == "no picture yet"


def test_copied_text_is_the_table_tab_separated(qtbot, make):
    panel = make(12, t=0.2)
    with qtbot.waitSignal(panel.copied):
        qtbot.mouseClick(panel.copy_button, Qt.MouseButton.LeftButton)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == QUESTION
    table = lines[lines.index("measure\tbefore\tafter\tchange") + 1 :]
    assert [line.split("\t")[:3] for line in table[: len(MEASURES)]] == [
        [name, first, last] for name, first, last, _ in cells(panel)
    ]
    assert "L0 H0, a = 0.200, c = 1" in lines
    QGuiApplication.clipboard().clear()
    (action,) = panel.actions()  # of the context menu
    action.trigger()
    assert QGuiApplication.clipboard().text().splitlines() == lines


def test_dark_is_readable(make, qapp):
    before = qapp.styleSheet(), qapp.palette(), qapp.font()
    try:
        dress(qapp, DARK)
        panel = make(12, theme=DARK, t=0.2)
        image = pixels(panel.grab().toImage())
        assert np.median(image.reshape(-1, 3), axis=0).max() < 60
        assert (image.min(axis=2) > 180).sum() > 200  # light text
        panel.set_theme(LIGHT)
        assert BETTER["light"] in panel.legend.text()
    finally:
        qapp.setStyleSheet(before[0])
        qapp.setPalette(before[1])
        qapp.setFont(before[2])


def test_stop_follows_no_longer(make):
    panel = make(12, t=0.2)
    before = cells(panel)
    panel.stop()
    panel.document.move(t=0.9)
    panel.document.show_head(head=1)
    assert cells(panel) == before


def test_beside_all_texts_it_says_which_one_is_measured(make):
    panel = make(random_capture(6, texts=3))
    assert panel.question.text() == QUESTION
    panel.document.set_options(together=True)
    panel.document.show_head(text=2)
    assert panel.question.text() == f"{QUESTION} (text 3)"
