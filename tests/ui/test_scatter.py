"""The scatter: what it draws is every pair, where it belongs, at every size of text."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QHelpEvent, QImage, QPainter, QWheelEvent
from PySide6.QtWidgets import QApplication, QToolTip

from attnviz_gui.geometry.normalization import SHIFT_MODES
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.offload import LIVE_PAIRS
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.pairs import grown, padded, take_pairs
from attnviz_gui.ui.views.points import CELL, DENSE, round_peak
from attnviz_gui.ui.views.scatter import ScatterView
from tests.samples import random_capture


@pytest.fixture
def make(qtbot):
    """Return a function that shows a scatter of so many random tokens."""

    def show(n_tokens=12, theme=LIGHT, size=(640, 360), t=0.3, **sample):
        document = Document()
        if n_tokens:
            document.open(random_capture(n_tokens, layers=1, heads=2, **sample))
            document.move(t=t)
        view = ScatterView(document, theme)
        qtbot.addWidget(view, before_close_func=lambda v: v.stop())
        view.start()
        view.resize(*size)
        view.show()
        qtbot.waitExposed(view)
        QApplication.processEvents()
        return view

    return show


def pixels(image: QImage) -> np.ndarray:
    """An image as (rows, columns, 3) of red, green, blue."""
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    rows, columns = image.height(), image.width()
    return np.frombuffer(image.bits(), np.uint8).reshape(rows, columns, 4)[:, :, 2::-1].copy()


def rendered(view, scale=1) -> np.ndarray:
    """The scene as a figure draws it."""
    image = QImage(view.size() * scale, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    view.render(painter, QRectF(0, 0, view.width(), view.height()), view.viewport().rect())
    painter.end()
    return pixels(image)


def only(view, item) -> None:
    """Hide what is drawn inside of the axes, but for one item."""
    for each in (view.before, view.after, view.marks):
        each.setVisible(each is item)


def inside(view) -> QRectF:
    """The view box in the viewport."""
    return view.box.mapRectToScene(view.box.rect())


def place(view, x, y) -> QPointF:
    """Where pyqtgraph itself has a point of data, in the viewport."""
    return view.box.mapViewToScene(QPointF(x, y))


def data(document) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Cosine distance and dot product of the allowed pairs, by plain formulas."""
    found = {}
    picture = document.picture
    for name, frame in (("before", picture.before), ("after", document.frame)):
        q, k = frame.query, frame.key
        dots = q @ k.T
        cosine = dots / np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1))
        found[name] = (1 - cosine)[picture.mask], dots[picture.mask]
    return found


def close_to(color, pixel, tolerance=3) -> bool:
    return np.abs(np.array(color.getRgb()[:3]) - pixel.astype(int)).max() <= tolerance


# -- points ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_every_pair_is_a_disc_at_its_place_and_there_is_nothing_else(make, scale):
    view = make(12)
    only(view, view.after)
    drawn = rendered(view, scale)
    box = inside(view).adjusted(2, 2, -2, -2)
    ink = (drawn != 255).any(axis=2)
    ink[: math.ceil(box.top() * scale)] = ink[math.floor(box.bottom() * scale) :] = False
    ink[:, : math.ceil(box.left() * scale)] = ink[:, math.floor(box.right() * scale) :] = False
    x, y = data(view.document)["after"]
    assert len(x) == 144
    centres = [place(view, a, b) for a, b in zip(x, y, strict=True)]
    wide = np.array([(c.x() * scale, c.y() * scale) for c in centres])
    assert all(ink[math.floor(b), math.floor(a)] for a, b in wide)
    row, column = np.nonzero(ink)
    apart = np.hypot(column[:, None] + 0.5 - wide[:, 0], row[:, None] + 0.5 - wide[:, 1])
    radius = view.after.disc_diameter / 2 * scale
    assert apart.min(axis=1).max() < radius + 1
    # A point that stands alone: its disc is round and where it belongs.
    lone = np.hypot(*(wide[:, None] - wide[None]).T) + 1e9 * np.eye(len(wide))
    alone = int(lone.min(axis=1).argmax())
    weight = (255 - drawn[row, column].mean(axis=1)) * (apart[:, alone] < radius + 1)
    centre = np.array([column + 0.5, row + 0.5]) @ weight / weight.sum()
    assert np.abs(centre - wide[alone]).max() < 0.3
    assert (weight > 0).sum() == pytest.approx(math.pi * radius**2, rel=0.45)


