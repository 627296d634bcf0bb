"""The search for the best shift and scale: a coarse curve, then its highest tops refined."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.arrays import as_float64, as_mask, as_vectors
from attnviz_gui.geometry.correlation import Candidates, HeadPairs, objective_named
from attnviz_gui.geometry.normalization import (
    Normalization,
    ShiftMode,
    line_position,
    shift_line,
    shift_range,
    shift_vector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.correlation import Search
    from attnviz_gui.geometry.pearson import Outcome

    Float64 = npt.NDArray[np.float64]

# Candidates of the coarse curve; an odd number, so that the middle (no shift, c = 1) is one.
COARSE = 257
# A top is refined by ROUNDS grids of FINE candidates, each over the last one's best and neighbours.
TOPS, ROUNDS, FINE = 4, 7, 17


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
        Candidate t and the objective's value, in the order of the candidates; NaN where it is
        undefined. A search of its own adds the optimum it refined to its coarse candidates.
    shift_mode : str
    t : float
        The best candidate, in raw units; in mode ``locked`` it is the scale c.
    at_edge : bool
        The best is the first or last of the range: something better may lie outside it.
    objective : str
    normalizations : tuple of Normalization
        The best shift and scale of each head, in the order of the heads.
    """

    normalization: Normalization
    value: float
    curve: Float64
    shift_mode: ShiftMode
    t: float
    at_edge: bool
    objective: str
    normalizations: tuple[Normalization, ...]


