"""How alike heads are, by plain loops; groups of them, beside scipy's; bounded blocks; cancel."""

from __future__ import annotations

import math
import threading
from itertools import combinations

import numpy as np
import pytest

from attnviz_gui.analysis import likeness
from attnviz_gui.analysis.likeness import (
    average_linkage,
    cluster,
    clusters_of,
    compared,
    divergences,
    like,
    renumbered,
)
from attnviz_gui.capture.record import Capture, Layer, LayerRecord
from attnviz_gui.errors import Cancelled, InputError
from tests.samples import random_capture


def by_loops(capture: Capture, one, other, *, with_special=True) -> float:
    """The mean over rows of the divergence, straight from its definition."""
    special = capture.special[0]
    keys = [j for j in range(len(special)) if with_special or not special[j]]
    heads = [capture.head(*place) for place in (one, other)]
    found = []
    for i in keys:
        rows = []
        for head in heads:
            row = [float(head.attention[i, j]) for j in keys]
            if sum(row) > 0:
                rows.append([p / sum(row) for p in row])
        if len(rows) == 2:
            middle = [(p + q) / 2 for p, q in zip(*rows, strict=True)]
            own = [sum(p * math.log2(p) for p in row if p > 0) for row in (middle, *rows)]
            found.append((own[1] + own[2]) / 2 - own[0])
    return sum(found) / len(found)


def of_attention(*matrices: np.ndarray) -> Capture:
    """A capture of one layer whose heads attend as the matrices say, in 0 and 1."""
    n = len(matrices[0])
    key = np.tile(np.eye(n, dtype=np.float32), (len(matrices), 1, 1))
    query = 200 * np.stack(matrices).astype(np.float32)
    mask = np.stack(matrices).any(axis=2)[:, :, None] & np.ones(n, dtype=bool)
    record = LayerRecord(query, key, key, 1.0, mask)
    return Capture(
        ("text",), (list("abcdefgh"[:n]),), (np.zeros(n, dtype=bool),),
        (Layer("layer", "self", len(matrices), n),), ((record,),),
    )  # fmt: skip


@pytest.mark.parametrize("with_special", [True, False])
@pytest.mark.parametrize("held", [1 << 24, 1])
def test_plain_loops_say_the_same(monkeypatch, with_special: bool, held: int) -> None:
    monkeypatch.setattr(likeness, "HELD", held)  # 1: a block for every query
    capture = random_capture(9, causal=True)
    heads = [(i, h) for i in range(2) for h in range(3)]
    found = divergences(capture, with_special=with_special)
    np.testing.assert_array_equal(found, found.T)
    for a, one in enumerate(heads):
        own = like(capture, *one, with_special=with_special)
        np.testing.assert_allclose(own, found[a], atol=1e-6)
        for b, other in enumerate(heads):
            wanted = 0 if a == b else by_loops(capture, one, other, with_special=with_special)
            assert found[a, b] == pytest.approx(wanted, abs=2e-6)


def test_nothing_in_common_is_1_and_the_same_is_0() -> None:
    capture = of_attention(np.eye(4), np.eye(4)[::-1], np.eye(4), np.zeros((4, 4)))
    found = like(capture, 0, 0)
    np.testing.assert_allclose(found[:3], [0, 1, 0], atol=1e-6)
    assert math.isnan(found[3])  # it attends to nothing
    groups = cluster(capture, n=2)
    assert groups.labels.tolist() == [1, 2, 1, 0]
    assert groups.typical == {1: (0, 0), 2: (0, 1)}


def test_heads_that_attend_alike_are_one_group() -> None:
    before, after = np.eye(6, k=-1), np.eye(6, k=1)
    first = np.zeros((6, 6))
    first[:, 0] = 1
    capture = of_attention(before, first, after, before, first, after)
    assert cluster(capture, n=3).labels.tolist() == [1, 2, 3, 1, 2, 3]
    assert set(cluster(capture, n=1).labels.tolist()) == {1}
    assert cluster(capture, n=99).labels.tolist() == [1, 2, 3, 1, 2, 3]
    with pytest.raises(InputError):
        cluster(capture, n=0)


@pytest.mark.parametrize("n", [2, 4, 7])
def test_groups_are_those_of_scipy(n: int) -> None:
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy")
    from scipy.spatial.distance import pdist, squareform

    points = np.random.default_rng(n).normal(size=(40, 3))
    near = pdist(points)
    theirs = hierarchy.fcluster(hierarchy.linkage(near, "average"), n, "maxclust")
    ours = average_linkage(squareform(near), n)
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == n == len(set(ours))


def test_one_token_leaves_one_group() -> None:
    assert set(cluster(random_capture(1), n=5).labels.tolist()) == {1}


def test_cross_attention_is_compared_with_its_own_kind_only() -> None:
    capture = random_capture(5, layers=2, heads=2)
    layers = capture.layers[0], Layer("cross", "cross", 2, 32)
    mixed = Capture(capture.texts, capture.tokens, capture.special, layers, capture.records)
    found = divergences(mixed)
    assert np.isfinite(found[:2, :2]).all()
    assert np.isfinite(found[2:, 2:]).all()
    assert np.isnan(found[:2, 2:]).all()
    assert clusters_of(mixed, 0, found, 1).labels.tolist() == [1, 1, 2, 2]


def rand_index(one, other) -> float:
    """The adjusted Rand index by its definition: over pairs of heads."""
    pairs = list(combinations(range(len(one)), 2))
    same = [(one[i] == one[j], other[i] == other[j]) for i, j in pairs]
    both, a, b = sum(p and q for p, q in same), sum(p for p, _ in same), sum(q for _, q in same)
    chance = a * b / len(pairs)
    return (both - chance) / ((a + b) / 2 - chance)


def test_groups_elsewhere_bear_the_numbers_of_those_here() -> None:
    here = np.array([1, 1, 1, 2, 2, 3, 0])
    there = np.array([3, 3, 1, 1, 1, 2, 0])
    assert renumbered(there, here).tolist() == [1, 1, 2, 2, 2, 3, 0]
    # What shares nothing with what is left comes after those here.
    assert renumbered(np.array([1, 2, 3, 1, 1, 4, 5]), here).tolist() == [2, 1, 4, 2, 2, 3, 5]
    assert renumbered(here, here).tolist() == here.tolist()
    assert renumbered(np.zeros(7, dtype=int), here).tolist() == [0] * 7


def test_how_far_groups_elsewhere_are_the_same() -> None:
    capture, other = random_capture(9, heads=6), random_capture(9, heads=6, seed=3)
    one, two = cluster(capture, n=3), cluster(other, n=3)
    found = compared(one, two, "shuffled").baselines["shuffled"]
    assert found.agreement == pytest.approx(rand_index(one.labels, two.labels), abs=1e-12)
    assert -0.5 < found.agreement < 1
    both = compared(compared(one, two, "shuffled"), one, "random").baselines
    assert set(both) == {"shuffled", "random"}
    assert both["random"].agreement == 1
    np.testing.assert_array_equal(both["random"].labels, one.labels)


def test_cancel_stops_it() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        divergences(random_capture(5), cancel=cancel)