def test_a_point_for_each_pair_up_to_the_threshold_a_density_above_it(make):
    below, above = make(141), make(142)
    assert 141**2 < DENSE < 142**2
    assert not below.after.dense and "density" not in below.numbers()
    assert above.after.dense and above.numbers().endswith("20,164 pairs as density")


@pytest.mark.parametrize("cloud", ["before", "after"])
def test_a_density_counts_every_pair_once_and_shows_what_it_counts(make, cloud):
    view = make(150)
    item = getattr(view, cloud)
    assert item.counts.sum() == 150**2
    inner = item.counts[1:-1, 1:-1]
    assert inner.sum() == 150**2  # at rest, all are in sight
    only(view, item)
    drawn = rendered(view)
    # Cells as pyqtgraph's own coordinates have them.
    x, y = data(view.document)[cloud]
    box = inside(view)
    corner = box.topLeft()
    at = [place(view, a, b) - corner for a, b in zip(x, y, strict=True)]
    column = np.array([p.x() for p in at]) / CELL
    row = np.array([p.y() for p in at]) / CELL
    clear = (np.abs(column - column.round()) > 1e-3) & (np.abs(row - row.round()) > 1e-3)
    expected = np.zeros_like(inner)
    np.add.at(expected, (row[clear].astype(int), column[clear].astype(int)), 1)
    assert (inner >= expected).all()
    assert (inner - expected).sum() == (~clear).sum() < 250  # on an edge, rounding decides
    # Where something is counted there is colour, the more the darker, and nowhere else.
    left, top = round(corner.x()), round(corner.y())
    rows, columns = (int(n) - 1 for n in (box.height() / CELL, box.width() / CELL))
    seen = drawn[top + 1 : top + 1 + 2 * rows : 2, left + 1 : left + 1 + 2 * columns : 2]
    shown = inner[:rows, :columns]
    colored = (seen != 255).any(axis=2)
    assert np.array_equal(colored[1:, 1:], shown[1:, 1:] > 0)  # the axes' lines are at the edge
    light = seen.sum(axis=2)
    peak = int(shown.max())
    assert light[shown == peak].max() < light[shown == 1].min()


def test_zooming_loses_no_pair_and_a_double_click_shows_all_again(qtbot, make):
    view = make(150)
    whole = view.box.viewRange()
    wheel(view, inside(view).center(), 480)
    assert view.box.viewRange() != whole
    for cloud in (view.before, view.after):
        assert cloud.counts.sum() == 150**2
        assert cloud.counts[1:-1, 1:-1].sum() < 150**2
    zoomed = view.box.viewRange()
    view.document.move(t=0.4)
    assert view.box.viewRange() == zoomed  # the user's own range stays
    view.document.move(t=0.3)
    x, y = data(view.document)["after"]
    spot = next(
        at.toPoint()
        for at in (place(view, *pair) for pair in zip(x, y, strict=True))
        if inside(view).adjusted(9, 9, -9, -9).contains(at)
    )
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert view.document.pinned
    qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    qtbot.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert np.allclose(view.box.viewRange(), whole)
    assert not view.document.pinned  # the first of the two clicks had pinned


def wheel(view, where: QPointF, delta: int) -> None:
    event = QWheelEvent(
        where, QPointF(view.viewport().mapToGlobal(where.toPoint())), QPoint(), QPoint(0, delta),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase,
        False,
    )  # fmt: skip
    QApplication.sendEvent(view.viewport(), event)


def test_pairs_that_the_mask_forbids_are_not_drawn(make):
    view = make(30, causal=True)
    assert len(view.after.xs) == 30 * 31 // 2
    x, y = data(view.document)["after"]
    assert np.allclose(view.after.xs, x, atol=1e-6) and np.allclose(view.after.ys, y, rtol=1e-5)
    assert view.numbers().endswith("465 pairs")
    view.document.hover(query=0)
    assert len(view.marks.focus[0].after) == 1  # the first token sees only itself
    view.document.hover(query=0, key=5)
    assert len(view.marks.focus[0].after) == 0
    dense = make(220, causal=True)
    assert dense.after.dense
    assert dense.after.counts.sum() == 220 * 221 // 2


