"""Brushing and the one selection: exact in every view, drawn in all of them, undone, listed."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.offload import LIVE_PAIRS
from attnviz_gui.session.selection import Selection, select_pairs, select_places
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import DARK, LIGHT
from attnviz_gui.ui.views.brush import Brush
from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.heatmap import HeatmapView
from attnviz_gui.ui.views.region import Region
from attnviz_gui.ui.views.scatter import ScatterView
from attnviz_gui.ui.views.token_strip import TokenStrip
from tests.samples import random_capture
from tests.ui.driving import child, opened
from tests.ui.known import at, count, near, picture_of, rgb

SHIFT, CTRL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
NONE = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def show(qtbot):
    """Return a function that shows a view of a random capture, with a brush."""

    def make(kind, n_tokens=12, theme=LIGHT, size=(700, 460), capture=None, **sample):
        document = Document()
        sample = {"layers": 2, "heads": 2, "head_dim": 8} | sample
        document.open(capture or random_capture(n_tokens, **sample))
        document.set_options(animate=False, together=sample.get("texts", 1) > 1)
        document.move(mode="centroid", t=0.6)
        view = kind(document, theme)
        qtbot.addWidget(view, before_close_func=lambda v: v.stop())
        view.resize(*size)
        view.start()
        if kind is not TokenStrip:
            Brush(view)
        with qtbot.waitExposed(view):
            view.show()
        QApplication.processEvents()
        return view

    return make


def drag(view, *places, keys=NONE, release=True) -> None:
    """Press at the first place, go to the others one after the other, and let go."""
    port = view.viewport()
    points = [QPoint(round(x), round(y)) for x, y in places]
    QTest.mousePress(port, Qt.MouseButton.LeftButton, keys, points[0])
    for start, end in pairwise(points):
        for part in (0.25, 0.5, 0.75, 1):
            QTest.mouseMove(port, start + (end - start) * part)
    if release:
        QTest.mouseRelease(port, Qt.MouseButton.LeftButton, keys, points[-1])


def in_polygon(points, x, y) -> bool:
    """The plain way: the sum of the angles under which the edges are seen."""
    angle = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        a = math.atan2(y1 - y, x1 - x) - math.atan2(y0 - y, x0 - x)
        angle += (a + math.pi) % (2 * math.pi) - math.pi
    return round(angle / (2 * math.pi)) % 2 == 1


# -- regions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [50, 5_000])
@pytest.mark.parametrize("corners", [3, 7, 40])
def test_a_lasso_holds_what_is_inside_it(n, corners):
    rng = np.random.default_rng(corners)
    points = tuple(map(tuple, rng.uniform(0, 300, (corners, 2)).tolist()))  # crosses itself
    x, y = rng.uniform(-20, 320, (2, n))
    inside = Region(points).contains(x, y)
    assert inside.tolist() == [
        in_polygon(points, *at) for at in zip(x.tolist(), y.tolist(), strict=True)
    ]
    assert 0 < inside.sum() < n


def test_the_grid_and_the_edges_agree_where_the_lasso_is_thin_or_huge():
    rng = np.random.default_rng(1)
    for points in (
        ((0.0, 0.0), (900.0, 3.0), (900.0, 3.4), (0.0, 0.3)),
        ((-4000.0, -4000.0), (9000.0, 100.0), (100.0, 9000.0)),
    ):
        x, y = rng.uniform(-10, 910, 4_000), rng.uniform(-1, 5, 4_000)
        region = Region(points)
        assert region.contains(x, y).tolist() == region._crossings(x, y).tolist()


def test_points_without_a_place_are_in_no_region():
    x = np.array([np.nan, 5.0, 5.0])
    y = np.array([5.0, np.nan, 5.0])
    for region in (Region(((0, 0), (10, 10)), rectangle=True), Region(((0, 0), (20, 0), (0, 20)))):
        assert region.contains(x, y).tolist() == [False, False, True]


# -- the plane -------------------------------------------------------------------------------------


def right_points(view) -> tuple[np.ndarray, np.ndarray]:
    """Where queries and keys of the plane after are, in the viewport."""
    plane = view.right
    scene = [plane.box.mapToScene(plane.box.mapFromView(QPointF(*xy))) for xy in plane.drawing.xy]
    points = np.array([view.viewportTransform().map(place).toTuple() for place in scene])
    return points[: plane.drawing.n_queries], points[plane.drawing.n_queries :]


def inside(points, corner, other):
    return np.flatnonzero(((points >= corner) & (points < other)).all(axis=1)).tolist()


def test_a_rectangle_in_the_plane_selects_its_points(show):
    view = show(EmbeddingView, 30)
    queries, keys = right_points(view)
    low, high = np.quantile(np.concatenate([queries, keys]), [0.2, 0.7], axis=0) + 0.5
    low, high = np.round(low), np.round(high)
    drag(view, low, high, keys=SHIFT)
    chosen = view.document.selection
    assert np.flatnonzero(chosen.mask("query")).tolist() == inside(queries, low, high)
    assert np.flatnonzero(chosen.mask("key")).tolist() == inside(keys, low, high)
    assert chosen.n_of("query") and chosen.n_of("key")


def test_keys_add_take_away_and_toggle_and_tools_replace(show):
    view = show(EmbeddingView, 30)
    document, brush = view.document, view.brusher
    area = view.right.area()
    whole = ((area.left(), area.top()), (area.right(), area.bottom()))
    middle = round(area.center().x())
    left = ((area.left(), area.top()), (middle, area.bottom()))
    everything = 60
    drag(view, *whole, keys=SHIFT)
    assert document.selection.n_of("query") + document.selection.n_of("key") == everything
    drag(view, *left, keys=CTRL)
    right = document.selection
    assert 0 < right.n_of("query") + right.n_of("key") < everything
    drag(view, *whole, keys=CTRL | SHIFT)
    drag(view, *whole, keys=CTRL | SHIFT)
    assert document.selection.same(right)
    brush.set_tool("rectangle")
    drag(view, *left)
    assert not (document.selection.mask("query") & right.mask("query")).any()
    assert document.selection.n_tokens
    drag(view, (area.left() + 1, area.top() + 1), (area.left() + 9, area.top() + 9))
    assert not document.selection  # nothing is there
    document.undo()
    assert document.selection.n_tokens


def test_a_lasso_in_the_plane(show):
    view = show(EmbeddingView, 60)
    view.brusher.set_tool("lasso")
    area = view.right.area()
    x, y = area.center().x(), area.center().y()
    corners = [(x - 60, y - 70), (x + 80, y - 20), (x + 30, y + 90), (x - 70, y + 40)]
    drag(view, *corners)
    queries, keys = right_points(view)
    for side, points in (("query", queries), ("key", keys)):
        wanted = [in_polygon(corners, *p) for p in points.tolist()]
        found = view.document.selection.mask(side)
        assert np.count_nonzero(found != wanted) <= 2  # corners stand on whole pixels
        assert found.any()


def test_a_click_with_shift_still_chooses_and_esc_ends_a_brush(show, qtbot):
    view = show(EmbeddingView, 12)
    document = view.document
    queries, keys = right_points(view)
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, NONE, QPoint(*map(int, queries[3]))
    )
    assert document.pinned.query is not None
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, SHIFT, QPoint(*map(int, keys[5])))
    assert document.pinned.key is not None and document.pinned.query is not None
    area = view.right.area()
    ends = (area.left(), area.top()), (area.right(), area.bottom())
    drag(view, *ends, keys=SHIFT, release=False)
    assert view.brusher.drawing and view.brusher.outline.isVisible()
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert not view.brusher.drawing
    before = view.right.looking()
    QTest.mouseRelease(
        view.viewport(), Qt.MouseButton.LeftButton, SHIFT, QPoint(int(area.right()), 200)
    )
    assert not document.selection
    assert view.right.looking() == before
    drag(view, *ends, keys=SHIFT)
    assert document.selection


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_what_is_selected_stands_out_and_the_rest_fades(show, theme):
    view = show(EmbeddingView, 12, theme)
    document = view.document
    document.set_options(lines="none")
    queries, _ = right_points(view)
    plain = picture_of(view)
    assert near(at(plain, QPointF(*queries[4])), rgb(theme.color("query")))
    document.select(select_places(document.token_lists, [4]))
    chosen = picture_of(view)
    assert near(at(chosen, QPointF(*queries[4])), rgb(theme.color("query")))
    assert not near(at(chosen, QPointF(*queries[9])), rgb(theme.color("query")), 40)
    assert count(chosen, theme.color("text")) > count(plain, theme.color("text")) - 200
    document.find(select_places(document.token_lists, [7]))
    assert count(picture_of(view), theme.color("found")) > 10
    document.find(Selection(document.token_lists))
    document.select(Selection(document.token_lists))
    assert picture_of(view) == plain


def test_the_selection_follows_its_points_under_the_sliders(show):
    view = show(EmbeddingView, 12)
    document = view.document
    document.set_options(lines="none")
    document.select(select_places(document.token_lists, [4]))
    document.begin_drag()
    document.move(t=0.1)
    queries, _ = right_points(view)
    assert near(at(picture_of(view), QPointF(*queries[4])), rgb(LIGHT.color("query")))
    document.end_drag()


def test_all_texts_are_brushed_together(show):
    view = show(EmbeddingView, 8, texts=40)
    area = view.right.area()
    drag(view, (area.left(), area.top()), (area.right(), area.bottom()), keys=SHIFT)
    chosen = view.document.selection
    assert (chosen.n_of("query"), chosen.n_of("key"), chosen.n_texts) == (320, 320, 40)
    plain = picture_of(view)
    view.document.select(select_places(chosen.lists, [100]))
    assert count(picture_of(view), LIGHT.color("query")) < count(plain, LIGHT.color("query"))


# -- scatter ---------------------------------------------------------------------------------------


def pairs_by_hand(document, region_of) -> set[tuple[int, int, int]]:
    """All pairs after the normalisation that a test of (x, y) takes, by plain formulas."""
    corpus = document.corpus
    pictures = [document.picture] if corpus is None else corpus.pictures
    found = set()
    for text, picture in enumerate(pictures):
        live, frame = picture.live, document.frame
        shift = frame.shift if corpus is None else document.corpus_frame.shift
        q, k = live.query, live.key + shift
        dots = q @ k.T
        x = 1 - dots / np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1))
        taken = region_of(x, dots) & picture.mask
        found |= {(text, *map(int, pair)) for pair in np.argwhere(taken)}
    return found


def selected_pairs(selection) -> set[tuple[int, int, int]]:
    names = selection.lists.names[0]
    return {
        (text, *divmod(int(pair), len(names[text])))
        for text in range(len(names))
        for pair in selection.pairs_of_text(text)
    }


@pytest.mark.parametrize(
    "sample",
    [
        {"n_tokens": 12},
        {"n_tokens": 40, "causal": True},
        {"n_tokens": 560},
        {"n_tokens": 7, "texts": 30},
        {"n_tokens": 60, "texts": 90},
    ],
)
def test_a_brush_in_the_scatter_takes_every_pair_in_it(show, sample):
    view = show(ScatterView, layers=1, heads=1, **sample)
    document = view.document
    area = view.after.area
    corner = view.box.mapToScene(QPointF(0, 0))
    low, high = (0.3 * area.width, 0.2 * area.height), (0.55 * area.width, 0.6 * area.height)
    places = [(round(x + corner.x()), round(y + corner.y())) for x, y in (low, high)]
    (left, top), (right, bottom) = [(x - corner.x(), y - corner.y()) for x, y in places]
    drag(view, *places, keys=SHIFT)
    found = selected_pairs(document.selection)
    wider, closer = (
        pairs_by_hand(
            document,
            lambda x, y, s=slack: (
                (area.across(x) >= left - s)
                & (area.across(x) < right + s)
                & (area.down(y) >= top - s)
                & (area.down(y) < bottom + s)
            ),
        )
        for slack in (0.01, -0.01)
    )  # rounding of a hundredth of a pixel
    assert closer <= found <= wider
    assert closer
    if sample["n_tokens"] == 560 or sample.get("texts") == 90:
        assert view._source.n_pairs > LIVE_PAIRS
    ends = {(text, i) for text, i, _ in found}
    assert document.selection.n_of("query") == len(ends)


@pytest.mark.parametrize("sample", [{"n_tokens": 30}, {"n_tokens": 560}, {"texts": 30}])
def test_the_scatter_lights_pairs_of_selected_tokens_and_selected_pairs(show, sample):
    view = show(ScatterView, layers=1, heads=1, **sample)
    document = view.document
    lists = document.token_lists
    n = len(lists.names[0][0])
    document.select(select_places(lists, [3], [5]))
    assert len(view.lit.xs) == 2 * n - 1
    document.select(select_pairs(lists, [0, 0], [1, 2], [4, 4]))
    assert len(view.lit.xs) == 2
    lit = sorted(zip(view.lit.xs.tolist(), view.lit.ys.tolist(), strict=True))
    points = view._points_of([1, 2], [4])[1]
    assert np.allclose(lit, sorted(points.tolist()), rtol=1e-4, atol=1e-4)
    document.move(t=0.3)
    moved = sorted(view._points_of([1, 2], [4])[1].tolist())
    lit = sorted(zip(view.lit.xs.tolist(), view.lit.ys.tolist(), strict=True))
    assert np.allclose(lit, moved, rtol=1e-4, atol=1e-4)
    document.select(Selection(lists))
    assert not view.lit.isVisible() and not view.veil.isVisible()


def test_all_lit_pairs_of_very_many_are_counted(show):
    view = show(ScatterView, 60, texts=90, layers=1, heads=1)
    document = view.document
    assert view._source.n_pairs > LIVE_PAIRS
    document.select(select_places(document.token_lists, [61], [62, 200]))
    assert len(view.lit.xs) == 60 * 3 - 1


# -- heatmap and token strip -----------------------------------------------------------------------


def test_a_rectangle_in_the_heatmap_takes_the_cells_that_it_touches(show):
    view = show(HeatmapView, 12, causal=True)
    cell = view.frames.rect
    drag(view, cell(4, 2).center().toTuple(), cell(7, 5).center().toTuple(), keys=SHIFT)
    expected = {(0, i, j) for i in range(4, 8) for j in range(2, 6) if j <= i}
    assert selected_pairs(view.document.selection) == expected
    view.document.set_options(show_special=False)  # the first of all is hidden
    view.document.select(Selection(view.document.token_lists))
    cell = view.frames.rect
    drag(view, cell(0, 0).center().toTuple(), cell(1, 0).center().toTuple(), keys=SHIFT)
    assert selected_pairs(view.document.selection) == {(0, 1, 1), (0, 2, 1)}


def test_a_lasso_in_the_heatmap_takes_cells_whose_middle_it_holds(show):
    view = show(HeatmapView, 12)
    view.brusher.set_tool("lasso")
    corners = [view.frames.rect(*at).center() for at in ((1, 1), (1, 9), (9, 1))]
    places = [(p.x() + dx, p.y() + dy) for p, (dx, dy) in zip(
        corners, ((-4, -4), (8, -4), (-4, 8)), strict=True
    )]  # fmt: skip
    drag(view, *places)
    expected = {(0, i, j) for i in range(1, 10) for j in range(1, 10) if i + j <= 10}
    assert selected_pairs(view.document.selection) == expected


def test_beside_the_labels_queries_or_keys_alone_are_taken(show):
    view = show(HeatmapView, 12)
    area = view.box.geometry()
    row = view.frames.rect
    drag(
        view, (area.left() - 8, row(2, 0).center().y()), (area.left() - 30, row(4, 0).center().y()),
        keys=SHIFT,
    )  # fmt: skip
    drag(
        view, (row(0, 6).center().x(), area.top() - 8), (row(0, 7).center().x(), area.top() - 30),
        keys=SHIFT,
    )  # fmt: skip
    chosen = view.document.selection
    assert np.flatnonzero(chosen.mask("query")).tolist() == [2, 3, 4]
    assert np.flatnonzero(chosen.mask("key")).tolist() == [6, 7]
    assert chosen.n_pairs == 0


def test_the_heatmap_marks_rows_and_lets_other_cells_fade(show):
    view = show(HeatmapView, 12)
    document, row = view.document, view.frames.rect
    plain = picture_of(view)
    document.select(select_places(document.token_lists, [3]))
    image = picture_of(view)
    left = view.box.geometry().left()
    assert near(at(image, QPointF(left - 3, row(3, 0).center().y())), rgb(LIGHT.color("text")))
    assert not near(at(image, QPointF(left - 3, row(5, 0).center().y())), rgb(LIGHT.color("text")))
    lit, faded = row(3, 7).center(), row(5, 7).center()
    assert near(at(image, lit), at(plain, lit))
    assert at(image, faded).sum() > at(plain, faded).sum() + 60
    document.select(Selection(document.token_lists))
    assert picture_of(view) == plain


def test_small_cells_that_are_lit_stay_in_sight(show):
    view = show(HeatmapView, 600)
    document = view.document
    document.select(select_pairs(document.token_lists, [0], [300], [300]))
    spot = view.frames.rect(300, 300).center()
    image = picture_of(view)
    masked = at(image, spot + QPointF(40, 40))
    around = [at(image, spot + QPointF(x, y)) for x in (-1, 0, 1) for y in (-1, 0, 1)]
    assert min(color.sum() for color in around) < masked.sum() - 60


def test_the_strip_marks_its_chips(show):
    view = show(TokenStrip, 8, size=(700, 60))
    document = view.document
    plain = picture_of(view)
    document.select(select_places(document.token_lists, [2], [4]))
    image = picture_of(view)
    for index, side in ((2, 0.25), (4, 0.75)):
        chip = view.chip(index)
        spot = QPointF(chip.left() + side * chip.width(), chip.top() + 2)
        assert near(at(image, spot), rgb(LIGHT.color("text")))
        other = QPointF(chip.left() + (1 - side) * chip.width(), chip.top() + 2)
        assert not near(at(image, other), rgb(LIGHT.color("text")))
    document.select(Selection(document.token_lists))
    assert picture_of(view) == plain


# -- the window ------------------------------------------------------------------------------------


@pytest.fixture
def window(qtbot):
    """A window on three texts of twelve tokens."""
    capture = random_capture(12, layers=3, heads=4, texts=3)
    yield from opened(qtbot, MainWindow(capture=capture))


def part(window, name):
    return next(p for p in window.parts if type(p).__name__ == name)


def test_undo_is_the_text_fields_own_while_it_is_typed_in(qtbot, window):
    document, field = window.document, child(window, "text_input")
    document.select(select_places(document.token_lists, [1]))
    field.setFocus()
    QTest.keyClicks(field, "abc")
    typed = window.text_bar.text
    QTest.keyClick(field, Qt.Key.Key_Z, CTRL)
    assert document.selection and window.text_bar.text != typed
    window.heatmap.setFocus()
    QTest.keyClick(window.heatmap, Qt.Key.Key_Z, CTRL)
    assert not document.selection
    QTest.keyClick(window.heatmap, Qt.Key.Key_Z, CTRL | SHIFT)
    assert document.selection.n_tokens == 1


def test_the_panel_lists_sorts_copies_and_goes_to_tokens(qtbot, window):
    document, selecting = window.document, part(window, "SelectionPart")
    selecting.dock.open()
    panel = selecting.panel
    assert panel.pages.currentWidget() is panel.empty
    document.select(select_places(document.token_lists, [14, 2], [14, 30]))
    assert panel.count.text() == "3 tokens (2 queries, 2 keys) in 3 texts"
    panel.copy()
    copied = QGuiApplication.clipboard().text()
    assert copied == ("token\tas\ttext\tposition\nt2\tquery\t1\t2\nt2\tboth\t2\t2\nt6\tkey\t3\t6\n")
    panel.table.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    assert panel.model.cells(0) == ("t6", "key", "3", "6")
    panel.go_to(0)
    assert (document.text, document.pinned) == (2, Focus(query=6))
    selecting.invert.trigger()
    assert document.selection.n_of("query") == 34
    selecting.clear.trigger()
    assert not document.selection
    selecting.undo.trigger()
    selecting.undo.trigger()
    assert document.selection.n_tokens == 3
    document.pin(1, 1)
    selecting.choose.trigger()
    assert document.selection.n_pairs == 1
    window.runs.show_capture(random_capture(5))
    assert panel.count.text() == "" and not selecting.undo.isEnabled()


def test_fifty_thousand_tokens_are_listed_when_they_are_seen(qtbot, window):
    selecting = part(window, "SelectionPart")
    selecting.dock.open()
    document = Document()
    document.open(random_capture(50, texts=1000, layers=1, heads=1, head_dim=2))
    selecting.panel.model.set_selection(Selection(document.token_lists).inverted())
    assert selecting.panel.model.rowCount() == 50_000
    assert selecting.panel.model.cells(49_999)[2:] == ("1000", "49")


def test_one_tool_serves_all_panels(window):
    window.brushing.use("lasso")
    assert [brush.tool for brush in window.brushing.brushes] == ["lasso"] * 3
    view = window.heatmap
    cell = view.frames.rect
    spots = [cell(*at).center().toTuple() for at in ((1, 1), (1, 8), (8, 8), (8, 1))]
    drag(view, *spots)
    assert window.document.selection.n_pairs > 20
    assert window.document.marks is not None
    assert len(window.scatter.lit.xs) == window.document.selection.n_pairs
    assert window.embedding.right.drawing.picked


def test_brushing_while_heads_change_and_another_capture_comes(qtbot, window):
    view, document = window.embedding, window.document
    for turn in range(6):
        area = view.right.area()
        drag(
            view, (area.left() + 2, area.top() + 2), (area.right() - 2, area.bottom() - 2),
            keys=SHIFT, release=False,
        )  # fmt: skip
        document.show_head(turn % 3, turn % 4, turn % 3)
        document.set_options(together=bool(turn % 2))
        document.move(t=0.1 * turn)
        if turn == 3:
            window.runs.show_capture(random_capture(5, layers=2))
            assert not document.selection
        window.set_theme("dark" if turn % 2 else "light")
        window.grab()
        QTest.mouseRelease(
            view.viewport(), Qt.MouseButton.LeftButton, SHIFT,
            QPoint(int(area.right()) - 2, int(area.bottom()) - 2),
        )  # fmt: skip
        document.undo()
        document.redo()
    assert document.selection.lists is document.token_lists
    assert document.selection.n_tokens == 5
    drag(window.scatter, (100, 60), (300, 120), keys=SHIFT, release=False)
    window.workspace.maximise(window.docks[0])  # hides what is being brushed
    assert not window.scatter.brusher.drawing


def test_a_brush_ends_with_its_capture(show):
    """A run that ends while an outline is drawn brings other tokens, and selects none."""
    view = show(EmbeddingView)
    area = view.right.area()
    corners = (area.left() + 2, area.top() + 2), (area.right() - 2, area.bottom() - 2)
    middle = QPoint(int(area.center().x()), int(area.center().y()))
    end = QPoint(*map(int, corners[1]))
    for moves_on in (False, True):
        drag(view, *corners, keys=SHIFT, release=False)
        assert view.brusher.drawing
        view.document.open(random_capture(7, layers=2, heads=2, head_dim=8))
        if moves_on:
            QTest.mouseMove(view.viewport(), middle)
            assert not view.brusher.drawing
        QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, SHIFT, end)
        assert not view.brusher.drawing
        assert not view.document.selection
    drag(view, *corners, keys=SHIFT)
    assert view.document.selection.n_tokens == 7


def test_a_brush_ends_with_its_text(show):
    view = show(EmbeddingView, texts=2)
    view.document.set_options(together=False)
    area = view.right.area()
    corners = (area.left() + 2, area.top() + 2), (area.right() - 2, area.bottom() - 2)
    drag(view, *corners, keys=SHIFT, release=False)
    view.document.show_head(text=1)
    QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, SHIFT, QPoint(300, 200))
    assert not view.document.selection


def test_a_brush_ends_where_the_keys_go_elsewhere(qtbot, window):
    view = window.embedding
    for leave in (window.text_bar.text_input.setFocus, window.docks[1].close):
        area = view.right.area()
        corners = (area.left() + 2, area.top() + 2), (area.right() - 2, area.bottom() - 2)
        drag(view, *corners, keys=SHIFT, release=False)
        assert view.brusher.drawing and view.brusher.outline.isVisible()
        leave()
        assert not view.brusher.drawing and not view.brusher.outline.isVisible()
        QTest.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, SHIFT, QPoint(300, 200))
        assert not window.document.selection
