"""The heatmap: what it draws, how it is moved, and what it tells of the pair under the mouse."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
import pytest
from PySide6.QtCore import QPoint, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.color_scale import ColorScale, color_scale, ink_on, mix, round_up
from attnviz_gui.ui.views.heatmap import HeatmapView
from attnviz_gui.ui.views.matrix_item import strongest
from tests.samples import random_capture
from tests.ui.known import at, count, known_capture, near, picture_of, pixels, rgb, rows_of_one

ATTENTION = rows_of_one([[5, 1, 1, 3], [1, 1, 7, 1], [90, 1, 4, 5], [1, 20, 1, 2]])
VIRIDIS = pg.colormap.get("viridis").getLookupTable(nPts=256, alpha=False).astype(int)


@pytest.fixture
def heatmap(qtbot):
    """Make a heatmap of a capture (None: of nothing) and show it."""
    views = []

    def make(capture=None, theme=LIGHT, size=(520, 480), parent=None, **options) -> HeatmapView:
        document = Document()
        document.set_options(**options)
        if capture is not None:
            document.open(capture)
        view = HeatmapView(document, theme, parent)
        views.append(view)
        if parent is None:
            qtbot.addWidget(view)
        view.resize(*size)
        view.start()
        with qtbot.waitExposed(view):
            (parent or view).show()
        return view

    yield make
    for view in views:
        view.stop()


def center(view: HeatmapView, row: int, column: int) -> QPoint:
    return view.frames.rect(row, column).center().toPoint()


def move_to(view: HeatmapView, point: QPoint) -> None:
    QTest.mouseMove(view.viewport(), point)
    QApplication.processEvents()


def wheel(view: HeatmapView, point: QPoint, notches: int) -> None:
    event = QWheelEvent(
        QPointF(point), QPointF(view.viewport().mapToGlobal(point)), QPoint(),
        QPoint(0, 120 * notches), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view.viewport(), event)


def cell_colors(view: HeatmapView) -> np.ndarray:
    """The colour in the middle of each cell, (rows, columns, 3)."""
    image = picture_of(view)
    rows, columns = view.document.picture.attention.shape
    return np.array([[at(image, center(view, i, j)) for j in range(columns)] for i in range(rows)])


def text_pixels(view: HeatmapView, area: QRectF) -> int:
    """How many pixels of an area are not ground."""
    area = area.toAlignedRect()
    shown = pixels(picture_of(view).copy(area))
    return int((np.abs(shown - rgb(view.theme.color("ground"))).max(axis=-1) > 60).sum())


# -- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=lambda theme: theme.name)
def test_cells_are_viridis_from_0_to_a_round_number_queries_down(heatmap, theme):
    view = heatmap(known_capture(ATTENTION), theme)
    wanted = VIRIDIS[np.rint(ATTENTION / 1.0 * 255).astype(int)]
    assert ATTENTION.max() == 0.9
    assert near(cell_colors(view), wanted)
    assert [text for _, text in view.bar.ticks] == ["0", "0.5", "1"]


def test_logarithmic_colour_keeps_one_strong_token_from_drowning_the_rest(heatmap):
    attention = rows_of_one([[1000, 2, 30], [1000, 60, 2], [1000, 2, 2]])
    view = heatmap(known_capture(attention))
    linear = cell_colors(view)
    assert near(linear[0, 1], linear[0, 2], 12)
    view.document.set_options(color_scale="logarithmic")
    logarithmic = cell_colors(view)
    place = (np.log10(attention) + 2) / 2  # three keys: from 0.01 to 1
    assert near(logarithmic, VIRIDIS[np.rint(np.clip(place, 0, 1) * 255).astype(int)])
    assert not near(logarithmic[0, 1], logarithmic[0, 2], 40)
    assert [text for _, text in view.bar.ticks] == ["0.01", "0.1", "1"]


def test_colour_scales():
    assert [text for _, text in color_scale("logarithmic", 0.4, 12).ticks] == [
        "0.001", "0.01", "0.1", "1",
    ]  # fmt: skip
    assert [text for _, text in color_scale("linear", 0.31, 12).ticks] == ["0", "0.2", "0.4"]
    assert color_scale("logarithmic", 1.0, 1).low == 0.1
    assert color_scale("logarithmic", 1.0, 2000).low == pytest.approx(1e-5)
    assert round_up(1 + 1e-7) == 1  # a softmax may end there
    assert round_up(0) == 1
    assert ColorScale(0, 0.5).place(np.float32([0, 0.25, 0.5, 2])) == pytest.approx([0, 0.5, 1, 1])


def test_masked_pairs_are_no_viridis_and_the_legend_says_so(heatmap):
    mask = np.tril(np.ones((4, 4), dtype=bool))
    view = heatmap(known_capture(rows_of_one(np.where(mask, ATTENTION, 0)), mask=mask))
    colors = cell_colors(view)
    quiet = rgb(mix(LIGHT.color("ground"), LIGHT.color("faint"), 0.55))
    assert near(colors[~mask], quiet, 1)
    assert np.abs(colors[mask][:, None] - VIRIDIS).max(axis=-1).min(axis=1).max() <= 6
    assert near(rgb(view.bar.masked), quiet, 1)
    view.document.set_options(color_scale="logarithmic")
    assert near(cell_colors(view)[~mask], quiet, 1)


def test_an_entry_is_seen_where_cells_are_smaller_than_pixels(heatmap):
    attention = np.full((2000, 2000), 1e-6)
    attention[777, 1234] = attention[1500, 3] = 1.0
    view = heatmap(known_capture(rows_of_one(attention)), size=(420, 300))
    shown = pixels(picture_of(view))
    for row, column in ((777, 1234), (1500, 3)):
        x, y = view.frames.rect(row, column).center().toTuple()
        around = shown[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2]
        assert (np.abs(around - VIRIDIS[255]).max(axis=-1) <= 6).any(), (row, column)


def test_strongest_gives_each_entry_one_place():
    rng = np.random.default_rng(0)
    matrix = rng.random((17, 23)).astype(np.float32)
    small = strongest(matrix, (5, 8))
    assert small.shape == (5, 8)
    rows, columns = np.arange(6) * 17 // 5, np.arange(9) * 23 // 8
    for p in range(5):
        for q in range(8):
            block = matrix[rows[p] : rows[p + 1], columns[q] : columns[q + 1]]
            assert small[p, q] == block.max()


def test_shift_and_scale_change_no_pixel(heatmap):
    view = heatmap(random_capture(12))
    before = picture_of(view)
    view.document.move(t=0.7, scale=3.0)
    assert picture_of(view) == before


def test_another_head_is_drawn_at_the_same_zoom_and_another_text_whole(heatmap):
    view = heatmap(random_capture(30, texts=2))
    wheel(view, center(view, 15, 15), 4)
    zoomed, image = view.box.viewRange(), picture_of(view)
    view.document.show_head(layer=1, head=2)
    assert view.title() == "Attention  L1 H2"
    assert view.box.viewRange() == zoomed
    assert picture_of(view) != image
    view.document.open(random_capture(20))
    assert view.box.viewRange() == [[0, 20], [0, 20]]


def test_hidden_special_tokens_are_told(heatmap):
    view = heatmap(random_capture(12), show_special=False)
    assert view.numbers().startswith("2 special tokens hidden · max 0.")
    assert view.box.viewRange() == [[0, 10], [0, 10]]
    view.document.set_options(show_special=True)
    assert "hidden" not in view.numbers()
    assert view.box.viewRange() == [[0, 12], [0, 12]]


def test_numbers_name_the_strongest_entry(heatmap):
    view = heatmap(known_capture(ATTENTION, ["the", "brown", "cap", "##y"]))
    assert view.numbers() == "max 0.90 cap → the"


# -- sizes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 12, 120])
@pytest.mark.parametrize("size", [(420, 300), (900, 700), (260, 180), (900, 260)])
def test_cells_are_square_and_nothing_is_cut_off(heatmap, n, size):
    view = heatmap(random_capture(n), size=size)
    cell = view.frames.rect(0, 0)
    assert cell.width() == pytest.approx(cell.height())
    assert QRectF(view.rect()).contains(view.box.geometry())
    assert not view.box.geometry().intersects(view.bar.sceneBoundingRect().adjusted(4, 0, 0, 0))
    shown = pixels(picture_of(view))
    edge = np.concatenate([shown[:2].reshape(-1, 3), shown[-1:].reshape(-1, 3), shown[:, 0]])
    assert near(edge, 255, 0)


@pytest.mark.parametrize("size", [(700, 400), (395, 440)], ids=["upright", "lying"])
@pytest.mark.parametrize("causal", [False, True])
def test_the_legend_shows_the_colours_where_the_matrix_leaves_room(heatmap, size, causal):
    view = heatmap(random_capture(12, causal=causal), size=size)
    bar, image = view.bar, picture_of(view)
    assert bar.upright == (size == (700, 400))
    middle = QPointF(6, bar.length - 3) if bar.upright else QPointF(3, 6)
    assert near(at(image, bar.mapToScene(middle)), VIRIDIS[0], 12) == (
        not bar.upright or not causal
    )
    middle = QPointF(6, 3) if bar.upright else QPointF(bar.length - 3, 6)
    assert near(at(image, bar.mapToScene(middle)), VIRIDIS[255], 12) == (bar.upright or not causal)
    matrix = view.box.geometry()
    assert matrix.height() > 0.5 * view.height()
    if not bar.upright:
        assert bar.pos().y() > matrix.bottom()
        assert bar.pos().y() + bar.high <= view.height()


def test_two_thousand_tokens_and_back_to_one(heatmap):
    view = heatmap(random_capture(2000, layers=1, heads=1))
    assert picture_of(view) != picture_of(heatmap(None))
    view.resize(900, 700)
    QApplication.processEvents()
    move_to(view, center(view, 1000, 0))
    assert abs(view.document.focus.query - 1000) <= 4  # a pixel is three tokens wide
    view.document.open(random_capture(1))
    assert near(at(picture_of(view), center(view, 0, 0)), VIRIDIS[255])


def test_resizing_draws_anew(heatmap):
    view = heatmap(known_capture(ATTENTION))
    first = cell_colors(view)
    view.resize(800, 400)
    QApplication.processEvents()
    assert near(cell_colors(view), first, 1)
    assert view.box.geometry().height() > 200


# -- labels -----------------------------------------------------------------------------------


def test_every_label_is_drawn_where_there_is_room(heatmap):
    view = heatmap(random_capture(12))
    assert view.query_axis.shown() == view.key_axis.shown() == list(range(12))
    for index in range(12):
        row, column = view.frames.rect(index, 0), view.frames.rect(0, index)
        assert text_pixels(view, QRectF(row.left() - 40, row.top(), 36, row.height())) > 10
        assert text_pixels(view, QRectF(column.left(), column.top() - 40, column.width(), 36)) > 10


@pytest.mark.parametrize("n", [120, 512])
def test_labels_thin_out_and_zooming_in_reveals_more(heatmap, n):
    view = heatmap(random_capture(n), size=(640, 560))
    for axis in (view.query_axis, view.key_axis):
        shown = np.array(axis.shown())
        assert 10 < len(shown) < n
        assert np.diff(shown).min() * axis.cell() >= axis.line
        step = np.diff(shown)[0]
        assert (shown % step == 0).all()
    wheel(view, center(view, n // 2, n // 2), 20)
    (_, x1), (y0, y1) = view.box.viewRange()
    assert y1 - y0 == pytest.approx(4)
    assert x1 <= n
    inside = [i for i in range(n) if y0 <= i + 0.5 <= y1]
    assert view.query_axis.shown() == inside


def test_the_chosen_and_the_watched_are_labelled_whatever_the_room(heatmap):
    view = heatmap(random_capture(512), size=(640, 560))
    view.document.watch([WatchedPair("t301", "t302")])
    view.document.pin(query=203, key=207)
    assert {203, 301} <= set(view.query_axis.shown())
    assert {207, 302} <= set(view.key_axis.shown())
    assert np.diff(view.query_axis.shown()).min() * view.query_axis.cell() >= view.query_axis.line
    image = picture_of(view)
    y = view.frames.rect(203, 0).center().y()
    label = QRect(int(view.box.geometry().left()) - 45, int(y) - 6, 40, 12)
    assert count(image.copy(label), LIGHT.color("query")) > 100
    y = view.frames.rect(301, 0).center().y()
    label = QRect(int(view.box.geometry().left()) - 45, int(y) - 6, 40, 12)
    assert count(image.copy(label), LIGHT.color("watched"), 60) > 10


def test_long_tokens_end_in_an_ellipsis_and_japanese_ones_are_drawn(heatmap):
    tokens = ["capybara" * 20, "カピバラ", "🦫", "two\nlines"]
    view = heatmap(known_capture(ATTENTION, tokens))
    assert view.query_axis.text(0).endswith("…")
    assert [view.query_axis.text(i) for i in (1, 2, 3)] == ["カピバラ", "🦫", "two lines"]
    row = view.frames.rect(1, 0)
    assert text_pixels(view, QRectF(row.left() - 70, row.top(), 66, row.height())) > 60
    assert "\n" not in view.describe(Focus(3, 3))[0]


# -- the mouse --------------------------------------------------------------------------------


def test_hovering_lights_the_pair_and_tells_its_numbers(heatmap):
    view = heatmap(known_capture(ATTENTION, ["the", "brown", "cap", "##y"]))
    for row, column in ((0, 0), (1, 2), (3, 3), (2, 0)):
        move_to(view, center(view, row, column))
        assert view.document.focus == Focus(row, column)
        assert view.readout.isVisible()
        assert not view.readout.geometry().intersects(view.frames.rect(row, column).toAlignedRect())
        assert view.rect().contains(view.readout.geometry())
    name, value, geometry = view.readout.lines
    assert name == "cap → the"
    assert value == "attention 0.900 · logit −0.105"
    assert geometry.startswith("dot −0.105 · distance 1.0")
    move_to(view, QPoint(3, view.height() - 3))
    assert not view.document.focus
    assert not view.readout.isVisible()


@pytest.mark.parametrize(("n", "size"), [(1, (420, 300)), (4, (420, 300)), (512, (500, 450))])
def test_the_readout_covers_neither_cell_nor_cursor_wherever_the_mouse_is(heatmap, n, size):
    view = heatmap(random_capture(n), size=size)
    area = view.box.geometry().toAlignedRect()
    for x in np.linspace(area.left() - 20, area.right() - 1, 9).astype(int):
        for y in np.linspace(area.top() - 20, area.bottom() - 1, 9).astype(int):
            point = QPoint(int(x), int(y))
            move_to(view, point)
            focus = view.document.focus
            if not focus:
                continue
            sheet = view.readout.geometry()
            assert view.rect().contains(sheet)
            if n > 1:  # the cell of a single token leaves no room beside it
                assert not sheet.contains(point)
            if n > 4 and focus.query is not None and focus.key is not None:
                cell = view.frames.rect(focus.query, focus.key).toAlignedRect()
                assert not sheet.intersects(cell)


def test_a_masked_pair_is_told_to_be_masked(heatmap):
    view = heatmap(random_capture(6, causal=True))
    move_to(view, center(view, 1, 4))
    assert view.readout.lines[1] == "masked: the key comes after the query"


def test_hovering_a_label_lights_its_query_or_key_alone(heatmap):
    view = heatmap(known_capture(ATTENTION, ["the", "brown", "cap", "##y"]))
    move_to(view, QPoint(int(view.box.geometry().left()) - 12, center(view, 2, 0).y()))
    assert view.document.focus == Focus(query=2)
    assert view.readout.lines == ("cap as query", "position 2", "most to the: 0.900")
    move_to(view, QPoint(center(view, 0, 1).x(), int(view.box.geometry().top()) - 12))
    assert view.document.focus == Focus(key=1)
    assert view.readout.lines[0] == "brown as key"


def test_the_readout_follows_the_sliders_and_the_head_but_is_in_no_figure(heatmap):
    view = heatmap(random_capture(8))
    move_to(view, center(view, 3, 4))
    lines = view.readout.lines
    view.document.move(t=0.5)
    assert view.readout.lines[:2] == lines[:2]
    assert view.readout.lines[2] != lines[2]
    view.document.show_head(head=1)
    assert view.readout.lines[1] != lines[1]

    figures = []
    for visible in (True, False):
        view.readout.setVisible(visible)
        figure = QImage(view.size(), QImage.Format.Format_RGB32)
        figure.fill(Qt.GlobalColor.white)
        painter = QPainter(figure)
        view.render(painter, QRectF(figure.rect()), view.viewport().rect())
        painter.end()
        figures.append(figure)
    assert figures[0] == figures[1]
    assert view.readout.geometry().isValid()


def test_a_click_pins_and_another_lets_go(heatmap, qtbot):
    view = heatmap(random_capture(8))
    point = center(view, 2, 5)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=point)
    assert view.document.pinned == Focus(2, 5)
    move_to(view, QPoint(2, 2))
    assert view.document.focus == Focus(2, 5)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=point)
    assert not view.document.pinned


def test_the_wheel_zooms_about_the_cursor_within_the_matrix(heatmap):
    view = heatmap(random_capture(40))
    wheel(view, center(view, 10, 30), 3)
    (x0, x1), (y0, y1) = view.box.viewRange()
    assert x1 - x0 == pytest.approx(y1 - y0)
    assert x1 - x0 < 20
    assert x0 < 30 < x1
    assert y0 < 10 < y1
    assert view.document.focus == Focus(10, 30)
    wheel(view, center(view, 10, 30), -30)
    assert view.box.viewRange() == [[0, 40], [0, 40]]


def test_a_drag_moves_the_zoomed_matrix_and_stops_at_its_edges(heatmap, qtbot):
    view = heatmap(random_capture(40))
    wheel(view, center(view, 20, 20), 4)
    (x0, x1), (y0, _) = view.box.viewRange()
    start = view.box.geometry().center().toPoint()
    for way, wanted in (((-60, -40), (1, 1)), ((4000, 4000), None)):
        QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=start)
        for part in (0.5, 1.0):
            qtbot.wait(20)  # pyqtgraph leaves out moves that follow each other too quickly
            move_to(view, start + QPoint(int(way[0] * part), int(way[1] * part)))
        QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=start + QPoint(*way))
        now = view.box.viewRange()
        if wanted:
            assert now[0][0] > x0
            assert now[1][0] > y0
            assert now[0][1] - now[0][0] == pytest.approx(x1 - x0)
        else:
            assert now[0][0] == pytest.approx(0)
            assert now[1][0] == pytest.approx(0)
    assert not view.document.pinned


def test_a_double_click_shows_the_whole_matrix_and_leaves_the_pin(heatmap, qtbot):
    view = heatmap(random_capture(40))
    for pinned in (Focus(), Focus(1, 2)):
        wheel(view, center(view, 20, 20), 4)
        view.document.clear_focus()
        if pinned:
            view.document.pin(pinned.query, pinned.key)
        point = view.box.geometry().center().toPoint()
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=point)
        qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=point)
        assert view.box.viewRange() == [[0, 40], [0, 40]]
        assert view.document.pinned == pinned


# -- focus and watched pairs ------------------------------------------------------------------


@pytest.mark.parametrize("focus", [Focus(1, 2), Focus(query=1), Focus(key=2)])
def test_the_focus_is_framed_and_no_cell_changes_colour(heatmap, focus):
    view = heatmap(known_capture(ATTENTION))
    before = cell_colors(view)
    view.document.hover(focus.query, focus.key)
    image = picture_of(view)
    assert near(cell_colors(view), before, 1)
    row, column = view.frames.rect(1, 0), view.frames.rect(0, 2)
    above_row = QPointF(row.left() + 5, row.top() - 1)
    beside_column = QPointF(column.left() - 1, column.top() + 5)
    assert near(at(image, above_row), rgb(LIGHT.color("query"))) == (focus.query is not None)
    assert near(at(image, beside_column), rgb(LIGHT.color("key"))) == (focus.key is not None)
    view.document.hover()
    assert count(picture_of(view), LIGHT.color("key")) == 0


def test_watched_pairs_have_a_red_frame_and_others_none(heatmap):
    view = heatmap(known_capture(ATTENTION, ["the", "brown", "cap", "##y"]))

    def red(row: int, column: int) -> int:
        area = view.frames.rect(row, column).toAlignedRect().adjusted(-2, -2, 2, 2)
        return count(picture_of(view).copy(area), LIGHT.color("watched"))

    assert red(1, 2) == 0
    view.document.watch([WatchedPair("brown", "cap"), WatchedPair("capybara", "cap")])
    assert red(1, 2) > 4 * view.frames.rect(1, 2).width()
    assert red(3, 0) == 0
    view.document.hover(1, 2)
    assert red(1, 2) > 4 * view.frames.rect(1, 2).width() * 0.8
    view.document.watch([])
    assert red(1, 2) == 0


def test_a_watched_pair_smaller_than_a_pixel_still_has_its_frame(heatmap):
    view = heatmap(random_capture(512), size=(420, 300))
    view.document.watch([WatchedPair("t300", "t200")])
    middle = center(view, 300, 200)
    around = picture_of(view).copy(QRect(middle - QPoint(6, 6), middle + QPoint(6, 6)))
    assert count(around, LIGHT.color("watched"), 30) >= 20


# -- nothing to show, themes, keyboard, names -------------------------------------------------


def test_without_a_picture_it_says_what_to_do(heatmap, qtbot):
    view = heatmap(None)
    shown = picture_of(view)
    assert (np.abs(pixels(shown) - 255).max(axis=-1) > 60).sum() > 100
    move_to(view, QPoint(200, 200))
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(200, 200))
    qtbot.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    wheel(view, QPoint(200, 200), 2)
    assert not view.document.focus
    assert (view.title(), view.numbers()) == ("Attention", "")
    view.document.open(known_capture(ATTENTION))
    assert near(at(picture_of(view), center(view, 2, 0)), VIRIDIS[230], 8)


def test_another_theme_changes_the_ground_and_not_the_data(heatmap):
    view = heatmap(known_capture(ATTENTION), LIGHT)
    data = cell_colors(view)
    view.retheme(DARK)
    assert near(cell_colors(view), data, 0)
    image = picture_of(view)
    assert near(at(image, QPoint(2, 2)), rgb(DARK.color("ground")), 0)
    row = view.frames.rect(0, 0)
    label = image.copy(QRect(int(row.left()) - 40, int(row.top()), 36, int(row.height())))
    assert count(label, DARK.color("text"), 60) > 3


def test_shift_and_arrows_move_the_pinned_cell_and_tell_of_it(heatmap, qtbot):
    view = heatmap(known_capture(ATTENTION, ["the", "brown", "cap", "##y"]))
    shift = Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(view, Qt.Key.Key_Right, shift)
    assert view.document.pinned == Focus(0, 0)
    for key, wanted in (
        (Qt.Key.Key_Right, Focus(0, 1)),
        (Qt.Key.Key_Down, Focus(1, 1)),
        (Qt.Key.Key_Left, Focus(1, 0)),
        (Qt.Key.Key_Left, Focus(1, 0)),  # the edge
        (Qt.Key.Key_Up, Focus(0, 0)),
        (Qt.Key.Key_Up, Focus(0, 0)),
    ):
        qtbot.keyClick(view, key, shift)
        assert view.document.pinned == wanted
    assert view.accessibleDescription().startswith("the → the. attention 0.500")
    assert view.readout.lines[0] == "the → the"


def test_the_moved_cell_comes_into_view(heatmap, qtbot):
    view = heatmap(random_capture(40))
    wheel(view, center(view, 30, 30), 20)
    qtbot.keyClick(view, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert view.box.viewRange()[0][0] == pytest.approx(0)
    assert view.box.geometry().contains(view.frames.rect(0, 0).center())


def test_plain_arrows_are_left_to_the_window(heatmap, qtbot):
    class Window(QWidget):
        def __init__(self) -> None:
            super().__init__()
            self.keys = []

        def keyPressEvent(self, event) -> None:
            self.keys.append(event.key())

    window = Window()
    qtbot.addWidget(window)
    view = heatmap(random_capture(8), parent=window)
    for key in (Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_PageUp, Qt.Key.Key_Escape):
        qtbot.keyClick(view, key)
    assert window.keys == [
        Qt.Key.Key_Down, Qt.Key.Key_Right, Qt.Key.Key_PageUp, Qt.Key.Key_Escape,
    ]  # fmt: skip
    assert not view.document.pinned


def test_names(heatmap):
    view = heatmap(None)
    assert view.objectName() == "heatmap"
    assert view.accessibleName()
    assert view.toolTip()


def test_a_stopped_heatmap_follows_no_longer(heatmap):
    view = heatmap(random_capture(8))
    image = picture_of(view)
    view.stop()
    view.document.show_head(head=1)
    view.document.hover(1, 1)
    assert picture_of(view) == image


def test_ink_can_be_read_on_every_tint():
    def light(color: QColor) -> float:
        parts = np.array(color.getRgbF()[:3])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for theme in (LIGHT, DARK, PAPER):
        for role in ("query", "key"):
            for weight in np.linspace(0, 1, 21):
                fill = mix(theme.color("ground"), theme.color(role), float(weight))
                one, other = sorted((light(fill), light(ink_on(fill))))
                assert (other + 0.05) / (one + 0.05) >= 4.5
