"""What every view of the document has in common: when to draw, the empty state, the theme.

A view is a function of the document and a theme; any number of them can stand beside each other
(one in the window, one drawn for paper). It reads the document and writes to it, and knows no
other view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPoint, QRectF, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QFrame

from attnviz_gui.ui.theme import LARGE, NORMAL, SMALL, font

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QMouseEvent, QPaintEvent
    from PySide6.QtWidgets import QWidget

    from attnviz_gui.session.document import Document
    from attnviz_gui.session.selection import Selection
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.brush import Brush
    from attnviz_gui.ui.views.region import Region

pg.setConfigOptions(imageAxisOrder="row-major", antialias=True, exitCleanup=False)


EMPTY = "Type a text and press Run."
RUNNING = "The model is being loaded and run on the text…"


def paint_sentence(painter: QPainter, area: QRectF, words: str, theme: Theme) -> None:
    """Paint what stands in a picture's place, in the largest letters that have room for it."""
    painter.setPen(theme.color("muted"))
    wrapped = Qt.TextFlag.TextWordWrap
    flags, room = Qt.AlignmentFlag.AlignCenter | wrapped, area
    for size, margin in ((LARGE, 24), (NORMAL, 12), (SMALL, 6)):
        painter.setFont(font(size))
        room = area.adjusted(margin, margin, -margin, -margin)
        if room.contains(painter.boundingRect(room, flags, words)):
            break
    else:  # its beginning says the most
        flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | wrapped
    painter.drawText(room, flags, words)


