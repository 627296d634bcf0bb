"""The geometry on real heads: all 72 of the bundled BERT, on the text the window opens with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from sklearn.decomposition import PCA

from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.fit import Landscape, fit
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.normalization import (
    SCALE_RANGE,
    SHIFT_MODES,
    ShiftMode,
    scale_range,
    shift_range,
)
from attnviz_gui.session.picture import make_picture
from tests.geometry.oracles import cosine_objective

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.geometry.live import LiveHead


def live_heads(capture: Capture) -> Iterator[LiveHead]:
    for layer, about in enumerate(capture.layers):
        for head in range(about.n_heads):
            yield make_picture(capture, 0, layer, head).live


@pytest.mark.parametrize("mode", SHIFT_MODES)
def test_attention_is_unchanged_at_the_ends_of_every_slider(capybara: Capture, mode: ShiftMode):
    for live in live_heads(capybara):
        for t in shift_range(mode, live.key):
            for scale in (*SCALE_RANGE, *scale_range(1e9)):
                assert live.at(mode, t, scale).attention_difference < 1e-5


def test_lifted_heads_rank_by_distance_as_by_attention(capybara: Capture):
    before = sum(
        live.frame(np.zeros(live.key.shape[1]), 1.0).rank_disagreements
        for live in live_heads(capybara)
    )
    assert before > 100  # of 72 heads with 9 queries each
    for live in live_heads(capybara):
        for t, scale in ((0.0, 1.0), (1.0, 0.1), (1.0, 10.0)):
            assert live.at("lifted", t, scale).rank_disagreements == 0


def test_planes_are_scikit_learns(capybara: Capture):
    for live in live_heads(capybara):
        for t in (0.0, 0.2):
            frame = live.frame(np.full(live.key.shape[1], t), 1.5)
            pca = PCA(2, svd_solver="full")
            expected = pca.fit_transform(np.concatenate([frame.query, frame.key]))
            plane = frame.projection
            drawn = np.concatenate([plane.query_xy, plane.key_xy])
            left, _, right = np.linalg.svd(drawn.T @ expected)
            np.testing.assert_allclose(drawn @ (left @ right), expected, atol=1e-6)
            np.testing.assert_allclose(plane.explained, pca.explained_variance_ratio_, atol=1e-9)


def test_correlations_are_those_of_the_loops(capybara: Capture):
    for live in list(live_heads(capybara))[::9]:
        before = live.frame(np.zeros(live.key.shape[1]), 1.0)
        assert before.correlation == pytest.approx(
            -cosine_objective(live.query, live.key), abs=1e-12
        )


@pytest.mark.parametrize("mode", SHIFT_MODES)
def test_a_fit_is_never_below_any_slider_position(capybara: Capture, mode: ShiftMode):
    for live in live_heads(capybara):
        found = fit(live, shift_mode=mode)
        assert found.value == pytest.approx(
            correlate(*found.normalization.apply(live.query, live.key)), abs=1e-12
        )
        low, high = shift_range(mode, live.key)
        land = Landscape(live, "cosine", mode)
        for t in np.linspace(low, high, 20 if mode == "lifted" else 60):
            (at,) = land.normalizations(t, t if mode == "locked" else 1.0)
            assert found.value >= correlate(*at.apply(live.query, live.key)) - 1e-9


@pytest.mark.parametrize("mask", [None, "causal"])
def test_many_texts_fit_as_a_list_of_them_does(capybara: Capture, mask: Literal["causal"] | None):
    several = list(live_heads(capybara))[::18]
    n = len(several[0].key)
    texts = TextPairs([(slice(i, i + n), slice(i, i + n), mask) for i in range(0, 4 * n, n)])
    together = SimpleNamespace(
        query=np.concatenate([live.query for live in several]),
        key=np.concatenate([live.key for live in several]),
        mask=texts,
    )
    allowed = None if mask is None else np.tri(n, dtype=bool)
    apart = [SimpleNamespace(query=live.query, key=live.key, mask=allowed) for live in several]
    one, other = fit(together), fit(apart)
    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert one.t == pytest.approx(other.t, rel=1e-6)
