"""Sums over the queries that a mask allows for each key, without a T x T matrix where it can be.

The statistics of a head need, for each key j and with W the mask, sums over queries i of W_ij
times something that depends on i alone. Three kinds of mask:

- `Everything`: one sum serves all keys.
- `Staircase`: key j is allowed from query start_j on, with start rising from key to key: the
  causal mask, also with tokens hidden or padding on its left. Suffix sums.
- `Listed`: any other mask; a pass over the T x T matrix, in blocks of keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    Float64 = npt.NDArray[np.float64]

# Keys in a block of `Staircase`: small beside a text, large beside what a call of numpy costs.
STEP = 64
# Pairs in a block of `Listed`.
BLOCK = 1 << 18


class AllowedPairs(Protocol):
    """The allowed pairs of T_q queries and T_k keys.

    Attributes
    ----------
    count : (T_k,) float64
        Number of allowed queries of each key.
    """

    count: Float64

    def gather(self, values: Float64) -> Float64:
        """Return sums over allowed queries of values (T_q, m): (T_k, m), or (1, m) if all alike."""
        ...

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """Return S_j k_j, (T_k, d), with S_j the symmetric part of sum_i W_ij l_i r_iᵀ.

        `left` and `right` are (T_q, d), `key` is (T_k, d).
        """
        ...

    def columns(self, keys: slice) -> BoolArray | None:
        """Return the mask of some keys, (T_q, n), or None where it leaves nothing out."""
        ...


class Everything:
    """Every pair is allowed."""

    def __init__(self, n_queries: int, n_keys: int) -> None:
        self.count = np.full(n_keys, float(n_queries))

    def gather(self, values: Float64) -> Float64:
        """See `AllowedPairs`."""
        total: Float64 = values.sum(axis=0, keepdims=True)
        return total

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        return key @ _symmetric(left.T @ right)

    def columns(self, keys: slice) -> None:
        """See `AllowedPairs`."""
        return None


class Staircase:
    """Key j is allowed for the queries from start_j on, (T_k,) int, start never falling."""

    def __init__(self, n_queries: int, start: npt.NDArray[np.intp]) -> None:
        self._n_queries = n_queries
        self._start = start
        self.count = (n_queries - start).astype(np.float64)

    def gather(self, values: Float64) -> Float64:
        """See `AllowedPairs`."""
        suffix = np.zeros((len(values) + 1, values.shape[1]))
        np.cumsum(values[::-1], axis=0, out=suffix[-2::-1])
        return suffix[self._start]

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty_like(key)
        below = np.zeros((key.shape[1], key.shape[1]))  # over queries that the whole block may see
        end = self._n_queries
        for first in range((len(key) - 1) // STEP * STEP, -1, -STEP):
            keys = slice(first, first + STEP)
            start = self._start[keys]
            low, high = start[0], start[-1]
            below += left[high:end].T @ right[high:end]
            end = high
            # Queries low to high may see a part of the block.
            allowed = np.arange(low, high)[:, None] >= start
            out[keys] = key[keys] @ _symmetric(below)
            out[keys] += _partial(left[low:high], right[low:high], key[keys], allowed)
        return out

    def columns(self, keys: slice) -> BoolArray:
        """See `AllowedPairs`."""
        allowed: BoolArray = np.arange(self._n_queries)[:, None] >= self._start[keys]
        return allowed


class Listed:
    """Any mask, (T_q, T_k) bool."""

    def __init__(self, mask: BoolArray) -> None:
        self._mask = mask
        self.count = mask.sum(axis=0).astype(np.float64)

    def gather(self, values: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty((len(self.count), values.shape[1]))
        for keys in self._blocks():
            out[keys] = self._mask[:, keys].T.astype(np.float64) @ values
        return out

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty_like(key)
        for keys in self._blocks():
            out[keys] = _partial(left, right, key[keys], self._mask[:, keys])
        return out

    def columns(self, keys: slice) -> BoolArray:
        """See `AllowedPairs`."""
        return self._mask[:, keys]

    def _blocks(self) -> Iterator[slice]:
        return key_blocks(*self._mask.shape)


def allowed_pairs(mask: BoolArray | None, n_queries: int, n_keys: int) -> AllowedPairs:
    """Return the allowed pairs of a mask (T_q, T_k), None for all, by the cheapest kind."""
    if mask is None or mask.all():
        return Everything(n_queries, n_keys)
    start = np.where(mask.any(axis=0), mask.argmax(axis=0), n_queries)
    rising = bool((start[1:] >= start[:-1]).all())
    if rising and np.array_equal(mask, np.arange(n_queries)[:, None] >= start):
        return Staircase(n_queries, start)
    return Listed(mask)


def key_blocks(n_queries: int, n_keys: int) -> Iterator[slice]:
    """Yield slices of keys that hold about `BLOCK` pairs each."""
    width = max(1, BLOCK // max(n_queries, 1))
    for first in range(0, n_keys, width):
        yield slice(first, first + width)


def _symmetric(matrix: Float64) -> Float64:
    return 0.5 * (matrix + matrix.T)


def _partial(left: Float64, right: Float64, key: Float64, allowed: BoolArray) -> Float64:
    """Return S_j k_j of a block by its pairs, (n, d)."""
    by_right = (right @ key.T) * allowed  # (T_q, n)
    if left is right:
        return by_right.T @ left
    by_left = (left @ key.T) * allowed
    return 0.5 * (by_right.T @ left + by_left.T @ right)
