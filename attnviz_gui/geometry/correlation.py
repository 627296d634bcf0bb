"""Objectives: what a fit makes as large as it can, and their value for vectors as they are.

`OBJECTIVES` is the one place where they are listed. A new one is one entry: an `Objective` whose
`prepare` takes the heads and returns a function of candidates. `each_candidate` makes such a
function from one that only knows how to value normalised vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_mask, as_vectors
from attnviz_gui.geometry.moments import PairMoments
from attnviz_gui.geometry.pearson import Outcome, pearson, pool

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.geometry.arrays import BoolArray

    Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HeadPairs:
    """What an objective sees of a head.

    Attributes
    ----------
    query, key : (T_q, d), (T_k, d) float64
    mask : (T_q, T_k) bool or None
        Allowed pairs; None for all.
    """

    query: Float64
    key: Float64
    mask: BoolArray | None


@dataclass(frozen=True, eq=False)
class Candidates:
    """n normalisations of some heads: on a line of shifts for each head, with a scale for each.

    Attributes
    ----------
    lines : sequence of (base, direction), each (d,)
        One line per head; the shift is a = base + s direction.
    position : (n,)
        The positions s.
    scale : (n,)
        The scales c.
    """

    lines: Sequence[tuple[Float64, Float64]]
    position: Float64
    scale: Float64


Search = Callable[[Candidates], Outcome]


@dataclass(frozen=True)
class Objective:
    """One objective.

    Attributes
    ----------
    name : str
        What `correlate` and `fit` call it.
    rewards : str
        What it rewards, as the end of "Rewards ...".
    source : str
        Where it comes from.
    uses_scale : bool
        Whether the scale c changes it; where not, a fit leaves c alone.
    prepare : callable
        Takes heads (`HeadPairs`), fitted together, does once what no candidate changes, and
        returns the function that values candidates.
    """

    name: str
    rewards: str
    source: str
    uses_scale: bool
    prepare: Callable[[Sequence[HeadPairs]], Search]


def each_candidate(
    value: Callable[[Sequence[HeadPairs]], tuple[float, str]],
) -> Callable[[Sequence[HeadPairs]], Search]:
    """Make an objective's `prepare` from a function that values normalised heads.

    `value` returns the value and, where that is NaN, why.
    """

    def prepare(heads: Sequence[HeadPairs]) -> Search:
        def search(candidates: Candidates) -> Outcome:
            found = [
                value(
                    [
                        HeadPairs(c * h.query, (h.key + base + s * direction) / c, h.mask)
                        for h, (base, direction) in zip(heads, candidates.lines, strict=True)
                    ]
                )
                for s, c in zip(candidates.position, candidates.scale, strict=True)
            ]
            return Outcome(np.array([v for v, _ in found]), tuple(why for _, why in found))

        return search

    return prepare


def _cosine(heads: Sequence[HeadPairs]) -> Search:
    """-Pearson(q'.k', cosine distance), all pairs of all heads as one set; see `moments`.

    Equal to Pearson(q'.k', cosine). Not a function of c.
    """
    moments = [PairMoments(head.query, head.key, head.mask) for head in heads]

    def search(candidates: Candidates) -> Outcome:
        return pearson(
            pool(
                [
                    head.along(base, direction, candidates.position)
                    for head, (base, direction) in zip(moments, candidates.lines, strict=True)
                ]
            )
        )

    return search


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            "cosine",
            "a high dot product where the cosine distance is small: minus Pearson's r over all "
            "pairs",
            "the article's figure, per head",
            uses_scale=False,
            prepare=_cosine,
        ),
    )
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
        A name in `OBJECTIVES`. ``"cosine"`` is minus Pearson's r of dot product and cosine
        distance over the allowed pairs. Pairs of a zero vector have no cosine and are left out.
    mask : (T_q, T_k) bool, optional
        Allowed pairs; without it all are.

    Returns
    -------
    float
        NaN where the objective is undefined: fewer than two pairs, or dot products or distances
        that are all equal. `explain` says which.

    Raises
    ------
    InputError
        When there is no such objective, or shapes do not fit each other.
    """
    return explain(query, key, objective, mask)[0]
