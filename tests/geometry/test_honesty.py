"""What the picture keeps, against the definitions in plain loops."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.correlation import OBJECTIVES, correlate
from attnviz_gui.geometry.honesty import (
    COLLAPSED,
    MEASURES,
    NEAREST,
    ONE_POINT,
    Measures,
    closer,
    compare,
    measure,
    participation,
)
from attnviz_gui.geometry.lines import strongest_pairs
from attnviz_gui.geometry.live import Frame, LiveHead
from attnviz_gui.geometry.normalization import SHIFT_MODES
from attnviz_gui.session.picture import make_picture
from tests.geometry.oracles import attention, rank_objective
from tests.geometry.strategies import SmallHead, heads, shifts

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture


def live_of(head: SmallHead, scaling: float = 0.7) -> LiveHead:
    shape = (len(head.query), len(head.key))
    mask = np.ones(shape, dtype=bool) if head.mask is None else head.mask
    own = attention(head.query, head.key, scaling, mask).astype(np.float32)
    return LiveHead(head.query, head.key, own, mask, scaling)


def most_attended(frame: Frame) -> dict[int, int]:
    """Each query's most attended key, the first of equals, where it may attend to any."""
    live, found = frame.live, {}
    for i in range(len(live.mask)):
        keys = [j for j in range(live.mask.shape[1]) if live.mask[i, j]]
        if keys:
            found[i] = max(keys, key=lambda j: (live.attention[i, j], -j))
    return found


def share(
    frame: Frame, points: tuple[np.ndarray, np.ndarray], most: int, size: float = 0.0
) -> float:
    """Share of queries with fewer than `most` keys strictly nearer than the most attended."""
    middle = (points[0].mean(axis=0) + points[1].mean(axis=0)) / 2
    reach = sum(max(math.dist(p, middle) for p in side) for side in points)
    rounding = 2**-48 * size * math.sqrt(points[0].shape[1])
    tie = max(1e-10 * reach**2, rounding * reach) + rounding**2
    own = most_attended(frame)
    count = 0
    for i, best in own.items():
        square = [math.dist(points[0][i], k) ** 2 for k in points[1]]
        nearer = [
            j
            for j in range(len(square))
            if frame.live.mask[i, j] and square[j] < square[best] - tie
        ]
        count += len(nearer) < most
    return count / len(own) if own else math.nan


def lengths(frame: Frame) -> tuple[float, float]:
    """Line length and attention-weighted length over the mean distance, all in the plane."""
    query, key = frame.projection.query_xy.tolist(), frame.projection.key_xy.tolist()
    allowed = [tuple(pair) for pair in np.argwhere(frame.live.mask)]
    if not allowed:
        return math.nan, math.nan
    mean = math.fsum(math.dist(query[i], key[j]) for i, j in allowed) / len(allowed)
    own = most_attended(frame)
    line = math.fsum(math.dist(query[i], key[j]) for i, j in own.items()) / len(own)
    weights = [float(frame.live.attention[i, j]) for i, j in allowed]
    weighted = math.fsum(
        w * math.dist(query[i], key[j]) for w, (i, j) in zip(weights, allowed, strict=True)
    ) / math.fsum(weights)
    return (line / mean, weighted / mean) if mean > 0 else (math.nan, math.nan)


def directions(query: np.ndarray, key: np.ndarray) -> float:
    """The participation ratio by its eigenvalues, in loops."""
    points = np.concatenate([query, key]).astype(np.longdouble)
    points = points - points.mean(axis=0)
    d = points.shape[1]
    scatter = [[math.fsum(points[:, a] * points[:, b]) for b in range(d)] for a in range(d)]
    values = np.linalg.eigvalsh(np.array(scatter))
    return float(values.sum() ** 2 / (values**2).sum()) if values.max() > 1e-20 else 0.0


def agrees(found: float, expected: float) -> bool:
    return abs(found - expected) <= 1e-10 * max(1, abs(expected)) or (
        math.isnan(found) and math.isnan(expected)
    )


def check(frame: Frame, found: Measures) -> None:
    plane = frame.projection
    drawn = plane.query_xy, plane.key_xy
    own = most_attended(frame)
    assert (found.n_queries, found.n_left_out) == (len(own), len(frame.query) - len(own))
    vectors = frame.query, frame.key
    assert agrees(found.nearest, share(frame, vectors, 1, frame.size))
    assert agrees(found.among_nearest, share(frame, vectors, NEAREST, frame.size))
    assert agrees(found.nearest_drawn, share(frame, drawn, 1))
    assert agrees(found.among_nearest_drawn, share(frame, drawn, NEAREST))
    for value, expected in zip(
        (found.line_length, found.weighted_length), lengths(frame), strict=True
    ):
        assert agrees(value, expected)
    raw = directions(frame.live.query, frame.live.key)
    expected = directions(frame.query, frame.key) / raw if raw else math.nan
    assert agrees(found.collapse, expected)
    assert found.variance == plane.explained.sum() or math.isnan(found.variance)
    for each in MEASURES:
        value = found[each.name]
        assert math.isnan(value) == bool(found.reasons.get(each.name))
        low, high = each.range
        assert math.isnan(value) or low - 1e-12 <= value <= high + 1e-12


