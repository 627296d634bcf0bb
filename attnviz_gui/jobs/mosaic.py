"""Compute the cells of a mosaic of all heads: a request run in a worker, cells as they are ready.

Two threads share the heads, as numpy lets go of Python's lock in its products and exponentials.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from attnviz_gui.analysis.mosaic import (
    Allowed,
    Density,
    Part,
    Pool,
    dot_distance,
    pooled_attention,
    visible,
)
from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.geometry.space import shared_space
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.progress import Report
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.selection import Marks

    Float32 = npt.NDArray[np.float32]
    Place = tuple[int, int]  # layer, head

Mode = Literal["attention", "plane", "density"]
Axes = Literal["shared", "own"]
THREADS = 2
TELL_S = 0.03  # between one word of progress and the next


@dataclass(frozen=True)
class Kind:
    """What all cells of a mosaic show.

    Attributes
    ----------
    axes : {"shared", "own"}
        Of planes: one space for all heads, or each head its own.
    show_special, rotary
        As the document's options.
    """

    mode: Mode = "attention"
    pool: Pool = "maximum"
    axes: Axes = "shared"
    show_special: bool = True
    rotary: bool = True


@dataclass(frozen=True, eq=False)
class Points:
    """A head's places in a plane, queries (T_q, 2) and keys (T_k, 2), from 0 to 1 on both axes."""

    query: Float32
    key: Float32


@dataclass(frozen=True, eq=False)
class Tile:
    """One cell, or the part of it that is in sight.

    Attributes
    ----------
    values
        Pooled attention (h, w), a `Density`, `Points`, or why there is nothing.
    chosen
        The choice of pairs that a density counts by themselves; None: none.
    """

    place: Place
    part: Part
    values: Float32 | Density | Points | str
    chosen: object = None


