"""The text as a strip of tokens, each filled by the attention that the chosen query pays it.

With a query chosen, a token's fill says how much attention it gets as a key. With a key alone, how
much attention each token pays that key as a query. Where queries and keys are not the same tokens,
as in cross attention, each has a strip of its own. Painted by hand: no widget for each token.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QSizePolicy, QToolTip

from attnviz_gui.session.words import number
from attnviz_gui.ui.theme import NORMAL, SMALL, font
from attnviz_gui.ui.views.color_scale import ColorScale, color_scale, ink_on, mix

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PySide6.QtGui import (
        QFocusEvent,
        QHelpEvent,
        QKeyEvent,
        QMouseEvent,
        QPaintEvent,
        QResizeEvent,
    )
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.session.selection import Marks
    from attnviz_gui.ui.theme import Theme

ROWS = 3  # rows before the strip scrolls
ROWS_OF_TWO = 2  # where there are two strips
GAP = 4.0  # between tokens
MARGIN = GAP  # so that nothing of the rows scrolled away shows
SIDE = 8.0  # left and right of the rows
PAD = 7.0  # left and right of a token's text
WIDEST = 220.0  # pixels of text, then an ellipsis
EMPTY = "The tokens of your text will stand here."
MASKED = "masked: no attention is allowed"

Side = Literal["query", "key"]
NAMES = {"query": "queries", "key": "keys"}


class TokenStrip(QAbstractScrollArea):
    """The visible tokens in reading order; hover and click choose a query.

    The strip of the other `side` is hidden while queries and keys are the same tokens. Else it
    shows the keys, hover and click choose one of them, and each strip shades its own side alone.
    """

    def __init__(
        self,
        document: Document,
        theme: Theme,
        parent: QWidget | None = None,
        *,
        side: Side = "query",
    ) -> None:
        super().__init__(parent)
        self.side: Side = side
        self._apart = False  # queries and keys have a strip each
        self.document = document
        self.theme = theme
        self.setObjectName("token_strip" if side == "query" else "key_strip")
        self.setAccessibleName("Tokens" if side == "query" else "Tokens that are attended to")
        what = "what it attends to" if side == "query" else "what attends to it"
        self.setToolTip(
            f"Hover over a token to see {what}: the strongest is filled whole. "
            "Click to keep it, Shift+Left and Shift+Right to move on."
        )
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setMouseTracking(True)
        self._font = font(NORMAL)
        self._metrics = QFontMetricsF(self._font)
        small = QFontMetricsF(font(SMALL))
        self._label_width = max(map(small.horizontalAdvance, NAMES.values())) + SIDE
        self._tokens: tuple[str, ...] = ()
        self._texts: list[str] = []
        self._widths: list[float] = []
        self._lefts: list[float] = []  # of each chip, in its row
        self._firsts: list[int] = [0]  # the first chip of each row
        self._tabbed = False  # the keyboard focus came by the keyboard
        self._marked = False  # chips are selected or found, as last painted
        self._shaded = False  # chips bear a head's attention, as last painted
        self._hinted = 1  # rows that sizeHint has made room for
        if side == "key":
            self.hide()

    # -- following the document --------------------------------------------------------------

    def start(self) -> None:
        """Draw for the first time, and follow the document from now on."""
        d = self.document
        d.picture_changed.connect(self._picture_changed)
        d.focus_changed.connect(self._focus_changed)
        d.watched_changed.connect(self._repaint)
        d.options_changed.connect(self._repaint)
        d.selection_changed.connect(self._repaint)
        d.found_changed.connect(self._repaint)
        self._picture_changed()

    def stop(self) -> None:
        """Follow the document no longer; the last picture stays."""
        d = self.document
        d.picture_changed.disconnect(self._picture_changed, missing_ok=True)
        d.focus_changed.disconnect(self._focus_changed, missing_ok=True)
        d.watched_changed.disconnect(self._repaint, missing_ok=True)
        d.options_changed.disconnect(self._repaint, missing_ok=True)
        d.selection_changed.disconnect(self._repaint, missing_ok=True)
        d.found_changed.disconnect(self._repaint, missing_ok=True)

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self._repaint()

    def _picture_changed(self) -> None:
        picture = self.document.picture
        tokens = () if picture is None else self._tokens_of(picture)
        apart = picture is not None and picture.two_sided
        if tokens != self._tokens or apart != self._apart:
            self._tokens, self._apart = tokens, apart
            fitted = {token: self._fit(token) for token in set(tokens)}
            self._texts = [fitted[token][0] for token in tokens]
            self._widths = [fitted[token][1] for token in tokens]
            self._lay_out()
            self.verticalScrollBar().setValue(0)
            if self.side == "key":
                self.setVisible(apart)
        elif not self._shaded and not self._marked and not self.document.focus:
            return  # plain chips are the same for every head
        self._repaint()

    def _tokens_of(self, picture: Picture) -> tuple[str, ...]:
        if self.side == "query":
            return picture.query_tokens
        return picture.key_tokens if picture.two_sided else ()

    def _fit(self, token: str) -> tuple[str, float]:
        """What is written for a token, and the width of its chip."""
        text = " ".join(token.splitlines())
        width = self._metrics.horizontalAdvance(text)
        if width > WIDEST:
            text = self._metrics.elidedText(text, Qt.TextElideMode.ElideRight, WIDEST)
            width = self._metrics.horizontalAdvance(text)
        return text, round(max(width, 6) + 2 * PAD)

    def _focus_changed(self) -> None:
        pinned, focus = self.document.pinned, self.document.focus
        if self._apart:
            chosen = focus.query if self.side == "query" else focus.key
        else:
            chosen = focus.query if focus.query is not None else focus.key
        if not self._tokens:
            return
        # Only what was clicked is brought into view: nothing moves under a hovering mouse.
        if focus == pinned and chosen is not None:
            self._bring_into_view(chosen)
        self.setAccessibleDescription(
            "" if chosen is None else ". ".join(self.tip(chosen).splitlines())
        )
        self._repaint()

    def _repaint(self) -> None:
        self.viewport().update()

    # -- what a token's fill means -----------------------------------------------------------

    def weights(self) -> npt.NDArray[np.float32] | None:
        """Return each token's fill from 0 to 1, (T,); None when nothing is chosen."""
        values = self._values()
        picture = self.document.picture
        if values is None or picture is None:
            return None
        if self.document.options.color_scale == "logarithmic":
            return color_scale("logarithmic", 1.0, len(picture.source.key)).place(values)
        return ColorScale(0.0, float(values.max()) or 1.0).place(values)

    def _values(self) -> npt.NDArray[np.float32] | None:
        picture, focus = self.document.picture, self.document.focus
        if picture is None or not focus:
            return None
        row = self._shades_keys
        if row is None:
            return None
        return picture.attention[focus.query] if row else picture.attention[:, focus.key]

    @property
    def _shades_keys(self) -> bool | None:
        """True where tokens are filled as keys, False where as queries, None where not at all."""
        focus = self.document.focus
        if not self._apart:
            return focus.query is not None
        chosen = focus.key if self.side == "query" else focus.query
        return None if chosen is None else self.side == "key"

    def tip(self, index: int) -> str:
        """Return what the tooltip of a token says."""
        picture, focus = self.document.picture, self.document.focus
        if picture is None:
            return ""
        places = picture.query_index if self.side == "query" else picture.key_index
        lines = [self._tokens[index], f"position {places[index]}"]
        values = self._values()
        if values is not None:
            words = (
                f"attention from {picture.query_tokens[focus.query or 0]}"
                if self._shades_keys
                else f"attention to {picture.key_tokens[focus.key or 0]}"
            )
            value = f"{words}: {number(float(values[index]))}"
            lines.append(value if self._allowed()[index] else MASKED)
        return "\n".join(lines)

    # -- where the tokens are ----------------------------------------------------------------

    @property
    def line(self) -> int:
        """Height of a row with the gap below it."""
        return round(self._metrics.height() + 8 + GAP)

    @property
    def rows(self) -> int:
        """Number of rows at the present width."""
        return len(self._firsts)

    def sizeHint(self) -> QSize:
        """Room for all rows up to `ROWS`, of two strips up to `ROWS_OF_TWO` each."""
        return QSize(400, self._height(self._hinted))

    def minimumSizeHint(self) -> QSize:
        """Room for one row."""
        return QSize(120, self._height(1))

    def _height(self, rows: int) -> int:
        return round(rows * self.line - GAP + 2 * MARGIN)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break the rows anew."""
        super().resizeEvent(event)
        self._lay_out()

    def _lay_out(self) -> None:
        room = self.viewport().width() - SIDE
        left = SIDE + (self._label_width if self._apart else 0)
        self._lefts, self._firsts = [], [0]
        x = left
        for i, width in enumerate(self._widths):
            if x + width > room and x > left:
                self._firsts.append(i)
                x = left
            self._lefts.append(x)
            x += width + GAP
        bar = self.verticalScrollBar()
        bar.setPageStep(self.viewport().height())
        bar.setSingleStep(self.line)
        bar.setRange(0, max(self._height(self.rows) - self.viewport().height(), 0))
        most = ROWS_OF_TWO if self._apart else ROWS
        if (shown := min(self.rows, most)) != self._hinted:
            self._hinted = shown
            self.updateGeometry()

    def _row_of(self, index: int) -> int:
        return bisect_right(self._firsts, index) - 1

    def chip(self, index: int) -> QRectF:
        """Return where a token is in the viewport."""
        top = MARGIN + self._row_of(index) * self.line - self.verticalScrollBar().value()
        return QRectF(self._lefts[index], top, self._widths[index], self.line - GAP)

    def token_at(self, position: QPointF) -> int | None:
        """Return the token at a place of the viewport; the gaps belong to the nearer one."""
        y = position.y() + self.verticalScrollBar().value() - MARGIN + GAP / 2
        row = int(y // self.line)
        if not self._tokens or not 0 <= row < self.rows:
            return None
        first = self._firsts[row]
        last = self._firsts[row + 1] if row + 1 < self.rows else len(self._tokens)
        x = position.x() + GAP / 2
        index = bisect_right(self._lefts, x, first, last) - 1
        if index < first or x > self._lefts[index] + self._widths[index] + GAP:
            return None
        return index

    def _bring_into_view(self, index: int) -> None:
        chip, bar = self.chip(index), self.verticalScrollBar()
        over = min(chip.top() - MARGIN, 0)
        under = max(chip.bottom() + MARGIN - self.viewport().height(), 0)
        bar.setValue(bar.value() + round(over or under))

    # -- drawing -----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the rows that can be seen."""
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.viewport().rect(), self.theme.color("window"))
        painter.setFont(self._font)
        if self._tokens:
            if self._apart:
                self._draw_label(painter)
            self._draw_rows(painter)
        else:
            painter.setPen(self.theme.color("muted"))
            area = self.viewport().rect().adjusted(int(SIDE), 0, -int(SIDE), 0)
            painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, EMPTY)
        if self._tabbed and self.hasFocus():
            painter.setPen(QPen(self.theme.color("muted"), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(self.viewport().rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        painter.end()

    def _draw_label(self, painter: QPainter) -> None:
        """Write beside the first row which side this is."""
        painter.setFont(font(SMALL))
        painter.setPen(self.theme.color("muted"))
        first = self.chip(0)
        area = QRectF(SIDE, first.top(), self._label_width, first.height())
        painter.drawText(area, Qt.AlignmentFlag.AlignVCenter, NAMES[self.side])
        painter.setFont(self._font)

    def _draw_rows(self, painter: QPainter) -> None:
        weights = self.weights()
        allowed = None if weights is None else self._allowed()
        self._shaded = weights is not None
        watched = {
            index
            for pair in self.document.watched_here
            for index in (pair if not self._apart else pair[self.side == "key" :][:1])
        }
        marks = self.document.marks
        self._marked = marks is not None
        top = self.verticalScrollBar().value() - MARGIN
        first = max(int(top // self.line), 0)
        last = min(int((top + self.viewport().height()) // self.line), self.rows - 1)
        end = self._firsts[last + 1] if last + 1 < self.rows else len(self._tokens)
        for index in range(self._firsts[first], end):
            weight = None
            if weights is not None and allowed is not None and allowed[index]:
                weight = float(weights[index])
            self._draw_chip(painter, index, weight, faded=weights is not None and weight is None)
            if marks is not None:
                self._draw_marks(painter, index, marks)
            if index in watched:
                chip = self.chip(index)
                painter.setPen(QPen(self.theme.color("watched"), 2))
                y = chip.bottom() - 3
                painter.drawLine(
                    QPointF(chip.left() + PAD - 1, y), QPointF(chip.right() - PAD + 1, y)
                )

    def _draw_marks(self, painter: QPainter, index: int, marks: Marks) -> None:
        """Mark a token that is selected or found, let another one fade.

        The bar above it is at the left as a query, at the right as a key, whole as both.
        """
        sides = (0, 1) if not self._apart else (int(self.side == "key"),)
        chip = self.chip(index)
        if not any(marks.lit[side][index] for side in sides):
            painter.fillRect(chip, self.theme.color("window", 0.62))
            return
        for of, role, down in ((marks.selected, "text", 1.0), (marks.found, "found", 4.0)):
            part = (chip.width() - 6) / len(sides)
            for place, side in enumerate(sides):
                if of[side][index]:
                    bar = QRectF(chip.left() + 3 + place * part, chip.top() + down, part, 3)
                    painter.fillRect(bar, self.theme.color(role))

    def _allowed(self) -> npt.NDArray[np.bool_]:
        """Which tokens the mask allows to play their part, (T,)."""
        picture, focus = self.document.picture, self.document.focus
        assert picture is not None
        if self._shades_keys:
            return picture.mask[focus.query or 0]
        return picture.mask[:, focus.key or 0]

    def _draw_chip(
        self, painter: QPainter, index: int, weight: float | None, *, faded: bool
    ) -> None:
        theme, focus = self.theme, self.document.focus
        # Tokens take the colour of the part they play: keys of a query, queries of a key.
        role = "key" if self._shades_keys else "query"
        fill = mix(theme.color("ground"), theme.color(role), weight or 0.0)
        chip = self.chip(index)
        painter.setBrush(fill)
        painter.setPen(QPen(theme.color("faint"), 1))
        painter.drawRoundedRect(chip.adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        inset = 1.0
        for chosen, outline in ((focus.query, "query"), (focus.key, "key")):
            if index == chosen and (not self._apart or outline == self.side):
                painter.setPen(QPen(theme.color(outline), 2))
                edge = chip.adjusted(inset, inset, -inset, -inset)
                painter.drawRoundedRect(edge, 4, 4)
                inset += 2.5  # a token that is both has two outlines
        painter.setPen(theme.color("muted") if faded else ink_on(fill))
        baseline = chip.center().y() + (self._metrics.ascent() - self._metrics.descent()) / 2
        painter.drawText(QPointF(round(chip.left() + PAD), round(baseline)), self._texts[index])

    # -- mouse and keys ----------------------------------------------------------------------

    def viewportEvent(self, event: QEvent) -> bool:
        """Show the tooltip of the token under the mouse; hover nothing once it has gone."""
        if event.type() == QEvent.Type.Leave:
            self.document.hover()
        if event.type() == QEvent.Type.ToolTip:
            return self._show_tip(event)  # type: ignore[arg-type]
        return super().viewportEvent(event)

    def _show_tip(self, event: QHelpEvent) -> bool:
        index = self.token_at(QPointF(event.pos()))
        if index is None:
            return False
        QToolTip.showText(event.globalPos(), self.tip(index), self.viewport())
        return True

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up the token under the mouse as query, in the strip of keys as key."""
        self.document.hover(**{self.side: self.token_at(event.position())})

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pin the token under the mouse, or let go of it."""
        index = self.token_at(event.position())
        if index is not None and event.button() == Qt.MouseButton.LeftButton:
            self.document.pin(**{self.side: index})

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Shift and Left or Right move what is pinned; all else is left to the window."""
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if step is None or plain != Qt.KeyboardModifier.ShiftModifier or not self._tokens:
            event.ignore()
            return
        event.accept()
        both = self.document.pinned
        pinned, other = (both.query, both.key)[:: 1 if self.side == "query" else -1]
        index = 0 if pinned is None else min(max(pinned + step, 0), len(self._tokens) - 1)
        if index != pinned or other is not None:
            self.document.pin(**{self.side: index})
            self._bring_into_view(index)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """Draw the other rows."""
        self._repaint()

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show that the keys go here, to those who came by keys."""
        super().focusInEvent(event)
        self._tabbed = event.reason() in (
            Qt.FocusReason.TabFocusReason,
            Qt.FocusReason.BacktabFocusReason,
        )
        self._repaint()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The keys go elsewhere."""
        super().focusOutEvent(event)
        self._repaint()
