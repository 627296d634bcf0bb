"""The selected and found points of a plane, over the pale rest: opaque, with a ring.

Draws from the positions that the plane has already; never changes how the points beneath are
drawn. Knows nothing of the document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.ui.views.crowd import FEW, Crowd
from attnviz_gui.ui.views.labels import rim
from attnviz_gui.ui.views.marks import Markers

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtCore import QRectF
    from PySide6.QtGui import QColor, QPainter

    from attnviz_gui.session.selection import Marks
    from attnviz_gui.ui.views.marks import Shape
    from attnviz_gui.ui.views.raster import Area
    from attnviz_gui.ui.views.tones import Tones

    Float = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]
    Shown = tuple[Bool | None, Bool | None]
    Int = npt.NDArray[np.intp]

PALE = 0.66  # how far the rest fades behind what is selected
RINGED = 500  # points up to which each has a ring: more of them would hide each other
RINGS = (("found", 6.0), ("selected", 3.0))  # by how much a ring is wider than its marker
SIDES: tuple[tuple[Shape, str], ...] = ("circle", "query"), ("triangle", "key")


@dataclass(eq=False)
class Picked:
    """What of a plane's points is lit.

    Attributes
    ----------
    own : Marks or None
        Of the chosen text's points.
    crowd : Marks or None
        Of all texts' points, where they are shown together.
    """

    own: Marks | None = None
    crowd: Marks | None = None
    _markers: Markers = field(default_factory=Markers)
    _dots: Crowd = field(default_factory=Crowd)

    def __bool__(self) -> bool:
        return self.own is not None or self.crowd is not None

    def points(self) -> Int:
        """Return which of the chosen text's points are lit, queries first."""
        if self.own is None:
            return np.zeros(0, dtype=np.intp)
        return np.flatnonzero(np.concatenate(self.own.lit))

    def draw_crowd(
        self, p: QPainter, room: QRectF, crowd: Crowd, area: Area, diameter: float,
        colors: dict[str, QColor], scale: float,
    ) -> None:  # fmt: skip
        """Draw what is lit of all texts and not hidden: markers, or dots where they are many."""
        if self.crowd is None or not len(crowd):
            return
        query, key = _seen(self.crowd.lit, crowd.shown)
        tones = None if crowd.tones is None else tuple(
            of.part(some) for of, some in zip(crowd.tones, (query, key), strict=True)
        )  # fmt: skip
        p.save()
        p.translate(room.topLeft())
        n = int(query.sum()) + int(key.sum())
        if n > FEW:
            self._dots.set_points(crowd.query[query], crowd.key[key])
            self._dots.set_tones(*(tones or (None, None)))
            roles = colors["query"], colors["key"], colors["ground"]
            self._dots.draw(p, area, 0.0, *roles, scale)
        else:
            sides = [
                np.column_stack([area.across(xy[:, 0]), area.down(xy[:, 1])])
                for xy in (crowd.query[query], crowd.key[key])
            ]
            kinds = _kinds(self.crowd, (query, key)) if n <= RINGED else {}
            self._draw(p, sides, tones, kinds, diameter, colors, scale)
        p.restore()

    def draw_rings(
        self, p: QPainter, points: Float, n_queries: int, shown: Shown, diameter: float,
        colors: dict[str, QColor], scale: float,
    ) -> None:  # fmt: skip
        """Draw what is to lie beneath the lit markers of the chosen text.

        `points`: all of its points in pixels, (N, 2); `shown`: which of them are not hidden.
        """
        if self.own is None:
            return
        query, key = _seen(self.own.lit, shown)
        sides = [points[:n_queries][query], points[n_queries:][key]]
        if len(sides[0]) + len(sides[1]) <= RINGED:
            for side in (1, 0):
                kinds = _kinds(self.own, (query, key))
                self._ring(p, sides[side], side, kinds, diameter, colors, scale)

    def _ring(
        self, p: QPainter, points: Float, side: int,
        kinds: dict[str, list[npt.NDArray[np.bool_]]], diameter: float,
        colors: dict[str, QColor], scale: float,
    ) -> None:  # fmt: skip
        shape = SIDES[side][0]
        for kind, wider in RINGS:
            if kind in kinds:
                at, ring = points[kinds[kind][side]], colors[kind]
                self._markers.draw(p, at, shape, diameter + wider, ring, ring, scale)

    def _draw(
        self, p: QPainter, sides: list[Float], tones: tuple[Tones, ...] | None,
        kinds: dict[str, list[npt.NDArray[np.bool_]]], diameter: float,
        colors: dict[str, QColor], scale: float,
    ) -> None:  # fmt: skip
        ground = colors["ground"]
        for side in (1, 0):  # queries over keys, as they are drawn beneath
            shape, role = SIDES[side]
            points = sides[side]
            self._ring(p, points, side, kinds, diameter, colors, scale)
            if tones is None:
                self._markers.draw(p, points, shape, diameter, colors[role], ground, scale)
                continue
            for some, color, size in tones[side].groups(np.arange(len(points))):
                fill = colors[role] if color is None else color
                edge = rim(fill, ground)
                self._markers.draw(p, points[some], shape, diameter * size, fill, edge, scale)


def _seen(lit: tuple[Bool, Bool], shown: Shown) -> tuple[Bool, Bool]:
    """Return which of the lit queries and keys are not hidden."""
    query, key = (on if s is None else on & s for on, s in zip(lit, shown, strict=True))
    return query, key


def _kinds(
    marks: Marks, lit: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]
) -> dict[str, list[npt.NDArray[np.bool_]]]:
    """Return which of the lit queries and keys are selected, and which are found."""
    both = {"selected": marks.selected, "found": marks.found}
    return {kind: [m[on] for m, on in zip(of, lit, strict=True)] for kind, of in both.items()}
