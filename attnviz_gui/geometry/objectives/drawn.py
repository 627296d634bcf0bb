"""The joint planes of many candidates at once: what `plane` and `neighbours` look at.

The plane is that of `projection`: PCA of q' and k' together. Only distances in it are wanted here,
so signs and turns do not matter; whether there is one plane at all does. Where the second and the
third axis carry the same variance, the drawn plane is one of many, and so would be a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.objectives.pairs import lengths

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.objectives.base import HeadPairs, Line

    Float64 = npt.NDArray[np.float64]

# Variances that differ by less than this share of the largest are equal.
EQUAL = 1e-12
# A spread below this share of the vectors' size is the rounding of equal vectors.
ROUNDING = 16 * np.finfo(np.float64).eps
NOT_ONE_PLANE = (
    "the second and the third axis carry the same variance, so there is no one plane to draw"
)


class Planes:
    """The moments of one head with at least one query and one key; see `projection`."""

    def __init__(self, head: HeadPairs) -> None:
        self._query_mean, self._key_mean = head.query.mean(axis=0), head.key.mean(axis=0)
        self._query, self._key = head.query - self._query_mean, head.key - self._key_mean
        self._query_scatter = self._query.T @ self._query
        self._key_scatter = self._key.T @ self._key
        self._size = float(np.abs(head.query).max()), float(np.abs(head.key).max())

    def at(
        self, line: Line, position: Float64, scale: Float64
    ) -> tuple[Float64, Float64, Float64, BoolArray]:
        """Return the drawn points and what they are worth, for n candidates.

        Returns
        -------
        query_xy, key_xy : (n, T_q, 2), (n, T_k, 2)
        extent : (n,)
            A length that no distance exceeds; 0 where all points are one.
        one : (n,) bool
            Whether there is one plane.
        """
        c = scale[:, None]
        shift = line[0] + position[:, None] * line[1]
        gap = c * self._query_mean - (self._key_mean + shift) / c
        n_q, n_k = len(self._query), len(self._key)
        n = n_q + n_k
        c2 = scale[:, None, None] ** 2
        scatter = c2 * self._query_scatter + self._key_scatter / c2
        scatter += (n_q * n_k / n) * gap[:, :, None] * gap[:, None, :]
        values, vectors = np.linalg.eigh(scatter)
        d = gap.shape[1]
        axes = vectors[:, :, :-3:-1]  # (n, d, 2 or 1)
        one = np.ones(len(scale), dtype=bool)
        if d > 2:
            level = EQUAL * values[:, -1]
            one = (values[:, -2] - values[:, -3] > level) | (values[:, -2] <= level)
        size = scale * self._size[0] + (self._size[1] + np.abs(shift).max(axis=1)) / scale
        point = np.trace(scatter, axis1=1, axis2=2) <= n * d * (ROUNDING * size) ** 2
        origin = np.einsum("nd,nda->na", gap, axes)[:, None, :] / n
        query_xy = self._query @ (c[..., None] * axes)
        key_xy = self._key @ (axes / c[..., None])
        query_xy += n_k * origin
        key_xy -= n_q * origin
        query_xy[point], key_xy[point] = 0, 0
        extent = lengths(query_xy).max(axis=1) + lengths(key_xy).max(axis=1)
        return query_xy, key_xy, extent, one | point


def squared_distances(query_xy: Float64, key_xy: Float64) -> Float64:
    """Return squared distances of points (n, B, 1 or 2) and (n, T_k, 1 or 2): (n, B, T_k)."""
    out: Float64 = np.square(query_xy[:, :, None, 0] - key_xy[:, None, :, 0])
    if query_xy.shape[2] > 1:
        other = query_xy[:, :, None, 1] - key_xy[:, None, :, 1]
        other *= other
        out += other
    return out
