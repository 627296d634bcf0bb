"""Several heads shown as one in the window: chosen one by one, told in words, left by arrows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QItemSelectionModel, QPoint, QSize, Qt
from PySide6.QtWidgets import QApplication

from attnviz_gui.export.caption import caption_of
from attnviz_gui.session.document import Document
from attnviz_gui.session.mix import Mix
from attnviz_gui.ui.explore.mean_head import MeanHeadPart, MeanPanel
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.views.catalogue import VIEWS
from attnviz_gui.ui.views.labels import contrast_of
from tests.samples import random_capture
from tests.ui.driving import LONG, child, opened


@pytest.fixture
def window(qtbot):
    capture = random_capture(8, layers=3, heads=4)
    for made in opened(qtbot, MainWindow(capture=capture)):
        part = next(part for part in made.parts if isinstance(part, MeanHeadPart))
        part.dock.open()
        yield made


def shown(qtbot, window, words: str) -> None:
    qtbot.waitUntil(
        lambda: window.document.picture.title == words and not window.document.pending,
        timeout=LONG,
    )


def test_a_layers_mean_and_the_way_back(qtbot, window):
    d = window.document
    d.show_head(1, 2)
    panel = child(window, "mean_head")
    qtbot.mouseClick(panel.quick[0], Qt.MouseButton.LeftButton)
    shown(qtbot, window, "mean of 4 heads of layer 1")
    expected = np.mean([d.capture.head(1, h).attention for h in range(4)], axis=0)
    assert np.allclose(d.picture.attention, expected, atol=1e-7)
    notice = child(window, "mix_notice")
    assert notice.isVisible() and "mean of 4 heads of layer 1" in notice.text()
    assert "back to L1 H2" in notice.text()
    assert "Attention  mean of 4 heads of layer 1" in window.heatmap.title()
    assert child(window, "mean_back").text() == "Back to L1 H2"
    notice.linkActivated.emit("back")
    assert d.picture.name == "L1 H2" and not notice.isVisible()
    assert not child(window, "mean_back").isEnabled()


def click(qtbot, matrix, layer: int, head: int) -> None:
    at = matrix.visualRect(matrix.heads.index(layer, head)).center()
    qtbot.mouseClick(matrix.viewport(), Qt.MouseButton.LeftButton, pos=at)


def test_any_heads_are_chosen_and_maximum(qtbot, window):
    d, matrix = window.document, child(window, "mean_heads")
    for place in ((2, 1), (0, 1), (1, 3), (1, 3)):  # clicked twice: let go of
        click(qtbot, matrix, *place)
    assert matrix.chosen == ((0, 1), (2, 1))
    assert child(window, "mean_told").text() == "2 chosen."
    child(window, "mean_how_maximum").click()
    child(window, "mean_show").click()
    shown(qtbot, window, "maximum of head 1 in 2 layers")
    expected = np.maximum(d.capture.head(0, 1).attention, d.capture.head(2, 1).attention)
    assert np.array_equal(d.picture.attention, expected)
    click(qtbot, matrix, 1, 3)  # counts when Show is pressed
    assert child(window, "mean_told").text().endswith("Arrow keys leave it. 3 chosen.")
    child(window, "mean_how_mean").click()
    shown(qtbot, window, "mean of head 1 in 2 layers")
    child(window, "mean_show").click()
    shown(qtbot, window, "mean of L0 H1, L1 H3, L2 H1")
    heads = [d.capture.head(*place).attention for place in ((0, 1), (1, 3), (2, 1))]
    assert np.allclose(d.picture.attention, np.mean(heads, axis=0), atol=1e-7)


def test_a_number_takes_its_row_or_column_and_keys_choose_too(qtbot, window):
    matrix = child(window, "mean_heads")
    down, across = matrix.verticalHeader(), matrix.horizontalHeader()

    def click_on(header, at: int) -> None:
        middle = header.sectionViewportPosition(at) + header.sectionSize(at) // 2
        spot = QPoint(middle, 5) if header is across else QPoint(5, middle)
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=spot)

    click_on(down, 1)
    assert matrix.chosen == tuple((1, head) for head in range(4))
    click_on(across, 2)
    assert set(matrix.chosen) == {(1, 0), (1, 1), (1, 2), (1, 3), (0, 2), (2, 2)}
    click_on(down, 1)  # all of it is chosen: let go of
    assert matrix.chosen == ((0, 2), (2, 2))
    matrix.setFocus()
    matrix.selectionModel().setCurrentIndex(
        matrix.heads.index(0, 2), QItemSelectionModel.SelectionFlag.NoUpdate
    )
    qtbot.keyClick(matrix, Qt.Key.Key_Right)
    qtbot.keyClick(matrix, Qt.Key.Key_Space)
    assert matrix.chosen == ((0, 2), (0, 3), (2, 2))
    assert window.document.mix is None
    panel = child(window, "mean_head")
    qtbot.mouseClick(panel.quick[3], Qt.MouseButton.LeftButton)
    assert matrix.chosen == ()


def test_layers_of_fewer_heads_and_another_capture(qtbot):
    """What is not there can't be chosen, and no choice is of another model."""
    capture = random_capture(6, layers=2, heads=4)
    few = replace(capture.layers[1], n_heads=2)
    record = capture.records[0][1]
    cut = replace(record, query=record.query[:2], key=record.key[:2], value=record.value[:2])
    capture = replace(
        capture, layers=(capture.layers[0], few), records=((capture.records[0][0], cut),)
    )
    document = Document()
    document.open(capture)
    panel = MeanPanel(document)
    qtbot.addWidget(panel)
    panel.resize(300, 260)
    with qtbot.waitExposed(panel):
        panel.show()
    click(qtbot, panel.matrix, 1, 3)
    assert panel.matrix.chosen == ()
    panel.take_all()
    assert panel.matrix.chosen == document.mix.places
    assert len(document.mix.places) == 6
    document.show_head(0, 3)
    panel.take_head()
    assert document.mix.places == ((0, 3),)
    document.open(random_capture(5, layers=2, heads=2))
    assert panel.matrix.chosen == ()
    assert "Choose heads" in panel.told.text()
    panel.stop()


