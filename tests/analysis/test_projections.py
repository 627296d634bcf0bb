"""3-D PCA, t-SNE and UMAP: against their definitions, and where there is little to project."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import attnviz_gui
from attnviz_gui.analysis.projections import (
    EARLY,
    EVERY,
    LATE,
    MOST,
    NO_UMAP,
    has_umap,
    nearest_of,
    pca3,
    tsne,
    turning,
    umap,
    usual_neighbours,
    usual_perplexity,
    why_not,
)
from attnviz_gui.errors import Cancelled, InputError

if TYPE_CHECKING:
    from attnviz_gui.analysis.projections import Method
    from attnviz_gui.capture.models import LoadedModel

METHODS = ("pca", "tsne", "umap")


def clouds(n: int, apart: float = 8.0, dim: int = 16, seed: int = 0) -> np.ndarray:
    """Two clouds of n points each, far from each other."""
    rng = np.random.default_rng(seed)
    centres = np.repeat([0.0, apart], n)[:, None]
    return rng.normal(size=(2 * n, dim)) + centres


def nearest(positions: np.ndarray) -> np.ndarray:
    """The point that is nearest to each, (N,)."""
    apart = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    return apart.argmin(axis=1)


# -- PCA -------------------------------------------------------------------------------------


def test_pca_is_the_singular_value_decomposition_of_the_centred_points() -> None:
    points = np.random.default_rng(3).normal(size=(40, 7)) * np.arange(1, 8) + 5
    where, share, axes = pca3(points)
    centred = points - points.mean(axis=0)
    left, values, right = np.linalg.svd(centred, full_matrices=False)
    assert np.allclose(np.abs(where), np.abs(left[:, :3] * values[:3]))
    assert np.allclose(share, values[:3] ** 2 / (values**2).sum())
    assert np.allclose(np.abs(axes), np.abs(right[:3].T))
    assert (axes[np.abs(axes).argmax(axis=0), range(3)] > 0).all()


def test_pca_points_as_it_did_before() -> None:
    points = np.random.default_rng(3).normal(size=(40, 7)) * np.arange(1, 8)
    where, _, axes = pca3(points)
    turned = pca3(points, near=-axes)
    assert np.allclose(turned[0], -where)
    assert np.allclose(pca3(points, near=np.ones((8, 3)))[0], where)  # of another head


@pytest.mark.parametrize("dim", [1, 2])
def test_pca_of_fewer_than_three_dimensions_is_flat(dim: int) -> None:
    where, share, axes = pca3(np.random.default_rng(0).normal(size=(9, dim)))
    assert where.shape == (9, 3) and axes.shape == (dim, 3)
    assert not where[:, dim:].any() and share.sum() == pytest.approx(1)


def test_turning_is_a_rotation_and_nothing_looks_along_the_third_axis() -> None:
    assert np.allclose(turning(0, 0), np.eye(3))
    turn = turning(0.7, -0.4)
    assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)
    # A quarter to the right brings what was nearest, the third axis, to the right.
    assert np.allclose(np.array([0, 0, 1.0]) @ turning(np.pi / 2, 0).T, [1, 0, 0])
    # A quarter down brings it to the lower edge.
    assert np.allclose(np.array([0, 0, 1.0]) @ turning(0, np.pi / 2).T, [0, -1, 0])


# -- t-SNE -----------------------------------------------------------------------------------


def test_tsne_keeps_neighbours_and_a_seed_gives_the_same_picture() -> None:
    points = clouds(20)
    first = tsne(points, seed=4)
    assert first.shape == (40, 2)
    assert ((nearest(first) < 20) == (np.arange(40) < 20)).all()
    assert np.array_equal(first, tsne(points, seed=4))
    assert not np.allclose(first, tsne(points, seed=5), atol=1)


@pytest.mark.parametrize("n", [3, 4, 6, 10, 29, 30])
@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_tsne_of_few_points_does_not_fall_into_one(n: int, apart: float) -> None:
    made = tsne(clouds(n, apart))
    assert np.isfinite(made).all()
    assert np.ptp(made, axis=0).max() > 3  # neighbours are about 1 apart


def test_tsne_of_a_head_that_attends_evenly_never_falls_into_one(bundled: LoadedModel) -> None:
    """Or its picture would be a dot while it moves, and grow out of rounding afterwards."""
    text = "The cat saw the dog and the bird while nobody slept, and then the quick brown fox "
    text += "jumped over the lazy dog again until night fell."
    head = attnviz_gui.capture(bundled, text).head(0, 0)
    steps: list[float] = []
    tsne(
        np.concatenate([head.query, head.key]),
        step=lambda _done, _of, made: steps.append(float(np.ptp(made, axis=0).max())),
    )
    assert min(steps) > 0.3  # neighbours are about 1 apart


def test_tsne_tells_of_its_way_and_a_cancel_keeps_what_is_reached() -> None:
    points, cancel = clouds(8), threading.Event()
    steps: list[tuple[int, int, np.ndarray]] = []

    def step(done: int, total: int, positions: np.ndarray) -> None:
        steps.append((done, total, positions))
        if done == 100:
            cancel.set()

    stopped = tsne(points, step=step, cancel=cancel)
    assert [done for done, _, _ in steps] == [25, 50, 75, 100]
    assert {total for _, total, _ in steps} == {EARLY + LATE}
    assert np.array_equal(stopped, steps[-1][2])
    assert not np.allclose(steps[0][2], stopped)  # each picture is one of its own
    steps.clear()
    whole = tsne(points, step=lambda *told: steps.append(told))
    assert len(steps) == (EARLY + LATE) / EVERY
    assert np.array_equal(whole, steps[-1][2])
    with pytest.raises(Cancelled):
        tsne(points, cancel=cancel)


@pytest.mark.parametrize("n", [6, 30, 80])
def test_tsne_says_where_no_point_is_nearer_than_another(n: int) -> None:
    with pytest.raises(InputError, match="into one place"):
        tsne(np.eye(n))


def test_tsne_keeps_equal_points_apart_from_others() -> None:
    points = np.repeat(clouds(3), 4, axis=0)
    made = tsne(points)
    assert np.isfinite(made).all() and np.ptp(made, axis=0).max() > 3


@pytest.mark.parametrize(
    ("n", "wanted", "used"),
    [(6, 30, 1), (7, 30, 2), (22, 30, 7), (91, 30, 30), (90, 30, 29), (1000, 5, 5)],
)
def test_the_perplexity_is_capped_by_the_number_of_points(
    n: int, wanted: float, used: float
) -> None:
    assert usual_perplexity(n, wanted) == used


# -- UMAP ------------------------------------------------------------------------------------


def test_umap_keeps_neighbours_or_says_how_it_is_installed() -> None:
    points = clouds(20)
    if not has_umap():
        with pytest.raises(InputError, match=r"pip install 'attnviz-gui\[umap\]'"):
            umap(points)
        assert why_not("umap", 40) == NO_UMAP
        return
    first = umap(points, seed=4)
    assert first.shape == (40, 2)
    assert ((nearest(first) < 20) == (np.arange(40) < 20)).all()
    assert np.array_equal(first, umap(points, seed=4))
    for n in (3, 4, 10, 29, 30):
        assert np.isfinite(umap(clouds(n))).all()


def test_the_nearest_of_each_point_are_those_of_all_distances() -> None:
    points = np.random.default_rng(0).normal(size=(600, 7))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    near, far = nearest_of(points, 5)
    assert np.array_equal(near, apart.argsort(axis=1)[:, :5])
    assert np.allclose(far, np.sort(apart, axis=1)[:, :5], atol=1e-6)
    near, far = nearest_of(np.repeat(points[:3], 6, axis=0) + 1e3, 6)
    assert near[:, 0].tolist() == list(range(18))  # itself, among its equals
    assert far.max() == 0


@pytest.mark.parametrize("asked", [0, 1, 2, 50])
def test_umap_is_cancelled_before_and_between_its_epochs(asked: int) -> None:
    if not has_umap():
        pytest.skip("UMAP is not installed")

    class Later(threading.Event):
        """Set once it has been asked so often."""

        left = asked

        def is_set(self) -> bool:
            self.left -= 1
            return self.left < 0

    cancel = Later()
    with pytest.raises(Cancelled):
        umap(clouds(20), cancel=cancel)
    assert cancel.left == -1


def test_umap_looks_at_fewer_neighbours_where_points_are_few() -> None:
    assert [usual_neighbours(n) for n in (6, 16, 400)] == [5, 15, 15]


# -- where there is nothing to project -------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_too_few_and_too_many_points_are_refused_in_words(method: Method) -> None:
    assert "at least" in why_not(method, 2)
    assert "2 queries and keys" in why_not(method, 2)
    most = MOST[method]
    assert f"{most:,} at most" in why_not(method, most + 1)
    assert not why_not(method, most) or (method == "umap" and not has_umap())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("points", "reason"),
    [
        (np.full((8, 4), 3.3), "equal"),
        (np.zeros((8, 4)), "equal"),
        (np.where(np.eye(8, 4) > 0, np.nan, 1.0), "NaN or infinity"),
        (np.where(np.eye(8, 4) > 0, np.inf, 1.0), "NaN or infinity"),
    ],
)
def test_equal_vectors_and_what_is_no_number_are_refused(
    method: str, points: np.ndarray, reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        {"pca": pca3, "tsne": tsne, "umap": umap}[method](points)
