"""Shift and scale: q' = c q, k' = (k + a) / c, which leave the attention unchanged.

Source: Yeh et al., AttentionViz (2023), section 5.1.1. The proof in one line:
q'.k' = q.k + q.a, and the softmax ignores what is constant along a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

ShiftMode = Literal["constant", "centroid", "locked"]
SHIFT_MODES: tuple[ShiftMode, ...] = ("constant", "centroid", "locked")
SCALE_RANGE = (0.1, 10.0)


@dataclass(frozen=True, eq=False)
class Normalization:
    """A pair (shift a, scale c)."""

    shift: float | str | Float64 = 0.0
    scale: float = 1.0

    def vector(self, query: npt.ArrayLike, key: npt.ArrayLike) -> Float64:
        """Return the shift as a vector a, (head_dim,)."""
        key = np.asarray(key, dtype=np.float64)
        if isinstance(self.shift, str):
            return np.asarray(query, dtype=np.float64).mean(axis=0) - key.mean(axis=0)
        return np.zeros(key.shape[-1]) + np.asarray(self.shift, dtype=np.float64)

    def apply(self, query: npt.ArrayLike, key: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Return q' (T_q, d) and k' (T_k, d) in float64."""
        q = np.asarray(query, dtype=np.float64)
        k = np.asarray(key, dtype=np.float64)
        return self.scale * q, (k + self.vector(q, k)) / self.scale


def shift_vector(mode: ShiftMode, t: float, scale: float, query_mean: Float64, key_mean: Float64) -> Float64:
    """Return the vector a of a slider position `t` in raw units."""
    if mode == "constant":
        return np.full(key_mean.shape, float(t))
    if mode == "centroid":
        return t * (query_mean - key_mean)
    return scale**2 * query_mean - key_mean
