"""Dot product against cosine distance: every pair, before and after the normalisation.

Up to 20,000 pairs are drawn one by one, more of them as a density over the same axes; none is left
out in silence. Never changes a number of the frame.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt

from attnviz_gui.session.document import NOTHING, Focus
from attnviz_gui.session.offload import Offload, at_once
from attnviz_gui.session.selection import select_pairs_at
from attnviz_gui.session.words import BEFORE_ROTARY, number
from attnviz_gui.ui.steady import Steady
from attnviz_gui.ui.views.base import View
from attnviz_gui.ui.views.color_scale import mix
from attnviz_gui.ui.views.lit_pairs import Lit, lit_of_all, lit_rows, pairs_inside
from attnviz_gui.ui.views.pair_sources import AllTexts, Cloud, OneText, Source, Unwanted
from attnviz_gui.ui.views.pairs import DISTANCES, Extent, Pairs, grown, padded, pair_points
from attnviz_gui.ui.views.plane_content import quote_focus, which_text
from attnviz_gui.ui.views.points import CELL, DEEPEST, Counted, Points, round_peak
from attnviz_gui.ui.views.raster import Area, nearest
from attnviz_gui.ui.views.readout import Readout
from attnviz_gui.ui.views.scatter_items import (
    Entry,
    Legend,
    Marked,
    Marks,
    NumberAxis,
    Veil,
    line_pen,
    one_line,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from PySide6.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QPen, QWheelEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.session.selection import Marks as SelectionMarks
    from attnviz_gui.session.selection import Selection
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.pairs import Which
    from attnviz_gui.ui.views.region import Region

REACH = 10.0  # pixels from the mouse to the pair that it means
CLEAR = 12.0  # pixels around that pair that the readout leaves free
_ARROWS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}


class ScatterView(View):
    """All allowed pairs on true axes, with both regression lines."""

    name = "scatter"
    offload: Offload = staticmethod(at_once)  # for heads with more than LIVE_PAIRS pairs
    seek: Offload = staticmethod(at_once)  # for the pairs in a brush, of very many
    lighten: Offload = staticmethod(at_once)  # for those that are lit, of very many
    recount: Offload | None = None  # for a density of very many under other axes; None: once drawn

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName(self.title())
        self.setToolTip(
            "Every pair of a query and a key that the mask allows: grey before the normalisation, "
            "green after it.\nAbove 20,000 pairs the colour says how many of them fall on a cell "
            f"of {CELL:.0f} × {CELL:.0f} pixels, by the logarithm.\n"
            "Click: pin a pair. Wheel: zoom. Drag: move. Double click: show all. "
            "Shift and arrows: the next pair.\n"
            "Of all texts together, the chosen one's pairs answer to the mouse."
        )
        self.box = pg.ViewBox(enableMenu=False, defaultPadding=0)
        self.box.disableAutoRange()
        # Beyond these, float32 could not say where a point is.
        self.box.setLimits(minXRange=1e-6, maxXRange=1e3, minYRange=1e-6, maxYRange=1e9)
        self.before = Points(self.box, 1)
        self.after = Points(self.box, 2)
        self.veil = Veil(self.box, 2.4)
        self.lit = Points(self.box, 2.5)  # what is selected or found
        self.marks = Marks(self.box, 3, theme)
        self.legend = Legend(theme)
        self.readout = Readout(theme, self)
        self.axes = NumberAxis("left", "dot product q·k"), NumberAxis("bottom", "cosine distance")
        self.ci.setSpacing(0)
        self.ci.layout.setContentsMargins(6, 4, 14, 6)
        self.ci.addItem(self.legend, 0, 1)
        self.ci.addItem(self.axes[0], 1, 0)
        self.ci.addItem(self.box, 1, 1)
        self.ci.addItem(self.axes[1], 2, 1)
        for axis in self.axes:
            axis.linkToView(self.box)
        self.box.sigRangeChanged.connect(self._place)
        self.box.sigResized.connect(self._place)
        self.box.sigRangeChangedManually.connect(self._zoom_changed)
        self.scene().sigMouseClicked.connect(self._clicked)

        self._pairs: tuple[Pairs, Pairs] | None = None  # before, after
        self._source: Source | None = None  # of the pairs at this position of the sliders
        self._mine: tuple[Source, list[Pairs]] | None = None  # the chosen text's among all texts'
        self._zoomed = False
        self._peak = 0  # the count that has the density's last colour
        self._words = Steady(self._describe, self)
        self._request = 0  # number of the newest work that was handed out
        self._lit_marks: SelectionMarks | None = None
        self._lit_rows: tuple[object, ...] = ()  # what they were found for, and they
        self._sought = self._lighting = 0  # numbers of the newest such work
        self._lit: Entry | None = None  # what the legend says of the focus
        self._pinned_before = NOTHING  # by the click that may become a double click
        self._under: tuple[Points, int, int] | None = None  # what the readout tells about

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """What is shown."""
        picture = self.document.picture
        how = f" {BEFORE_ROTARY}" if picture is not None and picture.before_rotary else ""
        corpus = self.document.corpus
        of = "" if corpus is None else f"  ·  {corpus.words}"
        return f"Dot product and cosine distance{how}{of}"

    def numbers(self) -> str:
        """Both r, and how many pairs are drawn how."""
        source = self._source
        if self.why_nothing() or source is None or self._pairs is None:
            return ""
        r = [number(f.correlation) for f in source.frames]
        words = f"r {r[0]} → {r[1]}" if r != ["undefined"] * 2 else "r undefined"
        after = self._pairs[1]
        n = len(after)
        counted = f"{n:,} pair" if n == 1 else f"{n:,} pairs"
        if not after.whole:
            counted = f"{n:,} of {source.n_pairs:,} pairs"
        if self.after.dense:
            counted += " as density"
        if not after.whole:
            counted += " while moving" if self.document.dragging else " so far"
        if after.n_undefined:
            counted += f", {after.n_undefined:,} without a distance"
        return f"{words} · {counted}"

    # -- the document ------------------------------------------------------------------------

    def draw_picture(self) -> None:
        """Draw both clouds anew and show all of them."""
        self._under = None
        old, source = self._source, self._source_now()
        if not (isinstance(old, AllTexts) and isinstance(source, AllTexts) and old.like(source)):
            self._zoomed = False
            self._pairs = None
        elif self._pairs is not None and self._pairs[1].whole and old.frame is source.frame:
            self._source = source  # another text is the chosen one, and all of them are drawn
            self._mark_focus()
            self._mark_watched()
            self._words.now()
            return
        self.draw_frame()

    def _source_now(self) -> Source:
        corpus, together = self.document.corpus, self.document.corpus_frame
        if corpus is not None and together is not None:
            return AllTexts(corpus, together, self._picture.text)
        return OneText(self._picture, self._frame)

    def draw_frame(self) -> None:
        """Draw the cloud after the normalisation; the one before it stays."""
        source = self._source = self._source_now()
        self._request += 1
        if self._pairs is None:
            before = source.drawn(0)
            self.before.set_points(before.x, before.y)
        else:
            before = self._pairs[0]
        self._show(before, Cloud(source.drawn(1)))
        if not source.live and not self.document.dragging:
            done = partial(self._arrived, self._request)
            known = Cloud(before, self.before.counted)
            self.offload(partial(self._all_pairs, self._request, source, known), done)

    def _all_pairs(self, request: int, source: Source, before: Cloud) -> tuple[Cloud, Cloud] | None:
        """In a worker: every pair, or None where nobody waits for them any more."""
        try:
            return source.all(before, self._area_to_come, lambda: request == self._request)
        except Unwanted:
            return None

    def _area_to_come(self, before: Pairs, after: Pairs) -> Area | None:
        """The axes that these pairs will be shown under, as far as that can be told."""
        area = self.after.area
        if area is None or self._zoomed:
            return area
        x, y = _ranges((before, after))
        return Area(*x, *y, area.width, area.height)

    def _arrived(self, request: int, clouds: tuple[Cloud, Cloud] | None) -> None:
        if clouds is not None and request == self._request:
            before, after = clouds
            _put(self.before, before)
            self._show(before.pairs, after)
            self.titled.emit()

    def stop(self) -> None:
        """Follow the document no longer; work on its way is not waited for."""
        super().stop()
        self._request += 1
        self._sought += 1
        self._lighting += 1

    def _show(self, before: Pairs, after: Cloud) -> None:
        self._pairs = before, after.pairs
        _put(self.after, after)
        self._fit_axes()
        self._draw_lines()
        self._light()
        self._mark_focus()
        self._mark_watched()
        self._color()
        if self.document.dragging:
            self._words.soon()
        else:
            self._words.now()
        self._read()

    def draw_focus(self) -> None:
        """Mark the pairs of the focused query or key, or the focused pair."""
        self._mark_focus()
        self._describe()
        self._read()

    def draw_watched(self) -> None:
        """Mark the watched pairs."""
        self._mark_watched()
        self._describe()

    def draw_selection(self) -> None:
        """Light up the pairs that are selected, and those of picked or found tokens."""
        self._light()
        self._describe()

    def _light(self) -> None:
        document, pairs, source = self.document, self._pairs, self._source
        if pairs is None or source is None:
            return
        every = isinstance(source, AllTexts)
        marks = self._lit_marks = document.corpus_marks if every else document.marks
        self.veil.setVisible(marks is not None)
        self.lit.setVisible(marks is not None)
        self._lighting += 1
        if marks is None:
            if len(self.lit.xs):
                self.lit.set_points(*Lit.none())
            return
        after = pairs[1]
        if len(after.x) == len(after):
            rows = self._rows_lit(source, after, marks)
            self.lit.set_points(after.x[rows], after.y[rows])
            return
        assert isinstance(source, AllTexts)
        some = source.drawn(1)  # the part that every frame has, until all are there
        rows = lit_rows(some, marks)
        self.lit.set_points(some.x[rows], some.y[rows])
        request = self._lighting

        def wanted() -> bool:
            return request == self._lighting

        def done(lit: Lit | None) -> None:
            if lit is not None and wanted():
                self.lit.set_points(*lit)
                self._describe()

        self.lighten(lambda: _unless(lambda: lit_of_all(source, marks, wanted)), done)

    def _rows_lit(self, source: Source, pairs: Pairs, marks: SelectionMarks) -> Any:
        """Return which points are lit; the same ones in every frame of one head."""
        of = source.corpus if isinstance(source, AllTexts) else source.picture
        known = (of, marks, len(pairs), pairs.whole)
        if not self._lit_rows or pairs.n_undefined or self._lit_rows[:-1] != known:
            self._lit_rows = (*known, lit_rows(pairs, marks))
        return self._lit_rows[-1]

    def brush(self, region: Region, take: Callable[[Selection], object]) -> None:
        """Hand over all pairs, of all shown texts, whose points after the normalisation are in it.

        Above `LIVE_PAIRS` pairs a worker looks for them.
        """
        document, source, area = self.document, self._source, self.after.area
        places, lists = document.places, document.token_lists
        if source is None or area is None or places is None:
            return
        corner = self.box.mapToScene(QPointF(0, 0))
        here = region.moved(-corner.x(), -corner.y())
        self._sought += 1
        request = self._sought

        def work() -> Selection:
            queries, keys = pairs_inside(source, here, area, lambda: request == self._sought)
            return select_pairs_at(lists, places.query[queries], places.key[keys], places.of)

        def done(found: Selection | None) -> None:
            if found is not None:
                take(found)

        (at_once if source.live else self.seek)(lambda: _unless(work), done)

    def draw_theme(self) -> None:
        """Take the theme's colours."""
        theme = self.theme
        ground, text = theme.color("ground"), theme.color("text")
        for points, role in ((self.before, "before"), (self.after, "after")):
            color = theme.color(role)
            points.set_colors(color, mix(ground, color, 0.5), mix(color, text, 0.75))
        after = theme.color("after")
        self.lit.set_colors(after, mix(ground, after, 0.5), mix(after, text, 0.75))
        self.veil.set_theme(theme)
        for axis in self.axes:
            axis.retheme(theme)
        self.marks.theme = self.legend.theme = theme
        self.readout.set_theme(theme)
        if self._pairs is not None:
            self._draw_lines()
            self._mark_focus()
            self._mark_watched()
            self._describe()

    @property
    def _picture(self) -> Picture:
        picture = self.document.picture
        assert picture is not None
        return picture

    @property
    def _frame(self) -> Frame:
        frame = self.document.frame
        assert frame is not None
        return frame

    # -- marks -------------------------------------------------------------------------------

    def _draw_lines(self) -> None:
        assert self._pairs is not None
        self.marks.lines = [
            (pairs.line, pen)
            for pairs, pen in zip(self._pairs, self._line_pens(), strict=True)
            if pairs.line is not None
        ]
        self.marks.update()

    def _line_pens(self) -> list[QPen]:
        """Of the regression lines before (dashed) and after."""
        text = self.theme.color("text")
        colors = [mix(self.theme.color(role), text, 0.5) for role in ("before", "after")]
        return [line_pen(colors[0], dashed=True), line_pen(colors[1])]

    def _mark_focus(self) -> None:
        """Mark what is in focus, and keep what the legend says of it."""
        picture, theme = self._picture, self.theme
        i, j = self.document.focus.query, self.document.focus.key
        marked, entry = None, None
        if i is not None and j is not None:
            words = f"{one_line(picture.query_tokens[i])} → {one_line(picture.key_tokens[j])}"
            marked = self._marked([i], [j], "query", size=8.0, linked=True, ringed=True)
            entry = Entry(words, dot=theme.color("query"), edge=theme.color("text"))
        elif i is not None:
            marked = self._marked([i], slice(None), "query")
            entry = Entry(f"query {one_line(picture.query_tokens[i])}", dot=theme.color("query"))
        elif j is not None:
            marked = self._marked(slice(None), [j], "key")
            entry = Entry(f"key {one_line(picture.key_tokens[j])}", dot=theme.color("key"))
        self.marks.focus = [] if marked is None else [marked]
        self._lit = entry
        self.marks.update()

    def _mark_watched(self) -> None:
        self.marks.watched = [
            self._marked([i], [j], "watched", size=7.0, linked=True)
            for i, j in self.document.watched_here
        ]
        self.marks.update()

    def _marked(self, queries: Which, keys: Which, role: str, **how: Any) -> Marked:
        before, after = self._points_of(queries, keys)
        how.setdefault("size", 6.5 if len(after) <= 64 else 4.5)
        return Marked(before, after, self.theme.color(role), **how)

    def _points_of(self, queries: Which, keys: Which) -> list[npt.NDArray[np.float64]]:
        """Return the points before and after of the chosen text's pairs, (n, 2) each."""
        assert self._source is not None
        return pair_points(self._source.frames, self._picture.mask, queries, keys)

    def _color(self) -> None:
        """Give a density's last colour to its highest count."""
        if self.lit.dense:
            self.lit.set_peak(self._peak)
        dense = [cloud for cloud in (self.before, self.after) if cloud.dense and cloud.area]
        if dense:
            # In a drag the colours, as the axes, only make room.
            least = self._peak if self.document.dragging else 0
            self._peak = max(round_peak(max(cloud.highest for cloud in dense)), least)
            for cloud in (*dense, self.lit):
                cloud.set_peak(self._peak)

    def _describe(self) -> None:
        """Set the legend, and the meaning of the density's colours."""
        self._color()
        source = self._source
        assert source is not None
        clouds, roles, pens = (self.before, self.after), ("before", "after"), self._line_pens()
        r = [frame.correlation for frame in source.frames]
        entries = []
        for cloud, each, role, pen in zip(clouds, r, roles, pens, strict=True):
            words = f"{role}  r {number(each)}"
            dot = None if cloud.dense else self.theme.color(role)
            entries.append(Entry(words, dot, pen, bar=cloud.ramp if cloud.dense else None))
        if any(cloud.dense and cloud.area for cloud in clouds):
            more = "" if self._peak < DEEPEST else " and more"
            entries.append(Entry(f"1 to {self._peak:,}{more} pairs per cell"))
        if self._lit_marks is not None:
            n = len(self.lit.xs)
            entries.append(Entry(f"{n:,} pair{'' if n == 1 else 's'} selected or found"))
        if self._lit is not None:
            entries.append(self._lit)
        if self.marks.watched:
            entries.append(Entry("watched", dot=self.theme.color("watched")))
        self.legend.say(entries)

    # -- axes --------------------------------------------------------------------------------

    def _fit_axes(self) -> None:
        """Show all points: exactly at rest; in a drag the axes hold still and only grow."""
        assert self._pairs is not None
        if self._zoomed:
            return
        extent = _extent(self._pairs)
        (left, right), (bottom, top) = self.box.viewRange()
        if self.document.dragging and self.before.area is not None:
            x, y = (left, right), (bottom, top)
            seen = Extent(left, right, bottom, top)
            if extent.union(seen) != seen:
                # Both at once: new axes are the dearest part of a frame, so they shall be rare.
                x = grown(left, right, extent.left, extent.right, DISTANCES)
                y = grown(bottom, top, extent.bottom, extent.top)
        else:
            x, y = _ranges(self._pairs)
        if (x, y) != ((left, right), (bottom, top)):
            self.box.setRange(xRange=x, yRange=y, padding=0)

    def show_all(self) -> None:
        """Undo zooming and moving."""
        self._zoomed = False
        if self._pairs is not None:
            self._fit_axes()

    def _zoom_changed(self) -> None:
        self._zoomed = True

    def _place(self) -> None:
        """The axes or the size changed: every point has another place."""
        (left, right), (bottom, top) = self.box.viewRange()
        size = self.box.size()
        if size.width() < 1 or size.height() < 1:
            return
        area = Area(left, right, bottom, top, size.width(), size.height())
        if area != self.before.area:
            for item in (self.before, self.after, self.veil, self.lit, self.marks):
                item.set_area(area)
            if self.recount is not None and self._stale:
                self._recount(area, self.recount)
            if self._pairs is not None and self.document.picture is not None:
                self._describe()
                self._read()

    @property
    def _stale(self) -> bool:
        return any(cloud.stale for cloud in (self.before, self.after, self.lit))

    def _recount(self, area: Area, offload: Offload) -> None:
        """Count very many points for these axes in a worker; until then the old cells stretch."""
        clouds = self.before, self.after, self.lit
        work = [(cloud, cloud.xs, cloud.counting()) for cloud in clouds if cloud.stale]

        def done(counted: list[Counted]) -> None:
            for (cloud, xs, _), each in zip(work, counted, strict=True):
                if cloud.xs is xs and cloud.area == each.area:
                    cloud.set_counted(each)
            self._describe()

        offload(lambda: [counting(area) for _, _, counting in work], done)

    def _recount_to_draw(self) -> None:
        """Without a worker: count for the axes that are drawn, not for each on the way there."""
        area = self.after.area
        if self.recount is None and area is not None and self._stale:
            self._recount(area, at_once)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint nothing that was counted for other axes, where no worker counts anew."""
        self._recount_to_draw()
        super().paintEvent(event)

    def render(self, *where: Any) -> None:
        """Draw on something else, as `paintEvent`."""
        self._recount_to_draw()
        super().render(*where)

    # -- mouse and keys ----------------------------------------------------------------------

    def pair_at(self, place: QPointF) -> tuple[Points, int, int] | None:
        """Return which cloud's pair (query, key) is meant by a place in the viewport."""
        area = self.before.area
        if self._pairs is None or area is None:
            return None
        at = self.box.mapFromScene(self.mapToScene(place.toPoint()))
        if not self.before.boundingRect().contains(at):
            return None
        best = None
        # After wins where both are equally near.
        before, after = self._answering()
        for cloud, pairs in ((self.after, after), (self.before, before)):
            found = nearest(pairs.x, pairs.y, area, at.x(), at.y(), REACH)
            if found is not None and (best is None or found[1] < best[0]):
                best = found[1], cloud, *pairs.pair(found[0])
        return None if best is None else best[1:]

    def _answering(self) -> tuple[Pairs, Pairs]:
        """Return the pairs that answer to the mouse: of all texts together, the chosen one's."""
        assert self._pairs is not None and self._source is not None
        if isinstance(self._source, OneText):
            return self._pairs
        if self._mine is None or self._mine[0] is not self._source:
            self._mine = self._source, [self._source.mine(which) for which in (0, 1)]
        before, after = self._mine[1]
        return before, after

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up the pair under the mouse."""
        super().mouseMoveEvent(event)
        if event.buttons() == Qt.MouseButton.NoButton:
            self._hover(event.position())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom, and light up what is under the mouse now."""
        super().wheelEvent(event)
        self._hover(event.position())

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone: nothing is read."""
        self._under = None
        self.readout.hide()
        super().leaveEvent(event)

    def _hover(self, place: QPointF) -> None:
        self._under = self.pair_at(place)
        self.document.hover(*(self._under[1:] if self._under else ()))
        if self.document.picture is not None:
            self._read()

    def _clicked(self, event) -> None:
        left = event.button() == Qt.MouseButton.LeftButton
        if event.double() or not left or self.document.picture is None:
            return
        self._pinned_before = self.document.pinned
        found = self.pair_at(QPointF(self.mapFromScene(event.scenePos())))
        if found is not None:
            self._under = found
            self.document.pin(*found[1:])

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show all pairs; what the first of the two clicks has pinned is undone."""
        super().mouseDoubleClickEvent(event)
        if self.document.picture is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self.show_all()
        if self.document.pinned != self._pinned_before:
            before = self._pinned_before or self.document.pinned
            self.document.pin(before.query, before.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Shift and an arrow: pin the neighbour of the pinned pair; other keys are the window's."""
        shift = Qt.KeyboardModifier.ShiftModifier
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if plain != shift or event.key() not in _ARROWS or self.document.picture is None:
            super().keyPressEvent(event)
            return
        mask, pinned = self._picture.mask, self.document.pinned
        if pinned.query is None or pinned.key is None:
            allowed = np.argwhere(mask)
            target = allowed[0] if len(allowed) else np.array([-1, -1])
        else:
            step = np.array(_ARROWS[Qt.Key(event.key())])
            target = np.array([pinned.query, pinned.key]) + step
            while _within(target, mask.shape) and not mask[tuple(target)]:
                target += step
        if _within(target, mask.shape):
            i, j = target.tolist()
            self._under = self.after, i, j
            self.document.pin(i, j)
        event.accept()

    # -- the readout -------------------------------------------------------------------------

    def viewportEvent(self, event: QEvent) -> bool:
        """Show no tooltip over the readout."""
        if event.type() == QEvent.Type.ToolTip and self.readout.isVisible():
            return True
        return super().viewportEvent(event)

    def _read(self) -> None:
        """Tell about the pair that was chosen here, beside its point."""
        picture, area, under = self._picture, self.before.area, self._under
        if under is None or area is None or Focus(*under[1:]) != self.document.focus:
            self.readout.hide()
            return
        cloud, i, j = under
        before, after = self._points_of([i], [j])
        if not len(after):
            self.readout.hide()
            return
        x, y = (before if cloud is self.before else after)[0]
        at = self.box.mapToScene(QPointF(float(area.across(x)), float(area.down(y))))
        clear = QRectF(-CLEAR, -CLEAR, 2 * CLEAR, 2 * CLEAR)
        clear.translate(self.mapFromScene(at))
        attention, logit = picture.attention[i, j], picture.logits[i, j]
        lines = (
            f"{one_line(picture.query_tokens[i])} → {one_line(picture.key_tokens[j])}",
            f"attention {number(float(attention))} · logit {number(float(logit))}",
            f"dot {_change(before[0, 1], after[0, 1])}",
            f"distance {_change(before[0, 0], after[0, 0])}",
            *which_text(self.document),
        )
        quote = quote_focus(self.document, Focus(i, j))
        self.readout.say(lines, clear.toAlignedRect(), quote)


def _unless(work: Callable[[], Any]) -> Any:
    """Do work; None where nobody waits for it any more."""
    try:
        return work()
    except Unwanted:
        return None


def _put(points: Points, cloud: Cloud) -> None:
    """Give points what was fetched for them."""
    if cloud.counter is not None:
        points.set_counts(len(cloud.pairs), cloud.counted, cloud.counter)
    else:
        points.set_points(cloud.pairs.x, cloud.pairs.y, cloud.counted)


def _extent(pairs: tuple[Pairs, Pairs]) -> Extent:
    """What holds all pairs, before and after."""
    before, after = (each.extent for each in pairs)
    return (after.union(before) if after else before) or Extent(0.0, 2.0, -1.0, 1.0)


def _ranges(pairs: tuple[Pairs, Pairs]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Of both axes, with a little room around all pairs."""
    extent = _extent(pairs)
    return padded(extent.left, extent.right), padded(extent.bottom, extent.top)


def _change(before: float, after: float) -> str:
    first, second = number(float(before)), number(float(after))
    return first if first == second else f"{first} → {second}"


def _within(place: npt.NDArray[np.intp], shape: tuple[int, ...]) -> bool:
    return bool((place >= 0).all() and (place < shape).all())