class View(pg.GraphicsLayoutWidget):
    """A panel's picture, drawn with pyqtgraph.

    A subclass lays out its items in ``__init__``, then calls `start`; it overrides the `draw_`
    methods that concern it, and `title` and `numbers`.
    """

    titled = Signal()  # title() or numbers() may say something new
    menu_wanted = Signal(QPoint)  # where on the screen
    name = "view"  # objectName, and the name of the exported file
    normalised = True  # a and c change the picture
    empty = EMPTY
    brusher: Brush | None = None  # has the mouse first, where the view can be brushed

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.document = document
        self.theme = theme
        self._said_empty = True
        self.setObjectName(self.name)
        self.setFrameShape(QFrame.Shape.NoFrame)
        # The ground fills all of it: what lies below need not be painted in every frame.
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.ci.layout.setContentsMargins(6, 6, 6, 6)

    def start(self) -> None:
        """Draw for the first time, and follow the document from now on."""
        d = self.document
        d.picture_changed.connect(self._picture_changed)
        d.frame_changed.connect(self._frame_changed)
        d.settled.connect(self._frame_changed)
        d.focus_changed.connect(self._focus_changed)
        d.watched_changed.connect(self._watched_changed)
        d.options_changed.connect(self._options_changed)
        d.selection_changed.connect(self._selection_changed)
        d.found_changed.connect(self._selection_changed)
        self.retheme(self.theme)
        self._picture_changed()

    def stop(self) -> None:
        """Follow the document no longer; the last picture stays."""
        d = self.document
        for signal, slot in (
            (d.picture_changed, self._picture_changed),
            (d.frame_changed, self._frame_changed),
            (d.settled, self._frame_changed),
            (d.focus_changed, self._focus_changed),
            (d.watched_changed, self._watched_changed),
            (d.options_changed, self._options_changed),
            (d.selection_changed, self._selection_changed),
            (d.found_changed, self._selection_changed),
        ):
            signal.disconnect(slot, missing_ok=True)

    def why_nothing(self) -> str:
        """Why there is nothing to show; empty where there is."""
        picture = self.document.picture
        if picture is None:
            return self.empty
        return picture.mix.no_vectors if picture.mix is not None and self.normalised else ""

    # -- for subclasses ----------------------------------------------------------------------

    def title(self) -> str:
        """What is shown, in words."""
        return ""

    def numbers(self) -> str:
        """The numbers that matter, for the right end of the title."""
        return ""

    def draw_picture(self) -> None:
        """Draw another head, text or set of visible tokens; the document has a picture."""

    def draw_frame(self) -> None:
        """Draw another position of the sliders; called while they move."""

    def draw_focus(self) -> None:
        """Light up the document's focus."""

    def draw_watched(self) -> None:
        """Mark the watched pairs."""

    def draw_options(self) -> None:
        """Follow the document's options."""

    def draw_selection(self) -> None:
        """Light up what is selected or found; called after `draw_picture` too."""

    def brush(self, region: Region, take: Callable[[Selection], object]) -> None:
        """Hand what lies in a region of the viewport to `take`, at once or from a worker."""

    def draw_theme(self) -> None:
        """Take the theme's colours."""

    def say_running(self, running: bool) -> None:
        """While there is no picture yet, say whether one is on its way."""
        self.empty = RUNNING if running else EMPTY
        if self.document.picture is None:
            self.viewport().update()

    # -- following the document --------------------------------------------------------------

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self.setBackground(theme.color("ground"))
        self.draw_theme()
        self.viewport().update()

    def _picture_changed(self) -> None:
        picture = self.document.picture
        empty = bool(self.why_nothing())
        if picture is not None:
            self.setEnabled(not empty)  # what is not there answers to no mouse
        # Not setVisible: an axis that is not visible gives up its room when it takes a label.
        self.ci.setOpacity(0 if empty else 1)
        if picture is not None:
            self.draw_picture()
            self.draw_selection()
            # Else pyqtgraph sets its matrices while it paints, and Qt paints everything again.
            self.scene().prepareForPaint()
        self.titled.emit()
        # Only where the sentence of the empty state comes or goes: items tell of themselves, and
        # a whole update is painted before theirs, so that everything would be painted twice.
        if empty or self._said_empty:
            self.viewport().update()
        self._said_empty = empty

    def _frame_changed(self) -> None:
        if self.document.picture is not None:
            self.draw_frame()
            if self.normalised:
                self.titled.emit()

    def _focus_changed(self) -> None:
        if self.document.picture is not None:
            self.draw_focus()

    def _watched_changed(self) -> None:
        if self.document.picture is not None:
            self.draw_watched()

    def _selection_changed(self) -> None:
        if self.document.picture is not None:
            self.draw_selection()

    def _options_changed(self) -> None:
        if self.document.picture is not None:
            self.draw_options()
            self.titled.emit()

    # -- Qt ----------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the scene, or the sentence of the empty state."""
        super().paintEvent(event)
        if self.why_nothing():
            painter = QPainter(self.viewport())
            self.paint_why_nothing(painter, QRectF(self.viewport().rect()))
            painter.end()

    def paint_why_nothing(self, painter: QPainter, area: QRectF) -> None:
        """Paint why there is nothing to show; nothing where there is."""
        paint_sentence(painter, area, self.why_nothing(), self.theme)

    def close(self) -> bool:
        """Close as any widget does; pyqtgraph's own takes the scene apart and then paints it."""
        return QFrame.close(self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave the keys to the window: arrows choose heads there, they do not scroll here."""
        event.ignore()

    def event(self, event: QEvent) -> bool:
        """Leave Esc to the brush while it is drawn."""
        if self.brusher is not None and self.brusher.takes_key(event):
            return True
        return super().event(event)

    def viewportEvent(self, event: QEvent) -> bool:
        """Leave a drag that selects to the brush."""
        if self.brusher is not None and self.brusher.takes(event):
            return True
        return super().viewportEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Keep a press: pyqtgraph would use it and still pass it on to the dock."""
        super().mousePressEvent(event)
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Keep a release, as the press before it."""
        super().mouseReleaseEvent(event)
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Keep a double click, which on a dock's title would mean something else."""
        super().mouseDoubleClickEvent(event)
        event.accept()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the panel's menu; what is under the mouse stays lit for it."""
        focus = self.document.focus
        if focus != self.document.pinned:
            self.document.pin(focus.query, focus.key)
        self.menu_wanted.emit(event.globalPos())
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone: nothing is hovered."""
        self.document.hover()
        super().leaveEvent(event)
