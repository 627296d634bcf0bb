"""Several heads shown as one in the window: chosen by ticks, told in words, left by the arrows."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication

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


def test_ticks_choose_and_maximum(qtbot, window):
    d = window.document
    layers, heads = child(window, "mean_layers"), child(window, "mean_heads")
    for box, rows in ((layers, (0, 2)), (heads, (1,))):
        for row in range(box.count()):
            on = Qt.CheckState.Checked if row in rows else Qt.CheckState.Unchecked
            box.item(row).setCheckState(on)
    child(window, "mean_how_maximum").click()
    child(window, "mean_show").click()
    shown(qtbot, window, "maximum of head 1 in 2 layers")
    expected = np.maximum(d.capture.head(0, 1).attention, d.capture.head(2, 1).attention)
    assert np.array_equal(d.picture.attention, expected)
    layers.item(1).setCheckState(Qt.CheckState.Checked)  # counts when Show is pressed
    child(window, "mean_how_mean").click()
    shown(qtbot, window, "mean of head 1 in 2 layers")


def test_nothing_ticked_is_said(window):
    heads = child(window, "mean_heads")
    for row in range(heads.count()):
        heads.item(row).setCheckState(Qt.CheckState.Unchecked)
    child(window, "mean_show").click()
    assert child(window, "mean_told").text() == "Choose at least one head."
    assert window.document.mix is None


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
def test_a_box_to_be_ticked_is_seen(qtbot, window, theme: str):
    window.set_theme(theme)
    box = child(window, "mean_layers")
    box.item(1).setCheckState(Qt.CheckState.Unchecked)
    image = box.viewport().grab(box.visualItemRect(box.item(1))).toImage()
    ground = window.theme.color("ground")
    row = image.height() // 2  # above it the box's edge alone, and the number at the right
    left = [image.pixelColor(x, row) for x in range(image.height())]
    assert max(contrast_of(color, ground) for color in left) > 1.7
