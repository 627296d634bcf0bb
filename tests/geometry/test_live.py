from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.live import LiveHead, strongest_pairs, top_entries
from attnviz_gui.geometry.normalization import SHIFT_MODES, Normalization
from attnviz_gui.geometry.projection import project
from tests.geometry.oracles import attention, cosine_objective, cosine_objective_of_arrays
from tests.geometry.strategies import SmallHead, heads, scales, shifts


def live_of(head: SmallHead, *, bias: np.ndarray | None = None, scaling: float = 0.7) -> LiveHead:
    shape = (len(head.query), len(head.key))
    mask = np.ones(shape, dtype=bool) if head.mask is None else head.mask
    own = attention(head.query, head.key, scaling, mask, bias).astype(np.float32)
    single = None if bias is None else bias.astype(np.float32)
    return LiveHead(head.query, head.key, own, mask, scaling, single)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(), scale=scales)
def test_a_frame_is_what_the_plain_calls_say(data, head: SmallHead, scale: float):
    shift = data.draw(shifts(head.key.shape[1]))
    frame = live_of(head).frame(shift, scale)
    query, key = Normalization(shift, scale).apply(head.query, head.key)
    np.testing.assert_array_equal(frame.query, query)
    np.testing.assert_array_equal(frame.key, key)
    np.testing.assert_allclose(frame.dots, query @ key.T, atol=1e-12)
    expected = -cosine_objective(head.query, head.key + shift, head.mask)
    np.testing.assert_allclose(frame.correlation, expected, rtol=0, atol=1e-10)
    assert math.isnan(frame.correlation) == bool(frame.why_undefined)
    assert frame.attention_difference < 1e-6
    for i, q in enumerate(query):
        for j, k in enumerate(key):
            norms = np.linalg.norm(q) * np.linalg.norm(k)
            if norms > 0:
                assert frame.distances[i, j] == pytest.approx(1 - q @ k / norms, abs=1e-12)
                assert 0 <= frame.distances[i, j] <= 2
            else:
                assert math.isnan(frame.distances[i, j])


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(), scale=scales)
def test_the_proof_holds_with_bias_and_finds_what_is_wrong(data, head: SmallHead, scale: float):
    bias = np.random.default_rng(0).normal(size=(len(head.query), len(head.key)))
    live = live_of(head, bias=bias.astype(np.float32).astype(float))
    shift = data.draw(shifts(head.key.shape[1]))
    assert live.frame(shift, scale).attention_difference < 1e-6
    # Moving one allowed weight is found, and its size is told.
    wrong = live.attention.copy()
    rows = np.flatnonzero(live.mask.any(axis=1))
    if len(rows) and live.mask.shape[1] > 1:
        i = rows[0]
        j = int(np.argmax(wrong[i]))
        other = (j + 1) % wrong.shape[1]
        wrong[i, j] -= 0.01
        wrong[i, other] += 0.01
        found = LiveHead(live.query, live.key, wrong, live.mask, live.scaling, live.bias)
        assert found.frame(shift, scale).attention_difference == pytest.approx(0.01, abs=1e-5)


def test_hidden_tokens_and_empty_rows_prove_nothing_wrong():
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 9, 4))
    mask = np.tri(9, dtype=bool)
    mask[4] = False
    own = attention(query, key, 0.5, mask).astype(np.float32)
    shown = np.array([1, 2, 4, 5, 8])
    part = LiveHead(
        query[shown], key[shown], own[np.ix_(shown, shown)], mask[np.ix_(shown, shown)], 0.5
    )
    assert part.attention.sum(axis=1).min() < 0.9
    frame = part.frame(np.full(4, 0.4), 3.0)
    assert frame.attention_difference < 1e-6
    assert np.isfinite(frame.correlation)
    whole = LiveHead(query, key, own, mask, 0.5).frame(np.full(4, 0.4), 3.0)
    assert whole.attention_difference < 1e-6


