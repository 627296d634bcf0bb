"""The curve: it draws the objective's own values, marks the best, and is dragged by the mouse."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtWidgets import QApplication

from attnviz_gui.geometry.correlation import OBJECTIVES, correlate
from attnviz_gui.geometry.fit import fit
from attnviz_gui.geometry.landscape import Landscape
from attnviz_gui.geometry.normalization import Normalization, shift_range
from attnviz_gui.geometry.transforms import balancing
from attnviz_gui.session.curve import Question, _samples, between, compute, reach
from attnviz_gui.session.document import Document
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import DARK, LIGHT
from attnviz_gui.ui.views.curve import CurveView
from tests.samples import random_capture
from tests.ui.test_scatter import close_to, pixels

WITH_SCALE = [name for name, each in OBJECTIVES.items() if each.uses_scale]
LEFT = Qt.MouseButton.LeftButton


class Later:
    """Work that is done when a test says so, the newest alone, as the window's worker does."""

    def __init__(self):
        self.asked = []

    def __call__(self, work, then):
        self.asked.append((work, then))

    def answer(self, which=-1):
        work, then = self.asked[which]
        then(work())


@pytest.fixture
def make(qtbot):
    """Return a function that shows the curve of so many random tokens."""

    def show(n_tokens=12, theme=LIGHT, size=(300, 140), offload=None, **sliders):
        document = Document()
        if n_tokens:
            document.open(random_capture(n_tokens, layers=1, heads=2))
            document.move(**sliders)
        view = CurveView(document, theme)
        if offload is not None:
            view.offload = offload
        qtbot.addWidget(view, before_close_func=lambda v: v.stop())
        view.resize(*size)
        view.show()
        qtbot.waitExposed(view)
        QApplication.processEvents()
        return view

    return show


def drawn(view) -> np.ndarray:
    return pixels(view.grab().toImage())


def at(image: np.ndarray, point: QPointF) -> np.ndarray:
    return image[int(point.y()), int(point.x())]


def objective_here(document, name) -> float:
    """The objective of the vectors as the document's frame has them."""
    frame = document.frame
    return correlate(frame.query, frame.key, name, document.picture.live.mask)


def test_the_line_goes_through_the_objective_s_values(make):
    view = make(t=0.2)
    picture, plot = view.document.picture, view.plot
    low, high = shift_range("constant", picture.live.key)
    assert (plot.curve.along[0], plot.curve.along[-1]) == (low, high)
    image = drawn(view)
    for share in (0.07, 0.31, 0.55, 0.82):
        t = low + share * (high - low)
        value = correlate(picture.live.query, picture.live.key + t, "cosine", picture.live.mask)
        assert between(plot.curve, t, 1.0) == pytest.approx(value, abs=1e-3)
        x, y = round(plot.x(t)), round(plot.y(value))
        column = image[y - 3 : y + 4, x].astype(int).sum(axis=1)
        assert column.min() < 300, (share, column)  # ink where the value is
    away = image[int(plot.inner.top()) + 2, int(plot.x(low + 0.1 * (high - low)))]
    assert away.sum() > 600


def test_the_title_says_the_exact_value_and_the_best(make):
    view = make(t=0.2)
    here = objective_here(view.document, "cosine")
    assert view.title() == f"cosine {number(here)}"
    best = view.curve.best
    live = view.document.picture.live
    shifts = np.linspace(view.curve.along[0], view.curve.along[-1], 101)
    values = [correlate(live.query, live.key + t, "cosine", live.mask) for t in shifts]
    assert best.value >= np.nanmax(values)
    assert f"best {number(best.value)}" in view.best_words()
    assert view.accessibleDescription().startswith(view.title())


def test_the_best_is_a_diamond_and_the_point_a_disc(make):
    view = make(t=0.2)
    image, plot = drawn(view), view.plot
    mark, point = plot.best_at(), view.point_at(plot)
    assert close_to(LIGHT.color("after"), at(image, point))
    inside = at(image, mark)
    edges = view.curve.best.edges
    assert (inside.sum() < 200) if edges else (inside.sum() > 600)
    side = at(image, mark + QPointF(4, 0))
    assert side.astype(int).sum() < 500


