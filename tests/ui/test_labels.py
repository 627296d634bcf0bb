"""Labels: never one over another, always beside their own point, the important ones first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage, QPainter

from attnviz_gui.ui.theme import DARK, LIGHT, PAPER
from attnviz_gui.ui.views.labels import GAP, LabelArt, disjoint, mix, place, readable
from tests.ui.known import count

BOUNDS = 0.0, 0.0, 300.0, 200.0
RADIUS = 4.0


@st.composite
def clouds(draw):
    """Points (some of them at one place), label sizes, and an order of importance."""
    n = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    spread = draw(st.sampled_from([0.0, 3.0, 40.0, 150.0]))
    rng = np.random.default_rng(seed)
    points = rng.normal((150, 100), spread, (n, 2))
    sizes = np.column_stack([rng.uniform(3, 110, n), np.full(n, 13.0)])
    return points, sizes, rng.permutation(n)


def rectangles(points, sizes, index, corner):
    low = points[index] + corner
    return low, low + sizes[index]


def overlapping(low, high) -> int:
    both = (low[:, None] < high[None]) & (high[:, None] > low[None])
    return int((both.all(axis=2).sum() - len(low)) // 2)


@given(clouds(), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_no_label_lies_over_another_or_far_from_its_point(cloud, n_forced):
    points, sizes, order = cloud
    index, corner = place(
        points, sizes, order, bounds=BOUNDS, radius=RADIUS, n_forced=min(n_forced, len(order))
    )
    low, high = rectangles(points, sizes, index, corner)

    assert len(set(index.tolist())) == len(index)
    assert overlapping(low, high) == 0
    assert (low >= BOUNDS[:2]).all() and (high <= BOUNDS[2:]).all()
    # From the point to the nearest place of its label.
    away = np.maximum(np.maximum(low - points[index], points[index] - high), 0)
    distance = np.hypot(*away.T)
    assert (distance >= 0.7 * RADIUS).all() and (distance <= 1.5 * (RADIUS + GAP)).all()


@given(clouds())
@settings(deadline=None, max_examples=60)
def test_no_label_covers_a_point_unless_it_must(cloud):
    points, sizes, order = cloud
    index, corner = place(points, sizes, order, bounds=BOUNDS, radius=RADIUS)
    low, high = rectangles(points, sizes, index, corner)
    covered = (points[None] > low[:, None]) & (points[None] < high[:, None])
    assert not covered.all(axis=2).any()


def test_the_important_come_first():
    points = np.array([(100.0, 100.0), (101.0, 101.0), (99.5, 99.0), (250.0, 50.0)])
    sizes = np.full((4, 2), (60.0, 13.0))
    index, _ = place(points, sizes, np.array([2, 3, 0, 1]), bounds=BOUNDS, radius=RADIUS)
    assert index[0] == 2 and 3 in index


def test_a_forced_label_is_shown_among_points_that_leave_no_room():
    rng = np.random.default_rng(1)
    points = np.concatenate([[(150.0, 100.0)], rng.uniform((50, 50), (250, 150), (2000, 2))])
    sizes = np.full((len(points), 2), (60.0, 13.0))
    first = np.array([0])
    assert not len(place(points, sizes, first, bounds=BOUNDS, radius=RADIUS)[0])
    forced, _ = place(points, sizes, first, bounds=BOUNDS, radius=RADIUS, n_forced=1)
    assert forced.tolist() == [0]


def test_a_label_stands_on_the_side_away_from_its_line():
    points, sizes = np.array([(150.0, 100.0)]), np.array([(40.0, 13.0)])
    for x in (1.0, -1.0):
        away = np.array([(x, 0.0)])
        _, corner = place(points, sizes, np.array([0]), bounds=BOUNDS, radius=RADIUS, away=away)
        assert np.sign(corner[0, 0] + 20) == -x


def test_a_label_at_the_edge_turns_inwards():
    points = np.array([(298.0, 3.0), (2.0, 197.0)])
    sizes = np.full((2, 2), (40.0, 13.0))
    index, corner = place(points, sizes, np.arange(2), bounds=BOUNDS, radius=RADIUS)
    low, high = rectangles(points, sizes, index, corner)
    assert len(index) == 2
    assert (low >= BOUNDS[:2]).all() and (high <= BOUNDS[2:]).all()


def test_nothing_is_placed_without_points_or_room():
    nothing = np.zeros((0, 2))
    order = np.zeros(0, dtype=np.intp)
    assert not len(place(nothing, nothing, order, bounds=BOUNDS, radius=RADIUS)[0])
    one = np.array([(5.0, 5.0)])
    narrow = (0.0, 0.0, 10.0, 10.0)
    size = np.array([(40.0, 13.0)])
    assert not len(place(one, size, np.array([0]), bounds=narrow, radius=RADIUS, n_forced=1)[0])
    no_room = (0.0, 0.0, 0.0, 0.0)
    assert not len(place(one, size, np.array([0]), bounds=no_room, radius=RADIUS)[0])


@given(clouds())
@settings(deadline=None, max_examples=60)
def test_dropping_what_overlaps_keeps_the_important_and_as_many_as_it_can(cloud):
    points, sizes, _ = cloud
    keep = disjoint(points, points + sizes)
    assert keep[0]
    assert overlapping(points[keep], (points + sizes)[keep]) == 0
    for i in np.flatnonzero(~keep):  # each dropped one is in the way of a more important one
        rows = [*np.flatnonzero(keep[:i]), i]
        assert overlapping(points[rows], (points + sizes)[rows]) > 0


@pytest.mark.parametrize("theme", [LIGHT, DARK, PAPER], ids=lambda theme: theme.name)
@pytest.mark.parametrize("role", ["query", "key"])
def test_label_colours_read_on_the_ground(theme, role):
    def luminance(color: QColor) -> float:
        parts = [color.redF(), color.greenF(), color.blueF()]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    color = readable(theme.color(role), theme.color("ground"), theme.color("text"), 4.5)
    dark, light = sorted((luminance(color), luminance(theme.color("ground"))))
    assert (light + 0.05) / (dark + 0.05) >= 4.49
    # Still the marker's hue, not just black or white.
    assert abs(color.hueF() - theme.color(role).hueF()) < 0.08


def test_mixing_goes_from_one_colour_to_the_other():
    black, white = QColor("#000000"), QColor("#FFFFFF")
    assert mix(black, white, 0) == black
    assert mix(black, white, 1) == white
    assert abs(mix(black, white, 0.25).lightnessF() - 0.25) < 0.01


def test_a_label_is_drawn_where_it_is_said_to_be(qapp):
    art = LabelArt(["token", "a\nb", "", "x" * 200])
    image = QImage(300, 60, QImage.Format.Format_RGB32)
    image.fill(Qt.GlobalColor.white)
    painter = QPainter(image)
    art.draw(painter, [0], np.array([(100.0, 20.0)]), [QColor("black")], QColor("white"), 1.0)
    painter.end()
    w, h = (int(v) for v in art.sizes[0])
    ink = count(image, QColor("black"), 120)
    assert ink > 20
    assert count(image.copy(100, 20, w, h), QColor("black"), 120) == ink
    assert art.texts[1] == "a b" and art.texts[2].strip()
    assert art.sizes[3, 0] < 130 and "…" in art.texts[3]
