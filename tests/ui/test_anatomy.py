"""The anatomy view: which matrices it draws, what lights up, what a click and a hover tell."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

import attnviz_gui
from attnviz_gui.capture.anatomy.dissect import dissect, worked_example
from attnviz_gui.capture.anatomy.record import Axis, Matrix
from attnviz_gui.errors import InputError
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.anatomy.colors import (
    colors_of,
    image_of,
    masked_color,
    pooled,
    prepare,
    signed_colors,
)
from attnviz_gui.ui.views.anatomy.flow import TALL
from attnviz_gui.ui.views.anatomy.paint import short_number, shown
from attnviz_gui.ui.views.anatomy.view import COMPUTING, NO_MODEL, AnatomyView
from tests.samples import random_capture
from tests.ui.known import at, count, near, picture_of, pixels, rgb

TOKENS = ["The", "brown", "cat", "sleeps", "."]


@functools.cache
def example():
    module, x = worked_example()
    return attnviz_gui.capture(module, (x,), tokens=TOKENS)


def dissected(picture):
    return dissect(picture.capture, picture.layer, picture.head, picture.text)


@pytest.fixture
def anatomy(qtbot):
    """Make an anatomy view of a capture (None: of nothing) and show it."""
    views = []

    def make(capture=None, theme=LIGHT, size=(1280, 800), dissect=dissected, show=True, **head):
        document = Document()
        if capture is not None:
            document.open(capture)
            document.show_head(**head)
        view = AnatomyView(document, theme)
        view.dissect = dissect
        views.append(view)
        qtbot.addWidget(view)
        view.resize(*size)
        view.start()
        if show:
            with qtbot.waitExposed(view):
                view.show()
        return view

    yield make
    for view in views:
        view.stop()


def boxes(view) -> dict:
    """The matrices on the sheet by name; of those that have one, the last."""
    flow = view.sheet.canvas.flow
    return {box.prepared.matrix.name: box for block in flow.blocks for box in block.boxes}


def cell(view, name: str, row: int, column: int) -> QPointF:
    box = boxes(view)[name]
    rows, columns = box.prepared.matrix.values.shape
    area = box.area
    x = area.left() + (column + 0.5) * area.width() / columns
    return QPointF(x, area.top() + (row + 0.5) * area.height() / rows)


def hover(view, name: str, row: int, column: int) -> None:
    canvas = view.sheet.canvas
    QTest.mouseMove(canvas, cell(view, name, row, column).toPoint())
    QApplication.processEvents()


# -- what is drawn ---------------------------------------------------------------------------


def test_the_worked_example_shows_every_matrix_with_its_shape(anatomy):
    view = anatomy(example(), head=1)
    shapes = {name: box.prepared.matrix.shape for name, box in boxes(view).items()}
    assert shapes == {
        "X": "5 × 4", "W": "12 × 4", "Q | K | V": "5 × 12", "q1": "5 × 2", "k1": "5 × 2",
        "v1": "5 × 2", "L1": "5 × 5", "A1": "5 × 5", "head1": "5 × 2", "C": "5 × 4",
        "WO": "4 × 4", "Y": "5 × 4",
    }  # fmt: skip
    view.show_page("paper")
    assert {"W0Q", "W1Q", "W0K", "W1V", "Q0", "Q1", "A0", "A1", "head0", "head1", "WO"} <= set(
        boxes(view)
    )
    assert all(box.numbers for box in boxes(view).values())


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_cells_have_the_colours_of_their_values(anatomy, theme):
    view = anatomy(example(), theme)
    image = picture_of(view.sheet.canvas)
    x = boxes(view)["X"]
    values = x.prepared.matrix.values
    table = signed_colors(theme).astype(int)
    wanted = table[np.rint((values / np.abs(values).max() + 1) / 2 * 254).astype(int)]
    # In a corner of the cell, where no digit is.
    found = [
        [at(image, cell(view, "X", i, j) + QPointF(-24, -6)) for j in range(4)] for i in range(5)
    ]
    assert near(found, wanted)
    # Zero is the ground's neighbour; both ends are far from it and from each other.
    assert near(table[127], rgb(theme.color("ground")), 24)
    assert np.abs(table[0] - table[254]).max() > 20


def test_numbers_stand_in_small_matrices_and_not_in_large_ones(anatomy, capybara):
    small, large = anatomy(example()), anatomy(capybara, layer=1, head=7)
    assert boxes(small)["W"].numbers
    assert not any(box.numbers for box in boxes(large).values())
    area = boxes(small)["A0"].area.toAlignedRect()
    ink = count(picture_of(small.sheet.canvas).copy(area), QColor("#FFFFFF"), 60)
    assert ink > 100


def test_steps_do_not_overlap_and_stay_inside(anatomy, capybara):
    for size in ((1280, 800), (500, 350), (1900, 1000)):
        for capture in (example(), capybara):
            view = anatomy(capture, size=size)
            for page in ("stacked", "paper"):
                view.show_page(page)
                areas = [box.area for box in boxes(view).values()]
                canvas = view.sheet.canvas.rect()
                for i, one in enumerate(areas):
                    assert canvas.contains(one.toAlignedRect())
                    assert not any(one.intersects(other) for other in areas[i + 1 :])


def test_what_fits_is_not_scrolled(anatomy, capybara):
    view = anatomy(capybara, size=(1700, 1000))
    assert view.sheet.canvas.size() == view.sheet.viewport().size()
    assert boxes(view)["A0"].area.height() > TALL


def test_long_texts_are_pooled_and_few_tokens_are_named(anatomy):
    view = anatomy(random_capture(512, head_dim=64))
    assert boxes(view)["A0"].area.height() < 300
    assert boxes(view)["A0"].label_columns == 0
    assert "512 × 512" in {box.prepared.matrix.shape for box in boxes(view).values()}
    area = boxes(view)["A0"].area.toAlignedRect()
    drawn = pixels(picture_of(view.sheet.canvas).copy(area))
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 20


def test_without_projections_it_says_where_it_begins(anatomy):
    view = anatomy(random_capture(6))
    assert "begins at q, k and v" in view.sheet.canvas.flow.note
    assert set(boxes(view)) == {"q0", "k0", "v0", "L0", "A0", "head0", "C"}
    view.show_page("equality")
    assert "not two ways" in view.equality.verdict.text()
    assert not view.equality.code.isVisible()


# -- following the document ------------------------------------------------------------------


def test_nothing_is_computed_while_it_cannot_be_seen(anatomy, qtbot):
    asked = []

    def noted(picture):
        asked.append((picture.layer, picture.head))
        return dissected(picture)

    view = anatomy(random_capture(5), dissect=noted, show=False)
    view.document.show_head(1, 1)
    assert asked == []
    with qtbot.waitExposed(view):
        view.show()
    assert asked == [(1, 1)]
    view.hide()
    view.document.show_head(0, 0)
    view.show()
    assert asked == [(1, 1), (0, 0)]
    view.document.set_options(show_special=False)
    assert asked == [(1, 1), (0, 0)]  # the same head
    view.stop()
    view.document.show_head(1, 0)
    assert asked == [(1, 1), (0, 0)]


def test_a_late_result_of_another_head_is_dropped(anatomy):
    view = anatomy(random_capture(5))
    late = []
    view.offload = lambda work, then: late.append((work, then))
    view.document.show_head(1, 1)
    view.document.show_head(0, 2)
    assert "A0" in boxes(view)  # the last complete picture stays
    for work, then in reversed(late):
        then(work())
    assert "A2" in boxes(view)
    assert view.ready.anatomy.name == "layer.0"


def test_sentences_stand_where_steps_cannot(anatomy):
    view = anatomy()
    assert view.sheet.sentence == "Type a text and press Run."
    view.say_running(True)
    assert "being loaded" in view.sheet.sentence
    assert anatomy(random_capture(5), dissect=None).sheet.sentence == NO_MODEL

    def refuse(picture):
        raise InputError("The model has gone; run it again.")

    view = anatomy(random_capture(5), dissect=refuse)
    assert view.sheet.sentence == "The model has gone; run it again."
    waiting = anatomy(random_capture(5), show=False)
    waiting.offload = lambda work, then: None
    waiting.show()
    assert waiting.sheet.sentence == COMPUTING
    ground = rgb(LIGHT.color("ground"))
    assert (np.abs(pixels(picture_of(waiting.sheet.viewport())) - ground).max(axis=-1) > 60).any()


def test_the_chosen_token_is_framed_in_every_step(anatomy):
    view = anatomy(example())
    before = picture_of(view.sheet.canvas)
    view.document.pin(query=1)
    after = picture_of(view.sheet.canvas)
    blue = LIGHT.color("query")
    for name in ("X", "Q | K | V", "q0", "k0", "v0", "L0", "A0", "head0", "C", "Y"):
        area = boxes(view)[name].area.toAlignedRect().adjusted(-4, -4, 4, 4)
        assert count(after.copy(area), blue) - count(before.copy(area), blue) > 60, name
    for name in ("W", "WO"):
        area = boxes(view)[name].area.toAlignedRect()
        assert before.copy(area) == after.copy(area)


def test_hidden_special_tokens_keep_rows_and_tokens_together(anatomy, capybara):
    view = anatomy(capybara)
    view.document.set_options(show_special=False)
    view.document.pin(query=0)
    token = view.document.picture.query_tokens[0]
    lit = view.sheet.canvas.painter.query
    assert boxes(view)["X"].prepared.matrix.rows.names[lit] == token != "[CLS]"
    view.document.clear_focus()
    view._on_pointed(Focus(0, None))  # [CLS] is not among the tokens that others show
    assert not view.document.focus


# -- the mouse -------------------------------------------------------------------------------


def test_a_hover_tells_value_row_and_column(anatomy):
    view = anatomy(example(), head=1)
    hover(view, "Q | K | V", 1, 7)
    said = view.sheet.readout.lines
    value = boxes(view)["Q | K | V"].prepared.matrix.values[1, 7]
    assert said[0] == "Q | K | V  brown, K head 1 · 1"
    assert said[1] == f"{value:.3f}".replace("-", "−") or said[1].startswith(("−1.38", "−1.39"))
    assert view.document.focus == Focus(1, None)
    hover(view, "A1", 0, 3)
    assert view.sheet.readout.lines[0] == "A1  The → sleeps"
    assert view.sheet.readout.lines[1] == "0.2845"
    assert view.document.focus == Focus(0, 3)
    hover(view, "W", 4, 0)
    assert view.document.focus == Focus()
    QTest.mouseMove(view.sheet.canvas, QPoint(2, 2))
    QApplication.processEvents()
    assert not view.sheet.readout.isVisible()


def test_a_click_on_a_token_keeps_its_row_lit(anatomy):
    view = anatomy(example())
    area = boxes(view)["X"].area
    place = QPointF(area.left() - 12, area.top() + 2.5 * area.height() / 5).toPoint()
    QTest.mouseClick(view.sheet.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert view.document.pinned == Focus(2, None)


def test_a_click_on_a_matrix_opens_its_numbers(anatomy, capybara):
    view = anatomy(capybara, layer=1, head=7)
    view.document.pin(query=2)
    place = cell(view, "Q | K | V", 2, 5).toPoint()
    QTest.mouseClick(view.sheet.canvas, Qt.MouseButton.LeftButton, pos=place)
    assert view.stack.currentWidget() is view.table
    model = view.table.table.model()
    assert (model.rowCount(), model.columnCount()) == (11, 1152)
    values = view.table.prepared.matrix.values
    assert model.data(model.index(2, 600)) == short_number(float(values[2, 600]))
    assert model.headerData(2, Qt.Orientation.Vertical) == "brown"
    assert model.headerData(384 + 7 * 32, Qt.Orientation.Horizontal) == "K head 7 · 0"
    assert count(picture_of(view.table), LIGHT.color("query")) > 800  # two lines along the row
    view.table.copy_button.click()
    lines = QGuiApplication.clipboard().text().split("\n")
    copied = np.array([[float(n) for n in line.split("\t")] for line in lines])
    np.testing.assert_allclose(copied, values, rtol=1e-5)
    QTest.keyClick(view.table.table, Qt.Key.Key_Escape)
    assert view.stack.currentWidget() is view.sheet


def test_masked_pairs_are_grey_in_logits_and_attention(anatomy):
    view = anatomy(random_capture(9, causal=True))
    image = picture_of(view.sheet.canvas)
    for name in ("L0", "A0"):
        assert near(at(image, cell(view, name, 2, 6)), rgb(masked_color(LIGHT)), 2)
        assert not near(at(image, cell(view, name, 6, 2)), rgb(masked_color(LIGHT)), 2)
        hover(view, name, 2, 6)
        assert view.sheet.readout.lines[1] == "masked: attention is not allowed"
    view._open(boxes(view)["A0"].prepared)
    model = view.table.table.model()
    shade = model.data(model.index(2, 6), Qt.ItemDataRole.BackgroundRole)
    assert near(rgb(shade), rgb(masked_color(LIGHT)), 0)
    assert model.data(model.index(2, 6)) == "0"


def test_the_check_is_copied(anatomy):
    view = anatomy(example(), size=(700, 500))
    view.buttons["equality"].click()
    assert view.stack.currentWidget() is view.equality
    assert view.equality.verdict.text().startswith("✓")
    assert view.equality.grid.count() == 12
    view.equality.copy_button.click()
    names = dict(zip(("mha", "X"), (worked_example()[0], worked_example()[1][0]), strict=True))
    body, _, last = QGuiApplication.clipboard().text().partition("torch.allclose(")
    exec(body, names)
    assert eval("torch.allclose(" + last, names)


def test_title_and_numbers(anatomy):
    view = anatomy(example(), head=1)
    assert view.title() == "How L0 H1 is computed"
    assert "both ways equal to" in view.numbers()
    assert anatomy().title() == "How it is computed"


# -- on paper, colours, numbers --------------------------------------------------------------


def test_the_picture_for_paper_is_whole_and_white(anatomy):
    view = anatomy(example(), DARK, size=(500, 350))
    view.document.pin(query=1)
    image = view.picture(scale=1.0)
    assert image.width() >= 1100
    assert near(rgb(image.pixelColor(1, 1)), [255, 255, 255], 0)
    assert count(image, PAPER.color("query")) > 500
    table = signed_colors(PAPER).astype(int)
    x = view.ready.anatomy.stacked[0].steps[0].matrices[0].values
    strongest = table[0 if x.flat[np.abs(x).argmax()] < 0 else 254]
    assert count(image, QColor(*map(int, strongest)), 1) > 200
    assert anatomy().picture() is None


def test_pooling_keeps_the_strongest_entry_and_its_sign():
    values = np.zeros((1000, 900), np.float32)
    values[123, 456], values[777, 10] = -5, 3
    small = pooled(values, (50, 60))
    assert (small.min(), small.max()) == (-5, 3)
    assert small[123 * 50 // 1000, 456 * 60 // 900] == -5
    assert pooled(np.float32([[1, 2]]), (2, 4)).tolist() == [[1, 1, 2, 2]] * 2
    masked = np.full((4, 4), -np.inf, np.float32)
    masked[0, 0] = -2
    assert pooled(masked, (2, 2)).tolist() == [[-2, -np.inf], [-np.inf, -np.inf]]


def test_masked_pairs_and_outliers():
    axis = Axis("dimension", 100)
    values = np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32)
    values[0, 0], values[1, 1] = 1000, -np.inf
    ready = prepare(Matrix("L", "logits", values, axis, axis))
    assert ready.peak == 1000
    assert ready.limit < 4  # one outlier does not turn all others to zero
    assert near(colors_of(ready, values, LIGHT)[1, 1], rgb(masked_color(LIGHT)), 0)
    image = image_of(ready, 100, 100, LIGHT)
    assert near(rgb(image.pixelColor(1, 1)), rgb(masked_color(LIGHT)), 0)
    nothing = prepare(Matrix("Z", "zeros", np.zeros((3, 3), np.float32), axis, axis))
    assert nothing.limit == 1
    assert near(colors_of(nothing, np.float32([0]), LIGHT)[0], signed_colors(LIGHT)[127], 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1.38391, "−1.3839"), (12.3456, "12.346"), (0.0, "0"), (-np.inf, "−∞"), (1234.5, "1234.5"),
     (1e-6, "0.0000"), (123456.0, "1.2e+05")],
)  # fmt: skip
def test_numbers_in_cells(value, text):
    assert short_number(value) == text


def test_labels_keep_apart_and_the_chosen_one_stays():
    assert shown(5, 18, 14, None) == [0, 1, 2, 3, 4]
    assert shown(100, 1.5, 14, 33) == sorted({*range(0, 24, 10), 33, *range(50, 100, 10)})
