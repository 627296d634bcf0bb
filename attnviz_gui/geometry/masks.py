"""Sums over the queries that a mask allows for each key, without a T x T matrix where it can be.

The statistics of a head need, for each key j and with W the mask, sums over queries i of W_ij
times something that depends on i alone. Three kinds of mask, and many of them side by side:

- `Everything`: one sum serves all keys.
- `Staircase`: key j is allowed from query start_j on, with start rising from key to key: the
  causal mask, also with tokens hidden or padding on its left. Suffix sums.
- `Listed`: any other mask; a pass over the T x T matrix, in blocks of keys.
- `Blocks`: many texts one after the other, each with a kind of its own; no pair joins two texts,
  and no array has a row per query and a column per key of all of them. `TextPairs` describes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    Float64 = npt.NDArray[np.float64]
    # Queries, keys and the mask of some pairs; None where it leaves nothing out.
    Block = tuple[slice, slice, BoolArray | None]

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

    def products(self, both: Float64, key: Float64) -> tuple[float, Float64, Float64]:
        """Return sums over allowed queries of products (p_i.k_j)(p_i.k_j), and of pe and ee.

        `both` is (p, e) side by side, (T_q, 2 d), `key` is (T_k, d). The first is a sum over keys
        too, the others are (T_k,).
        """
        ...

    def cross(self, weights: Float64, both: Float64, key: Float64) -> Float64:
        """Return k_j.(sum over allowed queries of weight_i p_i), and of e: (2, T_k, m).

        `weights` is (T_q, m), `both` and `key` as in `products`.
        """
        ...

    def columns(self, keys: slice) -> BoolArray | None:
        """Return the mask of some keys, (T_q, n), or None where it leaves nothing out."""
        ...

    def blocks(self) -> Iterator[Block]:
        """Yield queries, keys and mask (None: all) of blocks that hold every allowed pair once."""
        ...


class Everything:
    """Every pair is allowed."""

    def __init__(self, n_queries: int, n_keys: int) -> None:
        self._n_queries = n_queries
        self.count = np.full(n_keys, float(n_queries))

    def gather(self, values: Float64) -> Float64:
        """See `AllowedPairs`."""
        total: Float64 = values.sum(axis=0, keepdims=True)
        return total

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        return key @ _symmetric(left.T @ right)

    def products(self, both: Float64, key: Float64) -> tuple[float, Float64, Float64]:
        """See `AllowedPairs`."""
        if self._n_queries <= both.shape[1]:  # fewer pairs than products of coordinates
            return _products_of_pairs(both, key, None)
        return _products(both.T @ both, key)

    def cross(self, weights: Float64, both: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        return _cross(weights.T @ both, key)

    def columns(self, keys: slice) -> None:
        """See `AllowedPairs`."""
        return None

    def blocks(self) -> Iterator[Block]:
        """See `AllowedPairs`."""
        for keys in key_blocks(self._n_queries, len(self.count)):
            yield slice(0, self._n_queries), keys, None


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
        for keys, low, high, end in self._steps():
            below += left[high:end].T @ right[high:end]
            allowed = self._part(keys, low, high)
            out[keys] = key[keys] @ _symmetric(below)
            out[keys] += _partial(left[low:high], right[low:high], key[keys], allowed)
        return out

    def products(self, both: Float64, key: Float64) -> tuple[float, Float64, Float64]:
        """See `AllowedPairs`."""
        total, pe, ee = 0.0, np.empty(len(key)), np.empty(len(key))
        below = np.zeros((both.shape[1], both.shape[1]))
        for keys, low, high, end in self._steps():
            below += both[high:end].T @ both[high:end]
            of_all, pe[keys], ee[keys] = _products(below, key[keys])
            of_part = _products_of_pairs(both[low:high], key[keys], self._part(keys, low, high))
            total += of_all + of_part[0]
            pe[keys] += of_part[1]
            ee[keys] += of_part[2]
        return total, pe, ee

    def cross(self, weights: Float64, both: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty((2, len(key), weights.shape[1]))
        below = np.zeros((weights.shape[1], both.shape[1]))
        for keys, low, high, end in self._steps():
            below += weights[high:end].T @ both[high:end]
            out[:, keys] = _cross(below, key[keys])
            for part, products in zip(
                out[:, keys],
                _of_pairs(both[low:high], key[keys], self._part(keys, low, high)),
                strict=True,
            ):
                part += products.T @ weights[low:high]
        return out

    def _steps(self) -> Iterator[tuple[slice, int, int, int]]:
        """Yield blocks of keys from the last, with queries low, high, end.

        Those from high to end may see the whole block (and were in no block before), those from
        low to high a part of it.
        """
        end = self._n_queries
        for first in range((len(self._start) - 1) // STEP * STEP, -1, -STEP):
            keys = slice(first, first + STEP)
            start = self._start[keys]
            low, high = int(start[0]), int(start[-1])
            yield keys, low, high, end
            end = high

    def _part(self, keys: slice, low: int, high: int) -> BoolArray:
        """Return the mask of queries low to high and some keys."""
        allowed: BoolArray = np.arange(low, high)[:, None] >= self._start[keys]
        return allowed

    def columns(self, keys: slice) -> BoolArray:
        """See `AllowedPairs`."""
        allowed: BoolArray = np.arange(self._n_queries)[:, None] >= self._start[keys]
        return allowed

    def blocks(self) -> Iterator[Block]:
        """See `AllowedPairs`."""
        for keys in key_blocks(self._n_queries, len(self.count)):
            start = self._start[keys]
            rows = np.arange(start[0], self._n_queries)[:, None]
            yield slice(int(start[0]), self._n_queries), keys, rows >= start


class Listed:
    """Any mask, (T_q, T_k) bool."""

    def __init__(self, mask: BoolArray) -> None:
        self._mask = mask
        self.count = mask.sum(axis=0).astype(np.float64)

    def gather(self, values: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty((len(self.count), values.shape[1]))
        for keys in self._keys():
            out[keys] = self._mask[:, keys].T.astype(np.float64) @ values
        return out

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty_like(key)
        for keys in self._keys():
            out[keys] = _partial(left, right, key[keys], self._mask[:, keys])
        return out

    def products(self, both: Float64, key: Float64) -> tuple[float, Float64, Float64]:
        """See `AllowedPairs`."""
        total, pe, ee = 0.0, np.empty(len(key)), np.empty(len(key))
        for keys in self._keys():
            of_part, pe[keys], ee[keys] = _products_of_pairs(both, key[keys], self._mask[:, keys])
            total += of_part
        return total, pe, ee

    def cross(self, weights: Float64, both: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty((2, len(key), weights.shape[1]))
        for keys in self._keys():
            p, e = _of_pairs(both, key[keys], self._mask[:, keys])
            out[0, keys] = p.T @ weights
            out[1, keys] = e.T @ weights
        return out

    def columns(self, keys: slice) -> BoolArray:
        """See `AllowedPairs`."""
        return self._mask[:, keys]

    def blocks(self) -> Iterator[Block]:
        """See `AllowedPairs`."""
        for keys in self._keys():
            yield slice(0, len(self._mask)), keys, self._mask[:, keys]

    def _keys(self) -> Iterator[slice]:
        return key_blocks(*self._mask.shape)


class Blocks:
    """Texts one after the other, each with its own allowed pairs; none joins two texts."""

    def __init__(self, texts: Sequence[tuple[slice, slice, AllowedPairs]]) -> None:
        self._texts = texts
        self.count = np.concatenate([pairs.count for _, _, pairs in texts])

    def gather(self, values: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty((len(self.count), values.shape[1]))
        for rows, keys, pairs in self._texts:
            out[keys] = pairs.gather(values[rows])
        return out

    def form(self, left: Float64, right: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty_like(key)
        for rows, keys, pairs in self._texts:
            l_rows = left[rows]
            out[keys] = pairs.form(l_rows, l_rows if left is right else right[rows], key[keys])
        return out

    def products(self, both: Float64, key: Float64) -> tuple[float, Float64, Float64]:
        """See `AllowedPairs`."""
        total, pe, ee = 0.0, np.empty(len(key)), np.empty(len(key))
        for rows, keys, pairs in self._texts:
            of_text, pe[keys], ee[keys] = pairs.products(both[rows], key[keys])
            total += of_text
        return total, pe, ee

    def cross(self, weights: Float64, both: Float64, key: Float64) -> Float64:
        """See `AllowedPairs`."""
        out = np.empty((2, len(key), weights.shape[1]))
        for rows, keys, pairs in self._texts:
            out[:, keys] = pairs.cross(weights[rows], both[rows], key[keys])
        return out

    def columns(self, keys: slice) -> BoolArray:
        """See `AllowedPairs`."""
        first, last, _ = keys.indices(len(self.count))
        out = np.zeros((self._texts[-1][0].stop, last - first), dtype=bool)
        for rows, of_text, pairs in self._texts:
            low, high = max(first, of_text.start), min(last, of_text.stop)
            if low < high:
                mask = pairs.columns(slice(low - of_text.start, high - of_text.start))
                out[rows, low - first : high - first] = True if mask is None else mask
        return out

    def blocks(self) -> Iterator[Block]:
        """See `AllowedPairs`."""
        for rows, keys, pairs in self._texts:
            for r, k, mask in pairs.blocks():
                yield _within(rows, r), _within(keys, k), mask


@dataclass(frozen=True, eq=False)
class TextPairs:
    """The allowed pairs of many texts that stand one after the other; none joins two texts.

    Takes the place of a mask (T_q, T_k), which for 100 texts of 500 tokens would be 2.5 GB.

    Attributes
    ----------
    texts : sequence of (queries, keys, mask)
        Two slices (plain ones, from a start to a stop) and what is allowed among them: None for
        all pairs, ``"causal"`` for the text's key j and its queries from j on, or an array
        (n_q, n_k) bool. In ascending order and without overlap; a token in none has no pairs.

    Raises
    ------
    InputError
        When slices have a step or no end, overlap or descend, or an array does not fit them.
    """

    texts: Sequence[tuple[slice, slice, npt.ArrayLike | Literal["causal"] | None]]

    def __post_init__(self) -> None:
        checked: list[tuple[slice, slice, Any]] = []
        row = column = 0
        for queries, keys, mask in self.texts:
            rows, columns = _bounds(queries, row), _bounds(keys, column)
            if mask is not None and not isinstance(mask, str):
                shape = (rows.stop - rows.start, columns.stop - columns.start)
                mask = np.asarray(mask, dtype=bool)
                if mask.shape != shape:
                    raise InputError(
                        f"A text's mask must have the shape {shape}, not {mask.shape}."
                    )
            elif isinstance(mask, str) and mask != "causal":
                raise InputError(f"A text's mask is an array, None or “causal”, not “{mask}”.")
            row, column = rows.stop, columns.stop
            checked.append((rows, columns, mask))
        object.__setattr__(self, "texts", tuple(checked))

    def check(self, shape: tuple[int, int]) -> None:
        """Raise `InputError` when a text lies outside queries and keys of this number."""
        if self.texts:
            rows, columns, _ = self.texts[-1]
            if rows.stop > shape[0] or columns.stop > shape[1]:
                raise InputError(
                    f"The texts end at query {rows.stop} and key {columns.stop}, but there are "
                    f"{shape[0]} and {shape[1]}."
                )


def allowed_pairs(mask: BoolArray | None, n_queries: int, n_keys: int) -> AllowedPairs:
    """Return the allowed pairs of a mask (T_q, T_k), None for all, by the cheapest kind."""
    if mask is None or mask.all():
        return Everything(n_queries, n_keys)
    start = np.where(mask.any(axis=0), mask.argmax(axis=0), n_queries)
    rising = bool((start[1:] >= start[:-1]).all())
    if rising and np.array_equal(mask, np.arange(n_queries)[:, None] >= start):
        return Staircase(n_queries, start)
    return Listed(mask)


def counted_pairs(
    mask: BoolArray | TextPairs | None, rows: BoolArray, n_keys: int
) -> tuple[BoolArray, BoolArray, AllowedPairs | None]:
    """Return which queries and keys have pairs, and these pairs by the cheapest kind of mask.

    Parameters
    ----------
    mask
        (T_q, T_k) bool, many texts, or None for all pairs.
    rows : (T_q,) bool
        The queries that count at all.
    n_keys

    Returns
    -------
    rows, columns : (T_q,) bool, (T_k,) bool
        The queries and the keys that have at least one pair.
    pairs
        Of these queries and keys alone; None where there are none.
    """
    if isinstance(mask, TextPairs):
        return _pairs_of_texts(mask, rows, n_keys)
    columns: BoolArray
    width = np.full(len(rows), n_keys) if mask is None else _widths(mask)
    if width is not None:
        rows = np.logical_and(rows, width > 0)
        width = width[rows]
        most, least = int(width.max(initial=0)), int(width.min(initial=n_keys))
        columns = np.arange(n_keys) < most
        if not most:
            return rows, columns, None
        if least == most:
            return rows, columns, Everything(len(width), most)
        return rows, columns, Staircase(len(width), width.searchsorted(np.arange(most), "right"))
    assert mask is not None
    rows = np.logical_and(rows, mask.any(axis=1))
    columns = np.asarray(mask[rows].any(axis=0))
    if not rows.any():
        return rows, columns, None
    inner = mask if rows.all() and columns.all() else mask[np.ix_(rows, columns)]
    return rows, columns, allowed_pairs(inner, len(inner), inner.shape[1])


def _widths(mask: BoolArray) -> npt.NDArray[np.intp] | None:
    """Return how many keys each query is allowed, (T_q,), where these are the first ones.

    None where they are not, or where a query is allowed fewer than the one before.
    """
    n_queries, n_keys = mask.shape
    if not n_keys:
        return np.zeros(n_queries, dtype=np.intp)
    width = mask.argmin(axis=1)  # the first that is not allowed, or 0 where all are
    width[mask[np.arange(n_queries), width]] = n_keys
    if (width[1:] < width[:-1]).any():
        return None
    return width if np.array_equal(mask, np.arange(n_keys) < width[:, None]) else None


def _pairs_of_texts(
    mask: TextPairs, rows: BoolArray, n_keys: int
) -> tuple[BoolArray, BoolArray, AllowedPairs | None]:
    kept_rows, kept_columns = np.zeros(len(rows), dtype=bool), np.zeros(n_keys, dtype=bool)
    texts: list[tuple[slice, slice, AllowedPairs]] = []
    row = column = 0  # of the kept ones
    for queries, keys, of_text in mask.texts:
        counted = rows[queries]
        n = keys.stop - keys.start
        pairs: AllowedPairs | None
        if of_text is None or not isinstance(of_text, str):
            counted, columns, pairs = counted_pairs(of_text, counted, n)  # type: ignore[arg-type]
        else:
            counted = counted if n else np.zeros_like(counted)
            before = np.concatenate([[0], np.cumsum(counted)])  # counted queries before each
            start = before[np.minimum(np.arange(n), len(counted))]
            columns = start < before[-1]
            pairs = Staircase(int(before[-1]), start[columns]) if columns.any() else None
        if pairs is None:
            continue
        kept_rows[queries], kept_columns[keys] = counted, columns
        n_row, n_column = int(counted.sum()), int(columns.sum())
        texts.append((slice(row, row + n_row), slice(column, column + n_column), pairs))
        row, column = row + n_row, column + n_column
    if len(texts) < 2:
        return kept_rows, kept_columns, texts[0][2] if texts else None
    return kept_rows, kept_columns, Blocks(texts)


def _bounds(part: slice, least: int) -> slice:
    """Return a slice as numbers from its start to its stop."""
    if part.step not in (None, 1) or part.stop is None:
        raise InputError("A text's queries and keys must be slices with an end and without a step.")
    start, stop = int(part.start or 0), int(part.stop)
    if not least <= start <= stop:
        raise InputError("The texts must be in ascending order, without overlap.")
    return slice(start, stop)


def _within(outer: slice, inner: slice) -> slice:
    return slice(outer.start + inner.start, min(outer.start + inner.stop, outer.stop))


def key_blocks(n_queries: int, n_keys: int) -> Iterator[slice]:
    """Yield slices of keys that hold about `BLOCK` pairs each."""
    width = max(1, BLOCK // max(n_queries, 1))
    for first in range(0, n_keys, width):
        yield slice(first, min(first + width, n_keys))


def _symmetric(matrix: Float64) -> Float64:
    return 0.5 * (matrix + matrix.T)


def _partial(left: Float64, right: Float64, key: Float64, allowed: BoolArray) -> Float64:
    """Return S_j k_j of a block by its pairs, (n, d)."""
    by_right = (right @ key.T) * allowed  # (T_q, n)
    if left is right:
        return by_right.T @ left
    by_left = (left @ key.T) * allowed
    return 0.5 * (by_right.T @ left + by_left.T @ right)


def _products(outer: Float64, key: Float64) -> tuple[float, Float64, Float64]:
    """Return what `AllowedPairs.products` does where all keys share sum_i (p, e)_i (p, e)_iᵀ."""
    d = key.shape[1]
    forms = np.hstack([_symmetric(outer[:d, d:]), outer[d:, d:]])
    pe, ee = np.einsum("tfd,td->ft", (key @ forms).reshape(len(key), 2, d), key)
    return float(np.vdot(outer[:d, :d], key.T @ key)), pe, ee


def _cross(sums: Float64, key: Float64) -> Float64:
    """Return what `AllowedPairs.cross` does where all keys share the sums, (m, 2 d)."""
    d = key.shape[1]
    out = np.empty((2, len(key), len(sums)))
    np.matmul(key, sums[:, :d].T, out=out[0])
    np.matmul(key, sums[:, d:].T, out=out[1])
    return out


def _products_of_pairs(
    both: Float64, key: Float64, allowed: BoolArray | None
) -> tuple[float, Float64, Float64]:
    """Return what `AllowedPairs.products` does, from the pairs of some keys; None allows all."""
    p, e = _of_pairs(both, key, allowed)
    return float(np.vdot(p, p)), np.einsum("qk,qk->k", p, e), np.einsum("qk,qk->k", e, e)


def _of_pairs(both: Float64, key: Float64, allowed: BoolArray | None) -> tuple[Float64, Float64]:
    """Return p_i.k_j and e_i.k_j of the allowed pairs, 0 elsewhere: (T_q, n) each."""
    d = key.shape[1]
    p, e = both[:, :d] @ key.T, both[:, d:] @ key.T
    if allowed is not None:
        p *= allowed
        e *= allowed
    return p, e
