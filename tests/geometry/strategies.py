"""Heads that hypothesis thinks up: few tokens, many ties, zero vectors and every kind of mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

if TYPE_CHECKING:
    import numpy.typing as npt

MASKS = ("none", "causal", "padding", "left padding and causal", "random")

# Sixteenths: sums of their products are exact, so equal is equal.
coordinates = st.one_of(st.integers(-3, 3).map(float), st.integers(-64, 64).map(lambda n: n / 16))
scales = st.floats(0.1, 10)


@dataclass(frozen=True)
class SmallHead:
    query: npt.NDArray[np.float64]
    key: npt.NDArray[np.float64]
    mask: npt.NDArray[np.bool_] | None


@st.composite
def heads(draw: st.DrawFn, max_tokens: int = 6, max_dim: int = 4) -> SmallHead:
    d = draw(st.integers(1, max_dim))
    n_q = draw(st.integers(1, max_tokens))
    kind = draw(st.sampled_from(MASKS))
    n_k = n_q if "causal" in kind else draw(st.integers(1, max_tokens))
    query = draw(arrays(np.float64, (n_q, d), elements=coordinates))
    key = draw(arrays(np.float64, (n_k, d), elements=coordinates))
    return SmallHead(query, key, draw(masks(kind, n_q, n_k)))


@st.composite
def masks(draw: st.DrawFn, kind: str, n_q: int, n_k: int) -> npt.NDArray[np.bool_] | None:
    if kind == "none":
        return None
    if kind == "random":
        return draw(arrays(np.bool_, (n_q, n_k)))
    mask = np.tri(n_q, n_k, dtype=bool) if "causal" in kind else np.ones((n_q, n_k), dtype=bool)
    if "padding" in kind:
        n = draw(st.integers(0, n_k - 1))
        mask[:, n_k - n :] &= "left" in kind
        if "left" in kind:
            mask[:, :n] = False
            mask[:n, :] = False
    return mask


def shifts(d: int, reach: float = 4.0) -> st.SearchStrategy[npt.NDArray[np.float64]]:
    """Shift vectors (d,) in sixteenths."""
    steps = st.integers(int(-16 * reach), int(16 * reach))
    return arrays(np.float64, (d,), elements=steps.map(lambda n: n / 16))
