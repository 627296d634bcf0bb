"""`neighbours`: share of queries whose most attended key is among its 5 nearest in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.objectives.base import Objective
from attnviz_gui.geometry.objectives.drawn import NOT_ONE_PLANE, Planes, squared_distances
from attnviz_gui.geometry.objectives.pairs import (
    candidate_blocks,
    finite,
    most_attended,
    pair_blocks,
)
from attnviz_gui.geometry.pearson import NOT_FINITE, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.objectives.base import Candidates, HeadPairs, Line, Search

    Float64 = npt.NDArray[np.float64]

NEAREST = 5
# Squared distances that differ by less than this share of the picture's squared size are equal.
TIED = 1e-10
NO_QUERY = "no query has an allowed key"


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """Share of queries whose most attended key is among its 5 nearest keys in the drawn plane.

    Formula
        A query counts where fewer than 5 of its allowed keys are strictly nearer to it in the
        joint plane (PCA of q' and k' together) than the key that it attends to most; nearer by
        less than 1e-10 of the picture's squared size is not strictly nearer. The mean over all
        queries of all heads that have an allowed key. A query with up to 5 allowed keys always
        counts.
    Source
        New: what a reader of the picture wants of it.
    Range
        0 to 1, in steps of one query. Undefined (NaN) where no query has an allowed key, and where
        the second and third axis carry the same variance, so that no one plane is the picture.
    Cost
        An eigen-decomposition, O(d³), and a pass over all pairs a candidate, in blocks.
    """
    several = list(heads)
    if not finite(several):
        return lambda candidates: Outcome(
            np.full(len(candidates.position), np.nan), (NOT_FINITE,) * len(candidates.position)
        )
    drawn = [_Drawn(h) if len(h.query) and len(h.key) else None for h in several]
    count = sum(head.count for head in drawn if head is not None)

    def search(candidates: Candidates) -> Outcome:
        n = len(candidates.position)
        if not count:
            return Outcome(np.full(n, np.nan), (NO_QUERY,) * n)
        near, one = np.zeros(n), np.ones(n, dtype=bool)
        for part in candidate_blocks(n, several):
            for head, line in zip(drawn, candidates.lines, strict=True):
                if head is not None:
                    found, single = head.along(
                        line, candidates.position[part], candidates.scale[part]
                    )
                    near[part] += found
                    one[part] &= single
        value = np.where(one, near / count, np.nan)
        return Outcome(value, tuple("" if single else NOT_ONE_PLANE for single in one))

    return search


class _Drawn:
    """One head with at least one query and one key."""

    def __init__(self, head: HeadPairs) -> None:
        self._planes = Planes(head)
        self._head = head
        self._strongest = most_attended(head)
        self.count = int(np.count_nonzero(self._strongest >= 0))

    def along(self, line: Line, position: Float64, scale: Float64) -> tuple[Float64, BoolArray]:
        """Return the number of queries that count, (n,), and `Planes`' one."""
        query_xy, key_xy, extent, one = self._planes.at(line, position, scale)
        level = (TIED * extent * extent)[:, None]
        found = np.zeros(len(position))
        for rows, keys, mask in pair_blocks(self._head, len(position)):
            distance = squared_distances(query_xy[:, rows], key_xy[:, keys])  # (n, B, n_k)
            strongest = self._strongest[rows]
            index = np.maximum(strongest - keys.start, 0)[None, :, None]
            index = np.broadcast_to(index, (*distance.shape[:2], 1))
            own = np.take_along_axis(distance, index, axis=2)[:, :, 0] - level
            nearer = distance < own[:, :, None]
            if mask is not None:
                nearer &= mask
            counts = (np.count_nonzero(nearer, axis=2) < NEAREST) & (strongest >= 0)
            found += counts.sum(axis=1)
        return found, one


NEIGHBOURS = Objective(
    "neighbours",
    "a most attended key that is among the 5 nearest keys in the drawn plane: the share of "
    "queries for which it is",
    "what a reader of the picture wants of it; new here",
    uses_scale=True,
    prepare=prepare,
    about_scale="c matters: it decides which axes the plane shows.",
    steps=True,
    uses_attention=True,
)
