"""What the views have in common that paint themselves, without pyqtgraph's scene.

As `base.View`: a function of the document and a theme, that reads the document and writes to it and
knows no other view. Everything is painted in one pass, so that what is out of sight costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFontMetricsF, QHelpEvent, QPainter
from PySide6.QtWidgets import QAbstractScrollArea, QFrame

from attnviz_gui.session.document import Focus
from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.base import EMPTY, RUNNING, paint_sentence
from attnviz_gui.ui.views.readout import Readout

if TYPE_CHECKING:
    from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme

STILL = 4  # pixels that a click may move
STEPS = {
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
}


@dataclass(frozen=True)
class Choosable:
    """Something about a view that is chosen in its panel; no matter of the document.

    Attributes
    ----------
    name, accessible
        What it is called in code, and by a screen reader.
    entries : tuple of (value, words, tooltip)
        The first is chosen at first.
    """

    name: str
    accessible: str
    entries: tuple[tuple[str, str, str], ...]


def first_choices(choosable: tuple[Choosable, ...]) -> dict[str, str]:
    """Return what is chosen at first."""
    return {one.name: one.entries[0][0] for one in choosable}


class PaintedView(QAbstractScrollArea):
    """A view that paints itself.

    A subclass overrides `paint`, `title`, `numbers`, and where it needs them `sentence`,
    `height_of`, `focus_at`, `describe` and `draw_picture`.
    """

    titled = Signal()  # title() or numbers() may say something new
    menu_wanted = Signal(QPoint)  # where on the screen
    name = "painted"
    normalised = False  # a and c change the picture
    choosable: ClassVar[tuple[Choosable, ...]] = ()
    empty = EMPTY

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.theme = theme
        self.choices = first_choices(self.choosable)
        self.setObjectName(self.name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.viewport().setMouseTracking(True)
        self.readout = Readout(theme, self)
        self._pressed: QPointF | None = None
        self._first = 0.0  # pixels that are scrolled away, kept while the view is resized
        self.verticalScrollBar().valueChanged.connect(self._scrolled)

    def start(self) -> None:
        """Draw for the first time, and follow the document from now on."""
        for signal, slot in self._slots():
            signal.connect(slot)
        self.retheme(self.theme)
        self._picture_changed()

    def stop(self) -> None:
        """Follow the document no longer; the last picture stays."""
        for signal, slot in self._slots():
            signal.disconnect(slot, missing_ok=True)

    def _slots(self):
        d = self.document
        moved = self._frame_changed if self.normalised else self._nothing
        return (
            (d.picture_changed, self._picture_changed),
            (d.frame_changed, moved),
            (d.settled, moved),
            (d.focus_changed, self._focus_changed),
            (d.watched_changed, self._repaint),
            (d.selection_changed, self._repaint),
            (d.found_changed, self._repaint),
            (d.options_changed, self._options_changed),
        )

    # -- for subclasses ----------------------------------------------------------------------

    def title(self) -> str:
        """What is shown, in words."""
        return ""

    def numbers(self) -> str:
        """The numbers that matter, for the right end of the title."""
        return ""

    def sentence(self) -> str:
        """Why nothing can be shown of the document's picture; empty where it can."""
        return ""

    def paint(self, p: QPainter, area: QRectF) -> None:
        """Draw into `area`, of which `scrolled` pixels are above it."""

    def height_of(self, width: float) -> float:
        """Return how high the whole is at a width; 0 for what fits into any area."""
        return 0.0

    def draw_picture(self) -> None:
        """Take another head, text or set of visible tokens."""

    def draw_focus(self) -> None:
        """Take another focus; what is seen is painted anew in any case."""

    def focus_at(self, position: QPointF) -> Focus:
        """Return the tokens under a place."""
        return Focus()

    def describe(self, position: QPointF) -> tuple[list[str], QRectF] | None:
        """Return lines about what is under a place, and what they are not to cover."""
        return None

    # -- choices -----------------------------------------------------------------------------

    def choose(self, name: str, value: str) -> None:
        """Choose something about this view."""
        if self.choices[name] != value:
            self.choices[name] = value
            self.draw_picture()
            self._repaint()
            self.titled.emit()

    def like(self, other: PaintedView) -> None:
        """Take the choices of another view of the same kind: what is exported is what is seen."""
        self.choices = dict(other.choices)
        self._first = other._first

    @property
    def scrolled(self) -> float:
        """Pixels of the whole that are above what is seen."""
        return float(self.verticalScrollBar().value())

    # -- following the document --------------------------------------------------------------

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self.readout.set_theme(theme)
        self._repaint()

    def say_running(self, running: bool) -> None:
        """While there is no picture yet, say whether one is on its way."""
        self.empty = RUNNING if running else EMPTY
        self._repaint()

    def _picture_changed(self) -> None:
        self.readout.hide()
        if self.document.picture is not None:
            self.draw_picture()
        self._measure()
        self._repaint()
        self.titled.emit()

    def _frame_changed(self) -> None:
        self._repaint()
        self.titled.emit()

    def _nothing(self) -> None:
        pass

    def _focus_changed(self) -> None:
        if self.document.picture is not None:
            self.draw_focus()
            self._repaint()
            self.titled.emit()

    def _options_changed(self) -> None:
        self._repaint()
        self.titled.emit()

    def _repaint(self) -> None:
        self.viewport().update()

    def _scrolled(self) -> None:
        self._first = self.scrolled
        self.readout.hide()
        self.draw_focus()
        self._repaint()

    def _measure(self) -> None:
        """Fit the scroll bar to what there is."""
        view, bar = self.viewport(), self.verticalScrollBar()
        shown = self.document.picture is not None and not self.sentence()
        whole = self.height_of(view.width()) if shown else 0.0
        first = self._first
        bar.setRange(0, max(round(whole - view.height()), 0))
        bar.setPageStep(view.height())
        bar.setSingleStep(20)
        bar.setValue(round(first))

    # -- painting ----------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the view, or a sentence in its place."""
        p = QPainter(self.viewport())
        p.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        self.paint_all(p, QRectF(self.viewport().rect()))
        p.end()

    def paint_all(self, p: QPainter, area: QRectF) -> None:
        """Draw the ground, and the view or a sentence in its place."""
        p.fillRect(area, self.theme.color("ground"))
        words = self.empty if self.document.picture is None else self.sentence()
        if words:
            paint_sentence(p, area, words, self.theme)
            return
        if area.width() >= 40 and area.height() >= 40:
            p.setFont(font(SMALL))
            self.paint(p, area)

    def render(self, painter, target, source) -> None:  # type: ignore[override]
        """Draw into another painter, as the views that are scenes do: a figure asks for it."""
        painter.save()
        painter.translate(target.topLeft() - QPointF(source.topLeft()))
        painter.setClipRect(QRectF(source))
        self.paint_all(painter, QRectF(source))
        painter.restore()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the scroll bar anew."""
        super().resizeEvent(event)
        self._measure()

    # -- mouse and keys ----------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Light up what is under the cursor, and tell about it."""
        if self.document.picture is None or self.sentence():
            return
        self.point(event.position())
        event.accept()

    def point(self, position: QPointF) -> None:
        """Take the cursor to be at a place."""
        self.light(self.focus_at(position))
        told = self.describe(position)
        if told is None:
            self.readout.hide()
        else:
            lines, avoid = told
            self.readout.say(lines, avoid.toAlignedRect())

    def light(self, focus: Focus) -> None:
        """Light up what the cursor is on."""
        self.document.hover(focus.query, focus.key)

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone: nothing is hovered."""
        self.readout.hide()
        self.document.hover()
        super().leaveEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a click."""
        self._pressed = event.position() if event.button() == Qt.MouseButton.LeftButton else None
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Pin what was clicked, or let go of it."""
        pressed, self._pressed = self._pressed, None
        event.accept()
        if pressed is None or (event.position() - pressed).manhattanLength() > STILL:
            return
        if self.document.picture is not None and not self.sentence():
            self.click(event.position())

    def click(self, position: QPointF) -> None:
        """Take a click at a place."""
        if focus := self.focus_at(position):
            self.document.pin(focus.query, focus.key)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Keep a double click, which on a dock's title would mean something else."""
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the panel's menu; what is under the mouse stays lit for it."""
        focus = self.document.focus
        if focus != self.document.pinned:
            self.document.pin(focus.query, focus.key)
        self.menu_wanted.emit(event.globalPos())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Shift and an arrow move what is pinned; all else is left to the window."""
        step = STEPS.get(Qt.Key(event.key()))
        plain = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if (
            step is None
            or plain != Qt.KeyboardModifier.ShiftModifier
            or self.document.picture is None
        ):
            event.ignore()
            return
        event.accept()
        pinned = self.document.pinned
        moved = self.move_focus(pinned, *step)
        if moved and moved != pinned:  # pinning the same again would let go
            self.document.pin(moved.query, moved.key)

    def move_focus(self, pinned: Focus, down: int, across: int) -> Focus:
        """Return the tokens that are pinned after a step; up and down queries, across keys."""
        picture = self.document.picture
        assert picture is not None
        rows, columns = len(picture.query_tokens), len(picture.key_tokens)
        i, j = pinned.query, pinned.key
        if down:
            i = 0 if i is None else min(max(i + down, 0), rows - 1)
        if across:
            j = 0 if j is None else min(max(j + across, 0), columns - 1)
        return Focus(i, j)

    def viewportEvent(self, event: QEvent) -> bool:
        """Where the readout speaks, a tooltip would cover it."""
        if isinstance(event, QHelpEvent) and self.readout.isVisible():
            return True
        return super().viewportEvent(event)


def elided(text: str, metrics: QFontMetricsF, room: float) -> str:
    """Return a token on one line, with an ellipsis where it is too long."""
    line = " ".join(text.splitlines()) or "␣"
    return metrics.elidedText(line, Qt.TextElideMode.ElideRight, room)
