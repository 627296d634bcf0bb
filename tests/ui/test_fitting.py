"""Fits in the window: one head or many, kept, listed, cancelled; and the article's question."""

from __future__ import annotations

import re

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QComboBox, QLabel

from attnviz_gui.geometry.fit import fit
from attnviz_gui.session.words import number
from attnviz_gui.ui.dialogs.fits_table import COLUMNS, FitsTable
from attnviz_gui.ui.main_window import MainWindow
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened


@pytest.fixture
def window(qtbot):
    yield from opened(qtbot, MainWindow(capture=random_capture(12, layers=2, heads=3)))


def choose(window: MainWindow, name: str, value: str) -> None:
    box = child(window, name)
    assert isinstance(box, QComboBox)
    box.setCurrentIndex(box.findData(value))


def press_fit(qtbot, window: MainWindow) -> None:
    qtbot.mouseClick(child(window, "fit_button"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not window.fitting.runner.running, timeout=LONG)


def line(window: MainWindow) -> str:
    label = child(window, "fit_line")
    assert isinstance(label, QLabel)
    return label.text()


def link(window: MainWindow) -> str:
    """What the fit's line offers to click on; empty where that is nothing."""
    found = re.search(r'href="([^"]*)"', line(window))
    return found[1] if found else ""


def follow_link(qtbot, window: MainWindow) -> None:
    window.normalization_panel.fitted.linkActivated.emit(link(window))
    qtbot.waitUntil(lambda: not window.fitting.runner.running, timeout=LONG)


def test_fit_moves_the_sliders_to_the_best(qtbot, window):
    press_fit(qtbot, window)
    best = fit(window.document.picture.source)
    assert window.document.sliders.t == best.t
    assert "Best a = " in line(window)
    assert f"{best.value:.3f}"[:4] in line(window)


@pytest.mark.parametrize("objective", ["cosine", "rank", "euclidean", "plane", "neighbours"])
def test_every_objective_is_fitted_where_c_matters_with_c(qtbot, window, objective):
    choose(window, "objective_select", objective)
    assert window.document.objective == objective
    press_fit(qtbot, window)
    kept = window.document.fit_here
    assert kept.objective == objective
    assert kept.value >= kept.before - 1e-12
    s = window.document.sliders
    assert (s.t, s.scale) == (kept.t, kept.scale)
    if objective in ("cosine", "rank"):
        assert s.scale == 1


def test_too_few_near_pairs_are_said_and_nothing_moves(qtbot, window):
    window.document.move(t=0.25)
    choose(window, "objective_select", "weighted")
    press_fit(qtbot, window)
    assert "30" in line(window)
    assert window.document.sliders.t == 0.25


def test_each_head_keeps_its_own_and_the_table_lists_them(qtbot, window):
    choose(window, "fit_scope", "all")
    press_fit(qtbot, window)
    d = window.document
    for layer in range(2):
        for head in range(3):
            d.show_head(layer, head)
            assert d.sliders.t == fit(d.picture.source).t
    qtbot.mouseClick(child(window, "fits_button"), Qt.MouseButton.LeftButton)
    table = window.findChild(FitsTable)
    assert table.table.rowCount() == 6
    values = [float(row.split("\t")[8]) for row in table.text().splitlines()[1:]]
    table.table.sortByColumn(8, Qt.SortOrder.DescendingOrder)
    ordered = [float(row.split("\t")[8]) for row in table.text().splitlines()[1:]]
    assert ordered == sorted(values, reverse=True)
    table.copy_button.click()
    copied = QGuiApplication.clipboard().text().splitlines()
    assert copied[0].split("\t") == [name for name, _ in COLUMNS]
    assert len(copied) == 7
    first = copied[1].split("\t")
    table.table.cellDoubleClicked.emit(0, 3)
    assert (d.layer, d.head) == (int(first[0]), int(first[1]))
    assert d.sliders.t == float(first[5])
    table.close()


def test_one_table_only_which_follows_and_ends(qtbot, window):
    window.fitting.show_table()
    table = window.findChild(FitsTable)
    assert "No head has been fitted" in table.about.text()
    window.fitting.show_table()
    assert len(window.findChildren(FitsTable)) == 1
    press_fit(qtbot, window)
    assert table.table.rowCount() == 1
    window.document.open(random_capture(5))
    assert table.table.rowCount() == 0
    table.close()


def test_the_layer_as_one_shares_one_a(qtbot, window):
    choose(window, "fit_scope", "layer together")
    press_fit(qtbot, window)
    d = window.document
    own = {fit_.t for _, fit_ in d.fits}
    assert len(own) == 1 and len(d.fits) == 3
    assert "One for 3 heads" in line(window)


def test_the_article_takes_the_layer_and_says_why_its_c_is_arbitrary(qtbot, window):
    choose(window, "objective_select", "article")
    assert "arbitrary" in child(window, "about_scale").text()
    press_fit(qtbot, window)
    d = window.document
    assert len(d.fits) == 3
    grid = np.linspace(-0.5, 0.5, 10)
    assert min(abs(grid - d.sliders.t)) < 1e-12
    assert d.sliders.scale == 1


def test_an_edge_is_said_and_a_wider_range_is_one_click_away(qtbot, window, capybara):
    d = window.document
    d.open(capybara)
    press_fit(qtbot, window)
    assert d.fit_here.edges == ("t",)
    assert "Widen and fit again" in line(window)
    before, reach = d.fit_here, window.normalization_panel.shift.reach
    follow_link(qtbot, window)
    assert window.normalization_panel.shift.reach == pytest.approx(2 * reach)
    assert d.fit_here.value >= before.value


def test_a_c_at_the_end_of_its_range_is_said_and_widened(qtbot, window, capybara):
    d = window.document
    d.open(capybara)
    d.show_head(layer=2, head=5)
    choose(window, "shift_mode", "locked")
    choose(window, "objective_select", "euclidean")
    panel, fits = window.normalization_panel, []
    for reach in (10, 100, 1000):
        press_fit(qtbot, window) if reach == 10 else follow_link(qtbot, window)
        assert panel.scale.reach == pytest.approx(reach)
        fits.append(d.fit_here)
        assert fits[-1].edges == ("c",)
        assert "end of the range" in line(window)
        assert fits[-1].scale == d.sliders.scale == panel.scale.value
    assert not link(window)  # there is no more
    assert not child(window, "widen_scale_button").isEnabled()
    assert fits[0].value < fits[1].value <= fits[2].value
    assert d.picture.attention_difference(d.frame) < 1e-5
    child(window, "reset_button").click()
    assert panel.scale.reach == pytest.approx(10)


def test_cancel_keeps_what_was_there(qtbot):
    windows = opened(qtbot, MainWindow(capture=random_capture(200, layers=2, heads=6)))
    window = next(windows)
    choose(window, "objective_select", "plane")
    choose(window, "fit_scope", "all")
    button = child(window, "fit_button")
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert button.text() == "Cancel"
    qtbot.waitUntil(lambda: child(window, "fit_progress").value() > 0, timeout=LONG)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert button.text() == "Fit"
    assert "cancelled" in line(window)
    assert len(window.document.fits) == 0
    qtbot.waitUntil(lambda: not window.fitting.runner.running, timeout=LONG)
    next(windows, None)


def test_moved_sliders_stay_where_they_were_moved(qtbot, window):
    window.fitting.fit()
    window.document.move(t=0.125)
    qtbot.waitUntil(lambda: not window.fitting.runner.running, timeout=LONG)
    assert window.document.sliders.t == 0.125
    assert "moved meanwhile" in line(window)
    assert window.document.fit_here is not None


def test_all_texts_are_offered_only_where_there_are_several(qtbot, window):
    assert not child(window, "fit_all_texts").isVisible()
    window.document.open(random_capture(7, texts=3))
    box = child(window, "fit_all_texts")
    assert box.isVisible()
    box.click()
    press_fit(qtbot, window)
    d = window.document
    t = d.sliders.t
    d.move(t=0.0)
    d.show_head(text=2)
    assert d.sliders.t == t
    assert t == fit([d.capture.head(0, 0, text) for text in range(3)]).t


def test_layer_and_model_answer_the_question(qtbot, window):
    choose(window, "shift_mode", "centroid")
    compute = child(window, "compute_answers")
    qtbot.waitUntil(lambda: "→" in child(window, "answer_head").text(), timeout=LONG)
    qtbot.waitUntil(lambda: compute.isEnabled() and not window.honesty.waiting, timeout=LONG)
    qtbot.mouseClick(compute, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "→" in child(window, "answer_model").text(), timeout=LONG)
    assert "3 heads" in child(window, "answer_layer").text()
    assert "6 heads" in child(window, "answer_model").text()
    assert "→" in child(window, "answer_head").text()


@pytest.mark.parametrize("name", ["places.csv", "places.npz"])
def test_all_heads_are_written_in_one_plane(qtbot, window, tmp_path, name):
    choose(window, "fit_scope", "all")
    press_fit(qtbot, window)
    with qtbot.waitSignal(window.files.placed, timeout=LONG):
        window.actions_.place_to(tmp_path / name)
    assert "6 heads written" in window.statusBar().currentMessage()
    if name.endswith("csv"):
        rows = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1 + 6 * 12 * 2
    else:
        with np.load(tmp_path / name) as arrays:
            assert len(arrays["x"]) == 6 * 12 * 2


def test_places_that_cannot_be_written_are_said(qtbot, window, tmp_path):
    with qtbot.waitSignal(window.files.failed, timeout=LONG):
        window.actions_.place_to(tmp_path / "places.txt")
    assert ".csv or .npz" in window.banner.sentence


def test_with_all_texts_on_show_a_fit_is_of_all_of_them(qtbot, window):
    d = window.document
    d.open(random_capture(7, texts=3))
    box = child(window, "fit_all_texts")
    d.set_options(together=True)
    qtbot.waitUntil(lambda: d.corpus is not None, timeout=LONG)
    assert box.isChecked() and not box.isEnabled()
    choose(window, "shift_mode", "centroid")
    press_fit(qtbot, window)
    assert d.fit_here.value == pytest.approx(-d.corpus_frame.correlation, abs=1e-9)
    curve = window.normalization_panel.curve
    qtbot.waitUntil(lambda: not curve.stale and "of all texts" in curve.title(), timeout=LONG)
    qtbot.waitUntil(lambda: "≈" not in curve.title(), timeout=LONG)
    assert number(d.fit_here.value) in curve.title()
    shared = d.frame.shift
    d.show_head(text=2)
    assert np.array_equal(d.frame.shift, shared)
    d.set_options(together=False)
    assert box.isEnabled() and d.fit_here is None  # one text has means of its own


def test_a_fit_of_all_texts_by_their_means_says_where_it_can_be_seen(qtbot, window):
    d = window.document
    d.open(random_capture(7, texts=3))
    child(window, "fit_all_texts").click()
    choose(window, "shift_mode", "centroid")
    before = d.sliders
    press_fit(qtbot, window)
    assert "Show all texts together" in line(window) and d.sliders == before


def test_another_capture_ends_the_answers_of_the_last_one(qtbot, window):
    compute = child(window, "compute_answers")
    qtbot.waitUntil(lambda: compute.isEnabled() and not window.honesty.waiting, timeout=LONG)
    window.document.open(random_capture(220, layers=3, heads=6))
    window.fitting.answer()
    assert window.fitting.answerer.running
    window.document.open(random_capture(6))
    assert not window.fitting.answerer.running
    assert not window.honesty.answered


def test_a_list_of_shifts_is_not_offered_to_be_widened(qtbot, capybara):
    for window in opened(qtbot, MainWindow(capture=capybara)):
        choose(window, "objective_select", "article")
        press_fit(qtbot, window)
        assert window.document.fit_here.edges == ("t",)
        assert "end of the range" in line(window)
        assert "widen" not in line(window)
