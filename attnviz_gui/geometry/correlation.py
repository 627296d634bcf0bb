"""Objectives: what a fit makes as large as it can, and their value for vectors as they are.

`OBJECTIVES` is the one place where they are listed, each from its own file in `objectives`. A new
one is one entry: an `Objective` whose `prepare` takes the heads and returns a function of
candidates. `each_candidate` makes such a function from one that only knows how to value normalised
vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_mask, as_vectors
from attnviz_gui.geometry.objectives.article import ARTICLE
from attnviz_gui.geometry.objectives.base import (
    Candidates,
    HeadPairs,
    Objective,
    Search,
    each_candidate,
)
from attnviz_gui.geometry.objectives.cosine import COSINE
from attnviz_gui.geometry.objectives.euclidean import EUCLIDEAN
from attnviz_gui.geometry.objectives.neighbours import NEIGHBOURS
from attnviz_gui.geometry.objectives.plane import PLANE
from attnviz_gui.geometry.objectives.rank import RANK
from attnviz_gui.geometry.objectives.weighted import WEIGHTED

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "OBJECTIVES",
    "Candidates",
    "HeadPairs",
    "Objective",
    "Search",
    "correlate",
    "each_candidate",
    "explain",
    "objective_named",
]

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (COSINE, RANK, WEIGHTED, EUCLIDEAN, PLANE, NEIGHBOURS, ARTICLE)
}


def objective_named(name: str) -> Objective:
    """Return an objective by its name.

    Raises
    ------
    InputError
        When there is no such objective.
    """
    if name not in OBJECTIVES:
        raise InputError(f"There is no objective “{name}”; there are: {', '.join(OBJECTIVES)}.")
    return OBJECTIVES[name]


def explain(
    query: npt.ArrayLike,
    key: npt.ArrayLike,
    objective: str = "cosine",
    mask: npt.ArrayLike | None = None,
) -> tuple[float, str]:
    """Return the objective's value as `correlate` does and, where that is NaN, why (else "")."""
    q, k = as_vectors(query, key)
    head = HeadPairs(q, k, as_mask(mask, (len(q), len(k))))
    still = np.zeros(k.shape[1])
    search = objective_named(objective).prepare([head])
    outcome = search(Candidates([(still, still)], np.zeros(1), np.ones(1)))
    return float(outcome.value[0]), outcome.reason[0]


def correlate(
    query: npt.ArrayLike,
    key: npt.ArrayLike,
    objective: str = "cosine",
    mask: npt.ArrayLike | None = None,
) -> float:
    """Return the objective's value for vectors as they are given.

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
        As they are to be valued: already normalised, where that is meant.
    objective
        A name in `OBJECTIVES`; the docstring of each one's `prepare` has its formula, source,
        range and cost. ``"cosine"`` is minus Pearson's r of dot product and cosine distance over
        the allowed pairs. Pairs of a zero vector have no cosine and are left out.
    mask : (T_q, T_k) bool, optional
        Allowed pairs; without it all are.

    Returns
    -------
    float
        NaN where the objective is undefined, such as for fewer than two pairs, or dot products or
        distances that are all equal. `explain` says why.

    Raises
    ------
    InputError
        When there is no such objective, or shapes do not fit each other.
    """
    return explain(query, key, objective, mask)[0]
