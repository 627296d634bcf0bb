"""Groups of near vectors, by scikit-learn's k-means. scikit-learn is imported when it is asked."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

SEED = 0


def clusters(vectors: npt.ArrayLike, k: int) -> npt.NDArray[np.intp]:
    """Return the group of each vector, (N,), 0 the largest; the same for the same vectors.

    Fewer than `k` where there are fewer different vectors.

    Parameters
    ----------
    vectors : (N, d)
    k
        Number of groups.
    """
    points = np.asarray(vectors, dtype=np.float64)
    different = len(np.unique(points, axis=0)) if len(points) <= 4 * k else k
    k = min(k, different)
    if k < 2:
        return np.zeros(len(points), dtype=np.intp)
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Of very many vectors few may differ: then there are fewer groups, as is said above.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(k, n_init=4, random_state=SEED).fit(points).labels_
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.intp)
    rank[order] = np.arange(k)
    ranked: npt.NDArray[np.intp] = rank[found]
    return ranked
