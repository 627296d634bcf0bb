"""Which pairs get a line in the plane: each query's most attended key, or the top entries.

Only the attention decides; nothing here knows about the plane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    IndexArray = npt.NDArray[np.intp]


def strongest_keys(attention: npt.ArrayLike, mask: npt.ArrayLike | None = None) -> IndexArray:
    """Return each query's most attended key, (T_q,); the first of equals, -1 where there is none.

    Parameters
    ----------
    attention : (T_q, T_k)
    mask : (T_q, T_k) bool, optional
        Pairs that are allowed; without it all are. A query with no allowed key has none.
    """
    weights = np.asarray(attention)
    if not weights.shape[1]:
        return np.full(weights.shape[0], -1, dtype=np.intp)
    allowed = None if mask is None else np.asarray(mask, dtype=bool)
    if allowed is not None and not allowed.all():
        weights = np.where(allowed, weights, -np.inf)
    best: IndexArray = weights.argmax(axis=1)
    if allowed is not None:
        best[~allowed.any(axis=1)] = -1
    return best


def strongest_pairs(
    attention: npt.ArrayLike, mask: npt.ArrayLike | None = None
) -> tuple[IndexArray, IndexArray]:
    """Return query and key indices of each query's most attended key, queries without one left out.

    What `Frame.line_lengths` takes; see `strongest_keys`.
    """
    keys = strongest_keys(attention, mask)
    queries = np.flatnonzero(keys >= 0)
    return queries, keys[queries]


def top_entries(attention: npt.ArrayLike, n: int) -> tuple[IndexArray, IndexArray]:
    """Return query and key indices of the `n` strongest entries of the whole matrix.

    Strongest first; equals in the order of the matrix, row by row. Entries of exactly 0 (masked
    pairs) are no attention and never count, so fewer than `n` may come back.

    Parameters
    ----------
    attention : (T_q, T_k)
    n : int
    """
    weights = np.asarray(attention)
    flat = weights.ravel()
    n = min(max(n, 0), flat.size)
    if n == 0:
        none = np.empty(0, dtype=np.intp)
        return none, none
    threshold = np.partition(flat, flat.size - n)[flat.size - n]
    chosen = np.flatnonzero((flat >= threshold) & (flat > 0))
    chosen = chosen[np.argsort(-flat[chosen], kind="stable")][:n]
    queries, keys = np.unravel_index(chosen, weights.shape)
    return queries, keys
