"""Two ways beyond one shift and one scale: the balancing transform, and the lifted space.

Both take vectors and return vectors; neither knows of sliders, masks or planes.

**Balancing.** For every invertible M, queries M q and keys M⁻ᵀk have the products of q and k. One M
makes the covariances of the two sides equal and diagonal at once, so that no direction belongs to
queries or keys alone (the balancing of control theory: Moore, Principal component analysis in
linear systems, 1981, applied to queries and keys).

**Lifting.** One more coordinate makes all keys equally long and leaves every product as it is.
Then both |q' - k'|² = |q'|² + R² - 2 q'.k' and the cosine distance fall where the product rises,
query by query: distance ranks the keys exactly as the attention does (Bachrach et al., Speeding
up the Xbox recommender system using a Euclidean transformation for inner-product spaces, 2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_float64, as_vectors, in_range

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

# Added to every direction's variance, as a share of the mean variance over directions. It bounds
# the condition number of M by sqrt(d / RIDGE), also with fewer tokens than dimensions.
RIDGE = 1e-4
# A spread below this share of the vectors' size is the rounding of equal vectors.
ROUNDING = 16 * np.finfo(np.float64).eps


def balancing(query: npt.ArrayLike, key: npt.ArrayLike) -> Float64:
    """Return M, (d, d), for which M q and M⁻ᵀk have equal, diagonal covariances.

    Formula: with the covariances C_q = R Rᵀ and Rᵀ C_k R = U Σ² Uᵀ, M = Σ^½ Uᵀ R⁻¹; both sides
    then have the covariance Σ. Covariances are taken about the means and have `RIDGE` of their
    mean variance added to their diagonal, so the two sides are equal up to that. Source: the
    module's docstring. Cost: O(T d² + d³), once.

    Rows of M go from the largest variance to the smallest, each with its largest coordinate above
    zero.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)

    Returns
    -------
    (d, d)
        The identity where one side has no spread at all (one token, or all equal): nothing can be
        balanced with it.

    Raises
    ------
    InputError
        When the arrays are no queries and keys of one head, or hold NaN or infinity.
    """
    q, k = as_vectors(query, key)
    if not in_range(q, k):
        raise InputError(
            "The queries or keys hold NaN or infinity (or numbers beyond 1e60), "
            "so they cannot be balanced."
        )
    d = q.shape[1]
    of_query, query_spread = _correlated(q)
    of_key, key_spread = _correlated(k)
    if of_query is None or of_key is None:
        return np.eye(d)
    ridge = RIDGE * np.eye(d)
    root = np.linalg.cholesky(of_query + ridge)
    values, vectors = np.linalg.eigh(root.T @ (of_key + ridge) @ root)
    values, vectors = values[::-1], vectors[:, ::-1]
    # From Σ² to Σ^½. The ridge keeps the values far above zero; maximum only guards the rounding.
    quarter = np.maximum(values, np.finfo(np.float64).tiny) ** 0.25
    transform = quarter[:, None] * np.linalg.solve(root.T, vectors).T
    largest = transform[np.arange(d), np.abs(transform).argmax(axis=1)]
    transform *= np.where(largest < 0, -1, 1)[:, None]
    balanced: Float64 = transform * np.sqrt(key_spread / query_spread)
    return balanced


def _correlated(vectors: Float64) -> tuple[Float64 | None, float]:
    """Return the covariance (d, d) with mean variance 1, and the root of its mean variance.

    None where all vectors are equal, but for rounding.
    """
    if not len(vectors):
        return None, 0.0
    centred = vectors - vectors.mean(axis=0)
    size = float(np.abs(centred).max())
    if size <= ROUNDING * float(np.abs(vectors).max()):
        return None, 0.0
    centred /= size  # so that no square leaves double precision, above or below
    scatter = centred.T @ centred
    mean = float(np.trace(scatter)) / len(scatter)
    return scatter / mean, size * float(np.sqrt(mean / len(vectors)))


def transform_vectors(
    query: npt.ArrayLike, key: npt.ArrayLike, transform: npt.ArrayLike
) -> tuple[Float64, Float64]:
    """Return M q, (T_q, d), and M⁻ᵀk, (T_k, d), whose products are those of q and k.

    Cost: O(T d² + d³).

    Raises
    ------
    InputError
        When M is no invertible (d, d) matrix of finite numbers, or the shapes do not fit.
    """
    q, k = as_vectors(query, key)
    matrix = checked_transform(transform)
    if len(matrix) != q.shape[1]:
        raise InputError(
            f"The transform is for {len(matrix)} coordinates, "
            f"but queries and keys have {q.shape[1]}."
        )
    return q @ matrix.T, inverse_transposed(k, matrix)


def inverse_transposed(vectors: Float64, transform: Float64) -> Float64:
    """Return M⁻ᵀx of each vector x (T, d), (T, d). Cost: O(T d² + d³)."""
    solved = np.linalg.solve(transform.T, vectors.T).T
    return np.ascontiguousarray(solved, dtype=np.float64)


def checked_transform(transform: npt.ArrayLike) -> Float64:
    """Return an invertible matrix (d, d) in float64.

    Raises
    ------
    InputError
        When it is not square, not finite or has no inverse that double precision can find.
    """
    matrix = as_float64(transform, "The transform")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise InputError(
            f"The transform must be a matrix (head_dim, head_dim), not {matrix.shape}."
        )
    if not in_range(matrix):
        raise InputError("The transform holds NaN or infinity (or numbers beyond 1e60).")
    sizes = np.linalg.svd(matrix, compute_uv=False)
    if sizes[-1] <= len(matrix) * np.finfo(np.float64).eps * sizes[0]:
        raise InputError("The transform has no inverse, so the products cannot be kept.")
    return matrix


def lift(query: npt.ArrayLike, key: npt.ArrayLike) -> tuple[Float64, Float64]:
    """Return queries and keys with one more coordinate, with which all keys are equally long.

    Formula: q' = (q, 0), k' = (k, sqrt(R² - |k|²)) with R the length of the longest key; products
    stay as they are. Source: the module's docstring. Cost: O(T d).

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
        As they are to be lifted: already shifted and scaled.

    Returns
    -------
    query, key : (T_q, d + 1), (T_k, d + 1)

    Raises
    ------
    InputError
        When the arrays are no queries and keys of one head.
    """
    q, k = as_vectors(query, key)
    return (
        np.concatenate([q, np.zeros((len(q), 1))], axis=1),
        np.concatenate([k, lifted_coordinate(k)[:, None]], axis=1),
    )


def lifted_coordinate(key: Float64) -> Float64:
    """Return sqrt(R² - |k|²) of each key (T_k, d), (T_k,), with R the length of the longest.

    See `lifted_root` for how digits are kept. Cost: O(T d).
    """
    if not len(key):
        return np.zeros(0)
    mean = key.mean(axis=0)
    centred = key - mean
    return lifted_root(np.einsum("td,td->t", centred, centred), centred @ mean, mean)


def lifted_root(square: Float64, along: Float64, mean: Float64) -> Float64:
    """Return sqrt(R² - |k|²) of each key, (T_k,), from its parts about the keys' mean.

    With k = κ + b and b the mean, |k|² = |κ|² + 2 κ.b + |b|², and |b|² is the same for all: it is
    never added, so no digit is lost where keys are long and alike. What is left is 0 where it is
    no more than the rounding of |k|².

    Parameters
    ----------
    square, along : (T_k,)
        |κ|² and κ.b of each key.
    mean : (d,)
        The mean b.
    """
    size = square + 2 * along
    highest = float(size.max(initial=-np.inf))
    below: Float64 = highest - size
    rounding = ROUNDING * (float(square.max(initial=0)) + float(mean @ mean))
    below[below <= rounding] = 0
    return np.sqrt(below)