def test_the_real_model_s_pairs(qtbot, capybara):
    document = Document()
    document.open(capybara)
    document.show_head(1, 7)
    document.move(mode="centroid", t=1.0)
    view = ScatterView(document, LIGHT)
    qtbot.addWidget(view, before_close_func=lambda v: v.stop())
    view.start()
    for name, cloud in (("before", view.before), ("after", view.after)):
        x, y = data(document)[name]
        assert np.allclose(cloud.xs, x, atol=1e-6) and np.allclose(cloud.ys, y, rtol=1e-5)
    assert view.numbers().endswith(f"{11 * 11} pairs")


# -- numbers and lines -----------------------------------------------------------------------------


@pytest.mark.parametrize("sample", [{}, {"causal": True}])
@pytest.mark.parametrize("n_tokens", [12, 150])
def test_lines_and_r_are_those_of_numpy(make, n_tokens, sample):
    view = make(n_tokens, **sample)
    written = []
    for (name, (x, y)), (line, _) in zip(
        data(view.document).items(), view.marks.lines, strict=True
    ):
        slope, intercept = np.polyfit(x, y, 1)
        assert line.slope == pytest.approx(slope, rel=1e-9), name
        assert line.intercept == pytest.approx(intercept, rel=1e-9), name
        assert (line.left, line.right) == pytest.approx((x.min(), x.max()))
        ends = view.marks.line_ends(line)
        start = place(view, x.min(), slope * x.min() + intercept)
        corner = inside(view).topLeft()
        assert ends.x1() == pytest.approx(start.x() - corner.x(), abs=1e-6)
        assert ends.y1() == pytest.approx(start.y() - corner.y(), abs=1e-6)
        written.append(number(np.corrcoef(x, y)[0, 1]))
    assert view.numbers().startswith(f"r {written[0]} → {written[1]} · ")
    words = [entry.words for entry in view.legend.entries]
    assert words[:2] == [f"before  r {written[0]}", f"after  r {written[1]}"]


def test_the_lines_are_drawn_over_the_points(make):
    view = make(12)
    drawn = pixels(view.grab().toImage())
    corner = inside(view).topLeft()
    line, pen = view.marks.lines[1]
    ends = view.marks.line_ends(line).translated(corner)
    for share in (0.25, 0.5, 0.75):
        at = ends.pointAt(share)
        assert close_to(pen.color(), drawn[math.floor(at.y()), math.floor(at.x())], 60)


def test_one_pair_has_no_line_and_no_r(make):
    view = make(1)
    assert view.numbers() == "r undefined · 1 pair"
    assert view.marks.lines == []
    assert [e.words for e in view.legend.entries] == ["before  r undefined", "after  r undefined"]
    drawn = pixels(view.grab().toImage())
    x, y = data(view.document)["after"]
    at = place(view, float(x[0]), float(y[0]))
    assert close_to(LIGHT.color("after"), drawn[int(at.y()), int(at.x())], 70)


def test_pairs_with_a_zero_vector_have_no_distance_and_that_is_said(make):
    view = make(6, t=0.0)
    frame = view.document.frame
    view.document.picture.live.query[2] = 0.0
    pairs = take_pairs(view.document.picture.live.frame(frame.shift, 1.0), np.ones((6, 6), bool))
    assert len(pairs) == 30 and pairs.n_undefined == 6
    assert {pairs.pair(point)[0] for point in range(30)} == {0, 1, 3, 4, 5}
    view.document.move(t=0.1)
    assert view.numbers().endswith("30 pairs, 6 without a distance")
    view.document.hover(query=2)
    assert len(view.marks.focus[0].after) == 0


