"""What the cells of the grid hold: which are wanted, at how many pixels, and which are there.

A cell is computed at the pixels that it has on the screen; what is zoomed into is computed anew,
down to the single entry. Computes nothing itself: `HeadGridCells.compute` hands a request on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import ref

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer
from PySide6.QtGui import QFontMetricsF, QImage

from attnviz_gui.analysis.catalogue import CATALOGUE
from attnviz_gui.analysis.mosaic import Density, Part, visible
from attnviz_gui.jobs.mosaic import Kind, MosaicRequest, Points, Tile
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.color_scale import ColorScale, color_scale
from attnviz_gui.ui.views.grid_layout import Lattice, Order, Sight, order_of
from attnviz_gui.ui.views.grid_marks import chosen, marks_of_layers
from attnviz_gui.ui.views.painted import Choosable, PaintedView

if TYPE_CHECKING:
    from collections.abc import Mapping

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


class HeadGridCells(PaintedView):
    """The cells of all heads, and what is known of each; drawn by those who inherit."""

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
        assert isinstance(other, HeadGridCells)
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

    def place_at(self, position: QPointF) -> Place | None:
        """Return the head whose cell is there."""
        if self.document.picture is None or self.sentence():
            return None
        body = self.body()
        if not body.adjusted(0, 0, 4, 4).contains(position):
            return None
        return self.lattice().place_at(*self.sight.of(position - body.topLeft()))

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

    def _compute_here(self, request: MosaicRequest, _view: HeadGridCells) -> None:
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