@settings(max_examples=80, deadline=None)
@given(data=st.data(), head=heads(), scale=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))
def test_every_measure_equals_its_loops(data, head: SmallHead, scale: float):
    frame = live_of(head).frame(data.draw(shifts(head.key.shape[1])), scale)
    found = measure(frame)
    check(frame, found)
    assert agrees(found.rank, -_rank(frame))
    assert agrees(found.objective, -frame.correlation)


def _rank(frame: Frame) -> float:
    # The oracle is the objective, which is larger where ranks by cosine are those by product.
    return rank_objective([(frame.query, frame.key, frame.live.mask)])


@settings(max_examples=30, deadline=None)
@given(head=heads(), t=st.integers(0, 8).map(lambda n: n / 8))
def test_every_measure_of_every_mode_equals_its_loops(head: SmallHead, t: float):
    live = live_of(head)
    for mode in SHIFT_MODES:
        frame = live.at(mode, t, 2.0)
        check(frame, measure(frame))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_longer_text_with_large_means_and_few_digits(causal: bool, mean: float, dtype):
    rng = np.random.default_rng(3)
    query, key = (rng.normal(size=(2, 70, 5)) + mean).astype(dtype)
    mask = np.tri(70, dtype=bool) if causal else None
    live = live_of(SmallHead(query, key, mask), scaling=1e-3)
    for mode in ("constant", "lifted"):
        frame = live.at(mode, 0.3, 1.5)
        found = measure(frame)
        check(frame, found)
        if mode == "constant" and not mean:
            assert agrees(found.rank, -_rank(frame))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_one_two_and_three_tokens(n: int):
    rng = np.random.default_rng(n)
    query, key = rng.normal(size=(2, n, 4))
    for mask in (None, np.tri(n, dtype=bool)):
        frame = live_of(SmallHead(query, key, mask)).at("constant", 0.2, 1.0)
        found = measure(frame)
        check(frame, found)
        assert found.among_nearest == 1  # nothing to be further off than
        assert math.isnan(found.rank) == (n == 1)


@pytest.mark.parametrize("vector", [np.zeros(3), np.ones(3), np.full(3, 0.1)])
def test_equal_vectors_have_no_picture_and_say_so(vector: np.ndarray):
    same = np.tile(vector, (4, 1))
    found = measure(live_of(SmallHead(same, same, None)).at("constant", 0.0, 1.0))
    for name in ("variance", "line_length", "weighted_length"):
        assert math.isnan(found[name])
        assert found.reasons[name] == ONE_POINT
    assert math.isnan(found.rank)
    assert math.isnan(found.objective)
    assert math.isnan(found.collapse)
    assert found.nearest == found.nearest_drawn == 1  # none is nearer
    # Brought to one point from somewhere else: nothing is left of the directions, whatever the
    # rounding leaves of their distances.
    apart = live_of(SmallHead(same + 1, same, None))
    for frame in (apart.at("centroid", 1.0, 1.0), apart.at("locked", 0.0, 0.1)):
        found = measure(frame)
        assert found.collapse == 0
        assert found.collapsed
        assert found.nearest == 1
        assert math.isnan(found.variance)


def test_without_an_allowed_key_nothing_is_measured_but_the_points():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 4, 3))
    found = measure(live_of(SmallHead(query, key, np.zeros((4, 4), bool))).at("constant", 0.1, 1.0))
    assert (found.n_queries, found.n_left_out) == (0, 4)
    for name in ("line_length", "weighted_length", "nearest", "nearest_drawn", "rank"):
        assert math.isnan(found[name])
        assert found.reasons[name]
    assert found.variance > 0
    assert found.collapse > 0


def test_the_objective_is_the_chosen_one():
    rng = np.random.default_rng(4)
    query, key = rng.normal(size=(2, 40, 6))
    live = live_of(SmallHead(query, key, np.tri(40, dtype=bool)))
    frame = live.at("constant", 0.3, 2.0)
    for name in OBJECTIVES:
        expected = correlate(frame.query, frame.key, name, live.mask)
        found = measure(frame, name)
        assert found.objective_name == name
        assert found.objective == pytest.approx(expected, abs=1e-10, nan_ok=True)
        assert math.isnan(found.objective) == bool(found.reasons.get("objective"))
    assert measure(frame, "neighbours").objective == measure(frame).among_nearest_drawn
    with pytest.raises(InputError, match="nonsense"):
        measure(frame, "nonsense")


