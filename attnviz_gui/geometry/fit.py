"""The search for the best shift and scale: a coarse grid, then its highest tops refined.

Where the objective depends on c (and c does not set the shift), t and c are searched together, on
a coarse map; else t alone, or in mode ``locked`` c alone. An objective that moves in steps has no
one best place: there the middle of the widest best step is taken. Where every candidate is
equally good, the one in the middle is, and no end of a range is named.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_float64
from attnviz_gui.geometry.landscape import Landscape, Sample, sample, scales_between
from attnviz_gui.geometry.normalization import (
    Normalization,
    ShiftMode,
    checked_scale,
)
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.pearson import Outcome

    Float64 = npt.NDArray[np.float64]

__all__ = ["Fit", "Landscape", "Sample", "fit", "fit_each", "sample"]

# Candidates of a coarse curve, and of t and c on a coarse map; odd numbers, so that the middle (no
# shift, c = 1) is one. Where a candidate goes through all pairs, as many as `PAIRS` pairs allow are
# taken, within two limits: short texts have jumps and steps that a coarse grid would miss.
CURVE, MAP = 129, (65, 33)
PAIRS_CURVE, PAIRS_MAP = (33, 4097), ((17, 13), (129, 65))
PAIRS = 8_000_000
# Where a candidate goes through more pairs than this (long texts, many heads together), the map may
# be coarser, and one top is refined.
DEAR, DEAR_MAP = 1_000_000, (13, 9)
# A top of a curve is refined by ROUNDS grids of FINE candidates, each over the last one's best and
# its neighbours.
TOPS, ROUNDS, FINE = 3, 6, 9
# A top of a map is climbed in so many rounds: to the best of so many candidates around it, or,
# where none is better, with half the width. Again the first is for what goes through all pairs.
MAP_TOPS, MAP_ROUNDS = (3, 6), (12, 24)
AROUND = tuple(
    np.array([(i, j) for i in grid for j in grid if (i, j) != (0, 0)])
    for grid in (np.linspace(-1, 1, 3), np.linspace(-1, 1, 5))
)
# Values that differ by less than this are one step.
STEP = 1e-12


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit found.

    Attributes
    ----------
    normalization : Normalization
        The best shift and scale; of the first head, where several were fitted together and the
        shift is not the same for all.
    value : float
        The objective there.
    curve : (n, 2)
        Candidate t and the objective's value (where c matters: at the best c), in the order of the
        candidates; NaN where it is undefined. A search of its own adds the optimum it refined to
        its coarse candidates. In mode ``locked`` the candidates are c.
    shift_mode : str
    t : float
        The best candidate, in raw units; in mode ``locked`` it is the scale c.
    at_edge : bool
        The best lies at the end of a range: something better may lie outside it.
    objective : str
    normalizations : tuple of Normalization
        The best shift and scale of each head, in the order of the heads.
    scale : float
        The best c; 1 where c does not matter.
    edges : tuple of str
        ``"t"`` or ``"c"`` for what lies at the end of its range.
    positions, scales : (n,), (m,) or None
        The t and c of the coarse map; None where there is none.
    map : (n, m) or None
        The objective on the coarse map.
    scale_curve : (m + 1, 2) or None
        c and the objective's value at the best t, the best c among them; None where c does not
        matter or mode ``locked`` searches it as `curve`.
    """

    normalization: Normalization
    value: float
    curve: Float64
    shift_mode: ShiftMode
    t: float
    at_edge: bool
    objective: str
    normalizations: tuple[Normalization, ...]
    scale: float = 1.0
    edges: tuple[str, ...] = ()
    positions: Float64 | None = None
    scales: Float64 | None = None
    map: Float64 | None = None
    scale_curve: Float64 | None = None


