"""The joint plane: what is drawn where, what the mouse finds, how it moves."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.watch import WatchedPair
from attnviz_gui.session.words import number
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.marks import line_class
from tests.samples import random_capture
from tests.ui.known import at, count, known_capture, near, picture_of, pixels, rgb, rows_of_one

ATTENTION = rows_of_one([[5, 1, 1, 3], [1, 1, 7, 1], [90, 1, 4, 5], [1, 20, 1, 2]])
NO_MODIFIER, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def embedding(qtbot):
    """Make an embedding of a capture (None: of nothing) and show it."""
    views = []

    def make(capture=None, theme=LIGHT, size=(900, 480), **options) -> EmbeddingView:
        document = Document()
        document.set_options(**options)
        if capture is not None:
            document.open(capture)
        view = EmbeddingView(document, theme)
        views.append(view)
        qtbot.addWidget(view)
        view.resize(*size)
        view.start()
        with qtbot.waitExposed(view):
            view.show()
        return view

    yield make
    for view in views:
        view.stop()


def planes(view: EmbeddingView):
    """The planes that are shown."""
    return [plane for plane in (view.left, view.right) if plane.isVisible() and plane.scene()]


def exact_spot(view: EmbeddingView, plane, index: int) -> tuple[float, float]:
    """Where a point must be in the view, by the axes alone: queries first, then keys."""
    x, y = plane.drawing.xy[index].tolist()
    scene = plane.box.mapToScene(plane.box.mapFromView(QPointF(x, y)))
    return view.viewportTransform().map(scene).toTuple()


def spot(view: EmbeddingView, plane, index: int) -> QPoint:
    """The pixel in which a point must be."""
    return QPoint(*(int(v) for v in exact_spot(view, plane, index)))


def positions(frame) -> np.ndarray:
    return np.concatenate([frame.projection.query_xy, frame.projection.key_xy])


def move_to(view: EmbeddingView, point: QPoint) -> None:
    QTest.mouseMove(view.viewport(), point)
    QApplication.processEvents()


def click(view: EmbeddingView, point: QPoint, modifier=NO_MODIFIER) -> None:
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifier, point)
    QApplication.processEvents()


def wheel(view: EmbeddingView, point: QPoint, notches: int) -> None:
    event = QWheelEvent(
        QPointF(point), QPointF(view.viewport().mapToGlobal(point)), QPoint(),
        QPoint(0, 120 * notches), Qt.MouseButton.NoButton, NO_MODIFIER,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view.viewport(), event)
    QApplication.processEvents()


def lone_point(view: EmbeddingView, plane, kind: str = "query") -> int:
    """A query's or key's point that no other one comes near to, as an index of points."""
    points = plane.drawing.pixels()
    gaps = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    np.fill_diagonal(gaps, np.inf)
    n = plane.drawing.n_queries
    rows = range(n) if kind == "query" else range(n, len(points))
    best = max(rows, key=lambda i: gaps[i].min())
    assert gaps[best].min() > 14
    return best


def same_look(one, other) -> bool:
    (a, unit), (b, other_unit) = one, other
    return np.allclose(a, b, atol=1e-3 * unit) and bool(np.isclose(unit, other_unit))


def labels_overlap(plane) -> bool:
    rectangles = plane.drawing.label_rectangles()
    return any(a.intersects(b) for i, a in enumerate(rectangles) for b in rectangles[:i])


# -- the points ----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["before", "after", "both"])
def test_markers_stand_where_the_axes_say(embedding, option):
    view = embedding(known_capture(ATTENTION), plane=option)
    view.document.move(mode="centroid", t=0.8, scale=1.3)
    image = picture_of(view)
    document = view.document
    wanted = {
        "before": [document.picture.before],
        "after": [document.frame],
        "both": [document.picture.before, document.frame],
    }[option]
    shown = planes(view)
    assert len(shown) == len(wanted)
    for plane, frame in zip(shown, wanted, strict=True):
        assert np.array_equal(plane.drawing.xy, positions(frame))
        for i in range(8):
            role = "query" if i < 4 else "key"
            assert near(at(image, spot(view, plane, i)), rgb(LIGHT.color(role)), 12), (i, role)


def test_queries_are_round_keys_are_triangles_and_both_are_centred(embedding):
    view = embedding(known_capture(ATTENTION), plane="after", lines="none")
    image = picture_of(view)
    for role in ("query", "key"):
        x, y = exact_spot(view, view.right, lone_point(view, view.right, role))
        left, top = int(x) - 6, int(y) - 6  # the marker without its label
        area = pixels(image.copy(left, top, 13, 13))
        ink = np.clip(1 - np.abs(area - rgb(LIGHT.color(role))).max(axis=-1) / 200, 0, 1)
        ink[ink < 0.3] = 0
        rows, columns = np.indices(ink.shape) + 0.5
        assert abs((ink * columns).sum() / ink.sum() + left - x) < 0.6
        assert abs((ink * rows).sum() / ink.sum() + top - y) < 0.6
        widths = (ink > 0.8).sum(axis=1)
        widths = widths[widths > 0]
        assert len(widths) > 4
        if role == "query":
            assert abs(widths[0] - widths[-1]) <= 2
        else:  # a tip above, a base below
            assert widths[0] < widths[-1] / 2


@pytest.mark.parametrize("size", [(900, 480), (600, 500), (450, 330), (330, 700)])
def test_a_pixel_is_as_long_on_both_axes_at_any_size(embedding, size):
    view = embedding(known_capture(ATTENTION), size=size)
    view.document.move(t=0.4, scale=1.5)
    for step in range(2):
        units = set()
        for plane in planes(view):
            a, b = (plane.box.mapFromView(QPointF(*xy)) for xy in ((0, 0), (1, 1)))
            across, down = abs(b.x() - a.x()), abs(b.y() - a.y())
            assert across == pytest.approx(down, rel=1e-6)
            units.add(round(across, 6))
        assert len(units) == 1  # before and after have one scale
        view.resize(size[0] + 60 + step, size[1] + 10)
        QApplication.processEvents()


def test_all_points_are_in_sight(embedding, capybara):
    view = embedding(capybara)
    for head in range(4):
        view.document.show_head(3, head)
        for plane in planes(view):
            points = plane.drawing.pixels()
            width, height = plane.room
            assert points.min() > 4
            assert points[:, 0].max() < width - 4 and points[:, 1].max() < height - 4


def test_before_and_after_get_scales_of_their_own_when_one_would_vanish(embedding):
    view = embedding(known_capture(ATTENTION))
    assert "drawn" not in view.right.caption.rest
    view.document.move(scale=10.0)
    ratio = view.right.looking()[1] / view.left.looking()[1]
    assert ratio > 3
    assert f"drawn {number(ratio, 2)}× smaller" in view.right.caption.rest
    view.document.move(scale=1.2)
    assert view.right.looking()[1] == pytest.approx(view.left.looking()[1])
    assert "drawn" not in view.right.caption.rest


def test_captions_say_what_a_and_c_are(embedding):
    view = embedding(known_capture(ATTENTION))
    captions = [view.left.caption, view.right.caption]
    assert [(c.word, c.rest) for c in captions] == [
        ("before", "a = 0, c = 1"),
        ("after", "a = 0, c = 1"),
    ]
    view.document.move(t=-0.25, scale=2.0)
    assert captions[1].rest == "a = −0.250, c = 2.00"
    view.document.move(mode="centroid", t=1.0)
    assert "a = 1.00 · (q̄ − k̄), c = 2.00" in captions[1].rest
    view.document.move(mode="locked")
    assert "a = c²·q̄ − k̄" in captions[1].rest
    assert captions[0].rest == "a = 0, c = 1"


def test_title_and_numbers(embedding, capybara):
    view = embedding(capybara)
    document = view.document
    document.show_head(1, 7)
    assert view.title() == "Queries and keys  L1 H7"
    picture = document.picture
    best = picture.attention.argmax(axis=1)

    def facts(frame) -> tuple[str, str]:
        p = frame.projection
        length = np.hypot(*(p.query_xy - p.key_xy[best]).T).mean()
        return number(100 * p.explained.sum(), 2), number(length)

    share, mean = facts(picture.before)
    assert view.numbers() == f"{share} % of variance · mean distance {mean}"
    document.move(mode="centroid", t=1.0)
    share_after, mean_after = facts(document.frame)
    text = f"{share} → {share_after} % of variance · mean distance {mean} → {mean_after}"
    assert view.numbers() == text
    document.set_options(lines="none")
    assert view.numbers() == text
    document.set_options(lines="top entries", n_lines=5)
    assert view.numbers() != text


# -- lines ---------------------------------------------------------------------------------------


def line_ink(view: EmbeddingView, plane, query: int, key: int) -> float:
    """How much darker than the ground the picture is across the middle of a pair's line."""
    n = plane.drawing.n_queries
    a, b = (np.array(spot(view, plane, i).toTuple(), float) for i in (query, key + n))
    along = (b - a) / np.hypot(*(b - a))
    across = np.array([-along[1], along[0]])
    shown = pixels(picture_of(view))
    darkness = 0.0
    for step in np.arange(-6, 6.5, 0.5):
        x, y = np.round((a + b) / 2 + step * across).astype(int)
        darkness += float(255 - shown[y, x].mean())
    return darkness


