"""The objective over what the sliders can reach: over t, over t and c, or in mode locked over c.

What a plot of it draws, computed apart from any widget, so that a worker can. Never imports Qt.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.correlation import Candidates, HeadPairs, objective_named
from attnviz_gui.geometry.lines import strongest_keys
from attnviz_gui.geometry.normalization import (
    SCALE_RANGE,
    ShiftMode,
    line_position,
    shift_line,
    shift_range,
)
from attnviz_gui.geometry.pearson import Outcome
from attnviz_gui.geometry.transforms import lift

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame, LiveHead

    Float64 = npt.NDArray[np.float64]

ALONG = 129  # samples of a curve; odd, so that the middle (no shift, c = 1) is one
ACROSS = 25  # samples of c in a map
FEWEST = 33, 9  # of t and of c, where each costs a pass over all pairs
PAIRS = 40_000_000  # pairs that the samples of a plot may pass over
EACH = 60_000  # pairs in whose time a sample does what does not depend on their number
FINE = 9  # samples of each refinement of the best, along each axis


@dataclass(frozen=True, eq=False)
class Question:
    """Which plot: of one head, objective and mode, over one range.

    Attributes
    ----------
    low, high : float
        Range of t in raw units; in mode ``locked``, of c.
    """

    live: LiveHead
    objective: str
    mode: ShiftMode
    low: float
    high: float

    def same(self, other: Question | None) -> bool:
        """True where the answer to the other is the answer to this."""
        return (
            other is not None
            and self.live is other.live
            and (self.objective, self.mode) == (other.objective, other.mode)
            and (self.low, self.high) == (other.low, other.high)
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


def reach(mode: ShiftMode, live: LiveHead, t: float, widened: float = 1.0) -> tuple[float, float]:
    """Return the range of a plot: the slider's, and at least as far as t.

    Parameters
    ----------
    widened
        Factor on the slider's first range, in mode ``constant``.
    """
    low, high = shift_range(mode, live.key)
    if mode == "locked":
        return low, high
    if mode == "constant":
        far = max(high * widened, abs(t))
        return -far, far
    return min(low, t), max(high, t)


def compute(question: Question) -> Curve:
    """Return the samples of a plot, its best refined.

    Costs O(T) a sample where the objective has a closed form, else a pass over all pairs; the
    number of samples then follows the number of pairs.
    """
    search = _search(question)
    n_pairs = question.live.mask.size
    n, m = _samples(question, n_pairs)
    logarithmic = question.mode == "locked"
    along = _grid(question.low, question.high, n, logarithmic=logarithmic)
    if not question.is_map:
        outcome = search(along, along if logarithmic else np.ones(n))
        values = outcome.value
        scales = None
    else:
        scales = _grid(*SCALE_RANGE, m, logarithmic=True)
        grid_t, grid_c = (axis.ravel() for axis in np.meshgrid(along, scales, indexing="ij"))
        outcome = search(grid_t, grid_c)
        values = outcome.value.reshape(n, m)

    def value_at(t: float, scale: float) -> tuple[float, str]:
        found = search(np.array([t]), np.array([scale]))
        return float(found.value[0]), found.reason[0]

    if np.isnan(values).all():
        reason = Counter(outcome.reason).most_common(1)[0][0]
        return Curve(question, along, scales, values, None, reason, value_at)
    if scales is None:
        along, values, best = _refined_curve(search, along, values, logarithmic=logarithmic)
    else:
        best = _refined_map(search, along, scales, values)
    return Curve(question, along, scales, values, best, "", value_at)


def _samples(question: Question, n_pairs: int) -> tuple[int, int]:
    """Return how many samples there are of t and of c."""
    objective = objective_named(question.objective)
    n, m = ALONG, 1
    if question.is_map:
        n, m = 2 * ACROSS - 1, ACROSS
    each_anew = question.mode == "lifted" and objective.name != "cosine"
    if objective.cost == "closed" and not each_anew:
        return n, m
    share = min(1.0, PAIRS / (n * m * (n_pairs + EACH)))
    if m > 1:
        share = share**0.5
        m = max(_odd(m * share), FEWEST[1])
    return max(_odd(n * share), FEWEST[0] if m == 1 else 2 * FEWEST[1] - 1), m


def _odd(value: float) -> int:
    return int(value) // 2 * 2 + 1


def _grid(low: float, high: float, n: int, *, logarithmic: bool = False) -> Float64:
    grid: Float64 = np.geomspace(low, high, n) if logarithmic else np.linspace(low, high, n)
    grid[0], grid[-1] = low, high
    return grid


def _search(question: Question) -> Callable[[Float64, Float64], Outcome]:
    """Return the objective as a function of t (n,) and c (n,)."""
    live, mode = question.live, question.mode
    if mode == "lifted" and question.objective == "cosine":  # the frame has it in closed form
        return lambda ts, cs: _of_frames([live.at(mode, t, c) for t, c in zip(ts, cs, strict=True)])
    prepare = objective_named(question.objective).prepare
    mask = None if live.all_allowed else live.mask
    strongest = strongest_keys(live.attention, live.mask)
    head = live.balanced if mode == "balanced" else live
    query, key = head.query, head.key
    line = shift_line(mode, head.query_mean, head.key_mean)
    if mode != "lifted":
        search = prepare([HeadPairs(query, key, mask, strongest)])
        return lambda ts, cs: search(Candidates([line], line_position(mode, ts, cs), cs))

    still = np.zeros(key.shape[1] + 1)

    def lifted(ts: Float64, cs: Float64) -> Outcome:
        found = []
        for t, c in zip(ts, cs, strict=True):
            pairs = HeadPairs(*lift(c * query, (key + t * line[1]) / c), mask, strongest)
            found.append(prepare([pairs])(Candidates([(still, still)], np.zeros(1), np.ones(1))))
        return Outcome(np.concatenate([f.value for f in found]), tuple(f.reason[0] for f in found))

    return lifted


def _of_frames(frames: Sequence[Frame]) -> Outcome:
    """Return the objective ``cosine`` of frames."""
    return Outcome(
        np.array([-frame.correlation for frame in frames]),
        tuple(frame.why_undefined for frame in frames),
    )


def _refined_curve(
    search: Callable[[Float64, Float64], Outcome],
    along: Float64,
    values: Float64,
    *,
    logarithmic: bool,
) -> tuple[Float64, Float64, Best]:
    """Return the curve with finer samples around its best, and the best."""
    ends = along[0], along[-1]
    for _ in range(3):
        i = int(np.nanargmax(values))
        low, high = float(along[max(i - 1, 0)]), float(along[min(i + 1, len(along) - 1)])
        ts = _grid(low, high, FINE, logarithmic=logarithmic)[1:-1]
        found = search(ts, ts if logarithmic else np.ones(len(ts))).value
        along, first = np.unique(np.concatenate([along, ts]), return_index=True)
        values = np.concatenate([values, found])[first]
    i = int(np.nanargmax(values))
    t = float(along[i])
    edges = (("c" if logarithmic else "t"),) if t in ends else ()
    return along, values, Best(t, t if logarithmic else 1.0, float(values[i]), edges)


def _refined_map(
    search: Callable[[Float64, Float64], Outcome], along: Float64, scales: Float64, values: Float64
) -> Best:
    """Return the best of a map, looked for anew between the samples around the best one."""
    i, j = np.unravel_index(int(np.nanargmax(values)), values.shape)
    t, c, best = float(along[i]), float(scales[j]), float(values[i, j])
    step_t = float(along[1] - along[0]) / 2
    step_c = float(scales[1] / scales[0]) ** 0.5
    for _ in range(4):
        ts = np.clip(t + step_t * np.arange(-1, 2), along[0], along[-1])
        cs = np.clip(c * step_c ** np.arange(-1, 2), scales[0], scales[-1])
        grid_t, grid_c = (axis.ravel() for axis in np.meshgrid(ts, cs, indexing="ij"))
        found = search(grid_t, grid_c).value
        if not np.isnan(found).all() and np.nanmax(found) > best:
            k = int(np.nanargmax(found))
            t, c, best = float(grid_t[k]), float(grid_c[k]), float(found[k])
        step_t, step_c = step_t / 2, step_c**0.5
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
