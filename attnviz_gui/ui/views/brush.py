"""Brushing on a view: the mouse draws a rectangle or a lasso, and the view says what is in it.

The same on every view, whatever it draws; never looks at the points of a view itself.

With the tool that moves, a modifier key and a drag make a rectangle; with the others a plain drag
selects anew. A click without a drag stays what it is without a brush.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QApplication, QWidget

from attnviz_gui.ui.theme import NORMAL, font
from attnviz_gui.ui.views.region import Region

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QHideEvent, QPaintEvent

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
        self.gone: Callable[[], object] = lambda: None
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

    def hideEvent(self, event: QHideEvent) -> None:
        """Say that it is gone, also where the whole view is."""
        super().hideEvent(event)
        self.gone()

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


class Brush:
    """Takes a view's mouse, and selects in the document what the view finds in the outline."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._tool: Tool = "move"
        self._pressed: QMouseEvent | None = None
        self._around: object = None  # which tokens were on show when the button was pressed
        self._passing = False  # a click that was held back goes to the view
        self._drawing = False
        self._rest = False  # of a drag that was cancelled: until the button is let go
        self.outline = Outline(view)
        self.outline.gone = self.cancel
        view.brusher = self
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
        return self._drawing

    def cancel(self) -> None:
        """Select nothing."""
        self._rest = self._drawing
        self._pressed = None
        if self._drawing:
            self._drawing = False
            self.outline.hide()

    def takes_key(self, event: QEvent) -> bool:
        """Return whether a key ends the brush: Esc then means nothing else to any menu.

        It also ends where the keys go elsewhere, to another window or a dialog: nobody sees to it.
        """
        keys = QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress
        if self._drawing and event.type() in (QEvent.Type.FocusOut, QEvent.Type.WindowDeactivate):
            self.cancel()
            return False
        if not self._drawing or event.type() not in keys:
            return False
        if cast("QKeyEvent", event).key() != Qt.Key.Key_Escape:
            return False
        event.accept()
        if event.type() == QEvent.Type.KeyPress:
            self.cancel()
        return True

    def takes(self, event: QEvent) -> bool:
        """Return whether an event of the viewport belongs to the brush; else it is the view's."""
        if self._passing:
            return False
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            return self._press(cast("QMouseEvent", event))
        if kind == QEvent.Type.MouseMove and self._pressed is not None:
            return self._move(cast("QMouseEvent", event))
        if kind == QEvent.Type.MouseButtonRelease and self._pressed is not None:
            return self._release(cast("QMouseEvent", event))
        if kind in (QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease) and self._rest:
            held = cast("QMouseEvent", event).buttons() & Qt.MouseButton.LeftButton
            self._rest = bool(held) and kind == QEvent.Type.MouseMove
            event.accept()
            return True
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
        self._around = self._on_show()
        self._pressed = QMouseEvent(
            event.type(), event.position(), event.scenePosition(), event.globalPosition(),
            event.button(), event.buttons(), event.modifiers(),
        )  # fmt: skip
        event.accept()
        return True

    def _move(self, event: QMouseEvent) -> bool:
        assert self._pressed is not None
        start, place = self._pressed.position(), event.position()
        if not event.buttons() & Qt.MouseButton.LeftButton:
            self.cancel()
            return False
        if not self._same():
            self.cancel()
            return True
        if not self.drawing:
            if (place - start).manhattanLength() < LEAST:
                return True
            self._begin(start, how_of(self._pressed.modifiers()))
        self.outline.reach(place)
        return True

    def _begin(self, at: QPointF, how: How) -> None:
        self.view.document.hover()
        self.view.setFocus(Qt.FocusReason.MouseFocusReason)  # Esc comes here
        self.outline.begin(at, rectangle=self._tool != "lasso", sign=SIGNS[how])
        self._drawing = True

    def _on_show(self) -> object:
        document = self.view.document
        picture = document.picture
        if picture is None:
            return None
        return picture.capture, None if document.corpus is not None else picture.text

    def _same(self) -> bool:
        """Return whether the outline began around tokens that are still on show.

        A run that ends meanwhile brings others, and so does another text; another head of the same
        tokens changes nothing.
        """
        return self._on_show() == self._around

    def _release(self, event: QMouseEvent) -> bool:
        pressed, drawing = self._pressed, self.drawing
        assert pressed is not None
        region = self.outline.region() if drawing and self._same() else None
        self.cancel()
        self._rest = False
        if not drawing:
            self._passing = True
            try:
                QApplication.sendEvent(self.view.viewport(), pressed)
            finally:
                self._passing = False
            return False
        event.accept()
        document = self.view.document
        if region is not None and document.picture is not None:
            how = how_of(pressed.modifiers())
            self.view.brush(region, lambda found: document.select(found, how))
        return True