def test_each_query_has_a_line_to_its_most_attended_key_wider_the_more_it_attends(embedding):
    attention = rows_of_one([[60, 1, 1, 1], [1, 5, 4, 4], [1, 1, 60, 1], [1, 1, 1, 9]])
    view = embedding(known_capture(attention), plane="after", size=(700, 600))
    links = view.right.drawing.links
    assert list(zip(links.start.tolist(), (links.end - 4).tolist(), strict=True)) == [
        (0, 0), (1, 1), (2, 2), (3, 3),
    ]  # fmt: skip
    strong, weak = line_ink(view, view.right, 0, 0), line_ink(view, view.right, 1, 1)
    assert strong > 1.5 * weak > 0
    view.document.set_options(lines="none")
    assert len(view.right.drawing.links) == 0
    assert line_ink(view, view.right, 0, 0) < weak / 4


def test_line_classes_grow_with_attention():
    weights = np.array([0.0, 0.04, 0.06, 0.15, 0.3, 0.5, 0.9, 1.0])
    assert line_class(weights).tolist() == [0, 0, 1, 2, 3, 4, 5, 5]


def test_top_entries_are_of_the_whole_matrix(embedding):
    view = embedding(known_capture(ATTENTION), lines="top entries", n_lines=6)
    flat = np.argsort(-view.document.picture.attention.ravel(), kind="stable")[:6]
    for plane in planes(view):
        links = plane.drawing.links
        drawn = links.start * 4 + links.end - 4
        assert drawn.tolist() == flat.tolist()
    view.document.set_options(n_lines=2)
    assert len(view.right.drawing.links) == 2


