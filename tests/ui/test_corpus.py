"""All texts together: every point and every pair is drawn, and each is known by its text."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from attnviz_gui.export.caption import caption_of
from attnviz_gui.session.document import Document, Focus
from attnviz_gui.session.offload import LIVE_PAIRS, MOVING_PAIRS
from attnviz_gui.session.words import number
from attnviz_gui.ui.figure import draw_figure
from attnviz_gui.ui.main_window import MainWindow
from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.crowd import FEW, Crowd
from attnviz_gui.ui.views.embedding import EmbeddingView
from attnviz_gui.ui.views.points import CELL
from attnviz_gui.ui.views.raster import Area, count_dots
from attnviz_gui.ui.views.scatter import ScatterView
from tests.samples import random_capture
from tests.ui.driving import child
from tests.ui.known import at, near, picture_of, pixels, rgb


@pytest.fixture
def show(qtbot):
    """Return a function that shows a view of all texts of a random capture."""

    def make(kind, n_tokens, texts, theme=LIGHT, size=(900, 480), capture=None, **sample):
        document = Document()
        sample = {"texts": texts, "layers": 1, "head_dim": 8} | sample
        document.open(capture or random_capture(n_tokens, **sample))
        document.set_options(together=True, animate=False)
        document.move(mode="centroid", t=0.6)
        view = kind(document, theme)
        qtbot.addWidget(view, before_close_func=lambda v: v.stop())
        view.resize(*size)
        view.start()
        with qtbot.waitExposed(view):
            view.show()
        QApplication.processEvents()
        return view

    return make


def spots(view, plane, xy) -> np.ndarray:
    """Where pyqtgraph itself has points of the plane, (n, 2) in the viewport's pixels."""
    return np.array(
        [
            view.viewportTransform().map(plane.box.mapToScene(plane.box.mapFromView(QPointF(*p))))
            .toTuple()
            for p in xy.tolist()
        ]
    )  # fmt: skip


def allowed(document):
    """Cosine distance and dot product of all pairs within each text, by plain formulas."""
    found = {}
    corpus = document.corpus
    for name, frame in (("before", corpus.before), ("after", document.corpus_frame)):
        x, y = [], []
        for text, picture in enumerate(corpus.pictures):
            q = corpus.live.query[corpus.live.queries(text)]
            k = corpus.live.key[corpus.live.keys(text)] + frame.shift
            dots = q @ k.T
            cosine = dots / np.outer(np.linalg.norm(q, axis=1), np.linalg.norm(k, axis=1))
            x.append((1 - cosine)[picture.mask])
            y.append(dots[picture.mask])
        found[name] = np.concatenate(x), np.concatenate(y)
    return found


# -- the plane -------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=lambda t: t.name)
def test_every_token_of_every_text_has_a_marker_and_the_chosen_text_s_are_in_front(show, theme):
    view = show(EmbeddingView, 6, 3, theme, seed=4)
    view.document.set_options(lines="none")
    document, image = view.document, picture_of(view)
    ground = rgb(theme.color("ground"))
    for plane, frame in ((view.left, document.corpus.before), (view.right, document.corpus_frame)):
        for side, xy in (
            ("query", frame.projection.query_xy),
            ("key", frame.projection.key_xy),
        ):
            full = rgb(theme.color(side))
            for i, (x, y) in enumerate(spots(view, plane, xy)):
                seen = at(image, QPoint(int(x), int(y)))
                assert not near(seen, ground), (side, i)
                if i < 6:  # the chosen text: nothing of the others covers it
                    assert near(seen, full, 12) or side == "key"


