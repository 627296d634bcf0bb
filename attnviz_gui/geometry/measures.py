"""The measures of what a picture keeps, as numbers with a meaning: nothing here computes one.

`MEASURES` is the one place that says what each number is, where it comes from, and which way is
better; `Measures` holds them for one picture, `compare` sets two side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Verdict = Literal["better", "worse", "same", ""]

# As far as the eye goes: a key among so many nearest is found beside its query.
NEAREST = 5
# Below this the points spread over less than half as many directions as the model's own vectors:
# the picture has collapsed.
COLLAPSED = 0.5
# Changes up to this are rounding.
SAME = 1e-9


@dataclass(frozen=True)
class Measure:
    """What one number says.

    Attributes
    ----------
    name : str
        The attribute of `Measures`.
    title : str
        What to call it in a table.
    sentence : str
        What it is, as a sentence.
    source : str
        Where it comes from.
    range : (lowest, highest)
    better : ``"higher"`` or ``"lower"``
    cost : str
        What it costs for T tokens and head dimension d.
    """

    name: str
    title: str
    sentence: str
    source: str
    range: tuple[float, float]
    better: Literal["higher", "lower"]
    cost: str


_READER = "new: what a reader of the picture takes from it"
_ARTICLE = "the article's mean distance, made independent of size"

MEASURES: tuple[Measure, ...] = (
    Measure(
        "objective",
        "objective",
        "The chosen objective's value, at this a and c.",
        "see the objective",
        (-1.0, 1.0),
        "higher",
        "see the objective",
    ),
    Measure(
        "variance",
        "variance in the plane",
        "The share of the variance of queries and keys together that the two drawn axes carry.",
        "principal component analysis",
        (0.0, 1.0),
        "higher",
        "O(T d²) once for a head, then O(d³)",
    ),
    Measure(
        "line_length",
        "line to most attended key",
        "Mean drawn distance from each query to its most attended key, over the mean drawn "
        "distance of all allowed pairs: 1 says no nearer than any other.",
        _ARTICLE,
        (0.0, math.inf),
        "lower",
        "O(T²): the distances of all pairs in the plane",
    ),
    Measure(
        "weighted_length",
        "distance, attention-weighted",
        "Mean drawn distance of all allowed pairs, each weighted by its attention, over the mean "
        "without weights: 1 says that attention and distance have nothing to do with each other.",
        _ARTICLE + "; every pair counts, not one for each query",
        (0.0, math.inf),
        "lower",
        "O(T²): the distances of all pairs in the plane",
    ),
    Measure(
        "nearest",
        "most attended is nearest",
        "The share of queries whose most attended key is their nearest, in all dimensions "
        "(Euclidean distance of q′ and k′).",
        _READER,
        (0.0, 1.0),
        "higher",
        "O(T² d): the distances of all pairs",
    ),
    Measure(
        "among_nearest",
        f"… among {NEAREST} nearest",
        f"The share of queries whose most attended key is among their {NEAREST} nearest, in all "
        "dimensions (Euclidean distance of q′ and k′).",
        _READER,
        (0.0, 1.0),
        "higher",
        "O(T² d): the distances of all pairs",
    ),
    Measure(
        "nearest_drawn",
        "nearest in the plane",
        "The share of queries whose most attended key is their nearest in the drawn plane.",
        _READER,
        (0.0, 1.0),
        "higher",
        "O(T²): the distances of all pairs in the plane",
    ),
    Measure(
        "among_nearest_drawn",
        f"… among {NEAREST} nearest in the plane",
        f"The share of queries whose most attended key is among their {NEAREST} nearest in the "
        "drawn plane.",
        _READER,
        (0.0, 1.0),
        "higher",
        "O(T²): the distances of all pairs in the plane",
    ),
    Measure(
        "rank",
        "rank correlation per query",
        "Spearman's rank correlation of q′·k′ and cosine distance over each query's allowed keys, "
        "the mean over queries: −1 says that every query has its keys in the same order by angle "
        "as by attention.",
        "the evaluation of AttentionViz (Yeh et al., 2023)",
        (-1.0, 1.0),
        "lower",
        "O(T² (d + log T)): each query's keys are sorted",
    ),
    Measure(
        "collapse",
        "spread over directions",
        "The number of directions that queries and keys spread over, as (Σλ)² / Σλ² of their joint "
        f"covariance, over the same of the model's own vectors; below {COLLAPSED} the picture has "
        "collapsed.",
        "the participation ratio of physics; the article saw the collapse in its pictures",
        (0.0, math.inf),
        "higher",
        "O(T d²): two covariances",
    ),
)


@dataclass(frozen=True, eq=False)
class Measures:
    """Every measure of one frame, NaN where undefined; `MEASURES` says what each one is.

    Attributes
    ----------
    objective : float
        -1 to 1, higher is better.
    variance : float
        (λ₁ + λ₂) / Σλ of the joint covariance; 0 to 1, higher is better.
    line_length : float
        mean_i d(i, s_i) / mean of d over allowed pairs, d the distance in the plane and s_i the
        most attended key; 0 or more, lower is better.
    weighted_length : float
        (Σ A d / Σ A) / mean of d over allowed pairs; 0 or more, lower is better.
    nearest, among_nearest : float
        Share of queries with no, and with fewer than 5 allowed keys nearer than s_i, by
        |q' - k'|; 0 to 1, higher is better.
    nearest_drawn, among_nearest_drawn : float
        The same in the plane.
    rank : float
        Mean over queries of Spearman's rho of q'.k' and cosine distance; -1 to 1, lower is better.
    collapse : float
        tr(C')² / |C'|² over tr(C)² / |C|², C the joint covariance of q and k, C' that of q' and k';
        0 or more, higher is better. 0 where all q' and k' are one point.
    n_queries : int
        Queries that count.
    n_left_out : int
        Queries without an allowed key, which do not.
    objective_name : str
    reasons : dict of str
        For each measure that is NaN by name, why.
    """

    objective: float
    variance: float
    line_length: float
    weighted_length: float
    nearest: float
    among_nearest: float
    nearest_drawn: float
    among_nearest_drawn: float
    rank: float
    collapse: float
    n_queries: int
    n_left_out: int
    objective_name: str
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def collapsed(self) -> bool:
        """True where `collapse` is below `COLLAPSED`: the points lie along few directions."""
        return self.collapse < COLLAPSED

    def __getitem__(self, name: str) -> float:
        """Return a measure by its name in `MEASURES`."""
        value: float = getattr(self, name)
        return value


@dataclass(frozen=True)
class Change:
    """One measure, before and after.

    Attributes
    ----------
    measure : Measure
    before, after : float
    verdict : str
        ``better``, ``worse``, ``same`` (up to rounding); empty where either is undefined.
    reason : str
        Why it is undefined; empty where it is not.
    """

    measure: Measure
    before: float
    after: float
    verdict: Verdict
    reason: str


def compare(before: Measures, after: Measures) -> tuple[Change, ...]:
    """Return each measure before → after, in the order of `MEASURES`, with better or worse.

    Raises
    ------
    InputError
        When the two were measured with different objectives, whose values say nothing side by side.
    """
    if before.objective_name != after.objective_name:
        raise InputError(
            f"Measures with the objectives “{before.objective_name}” and “{after.objective_name}” "
            "cannot be compared; measure both with one."
        )
    return tuple(
        Change(
            each,
            before[each.name],
            after[each.name],
            verdict(before[each.name], after[each.name], each.better),
            before.reasons.get(each.name) or after.reasons.get(each.name) or "",
        )
        for each in MEASURES
    )


def verdict(before: float, after: float, better: str) -> Verdict:
    """Say whether a number became better; ``same`` up to rounding, empty where one is NaN."""
    if math.isnan(before) or math.isnan(after):
        return ""
    if abs(after - before) <= SAME * max(1.0, abs(before)):
        return "same"
    return "better" if (after > before) == (better == "higher") else "worse"