def test_keys_that_the_mask_hides_get_no_line(embedding):
    mask = np.tril(np.ones((3, 3), dtype=bool))
    mask[0] = False  # a query that may attend to nothing
    attention = rows_of_one(np.where(mask, [[1, 0, 0], [3, 1, 0], [1, 5, 2]], 1e-9)) * mask
    view = embedding(known_capture(attention, mask=mask))
    assert view.right.drawing.links.start.tolist() == [1, 2]
    view.document.set_options(lines="top entries", n_lines=100)
    assert len(view.right.drawing.links) == 5


@pytest.mark.parametrize("lines", ["each query", "none"])
def test_watched_pairs_are_red_and_on_top(embedding, lines):
    view = embedding(known_capture(ATTENTION), lines=lines)
    red = LIGHT.color("watched")
    assert count(picture_of(view), red, 30) == 0
    view.document.watch([WatchedPair("t2", "t0"), WatchedPair("t1", "t3"), WatchedPair("x", "y")])
    image = picture_of(view)
    for plane in planes(view):
        assert len(plane.drawing.watched) == 2
        for query, key in ((2, 0), (1, 3)):
            a, b = (QPointF(spot(view, plane, i)) for i in (query, key + 4))
            places = [(a + (b - a) * part).toPoint() for part in np.linspace(0.1, 0.9, 33)]
            red_here = [
                any(
                    near(at(image, place + QPoint(dx, dy)), rgb(red), 60)
                    for dx in (-1, 0, 1) for dy in (-1, 0, 1)
                )
                for place in places
            ]  # fmt: skip
            assert np.mean(red_here) > 0.6  # labels may stand over a part of it
    view.document.watch([])
    assert count(picture_of(view), red, 30) == 0


# -- labels --------------------------------------------------------------------------------------


def test_nearly_all_tokens_of_a_short_text_are_labelled(embedding, capybara):
    view = embedding(capybara, size=(600, 500), plane="after")
    for layer, head in ((0, 0), (1, 7), (3, 3), (5, 11)):
        view.document.show_head(layer, head)
        labelled = view.right.drawing.labelled()
        assert len(labelled) >= 0.8 * 22
        assert len(set(labelled)) == len(labelled)
        assert not labels_overlap(view.right)


@pytest.mark.parametrize("n_tokens", [12, 120, 512])
def test_labels_never_overlap(embedding, n_tokens):
    view = embedding(random_capture(n_tokens), size=(800, 400))
    view.document.pin(query=3)
    for plane in planes(view):
        assert len(plane.drawing.labelled()) >= 8
        assert not labels_overlap(plane)
    view.document.pin(query=1, key=5)
    assert not any(labels_overlap(plane) for plane in planes(view))