@pytest.mark.parametrize(
    ("mode", "name"),
    [("constant", "a"), ("centroid", "t"), ("locked", "c"), ("balanced", "t"), ("lifted", "t")],
)
def test_every_mode_has_its_axis_and_its_value(make, mode, name):
    view = make(mode=mode, t=0.4, scale=1.3)
    low, high = view.curve.along[0], view.curve.along[-1]
    assert (low, high) == reach(mode, shift_range(mode, view.document.picture.live.key), 0.4)
    best = view.curve.best
    if best.edges:
        assert view.best_words().endswith(f" of {name}")
    # The value at the point is that of the vectors as they are drawn.
    live = view.document.picture.live
    q, k = live.query, live.key
    matrix = balancing(q, k) if mode == "balanced" else np.eye(q.shape[1])
    if mode == "balanced":
        a = 0.4 * (matrix.T @ matrix @ q.mean(axis=0) - k.mean(axis=0))
    else:
        a = {
            "constant": np.full(q.shape[1], 0.4),
            "locked": 1.3**2 * q.mean(axis=0) - k.mean(axis=0),
        }.get(mode, 0.4 * (q.mean(axis=0) - k.mean(axis=0)))
    normalised = Normalization(a, 1.3, matrix, mode == "lifted").apply(q, k)
    value = correlate(*normalised, "cosine", live.mask)
    assert view.title() == f"cosine {number(value)}"


def test_the_mouse_drags_the_point(qtbot, make):
    view = make(mode="centroid", t=0.2)
    seen, plot = [], view.plot
    view.document.frame_changed.connect(lambda: seen.append(view.document.sliders.t))
    start = view.point_at(plot).toPoint()
    qtbot.mousePress(view, LEFT, pos=start)
    assert view.document.dragging
    for x in (plot.x(0.4), plot.x(0.6), plot.x(0.8)):
        qtbot.mouseMove(view, QPoint(round(x), start.y()))
    assert view.document.dragging and "≈" in view.title()
    drag_title = view.title()
    end = QPoint(round(plot.x(0.8)), start.y())
    assert view.plot.curve is plot.curve  # the curve does not depend on the point
    qtbot.mouseRelease(view, LEFT, pos=end)
    assert not view.document.dragging
    assert view.document.sliders.t == pytest.approx(0.8, abs=0.01)
    assert seen and all(b >= a for a, b in pairwise(seen))
    here = objective_here(view.document, "cosine")
    assert view.title() == f"cosine {number(here)}"
    between_samples = float(drag_title.split("≈ ")[1].replace("−", "-"))
    assert between_samples == pytest.approx(here, abs=2e-3)
    image = drawn(view)
    assert close_to(LIGHT.color("after"), at(image, view.point_at(view.plot)))


def test_a_drag_beyond_the_ends_stops_there_and_the_middle_is_exact(qtbot, make):
    view = make(t=0.2)
    plot = view.plot
    middle = QPoint(round(plot.x(0.0)), 60)
    qtbot.mousePress(view, LEFT, pos=middle)
    assert view.document.sliders.t == 0
    qtbot.mouseMove(view, QPoint(view.width() + 200, 60))
    assert view.document.sliders.t == plot.curve.question.high
    qtbot.mouseRelease(view, LEFT, pos=middle)


def test_in_mode_locked_the_drag_moves_c(qtbot, make):
    view = make(mode="locked")
    plot = view.plot
    qtbot.mousePress(view, LEFT, pos=QPoint(round(plot.x(2.0)), 60))
    qtbot.mouseRelease(view, LEFT, pos=QPoint(round(plot.x(2.0)), 60))
    assert view.document.sliders.scale == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("objective", WITH_SCALE)
def test_where_c_matters_it_is_a_map_and_both_are_dragged(qtbot, make, objective):
    view = make(t=0.1)
    view.set_objective(objective)
    assert view.document.objective == objective
    curve, plot = view.curve, view.plot
    assert plot.is_map and curve.values.shape == (len(curve.along), len(curve.scales))
    t, c = 0.5 * curve.question.high, 3.0
    target = QPoint(round(plot.x(t)), round(plot.y_of_scale(c)))
    qtbot.mousePress(view, LEFT, pos=view.point_at(plot).toPoint())
    qtbot.mouseMove(view, target)
    qtbot.mouseRelease(view, LEFT, pos=target)
    s = view.document.sliders
    assert s.t == pytest.approx(t, rel=0.03) and s.scale == pytest.approx(c, rel=0.03)
    here = objective_here(view.document, objective)
    assert view.title() == f"{objective} {number(here)}"
    # The colours are darkest where the value is highest.
    image = drawn(view)
    lightness = []
    for share in np.linspace(0.05, 0.95, 15):
        i, j = int(share * (len(curve.along) - 1)), len(curve.scales) // 3
        spot = QPointF(plot.x(curve.along[i]), plot.y_of_scale(curve.scales[j]))
        if not math.isnan(curve.values[i, j]):
            lightness.append((curve.values[i, j], int(at(image, spot).astype(int).sum())))
    order = sorted(lightness)
    if order[-1][0] - order[0][0] > 0.05:
        assert order[0][1] > order[-1][1]


