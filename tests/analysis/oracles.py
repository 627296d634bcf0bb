"""Measures of heads in plain loops, straight from their definitions."""

from __future__ import annotations

import math


def measures(attention, mask, tokens, special, *, with_special=True, same=True):
    """Every measure by name, NaN where undefined; `tokens` are both queries and keys."""
    n_q, n_k = attention.shape
    queries = [i for i in range(n_q) if with_special or not (same and special[i])]
    seen = [j for j in range(n_k) if any(mask[i, j] for i in queries)]
    keys = [j for j in seen if with_special or not special[j]]
    rows = {}
    for i in queries:
        total = sum(float(attention[i, j]) for j in keys)
        if total > 0:
            rows[i] = {j: float(attention[i, j]) / total for j in keys}

    def mean(values):
        values = [v for v in values if v is not None]
        return sum(values) / len(values) if values else math.nan

    def entropy(row):
        return -sum(p * math.log2(p) for p in row.values() if p > 0)

    def visible(i):
        return sum(1 for j in keys if mask[i, j])

    def earlier(i):
        return [j for j in keys if j < i and tokens[j] == tokens[i]]

    def followers(i):
        before = [j for j in range(i) if tokens[j] == tokens[i]]
        if not with_special:
            before = [j for j in before if not special[j]]
        return [j + 1 for j in before if j + 1 in keys and j + 1 < i]

    def over(i, wanted):
        return sum(rows[i][j] for j in wanted) if wanted else None

    found = {
        "entropy": mean(entropy(row) for row in rows.values()),
        "entropy_normalised": mean(
            entropy(row) / math.log2(visible(i)) if visible(i) > 1 else None
            for i, row in rows.items()
        ),
        "first": mean(rows[i][keys[0]] for i in rows if not (same and i == keys[0])),
        "special": mean(sum(row[j] for j in keys if special[j]) for row in rows.values())
        if with_special and any(special)
        else math.nan,
        "confidence": mean(max(row.values()) for row in rows.values()),
    }
    places = {
        "distance": lambda i: sum(p * abs(i - j) for j, p in rows[i].items()),
        "self": lambda i: over(i, [j for j in keys if j == i]),
        "previous": lambda i: over(i, [j for j in keys if j == i - 1]),
        "next": lambda i: over(i, [j for j in keys if j == i + 1]),
        "diagonal": lambda i: over(i, [j for j in keys if abs(i - j) <= 1]),
        "duplicate": lambda i: over(i, earlier(i)),
        "induction": lambda i: over(i, followers(i)),
    }
    for name, of in places.items():
        found[name] = mean(of(i) for i in rows) if same else math.nan
    return found
