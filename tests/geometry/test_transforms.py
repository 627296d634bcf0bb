"""The balancing transform and the lifted space, and what both leave as it is: every product."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.transforms import (
    RIDGE,
    balancing,
    lift,
    lifted_coordinate,
    transform_vectors,
)
from tests.geometry.oracles import attention
from tests.geometry.strategies import SmallHead, heads, scales


def covariance(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - vectors.mean(axis=0)
    return centred.T @ centred / len(vectors)


def unlike(seed: int, n: int, d: int, mean: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys that spread along other directions, and by other amounts."""
    rng = np.random.default_rng(seed)
    turns = [np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(2)]
    query = rng.normal(size=(n, d)) * np.geomspace(3, 0.3, d) @ turns[0] + mean
    key = rng.normal(size=(n + 3, d)) * np.geomspace(0.05, 1, d) @ turns[1] - mean
    return query, key


@pytest.mark.parametrize("d", [1, 2, 8, 64])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_balanced_covariances_are_equal_and_diagonal(d: int, mean: float):
    query, key = unlike(d, 400, d, mean)
    transform = balancing(query, key)
    # What the definition promises, with the ridge it states.
    with_ridge = [
        covariance(x) + RIDGE * np.trace(covariance(x)) / d * np.eye(d) for x in (query, key)
    ]
    inverse = np.linalg.inv(transform)
    sides = transform @ with_ridge[0] @ transform.T, inverse.T @ with_ridge[1] @ inverse
    size = np.abs(sides[0]).max()
    np.testing.assert_allclose(sides[0], sides[1], atol=1e-9 * size)
    off = sides[0] - np.diag(np.diag(sides[0]))
    assert np.abs(off).max() <= 1e-9 * size
    assert (np.diff(np.diag(sides[0])) <= 1e-9 * size).all()  # largest first
    # And of the vectors themselves: equal but for the ridge.
    new_query, new_key = transform_vectors(query, key, transform)
    np.testing.assert_allclose(covariance(new_query), covariance(new_key), atol=2e-2 * size)
    # Before, the sides were far from equal.
    if d > 1:
        gap = np.abs(covariance(query) - covariance(key)).max()
        assert gap > 0.5 * np.abs(covariance(query)).max()


@pytest.mark.parametrize("n", [2, 3, 9])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_fewer_tokens_than_dimensions_leave_it_well_conditioned(n: int, mean: float):
    query, key = unlike(n, n, 64, mean)
    transform = balancing(query, key)
    assert np.linalg.cond(transform) <= np.sqrt(64 / RIDGE) * 1.01
    new_query, new_key = transform_vectors(query, key, transform)
    tolerance = 1e-10 * np.abs(query).max() * np.abs(key).max() * 64
    np.testing.assert_allclose(new_query @ new_key.T, query @ key.T, atol=tolerance)
    assert np.isclose(np.trace(covariance(new_query)), np.trace(covariance(new_key)), rtol=0.5)


@settings(max_examples=100, deadline=None)
@given(head=heads())
def test_products_are_kept_whatever_the_vectors(head: SmallHead):
    transform = balancing(head.query, head.key)
    query, key = transform_vectors(head.query, head.key, transform)
    np.testing.assert_allclose(query @ key.T, head.query @ head.key.T, atol=1e-9)
    query, key = lift(head.query, head.key)
    np.testing.assert_array_equal(query @ key.T, head.query @ head.key.T)


@settings(max_examples=100, deadline=None)
@given(head=heads())
def test_lifted_keys_are_equally_long_and_distance_ranks_as_the_product(head: SmallHead):
    query, key = lift(head.query, head.key)
    assert query.shape[1] == key.shape[1] == head.key.shape[1] + 1
    assert not query[:, -1].any()
    lengths = np.linalg.norm(key, axis=1)
    longest = max(np.linalg.norm(head.key, axis=1))
    np.testing.assert_allclose(lengths, longest, atol=1e-12)
    for row in query:
        dots = key @ row
        distances = np.square(key - row).sum(axis=1)
        for i in range(len(key)):
            for j in range(len(key)):
                if dots[i] > dots[j] + 1e-9:
                    assert distances[i] < distances[j]


def test_lifting_keeps_digits_where_keys_are_long_and_alike():
    rng = np.random.default_rng(0)
    key = 1e4 + rng.normal(size=(50, 8))
    exact = key.astype(np.longdouble)
    squares = (exact * exact).sum(axis=1)
    expected = np.sqrt(squares.max() - squares).astype(np.float64)
    np.testing.assert_allclose(lifted_coordinate(key), expected, rtol=1e-9, atol=1e-9)