# -- the slider ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_tokens", [40, 150])
def test_while_a_slider_moves_the_cloud_before_and_the_axes_hold_still(make, n_tokens):
    view = make(n_tokens, t=0.0)
    document = view.document
    document.move(t=0.3)
    only(view, view.before)
    shown, old, counts = view.box.viewRange(), rendered(view), view.before.counts
    only(view, view.after)
    after = rendered(view)
    document.begin_drag()
    for t in (0.25, 0.2, 0.1):
        document.move(t=t)
        assert view.box.viewRange() == shown
    box = inside(view).toRect()
    cut = np.s_[box.top() : box.bottom(), box.left() : box.right()]
    assert (rendered(view)[cut] != after[cut]).any()
    only(view, view.before)
    # Colours may make room for higher counts after; where grey is stays.
    grey, was = ((image[cut] != 255).any(axis=2) for image in (rendered(view), old))
    assert (grey == was).all() and was.any()
    assert view.before.counts is counts
    document.end_drag()
    points = data(document)
    every = [np.concatenate([points[name][axis] for name in points]) for axis in (0, 1)]
    for (low, high), values in zip(view.box.viewRange(), every, strict=True):
        assert low <= values.min() and high >= values.max()
        assert (high - low) == pytest.approx(1.1 * np.ptp(values), rel=0.1)


def test_in_a_drag_the_axes_grow_when_they_must(make):
    view = make(20, t=0.0)
    document = view.document
    document.begin_drag()
    document.move(t=3.0)
    x, y = data(document)["after"]
    (left, right), (bottom, top) = view.box.viewRange()
    assert left <= x.min() and right >= x.max() and bottom <= y.min() and top >= y.max()
    document.end_drag()


def test_ranges():
    assert padded(0.0, 1.0) == (-0.05, 1.05)
    for value in (0.0, 3.0, -1e6):
        low, high = padded(value, value)
        assert low < value < high
    assert grown(0.0, 1.0, 0.4, 0.6) == (0.0, 1.0)  # there is room already
    assert grown(0.0, 1.0, -1.0, 0.8) == pytest.approx((-1.7, 1.5))
    assert grown(0.0, 1.0, -1.0, 0.8, (-1.2, 1.2)) == (-1.2, 1.2)
    assert [round_peak(n) for n in (0, 1, 2, 3, 9, 10, 11, 230, 10**7)] == [
        2, 2, 2, 5, 10, 10, 20, 500, 100_000,
    ]  # fmt: skip


# -- very many pairs -------------------------------------------------------------------------------


def test_too_many_pairs_are_a_part_while_moving_and_all_of_them_at_rest(make):
    view = make(600)
    document = view.document
    assert LIVE_PAIRS < 600**2
    assert view.after.counts.sum() == view.before.counts.sum() == 600**2
    assert view.numbers().endswith("360,000 pairs as density")
    document.begin_drag()
    document.move(t=0.2)
    part = len(view.after.xs)
    assert 250_000 < part <= 262_144
    assert view.numbers().endswith(f"{part:,} of 360,000 pairs as density while moving")
    # The part is even over the queries, and r is that of all pairs.
    queries = {view._pairs[1].pair(point)[0] for point in range(0, part, 600)}
    assert max(np.diff(sorted(queries))) == 2
    x, y = data(document)["after"]
    assert f"→ {number(np.corrcoef(x, y)[0, 1])} ·" in view.numbers()
    document.end_drag()
    assert len(view.after.xs) == 600**2


@pytest.mark.parametrize("causal", [False, True])
def test_the_part_is_random_within_the_mask_and_where_it_belongs_in_every_mode(make, causal):
    view = make(900 if causal else 600, causal=causal, head_dim=8)
    document = view.document
    n_pairs = document.picture.n_pairs
    document.begin_drag()
    for mode in SHIFT_MODES:
        document.move(mode=mode, t=0.4, scale=1.3)
        assert view.numbers().endswith(f"262,144 of {n_pairs:,} pairs as density while moving")
        pairs, frame = view._pairs[1], document.frame
        some = range(0, len(pairs), 997)
        i, j = np.array([pairs.pair(point) for point in some]).T
        assert document.picture.mask[i, j].all()
        q, k = frame.query[i], frame.key[j]
        dots = (q * k).sum(axis=1)
        cosine = dots / np.linalg.norm(q, axis=1) / np.linalg.norm(k, axis=1)
        assert np.allclose(pairs.y[list(some)], dots, atol=1e-4)
        assert np.allclose(pairs.x[list(some)], 1 - cosine, atol=1e-4)
    # Uniform over the allowed pairs: about the same share of each query's.
    sample = document.picture.sample
    taken = np.bincount(sample.query)
    allowed = document.picture.mask.sum(axis=1)
    share = len(sample.query) / n_pairs
    spread = np.sqrt(np.maximum(allowed * share * (1 - share), 1))
    assert (np.abs(taken - allowed * share) < 5 * spread).all()
    document.end_drag()


