from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.normalization import (
    SCALE_RANGE,
    SHIFT_MODES,
    Normalization,
    shift_range,
    shift_vector,
)
from tests.geometry.oracles import attention
from tests.geometry.strategies import SmallHead, heads, scales, shifts


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(), scale=scales)
def test_every_number_is_c_q_and_k_plus_a_over_c(data, head: SmallHead, scale: float):
    shift = data.draw(shifts(head.key.shape[1]))
    query, key = Normalization(shift, scale).apply(head.query, head.key)
    for i, row in enumerate(head.query):
        assert query[i].tolist() == [scale * x for x in row]
    for j, row in enumerate(head.key):
        assert key[j].tolist() == [(x + a) / scale for x, a in zip(row, shift, strict=True)]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(), scale=scales)
def test_attention_stays_in_double_precision(data, head: SmallHead, scale: float):
    shift = data.draw(shifts(head.key.shape[1]))
    before = attention(head.query, head.key, mask=head.mask)
    after = attention(*Normalization(shift, scale).apply(head.query, head.key), mask=head.mask)
    assert np.abs(after - before).max(initial=0) < 1e-10


@pytest.mark.parametrize("mode", SHIFT_MODES)
@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_attention_stays_in_single_precision_at_the_ends_of_the_sliders(mode, scale):
    rng = np.random.default_rng(0)
    query, key = (3 * rng.normal(size=(2, 40, 32)) + rng.normal(size=32)).astype(np.float32)
    before = attention(query, key, 32**-0.5)
    for t in shift_range(mode, key):
        shift = shift_vector(mode, t, scale, query.mean(axis=0), key.mean(axis=0))
        after = attention(*Normalization(shift, scale).apply(query, key), 32**-0.5)
        assert np.abs(after - before).max() < 1e-10
        single = [x.astype(np.float32) for x in Normalization(shift, scale).apply(query, key)]
        assert np.abs(attention(*single, 32**-0.5) - before).max() < 1e-5


def test_the_result_is_double_precision_and_new():
    query, key = np.ones((3, 2), dtype=np.float32), np.ones((4, 2), dtype=np.float32)
    normal = Normalization().apply(query, key)
    assert [x.dtype for x in normal] == [np.float64, np.float64]
    assert not np.shares_memory(normal[0], query)
    assert not np.shares_memory(normal[1], key)
    np.testing.assert_array_equal(normal[0], query)
    np.testing.assert_array_equal(normal[1], key)


@given(head=heads())
@settings(deadline=None)
def test_centroid_brings_the_centroids_together(head: SmallHead):
    query, key = Normalization("centroid").apply(head.query, head.key)
    np.testing.assert_allclose(query.mean(axis=0), key.mean(axis=0), atol=1e-12)


@given(head=heads(), scale=scales)
@settings(deadline=None)
def test_locked_keeps_the_centroids_together_at_every_scale(head: SmallHead, scale: float):
    shift = shift_vector("locked", 123.0, scale, head.query.mean(axis=0), head.key.mean(axis=0))
    query, key = Normalization(shift, scale).apply(head.query, head.key)
    np.testing.assert_allclose(query.mean(axis=0), key.mean(axis=0), atol=1e-11)


def test_the_slider_positions_of_the_modes():
    query_mean, key_mean = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    assert shift_vector("constant", 0.3, 2.0, query_mean, key_mean).tolist() == [0.3, 0.3]
    assert shift_vector("centroid", 0.5, 2.0, query_mean, key_mean).tolist() == [0.25, 1.5]
    assert shift_vector("locked", 0.5, 2.0, query_mean, key_mean).tolist() == [3.5, 9.0]
    with pytest.raises(InputError, match="constant, centroid, locked"):
        shift_vector("sideways", 0, 1, query_mean, key_mean)


def test_the_ranges_of_the_sliders():
    key = np.array([[1.0, -3.0], [2.0, 0.0]])
    assert shift_range("constant", key) == (-1.5, 1.5)
    assert shift_range("centroid", key) == (0.0, 1.0)
    assert shift_range("locked", key) == SCALE_RANGE
    assert shift_range("constant", np.zeros((3, 2))) == (-1.0, 1.0)
    with pytest.raises(InputError, match="NaN"):
        shift_range("constant", np.full((1, 1), np.nan))
    with pytest.raises(InputError, match="locked"):
        shift_range("sideways", key)


def test_equal_where_shift_and_scale_are():
    vector = np.array([1.0, -2.0])
    same = [Normalization(vector, 2), Normalization([1, -2], 2.0)]
    assert same[0] == same[1]
    assert len({*same}) == 1
    assert Normalization() == Normalization(-0.0, 1) == Normalization(np.float32(0), np.float64(1))
    different = [
        Normalization(),
        Normalization(1),
        Normalization(1, 2),
        Normalization("centroid"),
        Normalization(vector),
        Normalization(np.ones(2)),
        Normalization(np.ones(3)),
    ]
    assert len(set(different)) == len(different)
    assert Normalization() != 0.0


def test_frozen_for_good():
    vector = np.array([1.0, 2.0])
    normalization = Normalization(vector)
    vector[0] = 5
    assert normalization.shift.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        normalization.shift[0] = 5
    with pytest.raises(AttributeError):
        normalization.scale = 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("middle",), "middle"),
        ((math.nan,), "finite"),
        ((math.inf,), "finite"),
        (([1.0, math.nan],), "finite"),
        ((np.ones((2, 2)),), "one vector"),
        ((None,), "real numbers"),
        ((1j,), "real numbers"),
        ((0.0, 0.0), "above 0"),
        ((0.0, -1.0), "above 0"),
        ((0.0, math.nan), "above 0"),
        ((0.0, math.inf), "above 0"),
        ((0.0, np.ones(2)), "above 0"),
        ((0.0, "2"), "real numbers"),
    ],
)
def test_what_is_no_normalisation_is_refused(arguments, word: str):
    with pytest.raises(InputError, match=word):
        Normalization(*arguments)


def test_vectors_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="3 coordinates"):
        Normalization(np.ones(3)).apply(np.ones((2, 4)), np.ones((2, 4)))
    with pytest.raises(InputError, match="head_dim"):
        Normalization().apply(np.ones((2, 4)), np.ones((2, 3)))
    with pytest.raises(InputError, match="shape"):
        Normalization().apply(np.ones(4), np.ones((2, 4)))
    with pytest.raises(InputError, match="at least one"):
        Normalization("centroid").apply(np.ones((0, 4)), np.ones((2, 4)))
    assert issubclass(InputError, ValueError)
