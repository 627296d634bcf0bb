"""How one head is computed, step by step: as PyTorch does it, as the paper writes it, and checked.

The steps come from `dissect`, a callable that the window sets and that runs in its worker; this
view only draws their matrices. Nothing is computed while it cannot be seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QImage, QPainter
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from attnviz_gui.errors import InputError
from attnviz_gui.session.document import Focus
from attnviz_gui.session.offload import Offload, at_once
from attnviz_gui.session.words import number
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.theme import NORMAL, PAPER, SMALL, font
from attnviz_gui.ui.views.anatomy.canvas import Sheet
from attnviz_gui.ui.views.anatomy.colors import Prepared, prepare
from attnviz_gui.ui.views.anatomy.equality import EqualityPage
from attnviz_gui.ui.views.anatomy.flow import Flow
from attnviz_gui.ui.views.anatomy.legend import Legend
from attnviz_gui.ui.views.anatomy.paint import FlowPainter
from attnviz_gui.ui.views.anatomy.table import MatrixTable
from attnviz_gui.ui.views.base import EMPTY, RUNNING

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QContextMenuEvent, QHideEvent, QKeyEvent, QShowEvent

    from attnviz_gui.capture.anatomy.record import Anatomy, Section
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.picture import Picture
    from attnviz_gui.ui.theme import Theme

PAGES = {
    "stacked": ("As PyTorch does it", "One product with the stacked weights, then cut into heads"),
    "paper": ("As the paper writes it", "Weights of its own for every head, then concatenated"),
    "equality": ("Their equality", "How far both ways and the model itself are apart"),
}
NO_MODEL = "The steps are computed from a model; run a text on one to see them."
COMPUTING = "The steps are being computed…"
PAPER_WIDTH = 1100


@dataclass(frozen=True, eq=False)
class _Ready:
    """An anatomy with its matrices ready to be drawn, made in the worker; or why there is none."""

    picture: Picture
    anatomy: Anatomy | None = None
    prepared: dict[int, Prepared] | None = None
    refusal: str = ""


def make_ready(dissect: Callable[[Picture], Anatomy], picture: Picture) -> _Ready:
    """Dissect a head and pool its matrices; touches no widget."""
    try:
        anatomy = dissect(picture)
    except InputError as error:
        return _Ready(picture, refusal=str(error))
    matrices = {
        id(matrix): matrix
        for page in (anatomy.stacked, anatomy.paper)
        for section in page
        for step in section.steps
        for matrix in step.matrices
    }
    return _Ready(picture, anatomy, {key: prepare(matrix) for key, matrix in matrices.items()})


class AnatomyView(QWidget):
    """The steps of the head on show."""

    titled = Signal()  # title() or numbers() may say something new
    menu_wanted = Signal(QPoint)  # where on the screen
    name = "anatomy"
    normalised = False

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.theme = theme
        self.dissect: Callable[[Picture], Anatomy] | None = None
        self.offload: Offload = at_once
        self.page = "stacked"
        self.empty = EMPTY
        self.ready: _Ready | None = None
        self._wanted: Picture | None = None  # what is being computed
        self._paintings: dict[str, tuple[Flow, FlowPainter]] = {}
        self.setObjectName(self.name)
        self.setAccessibleName("How it is computed")
        self.setToolTip(
            "How the chosen head comes to its result, step by step. Hover: name and number of an "
            "entry; click a matrix: its numbers; click a token: keep its row lit."
        )
        self.sheet = Sheet(theme, self)
        self.equality = EqualityPage(theme, self)
        self.table = MatrixTable(theme, self)
        self.legend = Legend(theme)
        self.stack = QStackedWidget()
        for widget in (self.sheet, self.equality, self.table):
            self.stack.addWidget(widget)
        self.buttons: dict[str, Any] = {}
        group = QButtonGroup(self)
        bar = QHBoxLayout()
        bar.setContentsMargins(8, 4, 8, 4)
        bar.setSpacing(0)
        for page, (words, help_) in PAGES.items():
            button = tool_button(words, checkable=True)
            button.setToolTip(help_)
            button.clicked.connect(lambda _=False, p=page: self.show_page(p))
            group.addButton(button)
            bar.addWidget(button)
            self.buttons[page] = button
        bar.addWidget(self.legend, 1)
        self.buttons[self.page].setChecked(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(bar)
        column.addWidget(self.stack, 1)
        canvas = self.sheet.canvas
        canvas.pointed.connect(self._on_pointed)
        canvas.opened.connect(self._open)
        canvas.pinned.connect(self._on_pinned)
        self.table.closed.connect(self.close_matrix)
        self.setMinimumSize(260, 160)

    def sizeHint(self) -> QSize:
        """Room for most of the steps."""
        return QSize(900, 520)

    def start(self) -> None:
        """Follow the document from now on."""
        self.document.picture_changed.connect(self._on_picture)
        self.document.focus_changed.connect(self._on_focus)
        self.retheme(self.theme)
        self._on_picture()

    def stop(self) -> None:
        """Follow the document no longer; the last picture stays."""
        self.document.picture_changed.disconnect(self._on_picture, missing_ok=True)
        self.document.focus_changed.disconnect(self._on_focus, missing_ok=True)

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self.sheet.set_theme(theme)
        self.equality.set_theme(theme)
        self.table.set_theme(theme)
        self.legend.set_theme(theme)
        self._paintings.clear()
        if self.ready is not None and self.ready.anatomy is not None:
            self._draw()

    def say_running(self, running: bool) -> None:
        """While there is no picture yet, say whether one is on its way."""
        self.empty = RUNNING if running else EMPTY
        if self.document.picture is None:
            self.sheet.say(self.empty)

    # -- in words ----------------------------------------------------------------------------

    def title(self) -> str:
        """Which head, in which layer of the model."""
        picture = self.document.picture
        if picture is None:
            return "How it is computed"
        return f"How L{picture.layer} H{picture.head} is computed"

    def numbers(self) -> str:
        """Where it stands in the model, and how far both ways are apart."""
        ready = self.ready
        if ready is None or ready.anatomy is None or ready.picture is not self.document.picture:
            return ""
        anatomy = ready.anatomy
        if anatomy.equality is None:
            return anatomy.name
        known = [d.largest for d in anatomy.equality.known if d.largest is not None]
        largest = number(max(known, default=0.0), 2)
        holds = f"equal to {largest}" if anatomy.equality.holds else f"{largest} apart"
        return f"{anatomy.name} · both ways {holds}"

    # -- following the document --------------------------------------------------------------

    def _on_picture(self) -> None:
        """Ask for the steps of another head, if they can be seen."""
        picture = self.document.picture
        self.titled.emit()
        if picture is None:
            self.sheet.say(self.empty)
            self._turn_to(self.sheet)
            return
        if self.ready is not None and self._same(self.ready.picture, picture):
            self._take(_Ready(picture, self.ready.anatomy, self.ready.prepared, self.ready.refusal))
            return
        if not self.isVisible():
            return
        if self.dissect is None:
            self.sheet.say(NO_MODEL)
            self._turn_to(self.sheet)
            return
        if self._wanted is not None and self._same(self._wanted, picture):
            return
        self._wanted = picture
        if self.ready is None or self.ready.anatomy is None:
            self.sheet.say(COMPUTING)
            self._turn_to(self.sheet)
        dissect = self.dissect
        self.offload(lambda: make_ready(dissect, picture), self._take)

    @staticmethod
    def _same(one: Picture, other: Picture) -> bool:
        """Return whether two pictures are of one head, whichever tokens are shown."""
        return one.capture is other.capture and (one.text, one.layer, one.head) == (
            other.text, other.layer, other.head,
        )  # fmt: skip

    def _take(self, ready: _Ready) -> None:
        """Show what was computed, unless another head is on show by now."""
        picture = self.document.picture
        if picture is None or not self._same(ready.picture, picture):
            return
        self._wanted = None
        self.ready = _Ready(picture, ready.anatomy, ready.prepared, ready.refusal)
        self._paintings.clear()
        self._draw()
        self.titled.emit()

    def _draw(self) -> None:
        ready = self.ready
        assert ready is not None
        if ready.anatomy is None:
            self.sheet.say(ready.refusal)
            self._turn_to(self.sheet)
            return
        self.equality.show_anatomy(ready.anatomy)
        self.show_page(self.page)

    def show_page(self, page: str) -> None:
        """Show one of the pages: ``stacked``, ``paper`` or ``equality``."""
        self.page = page
        self.buttons[page].setChecked(True)
        ready = self.ready
        if self.document.picture is None or ready is None or ready.anatomy is None:
            return
        self.legend.setVisible(page != "equality")
        if page == "equality":
            self._turn_to(self.equality)
            return
        flow, painter = self._painting(page)
        self.sheet.say("")
        self.sheet.canvas.show_flow(flow, painter)
        self._turn_to(self.sheet)
        self.sheet.lay_out()
        self._on_focus()

    def _painting(self, page: str) -> tuple[Flow, FlowPainter]:
        if page not in self._paintings:
            flow = self._flow(page)
            painter = FlowPainter(flow, self.theme)
            painter.same_tokens = self._same_tokens()
            self._paintings[page] = flow, painter
        return self._paintings[page]

    def _flow(self, page: str) -> Flow:
        ready = self.ready
        assert ready is not None and ready.anatomy is not None and ready.prepared is not None
        sections: tuple[Section, ...] = getattr(ready.anatomy, page)
        return Flow(sections, ready.prepared, note=ready.anatomy.missing)

    def _same_tokens(self) -> bool:
        """Return whether keys are the queries' own tokens."""
        picture = self.document.picture
        assert picture is not None
        capture = picture.capture
        if capture.layers[picture.layer].kind == "cross":
            return False
        queries = capture.query_tokens(picture.layer, picture.text)
        keys = capture.key_tokens(picture.layer, picture.text)
        return tuple(keys[: len(queries)]) == tuple(queries)

    def _turn_to(self, widget: QWidget) -> None:
        self.stack.setCurrentWidget(widget)

    # -- the focus ---------------------------------------------------------------------------

    def _on_focus(self) -> None:
        """Light up the document's focus in every step."""
        picture, focus = self.document.picture, self.document.focus
        if picture is None:
            return
        query = key = None
        if focus.query is not None and focus.query < len(picture.query_index):
            query = int(picture.query_index[focus.query])
        if focus.key is not None and focus.key < len(picture.key_index):
            key = int(picture.key_index[focus.key])
        self.sheet.canvas.set_lit(query, key)

    def _shown(self, focus: Focus) -> Focus:
        """Return the visible tokens that tokens of the whole text are; None for hidden ones."""
        picture = self.document.picture
        assert picture is not None
        found = []
        for token, index in ((focus.query, picture.query_index), (focus.key, picture.key_index)):
            places = [] if token is None else (index == token).nonzero()[0]
            found.append(int(places[0]) if len(places) else None)
        return Focus(*found)

    def _on_pointed(self, focus: Focus) -> None:
        if self.document.picture is None:
            return
        shown = self._shown(focus)
        self.document.hover(shown.query, shown.key)
        self.sheet.tell()

    def _on_pinned(self, focus: Focus) -> None:
        shown = self._shown(focus)
        if shown:
            self.document.pin(shown.query, shown.key)

    # -- a matrix, enlarged ------------------------------------------------------------------

    def _open(self, prepared: Prepared) -> None:
        """Show a matrix' numbers, the lit row chosen."""
        painter = self.sheet.canvas.painter
        rows = prepared.matrix.rows
        row = None
        if painter is not None and rows.kind == "query":
            row = painter.query
        self.document.hover()
        self.sheet.canvas.point(None)
        self._turn_to(self.table)
        self.table.open(prepared, row)

    def close_matrix(self) -> None:
        """Go back to the steps."""
        self.show_page(self.page)
        self.sheet.setFocus()

    # -- on paper ----------------------------------------------------------------------------

    def picture(self, scale: float = 2.0, width: int = PAPER_WIDTH) -> QImage | None:
        """Return the page on show for paper, whole, or None where there are no steps.

        Parameters
        ----------
        scale
            Pixels for each logical unit.
        width
            Logical width; the height follows.
        """
        ready = self.ready
        if ready is None or ready.anatomy is None:
            return None
        page = self.page if self.page != "equality" else "stacked"
        flow = self._flow(page)
        flow.lay_out(width, 0)
        painter = FlowPainter(flow, PAPER)
        painter.same_tokens = self._same_tokens()
        _, current = self._painting(page)
        painter.query, painter.key = current.query, current.key
        heading = 34
        size = QSize(max(width, int(flow.width)), int(flow.height) + heading)
        image = QImage(size * scale, QImage.Format.Format_RGB32)
        image.setDevicePixelRatio(scale)
        image.fill(Qt.GlobalColor.white)
        p = QPainter(image)
        p.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing)
        p.setPen(PAPER.color("text"))
        p.setFont(font(NORMAL, bold=True))
        line = QRectF(14, 10, size.width() - 28, 20)
        words = PAGES[page][0]
        words = words[0].lower() + words[1:]
        p.drawText(line, Qt.AlignmentFlag.AlignLeft, f"{self.title()}, {words}")
        p.setFont(font(SMALL))
        p.drawText(line, Qt.AlignmentFlag.AlignRight, self.numbers())
        p.translate(0, heading)
        painter.paint(p, QRectF(0, 0, size.width(), flow.height))
        p.end()
        return image

    # -- Qt ----------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Compute now what was not needed before."""
        super().showEvent(event)
        self._on_picture()

    def hideEvent(self, event: QHideEvent) -> None:
        """What is under way is for nobody."""
        super().hideEvent(event)
        self._wanted = None

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc goes back from a matrix; the other keys are the window's."""
        if event.key() == Qt.Key.Key_Escape and self.stack.currentWidget() is self.table:
            self.close_matrix()
            return
        event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the panel's menu."""
        self.menu_wanted.emit(event.globalPos())
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        """The mouse is gone: nothing is hovered."""
        self.document.hover()
        super().leaveEvent(event)
