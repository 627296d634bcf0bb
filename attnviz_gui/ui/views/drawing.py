"""What is inside a plane's axes: lines, markers, labels, the focus on top of them.

Works in the view box's pixels and draws from arrays; knows nothing of the document. A highlight
is drawn over the rest and never recolours it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen

from attnviz_gui.ui.views import labels, marks
from attnviz_gui.ui.views.crowd import Crowd
from attnviz_gui.ui.views.picked import PALE, Picked
from attnviz_gui.ui.views.plane_content import EMPTY, Links, Lit
from attnviz_gui.ui.views.raster import Area
from attnviz_gui.ui.views.region import Region

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QColor

    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.tones import Tones

    Float = npt.NDArray[np.float64]
    Int = npt.NDArray[np.intp]
    Bool = npt.NDArray[np.bool_]
    Bounds = tuple[float, float, float, float]

VEIL = 0.72  # how far the rest fades behind the focus


class Labelling:
    """Labels that have been given their places, and that keep them while the points move."""

    def __init__(self, index: Int = EMPTY, corner: Float | None = None) -> None:
        self.index = index
        self.corner = np.zeros((0, 2)) if corner is None else corner
        self.shown = np.ones(len(index), dtype=bool)

    def follow(self, points: Float, sizes: Float, bounds: Bounds) -> None:
        """Drop the labels that now overlap a more important one or leave the bounds.

        They stay away until labels are placed anew: nothing flickers during a drag.
        """
        low = points[self.index] + self.corner
        high = low + sizes[self.index]
        self.shown &= (low >= bounds[:2]).all(axis=1) & (high <= bounds[2:]).all(axis=1)
        rows = np.flatnonzero(self.shown)
        self.shown[rows] = labels.disjoint(low[rows], high[rows])


class Drawing(pg.GraphicsObject):
    """Points 0 … n_queries-1 are queries, the others keys.

    Parameters
    ----------
    box : pyqtgraph.ViewBox
        Where it draws, and whose range it follows.
    """

    def __init__(self, box: pg.ViewBox, theme: Theme) -> None:
        super().__init__()
        # Given to the box once it is whole: the box looks at a child while it is being given one.
        self.setParentItem(box)
        self._box = box
        self.xy: Float = np.zeros((0, 2))
        self.n_queries = 0
        self.diameter = marks.diameter(0)
        self.art = labels.LabelArt()
        self.order = EMPTY
        self.links = Links()
        self.watched = Links()
        self.lit: Lit | None = None
        self.picked = Picked()  # what is selected or found
        self.tones: Tones | None = None  # None: queries and keys in their two colours
        self.crowd = Crowd()  # of all texts, where they are shown together
        self.pointed: int | None = None  # the point of the crowd under the mouse, queries first
        self._moving = False
        self._pixels: Float | None = None
        self._labels: Labelling | None = None
        self._lit_labels: Labelling | None = None
        self._lines = marks.Lines()
        self._markers = marks.Markers()
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self.setZValue(10)
        self.retheme(theme)
        box.sigResized.connect(self._view_changed)
        box.sigRangeChanged.connect(self._view_changed)

    def retheme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        roles = "ground", "text", "muted", "query", "key", "watched", "found"
        self._colors = {role: theme.color(role) for role in roles}
        self._colors["selected"] = theme.color("text")
        self._pale = theme.color("ground", PALE)
        self._veil = theme.color("ground", VEIL)
        self._contrast = 7.0 if theme.name == "paper" else 4.5
        self._label_colors = [self._readable(self._colors[role]) for role in ("query", "key")]
        self._read_tones()
        self.update()

    def _readable(self, color: QColor) -> QColor:
        ground, text = self._colors["ground"], self._colors["text"]
        return labels.readable(color, ground, text, self._contrast)

    def _read_tones(self) -> None:
        tones = self.tones
        self._tone_labels = [self._readable(color) for color in tones.colors] if tones else []

    # -- what to draw ------------------------------------------------------------------------

    def set_tokens(self, art: labels.LabelArt, n_queries: int, order: Int, among: int = 0) -> None:
        """Take the labels of all points, and the points in the order of their importance.

        `among`: how many tokens all texts have, where they are shown together.
        """
        self.n_queries = n_queries
        self.diameter = marks.diameter(max(n_queries, len(art.texts) - n_queries, among))
        self.art = art
        self.order = order
        self.lit = None
        self.replace_labels()

    def set_order(self, order: Int) -> None:
        """Take another order of importance."""
        self.order = order
        self.replace_labels()

    def set_points(self, xy: Float, *, moving: bool) -> None:
        """Take positions, (N, 2) in the plane's unit; labels are placed anew unless `moving`."""
        self.xy = xy
        self._pixels = None
        self._moving = moving
        if not moving:
            self._labels = self._lit_labels = None
        self.update()

    def set_crowd(self, query_xy: Float, key_xy: Float) -> None:
        """Take the positions of all texts' queries and keys, in the plane's unit."""
        self.crowd.set_points(query_xy, key_xy)
        self.pointed = None
        self.update()

    def point_out(self, point: int | None) -> None:
        """Ring a point of the crowd, or none."""
        if point != self.pointed:
            self.pointed = point
            self.update()

    def set_links(self, links: Links) -> None:
        """Take the lines."""
        self.links = links
        self.replace_labels()

    def set_watched(self, watched: Links) -> None:
        """Take the watched pairs."""
        self.watched = watched
        self.update()

    def set_lit(self, lit: Lit | None) -> None:
        """Take the focus."""
        self.lit = lit
        self._lit_labels = None
        self.update()

    def set_tones(self, own: Tones | None, query: Tones | None, key: Tones | None) -> None:
        """Take the colours and sizes of all points, and of all texts' queries and keys."""
        self.tones = own
        self._read_tones()
        self.crowd.set_tones(query, key)
        self.replace_labels()

    def set_picked(self, picked: Picked) -> None:
        """Take what is selected or found."""
        self.picked = picked
        self.update()

    def replace_labels(self) -> None:
        """Place the labels anew when next drawn."""
        self._labels = self._lit_labels = None
        self.update()

    # -- where things are --------------------------------------------------------------------

    def boundingRect(self) -> QRectF:
        """The view box's rectangle."""
        return self._box.rect()

    def pixels(self) -> Float:
        """Return where the points are, (N, 2) in the view box's pixels."""
        if self._pixels is None:
            (x0, x1), (y0, y1) = self._box.viewRange()
            area = self.boundingRect()
            scale = area.width() / (x1 - x0), -area.height() / (y1 - y0)
            self._pixels = (self.xy - (x0, y1)) * scale + (area.left(), area.top())
        return self._pixels

    def inside(self, region: Region, *, crowd: bool) -> tuple[Bool, Bool]:
        """Return which queries and keys in sight lie in a region, of the box's pixels.

        Those of the crowd, or the chosen text's.
        """
        room, area = self.boundingRect(), self._area()
        if crowd and area is not None:
            query, key = (
                np.column_stack([area.across(xy[:, 0]), area.down(xy[:, 1])])
                for xy in (self.crowd.query, self.crowd.key)
            )
        else:
            points = self.pixels() - (room.left(), room.top())
            query, key = points[: self.n_queries], points[self.n_queries :]
        seen = Region(((0.0, 0.0), (room.width(), room.height())), rectangle=True)
        inside = _both(region, seen, query), _both(region, seen, key)
        for side, shown in zip(inside, self._shown(crowd=crowd), strict=True):
            if shown is not None:
                side &= shown
        return inside

    def _shown(self, *, crowd: bool) -> tuple[Bool | None, Bool | None]:
        """Return which queries and keys are not hidden; None where all are shown."""
        if crowd:
            return self.crowd.shown
        shown = None if self.tones is None else self.tones.shown
        return (None, None) if shown is None else (shown[: self.n_queries], shown[self.n_queries :])

    def nearest(self, x: float, y: float, within: float) -> int | None:
        """Return the point nearest to a place in pixels, None where none is `within`."""
        points = self.pixels()
        if not len(points):
            return None
        distance = np.hypot(points[:, 0] - x, points[:, 1] - y)
        if self.tones is not None and self.tones.shown is not None:
            distance[~self.tones.shown] = np.inf
        i = int(np.nanargmin(distance)) if np.isfinite(distance).any() else 0
        return i if distance[i] <= within else None

    def nearest_line(self, x: float, y: float, within: float) -> tuple[int, int] | None:
        """Return query and key of the line nearest to a place in pixels; None where none is so."""
        points, place = self.pixels(), np.array([x, y])
        found: tuple[float, tuple[int, int] | None] = within, None
        for links in map(self._seen, (self.links, self.watched)):
            if not len(points) or not len(links):
                continue
            start, along = points[links.start], points[links.end] - points[links.start]
            length = np.maximum((along**2).sum(axis=1), 1e-12)
            share = np.clip(((place - start) * along).sum(axis=1) / length, 0.0, 1.0)
            away = np.hypot(*(start + share[:, None] * along - place).T)
            i = int(away.argmin())
            if away[i] <= found[0]:  # a watched line lies above the others
                pair = int(links.start[i]), int(links.end[i]) - self.n_queries
                found = float(away[i]), pair
        return found[1]

    def nearest_of_crowd(self, x: float, y: float, within: float) -> int | None:
        """Return the crowd's point nearest to a place in pixels, None where none is `within`."""
        area = self._area()
        if area is None:
            return None
        corner = self.boundingRect().topLeft()
        found = self.crowd.nearest(area, x - corner.x(), y - corner.y())
        return found[0] if found is not None and found[1] <= within else None

    def pointed_at(self) -> QPointF | None:
        """Return where the crowd's point under the mouse is, in the view box's pixels."""
        area = self._area()
        if self.pointed is None or area is None:
            return None
        n = len(self.crowd.query)
        side = self.crowd.query if self.pointed < n else self.crowd.key
        x, y = side[self.pointed - n * (self.pointed >= n)].tolist()
        corner = self.boundingRect().topLeft()
        return QPointF(float(area.across(x)), float(area.down(y))) + corner

    def label_rectangles(self) -> list[QRectF]:
        """Return the rectangles of the labels that are drawn, in the view box's pixels."""
        base, lit = self._place()
        points, sizes = self.pixels(), self.art.sizes
        both = np.concatenate([base.index[base.shown], lit.index[lit.shown]])
        corner = np.concatenate([base.corner[base.shown], lit.corner[lit.shown]])
        return labels.rectangles(points[both], corner, sizes[both])

    def lit_area(self, around: float, *, others: bool) -> QRectF:
        """Return the rectangle of the chosen points, `around` them and their labels.

        With `others`, of the points linked with them too.
        """
        area = QRectF()
        if self.lit is None:
            return area
        wanted = np.concatenate([self.lit.chosen, self.lit.others]) if others else self.lit.chosen
        points, lit = self.pixels(), self._place()[1]
        for x, y in points[wanted].tolist():
            area |= QRectF(x - around, y - around, 2 * around, 2 * around)
        shown = lit.shown & np.isin(lit.index, wanted)
        index = lit.index[shown]
        for label in labels.rectangles(points[index], lit.corner[shown], self.art.sizes[index]):
            area |= label
        return area

    def labelled(self) -> list[int]:
        """Return the points whose labels are drawn."""
        base, lit = self._place()
        return [*base.index[base.shown].tolist(), *lit.index[lit.shown].tolist()]

    def _view_changed(self, *_: object) -> None:
        self.prepareGeometryChange()
        self._pixels = None
        if not self._moving:
            self._labels = self._lit_labels = None
        self.update()

    def _area(self) -> Area | None:
        """The axes and their size; None where there is no room."""
        (x0, x1), (y0, y1) = self._box.viewRange()
        room = self.boundingRect()
        if room.width() < 1 or room.height() < 1:
            return None
        return Area(x0, x1, y0, y1, room.width(), room.height())

    def _bounds(self) -> Bounds:
        area = self.boundingRect()
        return area.left() + 1, area.top() + 1, area.right() - 1, area.bottom() - 1

    def _place(self) -> tuple[Labelling, Labelling]:
        """Return the labels of the rest and of the focus; none of them overlap."""
        points, sizes, bounds = self.pixels(), self.art.sizes, self._bounds()
        inside: Bool = np.all((points >= bounds[:2]) & (points <= bounds[2:]), axis=1)
        if self.tones is not None and self.tones.shown is not None:
            inside &= self.tones.shown
        if self._labels is None:
            self._labels = Labelling(
                *labels.place(
                    points,
                    sizes,
                    self.order[inside[self.order]],
                    bounds=bounds,
                    radius=self.diameter / 2,
                    away=self._away(points),
                )
            )
        elif self._moving:
            self._labels.follow(points, sizes, bounds)
        base = self._labels
        if self.lit is None:
            return base, Labelling()
        if self._lit_labels is None:
            self._lit_labels = self._place_lit(points, base, inside, bounds)
        elif self._moving:
            self._lit_labels.follow(points, sizes, bounds)
        lit = self._lit_labels
        # The focus goes first: what is in its labels' way makes room.
        rest = Labelling(base.index, base.corner)
        rest.shown = base.shown & ~np.isin(base.index, lit.index)
        rows = np.flatnonzero(rest.shown)
        shown = np.flatnonzero(lit.shown)
        index = np.concatenate([lit.index[shown], base.index[rows]])
        low = points[index] + np.concatenate([lit.corner[shown], base.corner[rows]])
        rest.shown[rows] = labels.disjoint(low, low + sizes[index])[len(shown) :]
        return rest, lit

    def _place_lit(self, points: Float, base: Labelling, inside: Bool, bounds: Bounds) -> Labelling:
        """Place the labels of the focus; those that have a place already keep it."""
        assert self.lit is not None
        wanted = np.concatenate([self.lit.chosen, self.lit.others])
        wanted = wanted[inside[wanted]]
        index, corner = labels.place(
            points,
            self.art.sizes,
            wanted,
            bounds=bounds,
            radius=self.diameter / 2 + 2.5,  # outside the ring
            obstacles=points[wanted],
            away=self._away(points),
            n_forced=len(self.lit.chosen),
        )
        return Labelling(index, corner)

    def _away(self, points: Float) -> Float:
        """Return each point's mean direction along its lines: labels stand on the other side."""
        sums = np.zeros((len(points), 2))
        for links in (self.links, self.watched):
            if not len(links):
                continue
            step = points[links.end] - points[links.start]
            step /= np.maximum(np.hypot(*step.T), 1e-9)[:, None]
            for ends, sign in ((links.start, 1), (links.end, -1)):
                for axis in (0, 1):
                    sums[:, axis] += np.bincount(
                        ends, weights=sign * step[:, axis], minlength=len(points)
                    )
        return sums / np.maximum(np.hypot(*sums.T), 1)[:, None]

    # -- drawing -----------------------------------------------------------------------------

    def paint(self, p: QPainter, *_: object) -> None:
        """Draw everything, from the back to the front."""
        area = self.boundingRect()
        if not len(self.xy) or area.width() < 8 or area.height() < 8:
            return
        p.save()
        p.setClipRect(area)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        points = self.pixels()
        scale = p.deviceTransform().m11()
        base, lit = self._place()
        self._draw_links(p, points, self.links, "muted")
        self._draw_crowd(p, area, scale)
        self._draw_markers(p, points, np.arange(len(points)), scale)
        if self.picked:
            base = self._draw_picked(p, points, base, scale)
        if self.lit is None:
            self._draw_watched(p, points, scale)
            self._draw_labels(p, points, base, scale)
        else:
            self._draw_labels(p, points, base, scale)
            p.fillRect(area, self._veil)
            lines, color = self.lit.links, self.lit.color
            self._draw_links(p, points, lines, color, thinnest=1.4, faintest=0.55)
            self._draw_watched(p, points, scale)
            self._draw_lit(p, points, scale)
            self._draw_labels(p, points, lit, scale)
        self._draw_pointed(p, scale)
        p.restore()

    def _draw_crowd(self, p: QPainter, room: QRectF, scale: float) -> None:
        area = self._area()
        if area is not None and len(self.crowd):
            colors = self._colors
            p.save()
            p.translate(room.topLeft())
            self.crowd.draw(
                p, area, 0.8 * self.diameter, colors["query"], colors["key"], colors["ground"],
                scale,
            )  # fmt: skip
            p.restore()

    def _draw_picked(self, p: QPainter, points: Float, base: Labelling, scale: float) -> Labelling:
        """Let the rest fade, and draw what is selected over it; returns the labels of that."""
        room, area = self.boundingRect(), self._area()
        self._draw_labels(p, points, base, scale)
        p.fillRect(room, self._pale)
        picked, colors = self.picked, self._colors
        if area is not None:
            size = 0.8 * self.diameter
            picked.draw_crowd(p, room, self.crowd, area, size, colors, scale)
        shown = self._shown(crowd=False)
        picked.draw_rings(p, points, self.n_queries, shown, self.diameter, colors, scale)
        self._draw_markers(p, points, picked.points(), scale)
        own = Labelling(base.index, base.corner)
        own.shown = base.shown & np.isin(base.index, picked.points())
        return own

    def _draw_pointed(self, p: QPainter, scale: float) -> None:
        """Draw the crowd's point under the mouse as those of the chosen text are drawn."""
        at = self.pointed_at()
        if at is None or self.pointed is None:
            return
        query = self.pointed < len(self.crowd.query)
        color, ground = self._colors["query" if query else "key"], self._colors["ground"]
        spot = np.array([[at.x(), at.y()]])
        shape: marks.Shape = "circle" if query else "triangle"
        self._markers.draw(p, spot, shape, max(self.diameter, 6.0), color, ground, scale)
        p.setBrush(Qt.BrushStyle.NoBrush)
        radius = max(self.diameter, 6.0) / 2 + 3.5
        for pen in (QPen(ground, 3.6), QPen(color, 1.6)):
            p.setPen(pen)
            p.drawEllipse(at, radius, radius)

    def _draw_links(
        self, p: QPainter, points: Float, links: Links, role: str, **least: float
    ) -> None:
        links = self._seen(links)
        if len(links):
            color, ground = self._colors[role], self._colors["ground"]
            start, end = points[links.start], points[links.end]
            self._lines.draw(p, start, end, links.weight, color, ground, **least)

    def _seen(self, links: Links) -> Links:
        """Return the lines between points that are not hidden."""
        if self.tones is None or self.tones.shown is None or not len(links):
            return links
        seen = self.tones.shown[links.start] & self.tones.shown[links.end]
        return Links(links.start[seen], links.end[seen], links.weight[seen])

    def _draw_markers(self, p: QPainter, points: Float, index: Int, scale: float) -> None:
        colors = self._colors
        if self.tones is not None:
            for some, color, size in self.tones.groups(index):
                sides: tuple[tuple[marks.Shape, str, Int], ...] = (
                    ("triangle", "key", some[some >= self.n_queries]),
                    ("circle", "query", some[some < self.n_queries]),
                )
                for shape, role, side in sides:
                    fill = colors[role] if color is None else color
                    rim = labels.rim(fill, colors["ground"])
                    self._markers.draw(
                        p, points[side], shape, self.diameter * size, fill, rim, scale
                    )  # fmt: skip
            return
        queries = index < self.n_queries
        of_keys, of_queries = points[index[~queries]], points[index[queries]]
        size, rim = self.diameter, colors["ground"]
        self._markers.draw(p, of_keys, "triangle", size, colors["key"], rim, scale)
        self._markers.draw(p, of_queries, "circle", size, colors["query"], rim, scale)

    def _draw_watched(self, p: QPainter, points: Float, scale: float) -> None:
        links = self._seen(self.watched)
        if len(links):
            red = self._colors["watched"]
            start, end = points[links.start], points[links.end]
            # Always the full red: a watched pair that attends little is still looked for.
            self._lines.draw(p, start, end, links.weight, red, red, thinnest=1.6)
            self._draw_markers(p, points, np.unique([links.start, links.end]), scale)

    def _draw_lit(self, p: QPainter, points: Float, scale: float) -> None:
        assert self.lit is not None
        index = np.concatenate([self.lit.others, self.lit.chosen])
        self._draw_markers(p, points, index, scale)
        p.setBrush(Qt.BrushStyle.NoBrush)
        for i in self.lit.chosen.tolist():
            p.setPen(QPen(self._colors["query" if i < self.n_queries else "key"], 2))
            radius = self.diameter / 2 + 3.5
            p.drawEllipse(QPointF(*points[i].tolist()), radius, radius)

    def _draw_labels(self, p: QPainter, points: Float, which: Labelling, scale: float) -> None:
        index = which.index[which.shown]
        chosen = index.tolist()
        self.art.draw(
            p,
            chosen,
            points[index] + which.corner[which.shown],
            [self._label_color(i) for i in chosen],
            self._colors["ground"],
            scale,
        )

    def _label_color(self, point: int) -> QColor:
        """A label has its marker's colour, made to read as text."""
        if self.tones is None or self.tones.level is None:
            return self._label_colors[point >= self.n_queries]
        return self._tone_labels[self.tones.level[point]]


def _both(one: Region, other: Region, points: Float) -> Bool:
    return one.contains(points[:, 0], points[:, 1]) & other.contains(points[:, 0], points[:, 1])
