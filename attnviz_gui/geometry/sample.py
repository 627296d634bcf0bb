"""A random part of the allowed pairs, the same one each time: what is drawn while a slider moves.

Uniform over all pairs that the masks allow, without a pair twice, from a fixed seed. The dot
products of the raw vectors are taken once: under any shift a, q'.k' = q.k + q.a, so that a frame
costs one number per query, one per key and three operations per pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]
    BoolArray = npt.NDArray[np.bool_]
    IndexArray = npt.NDArray[np.intp]

SEED = 0
CHUNK = 1 << 13  # pairs at once: two blocks of vectors that stay in the cache


@dataclass(frozen=True, eq=False)
class PairSample:
    """Some of the allowed pairs of one or several texts, or all of them.

    Attributes
    ----------
    query, key : (n,) int
        Indices, counted over all texts; the pairs are in the order of the matrices' entries.
    product : (n,) float32
        q.k of the vectors as they were recorded.
    n_pairs : int
        The allowed pairs of which these are a part.
    """

    query: IndexArray
    key: IndexArray
    product: npt.NDArray[np.float32]
    n_pairs: int

    @property
    def whole(self) -> bool:
        """True where no pair was left out."""
        return len(self.query) == self.n_pairs

    def entries(self, n_keys: int) -> IndexArray:
        """Return where the pairs stand in the matrix of all queries and `n_keys` keys, (n,)."""
        kept = self.__dict__.get("_entries")
        if kept is None or kept[0] != n_keys:
            kept = self.__dict__["_entries"] = n_keys, self.query * n_keys + self.key
        entries: IndexArray = kept[1]
        return entries


def sample_pairs(
    query: Float64, key: Float64, masks: Sequence[BoolArray | None], most: int,
    query_start: Sequence[int] | None = None, key_start: Sequence[int] | None = None,
) -> PairSample:  # fmt: skip
    """Draw at most `most` of the allowed pairs.

    Parameters
    ----------
    query, key : (N_q, d), (N_k, d)
        Of all texts, one after the other.
    masks
        For each text its allowed pairs (T_q, T_k); None for all.
    most
        The number of pairs to draw; all where there are no more.
    query_start, key_start : (n_texts + 1,) int
        Where each text begins and the last one ends; without them there is one text.
    """
    query_start = query_start if query_start is not None else (0, len(query))
    key_start = key_start if key_start is not None else (0, len(key))
    sizes = list(zip(np.diff(query_start).tolist(), np.diff(key_start).tolist(), strict=True))
    counts = [
        rows * columns if mask is None else int(np.count_nonzero(mask))
        for (rows, columns), mask in zip(sizes, masks, strict=True)
    ]
    bounds = np.concatenate([[0], np.cumsum(counts)])
    total = int(bounds[-1])
    if total <= most:
        ranks = np.arange(total)
    else:
        rng = np.random.default_rng(SEED)
        ranks = np.sort(rng.choice(total, most, replace=False, shuffle=False))
    cuts = np.searchsorted(ranks, bounds)
    queries, keys = np.empty(len(ranks), dtype=np.intp), np.empty(len(ranks), dtype=np.intp)
    for text, mask in enumerate(masks):
        part = slice(cuts[text], cuts[text + 1])
        place = ranks[part] - bounds[text]
        if mask is not None:
            place = np.flatnonzero(mask)[place]
        rows, columns = np.divmod(place, max(sizes[text][1], 1))
        queries[part], keys[part] = rows + query_start[text], columns + key_start[text]
    return PairSample(queries, keys, products_of(query, key, queries, keys), total)


def products_of(
    query: Float64, key: Float64, queries: IndexArray, keys: IndexArray
) -> npt.NDArray[np.float32]:
    """Return the dot products of pairs (n,), taken in float64."""
    products = np.empty(len(queries), dtype=np.float32)
    for start in range(0, len(queries), CHUNK):
        part = slice(start, start + CHUNK)
        products[part] = np.einsum("nd,nd->n", query[queries[part]], key[keys[part]])
    return products