def fit(
    heads: Any,
    objective: str = "cosine",
    *,
    shift_mode: ShiftMode = "constant",
    candidates: npt.ArrayLike | None = None,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> Fit:
    """Search the shift (in mode ``locked``, the scale) that makes the objective largest.

    Parameters
    ----------
    heads
        A `Head`, or a list of them that are fitted together: one t, and one objective over all
        pairs of all heads as one set. Anything with ``query`` (T_q, d), ``key`` (T_k, d) and,
        where not all pairs are allowed, ``mask`` will do.
    objective
        A name in `attnviz_gui.geometry.correlation.OBJECTIVES`.
    shift_mode
        What t means: ``constant`` adds t to every coordinate; ``centroid`` adds t times
        (mean query - mean key), each head's own; ``locked`` searches the scale c alone, with the
        shift that keeps the centroids together.
    candidates : (n,), optional
        The t (in mode ``locked``, the c) to choose from. Without them the search covers the
        slider's range, `shift_range`, and refines the best to far below 1e-6 of the objective.
    progress
        Called with the steps done and the steps in all.
    cancel
        A `threading.Event`, or a function that says whether to stop.

    Raises
    ------
    InputError
        When there is no head, objective or mode of that name, a candidate is not a finite number
        (in mode ``locked``, above 0), or the objective is undefined at every candidate.
    Cancelled
        When `cancel` is set.
    """
    chosen = objective_named(objective)
    shift_range(shift_mode, np.zeros(0))  # refuses an unknown mode before any work
    pairs = _heads(heads)
    given = None if candidates is None else _candidates(candidates, shift_mode)
    total = 1 if given is not None else 1 + TOPS * ROUNDS
    steps = 0

    def step() -> None:
        nonlocal steps
        if cancel is not None and (cancel() if callable(cancel) else cancel.is_set()):
            raise Cancelled("cancelled")
        if progress is not None:
            progress(steps, total)
        steps += 1

    step()
    means = [(head.query.mean(axis=0), head.key.mean(axis=0)) for head in pairs]
    search = _search(chosen.prepare(pairs), [shift_line(shift_mode, *m) for m in means], shift_mode)
    if given is not None:
        ts, outcome = given, search(given)
        values = outcome.value
    else:
        ts, logarithmic = _coarse(shift_mode, pairs)
        outcome = search(ts)
        values = outcome.value
        for top in _tops(values):
            t, value = _refine(search, ts, top, logarithmic, step)
            if value > np.nanmax(values):
                where = int(np.searchsorted(ts, t))
                ts, values = np.insert(ts, where, t), np.insert(values, where, value)
    if np.isnan(values).all():
        reason = Counter(outcome.reason).most_common(1)[0][0]
        raise InputError(f"The objective “{objective}” has no value here: {reason}.")

    best = int(np.nanargmax(values))
    t = float(ts[best])
    scale = t if shift_mode == "locked" else 1.0
    found = tuple(
        Normalization(
            t if shift_mode == "constant" else shift_vector(shift_mode, t, scale, *m), scale
        )
        for m in means
    )
    return Fit(
        normalization=found[0],
        value=float(values[best]),
        curve=np.column_stack([ts, values]),
        shift_mode=shift_mode,
        t=t,
        at_edge=bool(len(ts) > 1 and t in (ts.min(), ts.max())),
        objective=objective,
        normalizations=found,
    )


def _search(
    objective: Search, lines: Sequence[tuple[Float64, Float64]], mode: ShiftMode
) -> Callable[[Float64], Outcome]:
    """Return the objective as a function of t (n,)."""

    def search(ts: Float64) -> Outcome:
        scale = ts if mode == "locked" else np.ones(len(ts))
        return objective(Candidates(lines, line_position(mode, ts, scale), scale))

    return search


def _coarse(mode: ShiftMode, heads: Sequence[HeadPairs]) -> tuple[Float64, bool]:
    """Return the coarse candidates, and whether they are equal steps of the logarithm."""
    low, high = shift_range(mode, np.concatenate([head.key.ravel() for head in heads]))
    if mode == "locked":
        return np.geomspace(low, high, COARSE), True
    return np.linspace(low, high, COARSE), False


def _tops(values: Float64) -> npt.NDArray[np.intp]:
    """Return where the curve (n,) is not below its neighbours, highest first, at most `TOPS`."""
    filled = np.where(np.isnan(values), -np.inf, values)
    padded = np.concatenate([[-np.inf], filled, [-np.inf]])
    top = (filled >= padded[:-2]) & (filled >= padded[2:]) & np.isfinite(filled)
    found = np.flatnonzero(top)
    return found[np.argsort(-filled[found], kind="stable")][:TOPS]


def _refine(
    search: Callable[[Float64], Outcome],
    ts: Float64,
    top: int,
    logarithmic: bool,
    step: Callable[[], None],
) -> tuple[float, float]:
    """Return t and value of the top between a coarse candidate's neighbours."""
    low, high = float(ts[max(top - 1, 0)]), float(ts[min(top + 1, len(ts) - 1)])
    best = float(ts[top]), -np.inf
    for _ in range(ROUNDS):
        step()
        grid = np.geomspace(low, high, FINE) if logarithmic else np.linspace(low, high, FINE)
        values = search(grid).value
        if np.isnan(values).all():
            break
        i = int(np.nanargmax(values))
        best = max(best, (float(grid[i]), float(values[i])), key=lambda found: found[1])
        low, high = float(grid[max(i - 1, 0)]), float(grid[min(i + 1, FINE - 1)])
    return best


def _heads(heads: Any) -> list[HeadPairs]:
    several = [heads] if hasattr(heads, "query") else list(heads)
    if not several:
        raise InputError("A fit needs at least one head.")
    found = []
    for head in several:
        q, k = as_vectors(head.query, head.key)
        if not len(q) or not len(k):
            raise InputError("A fit needs at least one query and one key in every head.")
        found.append(HeadPairs(q, k, as_mask(getattr(head, "mask", None), (len(q), len(k)))))
    return found


def _candidates(candidates: npt.ArrayLike, mode: ShiftMode) -> Float64:
    ts = as_float64(candidates, "The candidates")
    if ts.ndim != 1 or not ts.size or not np.isfinite(ts).all():
        raise InputError("The candidates must be a list of at least one finite number.")
    if mode == "locked" and (ts <= 0).any():
        raise InputError("In mode “locked” the candidates are scales, which must be above 0.")
    return ts
