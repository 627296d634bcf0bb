"""The closed form of Pearson(dot product, cosine distance), as a function of the shift a.

For T tokens and head dimension d: O(T d²) once, then O(T) for every candidate on a line of shifts
and O(T d) for any other shift; no T x T matrix, except for masks that are neither everything nor
causal (one pass when the head is prepared, one for every line).

Derivation
----------
Write y_j = k_j + a and v_j = 1 / |y_j|, û_i for the unit query, and W_ij for the mask. The scale c
changes neither dot product nor cosine, so it does not occur. The two variables of a pair are

    x_ij = q_i.y_j                      the dot product
    z_ij = v_j û_i.y_j                  the cosine; distance = 1 - z only turns r's sign

**No large number is ever subtracted from another**, which is what moments of raw sums would do.
Queries are centred, p_i = q_i - mean(q); unit queries too, e_i = û_i - m with m = mean(û) = μ h,
|h| = 1; and keys, y_j = κ_j + b with κ_j = k_j - mean(k) and b = mean(k) + a. Then

    x_ij = mean(q).b + mean(q).κ_j + p_i.y_j
    z_ij = μ - μ δ_j + v_j e_i.y_j      δ_j = 1 - h.y_j v_j, the key's cosine distance from h

where δ = ((1 - h.y v)² + v² |y - h h.y|²) / 2 loses no digit when y is almost parallel to h. For
that reason vectors are split into their part along h and the rest, d + 1 coordinates, and the
part of e_i along h is taken from such distances too. (Where keys point away from h, the same with
-h in its place.)

The law of total covariance over keys (n_j allowed queries each) gives, for xx, xz and zz alike,

    sum over pairs = sum_j (within key j) + sum_j n_j (mean of j - mean)²

    mean of j:   x: mean(q).κ_j + s_j.y_j / n_j          s_j = sum_i W_ij p_i
                 z: -μ δ_j + v_j r_j.y_j / n_j           r_j = sum_i W_ij e_i
    within j:    xx: y_jᵀ S_j y_j - (s_j.y_j)² / n_j     S_j = sum_i W_ij p_i p_iᵀ
                 (xz with p eᵀ and one v_j, zz with e eᵀ and v_j²)

(constants left out). Each y_jᵀ S_j y_j is κᵀSκ + 2 bᵀ(Sκ) + bᵀSb: the first a number and the second
a vector per key that are taken once; the third sum_i W_ij (p_i.b)², for a line b = b0 + t u a
quadratic in t. All sums over i are one sum (everything allowed), suffix sums (causal) or products
with W: see `masks`.

Where a key comes so near to zero, or a variance is so small beside its terms, that digits would
be lost after all, the candidate is computed from its pairs instead.

Pairs of a zero query or a zero key have no cosine and are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.arrays import as_mask, as_vectors, in_range
from attnviz_gui.geometry.masks import counted_pairs
from attnviz_gui.geometry.pearson import Sums, no_pairs, not_finite, pool, sums_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.masks import TextPairs

    Float64 = npt.NDArray[np.float64]

# Candidates times keys in a block: what stays in a core's cache.
BLOCK = 1 << 14
# |y|² or a variance below this share of the terms it is made of: digits are lost.
CANCELLED = 1e-4


class PairMoments:
    """The moments of one head's pairs, from which the correlation under every shift follows.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
    mask : (T_q, T_k) bool, or TextPairs, optional
        Allowed pairs, of one text or of many; without it all are.

    Raises
    ------
    InputError
        When the arrays' shapes do not fit.
    """

    def __init__(
        self,
        query: npt.ArrayLike,
        key: npt.ArrayLike,
        mask: npt.ArrayLike | TextPairs | None = None,
    ) -> None:
        q, k = as_vectors(query, key)
        allowed: BoolArray | TextPairs | None = as_mask(mask, (len(q), len(k)))
        self._finite = in_range(q, k)
        self._empty = True
        self._line: tuple[tuple[bytes, bytes], Float64, Float64] | None = None
        if not self._finite:
            return
        norm = np.sqrt(np.einsum("td,td->t", q, q))
        rows, columns, pairs = counted_pairs(allowed, norm > 0, len(k))
        if pairs is None:
            return
        q, norm, k = q[rows], norm[rows], k[columns]

        self._empty = False
        self._raw_key = k
        self._pairs = pairs
        self._query_size = float(norm.max())
        self._query_mean, self._key_mean = q.mean(axis=0), k.mean(axis=0)
        unit = q / norm[:, None]
        mean = unit.mean(axis=0)
        self._mu = float(np.sqrt(mean @ mean))
        self._h = mean / self._mu if self._mu > 1e-100 else np.eye(len(mean))[0]

        self._p = self._split(q - self._query_mean)  # (T_q, d + 1)
        self._e = self._split(unit)
        delta = 0.5 * np.square(unit - self._h).sum(axis=1)
        self._e[:, 0] = -delta
        self._e -= self._e.mean(axis=0)
        kappa = self._kappa = self._split(k - self._key_mean)  # (T_k, d + 1)
        self._x_of_key = (k - self._key_mean) @ self._query_mean  # mean(q).κ_j, (T_k,)

        p, e = self._p, self._e
        self._s, self._r = pairs.gather(p), pairs.gather(e)  # (T_k or 1, d + 1)
        forms = np.stack(
            [pairs.form(p, p, kappa), pairs.form(p, e, kappa), pairs.form(e, e, kappa)]
        )  # S_j κ_j, (3, T_k, d + 1)
        self._forms = 2 * forms
        # All that is linear in b, at b = 0; see `_linear`.
        self._constant = np.empty((7, len(kappa)))
        self._constant[0] = kappa[:, 0]
        self._constant[1] = np.einsum("td,td->t", kappa[:, 1:], kappa[:, 1:])
        self._constant[2:5] = np.einsum("ftd,td->ft", forms, kappa)
        self._constant[5] = np.einsum("td,td->t", kappa, np.broadcast_to(self._s, kappa.shape))
        self._constant[6] = np.einsum("td,td->t", kappa, np.broadcast_to(self._r, kappa.shape))
        self._size_of_key = self._constant[1] + kappa[:, 0] ** 2

    def at(self, shift: Float64) -> Sums:
        """Return the sums under one shift a, (d,)."""
        return self.along(shift, np.zeros_like(shift), np.zeros(1))

    def along(self, base: Float64, direction: Float64, position: Float64) -> Sums:
        """Return the sums under the shifts a = base + s direction.

        Parameters
        ----------
        base, direction : (d,)
        position : (n,)
            The positions s.
        """
        n = len(position)
        if not self._finite:
            return not_finite(n)
        if self._empty:
            return no_pairs(n)
        # About the line's nearest point to b = 0, so that its two terms never cancel each other.
        start, s = self._key_mean + base, position
        reach = float(direction @ direction)
        if reach > 0:
            nearest = float(start @ direction) / reach
            start, s = start - nearest * direction, position + nearest
            ways = np.stack([start, direction])  # (m, d): b = weights @ ways
            weights = np.stack([np.ones(n), s], axis=1)  # (n, m)
        else:
            ways, weights = start[None], np.ones((n, 1))
        split = self._split(ways)
        linear, square = self._on_line(base, direction, split)

        table = np.empty((7, n))
        lost = np.empty(n, dtype=bool)
        step = max(1, BLOCK // len(self._raw_key))
        for first in range(0, n, step):
            part = slice(first, first + step)
            table[:, part], lost[part] = self._evaluate(split, weights[part], linear, square)
        for i in np.flatnonzero(lost):
            table[:, i] = self._from_pairs(base + position[i] * direction).table[:, 0]
        table[1] += weights @ (ways @ self._query_mean)
        table[6] *= self._query_size
        return Sums(table)

    def _on_line(
        self, base: Float64, direction: Float64, split: Float64
    ) -> tuple[Float64, Float64]:
        """Return `_linear` and `_square` of a line; those of the last line are kept.

        A slider moves along one line, and they are most of what a single candidate costs.
        """
        line = base.tobytes(), direction.tobytes()
        kept = self._line
        if kept is None or kept[0] != line:
            kept = self._line = line, self._linear(split), self._square(split)
        return kept[1:]

    def _split(self, vectors: Float64) -> Float64:
        """Return the part along h and the rest of vectors (n, d): (n, d + 1)."""
        out = np.empty((len(vectors), len(self._h) + 1))
        out[:, 0] = vectors @ self._h
        out[:, 1:] = vectors - out[:, :1] * self._h
        return out

    def _linear(self, ways: Float64) -> Float64:
        """Return all that is linear in b per key: a constant and a factor per way, (m + 1, 7, T_k).

        The seven: h.y; |κ|² + 2 κ.b of the rest; κᵀSκ + 2 bᵀSκ of pp, pe and ee; s.y; r.y.
        """
        n_keys = len(self._kappa)
        out = np.empty((len(ways) + 1, 7, n_keys))
        out[0] = self._constant
        out[1:, 0] = ways[:, :1]
        out[1:, 1] = 2 * (ways[:, 1:] @ self._kappa[:, 1:].T)
        out[1:, 2:5] = (ways @ self._forms.reshape(3 * n_keys, -1).T).reshape(-1, 3, n_keys)
        out[1:, 5] = ways @ self._s.T
        out[1:, 6] = ways @ self._r.T
        return out

    def _square(self, ways: Float64) -> Float64:
        """Return bᵀSb of pp, pe, ee for each product of two ways, (m (m + 1) / 2, 3, T_k or 1)."""
        p, e = self._p @ ways.T, self._e @ ways.T  # (T_q, m)
        products = np.stack(
            [
                factor * part
                for a, b, factor in _ways_of_products(len(ways))
                for part in (
                    p[:, a] * p[:, b],
                    0.5 * (p[:, a] * e[:, b] + p[:, b] * e[:, a]),
                    e[:, a] * e[:, b],
                )
            ],
            axis=1,
        )
        gathered = self._pairs.gather(products)  # (T_k or 1, 3 m (m + 1) / 2)
        return np.ascontiguousarray(gathered.T).reshape(-1, 3, len(gathered))

    def _evaluate(
        self, ways: Float64, weights: Float64, linear: Float64, square: Float64
    ) -> tuple[Float64, npt.NDArray[np.bool_]]:
        """Return the table of `Sums` (7, n), the size as that of keys, and where digits are lost.

        The mean of x lacks mean(q).b.
        """
        n = len(weights)
        ones = np.ones((n, 1))
        table = np.concatenate([ones, weights], axis=1) @ linear.reshape(len(linear), -1)
        eta, rest, xx, xz, zz, s, r = table.reshape(n, 7, -1).swapaxes(0, 1)  # (n, T_k) each
        products = np.stack(
            [weights[:, a] * weights[:, b] for a, b, _ in _ways_of_products(len(ways))], axis=1
        )
        squares = products @ square.reshape(len(square), -1)
        bxx, bxz, bzz = squares.reshape(n, 3, -1).swapaxes(0, 1)  # bᵀSb, (n, T_k or 1)
        b = weights @ ways
        b_rest = np.einsum("nd,nd->n", b[:, 1:], b[:, 1:])[:, None]
        b_size = b_rest + b[:, :1] ** 2

        rest += b_rest
        np.maximum(rest, 0, out=rest)
        length2 = eta * eta + rest
        near_zero = length2 <= CANCELLED * (self._size_of_key + b_size)
        lost = near_zero.any(axis=1)
        length2[near_zero] = 1
        v2 = 1 / length2
        v = np.sqrt(v2)
        eta *= v
        count = self._pairs.count
        total = count.sum()
        share = count / total
        side = np.where(eta @ share < 0, -1.0, 1.0)  # (n,)
        eta *= side[:, None]
        np.subtract(1, eta, out=eta)
        delta = 0.5 * (eta * eta + rest * v2)

        per_pair = 1 / count
        terms_xx = (self._constant[2] + bxx).sum(axis=1)
        terms_zz = np.einsum("nt,nt->n", self._constant[4] + bzz, v2)
        mean_x = self._x_of_key + s * per_pair
        mean_z = v * r * per_pair - (self._mu * side)[:, None] * delta
        xx += bxx - s * s * per_pair
        xz += bxz - s * r * per_pair
        zz += bzz - r * r * per_pair

        common_x, common_z = mean_x @ share, mean_z @ share
        mean_x -= common_x[:, None]
        mean_z -= common_z[:, None]
        all_xx = xx.sum(axis=1) + (mean_x * mean_x) @ count
        all_xz = np.einsum("nt,nt->n", xz, v) + (mean_x * mean_z) @ count
        all_zz = np.einsum("nt,nt->n", zz, v2) + (mean_z * mean_z) @ count
        lost |= (all_xx < CANCELLED * terms_xx) | (all_zz < CANCELLED * terms_zz)
        common_z += self._mu * side
        size = np.sqrt(length2.max(axis=1))
        rows = [np.full(n, total), common_x, common_z, all_xx, all_xz, all_zz, size]
        return np.stack(rows), lost

    def _from_pairs(self, shift: Float64) -> Sums:
        """Return what `_evaluate` does for one shift (d,), by going through the pairs."""
        y = self._split(self._raw_key + shift)
        length = np.sqrt(np.einsum("td,td->t", y, y))
        counted = length > 0
        if not counted.any():
            return no_pairs(1)
        v = np.divide(1, length, out=np.zeros_like(length), where=counted)
        eta, rest = y[:, 0] * v, np.einsum("td,td->t", y[:, 1:], y[:, 1:]) * v * v
        side = -1.0 if eta.sum() < 0 else 1.0
        delta = 0.5 * ((1 - side * eta) ** 2 + rest)
        parts = []
        for rows, keys, mask in self._pairs.blocks():
            x = self._p[rows] @ y[keys].T + self._x_of_key[keys]
            z = (self._e[rows] @ y[keys].T) * v[keys] - side * self._mu * delta[keys]
            allowed = np.broadcast_to(counted[keys], x.shape)
            if mask is not None:
                allowed = np.logical_and(allowed, mask)
            parts.append(sums_of(x[allowed], z[allowed], float(length.max())))
        pooled = pool(parts)
        pooled.table[2] += side * self._mu
        return pooled


def _ways_of_products(n_ways: int) -> list[tuple[int, int, float]]:
    """Return the products of two ways: which two, and how often each occurs in bᵀSb."""
    return [(a, b, 1.0 if a == b else 2.0) for a in range(n_ways) for b in range(a, n_ways)]
