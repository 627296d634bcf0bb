"""The objective over what the sliders can reach: over t, over t and c, or in mode locked over c.

What a plot of it draws, computed apart from any widget, so that a worker can. Never imports Qt.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import objective_named
from attnviz_gui.geometry.landscape import Landscape, scales_between
from attnviz_gui.geometry.normalization import (
    CENTROID_MODES,
    SCALE_RANGE,
    ShiftMode,
    scale_range,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from attnviz_gui.geometry.live import LiveHead
    from attnviz_gui.session.corpus import HeadOfTexts

    Float64 = npt.NDArray[np.float64]

ALONG = 129  # samples of a curve; odd, so that the middle (no shift, c = 1) is one
ACROSS = 25  # samples of c in a map
FEWEST = 33, 9  # of t and of c, where each costs a pass over all pairs
PAIRS = 40_000_000  # pairs that the samples of a plot may pass over
DEAR, FEWEST_DEAR = 1_000_000, (17, 5)  # where each passes over more pairs than that
EACH = 60_000  # pairs in whose time a sample does what does not depend on their number
FINE = 9  # samples of each refinement of a curve's best
STEP = 1e-12  # values nearer than that are equal


@dataclass(frozen=True, eq=False)
class Question:
    """Which plot: of one head, objective and mode, over one range.

    Attributes
    ----------
    live : LiveHead or HeadOfTexts
        The head on one text, or on all of them as one.
    low, high : float
        Range of t in raw units; in mode ``locked``, of c.
    scales : pair of float
        Range of c, where the plot is a map.
    """

    live: LiveHead | HeadOfTexts
    objective: str
    mode: ShiftMode
    low: float
    high: float
    scales: tuple[float, float] = SCALE_RANGE

    def same(self, other: Question | None) -> bool:
        """True where the answer to the other is the answer to this."""
        return (
            other is not None
            and self.live is other.live
            and (self.objective, self.mode) == (other.objective, other.mode)
            and (self.low, self.high) == (other.low, other.high)
            and (self.scales == other.scales or not self.is_map)
        )

    @property
    def is_map(self) -> bool:
        """True where both t and c are free and matter."""
        return self.mode != "locked" and objective_named(self.objective).uses_scale


@dataclass(frozen=True, eq=False)
class Best:
    """The largest value found; `edges` names what lies at an end of its range: "t", "c"."""

    t: float
    scale: float
    value: float
    edges: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Curve:
    """A plot's numbers.

    Attributes
    ----------
    question : Question
    along : (n,)
        The samples of t; in mode ``locked``, of c. Rising.
    scales : (m,) or None
        The samples of c where the plot is a map.
    values : (n,) or (n, m)
        The objective; NaN where undefined.
    best : Best or None
        None where it is undefined everywhere; then `reason` says why.
    value_at : callable
        Takes t and c, returns the objective there and, where it is NaN, why.
    """

    question: Question
    along: Float64
    scales: Float64 | None
    values: Float64
    best: Best | None
    reason: str
    value_at: Callable[[float, float], tuple[float, str]]


def reach(
    mode: ShiftMode, first: tuple[float, float], t: float, widened: float = 1.0
) -> tuple[float, float]:
    """Return the range of a plot: the slider's, and at least as far as t.

    Parameters
    ----------
    first
        The slider's first range, `shift_range`.
    widened
        As the ``range_factor`` of a fit: -r…r becomes -f r…f r, 0…1 becomes 1-f…f.
    """
    low, high = first
    if mode == "constant":
        far = max(high * widened, abs(t))
        return -far, far
    if mode in CENTROID_MODES:
        return min(low - (widened - 1), t), max(high + (widened - 1), t)
    return low, high


def reach_of_scale(scale: float, widened: float = 1.0) -> tuple[float, float]:
    """Return a plot's range of c: the slider's, and at least as far as the scale."""
    low, high = scale_range(widened)
    return min(low, scale), max(high, scale)


def compute(question: Question) -> Curve:
    """Return the samples of a plot, its best refined.

    Where a sample goes through all pairs, the number of samples follows the number of pairs.

    Raises
    ------
    InputError
        When the vectors hold NaN or infinity, or the head has no token.
    """
    land = Landscape(question.live, question.objective, question.mode)
    n, m = _samples(land, land.n_pairs)
    locked = question.mode == "locked"
    if locked:
        along = scales_between(question.low, question.high, n)
    else:
        along = np.linspace(question.low, question.high, n)
        if question.low == -question.high:
            along[n // 2] = 0.0  # no shift, but for the rounding
    scales = scales_between(*question.scales, m) if land.is_map else None
    if scales is not None:
        grid_t, grid_c = (axis.ravel() for axis in np.meshgrid(along, scales, indexing="ij"))
        outcome = land.value(grid_t, grid_c)
        values = outcome.value.reshape(n, m)
    else:
        outcome = land.value(along, along if locked else 1.0)
        values = outcome.value

    def value_at(t: float, scale: float) -> tuple[float, str]:
        found = land.value(t, scale)
        return float(found.value[0]), found.reason[0]

    if np.isnan(values).all():
        reason = Counter(outcome.reason).most_common(1)[0][0]
        return Curve(question, along, scales, values, None, reason, value_at)
    if scales is not None:
        best = _best_of_map(land, along, scales, values)
    else:
        along, values, best = _best_of_curve(land, along, values)
    return Curve(question, along, scales, values, best, "", value_at)


def _samples(land: Landscape, n_pairs: int) -> tuple[int, int]:
    """Return how many samples there are of t and of c."""
    n, m = (2 * ACROSS - 1, ACROSS) if land.is_map else (ALONG, 1)
    cost = n * m * (land.cost + EACH) if land.cost else 0.0
    if land.mode == "lifted":  # each t has vectors of its own
        cost += n * (n_pairs + EACH)
    share = min(1.0, PAIRS / cost) if cost else 1.0
    fewest = FEWEST_DEAR if land.cost > DEAR else FEWEST
    if m == 1:
        return max(_odd(n * share), fewest[0]), 1
    m = max(_odd(m * share**0.5), fewest[1])
    return 2 * m - 1, m


def _rounds(land: Landscape, most: int) -> int:
    """Return how often a best is looked for anew: not where it has steps, once where it is dear."""
    return 0 if land.objective.steps else 1 if land.cost > DEAR else most


def _odd(value: float) -> int:
    """Return the largest odd number that is not more, but for rounding."""
    return (int(value + 1e-9) - 1) // 2 * 2 + 1


def _middle(values: Float64) -> tuple[int, ...]:
    """Return where the highest value is; of several equal ones, the one in their middle."""
    highest = np.argwhere(values >= np.nanmax(values) - STEP)
    apart = np.abs(highest - highest.mean(axis=0)).sum(axis=1)
    return tuple(int(i) for i in highest[apart.argmin()])


def _best_of_curve(
    land: Landscape, along: Float64, values: Float64
) -> tuple[Float64, Float64, Best]:
    """Return the curve with finer samples around its best, and the best."""
    locked = land.mode == "locked"
    ends = along[0], along[-1]
    for _ in range(_rounds(land, 3)):
        (i,) = _middle(values)
        low, high = float(along[max(i - 1, 0)]), float(along[min(i + 1, len(along) - 1)])
        fine = scales_between(low, high, FINE) if locked else np.linspace(low, high, FINE)
        found = land.value(fine[1:-1], fine[1:-1] if locked else 1.0).value
        along, first = np.unique(np.concatenate([along, fine[1:-1]]), return_index=True)
        values = np.concatenate([values, found])[first]
    (i,) = _middle(values)
    t = float(along[i])
    edges = ("c" if locked else "t",) if t in ends else ()
    return along, values, Best(t, t if locked else 1.0, float(values[i]), edges)


def _best_of_map(land: Landscape, along: Float64, scales: Float64, values: Float64) -> Best:
    """Return the best of a map, looked for anew between the samples around the best one."""
    i, j = _middle(values)
    t, c, best = float(along[i]), float(scales[j]), float(values[i, j])
    step_t = float(along[1] - along[0]) / 2
    step_c = float(scales[1] / scales[0]) ** 0.5
    for _ in range(_rounds(land, 4)):
        ts = np.clip(t + step_t * np.arange(-1, 2), along[0], along[-1])
        cs = np.clip(c * step_c ** np.arange(-1, 2), scales[0], scales[-1])
        grid_t, grid_c = (axis.ravel() for axis in np.meshgrid(ts, cs, indexing="ij"))
        found = land.value(grid_t, grid_c).value
        if not np.isnan(found).all() and np.nanmax(found) > best:
            k = int(np.nanargmax(found))
            t, c, best = float(grid_t[k]), float(grid_c[k]), float(found[k])
        step_t, step_c = step_t / 2, step_c**0.5
    # Halved steps need not arrive at an end of a that a narrow ridge leads to: there c alone.
    for end, row in ((float(along[0]), values[0]), (float(along[-1]), values[-1])):
        if np.isnan(row).all():
            continue
        at, step = float(scales[np.nanargmax(row)]), float(scales[1] / scales[0])
        for _ in range(_rounds(land, 4)):
            cs = np.clip(at * step ** np.linspace(-1, 1, FINE), scales[0], scales[-1])
            found = land.value(np.full(FINE, end), cs).value
            if np.isnan(found).all():
                break
            k = int(np.nanargmax(found))
            at, step = float(cs[k]), step ** (2 / (FINE - 1))
            if found[k] > best:
                t, c, best = end, at, float(found[k])
    edges: tuple[str, ...] = ("t",) if t in (along[0], along[-1]) else ()
    if c in (scales[0], scales[-1]):
        edges += ("c",)
    return Best(t, c, best, edges)


def between(curve: Curve, t: float, scale: float) -> float:
    """Return the value at (t, c) between the samples, linear; NaN beside an undefined one."""
    if curve.scales is None:
        at = scale if curve.question.mode == "locked" else t
        return float(np.interp(at, curve.along, curve.values))
    i, x = _place(curve.along, t)
    j, y = _place(np.log(curve.scales), float(np.log(scale)))
    v = curve.values
    low = v[i, j] if y == 0 else (1 - y) * v[i, j] + y * v[i, j + 1]
    if x == 0:
        return float(low)
    high = v[i + 1, j] if y == 0 else (1 - y) * v[i + 1, j] + y * v[i + 1, j + 1]
    return float((1 - x) * low + x * high)


def _place(samples: Float64, at: float) -> tuple[int, float]:
    """Return the sample at or below, and how far on to the next one it is, from 0 to 1."""
    at = min(max(at, float(samples[0])), float(samples[-1]))
    i = min(int(np.searchsorted(samples, at, side="right")) - 1, len(samples) - 1)
    if i == len(samples) - 1:
        return i, 0.0
    return i, (at - float(samples[i])) / float(samples[i + 1] - samples[i])


def answer(question: Question, known: Curve | None, t: float, scale: float) -> Answer:
    """Return the plot, computed unless it is known, and the objective at the sliders exactly."""
    try:
        curve = known if known is not None and question.same(known.question) else compute(question)
        value, reason = curve.value_at(t, scale)
    except InputError as error:
        why, empty = str(error).rstrip("."), np.zeros(0)
        curve = Curve(question, empty, None, empty, None, why, lambda *_: (float("nan"), why))
        value, reason = float("nan"), why
    return Answer(curve, t, scale, value, reason)


@dataclass(frozen=True, eq=False)
class Answer:
    """A plot, and the objective's value at the t and c that were asked for."""

    curve: Curve
    t: float
    scale: float
    value: float
    reason: str