def test_work_is_handed_out_and_a_late_result_is_dropped(make):
    view = make(600)
    document, waiting = view.document, []
    view.offload = lambda work, then: waiting.append((work, then))
    document.move(t=0.1)
    assert view.numbers().endswith("pairs as density so far")
    work, then = waiting.pop()
    late = work()
    document.move(t=-0.1)
    then(late)
    assert len(view.after.xs) < 600**2  # still the part of the newer frame
    assert work() is None  # and what has not begun need not begin
    work, then = waiting.pop()
    then(work())
    x, _ = data(document)["after"]
    assert np.allclose(view.after.xs, x, atol=1e-6)
    document.move(t=0.3)
    work, then = waiting.pop()
    shown = view.after.xs
    result = work()
    view.stop()
    then(result)  # the view is gone: nothing is drawn any more
    assert view.after.xs is shown


def test_2000_tokens(make):
    view = make(2000, head_dim=8)
    assert view.after.counts.sum() == 4_000_000
    assert view.numbers().endswith("4,000,000 pairs as density")
    drawn = pixels(view.grab().toImage())
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 50
    view.document.hover(query=7)
    assert len(view.marks.focus[0].after) == 2000
    view.document.begin_drag()
    view.document.move(t=0.1)
    assert "262,144 of 4,000,000 pairs as density while moving" in view.numbers()
    assert len(view.marks.focus[0].after) == 2000
    view.document.end_drag()


def test_very_many_pairs_are_counted_for_new_axes_in_a_worker(make):
    view = make(2000, head_dim=8)
    waiting = []
    view.recount = lambda work, then: waiting.append((work, then))
    old = view.after.counts
    before = pixels(view.grab().toImage())
    view.box.scaleBy((0.5, 0.5))
    assert view.after.stale
    assert view.after.counts is old  # stretched to the new axes until they are counted
    stretched = pixels(view.grab().toImage())
    assert (stretched != before).any()
    work, then = waiting.pop()
    then(work())
    assert not view.after.stale
    assert view.after.counts.sum() == 4_000_000
    exact = pixels(view.grab().toImage())
    # Both show the same cloud at the same place: the stretched one only more coarsely.
    ground = exact[2, 2]
    inked = [(picture != ground).any(axis=-1) for picture in (stretched, exact)]
    assert (inked[0] == inked[1]).mean() > 0.9
    assert (stretched != exact).any()


# -- focus, watched pairs, mouse and keys ----------------------------------------------------------


def test_the_mouse_over_a_point_lights_up_its_pair(qtbot, make):
    view = make(12)
    x, y = data(view.document)["after"]
    lone = np.hypot((x[:, None] - x) / np.ptp(x), (y[:, None] - y) / np.ptp(y))
    pair = int((lone + 9 * np.eye(len(x))).min(axis=1).argmax())
    at = place(view, x[pair], y[pair]).toPoint()
    qtbot.mouseMove(view.viewport(), at + QPoint(1, 1))
    assert view.document.focus == Focus(*divmod(pair, 12))
    assert view.readout.isVisible()
    picture = view.document.picture
    i, j = divmod(pair, 12)
    said = " ".join(view.readout.lines)
    assert f"t{i} → t{j}".replace("t0", "[CLS]").replace("t11", "[SEP]") in said
    assert number(float(picture.attention[i, j])) in said
    assert f"→ {number(float(y[pair]))}" in said and f"→ {number(float(x[pair]))}" in said
    assert view.rect().contains(view.readout.geometry())
    assert not view.readout.geometry().contains(at)
    # No tooltip over it, and nothing of it in a figure.
    tip = QHelpEvent(QEvent.Type.ToolTip, at, view.viewport().mapToGlobal(at))
    QApplication.sendEvent(view.viewport(), tip)
    assert not QToolTip.isVisible()
    plain = rendered(view)
    view.readout.hide()
    assert (rendered(view) == plain).all()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert view.document.pinned == Focus(i, j)
    qtbot.mouseMove(view.viewport(), QPoint(2, 2))
    assert view.document.focus == Focus(i, j)  # pinned
    assert not view.readout.isVisible()
    view.document.clear_focus()
    assert not view.marks.focus


