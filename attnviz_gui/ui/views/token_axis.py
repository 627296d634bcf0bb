"""An axis whose ticks are tokens: as many labels as have room, one item for all of them.

A label stands at the middle of its token's cell or is not drawn at all; labels never overlap and
are never cut off: long ones end in an ellipsis.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QPen

from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.color_scale import ink_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PySide6.QtGui import QPainter

    from attnviz_gui.ui.theme import Theme

GAP = 6.0  # between the labels and the matrix
TICK = 3.0
PAD = 3.0  # around the text of the chosen label
STEPS = (1, 2, 5)


class TokenAxis(pg.AxisItem):
    """Tokens along the left (queries) or the top (keys) of a matrix.

    Cell i reaches from i to i + 1 in the linked view box.

    Parameters
    ----------
    orientation : "left" or "top"
    title : str
        What the tokens are, written beyond them.
    role : str
        The theme's colour of the chosen token.
    """

    def __init__(self, orientation: str, title: str, role: str, theme: Theme) -> None:
        super().__init__(orientation)
        self.enableAutoSIPrefix(False)
        self.title = title
        self.role = role
        self.theme = theme
        self.tokens: tuple[str, ...] = ()
        self.upright = orientation == "left"  # False: keys written from bottom to top
        self.room = 60.0  # pixels along a label
        self.chosen: int | None = None
        self.watched: frozenset[int] = frozenset()
        self._font = font(SMALL)
        self._metrics = QFontMetricsF(self._font)
        self._longest = 0.0
        self._elided: dict[int, str] = {}

    # -- what it shows -----------------------------------------------------------------------

    def set_tokens(self, tokens: Sequence[str]) -> None:
        """Show other tokens."""
        if tuple(tokens) != self.tokens:
            self.tokens = tuple(tokens)
            self._longest = max(map(self._metrics.horizontalAdvance, set(self.tokens)), default=0.0)
            self._elided.clear()
            self.update()

    def set_chosen(self, chosen: int | None) -> None:
        """Light up one token, None for none."""
        if chosen != self.chosen:
            self.chosen = chosen
            self.update()

    def set_watched(self, watched: Iterable[int]) -> None:
        """Mark the tokens of watched pairs."""
        self.watched = frozenset(watched)
        self.update()

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    # -- sizes, in pixels --------------------------------------------------------------------

    @property
    def line(self) -> float:
        """Height of one label."""
        return self._metrics.height()

    def label_length(self, limit: float) -> float:
        """Return the length of the longest label, cut at `limit`."""
        return min(math.ceil(self._longest) + 2 * PAD, limit)

    def fits_upright(self, cell: float) -> bool:
        """Whether all labels have room beside each other in cells of this width."""
        return self._longest + 2 * PAD + 2 <= cell

    def fit(self, room: float, *, upright: bool) -> float:
        """Take labels of this length at most; return how thick the axis is with its title."""
        if (room, upright) != (self.room, self.upright):
            self.room, self.upright = room, upright
            self._elided.clear()
            self.update()
        along = self.line if upright and self.orientation == "top" else room
        thickness = math.ceil(GAP + along + 2 + self.line)
        if self.orientation == "left":
            self.setWidth(thickness)
        else:
            self.setHeight(thickness)
        return thickness

    # -- which labels ------------------------------------------------------------------------

    def cell(self) -> float:
        """Return the size of a cell in pixels."""
        size = self.geometry().size()
        length = size.height() if self.orientation == "left" else size.width()
        return length / max(abs(self.range[1] - self.range[0]), 1e-9)

    def place(self, index: int) -> float:
        """Return where the middle of a cell is, in pixels from the axis' beginning."""
        return (index + 0.5 - min(self.range)) * self.cell()

    def shown(self) -> list[int]:
        """Return the tokens that are labelled: the chosen, the watched, then every k-th."""
        low, high = sorted(self.range)
        first = max(math.ceil(low - 0.5 - 1e-6), 0)
        last = min(math.floor(high - 0.5 + 1e-6), len(self.tokens) - 1)
        inside = range(first, last + 1)
        cell = self.cell()
        need = self.line
        if self.upright and self.orientation == "top":
            need = min(self._longest, self.room) + 2 * PAD + 2
        step = self.step(need / cell)
        apart = need / cell - 1e-9  # least distance of two labels, in cells
        taken: list[int] = []

        def take(index: int) -> None:
            if index in inside and all(abs(index - other) >= apart for other in taken):
                taken.append(index)

        for index in ([] if self.chosen is None else [self.chosen]) + sorted(self.watched):
            take(index)
        special = list(taken)
        for index in range(-(-first // step) * step, last + 1, step):
            if all(abs(index - other) >= apart for other in special):
                taken.append(index)
        return sorted(taken)

    @staticmethod
    def step(cells: float) -> int:
        """Return the least of 1, 2, 5, 10, 20 ... that is not below `cells`."""
        decade = 1
        while True:
            for first in STEPS:
                if first * decade >= cells:
                    return first * decade
            decade *= 10

    def text(self, index: int) -> str:
        """Return a token as its label writes it, with an ellipsis where it is too long."""
        text = self._elided.get(index)
        if text is None:
            line = " ".join(self.tokens[index].splitlines())
            room = self.room - 2 * PAD
            text = self._metrics.elidedText(line, Qt.TextElideMode.ElideRight, room)
            self._elided[index] = text
        return text

    # -- drawing -----------------------------------------------------------------------------

    def boundingRect(self) -> QRectF:
        """The axis, and half a label beyond its ends."""
        return self.mapRectFromParent(self.geometry()).adjusted(-16, -16, 16, 16)

    def paint(self, p: QPainter, opt: object, widget: object) -> None:
        """Draw the title and the labels that have room."""
        size = self.geometry().size()
        width, height = size.width(), size.height()
        left = self.orientation == "left"
        p.setFont(self._font)
        p.setPen(self.theme.color("muted"))
        center = Qt.AlignmentFlag.AlignCenter
        if left:
            p.save()
            p.translate(0, height)
            p.rotate(-90)
            p.drawText(QRectF(0, 0, height, self.line), center, self.title)
            p.restore()
        else:
            p.drawText(QRectF(0, 0, width, self.line), center, self.title)
        shown = self.shown()
        thinned = len(shown) < len(self.tokens) and self.step(self.line / self.cell()) > 1
        for index in shown:
            at = self.place(index)
            p.save()
            p.translate(QPointF(width, round(at)) if left else QPointF(round(at), height))
            if thinned:  # several cells share a label: say which one it means
                p.setPen(QPen(self.theme.color("muted"), 1))
                p.drawLine(QPointF(-TICK, 0) if left else QPointF(0, -TICK), QPointF(0, 0))
            self._label(p, index, left=left)
            p.restore()

    def _label(self, p: QPainter, index: int, *, left: bool) -> None:
        # The painter's origin is where the middle of the cell meets the matrix.
        text = self.text(index)
        width = self._metrics.horizontalAdvance(text)
        if left:
            start = -GAP - PAD - width
        elif self.upright:
            start = -width / 2
        else:
            p.rotate(-90)
            start = GAP + PAD
        middle = -GAP - self.line / 2 if self.upright and not left else 0.0
        # On whole pixels: between them small Chinese characters turn to blots.
        baseline = round(middle + (self._metrics.ascent() - self._metrics.descent()) / 2)
        if index == self.chosen:
            color = self.theme.color(self.role)
            pill = QRectF(start, middle - self.line / 2, width, self.line)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(color)
            p.drawRoundedRect(pill.adjusted(-PAD, 0, PAD, 0), 3, 3)
            p.setPen(ink_on(color))
        else:
            p.setPen(self.theme.color("watched" if index in self.watched else "text"))
        p.drawText(QPointF(round(start), baseline), text)

    # -- the mouse belongs to the view: one axis alone is neither moved nor stretched -----------

    def wheelEvent(self, event) -> None:
        """Leave the wheel to others."""
        event.ignore()

    def mouseDragEvent(self, event) -> None:
        """Leave drags to others."""
        event.ignore()

    def mouseClickEvent(self, event) -> None:
        """Leave clicks to others."""
        event.ignore()