def test_large_logits_do_not_overflow():
    rng = np.random.default_rng(0)
    query, key = 100 * rng.normal(size=(2, 20, 8))
    live = live_of(SmallHead(query, key, None))
    assert live.frame(np.full(8, -80.0), 0.1).attention_difference < 1e-6


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(max_dim=3), scale=scales)
def test_lines_have_the_lengths_of_the_plane(data, head: SmallHead, scale: float):
    live = live_of(head)
    frame = live.frame(data.draw(shifts(head.key.shape[1])), scale)
    plane = frame.projection
    distance = [[math.dist(q, k) for k in plane.key_xy.tolist()] for q in plane.query_xy.tolist()]
    for pairs in (strongest_pairs(live.attention, live.mask), top_entries(live.attention, 3)):
        lengths = [distance[i][j] for i, j in zip(*pairs, strict=True)]
        np.testing.assert_allclose(frame.line_lengths(pairs), lengths, atol=1e-12)
        mean = math.fsum(lengths) / len(lengths) if lengths else math.nan
        np.testing.assert_allclose(frame.mean_line_length(pairs), mean, atol=1e-12)
        allowed = [
            distance[i][j]
            for i in range(len(head.query))
            for j in range(len(head.key))
            if live.mask[i, j]
        ]
        reference = math.fsum(allowed) / len(allowed) if allowed else math.nan
        np.testing.assert_allclose(frame.mean_pair_distance, reference, atol=1e-12)
        relative = frame.relative_line_length(pairs)
        if lengths and reference > 1e-9:
            assert relative == pytest.approx(mean / reference, rel=1e-9)


def test_points_that_coincide_have_no_relative_length():
    live = live_of(SmallHead(np.ones((3, 2)), np.ones((3, 2)), None))
    frame = live.frame(np.zeros(2), 1.0)
    assert frame.mean_pair_distance == 0
    assert math.isnan(frame.relative_line_length(strongest_pairs(live.attention)))
    assert math.isnan(frame.mean_line_length(([], [])))


@pytest.mark.parametrize("causal", [False, True])
def test_a_long_text_goes_through_blocks(causal: bool):
    rng = np.random.default_rng(1)
    query, key = rng.normal(size=(2, 600, 8)) + 0.3
    mask = np.tri(600, dtype=bool) if causal else np.ones((600, 600), dtype=bool)
    logits = np.where(mask, 0.35 * query @ key.T, -np.inf)
    own = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    live = LiveHead(query, key, own.astype(np.float32), mask, 0.35)
    shift = np.full(8, 0.5)
    frame = live.frame(shift, 2.0)
    assert frame.attention_difference < 1e-6
    assert frame.correlation == pytest.approx(-correlate(query, key + shift, mask=mask), abs=1e-12)
    ends = frame.projection.query_xy[:, None] - frame.projection.key_xy[None]
    expected = np.sqrt(np.square(ends).sum(axis=2))[mask].mean()
    assert frame.mean_pair_distance == pytest.approx(expected, rel=1e-12)


def test_each_part_of_a_frame_is_computed_once_and_lies_near_the_frame_before():
    rng = np.random.default_rng(2)
    query, key = rng.normal(size=(2, 12, 6)).astype(np.float32)
    live = live_of(SmallHead(query, key, None))
    before = live.frame(np.zeros(6), 1.0)
    frame = live.frame(np.full(6, 0.1), 1.1, near=before.projection)
    assert frame.dots is frame.dots
    assert frame.projection is frame.projection
    expected = project(frame.query, frame.key, near=before.projection)
    np.testing.assert_allclose(frame.projection.query_xy, expected.query_xy, atol=1e-10)


def test_a_frame_keeps_the_shift_it_was_made_with():
    live = live_of(SmallHead(np.eye(3), np.eye(3) + 1, None))
    shift = np.full(3, 0.5)
    frame = live.frame(shift, 1.0)
    shift += 1
    expected = -correlate(np.eye(3), np.eye(3) + 1.5)
    assert frame.correlation == pytest.approx(expected)
    with pytest.raises(InputError, match="shape"):
        live.frame(np.zeros(2), 1.0)
    with pytest.raises(InputError, match="above 0"):
        live.frame(np.zeros(3), 0.0)


