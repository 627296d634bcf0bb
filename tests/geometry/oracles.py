"""The definitions, written as plainly as they can be: loops, extended precision, no cleverness."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Given = tuple[npt.ArrayLike, npt.ArrayLike, npt.NDArray[np.bool_] | None]

Long = np.longdouble


class Unclear(Exception):
    """So near to a tie, to a jump or to where nothing is defined that rounding decides."""


def cosine_objective(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> float:
    """-Pearson(dot, cosine distance) over allowed pairs of vectors that are not zero."""
    return -pearson_of(pairs_of(query, key, mask))


def exact_cosine_objective(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> float:
    """As `cosine_objective`, to 60 digits; `Unclear` where a side is equal but for its 14th."""
    with localcontext(prec=60):
        pairs = []
        for dot, aa, bb in _exact_pairs(query, key, mask):
            if aa and bb:
                length = (aa * bb).sqrt()
                pairs.append((dot, dot / length, length, Decimal(1)))
        return _exact_correlation(pairs)


def exact_euclidean_objective(
    query: npt.ArrayLike,
    key: npt.ArrayLike,
    mask: npt.NDArray[np.bool_] | None = None,
    scale: float = 1.0,
) -> float:
    """As `euclidean_objective` of one head and a scale, as `exact_cosine_objective`."""
    with localcontext(prec=60):
        c2 = Decimal(scale) ** 2
        pairs = []
        for dot, aa, bb in _exact_pairs(query, key, mask):
            longest = (c2.sqrt() * aa.sqrt() + bb.sqrt() / c2.sqrt()) ** 2
            pairs.append((dot, 2 * dot - c2 * aa - bb / c2, (aa * bb).sqrt(), longest))
        return _exact_correlation(pairs)


def _exact_pairs(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None
) -> list[tuple[Decimal, Decimal, Decimal]]:
    """q.k, |q|² and |k|² of each allowed pair."""
    q, k = (
        [[Fraction(float(x)) for x in row] for row in np.asarray(vectors, dtype=np.float64)]
        for vectors in (query, key)
    )
    return [
        tuple(
            _decimal(sum((x * y for x, y in zip(*both, strict=True)), Fraction()))
            for both in ((a, b), (a, a), (b, b))
        )
        for i, a in enumerate(q)
        for j, b in enumerate(k)
        if mask is None or mask[i, j]
    ]


def _exact_correlation(pairs: list[tuple[Decimal, Decimal, Decimal, Decimal]]) -> float:
    """Pearson's r of the first two of each, whose sizes are the last two."""
    if len(pairs) < 2:
        return math.nan
    mean_x, mean_z = (sum(pair[side] for pair in pairs) / len(pairs) for side in (0, 1))
    xx = sum((x - mean_x) ** 2 for x, *_ in pairs)
    zz = sum((z - mean_z) ** 2 for _, z, *_ in pairs)
    xz = sum((x - mean_x) * (z - mean_z) for x, z, *_ in pairs)
    for squares, side in ((xx, 2), (zz, 3)):
        size = max(pair[side] for pair in pairs)
        spread = (squares / len(pairs)).sqrt()
        if spread <= size * Decimal("1e-40"):
            return math.nan
        if spread < size * Decimal("1e-13"):
            raise Unclear
    return float(xz / (xx * zz).sqrt())


def _decimal(number: Fraction) -> Decimal:
    return Decimal(number.numerator) / Decimal(number.denominator)