def fit(
    heads: Any,
    objective: str = "cosine",
    *,
    shift_mode: ShiftMode = "constant",
    candidates: npt.ArrayLike | None = None,
    range_factor: float = 1.0,
    scale_factor: float = 1.0,
    t: float | None = None,
    scale: float | None = None,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> Fit:
    """Search the shift and, where it matters, the scale that make the objective largest.

    Parameters
    ----------
    heads
        A `Head`, or a list of them that are fitted together: one t and one c, and one objective
        over all pairs (`rank` and `neighbours`: all queries) of all heads as one set. Anything
        with ``query`` (T_q, d), ``key`` (T_k, d) and, where not all pairs are allowed, ``mask``
        will do; ``attention``, where it is there, names the most attended keys.
    objective
        A name in `attnviz_gui.geometry.correlation.OBJECTIVES`.
    shift_mode
        What t means: ``constant`` adds t to every coordinate; ``centroid`` adds t times
        (mean query - mean key), each head's own; ``balanced`` does so after the balancing
        transform, ``lifted`` before the lift; ``locked`` searches the scale c alone, with the
        shift that keeps the centroids together.
    candidates : (n,), optional
        The t (in mode ``locked``, the c) to choose from, at c = 1. Without them the search covers
        the slider's range, `shift_range`, and refines the best; c from 0.1 to 10. `article` in
        mode ``constant`` then chooses from the article's ten shifts.
    range_factor
        Widens the range of t: -r…r becomes -f r…f r, 0…1 becomes 1-f…f.
    scale_factor
        Widens the range of c: 0.1…10 becomes 0.1/f…10 f, at most 0.001…1,000.
    t, scale
        Hold one of them where it is given: the other alone is searched. Not in mode ``locked``,
        where one follows the other.
    progress
        Called with the candidates done and the candidates in all.
    cancel
        A `threading.Event`, or a function that says whether to stop.

    Raises
    ------
    InputError
        When there is no head, objective or mode of that name, a candidate is not a finite number
        (in mode ``locked``, above 0), both t and scale are held, or one in mode ``locked``, or the
        objective is undefined at every candidate.
    Cancelled
        When `cancel` is set.
    """
    stop = stop_where(cancel)
    stop(0)
    land = Landscape(
        heads, objective, shift_mode, range_factor=range_factor, scale_factor=scale_factor
    )
    if (t is not None) + (scale is not None) > (shift_mode != "locked"):
        raise InputError("Hold t or the scale, not both; in mode “locked” neither.")
    if candidates is None and shift_mode == "constant" and t is None:
        candidates = land.objective.candidates
    given = None if candidates is None else _candidates(candidates, shift_mode)
    work = _Work(land, stop, progress)
    if given is not None:
        return _chosen(work, given, scale=scale)
    if t is not None:
        return _searched_scale(work, float(t))
    if scale is not None:
        return _searched_curve(work, scale=checked_scale(scale))
    return _searched_map(work) if land.is_map else _searched_curve(work)


def fit_each(
    heads: Sequence[Any],
    objective: str = "cosine",
    *,
    shift_mode: ShiftMode = "constant",
    range_factor: float = 1.0,
    scale_factor: float = 1.0,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> list[Fit | InputError]:
    """Fit heads one by one, each its own; a head that has no fit gives the reason in its place.

    Parameters
    ----------
    heads
        Heads, as `fit` takes one. An entry that is a list of heads is fitted together.
    objective, shift_mode, range_factor, scale_factor, cancel
        As in `fit`.
    progress
        Called with the heads done and the heads in all.

    Raises
    ------
    Cancelled
        When `cancel` is set.
    """
    found: list[Fit | InputError] = []
    for i, head in enumerate(heads):
        if progress is not None:
            progress(i, len(heads))
        try:
            found.append(
                fit(
                    head,
                    objective,
                    shift_mode=shift_mode,
                    range_factor=range_factor,
                    scale_factor=scale_factor,
                    cancel=cancel,
                )
            )
        except InputError as error:
            found.append(error)
    return found


class _Work:
    """A landscape that is asked for values, with progress told and the wish to stop obeyed."""

    def __init__(
        self,
        land: Landscape,
        stop: Callable[[int], None],
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self.land = land
        self._stop, self._progress = stop, progress
        self._done = self.total = 0

    def value(self, t: npt.ArrayLike, scale: npt.ArrayLike) -> Outcome:
        """Return the objective at some t and c."""
        return self.land.value(t, scale, step=self._step)

    def _step(self, n: int) -> None:
        self._stop(n)
        if self._progress is not None:
            self._progress(min(self._done, self.total), self.total)
        self._done += n


def _chosen(work: _Work, given: Float64, *, scale: float | None = None) -> Fit:
    """Return the best of given candidates."""
    work.total = len(given)
    c = 1.0 if scale is None else scale
    outcome = work.value(given, given if work.land.mode == "locked" else c)
    best = _best(work.land, outcome)
    t = float(given[best])
    name = "c" if work.land.mode == "locked" else "t"
    at_end = len(given) > 1 and t in (given.min(), given.max())
    edges = (name,) if at_end and not _flat(outcome.value) else ()
    return _fit(work.land, t, float(outcome.value[best]), given, outcome.value, edges, scale=c)


def _searched_scale(work: _Work, t: float) -> Fit:
    """Search c alone, at one t."""
    land = work.land
    if not land.is_map:
        value = work.value(t, 1.0)
        _best(land, value)
        return _fit(land, t, float(value.value[0]), np.array([t]), value.value, ())
    least, most = PAIRS_MAP
    n = MAP[1] if not land.cost else _odd(PAIRS / land.cost, least[1], most[1])
    work.total = n + TOPS * ROUNDS * FINE
    cs = scales_between(*land.scales, n)
    outcome = work.value(t, cs)
    values = outcome.value
    best = _best(land, outcome)
    c, top = float(cs[best]), float(values[best])
    n_tops = 1 if land.cost > DEAR else TOPS
    for found in _zoomed(_at_shift(work, t), cs, _tops(values)[:n_tops], logarithmic=True):
        if found[1] > top:
            c, top = found
    flat = _flat(np.append(values, top))
    if flat:
        (i,) = _most_central(values)
        c, top = float(cs[i]), float(values[i])
    elif land.objective.steps:
        c, top = _middle(_at_shift(work, t), *_with(cs, values, c, top), logarithmic=True)
    edges = ("c",) if c in (cs[0], cs[-1]) and not flat else ()
    return replace(
        _fit(land, t, top, np.array([t]), np.array([top]), edges, scale=c),
        scale_curve=np.column_stack(_with(cs, values, c, top)),
    )


def _searched_curve(work: _Work, *, scale: float = 1.0) -> Fit:
    """Search t alone, at one c; in mode ``locked``, c alone."""
    land = work.land
    locked = land.mode == "locked"
    n = CURVE
    if land.cost:
        n = _odd(PAIRS / land.cost, *PAIRS_CURVE)
    if land.mode == "lifted":  # each t has vectors of its own, and nothing to be taken once
        n = min(n, CURVE)
    along = _axis(land.low, land.high, n, logarithmic=locked)
    n_tops = 1 if land.cost > DEAR else TOPS
    work.total = n + n_tops * ROUNDS * FINE + (40 if land.objective.steps else 0)

    def value(ts: Float64) -> Float64:
        return work.value(ts, ts if locked else scale).value

    outcome = work.value(along, along if locked else scale)
    values = outcome.value
    best = _best(land, outcome)
    t, top = float(along[best]), float(values[best])
    for found in _zoomed(value, along, _tops(values)[:n_tops], logarithmic=locked):
        if found[1] > top:
            t, top = found
    if _flat(np.append(values, top)):
        (i,) = _most_central(values)
        return _fit(land, float(along[i]), float(values[i]), along, values, (), scale=scale)
    along, values = _with(along, values, t, top)
    if land.objective.steps:
        t, top = _middle(value, along, values, logarithmic=locked)
        along, values = _with(along, values, t, top)
    edges = (("c" if locked else "t"),) if t in (along[0], along[-1]) else ()
    return _fit(land, t, top, along, values, edges, scale=scale)


def _searched_map(work: _Work) -> Fit:
    """Search t and c together."""
    land = work.land
    n, m = MAP
    if land.cost:
        least, most = PAIRS_MAP
        least = DEAR_MAP if land.cost > DEAR else least
        share = (PAIRS / land.cost / (most[0] * most[1])) ** 0.5
        n, m = (_odd(share * b, a, b) for a, b in zip(least, most, strict=True))
    kind = int(not land.cost)
    n_tops = 1 if land.cost > DEAR else MAP_TOPS[kind]
    work.total = n * m + n_tops * MAP_ROUNDS[kind] * len(AROUND[kind]) + 2 * (n + m)
    ts = _axis(land.low, land.high, n)
    cs = scales_between(*land.scales, m)
    grid_t, grid_c = (axis.ravel() for axis in np.meshgrid(ts, cs, indexing="ij"))
    outcome = work.value(grid_t, grid_c)
    best = _best(land, outcome)
    shape = outcome.value.reshape(n, m)
    t, c, top = float(grid_t[best]), float(grid_c[best]), float(outcome.value[best])
    if land.objective.steps:  # the candidate that lies deepest in the best step
        i, j = np.unravel_index(int(_depth(shape >= top - STEP).argmax()), shape.shape)
        t, c, top = float(ts[i]), float(cs[j]), float(shape[i, j])
    tops = _map_tops(shape)[:n_tops]
    for found in _climbed(work, ts, cs, shape, tops, AROUND[kind], MAP_ROUNDS[kind]):
        if found[2] > top + STEP * land.objective.steps:
            t, c, top = found

    flat = _flat(np.append(shape, top))
    middle, old = land.objective.steps, (np.nan, np.nan)
    if flat:
        row, column = _most_central(shape)
        t, c, top = float(ts[row]), float(cs[column]), float(shape[row, column])
        along, values = ts, shape[:, column]
        scales, of_scale = cs, shape[row]
        old = t, c

    # The two curves through the best. Where one holds a better one, the other goes through that.
    while old != (t, c):
        old = t, c
        along, values, t, top = _on_curve(_at_scale(work, c), ts, t, top, middle=middle)
        scales, of_scale, c, top = _on_curve(
            _at_shift(work, t), cs, c, top, middle=middle, logarithmic=True
        )
        middle = False
    ends = {"t": t in (ts[0], ts[-1]), "c": c in (cs[0], cs[-1])}
    edges = tuple(name for name, at_end in ends.items() if at_end and not flat)
    found_fit = _fit(land, t, top, along, values, edges, scale=c)
    return replace(
        found_fit,
        positions=ts,
        scales=cs,
        map=shape,
        scale_curve=np.column_stack([scales, of_scale]),
    )


def _at_scale(work: _Work, scale: float) -> Callable[[Float64], Float64]:
    return lambda ts: work.value(ts, scale).value


def _at_shift(work: _Work, t: float) -> Callable[[Float64], Float64]:
    return lambda scales: work.value(t, scales).value


def _fit(
    land: Landscape,
    t: float,
    value: float,
    along: Float64,
    values: Float64,
    edges: tuple[str, ...],
    scale: float = 1.0,
) -> Fit:
    scale = t if land.mode == "locked" else scale
    found = land.normalizations(t, scale)
    return Fit(
        normalization=found[0],
        value=value,
        curve=np.column_stack([along, values]),
        shift_mode=land.mode,
        t=t,
        at_edge=bool(edges),
        objective=land.objective.name,
        normalizations=found,
        scale=scale,
        edges=edges,
    )


def _best(land: Landscape, outcome: Outcome) -> int:
    """Return the first of the best; raises `InputError` where there is none."""
    if np.isnan(outcome.value).all():
        reason = Counter(outcome.reason).most_common(1)[0][0]
        raise InputError(f"The objective “{land.objective.name}” has no value here: {reason}.")
    return int(np.nanargmax(outcome.value))


def _flat(values: Float64) -> bool:
    """Return whether all candidates that have a value are equally good."""
    return bool(np.nanmax(values) - np.nanmin(values) <= STEP)


def _most_central(values: Float64) -> tuple[int, ...]:
    """Return the candidate with a value that is nearest to the middle of all, (n,) or (n, m)."""
    some = np.argwhere(np.isfinite(values))
    middle = (np.array(values.shape) - 1) / 2
    apart = np.abs((some - middle) / np.maximum(middle, 1)).sum(axis=1)
    return tuple(int(i) for i in some[apart.argmin()])


def _odd(wanted: float, least: int, most: int) -> int:
    """Return the odd number at or below what is wanted, within two odd limits."""
    return int(min(max((wanted - 1) // 2 * 2 + 1, least), most))


def _axis(low: float, high: float, n: int, *, logarithmic: bool = False) -> Float64:
    if logarithmic:
        return scales_between(low, high, n)
    grid: Float64 = np.linspace(low, high, n)
    return grid


def _with(along: Float64, values: Float64, at: float, value: float) -> tuple[Float64, Float64]:
    """Return a curve with one more candidate, unless it is one already."""
    where = int(np.searchsorted(along, at))
    if where < len(along) and along[where] == at:
        return along, values
    return np.insert(along, where, at), np.insert(values, where, value)


def _on_curve(
    value: Callable[[Float64], Float64],
    along: Float64,
    at: float,
    top: float,
    *,
    middle: bool,
    logarithmic: bool = False,
) -> tuple[Float64, Float64, float, float]:
    """Return a curve with a known place on it, and its best: that place unless one is better."""
    along, values = _with(along, value(along), at, top)
    best = int(np.nanargmax(values))
    if values[best] > top:
        at, top = float(along[best]), float(values[best])
    if middle:
        at, top = _middle(value, along, values, logarithmic=logarithmic)
        along, values = _with(along, values, at, top)
    return along, values, at, top


def _tops(values: Float64) -> npt.NDArray[np.intp]:
    """Return where the curve (n,) is not below its neighbours, highest first."""
    filled = np.where(np.isnan(values), -np.inf, values)
    padded = np.concatenate([[-np.inf], filled, [-np.inf]])
    top = (filled >= padded[:-2]) & (filled >= padded[2:]) & np.isfinite(filled)
    found = np.flatnonzero(top)
    return found[np.argsort(-filled[found], kind="stable")]


def _map_tops(values: Float64) -> npt.NDArray[np.intp]:
    """Return where the map (n, m) is not below its eight neighbours, highest first: (tops, 2)."""
    filled = np.where(np.isnan(values), -np.inf, values)
    padded = np.pad(filled, 1, constant_values=-np.inf)
    n, m = values.shape
    top = np.isfinite(filled)
    for i in range(3):
        for j in range(3):
            top &= filled >= padded[i : i + n, j : j + m]
    found = np.argwhere(top)
    return found[np.argsort(-filled[top], kind="stable")]


def _zoomed(
    value: Callable[[Float64], Float64],
    along: Float64,
    tops: npt.NDArray[np.intp],
    *,
    logarithmic: bool,
) -> list[tuple[float, float]]:
    """Return t and value of each top between a coarse candidate's neighbours."""
    axis = np.log(along) if logarithmic else along
    low, high = axis[np.maximum(tops - 1, 0)], axis[np.minimum(tops + 1, len(axis) - 1)]
    best = [(float(along[top]), -np.inf) for top in tops]
    for _ in range(ROUNDS):
        grids = np.linspace(low, high, FINE, axis=1)  # (tops, FINE)
        ts = np.exp(grids) if logarithmic else grids
        ts = np.clip(ts, along[0], along[-1])
        found = value(ts.ravel()).reshape(ts.shape)
        found = np.where(np.isnan(found), -np.inf, found)
        at = found.argmax(axis=1)
        for i, j in enumerate(at):
            if found[i, j] > best[i][1]:
                best[i] = float(ts[i, j]), float(found[i, j])
        rows = np.arange(len(tops))
        low, high = grids[rows, np.maximum(at - 1, 0)], grids[rows, np.minimum(at + 1, FINE - 1)]
    return best


def _climbed(
    work: _Work,
    ts: Float64,
    cs: Float64,
    values: Float64,
    tops: npt.NDArray[np.intp],
    around: Float64,
    rounds: int,
) -> list[tuple[float, float, float]]:
    """Return t, c and value of each top of a map, from steps uphill that become smaller."""
    logs = np.log(cs)
    t, log_c = ts[tops[:, 0]], logs[tops[:, 1]]
    c, best = cs[tops[:, 1]], values[tops[:, 0], tops[:, 1]]
    width = np.full(len(tops), 0.5)  # in coarse steps
    steps = ts[1] - ts[0], logs[1] - logs[0]
    for _ in range(rounds):
        reach = width[:, None]
        new_t = np.clip(t[:, None] + reach * steps[0] * around[:, 0], ts[0], ts[-1])
        new_log = np.clip(log_c[:, None] + reach * steps[1] * around[:, 1], logs[0], logs[-1])
        new_c = np.clip(np.exp(new_log), cs[0], cs[-1])
        found = work.value(new_t.ravel(), new_c.ravel()).value.reshape(new_t.shape)
        found = np.where(np.isnan(found), -np.inf, found)
        at = found.argmax(axis=1)
        rows = np.arange(len(tops))
        better = found[rows, at] > best
        t = np.where(better, new_t[rows, at], t)
        c = np.where(better, new_c[rows, at], c)
        log_c = np.where(better, new_log[rows, at], log_c)
        best = np.where(better, found[rows, at], best)
        width = np.where(better, width, width / 2)
    return [(float(a), float(b), float(v)) for a, b, v in zip(t, c, best, strict=True)]


def _depth(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Return how many candidates each one of a region (n, m) lies from its border, 0 outside."""
    depth = np.zeros(inside.shape, dtype=np.intp)
    n, m = inside.shape
    while inside.any():
        depth += inside
        padded = np.pad(inside, 1, mode="edge")  # the end of a range is no border of the step
        inside = inside & np.logical_and.reduce(
            [padded[i : i + n, j : j + m] for i in range(3) for j in range(3)]
        )
        if depth.max() > max(n, m):
            break
    return depth


def _middle(
    value: Callable[[Float64], Float64], along: Float64, values: Float64, *, logarithmic: bool
) -> tuple[float, float]:
    """Return the middle of the widest best step of a curve, and the value there.

    The first of equally wide ones. Its ends are narrowed down between the last candidate on the
    step and the first beyond it.
    """
    axis = np.log(along) if logarithmic else along
    top = float(np.nanmax(values))
    on = np.concatenate([[False], values >= top - STEP, [False]])  # NaN is on no step
    first = np.flatnonzero(on[1:] & ~on[:-1])
    last = np.flatnonzero(on[:-1] & ~on[1:]) - 1
    widest = int(np.argmax(axis[last] - axis[first]))
    first, last = first[widest], last[widest]

    def place(x: float) -> float:
        at = float(np.exp(x)) if logarithmic else x
        return min(max(at, float(along[0])), float(along[-1]))

    ends = []
    for inner, beyond in ((first, first - 1), (last, last + 1)):
        inside = float(axis[inner])
        if 0 <= beyond < len(axis):
            outside = float(axis[beyond])
            for _ in range(3):
                grid = np.linspace(inside, outside, 6)[1:-1]
                found = value(np.array([place(float(x)) for x in grid])) >= top - STEP
                n = int(np.argmin(np.append(found, False)))  # so many are on the step
                points = [inside, *grid.tolist(), outside]
                inside, outside = points[n], points[n + 1]
        ends.append(inside)
    at = place(0.5 * (ends[0] + ends[1]))
    there = float(value(np.array([at]))[0])
    if there >= top - STEP:
        return at, there
    best = int(np.nanargmax(values))
    return float(along[best]), top


def _candidates(candidates: npt.ArrayLike, mode: ShiftMode) -> Float64:
    ts = as_float64(candidates, "The candidates")
    if ts.ndim != 1 or not ts.size or not np.isfinite(ts).all():
        raise InputError("The candidates must be a list of at least one finite number.")
    if mode == "locked" and (ts <= 0).any():
        raise InputError("In mode “locked” the candidates are scales, which must be above 0.")
    return ts
