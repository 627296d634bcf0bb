"""The attention of one head as a matrix: queries down, keys across.

Shift and scale never change it, so it is drawn anew only for another head. What is lit up or
watched is laid over the image as frames; the image itself is never coloured anew for that. A
learned sink, which takes a share of each row and belongs to no key, is a column of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QHelpEvent

from attnviz_gui.session.document import Focus
from attnviz_gui.session.selection import places_of_picture, select_pairs_at, select_places
from attnviz_gui.session.words import hidden_in_words, number
from attnviz_gui.ui.views.base import View
from attnviz_gui.ui.views.cell_marks import AxisBars, CellVeil
from attnviz_gui.ui.views.color_bar import ColorBar
from attnviz_gui.ui.views.color_scale import color_scale, mix
from attnviz_gui.ui.views.matrix_item import CellFrames, MatrixItem, shape_in_pixels
from attnviz_gui.ui.views.readout import Readout
from attnviz_gui.ui.views.token_axis import TokenAxis

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QResizeEvent, QWheelEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.selection import Selection
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.region import Region

MARGIN = 8.0  # half a label reaches beyond the matrix' ends
SINK_GAP = 6.0  # between the keys and the sink's column
LEAST_SINK = 8.0  # pixels: its width where cells are smaller
BAR_GAP = 14.0  # between the matrix and the colour bar
LABEL = 96.0  # pixels: longest label
CLOSEST = 4  # cells across, when zoomed in all the way
CURSOR = 10  # pixels around the cursor that the readout leaves free
STILL = 4  # pixels that a click may move
SHORT = 16  # letters of a token in a line of text

STEPS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}


class MatrixBox(pg.ViewBox):
    """The matrix' view box: wheel and left drag only, both axes always together."""

    def __init__(self) -> None:
        super().__init__(enableMenu=False, invertY=True, defaultPadding=0)

    def mouseDragEvent(self, ev, axis=None) -> None:
        """Pan; a right drag would stretch the cells."""
        if ev.button() == Qt.MouseButton.RightButton:
            ev.ignore()
        else:
            super().mouseDragEvent(ev, axis)


