"""Which coordinates make a logit: q·k taken apart, for a pair or for all keys of a query.

A pair is drawn as bars, a query as a matrix of keys by coordinates. What a and c do is not asked
here: these are the model's own vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QImage, QPen

from attnviz_gui.analysis.dimensions import (
    pair_products,
    query_products,
    strongest_dimensions,
)
from attnviz_gui.session.document import Focus
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.anatomy.colors import (
    masked_color,
    pooled,
    share_colors,
    signed_colors,
)
from attnviz_gui.ui.views.painted import Choosable, PaintedView, elided
from attnviz_gui.ui.views.ticks import tick_text, ticks

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QPainter
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme

NAMED = 8  # coordinates whose numbers are always written
LABEL = 110.0  # pixels: longest token
SHARE = 14.0  # pixels: the column of attention
MARGIN = 12.0
ROOM = 1.04  # height of the axis beside its longest bar
CENTER = Qt.AlignmentFlag.AlignCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, eq=False)
class Bars:
    """One pair: its products in the order in which they stand."""

    query: int
    key: int
    products: npt.NDArray[np.float64]
    order: npt.NDArray[np.intp]
    n_half: int
    rotated: bool


@dataclass(frozen=True, eq=False)
class Table:
    """One token against all of the other side: (rows, d) products, columns in their order."""

    token: int
    by_query: bool  # the token is a query, the rows are keys
    products: npt.NDArray[np.float32]
    order: npt.NDArray[np.intp]
    named: npt.NDArray[np.intp]
    share: npt.NDArray[np.float32]  # attention between the token and each row
    allowed: npt.NDArray[np.bool_]
    limit: float


class DimensionsView(PaintedView):
    """The coordinates of the chosen pair's logit, or of all logits of the chosen query."""

    name = "dimensions"
    choosable: ClassVar = (
        Choosable(
            "order",
            "Order of the dimensions",
            (
                ("size", "largest first", "The coordinates that matter most stand at the left."),
                ("place", "in order", "The coordinates in the order in which the model has them."),
            ),
        ),
        Choosable(
            "rotary",
            "Rotary embedding",
            (
                ("after", "after rotation", "The vectors whose product the model takes."),
                (
                    "before",
                    "before",
                    "The vectors before the rotary embedding, where the model has one: what they\n"
                    "say regardless of positions. Their product is not the model's logit.",
                ),
            ),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Query times key, dimension by dimension")
        self.setToolTip(
            "Which coordinates of query and key make the logit. Choose a pair in any panel for "
            "bars, a query alone for a matrix of all its keys. Shift+arrows: move the pair."
        )
        self._drawn: Bars | Table | None = None
        self._plot = QRectF()
        self._image: QImage | None = None

    # -- what is shown -----------------------------------------------------------------------

    @property
    def shown(self) -> Bars | Table | None:
        """What is drawn: bars of a pair, or the table of a token; None without a picture."""
        picture = self.document.picture
        if picture is None or picture.mix is not None:
            return None
        if self._drawn is None:
            focus = self.document.focus
            if focus.query is None and focus.key is None:
                focus = Focus(*picture.strongest)
            if focus.query is not None and focus.key is not None:
                self._drawn = self._bars(picture, focus.query, focus.key)
            else:
                self._drawn = self._table(picture, focus)
        return self._drawn

    @property
    def has_rotary(self) -> bool:
        """Whether the head on show has vectors before a rotary embedding."""
        picture = self.document.picture
        return picture is not None and picture.source.unrotated is not None

    def _bars(self, picture: Picture, query: int, key: int) -> Bars:
        i, j = int(picture.query_index[query]), int(picture.key_index[key])
        taken = pair_products(picture.source, i, j, rotated=self.choices["rotary"] == "after")
        by_size = self.choices["order"] == "size"
        order = taken.order if by_size else np.arange(len(taken.products))
        return Bars(query, key, taken.products, order, taken.n_half, taken.rotated)

    def _table(self, picture: Picture, focus: Focus) -> Table:
        head, rotated = picture.source, self.choices["rotary"] == "after"
        by_query = focus.query is not None
        token = focus.query if by_query else focus.key
        assert token is not None
        if by_query:
            products = query_products(head, int(picture.query_index[token]), rotated=rotated)
            products = products[picture.key_index]
            share, allowed = picture.attention[token], picture.mask[token]
        else:
            queries, keys = head.query, head.key
            if not rotated and head.unrotated is not None:
                queries, keys = head.unrotated
            vector = keys[int(picture.key_index[token])] * np.float32(head.scaling)
            products = queries[picture.query_index] * vector
            share, allowed = picture.attention[:, token], picture.mask[:, token]
        # A masked key takes no part in the softmax: it says nothing about what matters.
        counted = products[allowed] if allowed.any() else products
        named = strongest_dimensions(counted, NAMED)
        by_size = self.choices["order"] == "size"
        order = strongest_dimensions(counted, products.shape[1]) if by_size else None
        limit = float(np.abs(counted).max(initial=0)) or 1.0
        return Table(
            token, by_query, products,
            np.arange(products.shape[1]) if order is None else order,
            named, share, allowed, limit,
        )  # fmt: skip

    def draw_picture(self) -> None:
        """Take another head."""
        self._drawn = self._image = None

    def draw_focus(self) -> None:
        """Take another pair or token."""
        self._drawn = self._image = None

    def sentence(self) -> str:
        """Several heads as one have no vectors to take apart."""
        picture = self.document.picture
        return "" if picture is None or picture.mix is None else picture.mix.no_vectors

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which head, and which pair or token."""
        picture, shown = self.document.picture, self.shown
        if picture is None or shown is None:
            return "Dimensions of q·k"
        return f"Dimensions of q·k  {picture.title}  {self._who(picture, shown)}"

    def _who(self, picture: Picture, shown: Bars | Table) -> str:
        if isinstance(shown, Bars):
            pair = f"{_short(picture.query_tokens[shown.query])} → "
            pair += _short(picture.key_tokens[shown.key])
            return pair if self.document.focus else f"{pair}, the strongest pair"
        if shown.by_query:
            return f"{_short(picture.query_tokens[shown.token])} as query"
        return f"{_short(picture.key_tokens[shown.token])} as key"

    def numbers(self) -> str:
        """The sum, against the model's logit; or the coordinates that tell the keys apart."""
        picture, shown = self.document.picture, self.shown
        if picture is None or shown is None:
            return ""
        if isinstance(shown, Table):
            named = ", ".join(str(d) for d in shown.named[:3].tolist())
            return f"dimensions that differ most: {named}"
        total, n = number(float(shown.products.sum())), len(shown.products)
        return f"Σ {total} · {shown.n_half} of {n} hold half"

    def sum_in_words(self) -> str:
        """Say what the bars sum to, and how that becomes the model's logit."""
        picture, shown = self.document.picture, self.shown
        if picture is None or not isinstance(shown, Bars):
            return ""
        total = float(shown.products.sum())
        if not shown.rotated:
            parts = picture.logit_parts(shown.query, shown.key)
            return (
                f"before rotation Σ = {number(total)}; the model takes the product after it, "
                f"{number(parts.content)}"
            )
        if not picture.mask[shown.query, shown.key]:
            return f"Σ = {number(total)}; masked: {picture.why_masked(shown.query, shown.key)}"
        parts = picture.logit_parts(shown.query, shown.key)
        logit = float(picture.logits[shown.query, shown.key])
        apart = number(abs(parts.logit - logit), 2)
        lines = parts.in_words()
        made = "; ".join(lines) if lines else f"the logit {number(logit)}"
        return f"Σ = scaling · q·k = {number(total)}, {made}, to within {apart}"

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw the bars, or the matrix."""
        shown = self.shown
        inner = area.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        if isinstance(shown, Bars):
            self._paint_bars(p, inner, shown)
        elif shown is not None:
            self._paint_table(p, inner, shown)

    def _paint_bars(self, p: QPainter, area: QRectF, bars: Bars) -> None:
        theme, metrics = self.theme, QFontMetricsF(font(SMALL))
        line = metrics.height()
        values = bars.products[bars.order]
        low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
        peak = max(high, -low)
        # No more room below or above 0 than the bars take.
        top, bottom = (ROOM * v if v > 0.02 * peak else 0.0 for v in (high, -low))
        span = (top + bottom) or 1.0
        foot = 3 * line + 6
        height = max(area.height() - foot - line - 4, 20)
        marked = ticks(-bottom, top, max(2, int(height / (2.5 * line)))) if peak else [0.0]
        axis = max(metrics.horizontalAdvance(tick_text(v)) for v in marked) + 8
        plot = QRectF(
            area.left() + axis, area.top() + line + 4,
            area.width() - axis, height,
        )  # fmt: skip
        self._plot = plot

        def y_of(value: float) -> float:
            return plot.top() + (top - value) / span * plot.height()

        p.setPen(QPen(theme.color("faint"), 1))
        for value in marked:
            p.drawLine(QPointF(plot.left(), y_of(value)), QPointF(plot.right(), y_of(value)))
        p.setPen(theme.color("muted"))
        for value in marked:
            row = QRectF(area.left(), y_of(value) - line / 2, axis - 6, line)
            p.drawText(row, RIGHT, tick_text(value))
        colors = signed_colors(theme)
        step = plot.width() / len(values)
        wide = max(step - (2 if step > 6 else 1 if step > 3 else 0), 0.75)
        p.setPen(Qt.PenStyle.NoPen)
        below, above = (QColor(*colors[i].tolist()) for i in (60, 194))
        for place, value in enumerate(values.tolist()):
            x = plot.left() + (place + 0.5) * step - wide / 2
            y0, y1 = y_of(0.0), y_of(value)
            p.setBrush(above if value > 0 else below)
            p.drawRect(QRectF(x, min(y0, y1), wide, max(abs(y1 - y0), 0.5)))
        p.setPen(QPen(theme.color("muted"), 1))
        p.drawLine(QPointF(plot.left(), y_of(0)), QPointF(plot.right(), y_of(0)))
        self._name_bars(p, bars, values, plot, step, y_of)
        p.setPen(theme.color("muted"))
        under = QRectF(plot.left(), plot.bottom() + line + 2, plot.width(), line)
        p.drawText(under, CENTER, "dimension, the largest first" if self._by_size else "dimension")
        p.setPen(theme.color("text"))
        words = elided(self.sum_in_words(), metrics, area.width())
        p.drawText(QRectF(area.left(), area.bottom() - line, area.width(), line), LEFT, words)

    @property
    def _by_size(self) -> bool:
        return self.choices["order"] == "size"

    def _name_bars(self, p, bars, values, plot, step, y_of) -> None:
        """Write the coordinates' numbers beneath, and the largest products at their bars."""
        metrics = QFontMetricsF(font(SMALL))
        line = metrics.height()
        p.setPen(self.theme.color("text"))
        end = -np.inf
        for place, dimension in enumerate(bars.order.tolist()):
            text = str(dimension)
            half = metrics.horizontalAdvance(text) / 2
            x = plot.left() + (place + 0.5) * step
            if x - half > end and x + half <= plot.right() + 4:
                room = QRectF(x - half - 2, plot.bottom() + 2, 2 * half + 4, line)
                p.drawText(room, CENTER, text)
                end = x + half + 4
        taken: list[QRectF] = []
        p.setPen(self.theme.color("muted"))
        largest = np.argsort(-np.abs(values), kind="stable")[:NAMED]
        for place in largest.tolist():
            value = float(values[place])
            text = number(value, 2)
            if not self._by_size:
                text = f"{int(bars.order[place])}: {text}"
            half = metrics.horizontalAdvance(text) / 2 + 2
            # The bars at the right of a large one are smaller where they are sorted.
            x = plot.left() + place * step + (half if self._by_size else step / 2)
            x = min(max(x, plot.left() + half), plot.right() - half)
            y = y_of(value) - line if value > 0 else y_of(value)
            label = QRectF(x - half, y, 2 * half, line)
            inside = label.top() >= plot.top() - line - 4 and label.bottom() <= plot.bottom() + 1
            if inside and not any(label.intersects(other) for other in taken):
                taken.append(label)
                p.drawText(label, CENTER, text)

    def _paint_table(self, p: QPainter, area: QRectF, table: Table) -> None:
        theme, metrics = self.theme, QFontMetricsF(font(SMALL))
        line = metrics.height()
        picture = self.document.picture
        assert picture is not None
        tokens = picture.key_tokens if table.by_query else picture.query_tokens
        rows, columns = table.products.shape
        longest = max(map(metrics.horizontalAdvance, set(tokens)), default=0.0)
        label = min(longest + 8, LABEL, 0.3 * area.width())
        plot = QRectF(
            area.left() + label, area.top() + 2 * line + 4,
            area.width() - label - SHARE - 8, area.height() - 4 * line - 12,
        )  # fmt: skip
        if plot.width() < 10 or plot.height() < 10:
            return
        cell = min(plot.height() / rows, 26.0)
        plot.setHeight(cell * rows)
        self._plot = plot
        p.drawImage(plot, self._picture_of(table, plot, p.deviceTransform().m11()))
        column = QRectF(plot.right() + 6, plot.top(), SHARE, plot.height())
        p.drawImage(column, _column_image(table.share, column.height()))
        p.setPen(QPen(theme.color("faint"), 1))
        p.setBrush(Qt.BrushStyle.NoBrush)
        for frame in (plot, column):
            p.drawRect(frame.adjusted(-0.5, -0.5, 0.5, 0.5))
        p.setPen(theme.color("muted"))
        kind = "keys" if table.by_query else "queries"
        said = f"attention to {number(float(table.share.max(initial=0)), 2)}"
        width = metrics.horizontalAdvance(said)
        over = QRectF(column.right() - width, area.top(), width, line)
        p.drawText(over, RIGHT, said)
        few = min(NAMED, columns)
        head = f"dimension of q·k; the {few} that tell the {kind} apart most are named"
        room = over.left() - plot.left() - 6
        p.drawText(QRectF(plot.left(), area.top(), room, line), LEFT, elided(head, metrics, room))
        self._name_columns(p, table, plot, line)
        step = max(int(np.ceil(line / cell)), 1)
        marks = self.document.marks
        if marks is not None:  # a bar beside the rows that are selected or found
            at = 1 if table.by_query else 0
            for of, role in ((marks.selected, "text"), (marks.found, "found")):
                for row in np.flatnonzero(of[at]).tolist():
                    bar = QRectF(plot.left() - 4, plot.top() + row * cell, 3, max(cell, 1.0))
                    p.fillRect(bar, theme.color(role))
        p.setPen(theme.color("text"))
        for row in range(0, rows, step):
            y = plot.top() + (row + 0.5) * cell
            box = QRectF(area.left(), y - line / 2, label - 6, line)
            p.drawText(box, RIGHT, elided(tokens[row], metrics, label - 8))
        self._legend(p, QRectF(plot.left(), plot.bottom() + 8, plot.width(), line), table)

    def _name_columns(self, p: QPainter, table: Table, plot: QRectF, line: float) -> None:
        metrics = QFontMetricsF(font(SMALL))
        step = plot.width() / table.products.shape[1]
        place_of = {int(d): place for place, d in enumerate(table.order.tolist())}
        taken: list[tuple[float, float]] = []
        p.setPen(self.theme.color("text"))
        for dimension in table.named.tolist():
            text = str(dimension)
            half = metrics.horizontalAdvance(text) / 2 + 1
            x = plot.left() + (place_of[dimension] + 0.5) * step
            if all(x + half < low or x - half > high for low, high in taken):
                taken.append((x - half, x + half))
                p.drawText(QRectF(x - half, plot.top() - line - 1, 2 * half, line), CENTER, text)

    def _legend(self, p: QPainter, area: QRectF, table: Table) -> None:
        metrics = QFontMetricsF(font(SMALL))
        colors = signed_colors(self.theme)
        bar = np.zeros((1, len(colors), 4), np.uint8)
        bar[..., :3], bar[..., 3] = colors, 255
        strip = QImage(bar.data, len(colors), 1, QImage.Format.Format_RGBA8888).copy()
        low, high = number(-table.limit, 2), number(table.limit, 2)
        x = area.left()
        p.setPen(self.theme.color("muted"))
        for part in (low, strip, high):
            if isinstance(part, str):
                width = metrics.horizontalAdvance(part) + 8
                p.drawText(QRectF(x, area.top(), width, area.height()), LEFT, part)
            else:
                width = min(120.0, area.width() / 3)
                p.drawImage(QRectF(x, area.top() + 2, width, area.height() - 4), strip)
                width += 6
            x += width
        said = "scaling · q · k in each dimension"
        if not table.allowed.all():
            swatch = QRectF(x + 2, area.top() + 3, area.height() - 6, area.height() - 6)
            p.fillRect(swatch, masked_color(self.theme))
            x = swatch.right() + 4
            said = f"masked · {said}"
        words = elided(said, metrics, max(area.right() - x, 0))
        p.drawText(QRectF(x, area.top(), max(area.right() - x, 1), area.height()), LEFT, words)

    def _picture_of(self, table: Table, plot: QRectF, scale: float) -> QImage:
        """Return the matrix in colours, of as many pixels as it is drawn with."""
        wide = max(round(plot.width() * scale), 1)
        high = max(round(plot.height() * scale), 1)
        if self._image is None or (self._image.width(), self._image.height()) != (wide, high):
            products = np.ascontiguousarray(table.products[:, table.order])
            products[~table.allowed] = -np.inf
            values = pooled(products, (high, wide))
            colors, seen = signed_colors(self.theme), np.isfinite(values)
            place = np.rint((np.where(seen, values, 0) / table.limit + 1) * 127).astype(np.intp)
            full = np.full((*values.shape, 4), 255, np.uint8)
            full[..., :3] = colors[np.clip(place, 0, 254)]
            masked = masked_color(self.theme)
            full[~seen, :3] = masked.red(), masked.green(), masked.blue()
            kind = QImage.Format.Format_RGBA8888
            self._image = QImage(full.data, wide, high, 4 * wide, kind).convertToFormat(
                QImage.Format.Format_RGB32
            )
        return self._image

    def retheme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self._image = None
        super().retheme(theme)

    # -- the mouse ---------------------------------------------------------------------------

    def cell_at(self, position: QPointF) -> tuple[int | None, int] | None:
        """Return the row (None for bars) and the dimension under a place."""
        shown, plot = self.shown, self._plot
        if shown is None or not plot.contains(position):
            return None
        order = shown.order
        across = (position.x() - plot.left()) / plot.width()
        dimension = int(order[min(int(across * len(order)), len(order) - 1)])
        if isinstance(shown, Bars):
            return None, dimension
        rows = len(shown.products)
        return min(int((position.y() - plot.top()) / plot.height() * rows), rows - 1), dimension

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Tell about the coordinate under the cursor."""
        cell, shown, picture = self.cell_at(position), self.shown, self.document.picture
        if cell is None or shown is None or picture is None:
            return None
        row, dimension = cell
        if isinstance(shown, Bars):
            query, key = shown.query, shown.key
            product = float(shown.products[dimension])
            sizes = float(np.abs(shown.products).sum()) or 1.0
            extra = f"{number(100 * abs(product) / sizes, 2)} % of all products' sizes"
        else:
            assert row is not None
            query, key = (shown.token, row) if shown.by_query else (row, shown.token)
            product = float(shown.products[row, dimension])
            extra = f"attention {number(float(picture.attention[query, key]))}"
            if not picture.mask[query, key]:
                extra = f"masked: {picture.why_masked(query, key)}"
        head = picture.source
        vectors = head.query, head.key
        if self.choices["rotary"] == "before" and head.unrotated is not None:
            vectors = head.unrotated
        q = float(vectors[0][picture.query_index[query], dimension])
        k = float(vectors[1][picture.key_index[key], dimension])
        pair = f"{_short(picture.query_tokens[query])} → {_short(picture.key_tokens[key])}"
        lines = [
            f"dimension {dimension}: {number(product)}",
            pair,
            f"q {number(q)} · k {number(k)} · scaling {number(head.scaling)}",
            extra,
        ]
        return lines, QRectF(position.x() - 10, position.y() - 10, 20, 20)

    def light(self, focus: Focus) -> None:
        """Hovering here changes no focus: what is looked at would leave under the mouse."""

    def click(self, position: QPointF) -> None:
        """In the matrix: pin the pair, whose bars are shown then."""
        cell, shown = self.cell_at(position), self.shown
        if cell is None or cell[0] is None or not isinstance(shown, Table):
            return
        pair = (shown.token, cell[0]) if shown.by_query else (cell[0], shown.token)
        self.readout.hide()
        self.document.pin(*pair)


def _column_image(share: npt.NDArray[np.float32], height: float) -> QImage:
    """Return attention to each row as a column of colours."""
    top = float(share.max(initial=0)) or 1.0
    values = pooled(np.ascontiguousarray(share[:, None]), (max(round(height), 1), 1))
    full = np.full((len(values), 1, 4), 255, np.uint8)
    full[..., :3] = share_colors()[np.rint(values / top * 254).astype(np.intp)]
    return QImage(full.data, 1, len(values), 4, QImage.Format.Format_RGBA8888).copy()


def _short(token: str) -> str:
    token = " ".join(token.splitlines()) or "␣"
    return token if len(token) <= 16 else f"{token[:8]}…{token[-7:]}"
