"""The definitions, written as plainly as they can be: loops, extended precision, no cleverness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

Long = np.longdouble


def cosine_objective(
    query: npt.ArrayLike, key: npt.ArrayLike, mask: npt.NDArray[np.bool_] | None = None
) -> float:
    """-Pearson(dot, cosine distance) over allowed pairs of vectors that are not zero."""
    return -pearson_of(pairs_of(query, key, mask))


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
