"""All layers and heads on one screen, as one picture. Reads the document; knows no other view.

Cells are computed elsewhere (`compute`), at the pixels that are on screen, those in the middle of
the view first; what belongs to another capture, text or choice is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPen

from attnviz_gui.analysis.mosaic import Part, visible
from attnviz_gui.jobs.mosaic import Kind, MosaicRequest
from attnviz_gui.ui.views.base import EMPTY
from attnviz_gui.ui.views.color_scale import color_scale
from attnviz_gui.ui.views.grid_image import point_image, table, value_image, viridis
from attnviz_gui.ui.views.grid_layout import Lattice, Sight, order_of
from attnviz_gui.ui.views.painted import STEPS, Choosable, PaintedView

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QPainter

    from attnviz_gui.jobs.mosaic import Tile

    Place = tuple[int, int]

LEFT, TOP = 34.0, 18.0  # room for the numbers of layers and heads
ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


def run_now(request: MosaicRequest) -> None:
    """Compute a request here and now, as a figure does."""
    request(lambda *_: None, None)


class HeadGridView(PaintedView):
    """Attention, plane, density or a measure of every head."""

    name = "head_grid"
    empty = EMPTY
    choosable = (
        Choosable("mode", "What a cell shows", (
            ("attention", "attention", "The attention; a pixel shows the largest of its pairs."),
            ("plane", "plane", "Queries and keys, all heads in one plane."),
            ("density", "density", "How many pairs have which q·k and which |q - k|."),
            ("measure", "measure", "The first measure of each head, as a colour."),
        )),
        Choosable("order", "Order of rows and columns", (
            ("none", "numbered", "As layers and heads are numbered."),
            ("both", "sorted", "Layers and heads from the largest mean measure to the least."),
            ("within", "each layer sorted", "The heads of each layer by themselves."),
        )),
        Choosable("dim", "Heads that are dimmed", (
            ("none", "all", "No head is dimmed."),
            ("below", "upper half", "Heads whose measure is below the median are dimmed."),
        )),
    )  # fmt: skip

    def __init__(self, document: Any, theme: Any, parent: Any = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Grid of all heads")
        self.compute: Callable[[MosaicRequest], None] = run_now
        self.measure = ""
        self.sight = Sight()
        self.cursor: Place | None = None
        self.tiles: dict[Place, Tile] = {}
        self._request: MosaicRequest | None = None
        self._asked: Any = None
        self._lattice: Any = None
        self._dragged: QPointF | None = None

    def _slots(self) -> Any:
        d = self.document
        return (*super()._slots(), (d.head_measures_changed, self._options_changed))

    def title(self) -> str:
        """What is shown, in words."""
        return f"All heads · {self.choices['mode']}" if self.document.picture else ""

    def numbers(self) -> str:
        """How many there are."""
        capture = self.document.capture
        if capture is None:
            return ""
        return f"{len(capture.layers)} layers, {sum(x.n_heads for x in capture.layers)} heads"

    def values(self) -> dict[Place, float]:
        """Return the chosen measure of each head that has it."""
        found, picture = self.document.head_measures, self.document.picture
        if found is None or picture is None or not found.names:
            return {}
        name = self.measure if self.measure in found.names else found.names[0]
        pairs = zip(found.heads, found.column(name).tolist(), strict=True)
        return {place: value for place, value in pairs if np.isfinite(value)}

    def choose(self, name: str, value: str) -> None:
        """Choose; what needs measures asks for them."""
        super().choose(name, value)
        if value in ("measure", "both", "within", "below"):
            self.document.want_head_measures()

    def like(self, other: Any) -> None:
        """Take what another view has chosen."""
        super().like(other)
        self.measure = other.measure

    # -- cells -------------------------------------------------------------------------------

    def rects(self, area: QRectF) -> dict[Place, QRectF]:
        """Return where the cells are that are in sight, from the corner of all cells."""
        layers, room = (
            self.document.picture.capture.layers,
            (area.width() - LEFT, area.height() - TOP),
        )
        lattice = self._lattice = Lattice(
            order_of(layers, self.choices["order"], self.values()), room, self._dpr(), TOP
        )
        self.sight = self.sight.kept(lattice, room)
        seen = QRectF(0, 0, *room)
        rects = {place: self.sight.rect(lattice, place) for place in lattice.cells}
        return {place: rect for place, rect in rects.items() if rect.intersects(seen)}

    def _dpr(self) -> float:
        return float(self.devicePixelRatioF())

    def _ask(self, rects: dict[Place, QRectF], middle: QPointF) -> None:
        picture, options = self.document.picture, self.document.options
        mode: Any = self.choices["mode"]
        kind = Kind(mode, show_special=options.show_special, rotary=options.rotary)
        side = max(round(next(iter(rects.values())).width() * self._dpr()), 1)
        same = (picture.capture, picture.text, kind)
        if self._asked is None or self._asked[0] != same:
            self.tiles = {}
        ask = (same, side, frozenset(rects))
        if ask == self._asked:
            return
        self._asked = ask
        order = sorted(rects, key=lambda p: (rects[p].center() - middle).manhattanLength())
        wanted = []
        for place in order if mode != "plane" else self._lattice.cells:
            shown = visible(
                picture.capture, place[0], picture.text, show_special=options.show_special
            )
            part = Part((0, len(shown[0])), (0, len(shown[1])), min(side, 2048), min(side, 2048))
            kept = self.tiles.get(place)
            if kept is None or (kept.part != part and mode != "plane"):
                wanted.append((place, part))
        if wanted:
            self._request = MosaicRequest(picture.capture, picture.text, kind, wanted)
            self.compute(self._request)

    def take(self) -> None:
        """Take the cells that are ready, and show them."""
        request = self._request
        if request is None:
            return
        while request.ready:
            tile = request.ready.popleft()
            self.tiles[tile.place] = tile
        self._repaint()

    def give_up(self) -> None:
        """Nothing more will come: what there is stays."""
        self.take()

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw the cells, and what says which they are."""
        rects, picture = self.rects(area), self.document.picture
        room = QRectF(
            area.left() + LEFT, area.top() + TOP, area.width() - LEFT, area.height() - TOP
        )
        dpr, values = self._dpr(), self.values()
        p.save()
        p.setClipRect(room)
        p.translate(room.topLeft())
        if self.choices["mode"] == "measure":
            self._paint_measure(p, rects, values)
        elif rects:
            self._ask(rects, QPointF(room.width() / 2, room.height() / 2))
            request = self._request
            while request is not None and request.ready:
                tile = request.ready.popleft()
                self.tiles[tile.place] = tile
            size = max(round(room.height() * dpr), 1), max(round(room.width() * dpr), 1)
            if self.choices["mode"] == "plane":
                image = point_image(rects, self.tiles, size, dpr, self.theme)
            else:
                counts = {k: (t.part.rows[1], t.part.columns[1]) for k, t in self.tiles.items()}
                n_keys = max((n for _, n in counts.values()), default=2)
                arrays = [t.values for t in self.tiles.values() if isinstance(t.values, np.ndarray)]
                top = max((float(a.max(initial=0)) for a in arrays), default=1.0)
                scale = color_scale(self.document.options.color_scale, top, max(n_keys, 2))
                counts = {k: counts.get(k, (1, 1)) for k in rects}
                image = value_image(
                    rects, [self.tiles], counts, size, dpr, scale, table(self.theme)
                )
            p.drawImage(QPointF(0, 0), image)
        if self.choices["dim"] == "below" and values:
            middle, veil = float(np.median(list(values.values()))), self.theme.color("ground")
            veil.setAlphaF(0.75)
            for place, rect in rects.items():
                if values.get(place, -np.inf) < middle:
                    p.fillRect(rect, veil)
        here, text = (picture.layer, picture.head), self.theme.color("text")
        for place, style in ((self.cursor, Qt.PenStyle.DotLine), (here, Qt.PenStyle.SolidLine)):
            if place in rects:
                p.setPen(QPen(text, 2, style))
                p.drawRect(rects[place].adjusted(-1, -1, 1, 1))
        p.restore()
        self._paint_numbers(p, room)

    def _paint_measure(self, p: Any, rects: Any, values: dict[Place, float]) -> None:
        low, high = min(values.values(), default=0.0), max(values.values(), default=1.0)
        colors = viridis()
        for place, rect in rects.items():
            color = self.theme.color("faint")
            if place in values:
                at = (values[place] - low) / ((high - low) or 1.0)
                color = QColor(*colors[int(at * (len(colors) - 1))].tolist())
            p.fillRect(rect, color)

    def _paint_numbers(self, p: Any, room: QRectF) -> None:
        lattice, s = self._lattice, self.sight
        p.setPen(self.theme.color("muted"))
        side, last = lattice.side * s.scale, -99.0
        center = Qt.AlignmentFlag.AlignCenter
        for top, (layer, _) in zip(lattice.tops, lattice.rows, strict=True):
            y = top * s.scale - s.y + side / 2 + room.top()
            if y - last >= 13 and room.top() <= y <= room.bottom():
                p.drawText(QRectF(room.left() - LEFT, y - 8, LEFT - 4, 16), center, f"L{layer}")
                last = y
        last = -99.0
        for i, head in enumerate(lattice.order.columns or ()):
            x = i * lattice.pitch * s.scale - s.x + side / 2 + room.left()
            if x - last >= 26 and room.left() <= x <= room.right():
                p.drawText(QRectF(x - 15, room.top() - TOP, 30, TOP), center, f"H{head}")
                last = x
        for y0, label in lattice.headings:
            y = y0 * s.scale - s.y + room.top()
            if y >= room.top() - 1:
                p.drawText(QPointF(room.left(), y + 13), label)

    # -- mouse and keys ----------------------------------------------------------------------

    def place_at(self, at: QPointF) -> Place | None:
        """Return the head under a place of the view."""
        if self._lattice is None or at.x() < LEFT or at.y() < TOP:
            return None
        x, y = self.sight.of(at - QPointF(LEFT, TOP))
        found: Place | None = self._lattice.place_at(x, y)
        return found

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Say which head it is, and its number."""
        place = self.place_at(position)
        if place is None:
            return None
        lines, value = [f"layer {place[0]}, head {place[1]}"], self.values().get(place)
        if value is not None:
            lines.append(f"measure {value:.4g}")
        return lines, QRectF(position, position).adjusted(-8, -8, 8, 8)

    def click(self, position: QPointF) -> None:
        """Open the head."""
        if (place := self.place_at(position)) is not None:
            self.cursor = place
            self.document.show_head(*place)

    def wheelEvent(self, event: Any) -> None:
        """Zoom about the cursor."""
        at = event.position() - QPointF(LEFT, TOP)
        self.sight = self.sight.zoomed(1.0015 ** event.angleDelta().y(), at, 64.0)
        event.accept()
        self._repaint()

    def mousePressEvent(self, event: Any) -> None:
        """Begin a click or a drag."""
        super().mousePressEvent(event)
        self._dragged = self._pressed

    def mouseMoveEvent(self, event: Any) -> None:
        """Drag what is in sight, or tell what is under the cursor."""
        if self._dragged is None or not event.buttons() & Qt.MouseButton.LeftButton:
            super().mouseMoveEvent(event)
            return
        moved, self._dragged = event.position() - self._dragged, event.position()
        self.sight = Sight(self.sight.scale, self.sight.x - moved.x(), self.sight.y - moved.y())
        event.accept()
        self._repaint()

    def keyPressEvent(self, event: Any) -> None:
        """Arrows choose a cell, Enter opens it."""
        picture, key = self.document.picture, Qt.Key(event.key())
        if picture is None or self._lattice is None or (key not in STEPS and key not in ENTER):
            event.ignore()
            return
        event.accept()
        at = self.cursor or (picture.layer, picture.head)
        if at not in self._lattice.cells:
            at = next(iter(self._lattice.cells))
        if key in ENTER:
            self.document.show_head(*at)
        else:
            self.cursor = self._lattice.near(at, *STEPS[key])
            self._repaint()