def test_labels_are_drawn_in_the_rectangles_that_are_kept_free(embedding):
    view = embedding(known_capture(ATTENTION), plane="after", lines="none")
    drawing = view.right.drawing
    image = picture_of(view)
    rectangles = drawing.label_rectangles()
    assert len(rectangles) == 8
    for area in rectangles:
        scene = view.right.box.mapRectToScene(area).toAlignedRect()
        part = pixels(image.copy(scene))
        assert (np.abs(part - 255).max(axis=-1) > 90).sum() > 8


def test_watched_and_chosen_tokens_are_labelled_first(embedding):
    view = embedding(random_capture(300), size=(420, 300), plane="after")
    drawing = view.right.drawing
    hidden = next(i for i in range(300) if i not in drawing.labelled())
    token = view.document.picture.query_tokens[hidden]
    view.document.pin(query=hidden)
    assert hidden in drawing.labelled()
    view.document.clear_focus()
    assert hidden not in drawing.labelled()
    view.document.watch([WatchedPair(token, token)])
    assert drawing.order[:2].tolist() in ([hidden, hidden + 300], [hidden + 300, hidden])


def test_labels_stay_with_their_points_during_a_drag_and_none_comes_back(embedding):
    view = embedding(random_capture(60), plane="after", size=(600, 500))
    document, drawing = view.document, view.right.drawing
    at_rest = drawing.labelled()
    corners = dict(zip(drawing._labels.index.tolist(), drawing._labels.corner, strict=True))
    document.begin_drag()
    before = set(at_rest)
    for t in np.linspace(0, 2.0, 15):
        document.move(t=float(t))
        QApplication.processEvents()
        now = set(drawing.labelled())
        assert now <= before
        assert not labels_overlap(view.right)
        before = now
        points = drawing.pixels()
        for i, area in zip(drawing.labelled(), drawing.label_rectangles(), strict=True):
            assert np.allclose((area.x(), area.y()), points[i] + corners[i])
    assert len(before) >= 10
    document.end_drag()
    assert len(drawing.labelled()) >= len(before)
    assert not labels_overlap(view.right)


# -- sliders -------------------------------------------------------------------------------------


def test_a_drag_moves_the_points_and_holds_the_range(embedding, capybara):
    view = embedding(capybara)
    document = view.document
    document.show_head(1, 7)
    document.begin_drag()
    before = picture_of(view)
    left, right = view.left.looking(), view.right.looking()
    document.move(t=0.02)
    QApplication.processEvents()
    assert np.array_equal(view.right.drawing.xy, positions(document.frame))
    assert view.right.looking() == right and view.left.looking() == left
    after = picture_of(view)
    half = view.width() // 2
    assert before.copy(0, 30, half, 400) == after.copy(0, 30, half, 400)
    assert before.copy(half, 30, half, 400) != after.copy(half, 30, half, 400)
    document.end_drag()


def test_the_range_grows_with_the_points_and_fits_at_rest(embedding, capybara):
    view = embedding(capybara, plane="after")
    document = view.document
    document.begin_drag()
    units = []
    for scale in np.geomspace(1, 4, 25):
        document.move(scale=float(scale))
        width, height = view.right.room
        points = view.right.drawing.pixels()
        assert (points >= 0).all() and (points <= (width, height)).all()
        units.append(view.right.looking()[1])
    assert (np.diff(units) >= 0).all()
    assert 2 <= len(set(units)) <= 12  # in steps, not with every frame
    document.end_drag()
    view.document.move(scale=1.0)
    fitted = view.right.looking()
    again = embedding(capybara, plane="after", size=(view.width(), view.height()))
    assert again.right.looking()[1] == pytest.approx(fitted[1])  # the past leaves no trace


def test_points_never_jump_during_a_drag_over_the_whole_slider(embedding, capybara):
    view = embedding(capybara, plane="after")
    document = view.document
    document.show_head(2, 4)
    document.begin_drag()
    frames = []
    for t in np.linspace(-1, 1, 201):
        document.move(t=float(t))
        frames.append(view.right.drawing.xy.copy())
    document.end_drag()
    steps = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2))[1:]
    size = np.ptp(frames[100], axis=0).max()
    assert steps.max() < 0.2 * size


