"""`article`: |Pearson(q'.k', cosine distance)| over pairs at the same position, as the article."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from attnviz_gui.geometry.objectives.base import Objective
from attnviz_gui.geometry.objectives.pairs import (
    BLOCK,
    Products,
    finite,
    shifted_keys,
    texts_of,
    unit_vectors,
)
from attnviz_gui.geometry.pearson import (
    Outcome,
    Sums,
    no_pairs,
    not_finite,
    pearson,
    pool,
    sums_where,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.objectives.base import Candidates, HeadPairs, Line, Search

    Float64 = npt.NDArray[np.float64]

# The article's ten shifts. Its ten scales, -2 to 2, are left out: no scale changes the value.
SHIFTS = tuple(float(a) for a in np.linspace(-0.5, 0.5, 10))


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """|Pearson(q'.k', cosine distance)| over the pairs (i, i), all heads given as one set.

    Formula
        abs Pearson(q'_i.k'_i, 1 - cos(q'_i, k'_i)) over positions i that the mask allows and where
        neither vector is zero. Meant for all heads of a layer together.
    Source
        The article that rebuilt a part of AttentionViz for BERT; kept to reproduce its search, on
        its grid of ten shifts. It also tried ten scales from -2 to 2: the value is flat in c up to
        rounding (the article's own log shows 0.8910502854 and 0.8910502955 for two scales and one
        shift), so which scale wins is rounding, and a negative one mirrors the picture.
    Range
        0 to 1. Undefined (NaN) below two pairs, and where products or distances are all equal.
    Cost
        O(T d) a candidate.
    """
    several = list(heads)
    sound = finite(several)
    diagonals = [_diagonal(head) for head in several]

    def search(candidates: Candidates) -> Outcome:
        n = len(candidates.position)
        if not sound:
            return pearson(not_finite(n))
        parts = [
            no_pairs(n) if pairs is None else _sums(*pairs, line, candidates.position)
            for pairs, line in zip(diagonals, candidates.lines, strict=True)
        ]
        outcome = pearson(pool(parts))
        return Outcome(np.abs(outcome.value), outcome.reason)

    return search


def _diagonal(head: HeadPairs) -> tuple[Float64, Float64] | None:
    """Return queries and keys of the positions that count, or None without one."""
    queries, keys = [], []
    for text in texts_of(head):
        n = min(len(text.query), len(text.key))
        counted = text.query[:n].any(axis=1)
        if text.mask is not None:
            counted &= cast("BoolArray", text.mask)[np.arange(n), np.arange(n)]
        queries.append(text.query[:n][counted])
        keys.append(text.key[:n][counted])
    query, key = np.concatenate(queries), np.concatenate(keys)
    return (query, key) if len(query) else None


def _sums(query: Float64, key: Float64, line: Line, position: Float64) -> Sums:
    """Return the sums over the pairs (i, i) of n candidates."""
    query_mean, key_mean = query.mean(axis=0), key.mean(axis=0)
    products = Products(query - query_mean, key - key_mean, query_mean, key_mean)
    size = products.size(line, position)
    still = np.einsum("td,td->t", query, products.key)  # (p_i + mean(q)).κ_i
    unit, _ = unit_vectors(query)
    tables = []
    step = max(1, BLOCK // key.size)
    for first in range(0, len(position), step):
        part = position[first : first + step]
        moved, constant = products.of_shift(line, part)
        towards, there = unit_vectors(shifted_keys(key, line, part))
        # |û - ŷ|² / 2, or where most angles are wide 2 - |û + ŷ|² / 2: no digit of either is lost.
        wide = np.einsum("td,ntd->n", unit, towards) < 0
        side = np.where(wide, -1.0, 1.0)[:, None]
        towards -= side[:, :, None] * unit
        distance = side * 0.5 * np.einsum("ntd,ntd->nt", towards, towards)
        table = sums_where(still + moved, distance, there, size[first : first + step]).table
        table[1] += constant
        table[2] += 2 * wide
        tables.append(table)
    return Sums(np.concatenate(tables, axis=1))


ARTICLE = Objective(
    "article",
    "what the article looked for: a strong correlation, of either sign, of dot product and cosine "
    "distance over the pairs at the same position, all heads of the layer as one set",
    "the article; its ten shifts from −0.5 to 0.5, and no others, are tried",
    uses_scale=False,
    prepare=prepare,
    cost="closed",
    pools_layer=True,
    about_scale="The article's c is arbitrary: it tried ten from −2 to 2, but the value is the "
    "same for each up to rounding, so which one wins is rounding (and a negative c mirrors the "
    "picture). c stays as it is here.",
    candidates=SHIFTS,
)
