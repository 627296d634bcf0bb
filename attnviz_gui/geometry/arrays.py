"""What every call checks of the arrays it is handed: shapes and numbers, nothing about meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.masks import TextPairs

if TYPE_CHECKING:
    import numpy.typing as npt

    BoolArray = npt.NDArray[np.bool_]
    Float64 = npt.NDArray[np.float64]


# Beyond this, sums of fourth powers leave double precision; no model comes near (float32: 3e38).
LARGEST = 1e60
SMALLEST = 1e-60


def as_float64(values: npt.ArrayLike, what: str) -> Float64:
    """Return real numbers as a float64 array; the same array where it is one already.

    Raises
    ------
    InputError
        When `values` are not real numbers, or a ragged list.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{what} must be an array of numbers: {error}.") from error
    if array.dtype.kind not in "fiub":
        raise InputError(f"{what} must be real numbers, not {array.dtype}.")
    return array.astype(np.float64, copy=False)


def as_vectors(query: npt.ArrayLike, key: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Return queries (T_q, d) and keys (T_k, d) in float64.

    Raises
    ------
    InputError
        When either is not a matrix of real numbers, or their head dimensions differ.
    """
    q, k = as_float64(query, "The queries"), as_float64(key, "The keys")
    for what, array in (("queries", q), ("keys", k)):
        if array.ndim != 2 or not array.shape[1]:
            raise InputError(
                f"The {what} must have the shape (tokens, head_dim), not {array.shape}."
            )
    if q.shape[1] != k.shape[1]:
        raise InputError(
            f"Queries and keys must have the same head_dim: {q.shape[1]} and {k.shape[1]} differ."
        )
    return q, k


@overload
def as_mask(mask: TextPairs, shape: tuple[int, int]) -> TextPairs: ...
@overload
def as_mask(mask: npt.ArrayLike | None, shape: tuple[int, int]) -> BoolArray | None: ...
def as_mask(
    mask: npt.ArrayLike | TextPairs | None, shape: tuple[int, int]
) -> BoolArray | TextPairs | None:
    """Return the allowed pairs, (T_q, T_k) bool, or None where every pair is allowed.

    `TextPairs`, the pairs of many texts, stay what they are.

    Raises
    ------
    InputError
        When the mask's shape is not `shape`, or a text ends outside it.
    """
    if mask is None:
        return None
    if isinstance(mask, TextPairs):
        mask.check(shape)
        return mask
    allowed = np.asarray(mask, dtype=bool)
    if allowed.shape != shape:
        raise InputError(f"The mask must have the shape {shape}, not {allowed.shape}.")
    return None if allowed.all() else allowed


def in_range(*arrays: Float64) -> bool:
    """Return whether all numbers are finite and none is beyond `LARGEST`."""
    return all(bool(np.abs(array).max(initial=0) <= LARGEST) for array in arrays)


def squarable(*arrays: Float64) -> bool:
    """Return whether products of an array's numbers, four of them, stay in double precision.

    All are finite, and the largest is no more than `LARGEST` and no less than `SMALLEST`, or 0.
    """
    largest = [float(np.abs(array).max(initial=0)) for array in arrays]
    return all(size == 0 or SMALLEST <= size <= LARGEST for size in largest)
