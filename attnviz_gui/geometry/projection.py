"""The joint plane: PCA of queries and keys together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projection:
    """Queries and keys in one plane, in the units of the vectors."""

    query_xy: Float64
    key_xy: Float64
    explained: Float64
    axes: Float64


def project(
    query: npt.ArrayLike, key: npt.ArrayLike, *, near: Projection | None = None
) -> Projection:
    """PCA of the joint set; `near`: rotate within the plane to the nearest earlier frame."""
    q = np.asarray(query, dtype=np.float64)
    k = np.asarray(key, dtype=np.float64)
    joint = np.concatenate([q, k])
    mean = joint.mean(axis=0)
    cov = (joint - mean).T @ (joint - mean) / max(len(joint) - 1, 1)
    values, vectors = np.linalg.eigh(cov)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1, 1)
    explained = values[::-1][:2] / max(values.sum(), 1e-300)
    if near is not None:
        u, _, vt = np.linalg.svd(axes.T @ near.axes)
        axes = axes @ (u @ vt)
    return Projection((q - mean) @ axes, (k - mean) @ axes, explained, axes)