def test_the_balancing_does_not_depend_on_units():
    query, key = unlike(5, 60, 6)
    transform = balancing(query, key)
    np.testing.assert_allclose(balancing(1e30 * query, 1e30 * key), transform, rtol=1e-9)
    np.testing.assert_allclose(balancing(1e-30 * query, 1e-30 * key), transform, rtol=1e-9)
    np.testing.assert_allclose(balancing(4 * query, key), transform / 2, rtol=1e-9)
    np.testing.assert_allclose(balancing(query + 7, key - 3), transform, rtol=1e-7, atol=1e-9)
    single = balancing(query.astype(np.float32), key.astype(np.float32))
    np.testing.assert_allclose(single, transform, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("query", "key"),
    [
        (np.ones((1, 3)), np.eye(3)),
        (np.ones((4, 3)) * 0.1, np.eye(3)),
        (np.eye(3), np.full((5, 3), 1e4 + 0.1)),
        (np.zeros((2, 3)), np.zeros((2, 3))),
        (np.ones((0, 3)), np.eye(3)),
    ],
)
def test_a_side_without_spread_is_left_as_it_is(query, key):
    np.testing.assert_array_equal(balancing(query, key), np.eye(3))


@settings(max_examples=60, deadline=None)
@given(head=heads(), scale=scales)
def test_a_normalisation_with_transform_and_lift_keeps_the_attention(head: SmallHead, scale: float):
    transform = balancing(head.query, head.key)
    before = attention(head.query, head.key, mask=head.mask)
    for lifted in (False, True):
        for shift in ("centroid", 0.5, 0.0):
            normal = Normalization(shift, scale, transform, lifted)
            query, key = normal.apply(head.query, head.key)
            assert query.shape == (len(head.query), head.query.shape[1] + lifted)
            after = attention(query, key, mask=head.mask)
            assert np.abs(after - before).max(initial=0) < 1e-9


def test_what_a_transform_and_a_lift_do():
    rng = np.random.default_rng(1)
    query, key = rng.normal(size=(2, 7, 3)) + 1
    matrix = np.array([[2.0, 1.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 3.0]])
    shift = np.array([0.5, -1.0, 2.0])
    new_query, new_key = Normalization(shift, 2.0, matrix).apply(query, key)
    for i in range(7):
        np.testing.assert_allclose(new_query[i], 2 * matrix @ query[i], atol=1e-14)
        expected = np.linalg.inv(matrix).T @ (key[i] + shift) / 2
        np.testing.assert_allclose(new_key[i], expected, atol=1e-14)
    centred = Normalization("centroid", 1.0, matrix).apply(query, key)
    np.testing.assert_allclose(centred[0].mean(axis=0), centred[1].mean(axis=0), atol=1e-13)

    up_query, up_key = Normalization(shift, 2.0, lifted=True).apply(query, key)
    longest = np.linalg.norm(key + shift, axis=1).max()
    np.testing.assert_allclose(up_query, np.c_[2 * query, np.zeros(7)], atol=1e-14)
    np.testing.assert_allclose(up_key[:, :3], (key + shift) / 2, atol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(up_key, axis=1), longest / 2, atol=1e-13)


def test_equal_where_transform_and_lift_are_and_frozen():
    matrix = 2 * np.eye(2)
    one = Normalization(0.0, 1.0, matrix)
    assert one == Normalization(0.0, 1.0, np.diag([2, 2]))
    different = [one, Normalization(), Normalization(lifted=True), Normalization(transform=-matrix)]
    assert len(set(different)) == 4
    matrix[0, 0] = 5
    assert one.transform[0, 0] == 2
    with pytest.raises(ValueError, match="read-only"):
        one.transform[0, 0] = 5


@pytest.mark.parametrize(
    ("transform", "word"),
    [
        (np.ones((2, 2)), "no inverse"),
        (np.zeros((2, 2)), "no inverse"),
        (np.ones((2, 3)), "matrix"),
        (np.ones(2), "matrix"),
        (np.ones((0, 0)), "matrix"),
        ([[np.nan]], "NaN"),
        ("M", "real numbers"),
    ],
)
def test_what_is_no_transform_is_refused(transform, word: str):
    with pytest.raises(InputError, match=word):
        Normalization(transform=transform)
    with pytest.raises(InputError, match=word):
        transform_vectors(np.ones((2, 2)), np.ones((2, 2)), transform)


def test_vectors_that_do_not_fit_are_refused():
    query, key = np.eye(2), np.eye(2)
    for shift in ("centroid", 0.0):
        with pytest.raises(InputError, match="3 coordinates"):
            Normalization(shift, transform=np.eye(3)).apply(query, key)
    with pytest.raises(InputError, match="3 coordinates"):
        transform_vectors(query, key, np.eye(3))
    with pytest.raises(InputError, match="NaN"):
        balancing(np.full((2, 2), np.nan), key)
