"""Queries and keys in other projections than the joint plane: 3-D PCA, t-SNE, UMAP.

Draws the layouts that `Projected` holds, and turns those in space. Computes none itself.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt

from attnviz_gui.analysis.projections import NO_UMAP, WORDS, has_umap, turning
from attnviz_gui.session.document import Focus
from attnviz_gui.session.selection import select_places
from attnviz_gui.session.words import number
from attnviz_gui.ui.views import plane_content as content
from attnviz_gui.ui.views.base import View
from attnviz_gui.ui.views.color_legend import ColorLegend
from attnviz_gui.ui.views.compass import Compass
from attnviz_gui.ui.views.labels import LabelArt
from attnviz_gui.ui.views.painted import Choosable
from attnviz_gui.ui.views.picked import Picked
from attnviz_gui.ui.views.plane import Plane, box_around
from attnviz_gui.ui.views.projected import AT_ONCE, Projected
from attnviz_gui.ui.views.readout import Readout
from attnviz_gui.ui.views.toned import tones_of
from attnviz_gui.ui.views.tones import Tones

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    from PySide6.QtGui import QHelpEvent, QKeyEvent, QMouseEvent, QResizeEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.analysis.projections import Method
    from attnviz_gui.jobs.projecting import Layout, ProjectionRequest
    from attnviz_gui.session.corpus import Corpus
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.session.quote import Quote
    from attnviz_gui.session.selection import Selection
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.region import Region

    Float = npt.NDArray[np.float64]
    Int = npt.NDArray[np.intp]

STILL = 4  # pixels that a click may move
REACH = 12  # pixels around a point in which the mouse finds it
CLEAR = 14  # pixels around a point that the readout leaves free
GROW = 1.1  # room that a turning cloud gets at once
PER_PIXEL = 0.01  # radians
PER_KEY = math.radians(7.5)
UPRIGHT = math.pi / 2
NEARER, FARTHER = 0.3, 0.2  # by which share the nearest point is larger, the farthest smaller
NOT_DISTANCES = "its distances are not distances"
TURN = {
    int(Qt.Key.Key_Left): (-1, 0),
    int(Qt.Key.Key_Right): (1, 0),
    int(Qt.Key.Key_Up): (0, -1),
    int(Qt.Key.Key_Down): (0, 1),
}
HELP = (
    "Click a point to keep it lit, Shift+click to add its counterpart. Scroll to zoom, double "
    "click to see everything. Space is turned by dragging with the tool Move, or by the arrow keys."
)
ABOUT: dict[str, str] = {
    "pca": "The first three principal components; turn them by dragging or by the arrow keys.",
    "tsne": (
        "Draws near points near each other (van der Maaten & Hinton 2008). Distances, sizes of "
        "groups and gaps between them mean nothing."
    ),
    "umap": (
        "Draws near points near each other, by a graph of neighbours (McInnes, Healy & Melville "
        "2018). Distances mean nothing." + ("" if has_umap() else f"\n{NO_UMAP}")
    ),
}


class OtherProjectionView(View):
    """Circles are queries, triangles are keys, as in the plane; so are their colours."""

    name = "other_projection"
    choosable: ClassVar[tuple[Choosable, ...]] = (
        Choosable(
            "method",
            "Projection",
            tuple((method, WORDS[cast("Method", method)], tip) for method, tip in ABOUT.items()),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Queries and keys in another projection")
        self.setToolTip(HELP)
        self.projected = Projected(document)
        self.shown: Layout | None = None
        self._drawn: tuple[Layout, Picture] | None = None  # with labels placed for them
        self._labels = LabelArt()
        self._held = False  # the range was set by hand
        self._under: Focus | None = None
        self._other: int | None = None
        self._pressed: QPointF | None = None
        self._turned: QPointF | None = None  # where the mouse was last while turning
        self._pinned_before = Focus()
        self.plane = Plane(theme)
        for axis in (self.plane.left, self.plane.bottom):
            axis.hide()  # its numbers would mean nothing
        self.plane.caption.legend = True
        self.compass = Compass(self.plane.box, theme)
        self.legend = ColorLegend(theme)
        self.readout = Readout(theme, self)
        self.ci.layout.setSpacing(6)
        self.ci.addItem(self.plane, 0, 0)
        self.ci.addItem(self.legend, 1, 0)
        self.plane.box.sigResized.connect(self._resized)
        self.plane.box.sigRangeChangedManually.connect(self._ranged_by_hand)

    def start(self) -> None:
        """Draw for the first time, and follow the document from now on."""
        self.document.colors.changed.connect(self._recolored)
        super().start()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.colors.changed.disconnect(self._recolored, missing_ok=True)
        super().stop()

    # -- what is chosen, and computed --------------------------------------------------------

    @property
    def choices(self) -> dict[str, str]:
        """What the panel shows as chosen."""
        return {"method": self.projected.choices.method}

    @property
    def method(self) -> Method:
        """How points are projected."""
        return self.projected.choices.method

    @property
    def spatial(self) -> bool:
        """Whether it can be turned."""
        return self.method == "pca"

    def choose(self, name: str, value: str | float) -> None:
        """Choose another ``method``, ``seed`` or ``perplexity``."""
        if getattr(self.projected.choices, name) != value:
            changes: dict[str, Any] = {name: value}
            self.projected.choices = replace(self.projected.choices, **changes)
            self._held = False
            self._picture_changed()

    def like(self, other: OtherProjectionView) -> None:
        """Take the choices of another view: what is exported is what is seen."""
        self.projected.like(other.projected)

    def begin(self) -> None:
        """Something is being computed from now on."""
        self.projected.begin()
        self.projected.running = True
        self._picture_changed()

    def end(self) -> None:
        """Nothing is being computed any more."""
        self.projected.running = False
        self._drawn = None  # its labels find their places
        self._picture_changed()

    def take(self, request: ProjectionRequest, layout: Layout) -> None:
        """Draw what was computed, if it is still what is asked for."""
        self.projected.take(request, layout)
        if self.projected.asks_for(request):
            self._picture_changed()

    def take_step(self, request: ProjectionRequest, layout: Layout) -> None:
        """Draw what has been reached, if it is still what is asked for."""
        if not self.projected.asks_for(request):
            return
        if self.projected.take_step(request, layout):
            self._picture_changed()  # it takes the place of a sentence
            return
        self.shown = layout
        self._draw_points(moving=True)
        self._fit()
        self._caption()

    def take_fault(self, request: ProjectionRequest, reason: str) -> None:
        """Say why it has no layout."""
        self.projected.take_fault(request, reason)
        if self.projected.asks_for(request):
            self._picture_changed()

    def why_nothing(self) -> str:
        """Why there is nothing to show, or how to have it."""
        return super().why_nothing() or self.projected.sentence()

    def facts(self) -> str:
        """Return what a figure's caption tells of it."""
        return self.projected.facts()

    # -- what is said ------------------------------------------------------------------------

    def title(self) -> str:
        """Which projection of which head; of t-SNE and UMAP, that distances are none."""
        picture, corpus = self.document.picture, self.document.corpus
        if picture is None:
            return "Other projections"
        told = "" if self.spatial else f"  ·  {NOT_DISTANCES}"
        of = "" if corpus is None else f"  ·  {corpus.words}"
        return f"{WORDS[self.method]}  {picture.title}{told}{of}"

    def numbers(self) -> str:
        """The share of variance, or how many points there are."""
        if self.why_nothing():
            return ""
        colors, n, layout = self.document.colors, self.projected.n_points, self.shown
        told = f"{n:,} points"
        if layout is not None and layout.share is not None:
            told = f"{number(100 * float(layout.share.sum()), 2)} % of variance"
        hidden = colors.hidden_words()
        return f"{told} · {hidden}" if hidden else told

    def _caption(self) -> None:
        caption, layout = self.plane.caption, self.shown
        rest = self.projected.parameters()
        if layout is not None and layout.share is not None:
            shares = " + ".join(number(100 * float(s), 2) for s in layout.share)
            rest = f"components 1, 2, 3: {shares} % of variance"
        if self.document.corpus is not None:
            rest += f" · names: text {self._picture.text + 1}"
        caption.set_text(WORDS[self.method], rest)
        narrow = caption.needs() + 30 > self.width() - 12
        if narrow and not self.spatial:  # there the title is cut, and this is not to be lost
            caption.set_text(WORDS[self.method], f"{NOT_DISTANCES} · {rest}")
        caption.set_lines(1 + narrow)

    # -- following the document --------------------------------------------------------------

    def _picture_changed(self) -> None:
        self.shown = self.projected.follow()
        super()._picture_changed()

    def draw_picture(self) -> None:
        """Draw another layout, all of it in sight."""
        self.compass.setVisible(self.spatial)
        self._point_out(None)
        if self.shown is None:
            self.readout.hide()
            return
        picture, corpus = self._picture, self.document.corpus
        drawn = self._drawn
        if drawn is None or drawn[0] is not self.shown or drawn[1] is not picture:
            self._drawn = self.shown, picture
            tokens = (*picture.query_tokens, *picture.key_tokens)
            if tokens != self._labels.tokens:
                self._labels = LabelArt(tokens)
            order = content.importance(picture, self.document.watched_here)
            among = 0 if corpus is None else max(corpus.query_start[-1], corpus.key_start[-1])
            self.plane.drawing.set_tokens(
                self._labels, len(picture.query_tokens), order, int(among)
            )
        self._draw_points(moving=self.projected.running)
        self._color()
        self._fit()
        self._caption()
        self.draw_watched()
        self.draw_focus()

    def draw_frame(self) -> None:
        """Take other a and c: another PCA at once, t-SNE and UMAP when they are run again."""
        if self.spatial and self.projected.n_points <= AT_ONCE and self.shown is not None:
            layout = self.projected.follow()
            if layout is not None:
                self.shown = layout
                self._draw_points(moving=self.document.dragging)
                self._fit()
                self._caption()
                return
        if self.shown is not None or not self.document.dragging or self.projected.layout():
            self._picture_changed()

    def draw_focus(self) -> None:
        """Ring the focus and draw its lines; the rest fades."""
        if self.shown is not None:
            self.plane.drawing.set_lit(content.lit(self._picture, self.document.focus))
        self._read()

    def draw_watched(self) -> None:
        """Lay the watched pairs over everything, in red."""
        if self.shown is None:
            return
        here = self.document.watched_here
        q, k = (np.array([pair[side] for pair in here], dtype=np.intp) for side in (0, 1))
        self.plane.drawing.set_watched(content.links(self._picture, q, k))
        self.plane.drawing.set_order(content.importance(self._picture, here))

    def draw_selection(self) -> None:
        """Ring what is selected or found; the rest fades."""
        self.plane.drawing.set_picked(Picked(self.document.marks, self.document.corpus_marks))

    def draw_theme(self) -> None:
        """Take the theme's colours."""
        self.readout.set_theme(self.theme)
        self.legend.retheme(self.theme)
        self.plane.retheme(self.theme)
        self.compass.retheme(self.theme)
        if self._still:
            self._color()

    def brush(self, region: Region, take: Callable[[Selection], object]) -> None:
        """Hand over the queries and keys whose points are in a region."""
        places = self.document.places
        if places is None or self.shown is None:
            return
        corner = self.plane.area().topLeft()
        inside = self.plane.drawing.inside(
            region.moved(-corner.x(), -corner.y()), crowd=self.document.corpus is not None
        )
        query, key = (at[on] for at, on in zip((places.query, places.key), inside, strict=True))
        take(select_places(self.document.token_lists, query, key, places.of))

    # -- points ------------------------------------------------------------------------------

    @property
    def _picture(self) -> Picture:
        picture = self.document.picture
        assert picture is not None
        return picture

    @property
    def _still(self) -> bool:
        """Whether what is drawn is what the document shows: it is not while nobody looked."""
        layout = self.projected.layout()
        return layout is not None and layout is self.shown

    def _seen(self) -> tuple[Float, Float | None]:
        """Return where all points are drawn, (N, 2), and how near they are, (N,), from -1 to 1."""
        assert self.shown is not None
        positions = self.shown.positions
        if positions.shape[1] == 2:
            return positions, None
        turned = positions @ self._turning().T
        depth = turned[:, 2]
        return turned[:, :2], depth / max(float(np.abs(depth).max()), 1e-12)

    def _turning(self) -> Float:
        return turning(self.projected.choices.azimuth, self.projected.choices.elevation)

    @property
    def _n_queries(self) -> int:
        """How many of the points are queries; the others, after them, are keys."""
        corpus = self.document.corpus
        return len(self._picture.query_tokens) if corpus is None else int(corpus.query_start[-1])

    def _own(self) -> Int:
        """Return which points are the chosen text's."""
        corpus, picture = self.document.corpus, self._picture
        if corpus is None:
            return np.arange(len(picture.query_tokens) + len(picture.key_tokens))
        text, n = picture.text, self._n_queries
        query = np.arange(*corpus.query_start[text : text + 2].tolist())
        return np.concatenate([query, n + np.arange(*corpus.key_start[text : text + 2].tolist())])

    def _draw_points(self, *, moving: bool) -> None:
        xy, depth = self._seen()
        corpus, drawing = self.document.corpus, self.plane.drawing
        if corpus is not None:
            n = self._n_queries
            drawing.set_crowd(xy[:n], xy[n:])
        else:
            drawing.set_crowd(np.zeros((0, 2)), np.zeros((0, 2)))
        drawing.set_points(xy[self._own()], moving=moving)
        self.compass.turn(self._turning())
        if depth is not None:
            self._tone(depth)

    # -- colours -----------------------------------------------------------------------------

    def _recolored(self) -> None:
        if self._still:
            self._color()
            self.titled.emit()

    def _color(self) -> None:
        colors = self.document.colors
        self.legend.say(colors.coloring, colors.hidden)
        self.plane.caption.color(colors.coloring is None, colors.hidden_sides)
        self._tone(self._seen()[1])
        self.plane.drawing.set_tones(self.plane.drawing.tones, *self._crowd_tones)

    def _tone(self, depth: Float | None) -> None:
        """Give points their colours; in space the nearer ones are larger, unless sizes are norms.

        Labels keep their places: this is asked for while points turn.
        """
        own, query, key = tones_of(self.document, self.theme)
        if depth is not None and self.document.colors.sizes is None:
            size = 1 + np.where(depth > 0, NEARER, FARTHER) * depth
            mine = self._own()
            own = replace(own or Tones(None, ()), size=size[mine])
            if query is not None and key is not None:
                n = self._n_queries
                query, key = replace(query, size=size[:n]), replace(key, size=size[n:])
        self._crowd_tones = query, key
        self.plane.drawing.tones = own
        if self.document.corpus is not None:
            self.plane.drawing.crowd.set_tones(query, key)
        self.plane.drawing.update()

    # -- range -------------------------------------------------------------------------------

    def _fit(self, *, turning: bool = False) -> None:
        """Show all points; while they are turned, only where they would leave the picture."""
        if self._held or self.shown is None:
            return
        box = box_around(self._seen()[0])
        if turning and self.plane.shows(box):
            return
        self.plane.look(box.center, self.plane.unit_to_fit(box) * (GROW if turning else 1))

    def _resized(self, *_: object) -> None:
        self._fit()

    def _ranged_by_hand(self, *_: object) -> None:
        self._held = True

    # -- turning -----------------------------------------------------------------------------

    def turn(self, right: float, down: float, *, moving: bool = False) -> None:
        """Turn space, by radians: its near side goes to the right, and down."""
        chosen = self.projected.choices
        self.projected.choices = replace(
            chosen,
            azimuth=math.remainder(chosen.azimuth + right, 2 * math.pi),
            elevation=min(max(chosen.elevation + down, -UPRIGHT), UPRIGHT),
        )
        if self.shown is None:
            return
        self._draw_points(moving=moving)
        self._fit(turning=moving)
        self.readout.hide()

    # -- the readout -------------------------------------------------------------------------

    def _read(self) -> None:
        """Tell about the focus that was chosen here, or about another text's point."""
        drawing, corpus, focus = self.plane.drawing, self.document.corpus, self.document.focus
        at = drawing.pointed_at() if self._other is not None else None
        if self.theme.name == "paper" or self.shown is None:
            self.readout.hide()
        elif at is not None and corpus is not None and self._other is not None:
            words = content.describe_other(corpus, self._other)
            self._say(words, at, content.quote_other(corpus, self._other))
        elif focus and focus == self._under:
            area = drawing.lit_area(CLEAR, others=False)
            area = self.plane.box.mapRectToScene(area).intersected(self.plane.area())
            quote = content.quote_focus(self.document, focus)
            self.readout.say(self._describe(focus), area.toAlignedRect(), quote)
        else:
            self.readout.hide()

    def _say(self, words: tuple[str, ...], at: QPointF, quote: Quote | None = None) -> None:
        clear = QRectF(at.x() - CLEAR, at.y() - CLEAR, 2 * CLEAR, 2 * CLEAR)
        area = self.plane.box.mapRectToScene(clear).intersected(self.plane.area())
        self.readout.say(words, area.toAlignedRect(), quote)

    def _describe(self, focus: Focus) -> tuple[str, ...]:
        frame = self.document.frame
        assert frame is not None
        words = content.describe(self._picture, (frame, frame), focus)
        # What it says of distances is of the joint plane.
        return words[:2]

    # -- mouse and keys ----------------------------------------------------------------------

    def point_at(self, position: QPointF) -> Focus | None:
        """Return the query or key at a place of the viewport."""
        place = self._place(position)
        if place is None:
            return None
        drawing = self.plane.drawing
        reach = REACH if self.document.corpus is None else drawing.diameter / 2 + 1
        point = drawing.nearest(place.x(), place.y(), reach)
        if point is None:
            return None
        n = drawing.n_queries
        return Focus(query=point) if point < n else Focus(key=point - n)

    def other_at(self, position: QPointF) -> int | None:
        """Return the point of another text at a place of the viewport."""
        place = self._place(position)
        if place is None or self.document.corpus is None:
            return None
        return self.plane.drawing.nearest_of_crowd(place.x(), place.y(), REACH)

    def _place(self, position: QPointF) -> QPointF | None:
        spot = self.mapToScene(position.toPoint())
        if self.shown is None or not self.plane.area().contains(spot):
            return None
        return self.plane.box.mapFromScene(spot)

    def _point_out(self, point: int | None) -> None:
        self._other = point
        self.plane.drawing.point_out(point)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click, or to turn space."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._turned = event.position(), None
            if self.spatial:
                event.accept()
                return
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Turn space, or light up what is under the mouse."""
        if self.document.picture is None or self.why_nothing():
            super().mouseMoveEvent(event)
            return
        at, pressed = event.position(), self._pressed
        if self.spatial and pressed is not None and event.buttons() & Qt.MouseButton.LeftButton:
            event.accept()
            if self._turned is None and (at - pressed).manhattanLength() <= STILL:
                return
            step = at - (self._turned or pressed)
            self._turned = at
            self.turn(step.x() * PER_PIXEL, step.y() * PER_PIXEL, moving=True)
            return
        super().mouseMoveEvent(event)
        if event.buttons():
            return
        self._under = self.point_at(at)
        self._point_out(None if self._under else self.other_at(at))
        focus = self._under or Focus()
        self.document.hover(focus.query, focus.key)
        self._read()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Pin what was clicked; labels find their places where space was turned."""
        pressed, turned = self._pressed, self._turned
        self._pressed = self._turned = None
        if not self.spatial or event.button() != Qt.MouseButton.LeftButton:
            super().mouseReleaseEvent(event)
        event.accept()
        if pressed is None or self.document.picture is None:
            return
        if turned is not None:
            self.turn(0, 0)
        elif (event.position() - pressed).manhattanLength() <= STILL:
            self._click(event.position(), event.modifiers())

    def _click(self, at: QPointF, modifiers: Qt.KeyboardModifier) -> None:
        of_class = self.legend.class_at(self.legend.mapFromScene(self.mapToScene(at.toPoint())))
        if of_class is not None:
            self.document.colors.toggle(of_class)
            return
        caption = self.plane.caption
        side = caption.side_at(caption.mapFromScene(self.mapToScene(at.toPoint())))
        if side is not None:
            self.document.colors.toggle_side(side)
            return
        self._pinned_before = pinned = self.document.pinned
        focus, other, corpus = self.point_at(at), self.other_at(at), self.document.corpus
        if focus is None:
            if other is not None and corpus is not None:
                self._go_to(corpus, other)
            return
        if modifiers & Qt.KeyboardModifier.ShiftModifier:
            query = pinned.query if focus.query is None else focus.query
            key = pinned.key if focus.key is None else focus.key
            focus = Focus(query, key)
        self._under = focus
        self.document.pin(focus.query, focus.key)

    def _go_to(self, corpus: Corpus, point: int) -> None:
        """Show the text of another text's point, with that token pinned."""
        token, side = content.token_at(corpus, point)
        self._point_out(None)
        self.document.show_token(token.text, **{side: token.index})

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """See everything; the first click of the two has pinned, which is undone."""
        super().mouseDoubleClickEvent(event)
        self._held = False
        self._fit()
        if self.document.pinned != self._pinned_before:
            before = self._pinned_before or self.document.pinned
            self.document.pin(before.query, before.key)

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone."""
        self._under = None
        self._point_out(None)
        super().leaveEvent(event)
        self._read()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows turn space; with Shift they step through queries and keys."""
        step = TURN.get(event.key())
        keys = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        shift = keys == Qt.KeyboardModifier.ShiftModifier
        turns = self.spatial and keys == Qt.KeyboardModifier.NoModifier
        if step is None or not (shift or turns) or self.shown is None:
            super().keyPressEvent(event)
            return
        event.accept()
        if turns:
            self.turn(step[0] * PER_KEY, step[1] * PER_KEY)
            return
        pinned = self.document.pinned
        focus = content.step(self._picture, pinned, *step)
        if focus != pinned:  # pinning the same again would let go
            self._under = focus
            self.document.pin(focus.query, focus.key)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the caption anew."""
        super().resizeEvent(event)
        if getattr(self, "shown", None) is not None:  # Qt resizes before __init__ is through
            self._caption()

    def viewportEvent(self, event: QEvent) -> bool:
        """Over the points the readout says more than a tooltip, which would cover them."""
        tip = event.type() == QEvent.Type.ToolTip
        if tip and self._place(QPointF(cast("QHelpEvent", event).pos())) is not None:
            return True
        return super().viewportEvent(event)