# -- every mode -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(head=heads(), scale=scales, t=st.integers(-8, 16).map(lambda n: n / 8))
def test_a_frame_of_any_mode_is_what_its_normalisation_says(head: SmallHead, scale: float, t):
    live = live_of(head)
    for mode in SHIFT_MODES:
        frame = live.at(mode, t, scale)
        query, key = frame.normalization.apply(head.query, head.key)
        size = 1 + np.abs(key).max()
        np.testing.assert_allclose(frame.query, query, atol=1e-10)
        # A root amplifies rounding where a key is nearly the longest: 1e-16 becomes 1e-8.
        np.testing.assert_allclose(frame.key, key, atol=1e-6 * size)
        np.testing.assert_allclose(frame.key[:, : head.key.shape[1]], key[:, : head.key.shape[1]],
                                   atol=1e-10 * size)  # fmt: skip
        assert frame.attention_difference < 1e-6
        plane = project(frame.query, frame.key)
        assert plane.query_xy.shape == frame.projection.query_xy.shape
        apart = np.ptp(np.concatenate([frame.query, frame.key]), axis=0).max() / (frame.size or 1)
        if apart > 1e-6:
            np.testing.assert_allclose(frame.projection.explained, plane.explained, atol=1e-6)
        elif apart < 1e-15:  # brought together by the shift: what is left apart is its rounding
            assert not frame.projection.explained.any()
        assert math.isnan(frame.correlation) == bool(frame.why_undefined)


@settings(max_examples=60, deadline=None)
@given(head=heads(), scale=scales, t=st.integers(-8, 16).map(lambda n: n / 8))
def test_the_correlation_of_a_lifted_frame_is_that_of_its_pairs(head: SmallHead, scale: float, t):
    frame = live_of(head).at("lifted", t, scale)
    expected = -cosine_objective(frame.query, frame.key, head.mask)
    if math.isnan(expected) or math.isnan(frame.correlation):
        # Where rounding alone decides whether all are equal, either answer may say so.
        assert head.query.shape[1] == 1 or math.isnan(expected) == math.isnan(frame.correlation)
    else:
        assert frame.correlation == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("means", [(0.5, -0.5), (1e4, 0), (0, 1e4), (1e4, 1e4)])
@pytest.mark.parametrize("mode", SHIFT_MODES)
def test_every_mode_in_numbers_also_with_large_means(mode, means, causal: bool):
    rng = np.random.default_rng(5)
    query, key = (rng.normal(size=(40, 6)) * np.geomspace(1, 4, 6) + mean for mean in means)
    live = live_of(SmallHead(query, key, np.tri(40, dtype=bool) if causal else None), scaling=0.01)
    t = {"constant": 0.3, "locked": 0.0}.get(mode, 0.5)
    frame = live.at(mode, t, 1.5, near=live.frame(np.zeros(6), 1.0).projection)
    q, k = frame.query, frame.key
    stacked = np.concatenate([q, k])
    values = np.linalg.eigvalsh(np.cov(stacked.T))[::-1]
    np.testing.assert_allclose(frame.projection.explained.sum(), values[:2].sum() / values.sum(),
                               atol=1e-6)  # fmt: skip
    drawn = np.concatenate([frame.projection.query_xy, frame.projection.key_xy])
    expected = (stacked - stacked.mean(axis=0)) @ frame.projection.axes
    np.testing.assert_allclose(drawn, expected, atol=1e-6 * np.abs(expected).max())
    np.testing.assert_allclose(frame.projection.axes.T @ frame.projection.axes, np.eye(2),
                               atol=1e-9)  # fmt: skip
    # The definition takes distances from 1: with large means it keeps but a few digits itself.
    tolerance = {0: 1e-12, 1: 1e-8, 2: 1e-6}[sum(mean == 1e4 for mean in means)]
    expected = -cosine_objective_of_arrays(q, k, live.mask)
    if mode == "lifted":
        assert frame.correlation == pytest.approx(expected, abs=tolerance)
    else:
        source = query.astype(np.longdouble), key.astype(np.longdouble) + frame.shift
        plain = -cosine_objective_of_arrays(*source, live.mask)
        assert frame.correlation == pytest.approx(expected if mode == "balanced" else plain,
                                                  abs=tolerance)  # fmt: skip


