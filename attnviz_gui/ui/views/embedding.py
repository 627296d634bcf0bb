"""Queries and keys of a head in one joint plane, before and after the normalisation.

Draws positions that the geometry has computed, and computes none itself; before and after have the
same scale wherever that leaves both readable, and say so where it does not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
from PySide6.QtCore import QEasingCurve, QEvent, QPointF, QRectF, Qt, QVariantAnimation

from attnviz_gui.session.document import Focus, Sliders
from attnviz_gui.session.selection import select_places
from attnviz_gui.session.words import BEFORE_ROTARY, normalisation_in_words, number
from attnviz_gui.ui.steady import Steady
from attnviz_gui.ui.views import plane_content as content
from attnviz_gui.ui.views.base import View
from attnviz_gui.ui.views.color_legend import ColorLegend
from attnviz_gui.ui.views.labels import LabelArt
from attnviz_gui.ui.views.picked import Picked
from attnviz_gui.ui.views.plane import Box, Plane, box_around
from attnviz_gui.ui.views.readout import Readout
from attnviz_gui.ui.views.toned import tones_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from PySide6.QtGui import QHelpEvent, QHideEvent, QKeyEvent, QMouseEvent, QResizeEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.geometry.together import TextPart
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.session.selection import Selection
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.region import Region

    Float = npt.NDArray[np.float64]
    Int = npt.NDArray[np.intp]

GLIDE = 200  # milliseconds
REACH = 12  # pixels around a point in which the mouse finds it
NEAR = 3.5  # pixels from a line
AXIS = 60  # pixels for an axis down with its name
SAME_SCALE = 3.0  # before and after share their scale up to this ratio of their sizes
NARROW = 120  # pixels; two planes are drawn only where both are at least as wide and high
GROW = 1.25  # room that a growing cloud gets at once during a drag
CLEAR = 14  # pixels around a chosen point that the readout leaves free
BEFORE = Sliders()
STEPS = {
    int(Qt.Key.Key_Left): (-1, 0),
    int(Qt.Key.Key_Right): (1, 0),
    int(Qt.Key.Key_Up): (0, -1),
    int(Qt.Key.Key_Down): (0, 1),
}


class EmbeddingView(View):
    """The joint plane: blue circles are queries, orange triangles are keys."""

    name = "embedding"

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Queries and keys in the joint plane")
        self.setAccessibleDescription(
            "Queries as circles and keys as triangles in the plane of their principal components. "
            "Shift and the arrow keys step through queries (left, right) and keys (up, down)."
        )
        self.setToolTip(
            "Click a point to keep it lit, Shift+click to add its counterpart. Scroll to zoom, "
            "drag to move, double click to see everything."
        )
        # `right` is the only plane when one is shown; `left` shows before beside it.
        self.left, self.right = Plane(theme), Plane(theme)
        self.legend = ColorLegend(theme)
        self._arrangement: tuple[str, ...] = ()
        self._mix = 1.0  # what the right plane shows: 0 before, 1 after, between while gliding
        self._plane_option = document.options.plane
        self._labels = LabelArt()
        self._held = False  # the range was set by hand
        self._same_scale = True
        self._line_option: tuple[str, int] | None = None
        self._pairs = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
        self._under: tuple[Plane, Focus] | None = None  # what the readout tells about
        self._other: tuple[Plane, int] | None = None  # the other text's point under the mouse
        self._parts: tuple[TextPart, TextPart] | None = None
        self._pinned_before = Focus()
        self.readout = Readout(theme, self)
        self._words = Steady(self._draw_captions, self)
        self._glide = QVariantAnimation(self)
        self._glide.setDuration(GLIDE)
        self._glide.setEasingCurve(QEasingCurve.Type.InOutCubic)
        self._glide.valueChanged.connect(self._glided)
        self._glide.finished.connect(self._glide_ended)
        self.ci.layout.setSpacing(10)
        for plane in (self.left, self.right):
            plane.box.sigResized.connect(self._resized)
            plane.box.sigRangeChangedManually.connect(self._ranged_by_hand)
        self.scene().sigMouseClicked.connect(self._clicked)
        self._arrange()

    def start(self) -> None:
        """Draw for the first time, and follow the document from now on."""
        self.document.colors.changed.connect(self._recolored)
        super().start()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.colors.changed.disconnect(self._recolored, missing_ok=True)
        self._finish_glide()
        super().stop()

    # -- what is said ------------------------------------------------------------------------

    def title(self) -> str:
        """The head's name."""
        picture = self.document.picture
        if picture is None:
            return "Queries and keys"
        how = f" {BEFORE_ROTARY}" if picture.before_rotary else ""
        corpus = self.document.corpus
        of = "" if corpus is None else f"  ·  {corpus.words}"
        return f"Queries and keys{how}  {picture.title}{of}"

    def numbers(self) -> str:
        """Share of variance in the plane and mean drawn length of the lines, before → after."""
        if self.why_nothing():
            return ""
        of = "" if self.document.corpus is None else f"in text {self._picture.text + 1}: "
        hidden = self.document.colors.hidden_words()
        told = content.numbers(self._frames, self._pairs, of)
        return f"{told} · {hidden}" if hidden else told

    def _draw_captions(self) -> None:
        right = "before" if self._target_mix() == 0 else "after"
        of = ""
        if self.document.corpus is not None:
            what = "names" if self.document.options.lines == "none" else "lines"
            of = f" · {what}: text {self._picture.text + 1}"
        rest = normalisation_in_words(self.document.sliders if right == "after" else BEFORE)
        if "left" in self._arrangement:
            self.left.caption.set_text("before", normalisation_in_words(BEFORE) + of)
            if not self._same_scale:
                ratio = self.right.looking()[1] / self.left.looking()[1]
                how = "smaller" if ratio > 1 else "larger"
                rest += f" · drawn {number(max(ratio, 1 / ratio), 2)}× {how}"
        elif self.document.options.plane == "both":
            rest += " · no room for before"
        if "left" not in self._arrangement:
            rest += of
        self.right.caption.set_text(right, rest)
        captions = [p.caption for p in (self.left, self.right) if self._shown(p)]
        # Room for other numbers: a line is not to break while a slider moves.
        room = self.width() - 12 - AXIS
        if self._arrangement[-1] == "beside":
            room = (self.width() - 22) / 2 - AXIS
        lines = 1 + any(c.needs() + 30 > room for c in captions)
        for caption in captions:
            caption.set_lines(lines)

    # -- following the document --------------------------------------------------------------

    def draw_picture(self) -> None:
        """Another head: other points, other lines, all of it in sight."""
        picture = self._picture
        self._glide.stop()
        self._plane_option = self.document.options.plane
        self._mix = self._target_mix()
        self._arrange()
        tokens = (*picture.query_tokens, *picture.key_tokens)
        if tokens != self._labels.tokens:
            self._labels = LabelArt(tokens)
        order = content.importance(picture, self.document.watched_here)
        corpus = self.document.corpus
        among = 0 if corpus is None else len(corpus.live.query)
        for plane in (self.left, self.right):
            plane.drawing.set_tokens(self._labels, len(picture.query_tokens), order, among)
        self._held = False
        self._line_option = None
        self._color()
        self._take_lines()
        self._draw_points(moving=False)
        self._fit()
        self.draw_watched()
        self.draw_focus()

    def draw_frame(self) -> None:
        """Move the points after; the range holds during a drag and fits at rest."""
        dragging = self.document.dragging
        self._draw_points(moving=dragging, before=False)
        if not dragging:
            self._fit()
        elif not self._held and not self._right_in_sight():
            self._fit(GROW)
        if dragging:
            self._words.soon()
        else:
            self._words.now()
        self._read()

    def draw_options(self) -> None:
        """Take the choice of lines and of planes."""
        self._take_lines()
        plane = self.document.options.plane
        if plane == self._plane_option:
            return
        old, self._plane_option = self._plane_option, plane
        self._glide.stop()
        alone = "both" not in (old, plane)
        if alone and self.document.options.animate and self.isVisible():
            self._glide.setStartValue(self._mix)
            self._glide.setEndValue(self._target_mix())
            self._glide.start()
            self._draw_captions()
            return
        self._mix = self._target_mix()
        self._arrange()
        self._draw_points(moving=False)
        self._fit()
        self.draw_focus()

    def draw_watched(self) -> None:
        """Lay the watched pairs over everything, in red."""
        here = self.document.watched_here
        q = np.array([i for i, _ in here], dtype=np.intp)
        k = np.array([j for _, j in here], dtype=np.intp)
        links = content.links(self._picture, q, k)
        order = content.importance(self._picture, here)
        for plane in (self.left, self.right):
            plane.drawing.set_watched(links)
            plane.drawing.set_order(order)

    def draw_focus(self) -> None:
        """Ring the focus and draw its lines; the rest fades."""
        focus = self.document.focus
        lit = content.lit(self._picture, focus)
        for plane in (self.left, self.right):
            plane.drawing.set_lit(lit)
        if focus:
            self.setAccessibleDescription(". ".join(self._describe(focus)))
        self._read()

    def draw_selection(self) -> None:
        """Ring what is selected or found; the rest fades."""
        own, crowd = self.document.marks, self.document.corpus_marks
        for plane in (self.left, self.right):
            plane.drawing.set_picked(Picked(own, crowd))

    def brush(self, region: Region, take: Callable[[Selection], object]) -> None:
        """Hand over the queries and keys of all shown texts whose points are in a region."""
        corpus, lists = self.document.corpus, self.document.token_lists
        places = self.document.places
        if places is None:
            return
        sides = [np.zeros(0, dtype=bool), np.zeros(0, dtype=bool)]
        for plane in (self.left, self.right):
            if self._shown(plane):
                corner = plane.area().topLeft()
                inside = plane.drawing.inside(
                    region.moved(-corner.x(), -corner.y()), crowd=corpus is not None
                )
                sides = [a | b if len(a) else b for a, b in zip(sides, inside, strict=True)]
        query, key = (at[on] for at, on in zip((places.query, places.key), sides, strict=True))
        take(select_places(lists, query, key, places.of))

    def draw_theme(self) -> None:
        """Take the theme's colours."""
        self.readout.set_theme(self.theme)
        self.legend.retheme(self.theme)
        for plane in (self.left, self.right):
            plane.retheme(self.theme)
        if self.document.picture is not None:
            self._color()

    # -- colours -----------------------------------------------------------------------------

    def _recolored(self) -> None:
        if self.document.picture is not None:
            self._color()
            self.titled.emit()

    def _color(self) -> None:
        """Take the points' colours and sizes; those of other points are not taken."""
        coloring = self.document.colors.coloring
        self.legend.say(coloring, self.document.colors.hidden)
        own, query, key = tones_of(self.document, self.theme)
        for plane in (self.left, self.right):
            plane.drawing.set_tones(own, query, key)
            plane.caption.color(coloring is None, self.document.colors.hidden_sides)

    # -- points ------------------------------------------------------------------------------

    @property
    def _picture(self) -> Picture:
        picture = self.document.picture
        assert picture is not None
        return picture

    @property
    def _frames(self) -> content.Frames:
        """Before and after of the chosen text: in its own plane, or in that of all texts."""
        document, picture = self.document, self._picture
        corpus, together = document.corpus, document.corpus_frame
        if corpus is not None and together is not None:
            kept, text = self._parts, picture.text
            if kept is None or kept[1].whole is not together or kept[1].text != text:
                kept = self._parts = corpus.before.text(text), together.text(text)
            return kept
        frame = document.frame
        assert frame is not None
        return picture.before, frame

    def _points(self, which: str) -> Float:
        """Positions of queries, then keys, (T_q + T_k, 2)."""
        plane = self._frames[which == "after"].projection
        return np.concatenate([plane.query_xy, plane.key_xy])

    def _crowd(self, which: str) -> tuple[Float, Float]:
        """Positions of all texts' queries and keys; none where one text is shown."""
        corpus, frame = self.document.corpus, self.document.corpus_frame
        if corpus is None or frame is None:
            return np.zeros((0, 2)), np.zeros((0, 2))
        plane = (corpus.before if which == "before" else frame).projection
        return plane.query_xy, plane.key_xy

    def _crowd_side(self, side: int, which: str) -> Float:
        return self._crowd(which)[side]

    def _right_points(self) -> Float:
        return _between(self._points, self._mix)

    def _draw_points(self, *, moving: bool, before: bool = True) -> None:
        if before:
            self.left.drawing.set_crowd(*self._crowd("before"))
            self.left.drawing.set_points(self._points("before"), moving=False)
        if before or self._mix > 0:
            queries, keys = (_between(partial(self._crowd_side, s), self._mix) for s in (0, 1))
            self.right.drawing.set_crowd(queries, keys)
            self.right.drawing.set_points(self._right_points(), moving=moving)

    def _box(self, which: str) -> Box:
        """The rectangle around all points before or after."""
        points, crowd = box_around(self._points(which)), self._crowd(which)
        for side in crowd:
            if len(side):
                points = points.union(box_around(side))
        return points

    # -- lines -------------------------------------------------------------------------------

    def _take_lines(self) -> None:
        """Choose the lines again where the choice or the picture has changed."""
        options = self.document.options
        option = options.lines, options.n_lines if options.lines == "top entries" else 0
        if option == self._line_option:
            return
        self._line_option = option
        self._pairs = content.line_pairs(self._picture, options)
        none = options.lines == "none"
        links = content.Links() if none else content.links(self._picture, *self._pairs)
        for plane in (self.left, self.right):
            plane.drawing.set_links(links)

    # -- the readout -------------------------------------------------------------------------

    def _describe(self, focus: Focus) -> tuple[str, ...]:
        return content.describe(self._picture, self._frames, focus)

    def _read(self) -> None:
        """Tell about the focus that was chosen here, or about another text's point."""
        if self._other is not None and self._other[0].drawing.pointed == self._other[1]:
            self._read_other(*self._other)
            return
        focus, found = self.document.focus, self._under
        if found is None or found[1] != focus or not focus or self.theme.name == "paper":
            self.readout.hide()
            return
        plane = found[0]
        # Beside all that is lit where that is not half the plane, else beside the point alone.
        area = plane.drawing.lit_area(CLEAR, others=True)
        if area.width() > 0.6 * plane.room[0] or area.height() > 0.6 * plane.room[1]:
            area = plane.drawing.lit_area(CLEAR, others=False)
        area = plane.box.mapRectToScene(area).intersected(plane.area())
        words = *self._describe(focus), *content.which_text(self.document)
        quote = content.quote_focus(self.document, focus)
        self.readout.say(words, area.toAlignedRect(), quote)

    def _read_other(self, plane: Plane, point: int) -> None:
        corpus, at = self.document.corpus, plane.drawing.pointed_at()
        if corpus is None or at is None:
            self.readout.hide()
            return
        clear = QRectF(at.x() - CLEAR, at.y() - CLEAR, 2 * CLEAR, 2 * CLEAR)
        area = plane.box.mapRectToScene(clear).intersected(plane.area())
        words = content.describe_other(corpus, point)
        self.readout.say(words, area.toAlignedRect(), content.quote_other(corpus, point))

    # -- range -------------------------------------------------------------------------------

    def _fit(self, grow: float = 1.0) -> None:
        """Show all points; before and after at the same scale where both stay readable."""
        if self._held or self.document.picture is None:
            return
        before, after = self._box("before"), self._box("after")
        sizes = sorted((before.size, after.size))
        # A cloud that is one point is that at any scale.
        self._same_scale = sizes[1] <= SAME_SCALE * sizes[0] or sizes[0] < 1e-9 * sizes[1]
        if self._same_scale:
            before = after = before.union(after)
        planes = [p for p in (self.left, self.right) if self._shown(p)]
        if len(planes) == 2:
            units = [self.left.unit_to_fit(before), self.right.unit_to_fit(after)]
            if self._same_scale:
                units = [max(units)] * 2
            self.left.look(before.center, units[0])
            self.right.look(after.center, units[1] * grow)
            if grow > 1 and self._same_scale:
                self.left.look(before.center, units[0] * grow)
        else:
            # Between the two while gliding; the lengths of a pixel on a logarithmic scale.
            m = self._mix
            a, b = self.right.unit_to_fit(before), self.right.unit_to_fit(after)
            center = np.array(before.center) * (1 - m) + np.array(after.center) * m
            self.right.look((float(center[0]), float(center[1])), a ** (1 - m) * b**m * grow)
        self._draw_captions()

    def _right_in_sight(self) -> bool:
        drawing = self.right.drawing
        parts = drawing.xy, drawing.crowd.query, drawing.crowd.key
        return all(self.right.shows(box_around(part)) for part in parts if len(part))

    def _shown(self, plane: Plane) -> bool:
        return ("left" if plane is self.left else "right") in self._arrangement

    def _resized(self, *_: object) -> None:
        self._fit()

    def _ranged_by_hand(self, *_: object) -> None:
        """The user zooms or moves: the range is kept, and the other plane goes along."""
        self._held = True
        if self._same_scale and len(self._arrangement) == 3:
            moved = self.left if self.sender() is self.left.box else self.right
            other = self.right if moved is self.left else self.left
            other.look(*moved.looking(), by_hand=True)

    def _arrange(self) -> None:
        """Lay the planes out: side by side, one above the other, or the right one alone."""
        w, h = self.width() - 80, self.height() - 70
        arrangement: tuple[str, ...] = ("right",)
        if self.document.options.plane == "both":
            beside, above = min((w - 60) / 2, h), min(w, (h - 60) / 2)
            if max(beside, above) >= NARROW:
                arrangement = "left", "right", "beside" if beside >= above else "above"
        two = len(arrangement) > 1
        self.left.caption.legend, self.right.caption.legend = two, not two
        # The names of the axes stand once where the planes share them.
        self.right.left.showLabel(arrangement[-1] != "beside")
        self.right.left.setWidth(AXIS - 14 * (arrangement[-1] == "beside"))
        self.left.left.setWidth(AXIS)
        if arrangement == self._arrangement:
            return
        for item in (self.left, self.right, self.legend):
            if item.scene() is not None:
                self.ci.removeItem(item)
        self._arrangement = arrangement
        if two:
            self.ci.addItem(self.left, 0, 0)
        row, column = (1, 0) if arrangement[-1] == "above" else (0, int(two))
        self.ci.addItem(self.right, row, column)
        self.ci.addItem(self.legend, 2, 0, 1, column + 1)

    # -- before and after in one plane -------------------------------------------------------

    def _target_mix(self) -> float:
        return 0.0 if self.document.options.plane == "before" else 1.0

    def _glided(self, value: float) -> None:
        # The animation also tells of values while it is set up.
        if self._glide.state() == QVariantAnimation.State.Running:
            self._mix = float(value)
            self._draw_points(moving=True, before=False)
            self._fit()
            self._read()

    def _glide_ended(self) -> None:
        self._mix = self._target_mix()
        self._draw_points(moving=False)
        self._fit()
        self._read()

    def _finish_glide(self) -> None:
        if self._glide.state() != QVariantAnimation.State.Stopped:
            self._glide.stop()
            self._glide_ended()

    # -- mouse and keys ----------------------------------------------------------------------

    def _plane_at(self, position: QPointF) -> tuple[Plane | None, float, float]:
        """Return the plane at a place of the viewport, and where that is in its pixels."""
        spot = self.mapToScene(position.toPoint())
        for plane in (self.left, self.right):
            if self._shown(plane) and plane.area().contains(spot):
                place = plane.box.mapFromScene(spot)
                return plane, place.x(), place.y()
        return None, 0.0, 0.0

    def point_at(self, position: QPointF) -> tuple[Plane, Focus] | None:
        """Return the plane and the query or key at a place of the viewport."""
        plane, x, y = self._plane_at(position)
        if plane is None:
            return None
        # Among very many points, the chosen text's are meant where the mouse is on them.
        reach = REACH if self.document.corpus is None else plane.drawing.diameter / 2 + 1
        point, n = plane.drawing.nearest(x, y, reach), plane.drawing.n_queries
        if point is None:
            return None
        return plane, Focus(query=point) if point < n else Focus(key=point - n)

    def line_at(self, position: QPointF) -> tuple[Plane, Focus] | None:
        """Return the plane and the pair whose line is at a place of the viewport."""
        plane, x, y = self._plane_at(position)
        pair = None if plane is None else plane.drawing.nearest_line(x, y, NEAR)
        return None if plane is None or pair is None else (plane, Focus(*pair))

    def other_at(self, position: QPointF) -> tuple[Plane, int] | None:
        """Return the plane and the point of another text at a place of the viewport."""
        plane, x, y = self._plane_at(position)
        if plane is None or self.document.corpus is None:
            return None
        point = plane.drawing.nearest_of_crowd(x, y, REACH)
        return None if point is None else (plane, point)

    def _point_out(self, found: tuple[Plane, int] | None) -> None:
        self._other = found
        for plane in (self.left, self.right):
            plane.drawing.point_out(None if found is None else found[1])

    def _go_to(self, found: tuple[Plane, int] | None) -> None:
        """Show the text of another text's point, with that token pinned."""
        corpus = self.document.corpus
        if found is None or corpus is None:
            return
        token, side = content.token_at(corpus, found[1])
        self._point_out(None)
        self.document.show_token(token.text, **{side: token.index})

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up what is under the mouse."""
        super().mouseMoveEvent(event)
        if event.buttons() or self.document.picture is None:
            return
        self._under = self.point_at(event.position())
        other = None if self._under else self.other_at(event.position())
        if self._under is None and other is None:
            self._under = self.line_at(event.position())
        self._point_out(other)
        focus = self._under[1] if self._under else Focus()
        self.document.hover(focus.query, focus.key)
        self._read()

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone."""
        self._under = None
        self._point_out(None)
        super().leaveEvent(event)
        self._read()

    def _clicked(self, event) -> None:
        if event.button() != Qt.MouseButton.LeftButton or self.document.picture is None:
            return
        in_legend = self.legend.class_at(self.legend.mapFromScene(event.scenePos()))
        if in_legend is not None:
            self.document.colors.toggle(in_legend)
            return
        for plane in (self.left, self.right):
            side = plane.caption.side_at(plane.caption.mapFromScene(event.scenePos()))
            if side is not None and self._shown(plane):
                self.document.colors.toggle_side(side)
                return
        if event.double():
            self._held = False
            self._fit()
            # The first click of the two has pinned: a double click is to change the zoom alone.
            if self.document.pinned != self._pinned_before:
                before = self._pinned_before or self.document.pinned
                self.document.pin(before.query, before.key)
            return
        self._pinned_before = pinned = self.document.pinned
        place = QPointF(self.mapFromScene(event.scenePos()))
        found = self.point_at(place)
        if found is None:
            other = self.other_at(place)
            found = self.line_at(place) if other is None else None
            if found is None:
                self._go_to(other)
                return
        focus = found[1]
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            query = pinned.query if focus.query is None else focus.query
            key = pinned.key if focus.key is None else focus.key
            focus = Focus(query, key)
        self._under = found[0], focus
        self.document.pin(focus.query, focus.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Shift and an arrow step through queries (left, right) or keys (up, down)."""
        step = STEPS.get(event.key())
        keys = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if step is None or keys != Qt.KeyboardModifier.ShiftModifier or not self.document.picture:
            super().keyPressEvent(event)
            return
        event.accept()
        pinned = self.document.pinned
        focus = content.step(self._picture, pinned, *step)
        if focus != pinned:  # pinning the same again would let go
            self._under = self.right, focus
            self.document.pin(focus.query, focus.key)

    # -- Qt ----------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay the planes out anew."""
        super().resizeEvent(event)
        if hasattr(self, "_glide"):  # Qt resizes before __init__ is through
            self._arrange()

    def viewportEvent(self, event: QEvent) -> bool:
        """Over the planes the readout says more than a tooltip, which would cover points."""
        if event.type() == QEvent.Type.ToolTip:
            spot = self.mapToScene(cast("QHelpEvent", event).pos())
            if any(self._shown(p) and p.area().contains(spot) for p in (self.left, self.right)):
                return True
        return super().viewportEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nothing glides unseen."""
        self._finish_glide()
        super().hideEvent(event)


def _between(points: Callable[[str], Float], mix: float) -> Float:
    """Return positions before (0), after (1) or on the way from one to the other."""
    if mix in (0, 1):
        return points("after" if mix else "before")
    before = points("before")
    return before + mix * (points("after") - before)
