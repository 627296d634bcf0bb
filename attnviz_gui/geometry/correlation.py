"""Objectives: what a fit makes as large as it can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class Objective:
    """One objective: what it is called, what it rewards, and whether c matters to it."""

    name: str
    rewards: str
    source: str
    uses_scale: bool


OBJECTIVES: dict[str, Objective] = {
    "cosine": Objective(
        "cosine",
        "a high dot product where the cosine distance is small: minus Pearson's r over all pairs",
        "the article's figure, per head",
        uses_scale=False,
    )
}


def correlate(
    query: npt.ArrayLike,
    key: npt.ArrayLike,
    objective: str = "cosine",
    mask: npt.ArrayLike | None = None,
) -> float:
    """Return the objective's value for vectors as they are given."""
    q = np.asarray(query, dtype=np.float64)
    k = np.asarray(key, dtype=np.float64)
    dots = q @ k.T
    dist = 1 - dots / np.linalg.norm(q, axis=1)[:, None] / np.linalg.norm(k, axis=1)[None]
    keep = np.ones(dots.shape, bool) if mask is None else np.asarray(mask, bool)
    return float(-np.corrcoef(dots[keep], dist[keep])[0, 1])
