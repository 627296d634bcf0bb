"""An objective as a function of the sliders: of t and c, for heads fitted together, in one mode.

`Landscape` is made once for some heads and valued as often as wanted: a fit searches it, a plot
samples it. What no candidate changes is computed when it is made; it never searches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.arrays import as_mask, as_vectors, in_range
from attnviz_gui.geometry.correlation import Candidates, HeadPairs, objective_named
from attnviz_gui.geometry.lines import strongest_keys
from attnviz_gui.geometry.masks import TextPairs
from attnviz_gui.geometry.normalization import (
    Normalization,
    ShiftMode,
    checked_factor,
    line_position,
    scale_range,
    shift_line,
    shift_range,
)
from attnviz_gui.geometry.pearson import Outcome
from attnviz_gui.geometry.stopping import stop_where
from attnviz_gui.geometry.transforms import balancing, lift, transform_vectors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

# Samples of a curve; odd, so that the middle (no shift, c = 1) is one.
SAMPLES = 129
# What an eigen-decomposition costs, in pairs for each d³.
EIGEN = 0.05
# Pairs that are gone through between two looks at whether to stop.
BREATH = 1 << 21


class Landscape:
    """The value of an objective for every t and c, of heads that share them.

    Parameters
    ----------
    heads
        A head, or a list of them that are fitted together, as `attnviz_gui.geometry.fit.fit` takes.
    objective
        A name in `attnviz_gui.geometry.correlation.OBJECTIVES`.
    shift_mode
        What t means. In mode ``locked`` there is no t: the shift follows c.
    range_factor
        Widens the range of t: -r…r becomes -f r…f r, 0…1 becomes 1-f…f.
    scale_factor
        Widens the range of c: 0.1…10 becomes 0.1/f…10 f, as far as `scale_range` goes.

    Attributes
    ----------
    objective : Objective
    mode : str
    heads : list of HeadPairs
        As they were given; a balanced head's own vectors are kept apart.
    is_map : bool
        Whether t and c both matter: the objective depends on c, and c does not set the shift.
    low, high : float
        Range of t; in mode ``locked``, of c.
    scales : pair of float
        Range of c.
    cost : float
        About how many pairs a candidate goes through; 0 where it goes through none.

    Raises
    ------
    InputError
        When there is no head, objective or mode of that name, a head has no query or no key, or
        the vectors hold NaN or infinity.
    """

    def __init__(
        self,
        heads: Any,
        objective: str,
        shift_mode: ShiftMode = "constant",
        *,
        range_factor: float = 1.0,
        scale_factor: float = 1.0,
    ) -> None:
        chosen = self.objective = objective_named(objective)
        shift_range(shift_mode, np.zeros(0))  # refuses an unknown mode before any work
        checked_factor(range_factor)
        self.scales = scale_range(scale_factor)
        self.mode = shift_mode
        self.heads = _heads(heads, attention=chosen.uses_attention)
        for head in self.heads:
            if not in_range(head.query, head.key):
                raise InputError(
                    "The queries or keys hold NaN or infinity (or numbers beyond 1e60)."
                )
        self.is_map = chosen.uses_scale and shift_mode != "locked"
        self.low, self.high = self.scales
        if shift_mode != "locked":
            self.low, self.high = _range(shift_mode, self.heads, range_factor)
        self._transforms: list[Float64 | None] = [None] * len(self.heads)
        self._own = self.heads
        if shift_mode == "balanced":
            self._transforms = [balancing(head.query, head.key) for head in self.heads]
            self._own = [
                HeadPairs(*transform_vectors(head.query, head.key, m), head.mask, head.strongest)
                for head, m in zip(self.heads, self._transforms, strict=True)
                if m is not None
            ]
        self._lines = [
            shift_line(shift_mode, head.query.mean(axis=0), head.key.mean(axis=0))
            for head in self._own
        ]
        self._search = None if shift_mode == "lifted" else chosen.prepare(self._own)
        self.cost = 0.0
        if chosen.cost == "pairs":
            self.cost = sum(_n_pairs(h) + EIGEN * h.key.shape[1] ** 3 for h in self.heads)

    @property
    def n_pairs(self) -> int:
        """Pairs of a query and a key of one text, of all heads; masked ones too."""
        return sum(_n_pairs(head) for head in self.heads)

    def value(
        self,
        t: npt.ArrayLike,
        scale: npt.ArrayLike,
        *,
        step: Callable[[int], None] | None = None,
    ) -> Outcome:
        """Return the objective at some t and c, (n,) each or one number for all.

        `step` is called before each part of the work with the number of candidates that it has;
        what it raises ends the work.
        """
        ts, scales = (
            np.array(a, dtype=np.float64)
            for a in np.broadcast_arrays(np.atleast_1d(t), np.atleast_1d(scale))
        )
        n = len(ts)
        size = n if not self.cost else max(1, int(BREATH / self.cost))
        if self.mode == "lifted":
            size = min(size, 32)
        parts = []
        for first in range(0, n, max(size, 1)):
            part = slice(first, first + size)
            if step is not None:
                step(len(ts[part]))
            parts.append(self._value(ts[part], scales[part]))
        if len(parts) == 1:
            return parts[0]
        return Outcome(
            np.concatenate([part.value for part in parts] or [np.zeros(0)]),
            tuple(why for part in parts for why in part.reason),
        )

    def normalizations(self, t: float, scale: float) -> tuple[Normalization, ...]:
        """Return the shift and scale of each head, in the order of the heads."""
        if self.mode == "constant":
            return (Normalization(t, scale),) * len(self.heads)
        found = []
        for (base, direction), transform in zip(self._lines, self._transforms, strict=True):
            shift = base + line_position(self.mode, t, scale) * direction
            if transform is not None:
                shift = transform.T @ shift
            found.append(Normalization(shift, scale, transform, self.mode == "lifted"))
        return tuple(found)

    def _value(self, ts: Float64, scales: Float64) -> Outcome:
        if self._search is not None:
            position = line_position(self.mode, ts, scales)
            return self._search(Candidates(self._lines, position, scales))
        # The last coordinate is no linear function of t: each t has vectors of its own.
        value, reason = np.empty(len(ts)), [""] * len(ts)
        for t in np.unique(ts):
            some = np.flatnonzero(ts == t)
            raised = [
                HeadPairs(*lift(h.query, h.key + t * direction), h.mask, h.strongest)
                for h, (_, direction) in zip(self.heads, self._lines, strict=True)
            ]
            still = [np.zeros(h.key.shape[1]) for h in raised]
            outcome = self.objective.prepare(raised)(
                Candidates([(zero, zero) for zero in still], np.zeros(len(some)), scales[some])
            )
            value[some] = outcome.value
            for i, why in zip(some, outcome.reason, strict=True):
                reason[i] = why
        return Outcome(value, tuple(reason))


@dataclass(frozen=True, eq=False)
class Sample:
    """An objective along both sliders through one place.

    Attributes
    ----------
    t, scale : float
        The place.
    value : float
        The objective there; NaN where undefined, then `reason` says why.
    reason : str
    along_t : (n, 2) or None
        t and value at this c; None in mode ``locked``.
    along_scale : (m, 2) or None
        c and value at this t, c in equal steps of its logarithm; None where c does not matter.
    """

    t: float
    scale: float
    value: float
    reason: str
    along_t: Float64 | None
    along_scale: Float64 | None


def sample(
    heads: Any,
    objective: str = "cosine",
    *,
    shift_mode: ShiftMode = "constant",
    t: float = 0.0,
    scale: float = 1.0,
    n: int = SAMPLES,
    range_factor: float = 1.0,
    scale_factor: float = 1.0,
    cancel: Any = None,
) -> Sample:
    """Value an objective over a grid of t at one c, and over a grid of c at one t.

    Parameters
    ----------
    heads
        As in `Landscape`, or a `Landscape`, which is then used again as it is: the other
        arguments that it was made from are ignored.
    objective, shift_mode, range_factor, scale_factor
        As in `Landscape`. The ranges are widened until they hold t and the scale.
    t, scale
        Where the sliders stand; in mode ``locked`` t is ignored.
    n
        How many samples each curve has.
    cancel
        A `threading.Event`, or a function that says whether to stop.

    Raises
    ------
    InputError
        As `Landscape`.
    Cancelled
        When `cancel` is set.
    """
    land = heads
    if not isinstance(land, Landscape):
        land = Landscape(
            heads, objective, shift_mode, range_factor=range_factor, scale_factor=scale_factor
        )
    step = stop_where(cancel)
    here = land.value(t, scale, step=step)
    along_t = along_scale = None
    if land.mode != "locked":
        ts = np.linspace(min(land.low, t), max(land.high, t), n)
        along_t = np.column_stack([ts, land.value(ts, scale, step=step).value])
    if land.is_map or land.mode == "locked":
        cs = scales_between(min(land.scales[0], scale), max(land.scales[1], scale), n)
        along_scale = np.column_stack([cs, land.value(t, cs, step=step).value])
    return Sample(t, scale, float(here.value[0]), here.reason[0], along_t, along_scale)


def scales_between(low: float, high: float, n: int) -> Float64:
    """Return n scales in equal steps of their logarithm, with the ends as they are given."""
    scales: Float64 = np.geomspace(low, high, n)
    scales[0], scales[-1] = low, high
    return scales


def _range(mode: ShiftMode, heads: Sequence[HeadPairs], factor: float) -> tuple[float, float]:
    low, high = shift_range(mode, np.concatenate([head.key.ravel() for head in heads]))
    if mode == "constant":
        return low * factor, high * factor
    return low - (factor - 1), high + (factor - 1)


def _heads(heads: Any, *, attention: bool) -> list[HeadPairs]:
    several = [heads] if hasattr(heads, "query") else list(heads)
    if not several:
        raise InputError("A fit needs at least one head.")
    found = []
    for head in several:
        q, k = as_vectors(head.query, head.key)
        if not len(q) or not len(k):
            raise InputError("A fit needs at least one query and one key in every head.")
        mask = as_mask(getattr(head, "mask", None), (len(q), len(k)))
        strongest = _strongest(head, mask, (len(q), len(k))) if attention else None
        found.append(HeadPairs(q, k, mask, strongest))
    return found


def _strongest(head: Any, mask: Any, shape: tuple[int, int]) -> Any:
    """Return each query's most attended key by the head's own attention, or None without one."""
    strongest = getattr(head, "strongest", None)
    if strongest is not None:
        return np.asarray(strongest)
    attention = getattr(head, "attention", None)
    if attention is None or isinstance(mask, TextPairs) or np.shape(attention) != shape:
        return None
    return strongest_keys(attention, mask)


def _n_pairs(head: HeadPairs) -> int:
    if not isinstance(head.mask, TextPairs):
        return len(head.query) * len(head.key)
    return sum((q.stop - q.start) * (k.stop - k.start) for q, k, _ in head.mask.texts)