@pytest.mark.parametrize("scale", [1, 2])
def test_very_many_points_are_all_there_and_there_is_nothing_else(scale):
    rng = np.random.default_rng(3)
    crowd = Crowd()
    crowd.set_points(rng.normal(size=(4_000, 2)), rng.normal(size=(3_000, 2)) + 1)
    assert len(crowd) > FEW
    image = QImage(300 * scale, 200 * scale, QImage.Format.Format_RGB32)
    image.setDevicePixelRatio(scale)
    image.fill(Qt.GlobalColor.white)
    area = Area(-3, 4, -3, 3.5, 300, 200)
    painter = QPainter(image)
    colors = [LIGHT.color(role) for role in ("query", "key", "ground")]
    crowd.draw(painter, area, 4, *colors, scale)
    painter.end()
    ink = (pixels(image) != 255).any(axis=2)
    wanted = np.zeros_like(ink)
    for points in (crowd.query, crowd.key):
        column = np.floor(area.across(points[:, 0]) * scale).astype(int)
        row = np.floor(area.down(points[:, 1]) * scale).astype(int)
        inside = (column >= 0) & (column < 300 * scale) & (row >= 0) & (row < 200 * scale)
        assert inside.sum() > 2_900
        wanted[row[inside], column[inside]] = True
    assert ink[wanted].all()
    # Nothing farther from a point than a dot reaches.
    row, column = np.nonzero(ink)
    for y, x in zip(row[::97], column[::97], strict=True):
        reach = 2 * scale
        part = wanted[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        at_edge = min(x, y, 300 * scale - 1 - x, 200 * scale - 1 - y) < reach
        assert part.any() or at_edge
    left, right = (pixels(image)[:, part] for part in (np.s_[: 50 * scale], np.s_[-50 * scale :]))
    assert left[..., 2].mean() > left[..., 0].mean() + 0.5  # queries alone: blue
    assert right[..., 0].mean() > right[..., 2].mean() + 0.5  # keys alone: orange


def test_dots_are_counted_where_they_are():
    rng = np.random.default_rng(0)
    across = rng.uniform(-5, 45, 300).astype(np.float32)
    down = rng.uniform(-5, 35, 300).astype(np.float32)
    counted = count_dots(across, down, (30, 40), 3.0)
    expected = np.zeros((30, 40))
    row, column = np.mgrid[:30, :40]
    for x, y in zip(np.floor(across), np.floor(down), strict=True):
        expected += np.clip(2.0 - np.hypot(row - y, column - x), 0, 1)
    assert np.allclose(counted, expected, atol=1e-4)
    assert not count_dots(across + 900, down, (30, 40), 3.0).any()


def test_the_plane_says_what_it_shows(show):
    view = show(EmbeddingView, 9, 4)
    assert view.title().endswith("L0 H0  ·  all 4 texts, 36 tokens")
    assert view.left.caption.rest == "a = 0, c = 1 · lines: text 1"
    corpus, frame = view.document.corpus, view.document.corpus_frame
    share = [number(100 * f.projection.explained.sum(), 2) for f in (corpus.before, frame)]
    assert view.numbers().startswith(
        f"{' → '.join(share)} % of variance · mean distance in text 1: "
    )
    view.document.show_head(text=2)
    assert view.left.caption.rest.endswith("lines: text 3")
    start = int(corpus.query_start[2])
    xy = corpus.before.projection.query_xy[start : start + 9]
    assert np.array_equal(view.left.drawing.xy[:9], xy)
    view.document.set_options(plane="after", lines="none")
    assert view.right.caption.rest.endswith("names: text 3")
    view.document.set_options(together=False)
    assert "texts" not in view.title() and "text" not in view.right.caption.rest
    assert not len(view.right.drawing.crowd)


def test_all_points_are_in_sight_at_rest_and_in_a_drag(show):
    view = show(EmbeddingView, 12, 20)
    document = view.document

    def outside() -> bool:
        plane = document.corpus_frame.projection
        places = spots(view, view.right, np.concatenate([plane.query_xy, plane.key_xy]))
        area = view.right.area()
        low, high = (area.left(), area.top()), (area.right(), area.bottom())
        return bool(((places < low) | (places > high)).any())

    assert not outside()
    document.begin_drag()
    document.move(mode="constant")
    for t in np.linspace(0, 3, 12):
        document.move(t=float(t))
        assert not outside()
        plane = document.corpus_frame.projection
        assert np.array_equal(view.right.drawing.crowd.query, plane.query_xy)
    document.end_drag()
    assert not outside()


def test_a_point_of_another_text_is_named_and_a_click_goes_there(show):
    view = show(EmbeddingView, 8, 5, seed=2)
    document = view.document
    plane = view.right
    frame = document.corpus_frame.projection
    everything = spots(view, plane, np.concatenate([frame.query_xy, frame.key_xy]))
    gaps = np.hypot(*(everything[:, None] - everything[None]).transpose(2, 0, 1))
    np.fill_diagonal(gaps, np.inf)
    others = [i for i in range(80) if i % 40 >= 8]
    best = max(others, key=lambda i: gaps[i].min())
    assert gaps[best].min() > 6
    spot = QPoint(*(int(v) for v in everything[best]))
    before = picture_of(view)
    QTest.mouseMove(view.viewport(), spot)
    QApplication.processEvents()
    token = (document.corpus.query_token if best < 40 else document.corpus.key_token)(best % 40)
    side = "query" if best < 40 else "key"
    assert view.readout.isVisible()
    assert view.readout.lines[0] == f"{token.name}  {side} {token.place}"
    assert view.readout.lines[1] == f"text {token.text + 1} of 5 · click to show it"
    assert view.readout.quote is not None
    assert view.readout.quote.text == document.capture.texts[token.text]
    ((start, end),) = view.readout.quote.spans
    assert view.readout.quote.text[start:end] == token.name
    assert not document.focus
    assert (pixels(picture_of(view)) != pixels(before)).any()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0), spot)
    assert document.picture.text == token.text
    assert document.pinned == Focus(**{side: token.index})
    assert plane.drawing.pointed is None
    # Now it is one of the chosen text's, and a click lets go of it.
    assert view.point_at(QPointF(spot))[1] == document.pinned
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier(0), spot)
    assert not document.pinned