def test_lifted_keys_are_equally_long_and_lie_in_the_plane_of_all_coordinates():
    rng = np.random.default_rng(6)
    query, key = rng.normal(size=(2, 30, 5)) + 0.4
    frame = live_of(SmallHead(query, key, None)).at("lifted", 0.7, 2.0)
    assert frame.query.shape == frame.key.shape == (30, 6)
    lengths = np.linalg.norm(frame.key, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], atol=1e-12)
    shifted = key + 0.7 * (query.mean(axis=0) - key.mean(axis=0))
    assert lengths[0] == pytest.approx(np.linalg.norm(shifted, axis=1).max() / 2)
    expected = project(frame.query, frame.key)
    np.testing.assert_allclose(frame.projection.query_xy, expected.query_xy, atol=1e-10)
    np.testing.assert_allclose(frame.projection.key_xy, expected.key_xy, atol=1e-10)
    np.testing.assert_allclose(frame.projection.explained, expected.explained, atol=1e-12)
    for i in range(30):
        order = np.argsort(-frame.dots[i])
        assert (np.diff(frame.distances[i][order]) >= -1e-12).all()


def disagreements(query: np.ndarray, key: np.ndarray, mask: np.ndarray) -> int:
    """As it is defined, pair of keys by pair of keys."""
    found = 0
    longest = max((math.dist(k, [0] * len(k)) for k in key), default=0)
    for i, q in enumerate(query):
        tie = 2**-23 * math.dist(q, [0] * len(q)) * longest
        keys = [k for j, k in enumerate(key) if mask[i, j]]
        found += any(
            q @ one > q @ other + tie
            and math.dist(q, one) ** 2 / 2 > math.dist(q, other) ** 2 / 2 + tie
            for one in keys
            for other in keys
        )
    return found


@settings(max_examples=100, deadline=None)
@given(head=heads(), t=st.integers(-8, 16).map(lambda n: n / 8))
def test_rank_disagreements_are_counted_query_by_query(head: SmallHead, t: float):
    live = live_of(head)
    for mode in SHIFT_MODES:
        frame = live.at(mode, t, 2.0)
        assert frame.rank_disagreements == disagreements(frame.query, frame.key, live.mask)
    assert live.at("lifted", t, 0.5).rank_disagreements == 0


def test_some_queries_rank_otherwise_by_distance_and_none_where_lifted():
    rng = np.random.default_rng(7)
    query, key = rng.normal(size=(2, 300, 16)) + 0.3
    live = live_of(SmallHead(query, key, np.tri(300, dtype=bool)))
    assert live.frame(np.zeros(16), 1.0).rank_disagreements > 250
    single = live_of(
        SmallHead(query.astype(np.float16), 1e3 * key.astype(np.float32), live.mask), scaling=1e-3
    )
    for other in (live, single):
        assert other.at("lifted", 0.9, 0.3).rank_disagreements == 0


def test_the_same_normalisation_for_the_tokens_that_are_hidden():
    rng = np.random.default_rng(8)
    query, key = rng.normal(size=(2, 20, 4)) + 0.2
    whole = live_of(SmallHead(query, key, None))
    some = np.arange(2, 17)
    part = live_of(SmallHead(query[some], key[some], None))
    for mode in SHIFT_MODES:
        frame = part.at(mode, 0.4, 3.0)
        other = whole.like(frame)
        assert other.live is whole
        d = 4
        np.testing.assert_allclose(other.query[some, :d], frame.query[:, :d], atol=1e-12)
        np.testing.assert_allclose(other.key[some, :d], frame.key[:, :d], atol=1e-12)
        assert other.lifted == frame.lifted
        assert other.attention_difference < 1e-6
        np.testing.assert_allclose(other.normalization.shift, frame.normalization.shift)


def test_only_a_frame_of_no_change_is_unmoved():
    live = live_of(SmallHead(np.eye(3), np.eye(3) + 1, None))
    assert live.at("constant", 0.0, 1.0).unmoved
    assert live.at("centroid", 0.0, 1.0).unmoved
    for mode, t, scale in (
        ("constant", 0.1, 1.0),
        ("constant", 0.0, 2.0),
        ("balanced", 0.0, 1.0),
        ("lifted", 0.0, 1.0),
        ("locked", 0.0, 1.0),
    ):
        assert not live.at(mode, t, scale).unmoved
    with pytest.raises(InputError, match="sideways"):
        live.at("sideways", 0.0, 1.0)
    for mode in SHIFT_MODES:
        with pytest.raises(InputError, match="above 0"):
            live.at(mode, 0.5, 0.0)
