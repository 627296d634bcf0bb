"""One plane for many heads, so that their pictures can be set side by side and compared.

Each head is normalised on its own and brought to the same size; then one PCA of all their points
gives axes, limits and an orientation that all share. Nothing here is per head but its place.

Source: Yeh et al., AttentionViz (2023), whose global view shows every head of a model in one sheet;
the one space for all of them is this project's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_vectors, in_range
from attnviz_gui.geometry.normalization import Normalization
from attnviz_gui.geometry.projection import ROUNDING, _first_two
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SharedSpace:
    """Many heads in one plane.

    Attributes
    ----------
    query_xy, key_xy : tuple of (T_q, 2) and (T_k, 2), or None
        For each head in the order given; None for a head that is left out. The mean of all heads'
        points is the origin; a unit of x is as long as a unit of y.
    axes : (d, 2)
        Unit vectors of x and y, the largest coordinate of each positive. The second is zero where
        head_dim is 1.
    mean : (d,)
        The mean of all heads' points, which the origin stands for.
    explained : (2,)
        Share of the variance of all points along x and y.
    limits : (2, 2)
        Lowest and highest x, lowest and highest y over all heads.
    factors : (n_heads,)
        What each head's normalised vectors were multiplied by; NaN for a head that is left out.
    left_out : tuple of (int, str)
        Heads that have no place here, and why.
    """

    query_xy: tuple[Float64 | None, ...]
    key_xy: tuple[Float64 | None, ...]
    axes: Float64
    mean: Float64
    explained: Float64
    limits: Float64
    factors: Float64
    left_out: tuple[tuple[int, str], ...]

    @property
    def head_dim(self) -> int:
        """The dimension that the heads in the plane share; lifted vectors have one more."""
        return len(self.axes)


def shared_space(
    heads: Sequence[Any],
    normalizations: Normalization | Sequence[Normalization] | None = None,
    *,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> SharedSpace:
    """Return all heads in one plane.

    Formula
        x' = f_h N_h(x) for every query and key x of head h, with N_h its normalisation and f_h such
        that the mean of |x'|² over the head's queries and keys is 1; then the PCA of all x' of all
        heads together: their covariance about their common mean, from the moments of each head.
        Where f_h would be infinite (all vectors zero) it is 1.
    Source
        See the module.
    Cost
        O(T d²) for each head, twice; memory O(T d) of one head beside the places. Heads may be made
        when they are asked for.

    Parameters
    ----------
    heads
        Anything with ``query`` (T_q, d) and ``key`` (T_k, d). A head on many texts is one head with
        the vectors of all.
    normalizations
        One for all heads, or one for each; None for the vectors as they are.
    progress
        Called with the steps done and the steps in all.
    cancel
        A `threading.Event`, or a function that says whether to stop.

    Returns
    -------
    SharedSpace
        The heads of the dimension that most have (of equals, the one that comes first); the others
        are named in `left_out`, and so are heads with NaN or infinity, and empty ones.

    Raises
    ------
    InputError
        When no head is left, or there is not one normalisation for each.
    Cancelled
        When `cancel` is set.
    """
    n = len(heads)
    each = _for_each(normalizations, n)
    stop, done = stop_where(cancel), 0

    def step() -> None:
        nonlocal done
        stop()
        if progress is not None:
            progress(done, 2 * n)
        done += 1

    moments: dict[int, _Moments] = {}
    left_out: dict[int, str] = {}
    for i in range(n):
        step()
        try:
            moments[i] = _Moments.of(*_points(heads[i], each[i]))
        except InputError as error:
            left_out[i] = str(error)
    if not moments:
        told = "; ".join(sorted(set(left_out.values())))
        raise InputError(f"One space needs at least one head. {told}".strip())
    dims = Counter(len(found.mean) for found in moments.values())
    d = max(dims, key=lambda dim: dims[dim])  # of equals the first that was counted
    for i, found in list(moments.items()):
        if len(found.mean) != d:
            left_out[i] = (
                f"Its vectors have {len(found.mean)} coordinates, those of most heads have {d}, "
                "and one space has one number of them."
            )
            del moments[i]

    mean, scatter, size = _pooled(list(moments.values()))
    total = float(np.trace(scatter))
    spread, axes = np.zeros(2), np.eye(d, 2)
    count = sum(found.count for found in moments.values())
    if total > count * d * (ROUNDING * size) ** 2:
        spread, axes = _first_two(scatter)
        spread = spread / total

    query_xy: list[Float64 | None] = [None] * n
    key_xy: list[Float64 | None] = [None] * n
    factors = np.full(n, np.nan)
    for i in range(n):
        step()
        if i not in moments:
            continue
        factors[i] = moments[i].factor
        query_xy[i], key_xy[i] = (
            (factors[i] * vectors - mean) @ axes for vectors in _points(heads[i], each[i])
        )
    drawn = [xy for xy in (*query_xy, *key_xy) if xy is not None and len(xy)]
    lowest = np.min([xy.min(axis=0) for xy in drawn], axis=0)
    highest = np.max([xy.max(axis=0) for xy in drawn], axis=0)
    if progress is not None:
        progress(2 * n, 2 * n)
    return SharedSpace(
        tuple(query_xy),
        tuple(key_xy),
        axes,
        mean,
        spread,
        np.column_stack([lowest, highest]),
        factors,
        tuple(sorted(left_out.items())),
    )


@dataclass(frozen=True, eq=False)
class _Moments:
    """The points of one head, brought to one size: number, mean (d,) and scatter (d, d) about it.

    `size` is what no coordinate exceeds, by which "equal" is measured.
    """

    count: int
    mean: Float64
    scatter: Float64
    factor: float
    size: float

    @classmethod
    def of(cls, query: Float64, key: Float64) -> _Moments:
        points = np.concatenate([query, key])
        size = float(np.abs(points).max())
        factor = 1.0
        if size:
            # Divided by the largest first: a square of a tiny or huge number is no number.
            square = np.square(points / size).sum() / len(points)
            factor = 1 / (size * float(np.sqrt(square)))
        points *= factor
        mean = points.mean(axis=0)
        points -= mean
        return cls(len(points), mean, points.T @ points, factor, size * factor)


def _pooled(parts: Sequence[_Moments]) -> tuple[Float64, Float64, float]:
    """Return the mean (d,) and scatter (d, d) of all points together, and their size.

    Scatter about the common mean = the parts' own + n (mean - common)(mean - common)ᵀ.
    """
    total = sum(part.count for part in parts)
    mean = sum((part.count / total * part.mean for part in parts), np.zeros(len(parts[0].mean)))
    scatter = np.zeros((len(mean), len(mean)))
    for part in parts:
        apart = part.mean - mean
        scatter += part.scatter + part.count * np.outer(apart, apart)
    return mean, scatter, max(part.size for part in parts)


def _points(head: Any, normalization: Normalization) -> tuple[Float64, Float64]:
    """Return a head's normalised queries and keys."""
    query, key = as_vectors(head.query, head.key)
    if not len(query) and not len(key):
        raise InputError("It has neither queries nor keys.")
    if not in_range(query, key):
        raise InputError("Its vectors hold NaN or infinity (or numbers beyond 1e60).")
    return normalization.apply(query, key)


def _for_each(
    normalizations: Normalization | Sequence[Normalization] | None, n: int
) -> list[Normalization]:
    if normalizations is None:
        return [Normalization()] * n
    if isinstance(normalizations, Normalization):
        return [normalizations] * n
    if len(normalizations) != n:
        raise InputError(
            f"There must be one normalisation for each head: {len(normalizations)} for {n} heads."
        )
    return list(normalizations)