@dataclass(frozen=True, eq=False)
class MosaicRequest:
    """Compute some cells.

    Attributes
    ----------
    wanted : sequence of (place, part)
        In the order in which they are computed.
    ready : deque of Tile
        Where each cell is put when it is there; whoever asked takes it away.
    chosen
        What tells one choice of pairs from others; None: nothing is chosen. Of densities alone.
    marks
        What of each layer's visible tokens is chosen; empty where nothing is.
    """

    capture: Capture
    text: int
    kind: Kind
    wanted: Sequence[tuple[Place, Part]]
    ready: deque[Tile] = field(default_factory=deque)
    chosen: object = None
    marks: Mapping[int, Marks] = field(default_factory=dict)

    def __call__(self, progress: Report, cancel: threading.Event | None) -> None:
        """Compute cell by cell; raises Cancelled."""
        stop, done, told = stop_where(cancel), 0, 0.0
        lock = threading.Lock()

        def tell() -> None:
            nonlocal done, told
            with lock:
                done += 1
                if (now := time.monotonic()) - told > TELL_S:
                    told = now
                    progress(done, len(self.wanted), "Drawing heads…")

        if self.kind.mode == "plane" and self.kind.axes == "shared":
            for tile in self._space(progress, stop, cancel):
                self.ready.append(tile)
            return
        waiting, failed = deque(self.wanted), threading.Event()
        allowed = Allowed()
        make = {"attention": self._attention, "plane": self._plane, "density": self._density}

        def stop_all() -> None:
            stop()
            if failed.is_set():
                raise Cancelled("another cell failed")

        def work() -> None:
            try:
                while True:
                    try:
                        place, part = waiting.popleft()
                    except IndexError:
                        return
                    stop_all()
                    values = make[self.kind.mode](place, part, allowed, stop_all)
                    self.ready.append(Tile(place, part, values, self.chosen))
                    tell()
            except BaseException:
                failed.set()
                raise

        n = min(THREADS, len(self.wanted))
        if n < 2:
            work()
            return
        with ThreadPoolExecutor(n, thread_name_prefix="mosaic") as pool:
            tasks = [pool.submit(work) for _ in range(n)]
        faults = [fault for task in tasks if (fault := task.exception()) is not None]
        for fault in sorted(faults, key=lambda fault: isinstance(fault, Cancelled)):
            raise fault

    # -- one cell ----------------------------------------------------------------------------

    def _attention(
        self, place: Place, part: Part, allowed: Allowed, stop: Callable[[], object]
    ) -> Float32:
        layer, head = place
        queries, keys = self._visible(layer)
        return pooled_attention(
            self.capture.records[self.text][layer], head, queries, keys, part, self.kind.pool,
            allowed=allowed, stop=stop,
        )  # fmt: skip

    def _density(
        self, place: Place, part: Part, _allowed: Allowed, stop: Callable[[], object]
    ) -> Density | str:
        query, key = self._vectors(place)
        layer, head = place
        mask = self.capture.records[self.text][layer].mask
        mask = mask if mask.ndim == 2 else mask[head]
        queries, keys = self._visible(layer)
        if (len(queries), len(keys)) != mask.shape:
            mask = mask[np.ix_(queries, keys)]
        marks = self.marks.get(layer)
        chosen = None if marks is None else marks.lit_pairs(mask)
        return dot_distance(query, key, mask, part.height, part.width, chosen=chosen, stop=stop)

    def _plane(
        self, place: Place, part: Part, _allowed: Allowed, _stop: Callable[[], object]
    ) -> Points | str:
        return _spread([_Vectors(*self._vectors(place))])[0]

    def _space(
        self, progress: Report, stop: Callable[..., object], cancel: Any
    ) -> list[Tile]:  # fmt: skip
        heads = _Heads(self, [place for place, _ in self.wanted])
        found = _spread(heads, lambda done, n: progress(done, n, "Finding one plane…"), cancel)
        stop()
        return [
            Tile(place, part, points)
            for (place, part), points in zip(self.wanted, found, strict=True)
        ]

    def _visible(self, layer: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        return visible(self.capture, layer, self.text, show_special=self.kind.show_special)

    def _vectors(self, place: Place) -> tuple[Float32, Float32]:
        """Return the visible queries and keys of a head, as they are drawn."""
        layer, head = place
        record = self.capture.records[self.text][layer]
        group = head * len(record.key) // len(record.query)
        query, key = record.query[head], record.key[group]
        if not self.kind.rotary and record.unrotated is not None:
            query, key = record.unrotated[0][head], record.unrotated[1][group]
        queries, keys = self._visible(layer)
        return (
            query if len(queries) == len(query) else query[queries],
            key if len(keys) == len(key) else key[keys],
        )


@dataclass(frozen=True, eq=False)
class _Vectors:
    query: Float32
    key: Float32


class _Heads:
    """Heads made when they are asked for."""

    def __init__(self, request: MosaicRequest, places: Sequence[Place]) -> None:
        self._request, self._places = request, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, i: int) -> _Vectors:
        return _Vectors(*self._request._vectors(self._places[i]))


def _spread(heads: Any, progress: Any = None, cancel: Any = None) -> list[Points | str]:
    """Return heads in one plane, in one square of side 1; or why one has no place there."""
    try:
        space = shared_space(heads, progress=progress, cancel=cancel)
    except InputError as error:
        return [str(error)] * len(heads)
    reasons = dict(space.left_out)
    low, high = space.limits[:, 0], space.limits[:, 1]
    # One unit is as long upwards as across, so that distances are those of the plane.
    side = float((high - low).max()) or 1.0
    first = (low + high - side) / 2

    def placed(xy: npt.NDArray[np.float64]) -> Float32:
        return ((xy - first) / side).astype(np.float32)

    out: list[Points | str] = []
    for i, (query, key) in enumerate(zip(space.query_xy, space.key_xy, strict=True)):
        if query is None or key is None:
            out.append(reasons.get(i, "It has no place in this plane."))
        else:
            out.append(Points(placed(query), placed(key)))
    return out
