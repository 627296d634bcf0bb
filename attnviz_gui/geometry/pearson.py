"""Pearson's r from sums that can be pooled; undefined is NaN with a reason, never a warning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray

    Float64 = npt.NDArray[np.float64]

# A standard deviation below this share of the values' size is the rounding of equal values.
ROUNDING = 1e-14

TOO_FEW = "fewer than two pairs have a dot product and a cosine distance"
EQUAL_DOTS = "all dot products are equal"
EQUAL_DISTANCES = "all cosine distances are equal"
TOO_FEW_ALLOWED = "fewer than two pairs are allowed"
NOT_FINITE = (
    "the queries or keys hold NaN or infinity (or numbers beyond 1e60, or none above 1e-60)"
)


@dataclass(frozen=True, eq=False)
class Sums:
    """What Pearson's r of x (dot product) and y (a distance, or cosine) needs, for n candidates.

    Attributes
    ----------
    table : (7, n)
        One row each: number of pairs; mean of x; mean of y; sums of xx, xy and yy, products of the
        deviations from the means; a size that no x exceeds, by which "equal" is measured.
    """

    table: Float64


@dataclass(frozen=True, eq=False)
class Outcome:
    """The value of an objective for n candidates.

    Attributes
    ----------
    value : (n,)
        NaN where undefined.
    reason : tuple of n str
        Why it is undefined; empty where it is not.
    """

    value: Float64
    reason: tuple[str, ...]


def pool(parts: Sequence[Sums]) -> Sums:
    """Return the sums over the pairs of all parts together.

    Deviations from the common mean: xx = sum of the parts' xx + count (mean - common mean)².
    """
    if len(parts) == 1:
        return parts[0]
    tables = np.stack([part.table for part in parts], axis=1)  # (7, parts, n)
    count, mean_x, mean_y, xx, xy, yy, size = tables
    total = count.sum(axis=0)
    weight = count / np.maximum(total, 1)
    common_x, common_y = (weight * mean_x).sum(axis=0), (weight * mean_y).sum(axis=0)
    dx, dy = mean_x - common_x, mean_y - common_y
    return Sums(
        np.stack(
            [
                total,
                common_x,
                common_y,
                (xx + count * dx * dx).sum(axis=0),
                (xy + count * dx * dy).sum(axis=0),
                (yy + count * dy * dy).sum(axis=0),
                size.max(axis=0),
            ]
        )
    )


def sums_of(x: Float64, y: Float64, size: float) -> Sums:
    """Return the sums of pairs that are listed: x and y (pairs,), n = 1."""
    if not x.size:
        return no_pairs(1)
    mean_x, mean_y = x.mean(), y.mean()
    dx, dy = x - mean_x, y - mean_y
    return Sums(np.array([[x.size], [mean_x], [mean_y], [dx @ dx], [dx @ dy], [dy @ dy], [size]]))


def sums_where(x: Float64, y: Float64, counted: BoolArray | None, size: Float64) -> Sums:
    """Return the sums of n candidates' pairs: x and y (n, ...), those `counted` (n, ...) alone.

    `counted` None counts all; numbers that are not counted must be finite. `size` is (n,). x and
    y are overwritten.
    """
    n = len(x)
    x, y = x.reshape(n, -1), y.reshape(n, -1)
    if counted is None:
        count = np.full(n, float(x.shape[1]))
    else:
        counted = np.broadcast_to(counted.reshape(len(counted), -1), x.shape)
        count = counted.sum(axis=1, dtype=np.float64)
        x *= counted
        y *= counted
    some = np.maximum(count, 1)
    mean_x, mean_y = x.sum(axis=1) / some, y.sum(axis=1) / some
    x -= mean_x[:, None]
    y -= mean_y[:, None]
    if counted is not None:
        x *= counted
        y *= counted
    xx, xy, yy = (np.einsum("np,np->n", a, b) for a, b in ((x, x), (x, y), (y, y)))
    return Sums(np.stack([count, mean_x, mean_y, xx, xy, yy, size]))


def no_pairs(n: int) -> Sums:
    """Return the sums of no pair for n candidates."""
    return Sums(np.zeros((7, n)))


def not_finite(n: int) -> Sums:
    """Return the sums of pairs that are no numbers, for n candidates."""
    return Sums(np.full((7, n), np.nan))


def pearson(
    sums: Sums,
    *,
    size_y: Float64 | float = 1.0,
    too_few: str = TOO_FEW,
    equal_y: str = EQUAL_DISTANCES,
) -> Outcome:
    """Return Pearson's r, within -1 to 1, or NaN and the reason where it is undefined.

    Parameters
    ----------
    sums
    size_y : (n,) or float
        A size that no y exceeds, by which "equal" is measured.
    too_few, equal_y
        What to say where there are fewer than two pairs, and where all y are equal.
    """
    count, _, _, xx, xy, yy, size = sums.table
    lost = np.logical_not(np.isfinite(sums.table).all(axis=0))
    few = count < 2
    same_x = xx <= count * (ROUNDING * size) ** 2
    same_y = yy <= count * (ROUNDING * size_y) ** 2
    defined = ~(lost | few | same_x | same_y)
    root = np.sqrt(np.where(defined, xx, 1)) * np.sqrt(np.where(defined, yy, 1))
    value = np.where(defined, np.clip(np.where(defined, xy, 0) / root, -1, 1), np.nan)
    reason = [""] * len(value)
    for i in np.flatnonzero(~defined):
        reason[i] = (
            NOT_FINITE if lost[i] else too_few if few[i] else EQUAL_DOTS if same_x[i] else equal_y
        )
    return Outcome(value, tuple(reason))
