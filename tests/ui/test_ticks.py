"""Round numbers along an axis."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnviz_gui.ui.views.ticks import log_ticks, tick_text, ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(1, 12))
def test_ticks_are_evenly_apart_and_within(low: float, span: float, most: int) -> None:
    high = low + span
    found = ticks(low, high, most)
    assert len(found) <= most + 1
    apart = 1e-6 * span + 1e-9 * abs(low)
    assert all(low - apart <= place <= high + apart for place in found)
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert steps == pytest.approx(steps[:1] * len(steps), rel=1e-6, abs=apart)


def test_ticks_of_a_single_number() -> None:
    assert ticks(3.0, 3.0, 5) == [3.0]


def test_tens_and_what_lies_between_them() -> None:
    assert log_ticks(0.1, 10.0, (2.0, 5.0)) == pytest.approx([0.1, 0.2, 0.5, 1, 2, 5, 10])
    assert log_ticks(0.1, 10.0) == pytest.approx([0.1, 1, 10])
    assert log_ticks(0.01, 100.0, (2.0, 5.0)) == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert log_ticks(0.25, 40.0, (3.0,)) == pytest.approx([0.3, 1, 3, 10, 30])


def test_no_needless_digits() -> None:
    assert [tick_text(v) for v in (0, 0.25, -1.0, 0.30000000000000004, 1.25, 1e6)] == [
        "0", "0.25", "−1", "0.3", "1.25", "1.0e6",
    ]  # fmt: skip
