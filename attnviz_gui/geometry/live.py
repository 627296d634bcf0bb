"""One head made ready for a moving slider: everything that a frame draws, from one place.

`LiveHead` holds what does not depend on (a, c); `Frame` is one position of the sliders.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.correlation import correlate
from attnviz_gui.geometry.projection import Projection, project

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]


class LiveHead:
    """The moments of one head (its visible tokens), from which frames are made.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
    attention : (T_q, T_k)
        The head's attention among these tokens; rows may sum to less than 1 where keys are hidden.
    mask : (T_q, T_k) bool
    scaling : float
    bias : (T_q, T_k) or None
    """

    def __init__(self, query, key, attention, mask, scaling, bias=None) -> None:  # type: ignore[no-untyped-def]
        self.query: Float64 = np.asarray(query, dtype=np.float64)
        self.key: Float64 = np.asarray(key, dtype=np.float64)
        self.attention = attention
        self.mask = mask
        self.scaling = scaling
        self.bias = bias
        self.query_mean: Float64 = self.query.mean(axis=0)
        self.key_mean: Float64 = self.key.mean(axis=0)

    def frame(self, shift: Float64, scale: float, *, near: Projection | None = None) -> Frame:
        """Return one position of the sliders; `shift` is the vector a, (d,)."""
        q, k = scale * self.query, (self.key + shift) / scale
        return Frame(
            self,
            shift,
            scale,
            q,
            k,
            project(q, k, near=near),
            -correlate(q, k, "cosine", self.mask),
        )


@dataclass(frozen=True, eq=False)
class Frame:
    """One position of the sliders: normalised vectors, their plane, their pairs.

    Attributes
    ----------
    query, key : (T_q, d), (T_k, d) float64, normalised
    projection : Projection
    correlation : float
        Pearson's r of dot product and cosine distance over the allowed pairs; NaN if undefined.
    """

    live: LiveHead
    shift: Float64
    scale: float
    query: Float64
    key: Float64
    projection: Projection
    correlation: float

    @cached_property
    def dots(self) -> Float64:
        """Dot products q'.k', (T_q, T_k)."""
        return self.query @ self.key.T

    @cached_property
    def distances(self) -> Float64:
        """Cosine distances, (T_q, T_k), 0 to 2."""
        return (
            1
            - self.dots
            / np.linalg.norm(self.query, axis=1)[:, None]
            / np.linalg.norm(self.key, axis=1)[None]
        )

    @cached_property
    def attention_difference(self) -> float:
        """Largest difference between the attention recomputed from q', k' and the head's own."""
        logits = self.dots * self.live.scaling
        if self.live.bias is not None:
            logits = logits + self.live.bias
        logits = np.where(self.live.mask, logits, -np.inf)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        weights *= np.asarray(self.live.attention).sum(axis=1, keepdims=True)
        return float(np.abs(weights - self.live.attention).max())
