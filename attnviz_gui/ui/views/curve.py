"""The objective as a curve over a (or t, or c), or as a map over t and c, to be dragged in.

The curve comes from `answer`, computed through `offload`, and does not depend on where the
sliders stand: in a drag only the point moves. At rest the value at the point is exact.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QPainter, QPen, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from attnviz_gui.geometry.normalization import ShiftMode, shift_range
from attnviz_gui.session.curve import (
    Answer,
    Curve,
    Question,
    answer,
    between,
    reach,
    reach_of_scale,
)
from attnviz_gui.session.offload import Offload, at_once
from attnviz_gui.session.words import number
from attnviz_gui.ui.steady import FRAME_MS, Steady
from attnviz_gui.ui.theme import NORMAL, SMALL, font
from attnviz_gui.ui.views.curve_plot import Plot, diamond

if TYPE_CHECKING:
    from PySide6.QtGui import (
        QFocusEvent,
        QHideEvent,
        QKeyEvent,
        QMouseEvent,
        QPaintEvent,
        QShowEvent,
    )

    from attnviz_gui.geometry.live import LiveHead
    from attnviz_gui.session.corpus import HeadOfTexts
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme

EMPTY = "The objective over a will be drawn here."
POINT = 4.5  # radius of the point
STEP = 1 / 100  # of the range, for an arrow key; ten times as much with Shift
_OLD = 0.35  # opacity of a curve that another is awaited for
_STEP = 16  # pixels to which the room of the title is rounded
_TIP = (
    "How good every a is for the chosen objective; where c matters, every a and c.\n"
    "Drag the green point; arrow keys move it, with Shift ten times as far.\n"
    "The diamond is the best of the range, filled where it lies at an end of it: a wider range\n"
    "may hold a better one. A double click or Enter goes there. Hatched: undefined."
)


class CurveView(QWidget):
    """The objective around the sliders."""

    name = "curve"

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.theme = theme
        # With a ground of its own: else its panel and all around it are painted in every frame.
        self.setAutoFillBackground(True)
        self.offload: Offload = at_once  # of this view's own: newer work replaces what waits
        self.curve: Curve | None = None
        self._widened = 1.0, 1.0  # how many times its first range each slider covers: a, c
        self._first: tuple[LiveHead | HeadOfTexts, ShiftMode, tuple[float, float]] | None = None
        self._waiting: Question | None = None
        self._exact: Answer | None = None
        self._held = False
        self._moved = Steady(self.update, self, FRAME_MS)
        self._tabbed = False  # the keyboard focus came by the keyboard
        self._plot: Plot | None = None
        self._pixmap = QPixmap()  # what stays
        self._shown: object = None  # what that was made for
        self._title_font, self._small = font(NORMAL), font(SMALL)
        self._title_height = QFontMetricsF(self._title_font).height() + 2
        self.setObjectName(self.name)
        self.setAccessibleName("Objective curve")
        self.setToolTip(_TIP)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setMinimumSize(180, 100)
        document.picture_changed.connect(self._follow)
        document.frame_changed.connect(self._on_frame)
        document.settled.connect(self._follow)
        document.objective_changed.connect(self._follow)
        self._follow()

    def sizeHint(self) -> QSize:
        """The width of a column of controls."""
        return QSize(300, 140)

    def stop(self) -> None:
        """Follow the document no longer; the last curve stays."""
        self._let_go()
        d = self.document
        d.picture_changed.disconnect(self._follow, missing_ok=True)
        d.frame_changed.disconnect(self._on_frame, missing_ok=True)
        d.settled.disconnect(self._follow, missing_ok=True)
        d.objective_changed.disconnect(self._follow, missing_ok=True)
        self._waiting = None

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self._redraw()

    def set_objective(self, name: str) -> None:
        """Choose another objective, for the whole document.

        Raises
        ------
        InputError
            When there is no such objective.
        """
        self.document.choose_objective(name)

    def widen(self, shift: float, scale: float) -> None:
        """Show so many times the first range of each slider."""
        self._widened = shift, scale
        self._follow()

    # -- in words ----------------------------------------------------------------------------

    @property
    def stale(self) -> bool:
        """True while the curve is another question's, and the answer is awaited."""
        return self._waiting is not None

    def title(self) -> str:
        """The objective, and its value at the point."""
        value, exact = self._value()
        name = self.document.objective
        if self.document.picture is None:
            return name
        if self.stale:
            return f"{name} …"
        about = "" if exact or math.isnan(value) else "≈ "
        of = " of all texts" if self.document.corpus is not None else ""
        return f"{name}{of} {about}{number(value)}"

    def best_words(self) -> str:
        """The best value of the range, and whether it lies at its end."""
        if self.curve is None or self.curve.best is None or self.stale:
            return ""
        best = self.curve.best
        if not best.edges:
            return f"best {number(best.value)}"
        axes = " and ".join(self._axis(edge) for edge in best.edges)
        return f"best {number(best.value)}, at the end of {axes}"

    def reason(self) -> str:
        """Why there is no value at the point; empty where there is one."""
        if self._exact is not None and self._is_exact():
            return self._exact.reason
        return self.curve.reason if self.curve is not None else ""

    def _axis(self, edge: str) -> str:
        return "a" if edge == "t" and self.document.sliders.mode == "constant" else edge

    def _is_exact(self) -> bool:
        s, exact = self.document.sliders, self._exact
        return exact is not None and exact.curve is self.curve and self._same(exact, s.t, s.scale)

    @staticmethod
    def _same(exact: Answer, t: float, scale: float) -> bool:
        """True where the answer holds for these sliders too: what does not matter may differ."""
        question = exact.curve.question
        same_t = question.mode == "locked" or exact.t == t
        needs_scale = question.is_map or question.mode == "locked"
        return same_t and (not needs_scale or exact.scale == scale)

    def _value(self) -> tuple[float, bool]:
        """Return the objective at the point, and whether it is exact or between samples."""
        if self._exact is not None and self._is_exact():
            return self._exact.value, True
        s = self.document.sliders
        if self.curve is None or not len(self.curve.along):
            return float("nan"), False
        return between(self.curve, s.t, s.scale), False

    # -- following the document --------------------------------------------------------------

    def _on_frame(self) -> None:
        mode = self.document.sliders.mode
        if self.document.dragging and self.curve is not None and self.curve.question.mode == mode:
            self._moved.soon()
        else:
            self._follow()

    def _follow(self) -> None:
        """Ask for the curve and the value at the point, if they can be seen and are not known."""
        picture = self.document.picture
        if picture is None or not self.isVisible():
            self.update()
            return
        s = self.document.sliders
        corpus = self.document.corpus
        live = picture.live if corpus is None else corpus.as_head
        if self._first is None or self._first[:2] != (live, s.mode):
            wide = shift_range(s.mode, live.key if corpus is None else np.zeros(0))
            if corpus is not None and s.mode == "constant":
                wide = -corpus.reach, corpus.reach
            self._first = live, s.mode, wide
        scales = reach_of_scale(s.scale, self._widened[1])
        low, high = scales
        if s.mode != "locked":
            low, high = reach(s.mode, self._first[2], s.t, self._widened[0])
        question = Question(live, self.document.objective, s.mode, low, high, scales)
        if question.same(self._waiting):
            self.update()  # it is on its way; the value at the point is asked for after it
            return
        known = self.curve
        if known is not None and not question.same(known.question):
            known = None
        self._waiting = None if known is not None else question
        if known is None or not self._is_exact():
            t, scale = s.t, s.scale
            self.offload(lambda: answer(question, known, t, scale), self._take)
        self.update()

    def _take(self, found: Answer) -> None:
        """Show an answer, unless another question has been asked since."""
        if self._waiting is not None:
            if not found.curve.question.same(self._waiting):
                return
            self._waiting = None
        elif found.curve is not self.curve:
            return
        self._exact = found
        if found.curve is not self.curve:
            self.curve = found.curve
            self._redraw()
        words = ", ".join(filter(None, (self.title(), self.best_words())))
        self.setAccessibleDescription(words)
        s = self.document.sliders
        if not self.document.dragging and not self._same(found, s.t, s.scale):
            self._follow()
        self.update()

    def _redraw(self) -> None:
        self._plot, self._pixmap = None, QPixmap()
        self.update()

    # -- painting ----------------------------------------------------------------------------

    @property
    def plot(self) -> Plot | None:
        """The curve as it is painted at this size."""
        if self.curve is None or not len(self.curve.along):
            return None
        area = QRectF(self.rect()).adjusted(0, self._title_height, 0, 0)
        if self._plot is None or self._plot.area != area:
            self._plot, self._pixmap = Plot(self.curve, area, self.theme), QPixmap()
        return self._plot

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what stays from its pixmap, and the point and its words over it."""
        p = QPainter(self)
        p.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        if self.document.picture is None:
            p.setFont(self._small)
            p.setPen(self.theme.color("muted"))
            p.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, EMPTY)
        else:
            plot = self.plot
            p.drawPixmap(0, 0, self._still(plot))
            p.setFont(self._title_font)
            p.setPen(self.theme.color("text"))
            p.drawText(QPointF(2, QFontMetricsF(self._title_font).ascent() + 1), self.title())
            if plot is not None:
                self._paint_point(p, plot)
            if self.reason() and not self.stale:
                self._paint_reason(p)
        if self.hasFocus() and self._tabbed:
            p.setPen(QPen(self.theme.color("query"), 1))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5))
        p.end()

    def _still(self, plot: Plot | None) -> QPixmap:
        """Return what no slider moves: the plot, and what is best in it."""
        ratio, words = self.devicePixelRatioF(), self.best_words()
        room = QFontMetricsF(self._title_font).horizontalAdvance(self.title())
        room = math.ceil(room / _STEP) * _STEP  # digits that change leave the rest where it is
        shown = (plot, self.size() * ratio, self.stale, words, room)
        if self._pixmap.isNull() or shown != self._shown:
            self._shown = shown
            self._pixmap = QPixmap(self.size() * ratio)
            self._pixmap.setDevicePixelRatio(ratio)
            self._pixmap.fill(Qt.GlobalColor.transparent)
            p = QPainter(self._pixmap)
            p.setRenderHints(
                QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing
            )
            self._paint_best(p, words, room)
            if plot is not None:
                p.setOpacity(_OLD if self.stale else 1.0)
                plot.paint(p)
            p.end()
        return self._pixmap

    def _paint_best(self, p: QPainter, words: str, taken: float) -> None:
        if not words or self.curve is None or self.curve.best is None:
            return
        row = QRectF(2, 0, self.width() - 4, self._title_height)
        p.setFont(self._small)
        metrics = p.fontMetrics()
        room = int(row.width() - taken - 24)
        if metrics.horizontalAdvance(words) > room:  # the diamond is filled all the same
            words = words.replace("at the end of ", "end of ")
        words = metrics.elidedText(words, Qt.TextElideMode.ElideRight, room)
        p.setPen(self.theme.color("muted"))
        p.drawText(row, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)
        x = row.right() - metrics.horizontalAdvance(words) - 9
        p.setPen(QPen(self.theme.color("text"), 1.4))
        edge = bool(self.curve.best.edges)
        p.setBrush(self.theme.color("text") if edge else Qt.BrushStyle.NoBrush)
        p.drawPolygon(diamond(QPointF(x, row.center().y())))

    def _paint_point(self, p: QPainter, plot: Plot) -> None:
        p.setOpacity(_OLD if self.stale else 1.0)
        at = self.point_at(plot)
        inner = plot.inner
        # Rectangles on whole pixels: a translucent line takes twenty times as long.
        faint = self.theme.color("after", 0.55)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        p.fillRect(QRectF(at.x() - 0.5, inner.top(), 1, inner.height()), faint)
        if plot.is_map:
            p.fillRect(QRectF(inner.left(), at.y() - 0.5, inner.width(), 1), faint)
        p.setRenderHint(QPainter.RenderHint.Antialiasing)
        hollow = math.isnan(self._value()[0])
        p.setPen(QPen(self.theme.color("after" if hollow else "ground"), 1.5))
        p.setBrush(self.theme.color("ground" if hollow else "after"))
        p.drawEllipse(at, POINT, POINT)
        p.setOpacity(1.0)

    def point_at(self, plot: Plot) -> QPointF:
        """Return where the point is; on the axis, where the objective has no value."""
        s = self.document.sliders
        x = plot.x(s.scale if plot.locked else s.t)
        if plot.is_map:
            return QPointF(x, plot.y_of_scale(s.scale))
        value = self._value()[0]
        inner = plot.inner
        if math.isnan(value):
            return QPointF(x, inner.bottom())
        return QPointF(x, min(max(plot.y(value), inner.top()), inner.bottom()))

    def _paint_reason(self, p: QPainter) -> None:
        plot = self.plot
        area = QRectF(self.rect()).adjusted(8, self._title_height, -8, 0)
        if plot is not None:
            area = plot.inner.adjusted(6, 2, -6, -8)
        p.setFont(self._small)
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        words = f"Undefined here: {self.reason()}."
        if self.curve is not None and self.curve.best is None:
            words = f"Undefined: {self.curve.reason}."
        picture = self.document.picture
        if picture is not None and picture.mix is not None:
            words = f"Undefined: a {picture.mix.how} of heads has no queries and keys."
        box = p.boundingRect(area, flags, words)
        p.fillRect(box.adjusted(-4, -2, 4, 2), self.theme.color("window", 0.9))
        p.setPen(self.theme.color("text"))
        p.drawText(area, flags, words)

    # -- mouse and keys ----------------------------------------------------------------------

    def _move_to(self, at: QPointF) -> None:
        plot = self.plot
        if plot is None:
            return
        along = plot.along(at.x())
        if plot.locked:
            self.document.move(scale=along)
        elif plot.is_map:
            self.document.move(t=along, scale=plot.scale(at.y()))
        else:
            self.document.move(t=along)

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self.document.end_drag()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take the point to the mouse."""
        plot = self.plot
        left = event.button() == Qt.MouseButton.LeftButton
        grown = plot.inner.adjusted(-POINT, -POINT, POINT, POINT) if plot is not None else QRectF()
        if not left or self.stale or not grown.contains(event.position()):
            super().mousePressEvent(event)
            return
        self._held = True
        self.document.begin_drag()
        self._move_to(event.position())
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the point."""
        if self._held:
            self._move_to(event.position())
            event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let the point go."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._let_go()
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Go to the best."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.go_to_best()
        event.accept()

    def go_to_best(self) -> None:
        """Move the sliders to the best of the range."""
        curve = self.curve
        if curve is None or curve.best is None or self.stale:
            return
        best = curve.best
        if curve.question.mode == "locked":
            self.document.move(scale=best.scale)
        elif curve.question.is_map:
            self.document.move(t=best.t, scale=best.scale)
        else:
            self.document.move(t=best.t)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the point, Enter takes it to the best; other keys are the window's."""
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        shift = modifiers == Qt.KeyboardModifier.ShiftModifier
        key, curve = event.key(), self.curve
        plain = shift or modifiers == Qt.KeyboardModifier.NoModifier
        if curve is None or not len(curve.along) or self.stale or not plain:
            super().keyPressEvent(event)
            return
        by = STEP * (10 if shift else 1)
        across = {Qt.Key.Key_Left: -by, Qt.Key.Key_Right: by}.get(Qt.Key(key))
        up = {Qt.Key.Key_Down: -by, Qt.Key.Key_Up: by}.get(Qt.Key(key))
        q, s = curve.question, self.document.sliders
        if across is not None and q.mode == "locked":
            self.document.move(scale=s.scale * (q.high / q.low) ** across)
        elif across is not None:
            t = s.t + across * (q.high - q.low)
            self.document.move(t=min(max(t, q.low), q.high))
        elif up is not None and q.is_map:
            self.document.move(scale=s.scale * (q.scales[1] / q.scales[0]) ** up)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.go_to_best()
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    # -- Qt ----------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """It is seen: now the curve is needed."""
        super().showEvent(event)
        self._follow()

    def hideEvent(self, event: QHideEvent) -> None:
        """It is gone: nothing holds the point."""
        self._let_go()
        super().hideEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Say where the keyboard is, if it came by the keyboard."""
        reasons = (Qt.FocusReason.TabFocusReason, Qt.FocusReason.BacktabFocusReason)
        self._tabbed = event.reason() in reasons
        super().focusInEvent(event)
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """The keyboard is elsewhere."""
        super().focusOutEvent(event)
        self.update()
