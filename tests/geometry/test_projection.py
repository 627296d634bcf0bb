from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.normalization import (
    SCALE_RANGE,
    Normalization,
    ShiftMode,
    shift_range,
    shift_vector,
)
from attnviz_gui.geometry.projection import JointPlane, Projection, project
from tests.geometry.strategies import SmallHead, heads, scales, shifts


def random_head(seed: int, n: int = 30, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Queries and keys whose joint spread falls from axis to axis, so that a plane is defined."""
    rng = np.random.default_rng(seed)
    fall = 0.8 ** np.arange(d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    query = (rng.normal(size=(n, d)) + rng.normal(size=d)) * fall
    key = (rng.normal(size=(n + 5, d)) + rng.normal(size=d)) * fall
    return query @ turn, key @ turn


def nearest_turn(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    left, _, right = np.linalg.svd(points.T @ target)
    return left @ right


def stacked(plane: Projection) -> np.ndarray:
    return np.concatenate([plane.query_xy, plane.key_xy])


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("seed", range(5))
def test_equals_scikit_learn_with_the_signs_of_its_axes(seed: int, offset: float):
    query, key = (x + offset for x in random_head(seed))
    plane = project(query, key)
    pca = PCA(2, svd_solver="full")
    expected = pca.fit_transform(np.concatenate([query, key]))
    np.testing.assert_allclose(stacked(plane), expected, atol=1e-6)
    np.testing.assert_allclose(plane.explained, pca.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(plane.axes, pca.components_.T, atol=1e-6)
    assert plane.query_xy.shape == (len(query), 2)


@settings(max_examples=100, deadline=None)
@given(head=heads(max_dim=6))
def test_equals_scikit_learn_up_to_a_turn_where_the_plane_is_defined(head: SmallHead):
    joint = np.concatenate([head.query, head.key])
    plane = project(head.query, head.key)
    assert np.isfinite(stacked(plane)).all()
    assert np.isfinite(plane.explained).all()
    spread = np.linalg.svd(joint - joint.mean(axis=0), compute_uv=False)
    spread = np.concatenate([spread, [0.0, 0.0, 0.0]])
    if spread[1] - spread[2] > 1e-3:
        n = min(2, *joint.shape)
        expected = np.zeros((len(joint), 2))
        expected[:, :n] = PCA(n, svd_solver="full").fit_transform(joint)
        turn = nearest_turn(stacked(plane), expected)
        np.testing.assert_allclose(stacked(plane) @ turn, expected, atol=1e-6)
    if spread[0] > 0:
        share = spread**2 / (spread**2).sum()
        np.testing.assert_allclose(plane.explained, share[:2], atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), head=heads(max_dim=6), scale=scales)
def test_the_moments_give_the_plane_of_the_applied_vectors(data, head: SmallHead, scale: float):
    shift = data.draw(shifts(head.key.shape[1]))
    ours = JointPlane(head.query, head.key).at(shift, scale)
    applied = Normalization(shift, scale).apply(head.query, head.key)
    plain = project(*applied)
    np.testing.assert_allclose(ours.explained, plain.explained, atol=1e-9)
    # Distances in the plane do not depend on where the axes point; they need a plane, though.
    joint = np.concatenate(applied)
    spread = np.linalg.svd(joint - joint.mean(axis=0), compute_uv=False)
    spread = np.concatenate([spread, [0.0, 0.0, 0.0]])
    if spread[1] - spread[2] > 1e-3 * spread[0]:
        turn = nearest_turn(stacked(ours), stacked(plain))
        size = max(1.0, np.abs(stacked(plain)).max())
        np.testing.assert_allclose(stacked(ours) @ turn, stacked(plain), atol=1e-9 * size)


def test_the_common_mean_is_the_origin():
    assert np.abs(stacked(project(*random_head(3))).mean(axis=0)).max() < 1e-12


@pytest.mark.parametrize(
    ("query", "key"),
    [
        (np.empty((0, 3)), np.empty((0, 3))),
        (np.ones((1, 3)), np.empty((0, 3))),
        (np.ones((1, 3)), np.ones((1, 3))),
        (np.full((4, 3), 0.1), np.full((5, 3), 0.1)),
        (np.full((4, 3), 1e8 / 3), np.full((5, 3), 1e8 / 3)),
        (np.zeros((2, 1)), np.zeros((2, 1))),
    ],
)
def test_equal_vectors_are_one_point_that_explains_nothing(query, key):
    plane = project(query, key)
    assert plane.query_xy.tolist() == [[0, 0]] * len(query)
    assert plane.key_xy.tolist() == [[0, 0]] * len(key)
    assert plane.explained.tolist() == [0, 0]
    assert plane.axes.shape == (query.shape[1], 2)


def test_two_points_lie_on_the_first_axis():
    plane = project([[0.0, 0, 0]], [[3.0, 4, 0]])
    np.testing.assert_allclose(plane.explained, [1, 0], atol=1e-12)
    np.testing.assert_allclose(plane.query_xy, [[-2.5, 0]], atol=1e-12)
    np.testing.assert_allclose(plane.key_xy, [[2.5, 0]], atol=1e-12)


def test_one_coordinate_has_no_second_axis():
    plane = project([[1.0], [2.0]], [[5.0], [9.0]])
    assert plane.axes.tolist() == [[1, 0]]
    assert plane.explained.tolist() == [1, 0]
    np.testing.assert_allclose(plane.query_xy, [[-3.25, 0], [-2.25, 0]])
    np.testing.assert_allclose(plane.key_xy, [[0.75, 0], [4.75, 0]])
    mirrored = project([[-1.0], [-2.0]], [[-5.0], [-9.0]], near=plane)
    np.testing.assert_allclose(mirrored.query_xy, plane.query_xy)


def test_near_turns_the_plane_and_nothing_else():
    query, key = random_head(4)
    plain = project(query, key)
    angle = 2.0
    turn = np.array([[np.cos(angle), np.sin(angle)], [np.sin(angle), -np.cos(angle)]])
    turned = Projection(
        plain.query_xy @ turn, plain.key_xy @ turn, plain.explained, plain.axes @ turn
    )
    near = project(query, key, near=turned)
    np.testing.assert_allclose(stacked(near), stacked(turned), atol=1e-10)
    np.testing.assert_allclose(near.axes, turned.axes, atol=1e-10)
    # What is explained belongs to the drawn axes: together as before, one by one not.
    assert near.explained.sum() == pytest.approx(plain.explained.sum())
    drawn = stacked(near).var(axis=0) / np.concatenate([query, key]).var(axis=0).sum()
    np.testing.assert_allclose(near.explained, drawn, atol=1e-12)


def drag(mode: ShiftMode, slider: str, steps: int = 1000) -> list[tuple[np.ndarray, float]]:
    """Shift and scale of a drag across the whole slider, on the head of seed 5."""
    query, key = random_head(5)
    means = query.mean(axis=0), key.mean(axis=0)
    if slider == "shift":
        low, high = shift_range(mode, key)
        return [(shift_vector(mode, t, 1.0, *means), 1.0) for t in np.linspace(low, high, steps)]
    return [
        (shift_vector(mode, 0.5 * key.std(), c, *means), c)
        for c in np.geomspace(*SCALE_RANGE, steps)
    ]


@pytest.mark.parametrize(
    ("mode", "slider"),
    [
        ("constant", "shift"),
        ("centroid", "shift"),
        ("constant", "scale"),
        ("centroid", "scale"),
        ("locked", "scale"),
    ],
)
def test_nothing_jumps_in_a_drag_across_the_whole_slider(mode: ShiftMode, slider: str):
    head = JointPlane(*random_head(5))
    last: Projection | None = None
    still = 0
    positions = drag(mode, slider)
    for shift, scale in positions:
        plane = head.at(shift, scale, near=last)
        if last is not None:
            size = np.sqrt(np.square(stacked(last)).sum(axis=1).mean())
            moved = np.abs(stacked(plane) - stacked(last)).max() / size
            # How far the plane itself has tilted: the sine of the larger angle between the two.
            overlap = np.linalg.svd(plane.axes.T @ last.axes, compute_uv=False)[-1]
            tilt = np.sqrt(max(0.0, 1 - overlap**2))
            assert moved < 0.03 + 4 * tilt  # a flipped axis moves the outer points by 2 to 6
            turned = np.abs(plane.axes - last.axes).max()
            assert turned < 0.03 + 2 * tilt
            still += tilt < 0.05
        last = plane
    assert still > 0.98 * (len(positions) - 1)


def test_without_the_frame_before_axes_do_jump():
    # The drag above proves something: the resting signs do flip on its way.
    head = JointPlane(*random_head(5))
    flips = 0
    for mode, slider in (("constant", "shift"), ("centroid", "scale"), ("locked", "scale")):
        planes = [head.at(*position) for position in drag(mode, slider)]
        for last, plane in pairwise(planes):
            flips += (np.einsum("da,da->a", last.axes, plane.axes) < -0.9).any()
    assert flips > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
def test_vectors_without_a_plane_are_refused(bad: float):
    key = np.ones((3, 2))
    key[1, 1] = bad
    with pytest.raises(InputError, match="NaN or infinity"):
        project(np.ones((2, 2)), key)
    with pytest.raises(InputError, match="head_dim"):
        project(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(InputError, match="other tokens"):
        project(*random_head(0), near=project(*random_head(0, n=8)))
