"""Where each head's cell stands in the grid: its order, its square, and what is near a place.

Lengths are whole pixels of the device at the grid's own size, so that all cells are as large.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF

from attnviz_gui.session.groups import groups

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attnviz_gui.capture.record import Layer

    Place = tuple[int, int]  # layer, head

ORDERS = ("none", "layers", "heads", "both", "within")


@dataclass(frozen=True)
class Order:
    """The grid's rows and columns, before anything has a size.

    Attributes
    ----------
    groups : tuple of (label, rows)
        A row is a layer and its heads from left to right; None where a layer has no such head.
    columns : tuple of int or None
        The head that stands in each column; None where each row has an order of its own.
    """

    groups: tuple[tuple[str, tuple[tuple[int, tuple[int | None, ...]], ...]], ...]
    columns: tuple[int, ...] | None

    @property
    def n_columns(self) -> int:
        """Cells in the widest row."""
        return max(len(heads) for _, rows in self.groups for _, heads in rows)

    @property
    def n_rows(self) -> int:
        """Rows of all groups."""
        return sum(len(rows) for _, rows in self.groups)


def order_of(
    layers: Sequence[Layer], how: str = "none", values: Mapping[Place, float] | None = None
) -> Order:
    """Return the order of rows and columns.

    Parameters
    ----------
    how
        ``none``: as they are numbered; ``layers``, ``heads``, ``both``: from the largest mean of
        the values to the least; ``within``: each layer's heads by themselves. Layers stay in their
        group, and what has no value comes last.
    """
    values = values or {}
    most = max(layer.n_heads for layer in layers)

    def mean(places: Sequence[Place]) -> float:
        known = [v for p in places if np.isfinite(v := values.get(p, np.nan))]
        return -float(np.mean(known)) if known else np.inf

    heads = list(range(most))
    if how in ("heads", "both"):
        places = [
            [(i, head) for i, layer in enumerate(layers) if head < layer.n_heads] for head in heads
        ]
        heads.sort(key=lambda head: mean(places[head]))
    made = []
    found = groups(layers)
    for group in found:
        numbers = list(group.layers)
        if how in ("layers", "both"):
            numbers.sort(key=lambda i: mean([(i, h) for h in range(layers[i].n_heads)]))
        rows: list[tuple[int, tuple[int | None, ...]]] = []
        for i in numbers:
            n = layers[i].n_heads
            if how == "within":
                own = sorted(range(n), key=lambda h: mean([(i, h)]))
                rows.append((i, tuple(own)))
            else:
                rows.append((i, tuple(h if h < n else None for h in heads)))
        made.append((group.short if len(found) > 1 else "", tuple(rows)))
    return Order(tuple(made), None if how == "within" else tuple(heads))


class Lattice:
    """An order of heads in a rectangle.

    Attributes
    ----------
    side, gap : float
        Of a cell, and between two.
    cells : dict of (x, y)
        Upper left corner of each place, from the upper left of the cells.
    width, height : float
        Of all cells.
    """

    def __init__(self, order: Order, room: tuple[float, float], dpr: float, line: float) -> None:
        self.order = order
        n_columns, n_rows = order.n_columns, order.n_rows
        labels = [label for label, _ in order.groups]
        head = line + 4 if any(labels) else 0.0
        down = max(room[1] - head * len(labels), n_rows)
        pitch = max(int(min(room[0] / n_columns, down / n_rows) * dpr), 3)
        gap = min(max(round(pitch * 0.06), 1), round(5 * dpr))
        self.pitch, self.gap, self.side = pitch / dpr, gap / dpr, (pitch - gap) / dpr
        self.cells: dict[Place, tuple[float, float]] = {}
        self.tops: list[float] = []  # of rows
        self.rows: list[tuple[int, tuple[int | None, ...]]] = []
        self.headings: list[tuple[float, str]] = []
        self.heading = head
        y = 0.0
        for label, rows in order.groups:
            if any(labels):
                self.headings.append((y, label))
                y += round(head * dpr) / dpr
            for layer, heads in rows:
                self.tops.append(y)
                self.rows.append((layer, heads))
                for column, head_ in enumerate(heads):
                    if head_ is not None:
                        self.cells[layer, head_] = (column * self.pitch, y)
                y += self.pitch
        self.width = n_columns * self.pitch - self.gap
        self.height = y - self.gap

    def place_at(self, x: float, y: float) -> Place | None:
        """Return the head whose cell is there."""
        row, column = bisect_right(self.tops, y) - 1, int(x // self.pitch)
        if row < 0 or column < 0:
            return None
        layer, heads = self.rows[row]
        if column >= len(heads) or heads[column] is None:
            return None
        inside = x - column * self.pitch <= self.side and y - self.tops[row] <= self.side
        return (layer, heads[column]) if inside else None  # type: ignore[return-value]

    def near(self, place: Place, down: int, across: int) -> Place:
        """Return the next cell in a direction; the same where there is none."""
        row = next(i for i, (layer, _) in enumerate(self.rows) if layer == place[0])
        column = self.rows[row][1].index(place[1])
        while True:
            row, column = row + down, column + across
            if not 0 <= row < len(self.rows) or not 0 <= column < len(self.rows[row][1]):
                return place
            layer, heads = self.rows[row]
            if (head := heads[column]) is not None:
                return layer, head

    def end(self, place: Place, *, last: bool) -> Place:
        """Return the first or the last cell of a place's row."""
        layer, heads = next(row for row in self.rows if row[0] == place[0])
        there = [head for head in heads if head is not None]
        return layer, there[-1 if last else 0]


@dataclass
class Sight:
    """Which part of the cells is in sight: enlarged by `scale`, `x` and `y` pixels moved away."""

    scale: float = 1.0
    x: float = 0.0
    y: float = 0.0

    def rect(self, lattice: Lattice, place: Place) -> QRectF:
        """Return where a cell is, from the upper left of what is in sight."""
        x, y = lattice.cells[place]
        side = lattice.side * self.scale
        return QRectF(x * self.scale - self.x, y * self.scale - self.y, side, side)

    def of(self, at: QPointF) -> tuple[float, float]:
        """Return a place in sight at the grid's own size."""
        return (at.x() + self.x) / self.scale, (at.y() + self.y) / self.scale

    def zoomed(self, factor: float, at: QPointF, most: float) -> Sight:
        """Return what is in sight after zooming about a place."""
        scale = min(max(self.scale * factor, 1.0), most)
        x, y = self.of(at)
        return Sight(scale, x * scale - at.x(), y * scale - at.y())

    def kept(self, lattice: Lattice, room: tuple[float, float]) -> Sight:
        """Return the nearest that has cells everywhere it can."""
        most = (
            max(lattice.width * self.scale - room[0], 0.0),
            max(lattice.height * self.scale - room[1], 0.0),
        )
        return Sight(self.scale, min(max(self.x, 0.0), most[0]), min(max(self.y, 0.0), most[1]))

    @property
    def key(self) -> tuple[float, float, float]:
        """What tells it apart."""
        return self.scale, self.x, self.y