def test_switching_planes_glides_to_the_same_place(embedding, qtbot, capybara):
    view = embedding(capybara, plane="before")
    document = view.document
    document.move(mode="centroid", t=1.0)
    drawing = view.right.drawing
    start, end = positions(document.picture.before), positions(document.frame)
    assert np.array_equal(drawing.xy, start)
    seen = []
    view._glide.valueChanged.connect(lambda _: seen.append(drawing.xy.copy()))
    document.set_options(plane="after")
    assert view.right.caption.word == "after"
    assert not np.array_equal(drawing.xy, end)
    qtbot.waitUntil(lambda: view._glide.state() == view._glide.State.Stopped, timeout=2000)
    assert np.array_equal(drawing.xy, end)
    between = [xy for xy in seen if not np.allclose(xy, start) and not np.allclose(xy, end)]
    assert between
    far = np.abs(end - start).max()
    for xy in seen:  # on the straight way, never back
        assert np.abs(xy - start).max() <= far + 1e-9 and np.abs(end - xy).max() <= far + 1e-9
    moved = [np.abs(xy - start).max() for xy in seen[:-1]]
    assert (np.diff(moved) >= -1e-9).all()
    document.set_options(plane="before")
    assert not np.allclose(drawing.xy, start)
    qtbot.waitUntil(lambda: view._glide.state() == view._glide.State.Stopped, timeout=2000)
    assert np.array_equal(drawing.xy, start)


@pytest.mark.parametrize("way", ["off", "hidden", "hide", "stop", "both", "picture"])
def test_a_glide_never_hangs_between(embedding, capybara, way):
    view = embedding(capybara, plane="before", animate=way != "off")
    document = view.document
    document.move(mode="centroid", t=1.0)
    if way == "hidden":
        view.hide()
    document.set_options(plane="after")
    if way == "hide":
        view.hide()
    elif way == "stop":
        view.stop()
    elif way == "both":
        document.set_options(plane="both")
    elif way == "picture":
        document.show_head(2, 2)
    assert view._glide.state() == view._glide.State.Stopped
    assert np.array_equal(view.right.drawing.xy, positions(document.frame))


def test_both_planes_and_one(embedding, capybara):
    view = embedding(capybara, plane="both", animate=False)
    assert planes(view) == [view.left, view.right]
    assert view.left.area().right() < view.right.area().left()
    view.document.set_options(plane="before")
    assert planes(view) == [view.right]
    assert view.right.caption.word == "before" and view.right.caption.legend
    QApplication.processEvents()
    assert view.right.area().width() > 0.8 * view.width()
    view.document.set_options(plane="both")
    QApplication.processEvents()
    assert planes(view) == [view.left, view.right]
    view.resize(300, 640)
    QApplication.processEvents()
    assert view.left.area().bottom() < view.right.area().top()
    view.resize(230, 180)
    QApplication.processEvents()
    assert planes(view) == [view.right]
    assert view.right.caption.word == "after"
    assert "no room for before" in view.right.caption.rest


# -- focus ---------------------------------------------------------------------------------------


def test_a_hover_finds_the_point_under_the_mouse(embedding):
    view = embedding(known_capture(ATTENTION))
    document = view.document
    for plane in planes(view):
        for kind in ("query", "key"):
            index = lone_point(view, plane, kind)
            move_to(view, spot(view, plane, index) + QPoint(3, -3))
            expected = Focus(query=index) if kind == "query" else Focus(key=index - 4)
            assert document.focus == expected
            assert view.readout.isVisible()
            assert f"t{index % 4}" in view.readout.lines[0]
            assert kind in view.readout.lines[0]
    corner = view.right.area().topRight().toPoint() + QPoint(-3, 3)
    move_to(view, corner)
    assert not document.focus and not view.readout.isVisible()


def test_the_readout_tells_the_most_attended_key_and_leaves_with_the_mouse(embedding):
    view = embedding(known_capture(ATTENTION))
    index = lone_point(view, view.right)
    move_to(view, spot(view, view.right, index))
    row = ATTENTION[index]
    assert f"t{row.argmax()}  {number(row.max())}" in view.readout.lines[1]
    covered = view.readout.geometry().contains(spot(view, view.right, index))
    assert not covered
    QApplication.sendEvent(view, QEvent(QEvent.Type.Leave))
    assert not view.document.focus and not view.readout.isVisible()


def test_a_line_is_its_pair(embedding):
    view = embedding(known_capture(ATTENTION))
    document = view.document
    for plane in planes(view):
        drawing = plane.drawing
        places = drawing.pixels()
        tried = 0
        for start, end in zip(drawing.links.start, drawing.links.end, strict=True):
            for share in (0.35, 0.5, 0.65):
                middle = places[start] + share * (places[end] - places[start])
                at = view.mapFromScene(plane.box.mapToScene(QPointF(*middle)))
                if np.hypot(*(places - middle).T).min() < 15:
                    continue  # a point is nearer
                if view.readout.isVisible() and view.readout.geometry().contains(at):
                    move_to(view, plane.area().topRight().toPoint() + QPoint(-3, 3))
                move_to(view, at)
                assert document.focus.query is not None and document.focus.key is not None
                found = view.line_at(QPointF(at))
                assert found is not None and document.focus == found[1]
                tried += document.focus == Focus(int(start), int(end) - 4)
        assert tried >= 2  # others may cross there
        assert "→" in view.readout.lines[0]
    click(view, at)
    assert document.pinned == document.focus != Focus()