def test_heads_that_somebody_else_shows_as_one_are_chosen_here(qtbot, window):
    d, matrix = window.document, child(window, "mean_heads")
    d.show_mix(Mix(((0, 3), (2, 0))))
    shown(qtbot, window, "mean of L0 H3, L2 H0")
    assert matrix.chosen == ((0, 3), (2, 0))
    assert child(window, "mean_told").toolTip() == "L0 H3; L2 H0"
    assert child(window, "mix_notice").toolTip() == "L0 H3; L2 H0"
    assert "L0 H3; L2 H0" in caption_of(d)


def test_nothing_chosen_is_said(window):
    child(window, "mean_show").click()
    assert child(window, "mean_told").text() == "Choose at least one head."
    assert window.document.mix is None


def test_the_way_back_is_readable_in_the_other_theme(window):
    window.set_theme("light")
    child(window, "mean_head").take_all()
    notice = child(window, "mix_notice")
    window.set_theme("dark")
    image = notice.grab().toImage()
    link = window.theme.color("query")
    colors = {image.pixel(x, y) for x in range(image.width()) for y in range(image.height())}
    assert link.rgb() in colors
    window.set_theme("light")


def test_arrows_leave_it(qtbot, window):
    window.document.show_head(1, 3)
    child(window, "mean_head").take_all()
    shown(qtbot, window, "mean of 12 heads of 3 layers")
    window.actions_.step(head=1)  # the last head: there is none after it, and it is shown again
    assert window.document.mix is None


def test_plane_and_scatter_say_why_they_rest_and_come_back(qtbot, window):
    d = window.document
    sentence = Mix(()).no_vectors
    before = window.embedding.grab().toImage()
    child(window, "mean_head").take_layer()
    shown(qtbot, window, "mean of 4 heads of layer 0")
    for view in (window.embedding, window.scatter):
        assert view.why_nothing() == sentence and not view.isEnabled()
        assert view.ci.opacity() == 0 and view.numbers() == ""
    assert window.heatmap.why_nothing() == "" and window.heatmap.isEnabled()
    assert window.embedding.grab().toImage() != before
    proof = child(window, "proof")
    assert proof.text() == "A mean of heads has no a and no c."
    window.honesty.show()
    answer = child(window, "answer_head")
    assert answer.text() == "a mean of heads has no queries and keys"
    assert child(window, "honesty_table").rowCount() == 0
    window.fitting.fit()
    assert child(window, "fit_line").text() == sentence
    assert not window.fitting.runner.running
    d.move(t=0.25)
    d.show_head(0, 0)
    assert window.embedding.why_nothing() == "" and window.embedding.isEnabled()
    assert window.embedding.ci.opacity() == 1
    d.move(t=0.0)
    QApplication.processEvents()


def test_a_figure_of_what_is_not_there_says_so(qtbot):
    document = Document()
    document.open(random_capture(8, layers=1, heads=4))
    document.show_mix(Mix(((0, 0), (0, 1))))
    for view in VIEWS:
        image = draw_figure(view, document, size=QSize(500, 400))
        inner = image.copy(30, 60, 440, 280)
        colours = {inner.pixel(x, y) for x in range(0, 440) for y in range(0, 280, 2)}
        assert len(colours) > 10  # the matrix, or a sentence
    described = next(v for v in VIEWS if v.name == "heatmap")(document, _paper())
    document.pin(2, 1)
    lines = described.describe(document.focus)
    assert lines[1].startswith("mean attention ") and len(lines) == 2


def _paper():
    from attnviz_gui.ui.theme import PAPER

    return PAPER


def test_the_panel_without_a_text(qtbot):
    panel = MeanPanel(Document())
    qtbot.addWidget(panel)
    assert not panel.show_button.isEnabled() and "Run a text" in panel.told.text()
    panel.stop()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_head_that_is_not_chosen_is_seen_and_told_from_one_that_is(qtbot, window, theme: str):
    window.set_theme(theme)
    matrix = child(window, "mean_heads")
    click(qtbot, matrix, 1, 2)
    ground = window.theme.color("ground")

    def middle(head: int) -> list:
        rect = matrix.visualRect(matrix.heads.index(1, head))
        image = matrix.viewport().grab(rect).toImage()
        return [image.pixelColor(x, image.height() // 2) for x in range(image.width())]

    chosen, other = middle(2), middle(1)
    assert max(contrast_of(color, ground) for color in other) > 1.7  # its edge
    assert contrast_of(other[len(other) // 2], ground) < 1.05
    assert contrast_of(chosen[len(chosen) // 2], ground) > 3
    assert contrast_of(chosen[0], ground) < 1.05  # a gap between it and the next