def test_before_and_after_side_by_side():
    rng = np.random.default_rng(5)
    query, key = rng.normal(size=(2, 60, 8)) + 0.5
    live = live_of(SmallHead(query, key, None))
    before, after = measure(live.at("constant", 0.0, 1.0)), measure(live.at("lifted", 0.5, 1.0))
    changes = {change.measure.name: change for change in compare(before, after)}
    assert list(changes) == [each.name for each in MEASURES]
    for change in changes.values():
        assert (change.before, change.after) == (before[change.measure.name],
                                                 after[change.measure.name])  # fmt: skip
        if change.verdict in ("better", "worse"):
            rises = change.after > change.before
            assert (change.verdict == "better") == (rises == (change.measure.better == "higher"))
    assert changes["nearest"].verdict == "better"
    assert after.nearest == 1  # lifted: the most attended key is the nearest
    assert after.rank == pytest.approx(-1)
    assert changes["rank"].verdict == "better"
    assert {change.verdict for change in compare(before, before)} == {"same"}
    with pytest.raises(InputError, match="“cosine” and “plane”"):
        compare(before, measure(live.at("lifted", 0.5, 1.0), "plane"))
    still = np.ones((3, 2))
    nothing = measure(live_of(SmallHead(still, still, None)).at("constant", 0.0, 1.0))
    told = {change.measure.name: change for change in compare(before, nothing)}
    assert (told["rank"].verdict, bool(told["rank"].reason)) == ("", True)


def test_a_far_shift_collapses_the_picture_and_it_is_named(capybara: Capture):
    live = make_picture(capybara, 0, 2, 1).live
    near, far = measure(live.at("constant", 0.2, 1.0)), measure(live.at("constant", 50.0, 1.0))
    assert near.collapse > 0.9
    assert not near.collapsed
    assert far.collapse < COLLAPSED
    assert far.collapsed
    assert measure(live.at("constant", 0.0, 1.0)).collapse == 1


def test_do_pairs_with_high_attention_come_closer(capybara: Capture):
    lives = [make_picture(capybara, 0, 1, head).live for head in range(12)]
    frames = [(live.at("constant", 0.0, 1.0), live.at("lifted", 1.0, 1.0)) for live in lives]
    found = closer(iter(frames))
    assert found.n_heads == 12
    assert found.n_left_out == 0
    for i, (before, after) in enumerate(frames):
        pairs = strongest_pairs(before.live.attention, before.live.mask)
        assert found.before[i] == pytest.approx(before.relative_line_length(pairs), abs=1e-12)
        assert found.after[i] == pytest.approx(after.relative_line_length(pairs), abs=1e-12)
        assert found.weighted_after[i] == pytest.approx(lengths(after)[1], abs=1e-12)
    assert found.n_closer == sum(found.after < found.before)
    assert found.share == found.n_closer / 12 > 0.5
    assert found.mean == pytest.approx((found.before.mean(), found.after.mean()))
    assert found.verdict == "better"
    backwards = closer([(after, before) for before, after in frames])
    assert backwards.verdict == "worse"
    one = closer(frames[:1])
    assert (one.n_heads, one.mean[0]) == (1, measure(frames[0][0]).line_length)

    # A head whose points are one has no answer, and takes no part in the mean.
    still = live_of(SmallHead(np.ones((2, 3)), np.ones((2, 3)), None)).at("constant", 0.0, 1.0)
    with_one = closer([*frames, (still, still)])
    assert (with_one.n_heads, with_one.n_left_out) == (12, 1)
    assert with_one.mean == found.mean
    none = closer([])
    assert none.n_heads == 0
    assert math.isnan(none.share)
    assert none.verdict == ""


def test_participation_counts_directions():
    square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert participation(square, square + 0.0) == pytest.approx(2)
    line = np.array([[1.0, 0], [2, 0], [5, 0]])
    assert participation(line, line) == pytest.approx(1)
    assert participation(1e50 * line, 1e50 * line) == pytest.approx(1)
    assert participation(1e-50 * line, 1e-50 * line) == pytest.approx(1)
    assert participation(line[:0], line[:0]) == 0


def test_cancel_stops():
    rng = np.random.default_rng(6)
    query, key = rng.normal(size=(2, 20, 4))
    frame = live_of(SmallHead(query, key, None)).at("constant", 0.3, 1.0)
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        measure(frame, cancel=event)
    with pytest.raises(Cancelled):
        closer([(frame, frame)], cancel=event)
    calls = iter([False, False, True])
    with pytest.raises(Cancelled):
        measure(frame, cancel=lambda: next(calls))
