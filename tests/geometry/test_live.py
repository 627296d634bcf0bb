from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.live import Frame, LiveHead, strongest_pairs, top_entries
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.projection import project
from tests.geometry.oracles import attention, cosine_objective
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


def test_some_queries_of_a_frame():
    rng = np.random.default_rng(3)
    query, key = rng.normal(size=(2, 12, 6))
    frame = live_of(SmallHead(query, key, None)).frame(np.full(6, 0.1), 2.0)
    part: Frame = replace(frame, query=frame.query[3:5])
    np.testing.assert_allclose(part.dots, frame.dots[3:5], atol=1e-12)
    np.testing.assert_allclose(part.distances, frame.distances[3:5], atol=1e-12)


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
