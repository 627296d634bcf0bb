"""What the grid of all heads says: its title, its numbers, and what is under the mouse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF

from attnviz_gui.analysis.catalogue import CATALOGUE
from attnviz_gui.analysis.mosaic import Density, visible
from attnviz_gui.session.words import number
from attnviz_gui.ui.views.grid_cells import HeadGridCells
from attnviz_gui.ui.views.grid_marks import chosen

if TYPE_CHECKING:
    from attnviz_gui.jobs.mosaic import Kind

    Place = tuple[int, int]  # layer, head

ORDER_WORDS = {
    "none": "", "layers": "layers by {}", "heads": "heads by mean {}",
    "both": "layers and heads by {}", "within": "heads of each layer by {}",
}  # fmt: skip


class HeadGridWords(HeadGridCells):
    """What is said about the cells."""

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
