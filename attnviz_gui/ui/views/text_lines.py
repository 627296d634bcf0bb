"""The text twice, queries at the left and keys at the right, and a line for each attention.

One head or several of the layer, each in its own colour. Only what is in view is computed and
drawn: the rows of the queries that can be seen, so that thousands of tokens scroll. What is too
faint or too much to be drawn is said to be left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QPen

from attnviz_gui.session.document import Focus
from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import NORMAL, SMALL, font
from attnviz_gui.ui.views.color_scale import ink_on, mix
from attnviz_gui.ui.views.painted import Choosable, PaintedView, elided

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QPainter, QResizeEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme

    FloatArray = npt.NDArray[np.float32]
    IntArray = npt.NDArray[np.intp]

# Okabe and Ito's, those that mean nothing else in the window first.
HEAD_COLORS = ("#D55E00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#E69F00")
MIXED = -1  # several heads that the document shows as one
MOST = 4000  # lines in one picture; the strongest are drawn
FEW = 400  # lines that are drawn see-through
ROW = 20.0  # pixels of a token
SQUARE = 18.0  # pixels of a head's square
GAP = 4.0
SIDE = 12.0
MOST_SQUARES = 0.4  # of the height, that the heads' squares may take
PAD = 6.0
APART = 520.0  # pixels: the widest room between the columns
LABEL = 180.0  # pixels: the longest token
TITLES = "queries", "keys"
SHADES = 12  # opacities
FAINTEST = 0.1
FADED = 0.25  # of its opacity, for a line that a selection leaves out


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of one head: visible queries and keys, and the attention between them."""

    head: int
    query: IntArray
    key: IntArray
    weight: FloatArray


