"""One plane for many heads: equal to the PCA of their points, and to itself on every run."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.decomposition import PCA

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.space import shared_space

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture


def random_heads(n: int, d: int = 6, mean: float = 0.5, seed: int = 0) -> list[SimpleNamespace]:
    rng = np.random.default_rng(seed)
    return [
        SimpleNamespace(
            query=(i + 1) * (rng.normal(size=(8 + i, d)) * np.geomspace(3, 0.5, d) + mean),
            key=(i + 1) * (rng.normal(size=(10, d)) @ rng.normal(size=(d, d)) - mean),
        )
        for i in range(n)
    ]


def pooled(heads: list[SimpleNamespace], normalizations: list[Normalization]) -> np.ndarray:
    """All points as they are put into the PCA, by the definition."""
    parts = []
    for head, normalization in zip(heads, normalizations, strict=True):
        points = np.concatenate(normalization.apply(head.query, head.key))
        parts.append(points / np.sqrt((points**2).sum(axis=1).mean()))
    return np.concatenate(parts)


@pytest.mark.parametrize("mean", [0.5, 1e4])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("mode", ["raw", "centroid", "lifted"])
def test_it_is_scikit_learns_pca_of_the_pooled_points(mode: str, dtype, mean: float):
    heads = random_heads(5, mean=mean if dtype != np.float16 else 0.5)
    for head in heads:
        head.query, head.key = head.query.astype(dtype), head.key.astype(dtype)
    chosen = {
        "raw": Normalization(),
        "centroid": Normalization("centroid", 2.0),
        "lifted": Normalization("centroid", 0.5, lifted=True),
    }[mode]
    space = shared_space(heads, chosen)
    pca = PCA(2, svd_solver="full")
    expected = pca.fit_transform(pooled(heads, [chosen] * 5))
    found = np.concatenate(
        [np.concatenate(pair) for pair in zip(space.query_xy, space.key_xy, strict=True)]
    )
    # Up to the sign of each axis, which here is one for all heads.
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found * signs, expected, atol=1e-6)
    np.testing.assert_allclose(space.explained, pca.explained_variance_ratio_, atol=1e-9)
    np.testing.assert_allclose(space.mean, pca.mean_, atol=1e-9)
    assert (space.axes[np.abs(space.axes).argmax(axis=0), [0, 1]] > 0).all()
    np.testing.assert_array_equal(space.limits[:, 0], found.min(axis=0))
    np.testing.assert_array_equal(space.limits[:, 1], found.max(axis=0))
    assert space.head_dim == 6 + (mode == "lifted")
    assert space.left_out == ()


def test_each_head_has_unit_mean_squared_norm_and_its_own_normalisation():
    heads = random_heads(3)
    each = [Normalization(0.3), Normalization("centroid", 3.0), Normalization()]
    space = shared_space(heads, each)
    for i, (head, normalization) in enumerate(zip(heads, each, strict=True)):
        query, key = (space.factors[i] * x for x in normalization.apply(head.query, head.key))
        assert np.square(np.concatenate([query, key])).sum(axis=1).mean() == pytest.approx(1)
        np.testing.assert_allclose(space.query_xy[i], (query - space.mean) @ space.axes, atol=1e-12)
        np.testing.assert_allclose(space.key_xy[i], (key - space.mean) @ space.axes, atol=1e-12)
    with pytest.raises(InputError, match="2 for 3 heads"):
        shared_space(heads, each[:2])


def test_the_size_and_order_of_heads_move_no_point():
    heads = random_heads(4)
    space = shared_space(heads)
    larger = [SimpleNamespace(query=1e6 * h.query, key=1e6 * h.key) for h in heads]
    for again in (shared_space(heads), shared_space(larger)):
        for i in range(4):
            np.testing.assert_allclose(again.query_xy[i], space.query_xy[i], atol=1e-9)
    backwards = shared_space(heads[::-1])
    np.testing.assert_allclose(backwards.query_xy[0], space.query_xy[3], atol=1e-9)
    np.testing.assert_allclose(backwards.limits, space.limits, atol=1e-9)


def test_heads_that_do_not_fit_are_named_and_have_no_place():
    heads = random_heads(3)
    other = random_heads(1, d=4, seed=9)[0]
    broken = SimpleNamespace(query=np.full((2, 6), np.nan), key=np.ones((2, 6)))
    empty = SimpleNamespace(query=np.ones((0, 6)), key=np.ones((0, 6)))
    space = shared_space([heads[0], other, heads[1], broken, heads[2], empty])
    assert [i for i, _ in space.left_out] == [1, 3, 5]
    reasons = dict(space.left_out)
    assert "4 coordinates" in reasons[1]
    assert "most heads have 6" in reasons[1]
    assert "NaN" in reasons[3]
    assert "neither" in reasons[5]
    for i in (1, 3, 5):
        assert space.query_xy[i] is None
        assert space.key_xy[i] is None
        assert np.isnan(space.factors[i])
    alone = shared_space(heads)
    for i, j in enumerate((0, 2, 4)):
        np.testing.assert_array_equal(space.query_xy[j], alone.query_xy[i])
    with pytest.raises(InputError, match="NaN"):
        shared_space([broken])
    with pytest.raises(InputError, match="at least one head"):
        shared_space([])
    # A tie is decided by order, not by chance.
    assert shared_space([other, heads[0]]).head_dim == 4


def test_heads_without_any_spread():
    zero = SimpleNamespace(query=np.zeros((2, 3)), key=np.zeros((2, 3)))
    same = SimpleNamespace(query=np.full((2, 3), 0.1), key=np.full((3, 3), 0.1))
    space = shared_space([same])
    assert not space.query_xy[0].any()
    assert space.explained.tolist() == [0, 0]
    assert shared_space([zero]).factors.tolist() == [1]
    both = shared_space([zero, same])
    assert both.explained == pytest.approx([1, 0])
    one = shared_space([SimpleNamespace(query=[[1.0]], key=[[3.0]])])
    assert one.axes.shape == (1, 2)
    assert not one.key_xy[0][:, 1].any()


def test_a_whole_model_in_one_plane(capybara: Capture):
    heads = [
        capybara.head(layer, head)
        for layer, about in enumerate(capybara.layers)
        for head in range(about.n_heads)
    ]
    seen: list[tuple[int, int]] = []
    space = shared_space(heads, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, 2 * len(heads))
    assert seen[-1] == (2 * len(heads), 2 * len(heads))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    expected = PCA(2, svd_solver="full").fit(pooled(heads, [Normalization()] * len(heads)))
    np.testing.assert_allclose(space.explained, expected.explained_variance_ratio_, atol=1e-9)
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        shared_space(heads, cancel=event)