def test_keys_move_the_point_and_enter_takes_it_to_the_best(qtbot, make):
    view = make(mode="centroid", t=0.5)
    qtbot.keyClick(view, Qt.Key.Key_Right)
    assert view.document.sliders.t == pytest.approx(0.51)
    qtbot.keyClick(view, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert view.document.sliders.t == pytest.approx(0.41)
    qtbot.keyClick(view, Qt.Key.Key_Return)
    assert view.document.sliders.t == view.curve.best.t
    assert view.title() == f"cosine {number(view.curve.best.value)}"
    view.document.move(t=0.3)
    qtbot.mouseDClick(view, LEFT, pos=QPoint(150, 60))
    qtbot.mouseRelease(view, LEFT, pos=QPoint(150, 60))
    assert view.document.sliders.t == view.curve.best.t


def test_one_token_is_undefined_and_says_why(qtbot, make):
    view = make(1)
    assert view.curve.best is None
    assert view.title() == "cosine undefined"
    assert "fewer than two pairs" in view.reason()
    hatched = drawn(view)
    plot = view.plot
    rows = slice(int(plot.inner.top()) + 2, int(plot.inner.bottom()) - 2)
    columns = slice(int(plot.inner.left()) + 2, int(plot.inner.left()) + 20)
    assert len(np.unique(hatched[rows, columns].reshape(-1, 3), axis=0)) > 1
    qtbot.keyClick(view, Qt.Key.Key_Return)  # nowhere to go
    assert view.document.sliders.t == 0


def test_undefined_stretches_are_gaps(make):
    view = make(12)
    curve = view.curve
    values = curve.values.copy()
    gap = slice(20, 60)
    values[gap] = np.nan
    view.curve = replace(curve, values=values)
    view._redraw()
    image, plot = drawn(view), view.plot
    middle = float(curve.along[40])
    column = image[int(plot.inner.top()) : int(plot.inner.bottom()), round(plot.x(middle))]
    assert column.astype(int).sum(axis=1).min() > 350  # hatching and grid, no line
    i = 10
    x, y = round(plot.x(float(curve.along[i]))), round(plot.y(float(values[i])))
    assert image[y - 2 : y + 3, x].astype(int).sum(axis=1).min() < 300
    assert math.isnan(between(view.curve, middle, 1.0))


def test_another_text_brings_another_curve(make):
    view = make(12, t=0.1)
    before = view.curve
    view.document.open(random_capture(20, layers=1, heads=2, seed=5))
    assert view.curve is not before
    assert view.curve.question.live is view.document.picture.live
    view.document.show_head(head=1)
    assert view.curve.question.live is view.document.picture.live


def test_while_waiting_the_last_curve_stays_grey_and_stale_answers_are_dropped(make):
    later = Later()
    view = make(12, offload=later, t=0.1)
    assert view.stale and view.curve is None
    later.answer()
    first = view.curve
    assert not view.stale and first is not None
    ink = drawn(view).astype(int).sum(axis=2).min()
    view.document.show_head(head=1)
    assert view.stale and view.curve is first and view.title() == "cosine …"
    inner = view.plot.inner.toRect().adjusted(3, 3, -3, -3)
    grey = drawn(view)[inner.top() : inner.bottom(), inner.left() : inner.right()]
    assert grey.astype(int).sum(axis=2).min() > ink + 100
    view.document.show_head(head=0)  # asked anew: the answer for head 1 comes too late
    later.answer(1)
    assert view.curve is first
    view.document.show_head(head=1)
    later.answer()
    assert view.curve.question.live is view.document.picture.live
    assert not view.stale


def test_a_drag_asks_for_nothing_and_rest_for_one_value(make):
    later = Later()
    view = make(12, offload=later, mode="centroid", t=0.1)
    later.answer()
    asked = len(later.asked)
    view.document.begin_drag()
    for t in np.linspace(0.1, 0.9, 9):
        view.document.move(t=float(t))
    assert len(later.asked) == asked
    view.document.end_drag()
    assert len(later.asked) == asked + 1
    curve = view.curve
    later.answer()
    assert view.curve is curve and "≈" not in view.title()


def test_a_hidden_curve_computes_nothing(qtbot, make):
    later = Later()
    view = make(12, offload=later)
    view.hide()
    asked = len(later.asked)
    view.document.show_head(head=1)
    assert len(later.asked) == asked
    view.show()
    assert len(later.asked) == asked + 1


def test_dark_is_light_on_dark_and_follows_the_theme(make):
    view = make(theme=DARK, t=0.1)
    dark = drawn(view)
    assert close_to(DARK.color("after"), at(dark, view.point_at(view.plot)))
    view.set_theme(LIGHT)
    light = drawn(view)
    assert close_to(LIGHT.color("after"), at(light, view.point_at(view.plot)))
    t = view.curve.along[10]
    spot = QPointF(view.plot.x(t), view.plot.y(view.curve.values[10]))
    assert at(dark, spot).astype(int).sum() > at(light, spot).astype(int).sum()


def test_an_empty_document_says_what_will_be_there(make):
    view = make(0)
    assert view.curve is None and view.plot is None
    assert len(np.unique(drawn(view).reshape(-1, 3), axis=0)) > 2


def test_a_typed_a_beyond_the_range_and_a_wider_range_are_shown(make):
    view = make(t=0.1)
    high = view.curve.question.high
    view.document.move(t=3 * high)
    assert view.curve.question.high == 3 * high
    view.document.move(t=0.1)
    view.widen(2.0, 1.0)
    assert view.curve.question.high == pytest.approx(2 * high)


def test_a_wider_range_of_c_is_shown(make):
    view = make()
    view.set_objective("euclidean")
    assert view.curve.question.scales == (0.1, 10.0)
    view.widen(1.0, 10.0)
    assert view.curve.question.scales == pytest.approx((0.01, 100.0))
    assert (view.curve.scales[0], view.curve.scales[-1]) == pytest.approx((0.01, 100.0))
    view.document.move(scale=1e3)
    assert view.curve.question.scales == pytest.approx((0.01, 1e3))
    assert view.point_at(view.plot).y() == pytest.approx(view.plot.inner.top())
    view.document.move(mode="locked", t=0.0, scale=50.0)
    assert (view.curve.question.low, view.curve.question.high) == pytest.approx((0.01, 100.0))


def test_stop_follows_no_longer_and_lets_the_point_go(qtbot, make):
    view = make(mode="centroid", t=0.2)
    qtbot.mousePress(view, LEFT, pos=view.point_at(view.plot).toPoint())
    view.stop()
    assert not view.document.dragging
    curve = view.curve
    view.document.show_head(head=1)
    assert view.curve is curve
    qtbot.mouseRelease(view, LEFT, pos=QPoint(1, 1))  # the next test has the same mouse


@pytest.mark.parametrize("size", [(180, 100), (300, 130), (700, 320)])
def test_at_any_size_curve_point_and_words_are_within(make, size):
    view = make(t=0.1, size=size)
    image, plot = drawn(view), view.plot
    assert plot.inner.width() > 80 and plot.inner.height() > 40
    assert close_to(LIGHT.color("after"), at(image, view.point_at(plot)))
    rim = np.concatenate([image[:, 0], image[:, -1], image[-1]])
    assert len(np.unique(rim, axis=0)) == 1  # nothing is cut off


def test_long_texts_have_fewer_samples_only_where_each_goes_through_all_pairs():
    for objective, fewer in (
        ("cosine", False),
        ("euclidean", False),
        ("rank", True),
        ("plane", True),
    ):
        shapes = []
        for n_tokens in (12, 700):
            live = one_head(n_tokens)
            land = Landscape(live, objective, "constant")
            shapes.append(_samples(land, live.mask.size))
        assert all(n % 2 and m % 2 for n, m in shapes)  # the middle, no shift and c = 1, is one
        assert (shapes[1] < shapes[0]) == fewer, objective


def one_head(n_tokens):
    document = Document()
    document.open(random_capture(n_tokens, layers=1, heads=1))
    return document.picture.live


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_every_sample_is_the_objective_of_the_vectors_there(objective):
    live = one_head(90)
    low, high = shift_range("constant", live.key)
    curve = compute(Question(live, objective, "constant", low, high))
    assert 0.0 in curve.along and curve.best is not None
    for i in (0, len(curve.along) // 3, len(curve.along) - 1):
        t = float(curve.along[i])
        j = 0 if curve.scales is None else len(curve.scales) // 3
        c = 1.0 if curve.scales is None else float(curve.scales[j])
        value = curve.values[i] if curve.scales is None else curve.values[i, j]
        expected = correlate(c * live.query, (live.key + t) / c, objective, live.mask)
        assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert curve.best.value >= np.nanmax(curve.values)
    assert curve.value_at(curve.best.t, curve.best.scale)[0] == pytest.approx(curve.best.value)


@pytest.mark.parametrize(("layer", "head"), [(0, 0), (1, 7), (2, 6), (3, 9), (4, 8)])
def test_a_ridge_of_the_map_is_followed_to_the_end_of_a(capybara, layer, head):
    document = Document()
    document.open(capybara)
    document.show_head(layer, head)
    live = document.picture.live
    found = fit(document.picture.source, "euclidean")
    best = compute(Question(live, "euclidean", "constant", *shift_range("constant", live.key))).best
    assert "t" in found.edges
    assert best is not None and best.edges == found.edges
    assert best.value == pytest.approx(found.value, abs=1e-4)
