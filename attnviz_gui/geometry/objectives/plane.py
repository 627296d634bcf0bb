"""`plane`: -Pearson(q'.k', distance in the drawn plane) over all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.objectives.base import Objective
from attnviz_gui.geometry.objectives.drawn import NOT_ONE_PLANE, Planes, squared_distances
from attnviz_gui.geometry.objectives.pairs import Products, candidate_blocks, finite, pair_blocks
from attnviz_gui.geometry.pearson import (
    TOO_FEW_ALLOWED,
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

EQUAL_DRAWN = "all distances in the plane are equal"


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """-Pearson(q'.k', distance in the drawn plane), all allowed pairs of all heads as one set.

    Formula
        The distance is the Euclidean one of the points in the joint plane (PCA of q' and k'
        together), each head's own plane.
    Source
        The article's suspicion that the picture keeps less than the vectors.
    Range
        -1 to 1. Undefined (NaN) below two pairs, where dot products or drawn distances are all
        equal, and where the second and third axis carry the same variance, so that no one plane is
        the picture. It jumps where axes change places.
    Cost
        An eigen-decomposition, O(d³), and a pass over all pairs a candidate, in blocks.
    """
    several = list(heads)
    sound = finite(several)
    drawn = [_Drawn(h) if len(h.query) and len(h.key) else None for h in several] if sound else []

    def search(candidates: Candidates) -> Outcome:
        n = len(candidates.position)
        if not sound:
            return pearson(not_finite(n))
        tables, sizes, one = [], [], np.ones(n, dtype=bool)
        for part in candidate_blocks(n, several):
            sums, size = [], np.zeros(part.stop - part.start)
            for head, line in zip(drawn, candidates.lines, strict=True):
                if head is None:
                    sums.append(no_pairs(len(size)))
                    continue
                found, extent, single = head.along(
                    line, candidates.position[part], candidates.scale[part]
                )
                sums.append(found)
                size = np.maximum(size, extent)
                one[part] &= single
            tables.append(pool(sums).table)
            sizes.append(size)
        # The sums are those of minus the distance.
        outcome = pearson(
            Sums(np.concatenate(tables, axis=1)),
            size_y=np.concatenate(sizes),
            too_few=TOO_FEW_ALLOWED,
            equal_y=EQUAL_DRAWN,
        )
        value = np.where(one, outcome.value, np.nan)
        reason = (
            why or ("" if single else NOT_ONE_PLANE)
            for why, single in zip(outcome.reason, one, strict=True)
        )
        return Outcome(value, tuple(reason))

    return search


class _Drawn:
    """One head with at least one query and one key."""

    def __init__(self, head: HeadPairs) -> None:
        self._head = head
        self._planes = Planes(head)
        self._products = Products.of(head)

    def along(
        self, line: Line, position: Float64, scale: Float64
    ) -> tuple[Sums, Float64, BoolArray]:
        """Return the sums of x and minus the distance, a size of distances, and `Planes`' one."""
        n = len(position)
        query_xy, key_xy, extent, one = self._planes.at(line, position, scale)
        moved, constant = self._products.of_shift(line, position)
        size = self._products.size(line, position)
        parts = []
        for rows, keys, mask in pair_blocks(self._head, n):
            distance = squared_distances(query_xy[:, rows], key_xy[:, keys])
            np.negative(np.sqrt(distance, out=distance), out=distance)
            x = self._products.block(rows, keys) + moved[:, rows, None]
            counted = None if mask is None else mask[None]
            parts.append(sums_where(x, distance, counted, size))
        sums = pool(parts or [no_pairs(n)])
        sums.table[1] += constant
        return sums, extent, one


PLANE = Objective(
    "plane",
    "a high dot product where the points are near in the drawn plane: minus Pearson's r of dot "
    "product and drawn distance over all pairs",
    "the article's suspicion that the picture keeps less than the vectors do",
    uses_scale=True,
    prepare=prepare,
    about_scale="c matters: a small c draws the main axes of the keys, a large one those of the "
    "queries.",
)