class TextLinesView(PaintedView):
    """Lines from each query to the keys that it attends to."""

    name = "text_lines"
    heads_changed = Signal()  # other heads are chosen
    choosable: ClassVar = (
        Choosable(
            "least",
            "Least attention drawn",
            (
                ("0.01", "from 0.01", "Lines below 0.01 are not drawn."),
                ("0.05", "0.05", "Lines below 0.05 are not drawn."),
                ("0.2", "0.2", "Lines below 0.2 are not drawn."),
            ),
        ),
    )

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(document, theme, parent)
        self.setAccessibleName("Text with lines")
        self.setToolTip(
            "Queries at the left, keys at the right; a line's strength is the attention. Point at "
            "a token for its lines alone, click to keep it. The squares choose heads. "
            "Shift+Up and Down: move the query, Shift+Left and Right: the key."
        )
        self._font = font(NORMAL)
        self._metrics = QFontMetricsF(self._font)
        self._heads: tuple[int, ...] = ()  # chosen beside the head on show
        self._slots_of: dict[int, int] = {}  # which colour a head has
        self._of: Picture | None = None
        self._lines: tuple[object, list[Lines], int, int] | None = None
        self._squares: list[tuple[int, QRectF]] = []
        self._width = 0.0  # of a column
        self._rows_kept: dict[tuple[int, int, int], FloatArray] = {}

    # -- heads -------------------------------------------------------------------------------

    @property
    def heads(self) -> tuple[int, ...]:
        """The heads whose lines are drawn, in order."""
        picture = self.document.picture
        if picture is None:
            return ()
        n = picture.capture.layers[picture.layer].n_heads
        chosen = {h for h in self._heads if h < n}
        return tuple(sorted(chosen)) or (MIXED if picture.mix is not None else picture.head,)

    def toggle_head(self, head: int) -> None:
        """Draw a head's lines, or no longer; the last one stays."""
        chosen = set(self.heads) - {MIXED}
        chosen ^= {head}
        self.choose_heads(chosen)

    def choose_heads(self, heads: set[int]) -> None:
        """Draw these heads' lines; none means the head on show, whichever that is."""
        picture = self.document.picture
        follows = picture is not None and picture.mix is None and heads == {picture.head}
        self._heads = () if follows else tuple(sorted(heads))
        self._slots_of = {h: s for h, s in self._slots_of.items() if h in self.heads}
        self._repaint()
        self.titled.emit()
        self.heads_changed.emit()

    def color_of(self, head: int) -> QColor:
        """Return a head's colour, its own for as long as it is chosen."""
        if head not in self._slots_of:
            taken = set(self._slots_of.values())
            free = [s for s in range(len(HEAD_COLORS)) if s not in taken]
            self._slots_of[head] = free[0] if free else len(self._slots_of)
        return QColor(HEAD_COLORS[self._slots_of[head] % len(HEAD_COLORS)])

    def like(self, other: PaintedView) -> None:
        """Take the choices of another one, heads and their colours too."""
        super().like(other)
        assert isinstance(other, TextLinesView)
        self._heads, self._slots_of = other._heads, dict(other._slots_of)

    def draw_picture(self) -> None:
        """Take another head, layer or text."""
        picture, old = self.document.picture, self._of
        assert picture is not None
        if old is None or (old.capture, old.text) != (picture.capture, picture.text):
            self._first = 0.0
            self.verticalScrollBar().setValue(0)
        # The heads of a layer stay chosen on another text, also on one that is run anew.
        if old is not None and _layer(old) != _layer(picture):
            self._heads = ()
        if old is None or (old.capture, old.layer) != (picture.capture, picture.layer):
            self.heads_changed.emit()
        elif not self._heads and old.head != picture.head:
            self._slots_of = {}
        self._of = picture
        self._rows_kept.clear()
        self._lines = None
        names = {*picture.query_tokens, *picture.key_tokens, *TITLES}
        widest = max((self._metrics.horizontalAdvance(n) for n in map(_line, names)), default=0.0)
        self._width = min(widest, LABEL) + 2 * PAD

    # -- which lines -------------------------------------------------------------------------

    @property
    def least(self) -> float:
        """Attention below which no line is drawn."""
        return float(self.choices["least"])

    def rows_in_view(self, height: float) -> tuple[int, int]:
        """Return the first row in view and the first one beneath it."""
        picture = self.document.picture
        assert picture is not None
        most = max(len(picture.query_tokens), len(picture.key_tokens))
        first = int(max(self.scrolled, 0) / ROW)
        return first, min(first + int((height - self.head_room) / ROW) + 2, most)

    def lines(self, height: float) -> tuple[list[Lines], int, int]:
        """Return the lines that are drawn, how many are too faint, and how many too many."""
        picture, focus = self.document.picture, self.document.focus
        assert picture is not None
        first, last = self.rows_in_view(height)
        asked = picture, focus, self.heads, self.least, first, last
        if self._lines is None or self._lines[0] != asked:
            self._lines = (asked, *self._find_lines(picture, focus, first, last))
        return self._lines[1], self._lines[2], self._lines[3]

    def _find_lines(
        self, picture: Picture, focus: Focus, first: int, last: int
    ) -> tuple[list[Lines], int, int]:
        n_queries = len(picture.query_tokens)
        begin, end = min(first, n_queries), min(last, n_queries)
        if focus.query is not None:
            begin, end = focus.query, focus.query + 1
        found, faint = [], 0
        for head in self.heads:
            rows = self._rows(picture, head, begin, end)
            if focus.key is not None:
                rows = rows[:, focus.key : focus.key + 1]
            drawn = rows >= self.least
            faint += int(np.count_nonzero(rows > 0)) - int(np.count_nonzero(drawn))
            query, key = np.nonzero(drawn)
            weight = rows[query, key]
            found.append(Lines(head, query + begin, key + (focus.key or 0), weight))
        total = sum(len(lines.weight) for lines in found)
        if total > MOST:
            weights = np.concatenate([lines.weight for lines in found])
            bound = np.partition(weights, total - MOST)[total - MOST]
            found = [_stronger(lines, float(bound)) for lines in found]
        return found, faint, total - sum(len(lines.weight) for lines in found)

    def _rows(self, picture: Picture, head: int, begin: int, end: int) -> FloatArray:
        """Return some queries' attention in a head of the layer, (rows, T_k) of visible tokens."""
        if head == (MIXED if picture.mix is not None else picture.head):
            return picture.attention[begin:end]
        asked = head, begin, end
        if asked not in self._rows_kept:
            if len(self._rows_kept) > 64:
                self._rows_kept.clear()
            whole = picture.capture.head(picture.layer, head, picture.text)
            rows = picture.query_index[begin:end]
            part = replace(
                whole, query=whole.query[rows], mask=whole.mask[rows],
                bias=None if whole.bias is None else whole.bias[rows],
                unrotated=None,
            )  # fmt: skip
            self._rows_kept[asked] = np.ascontiguousarray(part.attention[:, picture.key_index])
        return self._rows_kept[asked]

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which heads of which layer."""
        picture = self.document.picture
        if picture is None:
            return "Text with lines"
        heads = self.heads
        if heads == (MIXED,):
            return f"Text with lines  {picture.title}"
        if len(heads) == 1:
            group = f" · {picture.group}" if picture.group else ""
            return f"Text with lines  L{picture.layer} H{heads[0]}{group}"
        n = picture.capture.layers[picture.layer].n_heads
        told = ", ".join(map(str, heads)) if len(heads) <= 8 else f"{len(heads)} of {n}"
        return f"Text with lines  L{picture.layer}, heads {told}"

    def numbers(self) -> str:
        """What is left out."""
        if self.document.picture is None:
            return ""
        lines, faint, over = self.lines(self.viewport().height())
        n = sum(len(of.weight) for of in lines)
        parts = ["1 line" if n == 1 else f"{n:,} lines"]
        if faint:
            parts.append(f"{faint:,} below {self.choices['least']} not drawn")
        if over:
            parts.append(f"{over:,} more weaker ones neither")
        return " · ".join(parts)

    def _scrolled(self) -> None:
        """Other rows are in view, and other lines are counted."""
        super()._scrolled()
        self.titled.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """As above."""
        super().resizeEvent(event)
        self.titled.emit()

    # -- where everything is -----------------------------------------------------------------

    @property
    def head_room(self) -> float:
        """Height of the squares and titles above the rows."""
        rows = -(-len(self.offered) // self._across)
        return 8 + max(rows, 1) * (SQUARE + GAP) + ROW + 2

    @property
    def offered(self) -> tuple[int, ...]:
        """The heads that have squares: all, or where they'd hide the text those that are drawn."""
        picture = self.document.picture
        every = range(0 if picture is None else picture.capture.layers[picture.layer].n_heads)
        rows = max(int(MOST_SQUARES * self._area_height / (SQUARE + GAP)), 1)
        if len(every) <= rows * self._across:
            return tuple(every)
        return tuple(head for head in self.heads if head != MIXED)[: rows * self._across]

    @property
    def _across(self) -> int:
        return max(int((self._area_width - 2 * SIDE + GAP) // (SQUARE + GAP)), 1)

    _area_width, _area_height = 400.0, 400.0

    def height_of(self, width: float) -> float:
        """Return the height of all rows."""
        picture = self.document.picture
        if picture is None:
            return 0.0
        self._area_width, self._area_height = width, self.viewport().height()
        most = max(len(picture.query_tokens), len(picture.key_tokens))
        return self.head_room + most * ROW + 8

    def columns(self, width: float) -> tuple[float, float, float]:
        """Return where the left column ends, where the right one begins, and how wide each is."""
        column = min(self._width, 0.36 * (width - 2 * SIDE))
        room = min(max(width - 2 * SIDE - 2 * column, 20), APART)
        left = (width - 2 * column - room) / 2 + column
        return left, left + room, column

    def row_y(self, row: float | int) -> float:
        """Return the middle of a row."""
        return self.head_room + (row + 0.5) * ROW - self.scrolled

    def focus_at(self, position: QPointF) -> Focus:
        """Return the token under a place."""
        picture = self.document.picture
        if picture is None or position.y() < self.head_room:
            return Focus()
        left, right, column = self.columns(self.viewport().width())
        row = int((position.y() - self.head_room + self.scrolled) // ROW)
        if left - column <= position.x() <= left and 0 <= row < len(picture.query_tokens):
            return Focus(query=row)
        if right <= position.x() <= right + column and 0 <= row < len(picture.key_tokens):
            return Focus(key=row)
        return Focus()

    # -- painting ----------------------------------------------------------------------------

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw lines, tokens, and above them squares and titles."""
        picture, focus = self.document.picture, self.document.focus
        assert picture is not None
        self._area_width, self._area_height = area.width(), area.height()
        left, right, column = self.columns(area.width())
        lines, _, _ = self.lines(area.height())
        p.save()
        body = QRectF(area.left(), area.top() + self.head_room, area.width(), area.height())
        p.setClipRect(body.intersected(area), Qt.ClipOperation.IntersectClip)
        self._paint_lines(p, lines, left + 2, right - 2, lit=bool(focus))
        self._paint_watched(p, picture, left + 2, right - 2)
        self._paint_tokens(p, picture, lines, area, (left, right, column))
        p.restore()
        self._paint_head(p, picture, area, left, right)

    def _paint_lines(
        self, p: QPainter, lines: list[Lines], x0: float, x1: float, *, lit: bool
    ) -> None:
        """Draw the faint lines first, and before them those that a selection leaves out.

        Where they are many, in colours that hide what is under them: Qt takes five times as long
        to blend thousands of lines.
        """
        ground = self.theme.color("ground")
        few = sum(len(of.weight) for of in lines) <= FEW
        shades = [np.minimum((of.weight * SHADES).astype(np.intp), SHADES - 1) for of in lines]
        if not lit and self.document.marks is not None:  # those left out are levels below 0
            shades = [
                np.where(self._marked(of), shade, shade - SHADES)
                for of, shade in zip(lines, shades, strict=True)
            ]
        for level in range(-SHADES, SHADES):
            strength = (level % SHADES + 0.5) / SHADES
            for of, shade in zip(lines, shades, strict=True):
                chosen = np.flatnonzero(shade == level)
                if not len(chosen):
                    continue
                opacity = min(FAINTEST + (1.4 if lit else 1.0) * strength, 1.0)
                if level < 0:
                    opacity *= FADED
                color = self.color_of(of.head)
                if few:
                    color.setAlphaF(opacity)
                else:
                    color = mix(ground, color, opacity)
                p.setPen(QPen(color, 1.0 + (2.0 if lit else 1.2) * max(strength - 0.1, 0)))
                y0 = self.head_room + (of.query[chosen] + 0.5) * ROW - self.scrolled
                y1 = self.head_room + (of.key[chosen] + 0.5) * ROW - self.scrolled
                ends = zip(y0.tolist(), y1.tolist(), strict=True)
                p.drawLines([QLineF(x0, a, x1, b) for a, b in ends])

    def _marked(self, of: Lines) -> npt.NDArray[np.bool_]:
        """Return which lines are of pairs that are selected or found, (lines,)."""
        picture, marks = self.document.picture, self.document.marks
        assert picture is not None and marks is not None
        query, key = marks.whole
        pairs = of.query * len(picture.key_tokens) + of.key
        marked: npt.NDArray[np.bool_] = query[of.query] | key[of.key] | np.isin(pairs, marks.pairs)
        return marked

    def _paint_watched(self, p: QPainter, picture: Picture, x0: float, x1: float) -> None:
        for i, j in self.document.watched_here:
            weight = float(picture.attention[i, j])
            p.setPen(QPen(self.theme.color("watched"), 1.4 + 2.0 * weight))
            p.drawLine(QPointF(x0, self.row_y(i)), QPointF(x1, self.row_y(j)))

    def _paint_tokens(self, p, picture, lines, area, where) -> None:
        left, right, column = where
        focus, theme = self.document.focus, self.theme
        watched = self.document.watched_here
        first, last = self.rows_in_view(area.height())
        shares = self._shares(lines, focus)
        sides = (
            ("query", picture.query_tokens, left - column, focus.query, {i for i, _ in watched}),
            ("key", picture.key_tokens, right, focus.key, {j for _, j in watched}),
        )
        marks = self.document.marks
        p.setFont(self._font)
        for at, (role, tokens, x, chosen, marked) in enumerate(sides):
            align = Qt.AlignmentFlag.AlignRight if role == "query" else Qt.AlignmentFlag.AlignLeft
            for row in range(first, min(last, len(tokens))):
                y = self.row_y(row)
                text = elided(tokens[row], self._metrics, column - 2 * PAD)
                chip = QRectF(x, y - ROW / 2 + 1, column, ROW - 2)
                p.setPen(Qt.PenStyle.NoPen)
                ink = theme.color("watched" if row in marked else "text")
                share = shares[role].get(row, 0.0)
                if row == chosen:
                    p.setBrush(theme.color(role))
                    p.drawRoundedRect(chip, 3, 3)
                    ink = ink_on(theme.color(role))
                elif share > 0:
                    p.setBrush(theme.color(role, min(0.08 + 0.55 * share, 0.6)))
                    p.drawRoundedRect(chip, 3, 3)
                p.setPen(ink)
                if marks is not None and not marks.lit[at][row] and row != chosen:
                    p.setPen(theme.color("muted", 0.55))
                inner = chip.adjusted(PAD, 0, -PAD, 0)
                p.drawText(inner, align | Qt.AlignmentFlag.AlignVCenter, text)
                if marks is not None:  # a bar at the outer edge
                    edge = chip.left() if at == 0 else chip.right() - 3
                    for of, color, inset in (
                        (marks.selected, "text", 0.0), (marks.found, "found", 4.0),
                    ):  # fmt: skip
                        if of[at][row]:
                            inset = inset if at == 0 else -inset
                            bar = QRectF(edge + inset, chip.top() + 2, 3, chip.height() - 4)
                            p.fillRect(bar, theme.color(color))

    def _shares(self, lines: list[Lines], focus: Focus) -> dict[str, dict[int, float]]:
        """Return how much attention the chosen token's partners have, over the heads' mean."""
        shares: dict[str, dict[int, float]] = {"query": {}, "key": {}}
        if (focus.query is None) == (focus.key is None):
            return shares
        side = "key" if focus.query is not None else "query"
        for of in lines:
            for row, weight in zip(getattr(of, side).tolist(), of.weight.tolist(), strict=True):
                shares[side][row] = shares[side].get(row, 0.0) + weight / len(lines)
        return shares

    def _paint_head(self, p, picture, area, left, right) -> None:
        """Draw the heads' squares and the columns' titles over whatever has scrolled there."""
        theme, small = self.theme, QFontMetricsF(font(SMALL))
        above = QRectF(area.left(), area.top(), area.width(), self.head_room)
        p.fillRect(above, theme.color("ground"))
        p.setFont(font(SMALL))
        self._squares = []
        x, y = area.left() + SIDE, area.top() + 8
        chosen = self.heads
        for head in self.offered:
            if x + SQUARE > area.right() - SIDE + GAP and x > area.left() + SIDE:
                x, y = area.left() + SIDE, y + SQUARE + GAP
            square = QRectF(x, y, SQUARE, SQUARE)
            self._squares.append((head, square))
            if head in chosen:
                color = self.color_of(head)
                p.setPen(QPen(color, 1))
                p.setBrush(color)
                p.drawRoundedRect(square, 3, 3)
                p.setPen(ink_on(color))
            else:
                p.setPen(QPen(theme.color("faint"), 1))
                p.setBrush(Qt.BrushStyle.NoBrush)
                p.drawRoundedRect(square.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
                p.setPen(theme.color("muted"))
            p.drawText(square, Qt.AlignmentFlag.AlignCenter, str(head))
            x += SQUARE + GAP
        p.setPen(theme.color("muted"))
        width, top = small.horizontalAdvance(TITLES[0]) + 8, area.top() + self.head_room - ROW - 2
        middle = Qt.AlignmentFlag.AlignVCenter
        over = QRectF(left - PAD - width, top, width, ROW)
        p.drawText(over, Qt.AlignmentFlag.AlignRight | middle, TITLES[0])
        over = QRectF(right + PAD, top, width, ROW)
        p.drawText(over, Qt.AlignmentFlag.AlignLeft | middle, TITLES[1])

    # -- mouse and keys ----------------------------------------------------------------------

    def square_at(self, position: QPointF) -> int | None:
        """Return the head whose square is under a place."""
        return next((head for head, square in self._squares if square.contains(position)), None)

    def click(self, position: QPointF) -> None:
        """Choose a head, or pin a token."""
        head = self.square_at(position)
        if head is not None:
            self.toggle_head(head)
        else:
            super().click(position)

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Tell about the head or the token under the cursor."""
        picture = self.document.picture
        assert picture is not None
        around = QRectF(position.x() - 10, position.y() - 10, 20, 20)
        head = self.square_at(position)
        if head is not None:
            drawn = "drawn" if head in self.heads else "not drawn"
            return [f"L{picture.layer} H{head}", f"{drawn}; click to change that"], around
        focus = self.focus_at(position)
        if not focus:
            return None
        lines, faint, _ = self.lines(self.viewport().height())
        by_query = focus.query is not None
        said = []
        for of in sorted(lines, key=lambda of: -float(of.weight.max(initial=0)))[:6]:
            if not len(of.weight):
                continue
            best = int(of.weight.argmax())
            other = (of.key if by_query else of.query)[best]
            name = (picture.key_tokens if by_query else picture.query_tokens)[other]
            way = "to" if by_query else "from"
            weight = number(float(of.weight[best]))
            whose = "most" if of.head == MIXED else f"H{of.head}: most"
            said.append(f"{whose} {way} {elided(name, self._metrics, 120)} {weight}")
        token = (picture.query_tokens if by_query else picture.key_tokens)[
            focus.query if focus.query is not None else focus.key or 0
        ]
        about = f"{elided(token, self._metrics, 160)} as {'query' if by_query else 'key'}"
        if faint:
            said.append(f"lines below {self.choices['least']} not drawn: {faint:,}")
        return [about, *said], around

    def move_focus(self, pinned: Focus, down: int, across: int) -> Focus:
        """Return what is pinned after a step, brought into view."""
        moved = super().move_focus(pinned, down, across)
        row = moved.query if down else moved.key
        if row is not None:
            bar = self.verticalScrollBar()
            y = self.row_y(row)
            bottom = self.viewport().height() - ROW
            short = min(y - self.head_room - ROW / 2, 0) + max(y - bottom, 0)
            bar.setValue(round(bar.value() + short))
        return moved


def _layer(picture: Picture) -> tuple[object, ...]:
    """What a choice of heads is of: the model's layers, and which of them."""
    return picture.capture.model_name, picture.capture.layers, picture.layer


def _line(token: str) -> str:
    return " ".join(token.splitlines())


def _stronger(lines: Lines, bound: float) -> Lines:
    kept = lines.weight >= bound
    return Lines(lines.head, lines.query[kept], lines.key[kept], lines.weight[kept])
