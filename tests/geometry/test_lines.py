from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attnviz_gui.geometry.lines import strongest_keys, strongest_pairs, top_entries

weights = arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.integers(0, 6)),
    elements=st.sampled_from([0.0, 0.125, 0.25, 0.5, 1.0]),
)


@settings(deadline=None)
@given(attention=weights, n=st.integers(-1, 40))
def test_top_entries_are_the_strongest_in_order(attention, n: int):
    cells = [(i, j) for i in range(attention.shape[0]) for j in range(attention.shape[1])]
    attended = [cell for cell in cells if attention[cell] > 0]
    expected = sorted(attended, key=lambda cell: -attention[cell])[: max(n, 0)]
    queries, keys = top_entries(attention, n)
    assert list(zip(queries.tolist(), keys.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(attention=weights, data=st.data())
def test_strongest_keys_are_the_first_largest_that_is_allowed(attention, data):
    mask = data.draw(st.one_of(st.none(), arrays(np.bool_, attention.shape)))
    for i, found in enumerate(strongest_keys(attention, mask).tolist()):
        allowed = [j for j in range(attention.shape[1]) if mask is None or mask[i, j]]
        best = max(allowed, key=lambda j: attention[i, j], default=-1)
        assert found == best


def test_strongest_pairs_leave_out_queries_without_a_key():
    attention = np.array([[0.2, 0.8], [0.0, 0.0], [0.7, 0.3]])
    mask = np.array([[True, True], [False, False], [True, True]])
    queries, keys = strongest_pairs(attention, mask)
    assert queries.tolist() == [0, 2]
    assert keys.tolist() == [1, 0]


def test_a_single_entry():
    queries, keys = top_entries([[1.0]], 1)
    assert (queries.tolist(), keys.tolist()) == ([0], [0])
    assert strongest_keys(np.ones((1, 1))).tolist() == [0]
    with pytest.raises(IndexError):
        strongest_keys(np.ones(3))
