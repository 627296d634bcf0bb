"""`rank`: -mean over queries of Spearman(q.k, cosine distance)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from attnviz_gui.geometry.objectives.base import HeadPairs, Objective
from attnviz_gui.geometry.objectives.pairs import (
    candidate_blocks,
    finite,
    lengths,
    row_blocks,
    shifted_keys,
    texts_of,
    unit_vectors,
)
from attnviz_gui.geometry.pearson import NOT_FINITE, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.objectives.base import Candidates, Line, Search

    Float64 = npt.NDArray[np.float64]
    Float32 = npt.NDArray[np.float32]
    IndexArray = npt.NDArray[np.intp]

# Values this near to each other, as a share of the largest they could have, are ties.
TIED = 1e-13
# Ranks that are kept between calls; for more pairs they are taken anew in each call.
KEPT = 1 << 22
# Sorts behind every value: beyond any product of vectors that can be worked with.
LAST = 1e300
NO_RANKS = "no query has two keys that differ in dot product and in cosine distance"


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """-mean over queries of Spearman's rank correlation of q.k and cosine distance.

    Formula
        For each query the Pearson correlation of the ranks of its allowed keys by q'.k' and by
        cos(q', k'); the mean over all queries of all heads. Equals share their average rank.
        Neighbours in the order that differ by at most 1e-13 |q| max |k| (dot products), or by at
        most 1e-13 (cosines), are equals: rounding must make no order. Queries with fewer than two
        keys to rank, or whose products or cosines are all equal, have no correlation and are left
        out; so are the pairs of a zero vector.
    Source
        AttentionViz's evaluation (Yeh et al., 2023).
    Range
        -1 to 1; 1 where every query has its keys in the same order by angle as by attention. Moves
        in steps. Undefined (NaN) where no query has a correlation.
    Cost
        One product and one sort of each query's keys a candidate. Dot products are ranked once: a
        shift adds the same to all of a query's. c has no effect.
    """
    several = list(heads)
    if not finite(several):
        return lambda candidates: Outcome(
            np.full(len(candidates.position), np.nan), (NOT_FINITE,) * len(candidates.position)
        )
    texts = [(i, text) for i, head in enumerate(several) for text in texts_of(head)]
    ranked = [(i, _Ranked(text)) for i, text in texts]

    def search(candidates: Candidates) -> Outcome:
        n = len(candidates.position)
        total, count = np.zeros(n), np.zeros(n)
        for part in candidate_blocks(n, [text for _, text in texts]):
            for i, head in ranked:
                of_head = head.along(candidates.lines[i], candidates.position[part])
                total[part] += of_head[0]
                count[part] += of_head[1]
        value = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
        return Outcome(value, tuple("" if k else NO_RANKS for k in count))

    return search


class _Ranked:
    """One head, its dot products ranked."""

    def __init__(self, head: HeadPairs) -> None:
        unit, there = unit_vectors(head.query)
        self._unit = unit[there]
        self._query = head.query[there]
        self._key = head.key
        self._mask = None if head.mask is None else cast("BoolArray", head.mask)[there]
        self._size = lengths(self._query) * lengths(head.key).max(initial=0)
        self._blocks = list(row_blocks(len(self._query), len(head.key)))
        self._kept: list[tuple[Float32, Float64]] | None = None
        if len(self._query) * len(head.key) <= KEPT:
            self._kept = [self._ranks(rows) for rows in self._blocks]

    def along(self, line: Line, position: Float64) -> tuple[Float64, Float64]:
        """Return the sum of the queries' correlations and their number, (n,) each."""
        n = len(position)
        total, count = np.zeros(n), np.zeros(n)
        if not len(self._query) or not len(self._key):
            return total, count
        unit, there = unit_vectors(shifted_keys(self._key, line, position))
        whole = np.flatnonzero(there.all(axis=1))
        for i in np.flatnonzero(~there.all(axis=1)):  # other keys to rank, so other ranks
            mask = None if self._mask is None else self._mask[:, there[i]]
            less = _Ranked(HeadPairs(self._query, self._key[there[i]], mask))
            (total[i],), (count[i],) = less.along(line, position[i : i + 1])
        if not len(whole):
            return total, count
        towards = unit[whole].reshape(-1, unit.shape[2]).T  # (d, n T_k)
        for block, rows in enumerate(self._blocks):
            ranks, spread = self._ranks(rows) if self._kept is None else self._kept[block]
            cosines = (self._unit[rows] @ towards).reshape(len(ranks), len(whole), -1)
            of_query = _spearman(
                cosines.swapaxes(0, 1),
                ranks,
                spread,
                None if self._mask is None else self._mask[rows],
            )  # (n, B)
            defined = ~np.isnan(of_query)
            total[whole] += np.where(defined, of_query, 0).sum(axis=1)
            count[whole] += defined.sum(axis=1)
        return total, count

    def _ranks(self, rows: slice) -> tuple[Float32, Float64]:
        """Return ranks less their mean (B, T_k), 0 where not allowed, and their squares' sum."""
        mask = None if self._mask is None else self._mask[rows]
        products = self._query[rows] @ self._key.T
        order, sorted_ranks, number = _sorted_ranks(products, mask, TIED * self._size[rows])
        sorted_ranks -= 0.5 * (number[:, None] - 1)
        ranks = np.empty_like(sorted_ranks)
        np.put_along_axis(ranks, order, sorted_ranks, axis=1)
        if mask is not None:
            ranks *= mask
        # Ranks are halves: exact in single precision, which takes half the room.
        return ranks.astype(np.float32), np.einsum("qk,qk->q", ranks, ranks)