def test_a_line_that_is_hidden_is_no_pair(embedding):
    view = embedding(known_capture(ATTENTION))
    drawing = view.right.drawing
    places = drawing.pixels()
    middle = places[[drawing.links.start[0], drawing.links.end[0]]].mean(axis=0)
    assert drawing.nearest_line(*middle, 2.0) is not None
    assert drawing.nearest_line(-500.0, -500.0, 2.0) is None
    view.document.set_options(lines="none")
    QApplication.processEvents()
    assert drawing.nearest_line(*middle, 2.0) is None


def test_a_focus_from_elsewhere_lights_up_without_a_readout(embedding):
    view = embedding(known_capture(ATTENTION))
    view.document.hover(query=1, key=2)
    assert view.right.drawing.lit is not None
    assert not view.readout.isVisible()


def test_a_click_pins_a_shift_click_makes_a_pair(embedding):
    view = embedding(known_capture(ATTENTION))
    document = view.document
    query, key = (lone_point(view, view.right, kind) for kind in ("query", "key"))
    click(view, spot(view, view.right, query))
    assert document.pinned == Focus(query=query)
    click(view, spot(view, view.right, key), SHIFT)
    assert document.pinned == Focus(query, key - 4)
    assert "→" in view.readout.lines[0]
    assert number(ATTENTION[query, key - 4]) in view.readout.lines[1]
    click(view, spot(view, view.right, key))
    assert document.pinned == Focus(key=key - 4)
    click(view, spot(view, view.right, key))
    assert not document.pinned
    click(view, view.right.area().topRight().toPoint() + QPoint(-3, 3))
    assert not document.pinned


def test_the_focus_is_ringed_and_the_rest_fades(embedding):
    view = embedding(known_capture(ATTENTION), plane="after")
    drawing = view.right.drawing
    query = lone_point(view, view.right)
    other = next(i for i in range(4) if i != query)
    ring = drawing.diameter / 2 + 3.5
    place = spot(view, view.right, query)

    def ringed(image) -> int:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        around = [place + QPoint(round(ring * np.cos(a)), round(ring * np.sin(a))) for a in angles]
        return sum(near(at(image, p), rgb(LIGHT.color("query")), 90) for p in around)

    plain = picture_of(view)
    assert ringed(plain) < 8
    view.document.pin(query=query)
    lit = picture_of(view)
    assert ringed(lit) > 16
    assert near(at(lit, place), rgb(LIGHT.color("query")), 12)
    faded = at(lit, spot(view, view.right, other))
    assert faded.min() > at(plain, spot(view, view.right, other)).min() + 60
    assert drawing.lit.links.end[0] - 4 == ATTENTION[query].argmax()
    view.document.clear_focus()
    assert picture_of(view) == plain


def test_a_pair_has_one_line_a_key_has_those_that_attend_to_it(embedding):
    view = embedding(known_capture(ATTENTION))
    drawing = view.right.drawing
    view.document.pin(query=2, key=3)
    assert drawing.lit.chosen.tolist() == [2, 7]
    assert (drawing.lit.links.start.tolist(), drawing.lit.links.end.tolist()) == ([2], [7])
    view.document.pin(key=0)
    assert drawing.lit.chosen.tolist() == [4]
    assert drawing.lit.links.start.tolist() == np.argsort(-ATTENTION[:, 0]).tolist()
    assert (drawing.lit.links.end == 4).all()


def test_shift_and_arrows_step_through_queries_and_keys(embedding):
    view = embedding(known_capture(ATTENTION))
    document = view.document
    seen = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Left):
        QTest.keyClick(view, key, SHIFT)
        seen.append(document.pinned)
    assert seen == [Focus(query=0), Focus(query=1), Focus(query=0), Focus(query=3)]
    QTest.keyClick(view, Qt.Key.Key_Up, SHIFT)
    assert document.pinned == Focus(key=3)
    QTest.keyClick(view, Qt.Key.Key_Down, SHIFT)
    assert document.pinned == Focus(key=0)
    assert view.readout.isVisible()
    document.pin(query=1, key=2)  # of a pair the other half stays
    QTest.keyClick(view, Qt.Key.Key_Right, SHIFT)
    assert document.pinned == Focus(2, 2)
    QTest.keyClick(view, Qt.Key.Key_Down, SHIFT)
    assert document.pinned == Focus(2, 3)
    for key in (Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_A):
        QTest.keyClick(view, key)
    assert document.pinned == Focus(2, 3)


