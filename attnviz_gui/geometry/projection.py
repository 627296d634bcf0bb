"""The joint plane: PCA of queries and keys together, both axes in the units of the vectors.

With centred queries P (T_q, d) and keys K (T_k, d), N = T_q + T_k, and the vector
g = c mean(q) - (mean(k) + a) / c from the keys' centroid to the queries', the scatter matrix of
the normalised points about their common mean is

    c² PᵀP + KᵀK / c² + (T_q T_k / N) g gᵀ

PᵀP and KᵀK are taken once; a position of the sliders then costs one d x d eigen-decomposition and
one product (T, d)(d, 2). Lifted vectors have one coordinate more, 0 for queries and h_j for key j:
one more row and column of the scatter matrix, Kᵀh / c and hᵀh with h centred, which is O(T d).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_vectors, in_range
from attnviz_gui.geometry.transforms import lifted_root

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

# A spread below this share of the vectors' size is the rounding of equal vectors.
ROUNDING = 16 * np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False)
class Projection:
    """Queries and keys in one plane, in the units of the vectors.

    Attributes
    ----------
    query_xy : (T_q, 2)
    key_xy : (T_k, 2)
        Where queries and keys are drawn; their common mean is the origin.
    explained : (2,)
        Share of the joint variance along the drawn x and y; both 0 where all vectors are equal.
    axes : (d, 2)
        Unit vectors of x and y. The second is zero where head_dim is 1.
    """

    query_xy: Float64
    key_xy: Float64
    explained: Float64
    axes: Float64


def project(
    query: npt.ArrayLike, key: npt.ArrayLike, *, near: Projection | None = None
) -> Projection:
    """Project queries (T_q, d) and keys (T_k, d) to the plane of their first two joint axes.

    Equal to scikit-learn's ``PCA(2)`` on the stacked vectors, the sign of its axes included: the
    largest coordinate of each is positive.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
    near : Projection, optional
        An earlier picture of the same tokens. The picture is then turned (and mirrored) within
        its plane to lie as near to it as it can, so that nothing jumps from frame to frame.

    Raises
    ------
    InputError
        When the arrays are no queries and keys of one head, or hold NaN or infinity.
    """
    q, k = as_vectors(query, key)
    return JointPlane(q, k).at(np.zeros(k.shape[1]), 1.0, near=near)


class JointPlane:
    """The moments of one head's queries and keys, from which every normalisation's plane follows.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)

    Raises
    ------
    InputError
        When the arrays are no queries and keys of one head, or hold NaN or infinity.
    """

    def __init__(self, query: npt.ArrayLike, key: npt.ArrayLike) -> None:
        q, k = as_vectors(query, key)
        if not in_range(q, k):
            raise InputError(
                "The queries or keys hold NaN or infinity (or numbers beyond 1e60), "
                "so they have no plane."
            )
        self._query_mean = q.mean(axis=0) if len(q) else np.zeros(q.shape[1])
        self._key_mean = k.mean(axis=0) if len(k) else np.zeros(k.shape[1])
        self._query = q - self._query_mean
        self._key = k - self._key_mean
        self._query_scatter = self._query.T @ self._query
        self._key_scatter = self._key.T @ self._key
        self._query_size = float(np.abs(q).max(initial=0))
        self._key_size = float(np.abs(k).max(initial=0))
        self._key_square = np.einsum("td,td->t", self._key, self._key)

    def height(self, shift: Float64) -> Float64:
        """Return what the lift appends to k + a, sqrt(R² - |k + a|²), (T_k,); see `transforms`.

        Cost: O(T d).
        """
        centre = self._key_mean + shift
        return lifted_root(self._key_square, self._key @ centre, centre)

    def size(self, shift: Float64, scale: float) -> float:
        """Return what no term of a coordinate of q' and k' exceeds: their rounding goes by it."""
        return scale * self._query_size + (self._key_size + float(np.abs(shift).max())) / scale

    def at(
        self,
        shift: Float64,
        scale: float,
        *,
        near: Projection | None = None,
        height: Float64 | None = None,
    ) -> Projection:
        """Return the plane of q' = c q and k' = (k + a) / c.

        Cost: O(T d + d³).

        Parameters
        ----------
        shift : (d,)
            The vector a.
        scale
            The scale c > 0.
        near
            As in `project`.
        height : (T_k,), optional
            The lifted keys' last coordinate before it is divided by c, as `height` returns it; the
            queries' is 0. Without it nothing is lifted.
        """
        n_q, n_k = len(self._query), len(self._key)
        n = max(n_q + n_k, 1)
        gap = scale * self._query_mean - (self._key_mean + shift) / scale
        scatter = scale**2 * self._query_scatter + self._key_scatter / scale**2
        rise = None
        if height is not None:
            above = height.mean() if n_k else 0.0
            rise = (height - above) / scale
            gap = np.append(gap, -above / scale)
            tilt = (rise @ self._key) / scale
            scatter = np.block([[scatter, tilt[:, None]], [tilt, rise @ rise]])
        scatter += (n_q * n_k / n) * np.outer(gap, gap)

        total = float(np.trace(scatter))
        if total <= n * len(gap) * (ROUNDING * self.size(shift, scale)) ** 2:
            return Projection(
                np.zeros((n_q, 2)), np.zeros((n_k, 2)), np.zeros(2), np.eye(len(gap), 2)
            )

        spread, axes = _first_two(scatter)
        origin = gap @ axes / n
        flat = axes[: self._query.shape[1]]  # what the vectors themselves have
        query_xy = self._query @ (scale * flat) + n_k * origin
        key_xy = self._key @ (flat / scale) - n_q * origin
        if rise is not None:
            key_xy += np.outer(rise, axes[-1])
        if near is not None:
            turn = _nearest_turn(query_xy, key_xy, near)
            query_xy, key_xy, axes = query_xy @ turn, key_xy @ turn, axes @ turn
            spread = spread @ turn**2
        return Projection(query_xy, key_xy, spread / total, axes)


def _first_two(scatter: Float64) -> tuple[Float64, Float64]:
    """Return the two largest eigenvalues (2,) and their axes (d, 2), largest coordinate > 0."""
    values, vectors = np.linalg.eigh(scatter)
    found = min(2, len(values))
    spread, axes = np.zeros(2), np.zeros((len(values), 2))
    spread[:found] = np.maximum(values[::-1][:found], 0)
    axes[:, :found] = vectors[:, ::-1][:, :found]
    largest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    return spread, axes * np.where(largest < 0, -1, 1)


def _nearest_turn(query_xy: Float64, key_xy: Float64, near: Projection) -> Float64:
    """Return the orthogonal (2, 2) matrix that brings the points nearest to an earlier frame's.

    Least squares over all points (orthogonal Procrustes). The points, not the axes, are matched:
    that is also best where the old plane and the new share no direction.
    """
    if query_xy.shape != near.query_xy.shape or key_xy.shape != near.key_xy.shape:
        raise InputError("The earlier picture has other tokens, so no frame can be near it.")
    left, _, right = np.linalg.svd(query_xy.T @ near.query_xy + key_xy.T @ near.key_xy)
    turn: Float64 = left @ right
    return turn
