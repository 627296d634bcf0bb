"""`euclidean`: -Pearson(q'.k', |q' - k'|²) over all pairs, as a closed form.

Derivation
----------
With y_j = k_j + a, x_ij = q_i.y_j, u_i = |q_i|² and w_j = |y_j|² the squared distance is

    D_ij = c² u_i + w_j / c² - 2 x_ij

so that six covariances over the allowed pairs (xx, xu, xw, uu, uw, ww) give Pearson(x, D) for every
scale c. Along a line of shifts a = base + s direction, u is constant and x and w - |b|² are linear
in s, where b = mean(k) + a is the same for all pairs: **the six are polynomials in s** of degree 2
at most. All vectors and all three variables are centred before anything is squared:

    x_ij - q̄.b = q̄.κ_j + p_i.y_j     u_i - |q̄|² = 2 q̄.p_i + |p_i|²     w_j - |b|² = |κ_j|² + 2 κ_j.b

with p_i = q_i - q̄ and κ_j = k_j - mean(k). As in `moments`, a sum over pairs is the sum within each
key (n_j allowed queries) and the sum between keys, from sums over queries that `masks` gives.

Where a variance is so small beside its terms that digits would be lost, the candidate is computed
from its pairs instead; and where those, in double precision, differ too little from each other,
from pairs of twice the precision (`exact_pairs`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.geometry.exact_pairs import ExactVectors, doubled, from_reference, plus, times
from attnviz_gui.geometry.masks import counted_pairs
from attnviz_gui.geometry.objectives.base import Objective
from attnviz_gui.geometry.objectives.pairs import finite, lengths
from attnviz_gui.geometry.pearson import (
    TOO_FEW_ALLOWED,
    Sums,
    no_pairs,
    not_finite,
    pearson,
    pool,
    sums_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.objectives.base import Candidates, HeadPairs, Line, Search
    from attnviz_gui.geometry.pearson import Outcome

    Float64 = npt.NDArray[np.float64]

EQUAL_SQUARED = "all Euclidean distances are equal"
# A variance below this share of the terms it is made of: digits are lost.
CANCELLED = 1e-4
# |k + a| of all keys below this share of |k|: what the mean of the keys was rounded by counts.
OPPOSITE = 2e-4
# What the rounding of a pair may change of r, in standard deviations: beyond it double precision
# does not do.
MOST_ROUNDING = 1e-11


def prepare(heads: Sequence[HeadPairs]) -> Search:
    """-Pearson(q'.k', |q' - k'|²), all allowed pairs of all heads as one set.

    Formula
        With |q' - k'|² = c² |q|² + |k + a|² / c² - 2 q.(k + a). Never per query: there c to
        infinity drops the keys' norms and wins with all keys in one point.
    Source
        AttentionViz's other reading of distance (Yeh et al., 2023), pooled over pairs.
    Range
        -1 to 1. Undefined (NaN) below two pairs, and where dot products or distances are all equal.
    Cost
        A closed form (this module): O(T d²) once, O(1) for every shift and scale along a line. For
        masks that are neither everything nor causal a pass over the pairs for each line.
    """
    several = list(heads)
    sound = finite(several)
    moments = [_Moments(head) for head in several] if sound else []

    def search(candidates: Candidates) -> Outcome:
        n = len(candidates.position)
        if not sound:
            return pearson(not_finite(n))
        parts, sizes = [], [np.zeros(n)]
        for head, line in zip(moments, candidates.lines, strict=True):
            sums, size = head.along(line, candidates.position, candidates.scale)
            parts.append(sums)
            sizes.append(size)
        return pearson(
            pool(parts),
            size_y=np.max(sizes, axis=0),
            too_few=TOO_FEW_ALLOWED,
            equal_y=EQUAL_SQUARED,
        )

    return search


class _Moments:
    """The moments of one head, from which every shift and scale follows."""

    def __init__(self, head: HeadPairs) -> None:
        every = np.ones(len(head.query), dtype=bool)
        rows, columns, pairs = counted_pairs(head.mask, every, len(head.key))
        self._empty = pairs is None
        if pairs is None:
            return
        q, k = head.query[rows], head.key[columns]
        self._pairs = pairs
        self._count = pairs.count
        self._total = float(pairs.count.sum())
        self._share = pairs.count / self._total
        self._query_size, self._raw_query, self._raw_key = float(lengths(q).max()), q, k
        self._exact_query: ExactVectors | None = None  # made where digits would be lost
        self._query_mean, self._key_mean = q.mean(axis=0), k.mean(axis=0)
        p = self._p = q - self._query_mean
        kappa = self._kappa = k - self._key_mean
        self._g = kappa @ self._query_mean
        self._kappa_size = np.einsum("td,td->t", kappa, kappa)

        u = 2 * (p @ self._query_mean) + np.einsum("td,td->t", p, p)
        self._u_constant = float(self._query_mean @ self._query_mean)
        mean_u = float(self._sum(pairs.gather(u[:, None]))[0]) / self._total
        self._u = u - mean_u
        self._u_constant += mean_u
        gathered = pairs.gather(
            np.column_stack([p, self._u[:, None] * p, self._u, self._u * self._u])
        )  # (T_k or 1, 2 d + 2)
        d = q.shape[1]
        self._s, self._r = gathered[:, :d], gathered[:, d : 2 * d]
        self._u_of_key = gathered[:, 2 * d] / pairs.count  # mean of u for each key
        within = gathered[:, 2 * d + 1] - gathered[:, 2 * d] * self._u_of_key
        self._uu = float(np.broadcast_to(within, self._count.shape).sum())
        self._uu += float(self._count @ self._u_of_key**2)
        self._uu_terms = float(self._sum(gathered[:, 2 * d + 1 :])[0])

        forms = pairs.form(p, p, kappa)  # S_j κ_j, (T_k, d)
        self._form = float(np.einsum("td,td->", forms, kappa))
        self._forms = 2 * forms.sum(axis=0)
        self._s_kappa = np.einsum("td,td->t", kappa, np.broadcast_to(self._s, kappa.shape))
        self._r_kappa = float(np.einsum("td,td->", kappa, np.broadcast_to(self._r, kappa.shape)))

    def _sum(self, gathered: Float64) -> Float64:
        """Return sums over keys of what `gather` returned (T_k or 1, m): (m,)."""
        total: Float64 = gathered.sum(axis=0)
        return total * len(self._count) if len(gathered) == 1 != len(self._count) else total

    def along(self, line: Line, position: Float64, scale: Float64) -> tuple[Sums, Float64]:
        """Return the sums of x and -D for n candidates, and a size that no D exceeds, (n,)."""
        n = len(position)
        if self._empty:
            return no_pairs(n), np.zeros(n)
        base, direction = line
        # About the line's nearest point to b = 0, so that its two terms never cancel each other.
        start, s = self._key_mean + base, position
        reach = float(direction @ direction)
        if reach > 0:
            nearest = float(start @ direction) / reach
            start, s = start - nearest * direction, position + nearest
        table, lost = self._polynomials(start, direction, s, scale)
        b = start + s[:, None] * direction
        b_size = np.einsum("nd,nd->n", b, b)
        reach_of_keys = float(lengths(self._kappa).max())
        lost |= reach_of_keys + np.sqrt(b_size) <= OPPOSITE * float(lengths(self._raw_key).max())
        for i in np.flatnonzero(lost):
            shift = base + position[i] * direction
            # Without the way along the line, whose rounding counts where a shift undoes the keys.
            b[i] = self._key_mean + shift
            table[:, i] = self._from_pairs(b[i], float(scale[i]), shift)
        b_size = np.einsum("nd,nd->n", b, b)
        constant = b @ self._query_mean
        table[1] += constant
        table[2] -= scale**2 * self._u_constant + b_size / scale**2 - 2 * constant
        longest = reach_of_keys + np.sqrt(b_size)  # no k + a is longer
        table[6] = self._query_size * longest
        return Sums(table), (scale * self._query_size + longest / scale) ** 2

    def _polynomials(
        self, start: Float64, direction: Float64, s: Float64, scale: Float64
    ) -> tuple[Float64, npt.NDArray[np.bool_]]:
        """Return the table of `Sums` (7, n), means without their constants, and what is lost."""
        ways = np.stack([start, direction])  # b = start + s direction
        p = self._p @ ways.T  # (T_q, 2)
        squares = self._sum(
            self._pairs.gather(np.stack([p[:, 0] ** 2, 2 * p[:, 0] * p[:, 1], p[:, 1] ** 2], 1))
        )
        linear = ways @ self._forms
        # Sums over pairs of (p_i.y_j)², and the sums within keys that are taken from them.
        raw = np.array([self._form + linear[0] + squares[0], linear[1] + squares[1], squares[2]])
        raw_terms = np.array([self._form + abs(linear[0]) + squares[0], *np.abs(raw[1:])])
        s_ways = np.broadcast_to(ways @ self._s.T, (2, len(self._count)))
        sy = np.stack([self._s_kappa + s_ways[0], s_ways[1]])  # s_j.y_j, (2, T_k)
        xx = raw - _product(sy / self._count, sy)
        xu = np.array([self._r_kappa, 0.0]) + self._sum((ways @ self._r.T).T)
        xu -= sy @ np.broadcast_to(self._u_of_key, self._count.shape)

        # Between keys, each about its mean over pairs.
        x = sy / self._count
        x[0] += self._g
        w = 2 * (ways @ self._kappa.T)
        w[0] += self._kappa_size
        mean_x, mean_w = x @ self._share, w @ self._share
        x, w = x - mean_x[:, None], w - mean_w[:, None]
        u = np.broadcast_to(self._u_of_key, self._count.shape)
        between = _product(self._count * x, x)
        xx, raw_terms = xx + between, raw_terms + np.abs(between)
        xu += x @ (self._count * u)
        xw, ww = _product(self._count * x, w), _product(self._count * w, w)
        uw = w @ (self._count * u)

        power = np.stack([np.ones(len(s)), s, s * s])
        xx_at, xw_at, ww_at = xx @ power, xw @ power, ww @ power
        xu_at, uw_at = xu @ power[:2], uw @ power[:2]
        xx_terms, ww_terms = raw_terms @ np.abs(power), np.abs(ww) @ np.abs(power)
        c2 = scale**2
        xd = c2 * xu_at + xw_at / c2 - 2 * xx_at
        dd = c2 * c2 * self._uu + ww_at / (c2 * c2) + 4 * xx_at
        dd += 2 * uw_at - 4 * c2 * xu_at - 4 * xw_at / c2
        dd_terms = c2 * c2 * self._uu_terms + ww_terms / (c2 * c2) + 4 * xx_terms
        lost = (xx_at < CANCELLED * xx_terms) | (dd < CANCELLED * dd_terms)
        mean_of_x = mean_x @ power[:2]
        mean_of_d = (mean_w @ power[:2]) / c2 - 2 * mean_of_x
        n = len(s)
        rows = [np.full(n, self._total), mean_of_x, -mean_of_d, xx_at, -xd, dd, np.zeros(n)]
        return np.stack(rows), lost

    def _from_pairs(self, b: Float64, scale: float, shift: Float64) -> Float64:
        """Return a column of `_polynomials`' table, (7,), by going through the pairs."""
        y = self._kappa + b
        w = self._kappa_size + 2 * (self._kappa @ b)
        parts = []
        for rows, keys, mask in self._pairs.blocks():
            x = self._p[rows] @ y[keys].T + self._g[keys]
            distance = scale**2 * self._u[rows, None] + w[keys] / scale**2 - 2 * x
            if mask is None:
                parts.append(sums_of(x.ravel(), -distance.ravel(), 0.0))
            else:
                parts.append(sums_of(x[mask], -distance[mask], 0.0))
        column: Float64 = pool(parts).table[:, 0]
        # What x and D are sums of, beside their spread: how much of it is rounding.
        size_x = lengths(self._p).max() * lengths(y).max() + np.abs(self._g).max()
        size_d = scale**2 * np.abs(self._u).max() + np.abs(w).max() / scale**2 + 2 * size_x
        least = min(np.sqrt(column[3]) * size_d, np.sqrt(column[5]) * size_x)
        rounding = 4 * float(np.finfo(np.float64).eps) * size_x * size_d
        if least * MOST_ROUNDING < rounding * np.sqrt(column[0]):
            return self._from_exact_pairs(b, scale, shift)
        return column

    def _from_exact_pairs(self, b: Float64, scale: float, shift: Float64) -> Float64:
        """Return what `_from_pairs` does for a shift a (d,), in twice double precision."""
        if self._exact_query is None:
            self._exact_query = ExactVectors(self._raw_query)
        keys_exact = ExactVectors(self._raw_key + shift)
        c2 = Fraction(scale) ** 2
        u = times(self._exact_query.squares, doubled(c2))
        w = times(keys_exact.squares, doubled(1 / c2))
        reference: list[float] = []
        parts = []
        for rows, keys, mask in self._pairs.blocks():
            x = self._exact_query.products(rows, keys_exact, keys)
            distance = plus(
                plus((u[0][rows, None], u[1][rows, None]), (w[0][keys], w[1][keys])),
                (-2 * x[0], -2 * x[1]),
            )
            allowed = np.ones(x[0].shape, dtype=bool) if mask is None else mask
            if not reference and allowed.any():
                reference = [float(x[0][allowed].mean()), float(distance[0][allowed].mean())]
            of_x, of_d = reference or (0.0, 0.0)
            parts.append(
                sums_of(
                    from_reference((x[0][allowed], x[1][allowed]), of_x),
                    -from_reference((distance[0][allowed], distance[1][allowed]), of_d),
                    0.0,
                )
            )
        column: Float64 = pool(parts).table[:, 0]
        # Means lack their constants, see `along`.
        constant = float(b @ self._query_mean)
        of_d = scale**2 * self._u_constant + float(b @ b) / scale**2 - 2 * constant
        column[1] += reference[0] - constant
        column[2] += of_d - reference[1]
        return column


def _product(left: Float64, right: Float64) -> Float64:
    """Return the sum over keys of the product of two linear functions of s: coefficients (3,)."""
    table = left @ right.T
    return np.array([table[0, 0], table[0, 1] + table[1, 0], table[1, 1]])


EUCLIDEAN = Objective(
    "euclidean",
    "a high dot product where the squared Euclidean distance is small: minus Pearson's r over all "
    "pairs",
    "the other reading of distance in AttentionViz (Yeh et al., 2023)",
    uses_scale=True,
    prepare=prepare,
    cost="closed",
    about_scale="c matters: it weighs the lengths of queries against those of keys, and has an "
    "inner optimum.",
)
