"""`weighted`: -weighted Pearson(q'.k', cosine distance) over the nearest pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.objectives.base import HeadPairs, Objective
from attnviz_gui.geometry.objectives.pairs import (
    Products,
    finite,
    pair_blocks,
    shifted_keys,
    unit_vectors,
)
from attnviz_gui.geometry.pearson import EQUAL_DISTANCES, EQUAL_DOTS, NOT_FINITE, ROUNDING, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.objectives.base import Candidates, Line, Search

    Float64 = npt.NDArray[np.float64]

# Pairs are near below this percentile of the distances, and so many near pairs are needed.
PERCENTILE = 0.5
LEAST = 30
# A distance this little below the percentile is on it.
ON_IT = 1e-13
CHUNK = 1 << 13  # pairs whose vectors are looked up at once


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """-weighted Pearson(q'.k', cosine distance) over near pairs.

    Formula
        With d* the 0.5th percentile (linear between order statistics) of a head's cosine
        distances over allowed pairs, the weight of a pair is (d* - d)² where d < d*, else 0; minus
        the weighted Pearson correlation, the weighted pairs of all heads as one set. A distance
        within 1e-13 of d* counts as d*.
    Source
        A report by one of AttentionViz's authors.
    Range
        -1 to 1. Undefined (NaN) with fewer than 30 near pairs (a text of about 80 tokens has
        them), and where their dot products or distances are all equal.
    Cost
        One product and one partial sort over all pairs a candidate, in blocks. c has no effect.
    """
    several = list(heads)
    if not finite(several):
        return lambda candidates: Outcome(
            np.full(len(candidates.position), np.nan), (NOT_FINITE,) * len(candidates.position)
        )
    nearest = [_Nearest(head) for head in several if len(head.query) and len(head.key)]
    there = [bool(len(head.query) and len(head.key)) for head in several]

    def search(candidates: Candidates) -> Outcome:
        lines = [line for line, some in zip(candidates.lines, there, strict=True) if some]
        found = [
            _weighted([h.at(line, s) for h, line in zip(nearest, lines, strict=True)])
            for s in candidates.position
        ]
        return Outcome(np.array([v for v, _ in found]), tuple(why for _, why in found))

    return search


class _Nearest:
    """One head, asked for its nearest pairs."""

    def __init__(self, head: HeadPairs) -> None:
        self._head = head
        self._unit, self._there = unit_vectors(head.query)
        self._products = Products.of(head)

    def at(self, line: Line, position: float) -> tuple[Float64, Float64, Float64, float]:
        """Return weight, dot product and distance of the near pairs, and a size of products."""
        head, at = self._head, np.array([position])
        towards, there = (found[0] for found in unit_vectors(shifted_keys(head.key, line, at)))
        counted = _count(head, self._there, there)
        size = float(self._products.size(line, at)[0])
        nothing = np.zeros(0)
        if counted < 2:
            return nothing, nothing, nothing, size
        place = (counted - 1) * PERCENTILE / 100
        below = int(place)
        index = self._nearest(towards, there, below + 2)
        queries, keys = np.divmod(index, len(head.key))
        moved, constant = self._products.of_shift(line, at)
        dots, distances = np.empty(len(index)), np.empty(len(index))
        for first in range(0, len(index), CHUNK):
            part = slice(first, first + CHUNK)
            q, k = queries[part], keys[part]
            apart = self._unit[q] - towards[k]
            distances[part] = 0.5 * np.einsum("pd,pd->p", apart, apart)
            dots[part] = np.einsum("pd,pd->p", head.query[q], self._products.key[k])
        dots += moved[0, queries] + constant[0]
        ordered = np.partition(distances, [below, min(below + 1, len(index) - 1)])
        step = ordered[min(below + 1, len(index) - 1)] - ordered[below]
        less = ordered[below] + (place - below) * step - distances
        near = less > ON_IT
        return less[near] ** 2, dots[near], distances[near], size

    def _nearest(
        self, towards: Float64, there: npt.NDArray[np.bool_], n: int
    ) -> npt.NDArray[np.intp]:
        """Return flat indices of the n pairs of largest cosine, in no order."""
        head, n_keys = self._head, len(towards)
        values, index = np.zeros(0), np.zeros(0, dtype=np.intp)
        for rows, keys, mask in pair_blocks(head):
            cosines = self._unit[rows] @ towards[keys].T
            if mask is not None:
                cosines[~mask] = -np.inf
            cosines[~self._there[rows]] = -np.inf
            cosines[:, ~there[keys]] = -np.inf
            flat = cosines.ravel()
            least = values.min() if len(values) >= n else -np.inf
            new = np.flatnonzero(flat > least)
            values = np.concatenate([values, flat[new]])
            i, j = np.divmod(new, keys.stop - keys.start)
            index = np.concatenate([index, (rows.start + i) * n_keys + keys.start + j])
            if len(values) > n:
                best = np.argpartition(values, len(values) - n)[len(values) - n :]
                values, index = values[best], index[best]
        return index


def _count(head: HeadPairs, queries: npt.NDArray[np.bool_], keys: npt.NDArray[np.bool_]) -> int:
    """Return the number of pairs that have a distance."""
    total = 0
    for rows, columns, mask in pair_blocks(head):
        there = queries[rows, None] & keys[columns]
        total += int(np.count_nonzero(there if mask is None else there & mask))
    return total


def _weighted(parts: Sequence[tuple[Float64, Float64, Float64, float]]) -> tuple[float, str]:
    """Return minus the weighted correlation of the near pairs of all heads, or NaN and why."""
    weight, x, y = (np.concatenate([p[i] for p in parts] or [np.zeros(0)]) for i in range(3))
    if len(weight) < LEAST:
        near = "1 pair is" if len(weight) == 1 else f"{len(weight)} pairs are"
        return float("nan"), (
            f"only {near} near, below the {PERCENTILE}th percentile of the "
            f"distances, and it takes {LEAST} (a text of about 80 tokens has them)"
        )
    weight = weight / weight.sum()
    dx, dy = x - weight @ x, y - weight @ y
    xx, yy = float(weight @ (dx * dx)), float(weight @ (dy * dy))
    if xx <= (ROUNDING * max(p[3] for p in parts)) ** 2:
        return float("nan"), EQUAL_DOTS
    if yy <= ROUNDING**2:
        return float("nan"), EQUAL_DISTANCES
    r = float(weight @ (dx * dy)) / (np.sqrt(xx) * np.sqrt(yy))
    return float(np.clip(-r, -1, 1)), ""


WEIGHTED = Objective(
    "weighted",
    "a high dot product where the cosine distance is small, among the nearest pairs alone: minus "
    "the weighted Pearson's r of the nearest 0.5 %, the nearest weighing most",
    "a report by one of the authors of AttentionViz",
    uses_scale=False,
    prepare=prepare,
    about_scale="c has no effect: it changes neither a dot product nor an angle.",
)
