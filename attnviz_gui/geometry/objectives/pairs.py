"""What the objectives that go through all pairs share: blocks of pairs, shifted keys, products.

Blocks keep memory at a few MB whatever the length of the text. Small heads are valued for many
candidates in one block, long texts for one candidate in several blocks of queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.arrays import squarable
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.objectives.base import HeadPairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.objectives.base import Line

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]

# Numbers in a block: what stays in a core's cache over the passes that are made over it.
BLOCK = 1 << 16
# A shifted key below this share of the key and the shift is the rounding of zero.
ROUNDED = 4e-15


def row_blocks(n_queries: int, n_keys: int, n_candidates: int = 1) -> Iterator[slice]:
    """Yield slices of queries that hold about `BLOCK` numbers each for some candidates."""
    step = max(1, BLOCK // max(n_keys * n_candidates, 1))
    for first in range(0, n_queries, step):
        yield slice(first, first + step)


def pair_blocks(
    head: HeadPairs, n_candidates: int = 1
) -> Iterator[tuple[slice, slice, BoolArray | None]]:
    """Yield queries, keys and mask (None: all) of blocks that hold every allowed pair once."""
    if not isinstance(head.mask, TextPairs):
        keys = slice(0, len(head.key))
        for rows in row_blocks(len(head.query), len(head.key), n_candidates):
            yield rows, keys, None if head.mask is None else head.mask[rows]
        return
    for queries, keys, mask in head.mask.texts:
        n_q, n_k = queries.stop - queries.start, keys.stop - keys.start
        allowed = _text_mask(mask, n_q, n_k)
        for part in row_blocks(n_q, n_k, n_candidates):
            rows = slice(queries.start + part.start, min(queries.start + part.stop, queries.stop))
            yield rows, keys, None if allowed is None else allowed[part]


def texts_of(head: HeadPairs) -> list[HeadPairs]:
    """Return a head's texts, each as a head of its own; a head on one text as it is."""
    if not isinstance(head.mask, TextPairs):
        return [head]
    found = []
    for rows, keys, mask in head.mask.texts:
        allowed = _text_mask(mask, rows.stop - rows.start, keys.stop - keys.start)
        found.append(HeadPairs(head.query[rows], head.key[keys], allowed))
    return found


def _text_mask(mask: npt.ArrayLike | None, n_queries: int, n_keys: int) -> BoolArray | None:
    """Return a text's mask, (n_queries, n_keys), from what `TextPairs` holds."""
    if mask is None:
        return None
    if isinstance(mask, str):
        return np.tri(n_queries, n_keys, dtype=bool)
    return np.asarray(mask, dtype=bool)


def candidate_blocks(n: int, heads: list[HeadPairs]) -> Iterator[slice]:
    """Yield slices of n candidates, as many as a block of the largest head holds."""
    largest = max(max(len(h.query), h.query.shape[1]) * len(h.key) for h in heads)
    step = max(1, BLOCK // max(largest, 1))
    for first in range(0, n, step):
        yield slice(first, min(first + step, n))


def finite(heads: list[HeadPairs]) -> bool:
    """Return whether all numbers of all heads can be worked with."""
    return all(squarable(head.query, head.key) for head in heads)


def lengths(vectors: Float64) -> Float64:
    """Return the length of each vector (..., d)."""
    length: Float64 = np.sqrt(np.einsum("...d,...d->...", vectors, vectors))
    return length


def shifted_keys(key: Float64, line: Line, position: Float64) -> Float64:
    """Return k + a for n candidates, (n, T_k, d); what is nothing but rounding becomes zero.

    Without that, a key that a shift brings to zero would keep a direction, made of rounding.
    """
    base, direction = line
    shifts = base + position[:, None] * direction  # (n, d)
    shifted: Float64 = key + shifts[:, None, :]
    terms = lengths(base) + np.abs(position) * lengths(direction)
    shifted[lengths(shifted) <= ROUNDED * (lengths(key) + terms[:, None])] = 0
    return shifted


def unit_vectors(vectors: Float64) -> tuple[Float64, BoolArray]:
    """Return vectors (..., d) of length 1, zero where there is no direction, and where there is."""
    length = lengths(vectors)
    there = length > 0
    return vectors / np.where(there, length, 1)[..., None], there


@dataclass(frozen=True, eq=False)
class Products:
    """Dot products of a head under every shift: x_ij = q_i.k_j + q_i.a, less one constant.

    With p_i = q_i - mean(q) and κ_j = k_j - mean(k): x = p_i.κ_j + mean(q).κ_j + p_i.b for
    b = mean(k) + a, where no large number is taken from another; the constant is mean(q).b.
    """

    query: Float64
    key: Float64
    query_mean: Float64
    key_mean: Float64

    @classmethod
    def of(cls, head: HeadPairs) -> Products:
        """Centre a head that has a query and a key."""
        query_mean, key_mean = head.query.mean(axis=0), head.key.mean(axis=0)
        return cls(head.query - query_mean, head.key - key_mean, query_mean, key_mean)

    def block(self, rows: slice, keys: slice) -> Float64:
        """Return what no shift changes, for some queries and keys: (B, n_k)."""
        return self.query[rows] @ self.key[keys].T + self.key[keys] @ self.query_mean

    def of_shift(self, line: Line, position: Float64) -> tuple[Float64, Float64]:
        """Return p_i.b, (n, T_q), and the constant, (n,)."""
        b = self.key_mean + line[0] + position[:, None] * line[1]
        return b @ self.query.T, b @ self.query_mean

    def size(self, line: Line, position: Float64) -> Float64:
        """Return a size that no product exceeds, (n,)."""
        shift = lengths(line[0] + position[:, None] * line[1])
        query = lengths(self.query + self.query_mean).max()
        size: Float64 = query * (lengths(self.key + self.key_mean).max() + shift)
        return size


def most_attended(head: HeadPairs) -> IndexArray:
    """Return each query's most attended key, (T_q,), -1 without one; see `HeadPairs.strongest`."""
    if head.strongest is not None:
        return head.strongest
    n_q, n_k = len(head.query), len(head.key)
    found = np.full(n_q, -1, dtype=np.intp)
    if not n_q or not n_k:
        return found
    for rows, keys, mask in pair_blocks(head):
        products = head.query[rows] @ head.key[keys].T
        if mask is not None:
            products[~mask] = -np.inf
        best = products.argmax(axis=1)
        there = np.isfinite(products[np.arange(len(best)), best])
        found[rows] = np.where(there, best + keys.start, -1)
    return found