@pytest.mark.parametrize("n_tokens", [30, 150])
def test_the_nearest_pair_is_meant_before_only_where_after_is_farther(make, n_tokens):
    view = make(n_tokens)
    points = data(view.document)
    rng = np.random.default_rng(0)
    n_before = 0
    for _ in range(60):
        box = inside(view)
        spot = QPoint(
            int(rng.uniform(box.left(), box.right())), int(rng.uniform(box.top(), box.bottom()))
        )
        centre = view.box.mapViewToScene(QPointF(0, 0))
        one = view.box.mapViewToScene(QPointF(1, 1)) - centre
        best = []
        for name in ("after", "before"):
            x, y = points[name]
            apart = np.hypot(
                centre.x() + x * one.x() - spot.x(), centre.y() + y * one.y() - spot.y()
            )
            best.append((apart.min(), divmod(int(apart.argmin()), n_tokens)))
        found = view.pair_at(QPointF(spot))
        if min(best)[0] > 10.001:
            assert found is None
            continue
        cloud, *pair = found
        meant = 0 if best[0][0] <= best[1][0] else 1
        if abs(best[0][0] - best[1][0]) > 1e-3:
            assert cloud is (view.before if meant else view.after)
            assert tuple(pair) == best[meant][1]
            n_before += meant
    assert n_before > 0


def test_a_focus_is_drawn_over_the_points_and_never_recolours_them(make):
    view = make(12)
    plain = rendered(view)
    bare = view.after.xs
    view.document.hover(query=3)
    assert view.after.xs is bare
    lit = rendered(view)
    x, y = data(view.document)["after"]
    row = [place(view, a, b) for a, b in zip(x[36:48], y[36:48], strict=True)]
    at = [lit[math.floor(p.y()), math.floor(p.x())] for p in row]
    assert sum(close_to(LIGHT.color("query"), pixel) for pixel in at) >= 10  # some lie on others
    assert "query t3" in [e.words for e in view.legend.entries]
    view.document.hover(key=3)
    lit = rendered(view)
    column = [place(view, a, b) for a, b in zip(x[3::12], y[3::12], strict=True)]
    at = [lit[math.floor(p.y()), math.floor(p.x())] for p in column]
    assert sum(close_to(LIGHT.color("key"), pixel) for pixel in at) >= 10
    view.document.hover(query=3, key=4)
    lit = rendered(view)
    p = place(view, x[40], y[40])
    assert close_to(LIGHT.color("query"), lit[math.floor(p.y()), math.floor(p.x())])
    assert not view.readout.isVisible()  # it was lit elsewhere: it is read there
    view.document.hover()
    assert (rendered(view) == plain).all()


def test_many_marks_are_where_few_are(make):
    view = make(100, size=(1000, 700))
    only(view, view.marks)
    view.marks.lines = []
    view.document.hover(query=3)
    drawn = rendered(view)
    x, y = (values[300:400] for values in data(view.document)["after"])
    centres = [place(view, a, b) for a, b in zip(x, y, strict=True)]
    at = np.array([(p.x(), p.y()) for p in centres])
    apart = np.hypot(*(at[:, None] - at[None]).T) + 1e9 * np.eye(len(at))
    alone = np.flatnonzero(apart.min(axis=1) > 6)  # no other one's edge covers it
    assert len(alone) > 20
    for left, top in np.floor(at[alone]).astype(int):
        assert close_to(LIGHT.color("query"), drawn[top, left])


def test_watched_pairs_are_red_with_a_line_from_before_to_after(make):
    view = make(12, t=1.0)
    view.document.watch([WatchedPair("t2", "t5"), WatchedPair("not", "here")])
    drawn = rendered(view)
    ends = [place(view, *(values[29] for values in data(view.document)[name]))
            for name in ("before", "after")]  # fmt: skip
    red = LIGHT.color("watched")
    assert close_to(red, drawn[math.floor(ends[1].y()), math.floor(ends[1].x())])
    middle = (ends[0] + ends[1]) / 2
    near = drawn[
        round(middle.y()) - 2 : round(middle.y()) + 2, round(middle.x()) - 2 : round(middle.x()) + 2
    ]
    assert min(np.abs(near.reshape(-1, 3).astype(int) - red.getRgb()[:3]).sum(axis=1)) < 90
    assert "watched" in [e.words for e in view.legend.entries]
    view.document.watch([])
    assert not view.marks.watched