def test_stepping_a_single_token_does_not_let_go(embedding):
    view = embedding(random_capture(1))
    for _ in range(2):
        QTest.keyClick(view, Qt.Key.Key_Right, SHIFT)
        assert view.document.pinned == Focus(query=0)


# -- zoom ----------------------------------------------------------------------------------------


def test_the_wheel_zooms_both_planes_and_a_double_click_shows_everything(embedding):
    view = embedding(known_capture(ATTENTION))
    document = view.document
    whole = view.left.looking(), view.right.looking()
    point = spot(view, view.right, 0)
    wheel(view, point, 3)
    assert view.right.looking()[1] < 0.9 * whole[1][1]
    assert same_look(view.left.looking(), view.right.looking())
    wheel(view, view.left.area().center().toPoint(), -1)
    assert same_look(view.left.looking(), view.right.looking())
    held = view.right.looking()
    document.move(t=0.1)  # what was set by hand stays
    assert view.right.looking() == held
    document.move(t=0.0)
    for pinned in (Focus(), Focus(query=2)):
        document.clear_focus()
        document.pin(pinned.query, pinned.key) if pinned else None
        wheel(view, view.left.area().center().toPoint(), 2)
        point = spot(view, view.right, 0)
        click(view, point)
        assert document.pinned == Focus(query=0)
        for second in (QTest.mouseDClick, QTest.mouseRelease):
            second(view.viewport(), Qt.MouseButton.LeftButton, NO_MODIFIER, point)
        QApplication.processEvents()
        assert same_look(view.left.looking(), whole[0])
        assert same_look(view.right.looking(), whole[1])
        assert document.pinned == pinned  # the first click of the two is undone


