"""Pearson(dot product, cosine distance) as a function of the shift a, for few pairs.

Where a head has about as many tokens as dimensions, all pairs once are less work than the moments
of `moments`, and raw sums less than centred ones. With X_ij = q_i.(k_j + a0), g_i = q_i.u,
w_i = 1 / |q_i| and v_j = 1 / |k_j + a|, on the line a = a0 + t u,

    x_ij = X_ij + t g_i              the dot product
    z_ij = w_i v_j (X_ij + t g_i)    the cosine; distance = 1 - z only turns r's sign

so that every sum over pairs is one over keys, of v_j or v_j² times a polynomial in t whose
coefficients are sums over queries of w_i^p, g_i, X_ij and X_ij²: one T x T product for a line, and
O(T) for every candidate.

Raw sums subtract large numbers from each other where a mean is large beside the spread. That is
seen in the sums themselves: such a candidate is left to `moments`, which never does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.arrays import as_mask, as_vectors, squarable
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.pearson import Sums

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray

    Float64 = npt.NDArray[np.float64]

# Tokens for each dimension up to which all pairs are the cheaper way.
MOST_TOKENS = 4
# |k + a|² below this share of its terms has lost digits.
NEAR_ZERO = 1e-2
# A sum of squares may be so many times the variance: three digits of sixteen are lost, not more.
MOST_LOST = 300.0
# |q|² |k + a|² may be so many times the variance of the dot product, whose rounding it is.
MOST_LENGTH = 1e4
# The variance of a cosine below which its own rounding counts.
LEAST_SPREAD = 1e-6
# The square of a query's length below which it may have lost digits.
TINY = 1e-280


def few_or_many(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.ArrayLike | TextPairs | None
) -> FewPairs | PairMoments:
    """Return what computes the sums of a head's pairs under many shifts with the least work.

    Raises
    ------
    InputError
        When the arrays' shapes do not fit.
    """
    q, k = as_vectors(query, key)
    if isinstance(mask, TextPairs) or max(len(q), len(k)) > MOST_TOKENS * q.shape[1]:
        return PairMoments(q, k, mask)
    return FewPairs(q, k, mask)


class FewPairs:
    """The pairs of one head that has few; as `PairMoments`, for many candidates on a line.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
    mask : (T_q, T_k) bool, optional
        Allowed pairs; without it all are.

    Raises
    ------
    InputError
        When the arrays' shapes do not fit.
    """

    def __init__(
        self, query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.ArrayLike | None = None
    ) -> None:
        self._query, self._key = as_vectors(query, key)
        q, k = self._query, self._key
        self._mask: BoolArray | None = as_mask(mask, (len(q), len(k)))
        self.moments: PairMoments | None = None  # made where digits would be lost
        length = np.einsum("td,td->t", q, q)
        self._of_key = np.einsum("td,td->t", k, k)
        # Zero, tiny, huge and missing vectors are for the careful way.
        self._plain = bool(
            len(q) * len(k) > 1
            and length.min() > TINY
            and squarable(q, k)
            and (self._mask is None or self._mask.any(axis=0).all())
        )
        if not self._plain:
            return
        self._size = float(np.sqrt(length.max()))
        self._length = float(length.sum())
        self._inverse = 1 / np.sqrt(length)
        self._weight = None if self._mask is None else self._mask.astype(np.float64)
        pairs = q @ k.T
        self._pairs = pairs if self._weight is None else pairs * self._weight

    def along(self, base: Float64, direction: Float64, position: Float64) -> Sums:
        """Return the sums under the shifts a = base + s direction.

        Parameters
        ----------
        base, direction : (d,)
        position : (n,)
            The positions s.
        """
        if not self._plain:
            return self._carefully(base, direction, position)
        table, lost = self._evaluate(base, direction, position)
        if lost.any():
            table[:, lost] = self._carefully(base, direction, position[lost]).table
        return Sums(table)

    def _carefully(self, base: Float64, direction: Float64, position: Float64) -> Sums:
        if self.moments is None:
            self.moments = PairMoments(self._query, self._key, self._mask)
        return self.moments.along(base, direction, position)

    def _evaluate(self, base: Float64, direction: Float64, t: Float64) -> tuple[Float64, BoolArray]:
        """Return the table of `Sums` (7, n), and where digits are lost (n,)."""
        q, k, w, weight = self._query, self._key, self._inverse, self._weight
        ends = np.array([base, direction])
        (b0, bu), (_, uu) = (ends @ ends.T).tolist()
        start, g = ends @ q.T  # (T_q,) each
        of_key = 2 * (ends @ k.T)  # (2, T_k)
        pairs = self._pairs  # X
        if base.any():
            pairs = pairs + (start[:, None] if weight is None else start[:, None] * weight)

        # Sums over queries, for each key: of X, of X², and without X.
        one, wg, ww = np.ones(len(q)), w * g, w * w
        x1, gx, wx, wgx, wwgx = np.array([one, g, w, wg, w * wg]) @ pairs
        x2, wx2, wwx2 = np.array([one, w, ww]) @ (pairs * pairs)
        alone = np.array([one, g, g * g, wg, wg * g, wg * wg])
        # Where all pairs are allowed, the same for every key.
        of_g, keys = (alone.sum(axis=1), len(k)) if weight is None else (alone @ weight, 1)

        n = float(of_g[0].sum() * keys)
        t2 = t * t
        x = (x1.sum() + t * (of_g[1].sum() * keys)) / n
        fixed, far = x2.sum(), t2 * (of_g[2].sum() * keys)
        xx = fixed + t * (2 * gx.sum()) + far - n * x * x
        xx_terms = 2 * (fixed + far)

        a_size = b0 + t * (2 * bu) + t2 * uu  # |a|²
        squares = np.empty((3, len(k)))  # |k + a|², a polynomial in t
        squares[0] = self._of_key + of_key[0] + b0
        squares[1] = of_key[1] + 2 * bu
        squares[2] = uu
        v = np.array([np.ones(len(t)), t, t2]).T @ squares
        lost = self._near_zero(v, squares, t, a_size)
        np.sqrt(v, out=v)
        np.divide(1, v, out=v)
        by_v = np.empty((5, len(k)))
        by_v[0], by_v[1], by_v[2], by_v[3], by_v[4] = wx, of_g[3], wx2, 2 * wgx, of_g[4]
        of_v = by_v @ v.T  # (5, n)
        np.multiply(v, v, out=v)
        by_v2 = np.empty((3, len(k)))
        by_v2[0], by_v2[1], by_v2[2] = wwx2, 2 * wwgx, of_g[5]
        of_v2 = by_v2 @ v.T
        z = (of_v[0] + t * of_v[1]) / n
        xz = of_v[2] + t * of_v[3] + t2 * of_v[4] - n * x * z
        fixed, far = of_v2[0], t2 * of_v2[2]
        zz = fixed + t * of_v2[1] + far - n * z * z
        zz_terms = 2 * (fixed + far)

        longest = np.sqrt(self._of_key.max()) + np.sqrt(a_size)
        kept = xx_terms <= MOST_LOST * xx
        kept &= zz_terms <= MOST_LOST * zz
        kept &= self._length * len(k) * longest**2 <= MOST_LENGTH * xx
        kept &= zz >= LEAST_SPREAD * n
        table = np.array([np.full(len(t), n), x, z, xx, xz, zz, self._size * longest])
        return table, lost | ~kept

    def _near_zero(self, v: Float64, squares: Float64, t: Float64, a_size: Float64) -> BoolArray:
        """Return under which candidates a key comes so near to zero that digits are lost (n,).

        `v` (n, T_k) holds |k + a|², which is set to 1 there.
        """
        lost = np.zeros(len(t), dtype=bool)
        reach = float(np.abs(t).max(initial=0))
        least = squares[0] - np.abs(squares[1]) * reach  # |k + a|² is nowhere less
        most = self._of_key + a_size.max(initial=0)
        risky = np.flatnonzero(least <= NEAR_ZERO * most)
        if risky.size:
            some = v[:, risky]
            near = some <= NEAR_ZERO * (self._of_key[risky] + a_size[:, None])
            lost |= near.any(axis=1)
            v[:, risky] = np.where(near, 1, some)
        return lost