class HeatmapView(View):
    """Attention of one head, a cell for each pair of visible tokens."""

    name = "heatmap"
    normalised = False
    _shape: tuple[int, int] = (0, 0)  # of the matrix; Qt asks before __init__ is through

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Attention heatmap")
        self.setToolTip(
            "Attention from each query (row) to each key (column). Wheel: zoom, drag: move, "
            "double click: whole matrix, click: keep a pair lit, Shift+arrows: move it."
        )
        self.box = MatrixBox()
        self.matrix = MatrixItem()
        self.box.addItem(self.matrix)
        self.query_axis = TokenAxis("left", "queries", "query", theme)
        self.key_axis = TokenAxis("top", "keys", "key", theme)
        self.query_axis.linkToView(self.box)
        self.key_axis.linkToView(self.box)
        self.bar = ColorBar("attention", theme, self._pooling)
        self.veil = CellVeil()
        self.box.addItem(self.veil)
        self.bars = AxisBars(self.box, theme)
        self.frames = CellFrames(self.box, theme)
        self.sink_box = MatrixBox()
        self.sink_box.setMouseEnabled(x=False, y=False)
        self.sink_box.setXRange(0, 1, padding=0)
        self.sink = MatrixItem()
        self.sink_box.addItem(self.sink)
        self.sink_axis = TokenAxis("top", "", "query", theme)
        self.sink_axis.set_tokens(("sink",))
        self.sink_axis.linkToView(self.sink_box)
        self.sink_frames = CellFrames(self.sink_box, theme)
        self._sink_items = (self.sink_box, self.sink_axis, self.sink_frames)
        self.box.sigYRangeChanged.connect(self._move_sink)
        for item in (
            self.box, self.query_axis, self.key_axis, self.bar, self.bars, self.frames,
            *self._sink_items,
        ):  # fmt: skip
            item.setParentItem(self.ci)
        for item in self._sink_items:
            item.setVisible(False)
        self._has_sink = False
        self._on_sink = False  # the cursor is over the sink's column
        self.readout = Readout(theme, self)
        self._under = Focus()  # what the readout tells about
        self._cursor: QPointF | None = None
        self._pinned_before = Focus()
        self._pressed: QPointF | None = None

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which head."""
        picture = self.document.picture
        return "Attention" if picture is None else f"Attention  {picture.title}"

    def numbers(self) -> str:
        """The strongest entry, and how many tokens are hidden."""
        picture = self.document.picture
        if picture is None:
            return ""
        parts = []
        if picture.n_hidden:
            parts.append(hidden_in_words(picture.n_hidden))
        i, j = picture.strongest
        parts.append(
            f"max {number(picture.attention[i, j], 2)} "
            f"{short(picture.query_tokens[i])} → {short(picture.key_tokens[j])}"
        )
        return " · ".join(parts)

    def describe(self, focus: Focus) -> list[str]:
        """Lines about a pair, a query or a key; the first says which."""
        picture = self.document.picture
        if picture is None or not focus:
            return []
        frame = self.document.frame
        assert frame is not None
        i, j = focus.query, focus.key
        attention = picture.attention
        if i is not None and j is not None and picture.mix is not None:
            pair = f"{short(picture.query_tokens[i])} → {short(picture.key_tokens[j])}"
            told = f"{picture.mix.how} attention {number(float(attention[i, j]))}"
            return [pair, told if picture.mask[i, j] else "masked in every one of these heads"]
        if i is not None and j is not None:
            q, k = frame.query[i], frame.key[j]
            dot, size = float(q @ k), float(np.linalg.norm(q) * np.linalg.norm(k))
            distance = 1 - dot / size if size else math.nan
            pair = f"{short(picture.query_tokens[i])} → {short(picture.key_tokens[j])}"
            when = "before rotation: " if picture.before_rotary else ""
            drawn = f"{when}dot {number(dot)} · distance {number(distance)}"
            if not picture.mask[i, j]:
                return [pair, f"masked: {picture.why_masked(i, j)}", drawn]
            logit = number(float(picture.logits[i, j]))
            value = f"attention {number(float(attention[i, j]))} · logit {logit}"
            parts = picture.logit_parts(i, j).in_words()
            return [pair, value, *parts, *self._about_sink(i), drawn]
        if i is not None:
            top = int(attention[i].argmax())
            return [
                f"{short(picture.query_tokens[i])} as query",
                f"position {picture.query_index[i]}",
                f"most to {short(picture.key_tokens[top])}: {number(float(attention[i, top]))}",
                *self._about_sink(i),
            ]
        assert j is not None
        top = int(attention[:, j].argmax())
        return [
            f"{short(picture.key_tokens[j])} as key",
            f"position {picture.key_index[j]}",
            f"most from {short(picture.query_tokens[top])}: {number(float(attention[top, j]))}",
        ]

    def _about_sink(self, query: int) -> list[str]:
        """Say what the sink takes of a query's attention, where there is one."""
        picture = self.document.picture
        if picture is None or picture.sink is None:
            return []
        return [f"sink takes {number(100 * float(picture.sink[query]), 2)} % of this row"]

    def _describe_sink(self, query: int) -> list[str]:
        picture = self.document.picture
        assert picture is not None and picture.sink is not None
        return [
            f"{short(picture.query_tokens[query])} → sink",
            f"sink: {number(float(picture.sink[query]))} of this row",
            "a learned logit that belongs to no key",
        ]

    def _pooling(self, painter: QPainter) -> list[str]:
        """What the legend adds where several cells share a pixel of this painter."""
        pixels = math.hypot(painter.deviceTransform().m11(), painter.deviceTransform().m12())
        cell = self.frames.rect(0, 0)
        shape = shape_in_pixels(self._shape, cell.height() * pixels, cell.width() * pixels)
        return [] if shape == self._shape else ["pixel max"]

    # -- drawing -----------------------------------------------------------------------------

    def draw_picture(self) -> None:
        """Draw another head; the zoom stays where the tokens do."""
        picture = self.document.picture
        assert picture is not None
        self._draw_image()
        tokens = picture.query_tokens, picture.key_tokens
        has_sink = picture.sink is not None
        if has_sink != self._has_sink:
            self._has_sink = has_sink
            for item in self._sink_items:
                item.setVisible(has_sink)
            if tokens == (self.query_axis.tokens, self.key_axis.tokens):
                self._arrange()
        if tokens != (self.query_axis.tokens, self.key_axis.tokens):
            self.query_axis.set_tokens(tokens[0])
            self.key_axis.set_tokens(tokens[1])
            self._shape = len(tokens[0]), len(tokens[1])
            self._arrange()
            self._show_whole()
        self.draw_watched()
        self.draw_focus()

    def draw_frame(self) -> None:
        """Nothing: a and c do not change attention. Only the readout tells of dot and distance."""
        self._read()

    def draw_options(self) -> None:
        """Follow the colour scale."""
        self._draw_image()

    def draw_focus(self) -> None:
        """Frame the query's row, the key's column and their cell."""
        focus = self.document.focus
        self.frames.set_focus(focus.query, focus.key)
        self.sink_frames.set_focus(focus.query, None)
        self.query_axis.set_chosen(focus.query)
        self.key_axis.set_chosen(focus.key)
        if focus != self._under:
            self._under = Focus()
        self._read()
        if focus:
            self.setAccessibleDescription(". ".join(self.describe(focus)))

    def draw_watched(self) -> None:
        """Frame the watched pairs in red."""
        watched = self.document.watched_here
        self.frames.set_watched(watched)
        self.query_axis.set_watched(i for i, _ in watched)
        self.key_axis.set_watched(j for _, j in watched)

    def draw_selection(self) -> None:
        """Mark rows and columns that are selected or found; cells that are not lit fade."""
        picture, marks = self.document.picture, self.document.marks
        assert picture is not None
        self.bars.set_marks(marks)
        self.veil.set_lit(None if marks is None else marks.lit_pairs(picture.mask))

    def brush(self, region: Region, take: Callable[[Selection], object]) -> None:
        """Hand over the pairs of a region's cells; beside the labels, its queries or keys alone.

        A rectangle takes every cell that it touches, a lasso those whose middle is in it.
        """
        document, picture, area = self.document, self.document.picture, self.box.geometry()
        if picture is None or not area.isValid():
            return
        of = places_of_picture(document.token_lists, picture)
        rows, columns = self._shape
        (x0, x1), (y0, y1) = self.box.viewRange()
        wide, high = area.width() / (x1 - x0), area.height() / (y1 - y0)
        left, top, right, bottom = region.bounds
        first = math.floor(y0 + (max(top, area.top()) - area.top()) / high)
        last = math.ceil(y0 + (min(bottom, area.bottom() - 1e-6) - area.top()) / high)
        i = np.arange(max(first, 0), min(last, rows))
        first = math.floor(x0 + (max(left, area.left()) - area.left()) / wide)
        last = math.ceil(x0 + (min(right, area.right() - 1e-6) - area.left()) / wide)
        j = np.arange(max(first, 0), min(last, columns))
        lists = document.token_lists
        if right <= area.left():
            take(select_places(lists, of.query[i], (), of.of))
            return
        if bottom <= area.top():
            take(select_places(lists, (), of.key[j], of.of))
            return
        cells = picture.mask[np.ix_(i, j)].copy()
        if not region.rectangle:
            x = np.tile(area.left() + (j + 0.5 - x0) * wide, len(i))
            y = np.repeat(area.top() + (i + 0.5 - y0) * high, len(j))
            cells &= region.contains(x, y).reshape(cells.shape)
        q, k = np.nonzero(cells)
        take(select_pairs_at(lists, of.query[i[q]], of.key[j[k]], of.of))

    def draw_theme(self) -> None:
        """Take the theme's colours."""
        for item in (
            self.query_axis, self.key_axis, self.bar, self.frames, self.readout,
            self.sink_axis, self.sink_frames, self.veil, self.bars,
        ):  # fmt: skip
            item.set_theme(self.theme)
        # The first of 256 colours is for masked pairs.
        viridis = pg.colormap.get("viridis").getLookupTable(nPts=255, alpha=False)
        masked = self._masked_color()
        first = [masked.red(), masked.green(), masked.blue()]
        colors = np.vstack([first, viridis]).astype(np.uint8)
        self.matrix.set_colors(colors)
        self.sink.set_colors(colors)
        self.bar.set_colors(viridis)
        if self.document.picture is not None:
            self._draw_image()

    def _masked_color(self) -> QColor:
        return mix(self.theme.color("ground"), self.theme.color("faint"), 0.55)

    def _draw_image(self) -> None:
        picture = self.document.picture
        assert picture is not None
        attention, mask, sink = picture.attention, picture.mask, picture.sink
        top = float(attention.max())
        if sink is not None:
            top = max(top, float(sink.max()))
        scale = color_scale(self.document.options.color_scale, top, len(picture.source.key))
        image = scale.image(attention)
        low, high = scale.levels
        span = high - low
        whole = bool(mask.all())
        if not whole:
            image = np.where(mask, image, np.float32(low - span))
        # `low` falls into the middle of the second colour: the first is left to masked pairs.
        levels = (low - 1.5 * span / 254.5, high)
        self.matrix.set_matrix(np.ascontiguousarray(image), levels)
        if sink is not None:
            self.sink.set_matrix(np.ascontiguousarray(scale.image(sink[:, None])), levels)
        self.bar.set_scale(scale.ticks, None if whole else self._masked_color())

    # -- where everything is -----------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Lay out anew."""
        super().resizeEvent(event)
        if self._shape != (0, 0) and not self.closed:  # closing resizes after the scene has gone
            self._arrange()

    def _arrange(self) -> None:
        """Place matrix, axes and bar: cells square, the whole in the middle of the panel."""
        width, height = self.width() - 2 * MARGIN, self.height() - 2 * MARGIN
        across = self.query_axis.label_length(min(max(0.25 * width, 40), LABEL))
        up = self.key_axis.label_length(min(max(0.25 * height, 40), LABEL))
        left = self.query_axis.fit(across, upright=True)
        top = self.key_axis.fit(up, upright=False)
        bar = self.bar
        beside = self._cell(width - left - BAR_GAP - bar.wide, height - top)
        left_below = max(left, bar.beside)
        below = self._cell(width - left_below, height - top - BAR_GAP - bar.high)
        upright = below < 1.05 * beside
        left, right = (left, BAR_GAP + bar.wide) if upright else (left_below, 0.0)
        bottom = 0.0 if upright else BAR_GAP + bar.high

        upright_keys = self.key_axis.fits_upright(max(beside, below))
        if upright_keys:
            top = self.key_axis.fit(up, upright=True)
        cell = self._cell(width - left - right, height - top - bottom)
        pixels = cell * self.devicePixelRatioF()
        if math.floor(pixels) > 0.95 * pixels:  # whole pixels where that costs little: even cells
            cell *= math.floor(pixels) / pixels
        w, h = cell * self._shape[1], cell * self._shape[0]
        whole = w + (SINK_GAP + max(cell, LEAST_SINK) if self._has_sink else 0)
        x = round(MARGIN + left + max(width - left - right - whole, 0) / 2)
        y = round(MARGIN + top + max(height - top - bottom - h, 0) / 2)
        self.box.setGeometry(QRectF(x, y, w, h))
        thick = self.query_axis.width()
        self.query_axis.setGeometry(QRectF(x - thick, y, thick, h))
        self.key_axis.setGeometry(QRectF(x, y - top, w, top))
        if self._has_sink:
            self.sink_axis.fit(up, upright=upright_keys and self.sink_axis.fits_upright(cell))
            column = QRectF(x + w + SINK_GAP, y, whole - w - SINK_GAP, h)
            self.sink_box.setGeometry(column)
            self.sink_axis.setGeometry(QRectF(column.left(), y - top, column.width(), top))
        bar.setPos(*((x + whole + BAR_GAP, y) if upright else (x, y + h + BAR_GAP)))
        bar.set_length(h if upright else w, upright=upright)
        self._under = Focus()
        self._read()

    def _cell(self, width: float, height: float) -> float:
        """How large cells can be in this room."""
        rows, columns = self._shape
        if self._has_sink:
            width -= SINK_GAP
            if width < (columns + 1) * LEAST_SINK:
                width -= LEAST_SINK
            else:
                columns += 1
        return max(min(width / columns, height / rows), 1e-3)

    def _move_sink(self, _box: object, rows: tuple[float, float]) -> None:
        """Show the rows of the sink that the matrix shows."""
        self.sink_box.setYRange(*rows, padding=0)

    def _show_whole(self) -> None:
        rows, columns = self._shape
        self.box.setLimits(
            xMin=0, xMax=columns, yMin=0, yMax=rows,
            minXRange=min(CLOSEST, columns), minYRange=min(CLOSEST, rows),
            maxXRange=columns, maxYRange=rows,
        )  # fmt: skip
        self.box.setRange(xRange=(0, columns), yRange=(0, rows), padding=0)

    def focus_at(self, position: QPointF) -> Focus:
        """Return the pair at a place of the view; beside a label its query or key alone."""
        area = self.box.geometry()
        if self.document.picture is None or not area.isValid():
            return Focus()
        (x0, x1), (y0, y1) = self.box.viewRange()
        rows, columns = self._shape
        x, y = position.x(), position.y()
        i = math.floor(y0 + (y - area.top()) / area.height() * (y1 - y0))
        j = math.floor(x0 + (x - area.left()) / area.width() * (x1 - x0))
        in_rows = area.top() <= y < area.bottom() and 0 <= i < rows
        in_columns = area.left() <= x < area.right() and 0 <= j < columns
        if in_rows and in_columns:
            return Focus(i, j)
        if in_rows and self._sink_at(position):
            return Focus(query=i)
        if in_rows and self.query_axis.geometry().left() <= x < area.left():
            return Focus(query=i)
        if in_columns and self.key_axis.geometry().top() <= y < area.top():
            return Focus(key=j)
        return Focus()

    def _sink_at(self, position: QPointF) -> bool:
        return self._has_sink and self.sink_box.geometry().contains(position)

    # -- the readout -------------------------------------------------------------------------

    def _read(self) -> None:
        """Tell about what is under the cursor (or the keys), beside its cell; or hide."""
        focus, cursor = self._under, self._cursor
        on_sink = self._on_sink and self._has_sink and focus.query is not None
        lines = self._describe_sink(focus.query or 0) if on_sink else self.describe(focus)
        if not lines:
            self.readout.hide()
            return
        query, key = self.query_axis.geometry(), self.key_axis.geometry()
        if on_sink:
            avoid = self.sink_frames.rect(focus.query or 0, 0)
        elif focus.query is not None and focus.key is not None:
            avoid = self.frames.rect(focus.query, focus.key).intersected(self.box.geometry())
        elif focus.query is not None:
            row = self.frames.rect(focus.query, 0)
            avoid = QRectF(query.left(), row.top(), query.width(), row.height())
        else:
            column = self.frames.rect(0, focus.key or 0)
            avoid = QRectF(column.left(), key.top(), column.width(), key.height())
        if cursor is not None:
            spot = QRectF(cursor.x() - CURSOR, cursor.y() - CURSOR, 2 * CURSOR, 2 * CURSOR)
            avoid = avoid.united(spot)
        self.readout.say(lines, QRect(avoid.toAlignedRect()))

    # -- mouse and keys ----------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up what is under the cursor; the scene's own signal leaves out moves."""
        super().mouseMoveEvent(event)
        self._hover(event.position())

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the cursor."""
        super().wheelEvent(event)
        self._hover(event.position())

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the cursor."""
        self._under, self._cursor, self._on_sink = Focus(), None, False
        self._read()
        super().leaveEvent(event)

    def _hover(self, position: QPointF) -> None:
        if self.document.picture is not None:
            self._under, self._cursor = self.focus_at(position), position
            self._on_sink = self._sink_at(position)
            self.document.hover(self._under.query, self._under.key)
            self._read()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click or a drag."""
        super().mousePressEvent(event)
        self._pressed = event.position() if event.button() == Qt.MouseButton.LeftButton else None

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Pin what was clicked, or let go of it; a drag has moved the matrix instead."""
        super().mouseReleaseEvent(event)
        pressed, self._pressed = self._pressed, None
        if pressed is None or (event.position() - pressed).manhattanLength() > STILL:
            return
        self._pinned_before = self.document.pinned
        if focus := self.focus_at(event.position()):
            self.document.pin(focus.query, focus.key)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the whole matrix; what the first of the two clicks has pinned is undone."""
        super().mouseDoubleClickEvent(event)
        self._pressed = None
        if self.document.picture is None or event.button() != Qt.MouseButton.LeftButton:
            return
        self._show_whole()
        if self.document.pinned != self._pinned_before:
            before = self._pinned_before or self.document.pinned
            self.document.pin(before.query, before.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Shift and an arrow move the pinned cell; all else is left to the window."""
        step = STEPS.get(Qt.Key(event.key()))
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if (
            step is None
            or plain != Qt.KeyboardModifier.ShiftModifier
            or self.document.picture is None
        ):
            super().keyPressEvent(event)
            return
        event.accept()
        rows, columns = self._shape
        pinned = self.document.pinned
        i, j = pinned.query or 0, pinned.key or 0
        if pinned.query is not None and pinned.key is not None:
            i, j = min(max(i + step[0], 0), rows - 1), min(max(j + step[1], 0), columns - 1)
        cell = Focus(i, j)
        if cell != pinned:  # pinning the same again would let go
            self._bring_into_view(i, j)
            self._under, self._cursor, self._on_sink = cell, None, False
            self.document.pin(i, j)

    def _bring_into_view(self, row: int, column: int) -> None:
        (x0, x1), (y0, y1) = self.box.viewRange()
        x = min(column - x0, 0) + max(column + 1 - x1, 0)
        y = min(row - y0, 0) + max(row + 1 - y1, 0)
        if x or y:
            self.box.translateBy(x=x, y=y)

    def viewportEvent(self, event: QEvent) -> bool:
        """Over the matrix the readout says more than a tooltip, which would cover it."""
        if isinstance(event, QHelpEvent) and self.focus_at(QPointF(event.pos())):
            return True
        return super().viewportEvent(event)


def short(token: str) -> str:
    """Return a token for a line of text: one line, the middle left out where it is long."""
    token = " ".join(token.splitlines()) or "␣"
    return token if len(token) <= SHORT else f"{token[: SHORT // 2]}…{token[1 - SHORT // 2 :]}"