def test_zoom_ends_somewhere_and_keeps_the_scales_equal(embedding):
    view = embedding(known_capture(ATTENTION), plane="after")
    middle = view.right.area().center().toPoint()
    for notches in (30, -60):
        for _ in range(12):
            wheel(view, middle, notches // 3)
        picture_of(view)
        (x0, x1), (y0, y1) = view.right.box.viewRange()
        w, h = view.right.room
        assert (x1 - x0) / w == pytest.approx((y1 - y0) / h, rel=1e-6)
        assert 1e-8 < x1 - x0 < 1e6


def test_dragging_the_plane_moves_it(embedding):
    view = embedding(known_capture(ATTENTION), plane="after")
    center, unit = view.right.looking()
    start = view.right.area().topRight().toPoint() + QPoint(-20, 20)
    QTest.mousePress(view.viewport(), Qt.MouseButton.LeftButton, NO_MODIFIER, start)
    for step in (10, 30, 50):
        QTest.mouseMove(view.viewport(), start + QPoint(-step, step))
        QTest.qWait(20)
    QTest.mouseRelease(
        view.viewport(), Qt.MouseButton.LeftButton, NO_MODIFIER, start + QPoint(-50, 50)
    )
    moved, after = view.right.looking()
    assert after == pytest.approx(unit)
    assert moved[0] > center[0] + 10 * unit and moved[1] > center[1] + 10 * unit
    view.document.show_head(0, 0)
    assert not view.document.pinned


def test_another_head_is_shown_whole(embedding):
    view = embedding(random_capture(8))
    whole = view.right.looking()
    wheel(view, view.right.area().center().toPoint(), 5)
    view.document.show_head(1, 1)
    view.document.show_head(0, 0)
    assert same_look(view.right.looking(), whole)


# -- what every view must bear --------------------------------------------------------------------


def test_nothing_to_show_says_what_to_do(embedding):
    view = embedding(None)
    image = picture_of(view)
    assert view.numbers() == "" and view.title() == "Queries and keys"
    ink = (np.abs(pixels(image) - 255).max(axis=-1) > 60).sum()
    assert 100 < ink < 10_000
    QTest.keyClick(view, Qt.Key.Key_Right, SHIFT)
    move_to(view, QPoint(200, 200))
    click(view, QPoint(200, 200))
    view.document.set_options(plane="before", lines="none")
    view.document.open(known_capture(ATTENTION))
    assert planes(view) == [view.right] and view.right.caption.word == "before"
    assert count(picture_of(view), LIGHT.color("query"), 12) > 50


@pytest.mark.parametrize("option", ["before", "after", "both"])
@pytest.mark.parametrize(
    "sizes", [{"n_tokens": 1}, {"n_tokens": 2}, {"n_tokens": 5, "head_dim": 1}, {"n_tokens": 3}],
    ids=str,
)  # fmt: skip
def test_few_tokens_and_dimensions(embedding, sizes, option):
    view = embedding(random_capture(**sizes), plane=option, animate=False)
    document = view.document
    for t, scale in ((0.0, 1.0), (0.5, 1.0), (-3.0, 10.0), (1.0, 0.1)):
        document.move(t=t, scale=scale)
        for focus in ((None, None), (0, None), (None, 0), (0, 0)):
            document.hover(*focus)
            image = picture_of(view)
        for plane in planes(view):
            assert np.isfinite(plane.drawing.pixels()).all()
        assert count(image, LIGHT.color("query"), 12) >= 20
    assert "nan" not in view.numbers() and "undefined" not in view.numbers()


def test_equal_points_stand_in_one_place(embedding):
    capture = known_capture(np.full((3, 3), 1 / 3))
    record = capture.records[0][0]
    for array in (record.query, record.key):
        array[:] = 0.5
    view = embedding(capture)
    image = picture_of(view)
    assert len(np.unique(view.right.drawing.pixels().round(3), axis=0)) == 1
    assert count(image, LIGHT.color("query"), 12) > 20
    assert view.numbers() == "0 % of variance · mean distance 0"
    view.document.move(t=1.0)  # now keys and queries part
    assert len(np.unique(view.right.drawing.pixels().round(3), axis=0)) == 2
    picture_of(view)


def test_two_thousand_tokens(embedding):
    view = embedding(random_capture(2000, layers=1, heads=1), plane="after", size=(700, 500))
    image = picture_of(view)
    assert len(view.right.drawing.xy) == 4000
    assert count(image, LIGHT.color("query"), 40) > 3000
    assert 20 < len(view.right.drawing.labelled()) <= 200
    assert not labels_overlap(view.right)
    view.document.begin_drag()
    view.document.move(t=0.1)
    picture_of(view)
    view.document.end_drag()
    move_to(view, spot(view, view.right, 17))
    assert view.document.focus


def test_every_size_can_be_drawn(embedding, capybara):
    view = embedding(capybara)
    for size in ((60, 40), (20, 300), (450, 330), (1000, 700), (230, 180), (900, 120)):
        view.resize(*size)
        QApplication.processEvents()
        picture_of(view)
        for plane in planes(view):
            assert not labels_overlap(plane)
    view.resize(900, 480)
    QApplication.processEvents()
    assert count(picture_of(view), LIGHT.color("query"), 12) > 200


@pytest.mark.parametrize("theme", [DARK, PAPER], ids=lambda theme: theme.name)
def test_themes(embedding, theme):
    view = embedding(known_capture(ATTENTION), theme=theme)
    for _ in range(2):
        image = picture_of(view)
        assert near(at(image, QPoint(2, 2)), rgb(theme.color("ground")))
        assert near(at(image, spot(view, view.right, 0)), rgb(theme.color("query")), 12)
        view.retheme(LIGHT)
        light = picture_of(view)
        assert near(at(light, QPoint(2, 2)), rgb(LIGHT.color("ground")))
        assert near(at(light, spot(view, view.right, 0)), rgb(LIGHT.color("query")), 12)
        view.retheme(theme)


def test_on_paper_there_is_no_readout(embedding):
    view = embedding(known_capture(ATTENTION), theme=PAPER)
    move_to(view, spot(view, view.right, 0))
    assert view.document.focus and not view.readout.isVisible()


def test_a_figure_shows_the_same_points_sharper(embedding):
    view = embedding(known_capture(ATTENTION))
    small = draw_figure(EmbeddingView, view.document, scale=1)
    large = draw_figure(EmbeddingView, view.document, scale=3)
    assert large.width() == 3 * small.width()
    query = PAPER.color("query")
    few, many = count(small, query, 12), count(large, query, 12)
    assert few > 100
    assert 7 * few < many < 16 * few


def test_a_name_a_tooltip_and_a_description(embedding):
    view = embedding(known_capture(ATTENTION))
    assert "Queries and keys" in view.accessibleName()
    assert "double click" in view.toolTip()
    view.document.hover(query=2)
    assert "t2" in view.accessibleDescription()
    assert view.focusPolicy() == Qt.FocusPolicy.StrongFocus


def test_hidden_special_tokens_leave_the_plane(embedding):
    view = embedding(random_capture(6))
    assert len(view.right.drawing.xy) == 12
    view.document.set_options(show_special=False)
    assert len(view.right.drawing.xy) == 8
    assert "[CLS]" not in view.right.drawing.art.texts
    picture_of(view)


def test_a_stopped_view_follows_no_more(embedding):
    view = embedding(random_capture(6))
    view.stop()
    xy = view.right.drawing.xy
    view.document.show_head(1, 2)
    view.document.move(t=0.5)
    assert view.right.drawing.xy is xy