# -- the scatter -----------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_a_few_texts_pairs_are_all_drawn_in_every_frame(show, causal):
    view = show(ScatterView, 20, 6, causal=causal)
    document = view.document
    document.begin_drag()
    document.move(t=0.4)
    x, y = allowed(document)["after"]
    n = 6 * (20 * 21 // 2 if causal else 400)
    assert len(x) == len(view.after.xs) == n
    assert np.allclose(np.sort(view.after.xs), np.sort(x), atol=1e-5)
    assert np.allclose(np.sort(view.after.ys), np.sort(y), atol=1e-4)
    slope, intercept = np.polyfit(x, y, 1)
    line = view._pairs[1].line
    assert (line.slope, line.intercept) == pytest.approx((slope, intercept))
    r = [np.corrcoef(*each)[0, 1] for each in allowed(document).values()]
    assert view.numbers() == f"r {number(r[0])} → {number(r[1])} · {n:,} pairs"
    document.end_drag()


@pytest.fixture
def many(show):
    """Texts with more pairs than every frame can show."""
    view = show(ScatterView, 80, 60, size=(640, 360))
    assert LIVE_PAIRS < 60 * 80**2
    return view


def test_very_many_pairs_are_all_counted_at_rest_and_a_part_while_moving(many):
    view, document = many, many.document
    n = 60 * 80**2
    assert view.title().endswith("all 60 texts, 4,800 tokens")
    for name, cloud in (("before", view.before), ("after", view.after)):
        assert cloud.counts.sum() == cloud.counts[1:-1, 1:-1].sum() == n
        x, y = allowed(document)[name]
        column = cloud.area.across(x) / CELL
        row = cloud.area.down(y) / CELL
        expected = np.zeros_like(cloud.counts[1:-1, 1:-1])
        np.add.at(expected, (row.astype(int), column.astype(int)), 1)
        # A pair at the very edge of a cell may be counted on its other side.
        assert np.abs(expected - cloud.counts[1:-1, 1:-1]).sum() < 1e-3 * n
    assert view.numbers().endswith(f"{n:,} pairs as density")
    document.begin_drag()
    document.move(t=0.5)
    assert view.numbers().endswith(f"{MOVING_PAIRS:,} of {n:,} pairs as density while moving")
    assert len(view.after.xs) == MOVING_PAIRS
    assert view.before.counts.sum() == n  # the cloud before stays whole
    x, y = allowed(document)["after"]
    assert f"→ {number(np.corrcoef(x, y)[0, 1])} ·" in view.numbers()  # of all pairs
    assert view._pairs[1].line.slope == pytest.approx(np.polyfit(x, y, 1)[0])
    document.end_drag()
    assert view.after.counts.sum() == n


def test_all_pairs_come_from_the_worker_and_late_ones_are_dropped(many):
    view, document, waiting = many, many.document, []
    view.offload = lambda work, then: waiting.append((work, then))
    document.move(t=0.2)
    assert view.numbers().endswith("pairs as density so far")
    work, then = waiting.pop()
    late = work()
    document.move(t=0.3)
    then(late)
    assert len(view.after.xs) == MOVING_PAIRS
    assert work() is None
    work, then = waiting.pop()
    then(work())
    assert view.after.counts.sum() == 60 * 80**2


def test_the_counts_of_a_part_are_never_taken_for_those_of_all(many):
    view, document, waiting = many, many.document, []
    view.offload = lambda work, then: waiting.append((work, then))
    document.show_head(head=1)
    assert view.before.counts.sum() == view.after.counts.sum() == MOVING_PAIRS
    document.move(t=0.2)
    work, then = waiting.pop()
    then(work())
    assert view.before.counts.sum() == view.after.counts.sum() == 60 * 80**2


def test_zooming_counts_all_pairs_anew(many):
    view, waiting = many, []
    view.recount = lambda work, then: waiting.append((work, then))
    old = view.after.counts
    view.box.scaleBy((0.5, 0.5))
    assert view.after.stale and view.after.counts is old
    work, then = waiting.pop()
    then(work())
    assert not view.after.stale and view.after.counts.sum() == 60 * 80**2
    assert 0 < view.after.counts[1:-1, 1:-1].sum() < 60 * 80**2


def test_another_text_keeps_what_is_drawn_and_lights_its_own_pairs(many):
    view, document = many, many.document
    view.offload = lambda work, then: pytest.fail("nothing is to be counted anew")
    counts = view.after.counts
    document.show_head(text=7)
    assert view.after.counts is counts
    document.pin(query=3, key=5)
    marked = view.marks.focus[0]
    q = document.picture.live.query[3]
    k = document.picture.live.key[5] + document.corpus_frame.shift
    cosine = q @ k / np.linalg.norm(q) / np.linalg.norm(k)
    assert marked.after[0] == pytest.approx([1 - cosine, q @ k])
    document.pin(query=3)
    assert len(view.marks.focus[0].after) == 80
    # The mouse finds the chosen text's pairs.
    x, y = marked.after[0]
    place = view.box.mapViewToScene(QPointF(x, y))
    found = view.pair_at(place)
    assert found is not None
    _, i, j = found
    assert document.picture.mask[i, j]


def test_a_key_that_is_zero_is_counted_as_without_a_distance(show):
    capture = random_capture(60, texts=100, layers=1, heads=1, head_dim=4)
    capture.records[3][0].key[0, 10] = 0
    view = show(ScatterView, 60, 100, capture=capture)
    view.document.reset()
    n = 100 * 3600
    assert view.numbers().endswith(f"{n - 60:,} pairs as density, 60 without a distance")


# -- the window ------------------------------------------------------------------------------------


def test_the_window_offers_it_where_there_are_several_texts(qtbot):
    window = MainWindow(capture=random_capture(15, texts=3, layers=2))
    qtbot.addWidget(window)
    with qtbot.waitExposed(window):
        window.show()
    document = window.document
    buttons = [child(window, f"texts_mode_{name}") for name in ("one", "all")]
    assert buttons[0].isVisible() and buttons[0].isChecked()
    qtbot.mouseClick(buttons[1], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not document.pending)
    assert document.corpus is not None and buttons[1].isChecked()
    assert "all 3 texts, 45 tokens" in window.embedding.title()
    assert "all 3 texts, 45 tokens" in window.scatter.title()
    assert "texts" not in window.heatmap.title()
    window.head_panel.text_select.setValue(2)
    assert document.picture.text == 1 and document.corpus is not None
    qtbot.mouseClick(buttons[0], Qt.MouseButton.LeftButton)
    assert document.corpus is None
    document.open(random_capture(15, layers=2))
    assert not buttons[0].isVisible()
    window.close()


def test_a_figure_and_its_caption_show_all_texts():
    document = Document()
    document.open(random_capture(15, texts=3, layers=1))
    one = draw_figure(EmbeddingView, document)
    document.set_options(together=True)
    assert caption_of(document).startswith("all 3 texts, 45 tokens  ·  random, L0 H0")
    assert "texts" not in caption_of(document, normalised=False)
    assert (pixels(draw_figure(EmbeddingView, document)) != pixels(one)).any()
    assert not draw_figure(ScatterView, document, scale=2).isNull()
