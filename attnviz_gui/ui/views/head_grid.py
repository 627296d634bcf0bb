"""All heads of all layers at once, as one image: attention, planes, densities or one measure.

The cells are computed at the pixels that they have on the screen, away from the window's thread,
and appear as they are there; what is zoomed into is computed anew, down to the single entry. While
the picture is moved its last image is moved, and drawn sharp when it rests.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QFontMetricsF, QImage, QKeyEvent, QPainter

from attnviz_gui.analysis.catalogue import CATALOGUE
from attnviz_gui.analysis.mosaic import MASKED, Density, Part, visible
from attnviz_gui.jobs.mosaic import Kind, MosaicRequest, Points, Tile
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.color_scale import ColorScale, color_scale, ink_on
from attnviz_gui.ui.views.grid_image import (
    N_COLORS,
    masked_color,
    point_image,
    table,
    value_image,
    viridis,
)
from attnviz_gui.ui.views.grid_labels import paint_frames, paint_labels
from attnviz_gui.ui.views.grid_layout import Lattice, Order, Sight, order_of
from attnviz_gui.ui.views.grid_marks import chosen, marks_key, marks_of_layers, veil
from attnviz_gui.ui.views.painted import STEPS, STILL, Choosable, PaintedView

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QMouseEvent, QResizeEvent, QWheelEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.analysis.heads import HeadMeasures
    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme

    Place = tuple[int, int]  # layer, head

REST_MS = 70  # a picture that moves is not drawn anew before it has rested so long
ENTRY = 10  # pixels of an entry at the most that can be zoomed to
MOST_SYNC = 60_000_000  # pairs that a figure computes anew; of more it shows what is on the screen
KEPT = 4  # modes whose cells are kept beside the one on show
BAR = 12.0  # width of the colours
DIMMED = 0.82  # how much of a dimmed cell is ground
ORDER_WORDS = {
    "none": "", "layers": "layers by {}", "heads": "heads by mean {}",
    "both": "layers and heads by {}", "within": "heads of each layer by {}",
}  # fmt: skip


class HeadGridView(PaintedView):
    """Rows are layers, columns are heads."""

    name = "head_grid"
    choosable: ClassVar = (
        Choosable(
            "mode",
            "Cells",
            (
                ("attention", "attention", "Each cell is a head's attention: queries downwards,\n"
                 "keys to the right."),
                ("plane", "plane", "Each cell is a head's queries and keys in a plane, a = 0, "
                 "c = 1."),
                ("density", "density", "Each cell counts its pairs by q·k (to the right) and\n"
                 "|q − k| (upwards), from the least to the largest of its own."),
                ("measure", "measure", "Each cell is one number of the head, as a colour."),
            ),
        ),
        Choosable(
            "pool",
            "Pixels",
            (
                ("maximum", "max", "A pixel is the largest attention of all pairs that fall on "
                 "it."),
                ("mean", "mean", "A pixel is the mean attention of the allowed pairs that fall on "
                 "it."),
            ),
        ),
        Choosable(
            "axes",
            "Axes of the planes",
            (
                ("shared", "one space", "One plane for all heads, each brought to the same size: "
                 "one PCA, the same limits."),
                ("own", "its own", "Each head has its own PCA and limits."),
            ),
        ),
    )  # fmt: skip

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("All heads")
        self.setToolTip(
            "Every head of every layer. Click or press Enter to open one; arrows go from cell to\n"
            "cell; the wheel, + and − zoom, drag to move, 0 shows everything."
        )
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.measure = "entropy"
        self.order = "none"
        self.limit: float | None = None  # heads whose measure is not above it are dimmed
        self.cursor_: Place | None = None
        self.sight = Sight()
        self.compute: Any = self._compute_here
        self.give_up: Any = lambda: None  # stops what `compute` began
        self.at_once = True  # `compute` is done when it returns
        self.halted = False
        self._asked: MosaicRequest | None = None
        self._of: ref[Capture] | None = None
        self._text = -1
        self._coarse: dict[Kind, dict[Place, Tile]] = {}
        self._sharp: dict[Place, Tile] = {}
        self._counts: dict[Place, tuple[int, int]] = {}
        self._lattice: tuple[Any, Lattice] | None = None
        self._image: tuple[Any, Sight, QImage] | None = None
        self._whole: tuple[Any, QImage] | None = None  # at the grid's own size
        self._dpr = 1.0
        self._held: QPointF | None = None
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._rested)
        # Asking may paint a bar at once, which no painting may do: it is done afterwards.
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self.ask)
        self._version = 0  # of the cells
        self._scale_of: tuple[Any, ColorScale] | None = None

    def _slots(self):
        d = self.document
        return (
            *super()._slots(),
            (d.head_measures_changed, self._measures_changed),
            (d.wanted_changed, self._repaint),
            (d.selection_changed, self.titled.emit),
            (d.found_changed, self.titled.emit),
        )

    def stop(self) -> None:
        """Follow the document no longer; nothing is computed for a view that nobody sees."""
        super().stop()
        self._rest.stop()
        self._soon.stop()
        if self._asked is not None:
            self._asked = None
            self.give_up()

    # -- choices -----------------------------------------------------------------------------

    @property
    def kind(self) -> Kind | None:
        """What the cells are computed for; None where they show a measure."""
        mode, options = self.choices["mode"], self.document.options
        if mode == "measure":
            return None
        if mode == "attention":
            return Kind("attention", self.choices["pool"], show_special=options.show_special)  # type: ignore[arg-type]
        axes = self.choices["axes"] if mode == "plane" else "shared"
        return Kind(
            mode, axes=axes, show_special=options.show_special, rotary=options.rotary  # type: ignore[arg-type]
        )  # fmt: skip

    def choose_measure(self, name: str) -> None:
        """Choose the measure that colours, sorts and dims."""
        if name != self.measure:
            self.measure = name
            self._look_changed()

    def choose_order(self, how: str) -> None:
        """Choose how rows and columns are sorted by the measure."""
        if how != self.order:
            self.order = how
            self._look_changed()

    def choose_limit(self, limit: float | None) -> None:
        """Dim heads whose measure is not above a number; None: none."""
        if limit != self.limit:
            self.limit = limit
            self._look_changed()

    def like(self, other: PaintedView) -> None:
        """Take the choices, the sight and the cells of another grid."""
        super().like(other)
        assert isinstance(other, HeadGridView)
        self.measure, self.order, self.limit = other.measure, other.order, other.limit
        self._of, self._text, self._counts = other._of, other._text, dict(other._counts)
        self._coarse = {kind: dict(tiles) for kind, tiles in other._coarse.items()}
        self._copied = True

    _copied = False

    def _look_changed(self) -> None:
        self.halted = False
        self._version += 1
        self._want_measures()
        self._repaint()
        self.titled.emit()

    def choose(self, name: str, value: str) -> None:
        """Choose something about the cells."""
        self.halted = False
        super().choose(name, value)

    # -- following ---------------------------------------------------------------------------

    def draw_picture(self) -> None:
        """Take another capture or text: its cells are none of those before."""
        picture = self.document.picture
        if picture is None:  # a choice that is made before anything is on show
            return
        capture = picture.capture
        if self._of is None or self._of() is not capture or self._text != picture.text:
            if self._asked is not None:
                self._asked = None
                self.give_up()
            fresh = self._of is None or self._of() is not capture
            self._of, self._text = ref(capture), picture.text
            self._coarse, self._sharp = {}, {}
            self._image = self._whole = None
            self.halted = False
            if fresh:
                self.cursor_, self.sight = None, Sight()
        self._version += 1
        self._sharp = {}
        self._count()
        self._want_measures()

    def _count(self) -> None:
        picture = self.document.picture
        assert picture is not None
        show = self.document.options.show_special
        self._counts = {}
        for i, layer in enumerate(picture.capture.layers):
            queries, keys = visible(picture.capture, i, picture.text, show_special=show)
            for head in range(layer.n_heads):
                self._counts[i, head] = len(queries), len(keys)

    def _options_changed(self) -> None:
        self._version += 1
        if self.document.picture is not None and self._counts:
            self._sharp = {}
            self._count()  # the picture may come later, the cells are those of the options
        super()._options_changed()

    def _measures_changed(self) -> None:
        self._version += 1
        self._repaint()
        self.titled.emit()

    def _want_measures(self) -> None:
        if self.choices["mode"] == "measure" or self.order != "none" or self.limit is not None:
            self.document.want_head_measures()

    def retheme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self._image = self._whole = None
        super().retheme(theme)

    # -- measures ----------------------------------------------------------------------------

    @property
    def measures(self) -> HeadMeasures | None:
        """What is known of all heads of the capture on show."""
        picture, found = self.document.picture, self.document.head_measures
        return found if picture and found and found.capture is picture.capture else None

    def values(self) -> Mapping[Place, float]:
        """Return the chosen measure of each head; empty where it was not measured."""
        found = self.measures
        if found is None or self.measure not in found.names:
            return {}
        return dict(zip(found.heads, map(float, found.column(self.measure)), strict=True))

    def measure_title(self) -> str:
        """What the measure is called."""
        known = CATALOGUE.get(self.measure)
        return self.measure if known is None else known.title

    def dimmed(self) -> set[Place]:
        """Return the heads that the filter dims."""
        if self.limit is None or not (values := self.values()):
            return set()
        return {place for place, value in values.items() if not value > self.limit}

    # -- where everything is -----------------------------------------------------------------

    def lattice(self) -> Lattice:
        """Return where the cells are at the grid's own size."""
        picture = self.document.picture
        assert picture is not None
        line = QFontMetricsF(font(SMALL)).height()
        body = self.body()
        key = (
            picture.capture.layers, body.width(), body.height(), self.order, self._dpr,
            None if self.order == "none" else (self.measure, self.document.head_measures),
        )  # fmt: skip
        if self._lattice is None or self._lattice[0] != key:
            values = {} if self.order == "none" else self.values()
            how = self.order if values else "none"
            order: Order = order_of(picture.capture.layers, how, values)
            room = body.width(), body.height()
            self._lattice = key, Lattice(order, room, self._dpr, line)
        return self._lattice[1]

    def body(self) -> QRectF:
        """Return where cells are drawn: between the labels and the colours' legend."""
        metrics = QFontMetricsF(font(SMALL))
        view = self.viewport()
        picture = self.document.picture
        n = 1 if picture is None else len(picture.capture.layers)
        left = math.ceil(metrics.horizontalAdvance(f"L{n - 1}0")) + 6
        top = math.ceil(metrics.height()) + 4
        right = math.ceil(self._legend_width())
        width, height = view.width() - left - right - 8, view.height() - top - 8
        return QRectF(left, top, max(width, 10), max(height, 10))

    def _legend_width(self) -> float:
        if self.viewport().width() < 300:
            return 0.0
        metrics = QFontMetricsF(font(SMALL))
        return BAR + 12 + max(metrics.horizontalAdvance(w) for w in ("masked", "attention"))

    def rects(self, sight: Sight | None = None) -> dict[Place, QRectF]:
        """Return the cells that are in sight, from the upper left of the body."""
        lattice, sight, body = self.lattice(), sight or self.sight, self.body()
        seen = QRectF(0, 0, body.width(), body.height())
        rects = {place: sight.rect(lattice, place) for place in lattice.cells}
        return {place: rect for place, rect in rects.items() if rect.intersects(seen)}

    def most_zoom(self) -> float:
        """How far it can be zoomed: to entries of `ENTRY` pixels, and cells as large as this."""
        lattice, body = self.lattice(), self.body()
        entries = max(max(pair) for pair in self._counts.values())
        side = max(ENTRY * entries, min(body.width(), body.height()))
        return max(side / lattice.side, 1.0)

    # -- asking for cells --------------------------------------------------------------------

    def missing(self) -> list[tuple[Place, Part]]:
        """Return the cells that are still to be computed for what is in sight."""
        kind, lattice = self.kind, self.lattice()
        if kind is None:
            return []
        coarse = self._coarse.get(kind, {})
        pixels = round(lattice.side * self._dpr)
        wanted: list[tuple[Place, Part]] = []
        if self.sight.scale > 1 and kind.mode != "plane":
            wanted += self._sharper(pixels)
        for _, heads in enumerate(lattice.rows):
            layer, columns = heads
            for head in columns:
                if head is None:
                    continue
                place = layer, head
                part = self._part(place, pixels)
                tile = coarse.get(place)
                if (
                    tile is None
                    or self._stale(tile)
                    or (kind.mode != "plane" and tile.part != part and not self._keeps(tile))
                ):
                    wanted.append((place, part))
        if kind.mode == "plane" and kind.axes == "shared" and wanted:
            wanted = [(place, self._part(place, pixels)) for place in lattice.cells]
        return wanted

    def _keeps(self, tile: Tile) -> bool:
        """True where a cell of another size will do: it has all entries, or is a long work."""
        if self._copied:
            rows, columns = zip(*self._counts.values(), strict=True)
            return sum(r * c for r, c in zip(rows, columns, strict=True)) > MOST_SYNC
        values = tile.values
        return isinstance(values, np.ndarray) and values.shape == self._counts[tile.place]

    def _chosen(self) -> tuple[Any, ...] | None:
        """What is lit, where the cells themselves count it: in densities."""
        return chosen(self.document) if self.choices["mode"] == "density" else None

    def _stale(self, tile: Tile) -> bool:
        """True where a density counts the pairs of another selection."""
        return isinstance(tile.values, Density) and tile.chosen != self._chosen()

    def _part(self, place: Place, pixels: int) -> Part:
        n_queries, n_keys = self._counts[place]
        return Part((0, n_queries), (0, n_keys), pixels, pixels)

    def _sharper(self, pixels: int) -> list[tuple[Place, Part]]:
        """Return the parts of cells in sight, at the pixels that they have now."""
        kind, body = self.kind, self.body()
        assert kind is not None
        coarse, wanted = self._coarse.get(kind, {}), []
        for place, rect in self.rects().items():
            if kind.mode == "density":
                part = self._part(place, min(round(rect.width() * self._dpr), 512))
            else:
                if (tile := coarse.get(place)) is not None and tile.part.exact:
                    continue
                sides = []
                for n, first, last, room in (
                    (self._counts[place][0], rect.top(), rect.bottom(), body.height()),
                    (self._counts[place][1], rect.left(), rect.right(), body.width()),
                ):
                    length = last - first
                    low = max(math.floor(-first / length * n), 0)
                    high = min(math.ceil((room - first) / length * n), n)
                    # A little more than is seen, so that a nudge asks for nothing.
                    more = (high - low) // 8 + 1
                    low, high = max(low - more, 0), min(high + more, n)
                    most = max(round((high - low) / n * length * self._dpr), 1)
                    sides.append(((low, high), most))
                part = Part(sides[0][0], sides[1][0], sides[0][1], sides[1][1])
            found = self._sharp.get(place)
            if found is None or self._stale(found) or not _covers(found.part, part):
                wanted.append((place, part))
        return wanted

    def ask(self) -> None:
        """Ask for what is in sight and not there, unless that is under way or was cancelled."""
        picture, kind = self.document.picture, self.kind
        if picture is None or kind is None or self.halted or not self._counts:
            return
        wanted = self.missing()
        if not wanted:
            return
        asked = self._asked
        lit = self._chosen()
        if (
            asked is not None
            and (asked.kind, asked.chosen) == (kind, lit)
            and set(wanted) <= set(asked.wanted)
        ):
            return
        marks = {} if lit is None else marks_of_layers(self.document)
        request = MosaicRequest(
            picture.capture, picture.text, kind, tuple(wanted), chosen=lit, marks=marks
        )
        self._asked = request
        self.compute(request, self)
        self.titled.emit()

    def _compute_here(self, request: MosaicRequest, _view: HeadGridView) -> None:
        """Compute here and now, as a figure does."""
        request(lambda *_: None, None)
        self.finish(request)

    def take(self, request: MosaicRequest | None) -> None:
        """Show the cells that are ready, if they are still what was asked for."""
        asked = self._asked
        if request is None or asked is not request or self._of is None:
            return
        if self._of() is not request.capture or self._text != request.text:
            return
        coarse = self._coarse.pop(request.kind, {})
        self._coarse[request.kind] = coarse  # the last is the one on show
        while len(self._coarse) > KEPT:
            del self._coarse[next(iter(self._coarse))]
        pixels = round(self.lattice().side * self._dpr)
        while request.ready:
            tile = request.ready.popleft()
            whole = self._part(tile.place, pixels)
            if tile.part == whole or isinstance(tile.values, Points):
                coarse[tile.place] = tile
            elif request.kind == self.kind:
                self._sharp[tile.place] = tile
            self._version += 1
        self._scale_of = None
        self.viewport().update()

    def finish(self, request: MosaicRequest | None) -> None:
        """All that was asked for is there."""
        self.take(request)
        if request is not None and request is self._asked:
            self._asked = None
            if not self.at_once:
                self._repaint()  # something else may be in sight by now
            self.titled.emit()

    def halt(self) -> None:
        """What was asked for is not coming: it was cancelled. What is there stays."""
        self.take(self._asked)
        self._asked, self.halted = None, True
        self.titled.emit()

    def go_on(self) -> None:
        """Ask again for what is not there."""
        self.halted = False
        self._repaint()

    def _rested(self) -> None:
        self._repaint()

    # -- colours -----------------------------------------------------------------------------

    def scale(self) -> ColorScale:
        """Return how values become colours: one scale for all cells."""
        options = self.document.options
        key = (self._version, self.choices["mode"], options.color_scale)
        if self._scale_of is None or self._scale_of[0] != key:
            self._scale_of = key, self._make_scale()
        return self._scale_of[1]

    def _make_scale(self) -> ColorScale:
        kind = self.kind
        if kind is None:
            known = [value for value in self.values().values() if math.isfinite(value)]
            low, high = (min(known), max(known)) if known else (0.0, 1.0)
            return ColorScale(low, high if high > low else low + 1.0)
        if kind.mode != "attention":
            return ColorScale(0.0, 1.0)
        tops = [
            float(tile.values.max(initial=0))
            for tile in self._coarse.get(kind, {}).values()
            if isinstance(tile.values, np.ndarray)
        ]
        most = max(keys for _, keys in self._counts.values())
        return color_scale(self.document.options.color_scale, max(tops, default=1.0), most)

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw the image, and labels, frames and the legend over it."""
        device = p.device()
        dpr = 1.0 if device is None else float(device.devicePixelRatio())
        if dpr != self._dpr:
            self._dpr = dpr
            self._image = self._whole = None
        body, lattice = self.body(), self.lattice()
        self.sight = self.sight.kept(lattice, (body.width(), body.height()))
        moving = self._rest.isActive()
        if not moving:
            if self.at_once:
                self.ask()
            else:
                self._soon.start()
            self._compose()
        p.save()
        p.setClipRect(body.adjusted(-2, -2, 2, 2))
        p.translate(body.topLeft())
        if self._image is not None:
            _, sight, image = self._image
            if sight == self.sight:
                p.drawImage(QPointF(0, 0), image)
            else:
                if self._whole is not None:
                    self._draw_moved(p, Sight(), self._whole[1])
                self._draw_moved(p, sight, image)
        picture = self.document.picture
        assert picture is not None
        here = picture.layer, picture.head
        framed = here if picture.mix is None else None
        cursor = None if self.cursor_ == here else self.cursor_
        paint_frames(p, lattice, self.sight, self.theme, framed, cursor)
        p.restore()
        paint_labels(p, body, lattice, self.sight, self.theme, here)
        self._paint_legend(p, body, lattice)

    def _draw_moved(self, p: QPainter, of: Sight, image: QImage) -> None:
        """Draw an image of another sight where its cells are now."""
        by = self.sight.scale / of.scale
        at = QPointF(of.x * by - self.sight.x, of.y * by - self.sight.y)
        size = image.deviceIndependentSize() * by
        p.drawImage(QRectF(at, size), image)

    def _look(self) -> tuple[Any, ...]:
        """All that the image depends on beside what is in sight."""
        body, options = self.body(), self.document.options
        return (
            self._version, self.kind, self.measure, self.limit, self.order, options.color_scale,
            body.width(), body.height(), self._dpr, self.theme.name,
            self.document.head_measures, *marks_key(self.document),
        )  # fmt: skip

    def _compose(self) -> None:
        look = self._look()
        stale = self._whole is None or self._whole[0] != look
        if self._whole is None or (stale and self.sight.scale == 1):
            self._whole = look, self._draw(Sight())
        if self.sight.scale == 1:
            self._image = look, Sight(), self._whole[1]
        elif self._image is None or self._image[0] != look or self._image[1] != self.sight:
            sight = Sight(*self.sight.key)
            self._image = look, sight, self._draw(sight)

    def _draw(self, sight: Sight) -> QImage:
        """Draw the cells in sight, and what belongs to them."""
        kind, body, lattice = self.kind, self.body(), self.lattice()
        rects = self.rects(sight)
        width = min(body.width(), lattice.width * sight.scale)
        height = min(body.height(), lattice.height * sight.scale)
        size = math.ceil(height * self._dpr), math.ceil(width * self._dpr)
        coarse = {} if kind is None else self._coarse.get(kind, {})
        marks = marks_of_layers(self.document)
        if kind is not None and kind.mode == "plane":
            image = point_image(rects, coarse, size, self._dpr, self.theme, marks)
        else:
            levels = [coarse] if sight.scale == 1 else [coarse, self._sharp]
            image = value_image(
                rects, levels, self._counts, size, self._dpr, self.scale(), table(self.theme)
            )
        p = QPainter(image)
        p.setRenderHints(QPainter.RenderHint.TextAntialiasing)
        if kind is None:
            self._paint_measure(p, rects)
        elif kind.mode == "attention" and marks:
            p.drawImage(0, 0, veil(rects, marks, size, self._dpr, self.theme))
        if dimmed := self.dimmed():
            ground = self.theme.color("ground", DIMMED)
            for place in dimmed & rects.keys():
                p.fillRect(rects[place], ground)
        p.end()
        return image

    def _paint_measure(self, p: QPainter, rects: Mapping[Place, QRectF]) -> None:
        values, scale, colors = self.values(), self.scale(), viridis()
        metrics = QFontMetricsF(font(SMALL))
        p.setFont(font(SMALL))
        for place, rect in rects.items():
            value = values.get(place, math.nan)
            if not math.isfinite(value):
                if values:
                    p.fillRect(rect, masked_color(self.theme))
                continue
            at = float(scale.place(np.array([value], np.float32))[0])
            color = self.theme.color("text")
            color.setRgb(*map(int, colors[round(at * (N_COLORS - 1))]))
            p.fillRect(rect, color)
            words = number(value, 2)
            if metrics.horizontalAdvance(words) + 4 <= rect.width() and rect.height() > 14:
                p.setPen(ink_on(color))
                p.drawText(rect, Qt.AlignmentFlag.AlignCenter, words)

    def _paint_legend(self, p: QPainter, body: QRectF, lattice: Lattice) -> None:
        """Draw the colours beside the cells, with what they stand for."""
        room = self._legend_width()
        if not room:
            return
        mode = self.choices["mode"]
        metrics = QFontMetricsF(font(SMALL))
        line = metrics.height()
        left = body.left() + min(lattice.width * self.sight.scale, body.width()) + 14
        wide = self.viewport().width() - left - 2
        text = self.theme.color("text")
        p.setPen(text)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        if mode == "plane":
            for i, (role, words) in enumerate((("query", "queries"), ("key", "keys"))):
                y = body.top() + i * (line + 4)
                p.setBrush(self.theme.color(role))
                p.setPen(Qt.PenStyle.NoPen)
                p.drawEllipse(QRectF(left, y + line / 2 - 4, 8, 8))
                p.setPen(text)
                p.drawText(QRectF(left + 13, y, wide, line), flags, words)
            return
        title, ticks = mode, self.scale().ticks
        if mode == "density":
            title = "pairs"
            if self._chosen() is not None:
                title = "selected" if self.document.selection else "found"
            ticks = [(0.0, "1"), (1.0, "most")]
        elif mode == "measure":
            scale = self.scale()
            ends = scale.low, (scale.low + scale.high) / 2, scale.high
            ticks = [(i / 2, number(value, 2)) for i, value in enumerate(ends)]
            title = self.measure_title()
        title = metrics.elidedText(title, Qt.TextElideMode.ElideRight, wide)
        p.drawText(QRectF(left, body.top() - line - 2, wide, line), flags, title)
        high = min(max(min(lattice.height, body.height()) * 0.6, 60), 260, body.height() - 2 * line)
        if high < 30:
            return
        colors = np.ascontiguousarray(viridis()[::-1])
        bar = QImage(colors.data, 1, len(colors), 3, QImage.Format.Format_RGB888)
        p.drawImage(QRectF(left, body.top() + 2, BAR, high), bar)
        apart = math.ceil(1.1 * line * max(len(ticks) - 1, 1) / high)
        for at, words in ticks[:: -max(apart, 1)]:
            y = body.top() + 2 + (1 - at) * high
            p.setPen(self.theme.color("muted"))
            p.drawLine(QPointF(left + BAR, y), QPointF(left + BAR + 3, y))
            p.setPen(text)
            spot = min(max(y, body.top() + line / 2), body.top() + high + 2)
            p.drawText(QRectF(left + BAR + 6, spot - line / 2, wide - BAR, line), flags, words)
        if mode == "attention" and self._has_masked():
            y = body.top() + high + line + 4
            p.fillRect(QRectF(left, y, BAR, BAR), masked_color(self.theme))
            p.drawText(QRectF(left + BAR + 6, y + BAR / 2 - line / 2, wide, line), flags, "masked")

    def _has_masked(self) -> bool:
        kind = self.kind
        tiles = {} if kind is None else self._coarse.get(kind, {})
        return any(
            isinstance(tile.values, np.ndarray) and bool((tile.values == MASKED).any())
            for tile in tiles.values()
        )

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """What the cells show, and what a pixel is."""
        picture, kind = self.document.picture, self.kind
        if picture is None:
            return "All heads"
        if kind is None:
            what = self.measure_title()
            if chosen(self.document) is not None:
                what += " · of whole heads, not of the selection alone"
        elif kind.mode == "attention":
            what = f"attention, {self._pixel(kind)}"
        elif kind.mode == "plane":
            own = "each its own plane" if kind.axes == "own" else "one plane for all"
            what = f"queries and keys, {own}, a = 0, c = 1"
        else:
            what = "pairs by q·k and |q − k|, log colour, limits of each its own"
            if self._chosen() is not None:
                what += " · coloured: the selected or found pairs, grey: all"
        order = ORDER_WORDS[self.order].format(self.measure_title())
        if self.order != "none" and not self.values():
            order = ""
        more = [f"sorted: {order}"] if order else []
        if self.limit is not None:
            more.append(f"dimmed: {self.measure_title()} ≤ {number(self.limit)}")
        if self.document.options.together and len(picture.capture.texts) > 1:
            # Other panels show all texts meanwhile.
            what = f"text {picture.text + 1} of {len(picture.capture.texts)} · {what}"
        return " · ".join([f"All heads  {what}", *more])

    def _pixel(self, kind: Kind) -> str:
        """Say exactly what a pixel of the attention is."""
        tiles = self._coarse.get(kind, {})
        parts = [tile.part for tile in tiles.values()]
        if self.sight.scale > 1:
            seen = self.rects() if self.viewport().width() > 40 else {}
            parts = [
                self._sharp[place].part if place in self._sharp else tiles[place].part
                for place in seen
                if place in tiles
            ]
        if not parts or all(part.exact for part in parts):
            return "every entry"
        tall = max(math.ceil((p.rows[1] - p.rows[0]) / p.shape[0]) for p in parts)
        wide = max(math.ceil((p.columns[1] - p.columns[0]) / p.shape[1]) for p in parts)
        word = "largest" if kind.pool == "maximum" else "mean"
        return f"a pixel is the {word} of up to {tall} × {wide} entries"

    def numbers(self) -> str:
        """How many heads, or how many of them are there."""
        picture, kind = self.document.picture, self.kind
        if picture is None:
            return ""
        layers = picture.capture.layers
        n = sum(layer.n_heads for layer in layers)
        counts = {layer.n_heads for layer in layers}
        told = f"{len(layers)} × {counts.pop()} heads" if len(counts) == 1 else f"{n} heads"
        if self.limit is not None and self.values():
            told = f"{n - len(self.dimmed())} of {told}"
        if kind is None or (there := len(self._coarse.get(kind, {}))) >= n:
            return told
        return f"{there} of {told} drawn" + (", stopped" if self.halted else "")

    def sentence(self) -> str:
        """Why a measure cannot be shown."""
        if self.kind is None and not self.values():
            if self.measures is None:
                return (
                    "The heads are being measured… Their table is “Measures of heads” in the menu "
                    "Explore."
                )
            return f"“{self.measure_title()}” was not measured; tick it in “Measures of heads”."
        return ""

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Layer, head and their number; where single entries are seen, the pair."""
        place = self.place_at(position)
        if place is None:
            return None
        rect = self.sight.rect(self.lattice(), place).translated(self.body().topLeft())
        if self.sight.scale > 1:
            rect = QRectF(position, position).adjusted(-12, -12, 12, 12)
        return self.lines_about(place, position), rect

    def lines_about(self, place: Place, position: QPointF | None = None) -> list[str]:
        """Return lines about a head."""
        picture, kind = self.document.picture, self.kind
        assert picture is not None
        layer, head = place
        name = picture.capture.layers[layer].name
        lines = [f"L{layer} H{head}", name]
        found = self.measures
        if found is not None and self.measure in found.names:
            value = found.of(layer, head, self.measure)
            known = CATALOGUE.get(self.measure)
            unit = "" if known is None else known.unit
            told = f"{number(value)} {unit}".rstrip()
            if not math.isfinite(value):
                told = found.reason(layer, head, self.measure) or "undefined"
            lines.append(f"{self.measure_title()} {told}")
        tile = None if kind is None else self._coarse.get(kind, {}).get(place)
        if tile is None:
            return lines
        if isinstance(tile.values, str):
            lines.append(tile.values)
        elif isinstance(tile.values, Density):
            d = tile.values
            lines.append(f"q·k {number(d.dots[0])} to {number(d.dots[1])}")
            lines.append(f"|q − k| {number(d.distances[0])} to {number(d.distances[1])}")
        elif isinstance(tile.values, np.ndarray):
            word = "largest entry" if self.choices["pool"] == "maximum" else "largest mean"
            lines.append(f"{word} {number(max(float(tile.values.max(initial=0)), 0))}")
            if position is not None:
                lines += self._entry(place, position)
        return lines

    def _entry(self, place: Place, position: QPointF) -> list[str]:
        """Return what the pixel under the mouse is."""
        picture, kind = self.document.picture, self.kind
        assert picture is not None and kind is not None
        tile = self._coarse[kind][place]
        if self.sight.scale > 1:
            tile = self._sharp.get(place, tile)
        part, values = tile.part, tile.values
        if not part.exact or not isinstance(values, np.ndarray):
            return []
        rect = self.sight.rect(self.lattice(), place).translated(self.body().topLeft())
        n = self._counts[place]
        row = int((position.y() - rect.top()) / rect.height() * n[0])
        column = int((position.x() - rect.left()) / rect.width() * n[1])
        if not (part.rows[0] <= row < part.rows[1] and part.columns[0] <= column < part.columns[1]):
            return []
        value = float(values[row - part.rows[0], column - part.columns[0]])
        show = self.document.options.show_special
        queries, keys = visible(picture.capture, place[0], picture.text, show_special=show)
        capture, text = picture.capture, picture.text
        query = capture.query_tokens(place[0], text)[queries[row]]
        key = capture.key_tokens(place[0], text)[keys[column]]
        told = "masked" if value < 0 else number(value)
        return [f"{query} → {key}: {told}"]

    # -- mouse and keys ----------------------------------------------------------------------

    def place_at(self, position: QPointF) -> Place | None:
        """Return the head whose cell is there."""
        if self.document.picture is None or self.sentence():
            return None
        body = self.body()
        if not body.adjusted(0, 0, 4, 4).contains(position):
            return None
        return self.lattice().place_at(*self.sight.of(position - body.topLeft()))

    def click(self, position: QPointF) -> None:
        """Open the head that was clicked."""
        place = self.place_at(position)
        if place is not None:
            self.cursor_ = place
            self.open(place)

    def open(self, place: Place) -> None:
        """Show a head in all panels."""
        self.document.show_head(*place)
        self._repaint()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click, or a move of what is zoomed into."""
        super().mousePressEvent(event)
        self._held = self._pressed

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Take the second press like the first: two clicks that follow fast are two clicks."""
        self.mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move what is in sight while a button is held; else tell what is under the mouse."""
        if self._held is None or not event.buttons():
            self._held = None
            super().mouseMoveEvent(event)
            return
        at = event.position()
        if self._pressed is not None and (at - self._pressed).manhattanLength() <= STILL:
            return
        moved = at - self._held
        self._held = at
        self._move(Sight(self.sight.scale, self.sight.x - moved.x(), self.sight.y - moved.y()))
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End a click or a move."""
        self._held = None
        super().mouseReleaseEvent(event)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        if self.document.picture is None or self.sentence():
            return
        steps = event.angleDelta().y() / 120
        self.zoom(1.25**steps, event.position() - self.body().topLeft())
        event.accept()

    def zoom(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom about a place of the cells; by default the middle of what is seen."""
        body = self.body()
        at = at or QPointF(body.width() / 2, body.height() / 2)
        self._move(self.sight.zoomed(factor, at, self.most_zoom()))

    def _move(self, sight: Sight) -> None:
        body = self.body()
        kept = sight.kept(self.lattice(), (body.width(), body.height()))
        if kept != self.sight:
            self.sight = kept
            self.readout.hide()
            self._rest.start()
            self._repaint()
            self.titled.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Move what there is into the new room, and draw it sharp when that rests."""
        super().resizeEvent(event)
        if not self.at_once:
            self._rest.start()
            self._image = None

    def event(self, event: QEvent) -> bool:
        """Keep the keys that are this view's own from being the window's shortcuts."""
        if event.type() == QEvent.Type.ShortcutOverride:
            assert isinstance(event, QKeyEvent)
            if self._action(event) is not None:
                event.accept()
                return True
        return super().event(event)

    def _action(self, event: QKeyEvent) -> Any:
        """Return what a key does here; None where nothing."""
        if self.document.picture is None or self.sentence():
            return None
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        key = Qt.Key(event.key())
        if key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            return lambda: self.zoom(1.5)
        if plain != Qt.KeyboardModifier.NoModifier:
            return None
        if key in STEPS:
            return lambda: self.step(*STEPS[key])
        if key in (Qt.Key.Key_Home, Qt.Key.Key_End):
            return lambda: self.go(self.lattice().end(self.where(), last=key == Qt.Key.Key_End))
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            return lambda: self.open(self.where())
        if key == Qt.Key.Key_Minus:
            return lambda: self.zoom(1 / 1.5)
        if key == Qt.Key.Key_0:
            return lambda: self._move(Sight())
        return None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, Home and End go to a cell, Enter opens it, + − 0 zoom; the rest is for others."""
        action = self._action(event)
        if action is None:
            super().keyPressEvent(event)
            return
        event.accept()
        action()

    def where(self) -> Place:
        """Return the cell that the keys are on: the head on show at first."""
        picture = self.document.picture
        assert picture is not None
        here = self.cursor_ or (picture.layer, picture.head)
        return here if here in self.lattice().cells else (picture.layer, picture.head)

    def step(self, down: int, across: int) -> None:
        """Go to the next cell."""
        self.go(self.lattice().near(self.where(), down, across))

    def go(self, place: Place) -> None:
        """Go to a cell, bring it into sight, and tell about it."""
        lattice, body = self.lattice(), self.body()
        self.cursor_ = place
        rect = self.sight.rect(lattice, self.cursor_)
        x, y = self.sight.x, self.sight.y
        x += min(rect.left(), 0.0) + max(rect.right() - max(body.width(), rect.width()), 0.0)
        y += min(rect.top(), 0.0) + max(rect.bottom() - max(body.height(), rect.height()), 0.0)
        self._move(Sight(self.sight.scale, x, y))
        rect = self.sight.rect(lattice, self.cursor_).translated(body.topLeft())
        lines = self.lines_about(self.cursor_)
        self.readout.say(lines, rect.toAlignedRect())
        self.setAccessibleDescription(", ".join(lines))
        self._repaint()


def _covers(found: Part, wanted: Part) -> bool:
    """True where a part has what another asks for, at its pixels or finer, and not much more."""
    for have, want in ((found.rows, wanted.rows), (found.columns, wanted.columns)):
        if have[0] > want[0] or have[1] < want[1]:
            return False
    density = [
        (part.shape[0] / (part.rows[1] - part.rows[0]), part.shape[1] / (
            part.columns[1] - part.columns[0])) for part in (found, wanted)
    ]  # fmt: skip
    return all(0.98 * w <= h for h, w in zip(*density, strict=True))
