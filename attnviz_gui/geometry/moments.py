"""The closed form of Pearson(dot product, cosine distance), as a function of the shift a.

For T tokens and head dimension d: O(T d²) once, then O(T) for every candidate on a line of shifts
and O(T d) for any other shift; no T x T matrix, except for masks that are neither everything nor
causal (one pass when the head is prepared, one for every line). What belongs to a line is kept, so
that a slider that moves along it costs one pass over the keys for every frame.

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
that reason all vectors are turned until their first coordinate is the one along h (a Householder
reflection), and that of e_i is taken from such distances too. (Where keys point away from h, the
same with -h in its place.)

With G_j = mean(q).κ_j less the mean of x (both without mean(q).b), and w_j = -μ δ_j less the mean
of z, the sums over all pairs are

    xx = sum_j S_j(y, y)       + 2 G_j s_j.y      + n_j G_j²      S_j = sum_i W_ij p_i p_iᵀ
    xz = sum_j v_j (C_j(y, y)  + G_j r_j.y)       + w_j (n_j G_j + s_j.y)
    zz = sum_j v_j² E_j(y, y)  + 2 w_j v_j r_j.y  + n_j w_j²

for n_j allowed queries, s_j = sum_i W_ij p_i and r_j = sum_i W_ij e_i, C_j as S_j but of
(p eᵀ + e pᵀ) / 2 and E_j of e eᵀ. On a line b = b0 + t u, and with it y, is linear in t: **xx is
one polynomial in t**, and of xz and zz only v_j and δ_j are not polynomials of each key, so that
a candidate costs a square root, a division and a few products for each key. The coefficients are

    C_j(y, y) = C_j(κ_j, κ_j) + 2 C_j(b, κ_j) + C_j(b, b)

of which the first is taken once (`AllowedPairs.products`), the second as κ_j times a sum of
vectors (p_i.b) e_i + (e_i.b) p_i (`cross`), the third as a sum of numbers (`gather`). All sums over
i are one sum (everything allowed), suffix sums in blocks (causal) or products with W: see `masks`.

Where a key comes so near to zero, or a variance is so small beside its terms, that digits would
be lost after all, the candidate is computed from its pairs instead; and where those, in double
precision, differ too little from each other, from pairs of twice the precision (`exact_pairs`).

Pairs of a zero query or a zero key have no cosine and are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.arrays import as_mask, as_vectors, squarable
from attnviz_gui.geometry.buffers import Buffers
from attnviz_gui.geometry.exact_pairs import ExactVectors, from_reference
from attnviz_gui.geometry.masks import Everything, counted_pairs
from attnviz_gui.geometry.pearson import Sums, no_pairs, not_finite, pool, sums_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray
    from attnviz_gui.geometry.masks import TextPairs

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]

# Candidates times keys in a block: what stays in a core's cache.
BLOCK = 1 << 15
# |y|² or a variance below this share of the terms it is made of: digits are lost.
CANCELLED = 1e-4
# |k + a|² below this share of |k|²: what the mean of the keys was rounded by counts.
OPPOSITE = 4e-8
# So few pairs are always computed to twice double precision where they come here: each of them
# weighs much, and `few_pairs` has taken the plain ones.
FEW = 32
# What the rounding of a pair may change of r, in standard deviations: beyond it double precision
# does not do.
MOST_ROUNDING = 1e-11
EPSILON = float(np.finfo(np.float64).eps)
# A shift as near to a line as this, beside the size of its terms, lies on it.
ON_LINE = 4 * EPSILON
# The squares of vectors below this length may have lost digits.
TINY = 1e-140
# Nobody holds these arrays longer than a call.
_SCRATCH = Buffers()


@dataclass(frozen=True, eq=False)
class _Line:
    """What belongs to a line of shifts, b = start + t direction, with start at right angles to it.

    Polynomials in t are lists of coefficients from the constant on, (3, ...) or (2, ...).

    Attributes
    ----------
    base, along : (d,)
        The line as it was asked for: a = base + s along, t = s + nearest.
    nearest : float
    start, direction : (d,)
        Turned, as all vectors below.
    ends : (2, d)
        Start and direction, not turned.
    eta : (2, T_k)
        h.y.
    rest : (3, T_k)
        |y|² without the coordinate along h.
    risky : (n,) int
        Keys that come near zero somewhere on the line.
    xx, xx_terms : (3,)
        The sum xx, and what it is made of.
    mean_x : (2,)
        Mean of x, less mean(q).b.
    by_v, by_v2 : (T_k, 3), (T_k, 5)
        What a sum over keys weighs with v_j and v_j²: for xz; for zz. The last three of zz, from
        the square on down, are what it is made of.
    by_delta : (T_k, 2)
        n_j G_j + s_j.y.
    r : (2, T_k) or None
        r_j.y; None where it is 0.
    """

    base: Float64
    along: Float64
    nearest: float
    start: Float64
    direction: Float64
    ends: Float64
    eta: Float64
    rest: Float64
    risky: IndexArray
    xx: Float64
    xx_terms: Float64
    mean_x: Float64
    by_v: Float64
    by_v2: Float64
    by_delta: Float64
    r: Float64 | None


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
        self._line: _Line | None = None
        self._last: Float64 | None = None  # the last single shift
        self._finite = squarable(q, k)
        self._empty = True
        if not self._finite:
            return
        unit, norm = _directions(q)
        rows, columns, pairs = counted_pairs(allowed, norm > 0, len(k))
        if pairs is None:
            return
        self._empty = False
        if not rows.all():
            q, unit, norm = q[rows], unit[rows], norm[rows]
        if not columns.all():
            k = k[columns]
        self._raw_query, self._raw_key = q, k
        self._exact_query: ExactVectors | None = None  # made where digits would be lost
        self._pairs = pairs
        self._total = float(pairs.count.sum())
        self._query_size = float(norm.max())
        self._query_mean, self._key_mean = q.mean(axis=0), k.mean(axis=0)

        mean = unit.mean(axis=0)
        self._mu = float(np.sqrt(mean @ mean))
        self._h = mean / self._mu if self._mu > 1e-100 else np.eye(len(mean))[0]
        self._side = -1.0 if self._h[0] < 0 else 1.0
        self._mirror = self._h.copy()
        self._mirror[0] += self._side  # at right angles to the mirror that turns h to an axis

        # Queries in both ways side by side: (p, e), (T_q, 2 d).
        d = len(mean)
        both = self._both = np.empty((len(q), 2 * d))
        self._p, self._e = both[:, :d], both[:, d:]
        self._p[:] = self._turn(q - self._query_mean)
        self._e[:] = self._turn(unit)
        unit -= self._h
        self._e[:, 0] = -0.5 * np.einsum("td,td->t", unit, unit)
        self._e -= self._e.mean(axis=0)
        centred = k - self._key_mean
        self._near_opposite = OPPOSITE * np.einsum("td,td->t", k, k)
        self._x_of_key = centred @ self._query_mean  # mean(q).κ_j, (T_k,)
        kappa = self._kappa = self._turn(centred)  # (T_k, d)
        self._size_of_key = np.einsum("td,td->t", kappa, kappa)
        self._size_across = np.einsum("td,td->t", kappa[:, 1:], kappa[:, 1:])
        self._mean_along = float(pairs.count @ kappa[:, 0]) / self._total

        # Sums over queries for b = 0: a number, (T_k,) and (T_k,), and s_j.κ_j and r_j.κ_j.
        self._pp, self._pe, self._ee = pairs.products(both, kappa)
        sums = pairs.cross(np.ones((len(q), 1)), both, kappa)  # (2, T_k, 1)
        self._s, self._r = sums[:, :, 0]

    def at(self, shift: Float64) -> Sums:
        """Return the sums under one shift a, (d,)."""
        if not self._finite or self._empty:
            return self.along(shift, np.zeros_like(shift), np.zeros(1))
        line = self._line
        place = None if line is None else _place(line, shift)
        if line is not None and place is not None:
            return self._values(line, np.array([place]), shift[None])
        # The line through this shift and the one before: where a slider moves, the next lies on it.
        last, self._last = self._last, shift.copy()
        direction = np.zeros_like(shift) if last is None else shift - last
        line = self._line = self._line_of(shift, direction)
        return self._values(line, np.array([line.nearest]), shift[None])

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
        line = self._line
        if not (
            line is not None
            and np.array_equal(line.base, base)
            and np.array_equal(line.along, direction)
        ):
            line = self._line = self._line_of(base, direction)
        return self._values(line, position + line.nearest, base + position[:, None] * direction)

    def _values(self, line: _Line, t: Float64, shifts: Float64) -> Sums:
        """Return the sums at t (n,) of a line, where the shifts are (n, d)."""
        n, n_keys = len(t), len(self._raw_key)
        table = np.empty((7, n))
        lost = np.empty(n, dtype=bool)
        step = min(max(1, BLOCK // n_keys), max(n, 1))
        scratch = _SCRATCH.take((4, max(BLOCK, n_keys)))[:, : step * n_keys]
        scratch = scratch.reshape(4, step, n_keys)
        for first in range(0, n, step):
            part = slice(first, first + step)
            of_part = t[part]
            table[:, part], lost[part] = self._evaluate(line, of_part, scratch[:, : len(of_part)])
        lost |= self._total <= FEW
        for i in np.flatnonzero(lost):
            table[:, i] = self._from_pairs(shifts[i]).table[:, 0]
        constant = line.ends @ self._query_mean
        table[1] += constant[0] + t * constant[1]
        table[6] *= self._query_size
        return Sums(table)

    def _turn(self, vectors: Float64) -> Float64:
        """Return vectors (n, d) turned: the first coordinate along h."""
        along = vectors @ self._h
        factor = (along + self._side * vectors[:, 0]) / (1 + abs(self._h[0]))
        out: Float64 = vectors - factor[:, None] * self._mirror
        out[:, 0] = along
        return out

    def _line_of(self, base: Float64, along: Float64) -> _Line:
        # About the line's nearest point to b = 0, so that its two terms never cancel each other.
        begin, nearest = self._key_mean + base, 0.0
        reach = float(along @ along)
        if reach > 0:
            nearest = float(begin @ along) / reach
            begin = begin - nearest * along
        ends = np.stack([begin, along])
        ways = self._turn(ends)
        kappa, g, count, total = self._kappa, self._x_of_key, self._pairs.count, self._total

        along_h = ways[:, 0]
        products = 2 * (kappa @ ways.T).T  # (2, T_k)
        eta = np.empty((2, len(g)))
        eta[0] = kappa[:, 0] + along_h[0]
        eta[1] = along_h[1]
        across = ways[:, 1:]
        squares = across @ across.T
        rest = np.empty((3, len(g)))
        rest[:2] = 2 * (kappa[:, 1:] @ across.T).T
        rest[0] += self._size_across + squares[0, 0]
        rest[1] += 2 * squares[0, 1]
        rest[2] = squares[1, 1]
        size = self._size_of_key + float(begin @ begin)
        lowest = (1 - CANCELLED) * size + products[0]  # |y|² less its share of the terms
        if reach > 0:
            lowest -= products[1] ** 2 / (4 * (1 - CANCELLED) * reach)
        # With room for the rounding of the terms; keys are looked at one by one later.
        risky = np.flatnonzero(lowest <= np.maximum(CANCELLED * size, self._near_opposite))

        p, e = self._p @ ways.T, self._e @ ways.T  # (T_q, 2)
        columns = np.empty((len(p), 13))
        weights = columns[:, :4]
        weights[:, :2], weights[:, 2:] = p, e
        for first, a, b in ((4, p, p), (7, e, e), (10, p, e)):
            columns[:, first] = a[:, 0] * b[:, 0]
            columns[:, first + 1] = a[:, 0] * b[:, 1] + a[:, 1] * b[:, 0]
            columns[:, first + 2] = a[:, 1] * b[:, 1]
        of_p, of_e = self._pairs.cross(weights, self._both, kappa)  # (T_k, 4) each
        gathered = self._pairs.gather(columns).T  # (13, T_k or 1)
        pp, ee, pe = gathered[4:7], gathered[7:10], gathered[10:13]

        s, r = np.empty((2, len(g))), np.empty((2, len(g)))  # s_j.y, r_j.y
        s[0], s[1] = self._s + gathered[0], gathered[1]
        r[0], r[1] = self._r + gathered[2], gathered[3]
        by_pair = 1 / total
        mean_x = np.array([(g @ count + s[0].sum()) * by_pair, s[1].sum() * by_pair])
        gap = g - mean_x[0], -mean_x[1]  # G_j
        of_keys = np.array(
            [count @ gap[0] ** 2, 2 * gap[1] * float(count @ gap[0]), total * gap[1] ** 2]
        )
        per_key = len(g) / gathered.shape[1]
        squares_xx = pp.sum(axis=1) * per_key
        xx_terms = squares_xx + of_keys
        xx_terms[0] += self._pp
        xx = xx_terms + 2 * np.array(
            [
                of_p[:, 0].sum() + gap[0] @ s[0],
                of_p[:, 1].sum() + gap[0] @ s[1] + gap[1] * s[0].sum(),
                gap[1] * s[1].sum(),
            ]
        )
        by_v = np.empty((3, len(g)))
        by_v[0] = self._pe + (of_p[:, 2] + of_e[:, 0]) + pe[0]
        by_v[1] = of_p[:, 3] + of_e[:, 1] + pe[1]
        by_v[2] = pe[2]
        by_v2 = np.empty((5, len(g)))
        by_v2[2], by_v2[3], by_v2[4] = ee[2], ee[1], self._ee + ee[0]
        by_v2[1] = by_v2[3] + 2 * of_e[:, 3]
        by_v2[0] = by_v2[4] + 2 * of_e[:, 2]
        everything = isinstance(self._pairs, Everything)  # sum of e_i: 0
        if not everything:
            by_v[0] += gap[0] * r[0]
            by_v[1] += gap[0] * r[1] + gap[1] * r[0]
            by_v[2] += gap[1] * r[1]
        return _Line(
            base=base.copy(),
            along=along.copy(),
            nearest=nearest,
            start=ways[0],
            direction=ways[1],
            ends=ends,
            eta=eta,
            rest=rest,
            risky=risky,
            xx=xx,
            xx_terms=xx_terms,
            mean_x=mean_x,
            by_v=by_v.T,
            by_v2=by_v2.T,
            by_delta=np.column_stack([count * gap[0] + s[0], count * gap[1] + s[1]]),
            r=None if everything else r,
        )

    def _evaluate(self, line: _Line, t: Float64, scratch: Float64) -> tuple[Float64, BoolArray]:
        """Return the table of `Sums` (7, n), the size as that of keys, and where digits are lost.

        The mean of x lacks mean(q).b. `scratch` is (4, n, T_k).
        """
        eta, rest, v, v2 = scratch
        powers = np.empty((len(t), 3))
        powers[:, 0], powers[:, 1], powers[:, 2] = 1, t, t * t
        b = line.start + t[:, None] * line.direction
        b_size = np.einsum("nd,nd->n", b, b)
        side = np.where(b[:, 0] + self._mean_along < 0, -1.0, 1.0)
        np.matmul(side[:, None] * powers[:, :2], line.eta, out=eta)
        np.matmul(powers, line.rest, out=rest)
        np.multiply(eta, eta, out=v2)
        v2 += rest
        lost = np.zeros(len(t), dtype=bool)
        if line.risky.size:
            length2 = v2[:, line.risky]
            near_zero = length2 <= np.maximum(
                CANCELLED * (self._size_of_key[line.risky] + b_size[:, None]),
                self._near_opposite[line.risky],
            )
            lost |= near_zero.any(axis=1)
            v2[:, line.risky] = np.where(near_zero, 1, length2)
        np.sqrt(v2, out=v)
        np.divide(1, v, out=v)
        np.multiply(v, v, out=v2)
        eta *= v
        eta -= 1
        eta *= eta
        rest *= v2
        eta += rest  # twice δ

        count = self._pairs.count
        factor = -0.5 * self._mu * side
        all_xx, terms_xx = powers @ line.xx, powers @ line.xx_terms
        all_xz = np.einsum("nf,nf->n", v @ line.by_v, powers)
        of_zz = v2 @ line.by_v2  # (n, 5)
        all_zz = np.einsum("nf,nf->n", of_zz[:, :3], powers)
        terms_zz = np.einsum("nf,nf->n", of_zz[:, 2:], powers[:, ::-1])
        mean = eta @ count / self._total
        eta -= mean[:, None]
        common_z = factor * mean
        if line.r is not None:
            r = np.matmul(powers[:, :2], line.r, out=rest)
            r *= v
            # With their mean and that of δ apart, so that what is squared is centred.
            mean_r = r.sum(axis=1) / self._total
            common_z += mean_r
            eta *= factor[:, None]
            eta -= mean_r[:, None]
            all_zz += 2 * np.einsum("nt,nt->n", r, eta)
            factor = np.ones_like(t)
        all_xz += factor * np.einsum("nf,nf->n", eta @ line.by_delta, powers[:, :2])
        eta *= eta
        between = factor * factor * (eta @ count)
        all_zz += between
        terms_zz += between
        lost |= (all_xx < CANCELLED * terms_xx) | (all_zz < CANCELLED * terms_zz)
        size = np.sqrt(self._size_of_key.max()) + np.sqrt(b_size)
        table = np.empty((7, len(t)))
        table[0] = self._total
        table[1] = powers[:, :2] @ line.mean_x
        table[2] = common_z + self._mu * side
        table[3], table[4], table[5] = all_xx, all_xz, all_zz
        table[6] = size
        return table, lost

    def _from_pairs(self, shift: Float64) -> Sums:
        """Return what `_evaluate` does for one shift (d,), by going through the pairs."""
        shifted = self._raw_key + shift
        unit, length = _directions(shifted)
        counted = length > 0
        if not counted.any():
            return no_pairs(1)
        y, unit = self._turn(shifted), self._turn(unit)
        eta, rest = unit[:, 0], np.einsum("td,td->t", unit[:, 1:], unit[:, 1:])
        side = -1.0 if eta.sum() < 0 else 1.0
        delta = 0.5 * ((1 - side * eta) ** 2 + rest)
        parts = []
        for rows, keys, mask in self._pairs.blocks():
            x = self._p[rows] @ y[keys].T + self._x_of_key[keys]
            z = self._e[rows] @ unit[keys].T - side * self._mu * delta[keys]
            allowed = np.broadcast_to(counted[keys], x.shape)
            if mask is not None:
                allowed = np.logical_and(allowed, mask)
            parts.append(sums_of(x[allowed], z[allowed], float(length.max())))
        pooled = pool(parts)
        pooled.table[2] += side * self._mu
        # What x and z are sums of, beside their spread: how much of it is rounding.
        size = _longest(self._p) * length.max() + np.abs(self._x_of_key).max()
        count, _, _, xx, _, zz, _ = pooled.table[:, 0]
        least = min(np.sqrt(xx), size * np.sqrt(zz))
        rounding = 4 * EPSILON * size * np.sqrt(count)
        if self._total <= FEW or least * MOST_ROUNDING < rounding:
            return self._from_exact_pairs(shifted, counted, float(length.max()))
        return pooled

    def _from_exact_pairs(self, shifted: Float64, counted: BoolArray, longest: float) -> Sums:
        """Return what `_from_pairs` does, for keys k + a (T_k, d), in twice double precision."""
        if self._exact_query is None:
            self._exact_query = ExactVectors(self._raw_query)
        keys_exact = ExactVectors(shifted)
        reference: list[float] = []
        parts = []
        for rows, keys, mask in self._pairs.blocks():
            both = (
                self._exact_query.products(rows, keys_exact, keys),
                self._exact_query.cosines(rows, keys_exact, keys),
            )
            allowed = np.broadcast_to(counted[keys], both[0][0].shape)
            if mask is not None:
                allowed = np.logical_and(allowed, mask)
            if not reference and allowed.any():
                reference = [float(high[allowed].mean()) for high, _ in both]
            x, z = (
                from_reference((high[allowed], low[allowed]), middle)
                for (high, low), middle in zip(both, reference or (0.0, 0.0), strict=True)
            )
            parts.append(sums_of(x, z, longest))
        pooled = pool(parts)
        if reference:
            pooled.table[1] += reference[0] - self._query_mean @ (
                self._key_mean + shifted[0] - self._raw_key[0]
            )
            pooled.table[2] += reference[1]
        return pooled


def _directions(vectors: Float64) -> tuple[Float64, Float64]:
    """Return vectors (n, d) at length 1, 0 where they are zero, and their lengths (n,).

    Also where squares leave double precision; a length is above 0 where the vector is not zero.
    """
    length = np.sqrt(np.einsum("td,td->t", vectors, vectors))
    small = length < TINY
    if not small.any():
        return vectors / length[:, None], length
    size = np.abs(vectors[small]).max(axis=1)
    scaled = vectors[small] / np.where(size > 0, size, 1)[:, None]
    of_scaled = np.sqrt(np.einsum("td,td->t", scaled, scaled))
    unit = vectors / np.where(small, 1, length)[:, None]
    unit[small] = scaled / np.where(size > 0, of_scaled, 1)[:, None]
    length[small] = size * of_scaled
    return unit, length


def _longest(vectors: Float64) -> float:
    return float(np.sqrt(np.einsum("td,td->t", vectors, vectors).max()))


def _place(line: _Line, shift: Float64) -> float | None:
    """Return where on a line a shift lies, or None where it does not."""
    reach = float(line.along @ line.along)
    apart = shift - line.base
    s = float(apart @ line.along) / reach if reach > 0 else 0.0
    size = np.abs(line.base) + np.abs(shift) + abs(s) * np.abs(line.along)
    if (np.abs(apart - s * line.along) > ON_LINE * size.max()).any():
        return None
    return s + line.nearest
