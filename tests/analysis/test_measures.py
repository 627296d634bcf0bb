"""Measures of heads: known matrices, plain loops, causal and padded texts, direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnviz_gui.analysis.measures import BY_NAME, CROSS, MEASURES, ONE_TOKEN, Weights
from attnviz_gui.analysis.tokens import Tokens
from tests.analysis import oracles


def tokens(names, special=None, *, same=True, with_special=True) -> Tokens:
    n = len(names)
    mark = np.zeros(n, dtype=bool) if special is None else np.array(special, dtype=bool)
    return Tokens(tuple(names), tuple(names), same, mark, mark, with_special)


def measured(attention, names, *, mask=None, **kind):
    """All measures by name, and the reasons of those that are undefined."""
    attention = np.asarray(attention, dtype=np.float32)
    mask = np.ones(attention.shape, dtype=bool) if mask is None else mask
    weights = Weights(attention, mask, tokens(names, **kind))
    found = {m.name: m.compute(weights) for m in MEASURES}
    assert all(math.isnan(value) == bool(reason) for value, reason in found.values())
    return {n: v for n, (v, _) in found.items()}, {n: r for n, (_, r) in found.items() if r}


LETTERS = tuple("abcdefgh")
N = len(LETTERS)


def test_uniform() -> None:
    got, _ = measured(np.full((N, N), 1 / N), LETTERS)
    assert got["entropy"] == pytest.approx(3)
    assert got["entropy_normalised"] == pytest.approx(1)
    for name in ("self", "previous", "next", "first", "confidence"):
        assert got[name] == pytest.approx(1 / N)
    assert got["diagonal"] == pytest.approx((3 * N - 2) / N**2)
    assert got["distance"] == pytest.approx((N**2 - 1) / (3 * N))


def test_identity() -> None:
    got, reasons = measured(np.eye(N), LETTERS)
    known = {"entropy": 0, "entropy_normalised": 0, "distance": 0, "self": 1, "previous": 0,
             "next": 0, "diagonal": 1, "first": 0, "confidence": 1}  # fmt: skip
    assert {name: got[name] for name in known} == pytest.approx(known, abs=1e-7)
    assert set(reasons) == {"special", "duplicate", "induction"}


def test_previous_is_not_next() -> None:
    before = np.eye(N, k=-1)
    before[0, 0] = 1
    got, _ = measured(before, LETTERS)
    assert (got["previous"], got["next"]) == (1, 0)
    assert got["diagonal"] == 1
    assert got["self"] == pytest.approx(1 / N)
    assert got["distance"] == pytest.approx((N - 1) / N)
    after, _ = measured(before[::-1, ::-1], LETTERS)
    assert (after["previous"], after["next"]) == (0, 1)


def test_first_token() -> None:
    sink = np.zeros((N, N))
    sink[:, 0] = 1
    got, _ = measured(sink, LETTERS)
    assert (got["first"], got["confidence"], got["entropy"]) == (1, 1, 0)
    assert got["distance"] == pytest.approx((N - 1) / 2)
    assert got["previous"] == pytest.approx(1 / (N - 1))
    last, _ = measured(sink[:, ::-1], LETTERS)
    assert last["first"] == 0


def test_induction_looks_after_the_earlier_occurrence_and_not_at_it() -> None:
    half = 4
    names = tuple("abcd" * 2)
    attention = np.eye(N)
    for i in range(half, N):
        attention[i] = 0
        attention[i, i - half + 1] = 1  # the last one's is the token after "d": the other "a"
    got, _ = measured(attention, names, mask=np.tril(np.ones((N, N), dtype=bool)))
    assert (got["induction"], got["duplicate"]) == (1, 0)
    for i in range(half, N):
        attention[i] = 0
        attention[i, i - half] = 1
    got, _ = measured(attention, names)
    assert (got["induction"], got["duplicate"]) == (0, 1)
    later = np.eye(N)[(np.arange(N) + 1) % N]  # each to the one after it: neither
    got, _ = measured(later, names)
    assert (got["induction"], got["duplicate"]) == (0, 0)


def test_a_token_that_stands_twice_in_a_row_is_no_induction() -> None:
    _, reasons = measured(np.eye(2), ("a", "a"))
    assert "twice" in reasons["induction"]
    assert "duplicate" not in reasons


def test_special_tokens_count_or_are_left_out_and_rows_divided_by_what_is_left() -> None:
    attention = np.array([[1, 0, 0, 0], [0.5, 0.125, 0.125, 0.25], [0.5, 0.5, 0, 0], [0, 0, 0, 1]])
    special = [True, False, False, True]
    names = ("[CLS]", "a", "b", "[SEP]")
    got, _ = measured(attention, names, special=special)
    assert got["special"] == pytest.approx((1 + 0.75 + 0.5 + 1) / 4)
    left, reasons = measured(attention, names, special=special, with_special=False)
    assert left["self"] == pytest.approx((0.5 + 0) / 2)
    assert left["previous"] == 1  # of "b" alone: "a" has only [CLS] before it
    assert left["next"] == 0.5
    assert reasons["special"] == "special tokens are left out"
    assert left["entropy"] == pytest.approx(0.5)


def test_a_causal_text_is_normalised_by_what_each_query_sees() -> None:
    mask = np.tril(np.ones((N, N), dtype=bool))
    even = mask / mask.sum(axis=1, keepdims=True)
    got, _ = measured(even, LETTERS, mask=mask)
    assert got["entropy_normalised"] == pytest.approx(1)
    assert got["entropy"] == pytest.approx(np.mean(np.log2(np.arange(1, N + 1))))
    assert got["next"] == 0


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    rng = np.random.default_rng(0)
    names = tuple("abcabd")
    n, more = len(names), 3
    attention = rng.dirichlet(np.ones(n), size=n)
    alone, _ = measured(attention, names)
    at = slice(more, None) if side == "left" else slice(None, n)
    padded, mask = np.zeros((n + more, n + more)), np.zeros((n + more, n + more), dtype=bool)
    padded[at, at], mask[at, at] = attention, True
    filled = ("[PAD]",) * more
    names = filled + names if side == "left" else names + filled
    got, _ = measured(padded, names, mask=mask)
    assert got == pytest.approx(alone, nan_ok=True)


def test_one_token_has_no_neighbours() -> None:
    got, reasons = measured([[1.0]], ("a",))
    assert got["self"] == got["confidence"] == got["diagonal"] == 1
    assert reasons["first"] == ONE_TOKEN
    assert {"previous", "next", "entropy_normalised", "duplicate", "induction"} <= set(reasons)


def test_a_text_of_special_tokens_alone_has_no_measure_without_them() -> None:
    got, _ = measured(np.eye(2), ("[CLS]", "[SEP]"), special=[True, True], with_special=False)
    assert all(map(math.isnan, got.values()))


def test_cross_attention_has_no_positions() -> None:
    rng = np.random.default_rng(1)
    attention = rng.dirichlet(np.ones(5), size=3).astype(np.float32)
    none = np.zeros(3, dtype=bool), np.zeros(5, dtype=bool)
    weights = Weights(
        attention, np.ones((3, 5), dtype=bool), Tokens(tuple("abc"), tuple("abcde"), False, *none)
    )
    for measure in MEASURES:
        value, reason = measure.compute(weights)
        if measure.name in ("distance", "self", "previous", "next", "diagonal", "duplicate",
                            "induction"):  # fmt: skip
            assert math.isnan(value)
            assert reason == CROSS
    assert BY_NAME["first"].compute(weights)[0] == pytest.approx(attention[:, 0].mean())
    assert BY_NAME["confidence"].compute(weights)[0] == pytest.approx(attention.max(1).mean())


def test_where_a_learned_sink_takes_a_share_rows_are_divided_by_the_rest() -> None:
    attention = np.full((N, N), 1 / N)
    with_sink, _ = measured(attention * np.linspace(0.1, 0.9, N)[:, None], LETTERS)
    without, _ = measured(attention, LETTERS)
    assert with_sink == pytest.approx(without, nan_ok=True, rel=1e-6)


@st.composite
def texts(draw):
    n = draw(st.integers(1, 9))
    names = draw(st.lists(st.sampled_from("abcd"), min_size=n, max_size=n))
    special = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    mask = {
        "all": np.ones((n, n), dtype=bool),
        "causal": np.tril(np.ones((n, n), dtype=bool)),
        "any": rng.random((n, n)) < 0.6,
    }[draw(st.sampled_from(["all", "causal", "any"]))]
    weights = rng.exponential(size=(n, n)) ** 3 * mask
    total = weights.sum(axis=1, keepdims=True)
    attention = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return attention.astype(np.float32), mask, names, special


@settings(deadline=None, max_examples=150)
@given(texts(), st.booleans())
def test_plain_loops_say_the_same(text, with_special: bool) -> None:
    attention, mask, names, special = text
    got, _ = measured(attention, names, mask=mask, special=special, with_special=with_special)
    wanted = oracles.measures(attention, mask, names, special, with_special=with_special)
    assert set(got) == set(wanted)
    for name, value in wanted.items():
        assert got[name] == pytest.approx(value, rel=1e-5, abs=3e-6, nan_ok=True), name
    for measure in MEASURES:
        value = got[measure.name]
        assert math.isnan(value) or measure.range[0] <= value <= measure.range[1] + 1e-9


def test_each_says_what_it_is_and_where_it_is_from() -> None:
    assert len(BY_NAME) == len(MEASURES)
    for measure in MEASURES:
        assert measure.definition.endswith(".")
        assert measure.source
        assert measure.range[0] < measure.range[1]
