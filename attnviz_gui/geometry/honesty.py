"""What the picture keeps of the attention and what it loses, in numbers: before → after.

`measure` takes every measure of one frame, `closer` answers one question for one head or many: do
pairs with high attention come closer? What each number is, where it comes from and which way is
better stands in `measures`.

All of it runs over the pairs that the mask allows. A query without an allowed key has nothing to
be near to: it is left out, and counted. A key is *nearer* than another where its squared distance
is smaller by more than `TIED` of the points' squared size, and by more than what the vectors'
rounding may make of it: rounding makes no order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.geometry.correlation import Candidates, HeadPairs, objective_named
from attnviz_gui.geometry.lines import strongest_keys
from attnviz_gui.geometry.measures import (
    COLLAPSED,
    MEASURES,
    NEAREST,
    SAME,
    Change,
    Measure,
    Measures,
    Verdict,
    compare,
    verdict,
)
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from attnviz_gui.geometry.live import Frame, LiveHead

    Float64 = npt.NDArray[np.float64]
    IndexArray = npt.NDArray[np.intp]

__all__ = [
    "COLLAPSED",
    "MEASURES",
    "NEAREST",
    "Change",
    "Closer",
    "Measure",
    "Measures",
    "Verdict",
    "closer",
    "compare",
    "measure",
    "participation",
]

# Squared distances nearer than this share of the points' squared size are equal.
TIED = 1e-10
# A spread below this share of the vectors' size is the rounding of equal vectors.
ROUNDING = 16 * np.finfo(np.float64).eps
# Numbers in a block of rows.
BLOCK = 1 << 16

NO_QUERY = "no query has an allowed key"
ONE_POINT = "all points are the same"
NO_SPREAD = "the model's own queries and keys are all the same"


def measure(frame: Frame, objective: str = "cosine", *, cancel: Any = None) -> Measures:
    """Return every measure of a frame.

    Cost: two passes over all pairs in blocks of queries, O(T² d), and one sort of each query's
    keys, O(T² log T); memory O(T d). About 0.1 s at 512 tokens, a second or two at 2,000.

    Parameters
    ----------
    frame : Frame
    objective : str
        A name in `attnviz_gui.geometry.correlation.OBJECTIVES`.
    cancel
        A `threading.Event`, or a function that says whether to stop.

    Raises
    ------
    InputError
        When there is no such objective.
    Cancelled
        When `cancel` is set.
    """
    chosen = objective_named(objective)
    stop = stop_where(cancel)
    live = frame.live
    strongest = strongest_keys(live.attention, live.mask)
    n_queries = int(np.count_nonzero(strongest >= 0))
    reasons: dict[str, str] = {}

    def tell(name: str, value: float, reason: str) -> float:
        if math.isnan(value):
            reasons[name] = reason
        return value

    stop()
    lengths = _lengths(frame, strongest, stop)
    near = _shares(_distances_in_full(frame, stop), live, strongest)
    drawn = _shares(_distances_in_plane(frame, stop), live, strongest)
    mask = None if live.all_allowed else live.mask
    pairs = HeadPairs(frame.query, frame.key, mask, strongest)
    stop()
    rank, no_rank = _value(pairs, "rank")
    stop()
    if chosen.name == "rank":
        value, no_value = rank, no_rank
    elif chosen.name == "cosine":  # the frame has it in closed form
        value, no_value = -frame.correlation, frame.why_undefined
    else:
        value, no_value = _value(pairs, chosen.name)
    variance = float(frame.projection.explained.sum()) or math.nan
    raw = participation(live.query, live.key)
    # The plane knows what of a spread is nothing but the rounding of a shift.
    spread = participation(frame.query, frame.key) if variance > 0 else 0.0
    ratio = spread / raw if raw else math.nan
    no_line = ONE_POINT if n_queries else NO_QUERY
    return Measures(
        objective=tell("objective", value, no_value),
        variance=tell("variance", variance, ONE_POINT),
        line_length=tell("line_length", lengths[0], no_line),
        weighted_length=tell("weighted_length", lengths[1], no_line),
        nearest=tell("nearest", near[0], NO_QUERY),
        among_nearest=tell("among_nearest", near[1], NO_QUERY),
        nearest_drawn=tell("nearest_drawn", drawn[0], NO_QUERY),
        among_nearest_drawn=tell("among_nearest_drawn", drawn[1], NO_QUERY),
        rank=tell("rank", -rank, no_rank),
        collapse=tell("collapse", ratio, NO_SPREAD),
        n_queries=n_queries,
        n_left_out=len(strongest) - n_queries,
        objective_name=chosen.name,
        reasons=reasons,
    )


@dataclass(frozen=True, eq=False)
class Closer:
    """The answer to "do pairs with high attention come closer?".

    Attributes
    ----------
    before, after : (n_heads,)
        `Measures.line_length` of each head; NaN where undefined.
    weighted_before, weighted_after : (n_heads,)
        `Measures.weighted_length` of each head.
    """

    before: Float64
    after: Float64
    weighted_before: Float64
    weighted_after: Float64

    @property
    def defined(self) -> npt.NDArray[np.bool_]:
        """The heads that have an answer, (n_heads,): the others are left out of all the rest."""
        return np.isfinite(self.before) & np.isfinite(self.after)

    @property
    def n_heads(self) -> int:
        """Heads that have an answer."""
        return int(np.count_nonzero(self.defined))

    @property
    def n_left_out(self) -> int:
        """Heads that have none: no allowed pair, or all points in one place."""
        return len(self.before) - self.n_heads

    @property
    def n_closer(self) -> int:
        """Heads in which the line became shorter, by more than rounding."""
        return int(np.count_nonzero(self.after[self.defined] < self.before[self.defined] - SAME))

    @property
    def share(self) -> float:
        """`n_closer` over `n_heads`, 0 to 1; NaN without a head."""
        return self.n_closer / self.n_heads if self.n_heads else math.nan

    @property
    def mean(self) -> tuple[float, float]:
        """Mean line length over heads, before and after; NaN without a head."""
        return self._mean(self.before), self._mean(self.after)

    @property
    def weighted_mean(self) -> tuple[float, float]:
        """Mean attention-weighted length over heads, before and after; NaN without a head."""
        return self._mean(self.weighted_before), self._mean(self.weighted_after)

    @property
    def verdict(self) -> Verdict:
        """``better`` where the mean line became shorter, ``worse`` where longer."""
        return verdict(*self.mean, "lower")

    def _mean(self, values: Float64) -> float:
        return float(values[self.defined].mean()) if self.n_heads else math.nan


def closer(frames: Iterable[tuple[Frame, Frame]], *, cancel: Any = None) -> Closer:
    """Return whether pairs with high attention come closer, for one head or many.

    Formula: `Measures.line_length` and `Measures.weighted_length` of each head, before and after.
    Source: the article's question. Cost: a pass over all pairs of each frame, O(T²), in blocks;
    heads are taken one by one, so an iterator need not hold them all.

    Parameters
    ----------
    frames : iterable of (before, after)
        Two frames of one head each: that of one head, of a layer, of a model.
    cancel
        A `threading.Event`, or a function that says whether to stop.

    Raises
    ------
    Cancelled
        When `cancel` is set.
    """
    stop = stop_where(cancel)
    found = []
    for before, after in frames:
        live = before.live
        strongest = strongest_keys(live.attention, live.mask)
        found.append([*_lengths(before, strongest, stop), *_lengths(after, strongest, stop)])
    table = np.array(found, dtype=np.float64).reshape(-1, 4).T
    return Closer(table[0], table[2], table[1], table[3])


def join_closer(answers: Sequence[Closer]) -> Closer:
    """Return the answer of all heads that some answers are about."""
    names = "before", "after", "weighted_before", "weighted_after"
    return Closer(*(np.concatenate([getattr(a, name) for a in answers]) for name in names))


def participation(query: Float64, key: Float64) -> float:
    """Return the number of directions that queries and keys spread over, taken together.

    Formula: (Σλ)² / Σλ² of their joint covariance C, which is tr(C)² / |C|² and needs no
    eigenvalues. Source: the participation ratio of physics. Range: 1 to d; 0 where all vectors are
    the same, but for rounding. Cost: O(T d²).

    Parameters
    ----------
    query, key : (T_q, d), (T_k, d)
    """
    points = np.concatenate([query, key])
    if not len(points):
        return 0.0
    size = float(np.abs(points).max())
    points -= points.mean(axis=0)
    spread = float(np.abs(points).max())
    if spread <= ROUNDING * size:
        return 0.0
    points /= spread  # so that no fourth power leaves double precision
    scatter = points.T @ points
    return float(np.trace(scatter)) ** 2 / float(np.einsum("de,de", scatter, scatter))


def _value(pairs: HeadPairs, objective: str) -> tuple[float, str]:
    """Return an objective for vectors as they are, and why it is undefined."""
    still = np.zeros(pairs.key.shape[1])
    search = objective_named(objective).prepare([pairs])
    outcome = search(Candidates([(still, still)], np.zeros(1), np.ones(1)))
    return float(outcome.value[0]), outcome.reason[0]


def _lengths(frame: Frame, strongest: IndexArray, stop: Callable[[], None]) -> tuple[float, float]:
    """Return the mean line and the attention-weighted mean distance, over the mean distance."""
    live = frame.live
    queries = np.flatnonzero(strongest >= 0)
    if not len(queries):
        return math.nan, math.nan
    attention, mask = live.attention, live.mask
    line = frame.mean_line_length((queries, strongest[queries]))
    total = weighted = weight = 0.0
    for rows, squares, _ in _distances_in_plane(frame, stop):
        distances = np.sqrt(squares, out=squares)
        if not live.all_allowed:
            distances *= mask[rows]
        total += float(distances.sum())
        weighted += float(np.einsum("qk,qk", distances, attention[rows]))
        weight += float(attention[rows].sum(dtype=np.float64))
    mean = total / int(np.count_nonzero(mask))
    if not mean > 0:
        return math.nan, math.nan
    return line / mean, weighted / weight / mean if weight > 0 else math.nan


def _shares(
    distances: Iterator[tuple[slice, Float64, float]], live: LiveHead, strongest: IndexArray
) -> tuple[float, float]:
    """Return the shares of queries whose strongest key is nearest, and among the nearest."""
    nearest = among = 0
    count = int(np.count_nonzero(strongest >= 0))
    if not count:
        return math.nan, math.nan
    for rows, squares, level in distances:
        own = strongest[rows]
        bound = squares[np.arange(len(own)), np.maximum(own, 0)] - level
        nearer = squares < bound[:, None]
        if not live.all_allowed:
            nearer &= live.mask[rows]
        before = np.count_nonzero(nearer, axis=1)
        nearest += int(np.count_nonzero((before < 1) & (own >= 0)))
        among += int(np.count_nonzero((before < NEAREST) & (own >= 0)))
    return nearest / count, among / count


def _distances_in_full(
    frame: Frame, stop: Callable[[], None]
) -> Iterator[tuple[slice, Float64, float]]:
    """Yield rows, squared distances of q' and k' (B, T_k), and what of them is a tie."""
    query, key = frame.query, frame.key
    if not len(query) or not len(key):
        return
    # About their common middle: large means would cost the digits that tell keys apart.
    middle = 0.5 * (query.mean(axis=0) + key.mean(axis=0))
    query, key = query - middle, key - middle
    of_query, of_key = (np.einsum("td,td->t", each, each) for each in (query, key))
    reach = float(np.sqrt(of_query.max()) + np.sqrt(of_key.max()))
    rounding = ROUNDING * frame.size * math.sqrt(query.shape[1])
    level = max(TIED * reach**2, rounding * reach) + rounding**2
    for rows in _row_blocks(len(query), len(key)):
        stop()
        squares = query[rows] @ key.T
        squares *= -2
        squares += of_query[rows, None]
        squares += of_key
        yield rows, squares, level


def _distances_in_plane(
    frame: Frame, stop: Callable[[], None]
) -> Iterator[tuple[slice, Float64, float]]:
    """Yield rows, squared distances in the plane (B, T_k), and what of them is a tie."""
    query_xy, key_xy = frame.projection.query_xy, frame.projection.key_xy
    if not len(query_xy) or not len(key_xy):
        return
    reach = [float(np.sqrt(np.square(xy).sum(axis=1).max())) for xy in (query_xy, key_xy)]
    level = TIED * sum(reach) ** 2
    for rows in _row_blocks(len(query_xy), len(key_xy)):
        stop()
        squares = np.subtract.outer(query_xy[rows, 0], key_xy[:, 0])
        squares *= squares
        along_y = np.subtract.outer(query_xy[rows, 1], key_xy[:, 1])
        along_y *= along_y
        squares += along_y
        yield rows, squares, level


def _row_blocks(n_queries: int, n_keys: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(n_keys, 1))
    for start in range(0, n_queries, step):
        yield slice(start, min(start + step, n_queries))
