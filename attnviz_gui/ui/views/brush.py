"""Brushing on a view: the mouse draws a rectangle or a lasso, and the view says what is in it.

The same on every view, whatever it draws; never looks at the points of a view itself.

With the tool that moves, a modifier key and a drag make a rectangle; with the others a plain drag
selects anew. A click without a drag stays what it is without a brush.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QApplication, QWidget

from attnviz_gui.ui.theme import NORMAL, font
from attnviz_gui.ui.views.region import Region

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from attnviz_gui.session.selection import How
    from attnviz_gui.ui.views.base import View

Tool = Literal["move", "rectangle", "lasso"]

LEAST = 4.0  # pixels that the mouse goes before a click becomes a brush
APART = 1.5  # pixels between two corners of a lasso
SIGNS: dict[How, str] = {"replace": "", "add": "+", "remove": "−", "toggle": "±"}
HELP = (
    "Shift+drag adds a rectangle to the selection, Ctrl+drag (or Alt) takes one away, both keys "
    "together toggle. With the tools Rectangle and Lasso a plain drag selects anew. Esc cancels."
)
_SHIFT = Qt.KeyboardModifier.ShiftModifier
_TAKE = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier


def how_of(modifiers: Qt.KeyboardModifier) -> How:
    """Return what the keys that are held make of a brush."""
    if modifiers & _TAKE:
        return "toggle" if modifiers & _SHIFT else "remove"
    return "add" if modifiers & _SHIFT else "replace"


class Outline(QWidget):
    """The brush while it is drawn: a sheet over the view that mice pass through."""

    def __init__(self, view: View) -> None:
        super().__init__(view.viewport())
        self._view = view
        self.points: list[QPointF] = []
        self.rectangle = True
        self.sign = ""
        self.setObjectName("brush_outline")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.hide()

    def begin(self, at: QPointF, *, rectangle: bool, sign: str) -> None:
        """Show a new outline."""
        self.points, self.rectangle, self.sign = [at], rectangle, sign
        self.setGeometry(self._view.viewport().rect())
        self.show()
        self.raise_()

    def reach(self, to: QPointF) -> None:
        """Go on to a place."""
        before = self._dirty()
        if self.rectangle:
            self.points[1:] = [to]
        elif (to - self.points[-1]).manhattanLength() >= APART:
            self.points.append(to)
        self.update((before | self._dirty()).toAlignedRect())

    def _dirty(self) -> QRectF:
        area = QPolygonF(self.points).boundingRect()
        return area.adjusted(-4, -4, 28, 28)

    def region(self) -> Region | None:
        """Return what it goes around, None where that is nothing."""
        if len(self.points) < (2 if self.rectangle else 3):
            return None
        return Region(tuple((p.x(), p.y()) for p in self.points), self.rectangle)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw a dashed line with a pale filling, and what the brush does."""
        theme = self._view.theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, not self.rectangle)
        pens = QPen(theme.color("ground"), 3), QPen(theme.color("text"), 1, Qt.PenStyle.DashLine)
        for pen, brush in zip(
            pens, (theme.color("text", 0.08), Qt.BrushStyle.NoBrush), strict=True
        ):
            painter.setPen(pen)
            painter.setBrush(brush)
            if self.rectangle and len(self.points) > 1:
                box = QRectF(self.points[0], self.points[1]).normalized()
                painter.drawRect(box.toRect())
            else:
                painter.drawPolygon(QPolygonF(self.points))
        if self.sign:
            painter.setFont(font(NORMAL, bold=True))
            painter.setPen(theme.color("text"))
            painter.drawText(self.points[-1] + QPointF(12, 20), self.sign)
        painter.end()


class Brush(QObject):
    """Listens to a view's mouse, and selects in the document what the view finds in the outline."""

    brushed = Signal()  # something was selected, or nothing where nothing was there

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.view = view
        self._tool: Tool = "move"
        self._pressed: QMouseEvent | None = None
        self._passing = False  # a click that was held back goes to the view
        self.outline = Outline(view)
        view.viewport().installEventFilter(self)
        view.setToolTip(f"{view.toolTip()}\n{HELP}".strip())

    @property
    def tool(self) -> Tool:
        """What a plain drag does."""
        return self._tool

    def set_tool(self, tool: Tool) -> None:
        """Choose what a plain drag does: move the picture, or select."""
        self.cancel()
        self._tool = tool
        port = self.view.viewport()
        if tool == "move":
            port.unsetCursor()
        else:
            port.setCursor(Qt.CursorShape.CrossCursor)

    @property
    def drawing(self) -> bool:
        """Whether an outline is being drawn."""
        return not self.outline.isHidden()

    def cancel(self) -> None:
        """Select nothing."""
        self._pressed = None
        if self.drawing:
            self.outline.hide()
            QApplication.instance().removeEventFilter(self)

    # -- Qt ----------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take a drag that is a brush; everything else is the view's."""
        kind = event.type()
        if watched is not self.view.viewport():  # of the whole application, while drawing
            escape = kind in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress) and (
                cast("QKeyEvent", event).key() == Qt.Key.Key_Escape
            )
            if escape and self.drawing:
                event.accept()
                self.cancel()
                return True
            return False
        if self._passing:
            return False
        if kind == QEvent.Type.MouseButtonPress:
            return self._press(cast("QMouseEvent", event))
        if kind == QEvent.Type.MouseMove and self._pressed is not None:
            return self._move(cast("QMouseEvent", event))
        if kind == QEvent.Type.MouseButtonRelease and self._pressed is not None:
            return self._release(cast("QMouseEvent", event))
        if kind == QEvent.Type.Hide:
            self.cancel()
        return False

    def _press(self, event: QMouseEvent) -> bool:
        left = event.button() == Qt.MouseButton.LeftButton
        if self._pressed is not None:  # another button while drawing
            self.cancel()
            return True
        if not left or self.view.document.picture is None:
            return False
        if self._tool == "move" and how_of(event.modifiers()) == "replace":
            return False
        self._pressed = cast("QMouseEvent", event.clone())
        return True

    def _move(self, event: QMouseEvent) -> bool:
        assert self._pressed is not None
        start, place = self._pressed.position(), event.position()
        if not event.buttons() & Qt.MouseButton.LeftButton:
            self.cancel()
            return False
        if not self.drawing:
            if (place - start).manhattanLength() < LEAST:
                return True
            self.view.document.hover()
            self.outline.begin(
                start,
                rectangle=self._tool != "lasso",
                sign=SIGNS[how_of(self._pressed.modifiers())],
            )
            QApplication.instance().installEventFilter(self)
        self.outline.reach(place)
        return True

    def _release(self, event: QMouseEvent) -> bool:
        pressed, drawing = self._pressed, self.drawing
        assert pressed is not None
        region = self.outline.region() if drawing else None
        self.cancel()
        if not drawing:
            self._passing = True
            try:
                QApplication.sendEvent(self.view.viewport(), pressed)
            finally:
                self._passing = False
            return False
        document = self.view.document
        if region is not None and document.picture is not None:
            how = how_of(pressed.modifiers())
            self.view.brush(region, lambda found: (document.select(found, how), self._done()))
        return True

    def _done(self) -> None:
        self.brushed.emit()