def _spearman(values: Float64, ranks: Float32, spread: Float64, mask: BoolArray | None) -> Float64:
    """Return each query's correlation of ranks with the ranks of values (n, B, T_k): (n, B)."""
    n, n_queries, n_keys = values.shape
    flat = np.ascontiguousarray(values).reshape(n * n_queries, n_keys)
    allowed = None if mask is None else np.tile(mask, (n, 1))
    order, sorted_ranks, number = _sorted_ranks(flat, allowed, np.full(len(flat), TIED))
    squares = _spread(sorted_ranks, number)
    beside = np.take_along_axis(np.tile(ranks, (n, 1)), order, axis=1)
    products = np.einsum("qk,qk->q", beside, sorted_ranks)
    both = squares * np.tile(spread, n)
    out = np.full(len(flat), np.nan)
    np.divide(products, np.sqrt(both), out=out, where=both > 0)
    clipped: Float64 = np.clip(out, -1, 1).reshape(n, n_queries)
    return clipped


def _sorted_ranks(
    values: Float64, allowed: BoolArray | None, tied: Float64
) -> tuple[IndexArray, Float64, Float64]:
    """Return the order of each row (R, n), average ranks from 0 in that order, and their number.

    What is not allowed comes last; its ranks mean nothing.
    """
    n = values.shape[1]
    if allowed is None:
        number = np.full(len(values), float(n))
    else:
        values = np.where(allowed, values, LAST)
        number = allowed.sum(axis=1, dtype=np.float64)
    order = values.argsort(axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    places = np.arange(n, dtype=np.float64)
    ranks = np.repeat(places[None], len(values), axis=0)
    equal = ordered[:, 1:] - ordered[:, :-1] <= tied[:, None]
    if allowed is not None:
        equal &= places[1:] < number[:, None]
    some = np.flatnonzero(equal.any(axis=1))
    if len(some):
        later = np.zeros((len(some), n + 1), dtype=bool)  # equal to the one before
        later[:, 1:n] = equal[some]
        first = np.maximum.accumulate(np.where(later[:, :n], 0, places), axis=1)
        last = np.where(later[:, 1:], n, places)[:, ::-1]
        last = np.minimum.accumulate(last, axis=1)[:, ::-1]
        ranks[some] = 0.5 * (first + last)
    return order, ranks, number


def _spread(ranks: Float64, number: Float64) -> Float64:
    """Return the sum of squares of each row's first `number` ranks about their mean, (R,)."""
    places = np.arange(ranks.shape[1])
    centred = ranks - 0.5 * (number[:, None] - 1)
    centred *= places < number[:, None]
    squares: Float64 = np.einsum("qk,qk->q", centred, centred)
    return squares


RANK = Objective(
    "rank",
    "keys in the same order by angle as by attention: Spearman's rank correlation of dot product "
    "and cosine distance for each query, minus its mean over the queries",
    "the evaluation of AttentionViz (Yeh et al., 2023)",
    uses_scale=False,
    prepare=prepare,
    about_scale="c has no effect: it changes neither an order of dot products nor an angle.",
    steps=True,
)
