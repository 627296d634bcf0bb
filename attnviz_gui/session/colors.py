"""The colours of what is on show: made anew where that changes, in a worker where it takes time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from attnviz_gui.session.coloring import Coloring, Side, color, norms
from attnviz_gui.session.offload import Offload, at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.session.document import Options
    from attnviz_gui.session.picture import Picture

    Float = npt.NDArray[np.float64]

FEW = 2_000  # points that are coloured at once
_SIDES: tuple[Side, Side] = ("query", "key")
SMALLEST, LARGEST = 0.6, 1.7  # sizes of points by their norm, times the usual one


class Colors:
    """How the points of the plane are coloured and sized, and which of them are hidden."""

    changed = Signal()

    def __init__(self) -> None:
        self.offload: Offload = at_once  # of its own: newer work replaces what waits
        self.coloring: Coloring | None = None  # None: queries and keys
        self.sizes: tuple[Float, Float] | None = None  # of queries and keys, None: all alike
        self._hidden: frozenset[int] = frozenset()
        self._hidden_sides: frozenset[Side] = frozenset()
        self._n = 0, 0  # queries and keys on show
        self._wanted: object = None
        self._following = False
        self._classes: tuple[str, ...] | None = None  # that are hidden, or not; None: of none yet

    @property
    def hidden(self) -> frozenset[int]:
        """The classes that are not drawn."""
        return self._hidden

    def toggle(self, which: int) -> None:
        """Hide a class, or show it again; hiding the last one shows all."""
        if self.coloring is None or not 0 <= which < len(self.coloring.classes):
            return
        hidden = self._hidden ^ {which}
        some = {i for i, n in enumerate(self.coloring.counts) if n}
        self._hidden = frozenset() if some <= hidden else hidden
        self.changed.emit()

    @property
    def hidden_sides(self) -> frozenset[Side]:
        """``query`` or ``key`` where these are not drawn, whatever their colours."""
        return self._hidden_sides

    def toggle_side(self, side: Side) -> None:
        """Hide all queries or all keys, or show them again; hiding the second shows both."""
        hidden = self._hidden_sides ^ {side}
        self._hidden_sides = frozenset() if len(hidden) == len(_SIDES) else hidden
        self.changed.emit()

    @property
    def shown(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]] | None:
        """Which queries and keys are drawn; None where all are."""
        coloring, hidden = self.coloring, np.array(sorted(self._hidden))
        if not self._hidden_sides and (coloring is None or not len(hidden)):
            return None
        if coloring is None:
            query, key = (np.ones(n, dtype=bool) for n in self._n)
        else:
            query, key = (~np.isin(side, hidden) for side in (coloring.query, coloring.key))
        for name, side in zip(_SIDES, (query, key), strict=True):
            if name in self._hidden_sides:
                side[:] = False
        return query, key

    def hidden_words(self) -> str:
        """Return ``5 of 22 points hidden``; empty where none is."""
        shown = self.shown
        if shown is None:
            return ""
        n, seen = sum(map(len, shown)), sum(int(side.sum()) for side in shown)
        return f"{n - seen:,} of {n:,} points hidden"

    def follow(self, pictures: Sequence[Picture], options: Options) -> bool:
        """Take what is on show, one picture or those of all texts, and how it is to be coloured.

        Returns whether the colours are others at once; the caller says so when all else is ready.
        `changed` tells of those that come later.
        """
        how = options.color_by, options.modulo
        wanted = (tuple(pictures), how, options.size_by_norm)
        if wanted == self._wanted:
            return False
        before, self._wanted = self._wanted, wanted
        if not isinstance(before, tuple) or before[1] != how:
            self._hidden = frozenset()

        def work() -> tuple[Coloring | None, tuple[Float, Float] | None]:
            made = None
            if options.color_by != "side":
                made = color(options.color_by, pictures, modulo=options.modulo)
            return made, _sizes(pictures) if options.size_by_norm else None

        n_queries = sum(len(p.query_tokens) for p in pictures)
        self._n = n_queries, sum(len(p.key_tokens) for p in pictures)
        n_points = sum(self._n)
        quick = options.color_by == "side" and not options.size_by_norm
        if quick or (n_points <= FEW and options.color_by != "cluster"):
            self._take(wanted, work())
            return True
        self.coloring = self.sizes = None  # those before are of other points
        self._following = True
        try:
            self.offload(work, lambda found: self._arrived(wanted, found))
        finally:
            self._following = False
        return True

    def _arrived(
        self, wanted: object, found: tuple[Coloring | None, tuple[Float, Float] | None]
    ) -> None:
        if wanted is self._wanted:
            self._take(wanted, found)
            if not self._following:  # else whoever asked says so, once all else is ready
                self.changed.emit()

    def _take(
        self, wanted: object, found: tuple[Coloring | None, tuple[Float, Float] | None]
    ) -> None:
        if wanted is not self._wanted:
            return
        self.coloring, self.sizes = found
        classes = None if self.coloring is None else self.coloring.classes
        if classes != self._classes:
            self._hidden = frozenset()  # they were other classes
        self._classes = classes


def _sizes(pictures: Sequence[Picture]) -> tuple[Float, Float]:
    """Return each point's size beside the usual one: its area grows with the norm."""
    query, key = norms(pictures)
    usual = float(np.median(np.concatenate([query, key]))) or 1.0
    sides = (np.clip(np.sqrt(side / usual), SMALLEST, LARGEST) for side in (query, key))
    of_query, of_key = sides
    return of_query, of_key
