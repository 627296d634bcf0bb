"""What is shown holds for what is on show, whatever was clicked while it was computed."""

from __future__ import annotations

import pytest

from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened


@pytest.fixture
def still(qtbot):
    """A window on twelve random tokens, its measures there; no model runs."""
    for window in opened(qtbot, MainWindow(capture=random_capture(12, layers=2, heads=3))):
        qtbot.waitUntil(child(window, "compute_answers").isEnabled, timeout=LONG)
        yield window


def fit(qtbot, window, scope="head"):
    box = child(window, "fit_scope")
    box.setCurrentIndex(box.findData(scope))
    with qtbot.waitSignal(window.fitting.runner.stopped, timeout=LONG):
        window.fitting.fit()


def compute(qtbot, window):
    with qtbot.waitSignal(window.fitting.answerer.stopped, timeout=LONG):
        child(window, "compute_answers").click()


def test_a_move_while_answers_are_computed_leaves_them_to_be_asked_anew(qtbot, still):
    with qtbot.waitSignal(still.fitting.answerer.stopped, timeout=LONG):
        child(still, "compute_answers").click()
        still.document.move(t=0.3)
    assert [label.text() for label in still.honesty.answers[1:]] == ["press Compute"] * 2
    assert child(still, "compute_answers").isVisible()
    with qtbot.waitSignal(still.fitting.answerer.stopped, timeout=LONG):
        child(still, "compute_answers").click()
        still.document.show_head(1)
    layer, model = (label.text() for label in still.honesty.answers[1:])
    assert layer == "press Compute"
    assert model.endswith("of 6 heads)")


def test_answers_go_when_another_head_is_fitted(qtbot, still):
    fit(qtbot, still)
    compute(qtbot, still)
    sliders, model = still.document.sliders, still.honesty.answers[2]
    assert "heads)" in model.text()
    fit(qtbot, still, "all")
    assert still.document.sliders == sliders
    assert model.text() == "press Compute"
    compute(qtbot, still)
    words = model.text()
    still.document.show_head(0, 1)  # its own fit moves the sliders, and no head
    assert still.document.sliders != sliders
    assert model.text() == words


def test_what_a_fit_says_is_of_the_vectors_on_show(qtbot, still):
    line = child(still, "fit_line")
    with qtbot.waitSignal(still.fitting.runner.stopped, timeout=LONG):
        still.fitting.fit()
        still.document.set_options(show_special=False)
    assert "before" in line.text() and "Best" not in line.text()
    assert still.document.sliders.t == 0.0


def test_another_heads_own_fit_is_no_move_of_the_users(qtbot, still):
    fit(qtbot, still)
    still.document.show_head(0, 1)
    fit(qtbot, still)
    kept = still.document.sliders
    box = child(still, "fit_scope")
    box.setCurrentIndex(box.findData("all"))
    still.document.choose_objective("euclidean")
    with qtbot.waitSignal(still.fitting.runner.stopped, timeout=LONG):
        still.fitting.fit()
        still.document.show_head(0, 0)
    assert "meanwhile" not in child(still, "fit_line").text()
    found = still.document.fit_here
    assert found.objective == "euclidean"
    assert still.document.sliders.t == found.t != kept.t


def test_the_proof_names_its_text_once(qtbot):
    window = MainWindow(capture=random_capture(6, texts=2))
    qtbot.addWidget(window)
    window.show()
    window.document.set_options(together=True)
    proof = child(window, "proof")
    qtbot.waitUntil(lambda: "text 1" in proof.text(), timeout=LONG)
    assert proof.text().count("(text 1, under the a of all)") == 1
    window.close()