def pairs_of(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> list[tuple[Long, Long]]:
    """Dot product and cosine distance of each pair that counts."""
    pairs = []
    for i, q in enumerate(np.asarray(query, dtype=Long)):
        for j, k in enumerate(np.asarray(key, dtype=Long)):
            if (mask is None or mask[i, j]) and q.any() and k.any():
                dot = sum((a * b for a, b in zip(q, k, strict=True)), Long(0))
                norms = np.sqrt(sum(a * a for a in q)) * np.sqrt(sum(b * b for b in k))
                pairs.append((dot, 1 - dot / norms))
    return pairs


def pearson_of(pairs: list[tuple[Long, Long]]) -> float:
    """Pearson's r; NaN below two pairs or where a side is all equal (but for its rounding)."""
    if len(pairs) < 2:
        return math.nan
    mean_x = sum(x for x, _ in pairs) / len(pairs)
    mean_y = sum(y for _, y in pairs) / len(pairs)
    xx = sum((x - mean_x) ** 2 for x, _ in pairs)
    yy = sum((y - mean_y) ** 2 for _, y in pairs)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    large = max(abs(x) for x, _ in pairs)
    if xx <= (1e-16 * large) ** 2 or yy <= 1e-16**2:
        return math.nan
    return float(xy / np.sqrt(xx * yy))


# A spread below this share of the values is too near to "all equal" for digits to be compared.
NEARLY_EQUAL = 1e-5


def correlation_of(
    pairs: Sequence[tuple[Long, Long]], weights: Sequence[Long] | None = None, size: float = 0.0
) -> float:
    """Weighted Pearson's r; NaN where a side is all equal; `Unclear` where it nearly is."""
    weights = [Long(1)] * len(pairs) if weights is None else weights
    if len(pairs) < 2:
        return math.nan
    total = sum(weights)
    mean = [sum(w * p[s] for w, p in zip(weights, pairs, strict=True)) / total for s in (0, 1)]
    products = [
        sum(w * (p[a] - mean[a]) * (p[b] - mean[b]) for w, p in zip(weights, pairs, strict=True))
        / total
        for a, b in ((0, 0), (0, 1), (1, 1))
    ]
    for side, variance in ((0, products[0]), (1, products[2])):
        spread = np.sqrt(variance)
        large = max(size, *(abs(p[side]) for p in pairs))
        if spread <= 1e-17 * large:
            return math.nan
        if spread <= NEARLY_EQUAL * large:
            raise Unclear
    return float(products[1] / np.sqrt(products[0] * products[2]))


def rank_objective(heads: Sequence[Given]) -> float:
    """Mean over queries of Spearman(dot, cosine), over keys that are allowed and not zero."""
    found = []
    for query, key, mask in heads:
        q, k = np.asarray(query, dtype=Long), np.asarray(key, dtype=Long)
        for i in range(len(q)):
            keys = [j for j in range(len(k)) if (mask is None or mask[i, j]) and k[j].any()]
            if not q[i].any() or not keys:
                continue
            dots = [_dot(q[i], k[j]) for j in keys]
            cosines = [_dot(q[i], k[j]) / _norm(q[i]) / _norm(k[j]) for j in keys]
            x = _average_ranks(dots, _norm(q[i]) * max(_norm(k[j]) for j in keys))
            r = pearson_of(list(zip(x, _average_ranks(cosines, Long(1)), strict=True)))
            if not math.isnan(r):
                found.append(r)
    return math.fsum(found) / len(found) if found else math.nan


def _average_ranks(values: Sequence[Long], size: Long) -> list[Long]:
    ranks = []
    for v in values:
        apart = [abs(w - v) for w in values]
        if any(1e-16 * size < gap < 1e-10 * size for gap in apart):
            raise Unclear
        below = sum(w < v and gap >= 1e-10 * size for w, gap in zip(values, apart, strict=True))
        equal = sum(gap < 1e-10 * size for gap in apart)
        ranks.append(Long(below) + Long(equal + 1) / 2)
    return ranks


def weighted_objective(heads: Sequence[Given], percentile: float = 0.5, least: int = 30) -> float:
    """-Pearson over the near pairs, weighted by how far below the percentile they are."""
    pairs, weights = [], []
    for query, key, mask in heads:
        of_head = pairs_of(query, key, mask)
        if len(of_head) < 2:
            continue
        distances = sorted(d for _, d in of_head)
        place = (len(distances) - 1) * Long(percentile) / 100
        low = int(place)
        high = min(low + 1, len(distances) - 1)
        limit = distances[low] + (place - low) * (distances[high] - distances[low])
        for x, d in of_head:
            if 1e-17 < abs(d - limit) < 1e-7:
                raise Unclear
            if d < limit - 1e-7:
                pairs.append((x, d))
                weights.append((limit - d) ** 2)
    if len(pairs) < least:
        return math.nan
    return -correlation_of(pairs, weights, size=1.0)


def euclidean_objective(heads: Sequence[Given]) -> float:
    """-Pearson(dot, squared distance) over allowed pairs."""
    pairs = []
    for query, key, mask in heads:
        q, k = np.asarray(query, dtype=Long), np.asarray(key, dtype=Long)
        for i in range(len(q)):
            for j in range(len(k)):
                if mask is None or mask[i, j]:
                    pairs.append((_dot(q[i], k[j]), _dot(q[i] - k[j], q[i] - k[j])))
    return -correlation_of(pairs)


def plane_objective(heads: Sequence[Given]) -> float:
    """-Pearson(dot, distance in the plane of the first two principal axes)."""
    pairs = []
    for query, key, mask in heads:
        q, k = np.asarray(query, dtype=Long), np.asarray(key, dtype=Long)
        q_xy, k_xy = principal_plane(q, k)
        for i in range(len(q)):
            for j in range(len(k)):
                if mask is None or mask[i, j]:
                    pairs.append((_dot(q[i], k[j]), _norm(q_xy[i] - k_xy[j])))
    return -correlation_of(pairs)


def neighbours_objective(
    heads: Sequence[Given], strongest: Sequence[Sequence[int]] | None = None
) -> float:
    """Share of queries whose strongest key has fewer than 5 allowed keys nearer in the plane."""
    counts, total = 0, 0
    for n, (query, key, mask) in enumerate(heads):
        q, k = np.asarray(query, dtype=Long), np.asarray(key, dtype=Long)
        q_xy, k_xy = principal_plane(q, k)
        extent = max(_norm(p) for p in (*q_xy, *k_xy)) ** 2
        for i in range(len(q)):
            keys = [j for j in range(len(k)) if mask is None or mask[i, j]]
            if not keys:
                continue
            best = (
                max(keys, key=lambda j: (_dot(q[i], k[j]), -j))
                if strongest is None
                else strongest[n][i]
            )
            own = _dot(q_xy[i] - k_xy[best], q_xy[i] - k_xy[best])
            gaps = [own - _dot(q_xy[i] - k_xy[j], q_xy[i] - k_xy[j]) for j in keys]
            if any(1e-12 * extent < gap < 1e-8 * extent for gap in gaps):
                raise Unclear
            counts += sum(gap > 1e-8 * extent for gap in gaps) < 5
            total += 1
    return counts / total if total else math.nan


def article_objective(heads: Sequence[Given]) -> float:
    """|Pearson(dot, cosine distance)| over the pairs at the same position, of all heads."""
    pairs = []
    for query, key, mask in heads:
        for i in range(min(len(query), len(key))):
            if mask is None or mask[i, i]:
                pairs += pairs_of([query[i]], [key[i]])
    return abs(correlation_of(pairs, size=1.0))


def principal_plane(
    query: npt.NDArray[Long], key: npt.NDArray[Long]
) -> tuple[npt.NDArray[Long], npt.NDArray[Long]]:
    """Coordinates on the first two principal axes of all points, by Jacobi's rotations."""
    points = np.concatenate([query, key])
    points = points - points.sum(axis=0) / len(points)
    d = points.shape[1]
    scatter = [[_dot(points[:, a], points[:, b]) for b in range(d)] for a in range(d)]
    axes = [[Long(a == b) for b in range(d)] for a in range(d)]  # axes[coordinate][axis]
    for _ in range(30):
        for p in range(d):
            for r in range(p + 1, d):
                if abs(scatter[p][r]) < Long(1e-300):
                    continue
                angle = Long(0.5) * np.arctan2(2 * scatter[p][r], scatter[r][r] - scatter[p][p])
                cos, sin = np.cos(angle), np.sin(angle)
                for row in scatter:
                    row[p], row[r] = cos * row[p] - sin * row[r], sin * row[p] + cos * row[r]
                for b in range(d):
                    up, down = scatter[p][b], scatter[r][b]
                    scatter[p][b], scatter[r][b] = cos * up - sin * down, sin * up + cos * down
                for row in axes:
                    row[p], row[r] = cos * row[p] - sin * row[r], sin * row[p] + cos * row[r]
    order = sorted(range(d), key=lambda a: -scatter[a][a])
    values = [scatter[a][a] for a in order]
    if d > 2 and values[1] - values[2] < 1e-4 * values[0] and values[1] > 1e-12 * values[0]:
        raise Unclear
    first = np.array([[row[a] for a in order[:2]] for row in axes], dtype=Long)
    xy = np.array([[_dot(p, first[:, a]) for a in range(first.shape[1])] for p in points])
    return xy[: len(query)], xy[len(query) :]


def _dot(a: npt.NDArray[Long], b: npt.NDArray[Long]) -> Long:
    return sum((x * y for x, y in zip(a, b, strict=True)), Long(0))


def _norm(a: npt.NDArray[Long]) -> Long:
    return np.sqrt(_dot(a, a))


def cosine_objective_of_arrays(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> float:
    """As `cosine_objective`, still in extended precision, for texts too long for loops."""
    q, k = np.asarray(query, dtype=Long), np.asarray(key, dtype=Long)
    dots = q @ k.T
    distances = 1 - dots / np.sqrt((q * q).sum(1))[:, None] / np.sqrt((k * k).sum(1))
    x, y = (m.ravel() if mask is None else m[mask] for m in (dots, distances))
    x, y = x - x.mean(), y - y.mean()
    return -float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def attention(
    query: npt.ArrayLike,
    key: npt.ArrayLike,
    scaling: float = 1.0,
    mask: npt.NDArray[np.bool_] | None = None,
    bias: npt.ArrayLike | None = None,
) -> npt.NDArray[np.float64]:
    """Softmax over the allowed keys; a query without any gets zeros."""
    q, k = np.asarray(query, dtype=np.float64), np.asarray(key, dtype=np.float64)
    out = np.zeros((len(q), len(k)))
    for i in range(len(q)):
        logits = {
            j: scaling * float(q[i] @ k[j]) + (0.0 if bias is None else float(bias[i, j]))
            for j in range(len(k))
            if mask is None or mask[i, j]
        }
        if logits:
            top = max(logits.values())
            total = math.fsum(math.exp(logit - top) for logit in logits.values())
            for j, logit in logits.items():
                out[i, j] = math.exp(logit - top) / total
    return out


def strongest_keys(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> list[int]:
    """Each query's allowed key of the largest dot product, the first of equals; -1 without one."""
    q, k = np.asarray(query, dtype=Long), np.asarray(key, dtype=Long)
    found = []
    for i in range(len(q)):
        keys = [j for j in range(len(k)) if mask is None or mask[i, j]]
        found.append(max(keys, key=lambda j: (_dot(q[i], k[j]), -j)) if keys else -1)
    return found