def test_shift_and_arrows_move_the_pinned_pair(qtbot, make):
    view = make(5, causal=True)
    document, shift = view.document, Qt.KeyboardModifier.ShiftModifier
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_Down, shift)
    assert document.pinned == Focus(0, 0)
    qtbot.keyClick(view, Qt.Key.Key_Right, shift)
    assert document.pinned == Focus(0, 0)  # the mask forbids all there
    qtbot.keyClick(view, Qt.Key.Key_Down, shift)
    qtbot.keyClick(view, Qt.Key.Key_Right, shift)
    assert document.pinned == Focus(1, 1)
    assert view.readout.isVisible()
    qtbot.keyClick(view, Qt.Key.Key_Left, shift)
    qtbot.keyClick(view, Qt.Key.Key_Left, shift)
    assert document.pinned == Focus(1, 0)
    qtbot.keyClick(view, Qt.Key.Key_Down)  # without shift: the window's
    assert document.pinned == Focus(1, 0)


# -- the frame around it ---------------------------------------------------------------------------


def test_nothing_to_show_says_what_to_do(make):
    view = make(0)
    assert view.numbers() == ""
    empty = pixels(view.grab().toImage())
    assert (empty != 255).any()  # the sentence
    assert (empty[: view.height() // 3] == 255).all()  # and nothing else: no axes
    view.document.open(random_capture(4))
    assert (pixels(view.grab().toImage())[: view.height() // 3] != 255).any()


@pytest.mark.parametrize("n_tokens", [1, 2, 12, 150])
@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=lambda t: t.name)
def test_every_theme_at_every_size(make, n_tokens, theme):
    view = make(n_tokens, theme)
    for size in ((260, 150), (900, 500)):
        view.resize(*size)
        QApplication.processEvents()
        drawn = pixels(view.grab().toImage())
        assert close_to(theme.color("ground"), drawn[1, -2])
        box = inside(view).toRect()
        colors = drawn[box.top() : box.bottom(), box.left() : box.right()].reshape(-1, 3)
        green = (colors[:, 1].astype(int) - colors[:, 0]) > 40
        assert green.any()
        # The legend leaves out what has no room and cuts nothing.
        metrics = view.legend._metrics
        for x, entry in view.legend.shown():
            assert x + metrics.horizontalAdvance(entry.words) <= view.legend.size().width()


def test_paper_has_black_text_and_another_theme_can_be_taken(make):
    view = make(12, PAPER)
    drawn = rendered(view, 4)
    title = drawn[-4 * 22 :]
    assert (title.max(axis=2) < 10).any()
    view.retheme(DARK)
    QApplication.processEvents()
    drawn = pixels(view.grab().toImage())
    assert close_to(DARK.color("ground"), drawn[1, -2])
    box = inside(view).toRect()
    below = drawn[box.bottom() + 4 :]
    assert (below.min(axis=2) > 180).any()  # light words on a dark ground
    assert view.marks.lines[1][1].color() != QColor(LIGHT.after)


def test_axes_are_named_and_minus_is_a_minus(make):
    view = make(12)
    left, bottom = view.axes
    assert left.labelText == "dot product q·k" and bottom.labelText == "cosine distance"
    assert left.tickStrings([-10.0, 0.0], 1.0, 10.0) == ["−10", "0"]


def test_it_can_be_reached_without_eyes(make):
    view = make(12)
    assert view.accessibleName() == view.title() == "Dot product and cosine distance"
    assert "pixels" in view.toolTip() and "Double click" in view.toolTip()
    assert view.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert re.fullmatch(r"r −0\.\d{3} → −0\.\d{3} · 144 pairs", view.numbers())


def test_it_draws_no_more_once_stopped(make):
    view = make(12)
    view.stop()
    shown = view.after.xs
    view.document.move(t=1.0)
    view.document.hover(query=1)
    assert view.after.xs is shown and not view.marks.focus
