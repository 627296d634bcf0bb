"""Attention weighted by the length of what it brings: the norm of each a_ij v_j.

After Kobayashi et al. 2020, *Attention is Not Only a Weight*: a key that is attended to and has a
short value vector brings little. Here with the head's own value vectors; the paper multiplies them
with the head's part of the output matrix W_O first, which a capture does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.record import Head

    FloatArray = npt.NDArray[np.float32]


def value_norms(head: Head) -> FloatArray:
    """Return the length of each value vector, (T_k,) float32."""
    norms: FloatArray = np.linalg.norm(head.value.astype(np.float64), axis=1).astype(np.float32)
    return norms


def value_weighted(head: Head, *, share: bool = False) -> FloatArray:
    """Return the norm of a_ij v_j for each pair, (T_q, T_k) float32.

    Parameters
    ----------
    share
        Divide each row by its sum, so that it says which share of the lengths each key brings; a
        row of zeros stays one.
    """
    weighted: FloatArray = head.attention * value_norms(head)
    if share:
        total = weighted.sum(axis=1, keepdims=True)
        weighted /= np.where(total > 0, total, 1).astype(np.float32)
    return weighted
