"""What the picture keeps of the attention and what it loses, before → after, in numbers.

The measures come from `measured`, computed at rest through `offload`; this panel only shows them.
What a layer and the model answer is computed elsewhere, when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QBrush, QColor, QGuiApplication
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.session.honest import Measured, Row, answer_in_words, measured, seen
from attnviz_gui.session.offload import Offload, at_once
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from attnviz_gui.geometry.honesty import Closer
    from attnviz_gui.geometry.live import Frame
    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme

QUESTION = "Do pairs with high attention come closer?"
PRESS = "press Compute"
COMPUTING = "computing…"
# Vermilion beside the bluish green of what is better: told apart with any colour vision.
WORSE = {"light": "#C04F00", "dark": "#FF8A4C", "paper": "#C04F00"}
BETTER = {"light": "#00785A", "dark": "#2CC79A", "paper": "#00785A"}
SIGNS = {"better": "▲", "worse": "▼", "same": "=", "": ""}
_SCOPES = ("this head", "this layer", "this model")
_ABOUT_QUESTION = (
    "Mean distance in the plane from each query to its most attended key, over the mean distance\n"
    "of all allowed pairs: below 1, they lie closer than any two points do. Lower is closer.\n"
    "Layer and model: the mean over their heads, each under its own a and c."
)


class HonestyPanel(QWidget):
    """The article's question, answered, over a table of every measure."""

    answers_wanted = Signal()  # the layer's and the model's answers are asked for
    copied = Signal(str)  # what was copied

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self.theme = theme
        self.offload: Offload = at_once  # of this panel's own: newer work replaces what waits
        self.measured: Measured | None = None
        self._asked: tuple[Frame, str] | None = None  # what is being measured
        self._marked = False  # the numbers are marked as of another place
        self._shown: tuple[Frame, str] | None = None  # what the numbers are of
        self._answers: list[Closer | str | None] = [None, None]
        self.setObjectName("honesty")
        self.setAccessibleName("What the picture keeps")
        self._make()
        self._lay_out()
        document.picture_changed.connect(self._on_picture)
        document.frame_changed.connect(self._on_frame)
        document.settled.connect(self._follow)
        document.objective_changed.connect(self._follow)
        self._answers_of = self._whole()
        self.set_theme(theme)
        self._follow()

    def _make(self) -> None:
        self.question = QLabel(QUESTION)
        self.question.setFont(font(bold=True))
        self.question.setWordWrap(True)
        self.answers = [QLabel() for _ in _SCOPES]
        for label, scope in zip(self.answers, _SCOPES, strict=True):
            label.setObjectName("answer_" + scope.split()[1])
            label.setAccessibleName(f"{QUESTION} {scope}")
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.compute = tool_button("Compute")
        self.compute.setObjectName("compute_answers")
        self.compute.setAccessibleName("Compute the answers of the layer and the model")
        self.compute.setToolTip("Answer the question for every head of this layer and this model.")
        self.compute.clicked.connect(self._on_compute)
        self.copy_button = tool_button("Copy")
        self.copy_button.setObjectName("copy_honesty")
        self.copy_button.setAccessibleName("Copy the measures")
        self.copy_button.setToolTip("Copy the measures as text, tab separated.")
        self.copy_button.clicked.connect(self.copy)
        self.copy_action = QAction("Copy as text", self)
        self.copy_action.triggered.connect(self.copy)
        self.addAction(self.copy_action)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.ActionsContextMenu)
        self.collapse = QLabel()
        self.collapse.setObjectName("collapse_line")
        self.collapse.setWordWrap(True)
        self.legend = QLabel()
        self.legend.setProperty("quiet", True)
        self.legend.setFont(font(SMALL))
        self.table = _Table()

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        for row, (scope, label) in enumerate(zip(_SCOPES, self.answers, strict=True)):
            name = QLabel(scope)
            name.setProperty("quiet", True)
            for each in (name, label):
                each.setToolTip(_ABOUT_QUESTION)
            grid.addWidget(name, row, 0, Qt.AlignmentFlag.AlignTop)
            grid.addWidget(label, row, 1, 1, 1 if row else 2)
        grid.addWidget(self.compute, 1, 2, 2, 1, Qt.AlignmentFlag.AlignVCenter)
        grid.setColumnStretch(1, 1)
        self.question.setToolTip(_ABOUT_QUESTION)
        foot = QHBoxLayout()
        foot.addWidget(self.legend, 1)
        foot.addWidget(self.copy_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 4)
        column.setSpacing(4)
        column.addWidget(self.question)
        column.addLayout(grid)
        column.addWidget(self.collapse)
        column.addWidget(self.table, 1)
        column.addLayout(foot)
        self.setMinimumSize(290, 200)

    def sizeHint(self) -> QSize:
        """Room for all rows."""
        return QSize(370, 380)

    def stop(self) -> None:
        """Follow the document no longer; the last numbers stay."""
        d = self.document
        d.picture_changed.disconnect(self._on_picture, missing_ok=True)
        d.frame_changed.disconnect(self._on_frame, missing_ok=True)
        d.settled.disconnect(self._follow, missing_ok=True)
        d.objective_changed.disconnect(self._follow, missing_ok=True)
        self._asked = None

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        self.theme = theme
        self.legend.setText(
            f"<span style='color:{BETTER[theme.name]}'>▲</span> better &nbsp; "
            f"<span style='color:{WORSE[theme.name]}'>▼</span> worse &nbsp; = same"
        )
        self._show()

    # -- the layer and the model -------------------------------------------------------------

    def show_answers(
        self, layer: Closer | str | None = None, model: Closer | str | None = None
    ) -> None:
        """Show what the layer and the model answer.

        Parameters
        ----------
        layer, model
            The answer; a sentence in its place, as ``computing…``; None where there is none yet.
        """
        self._answers = [layer, model]
        self._answers_of = self._whole()
        self._show_answers()

    @property
    def answered(self) -> bool:
        """True where the layer's or the model's answer is on show."""
        return any(answer not in (None, COMPUTING) for answer in self._answers)

    def _whole(self) -> tuple[Any, ...]:
        """What the answers of layer and model depend on, but for the fits of other heads."""
        d = self.document
        options = d.options
        return d.capture, d.text, options.show_special, options.rotary, d.corpus is not None

    def _on_compute(self) -> None:
        self.show_answers(COMPUTING, COMPUTING)
        self.answers_wanted.emit()

    # -- following the document --------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """True while the numbers are not those of where the sliders stand."""
        return self.document.dragging or self._asked is not None

    def _on_picture(self) -> None:
        picture, several = self.document.picture, self.document.corpus is not None
        # Plane and scatter may show all texts; the measures are of the chosen one, under their a.
        of = f" (text {picture.text + 1})" if picture is not None and several else ""
        self.question.setText(QUESTION + of)
        picture = self.document.picture
        if self._answers_of != self._whole():
            self.show_answers(None, None)
        elif self.measured is not None and picture is not None:
            before = self.measured.picture
            if before is not picture and before.layer != picture.layer:
                self.show_answers(None, self._answers[1])
        self._follow()

    def _on_frame(self) -> None:
        """The sliders moved: other heads may have moved with them, so their answers are old."""
        if self.answered:
            self.show_answers(None, None)
        if self.document.dragging:
            if not self._marked:  # in the first frame of many
                self._show_marks()
        else:
            self._follow()

    def _follow(self) -> None:
        """Ask for the measures of where the sliders stand, if they can be seen."""
        picture, frame = self.document.picture, self.document.frame
        if picture is not None and picture.mix is not None:
            self._asked = self._shown = self.measured = None  # no vectors, so nothing is kept
            self._show()
            return
        if picture is None or frame is None or self.document.dragging or not self.isVisible():
            self._show()
            return
        wanted = frame, self.document.objective
        if wanted == self._shown:
            self._asked = None
            self._show()
        elif wanted != self._asked:
            self._asked = wanted
            objective, sliders, known = wanted[1], self.document.sliders, self.measured
            self._show_marks()
            self.offload(
                lambda: (wanted, measured(picture, frame, objective, sliders, known)), self._take
            )

    def _take(self, answer: Any) -> None:
        """Show measures, unless others have been asked for since."""
        wanted, found = answer
        if wanted != self._asked:
            return
        self._asked, self._shown, self.measured = None, wanted, found
        self._show()

    # -- showing -----------------------------------------------------------------------------

    def _show(self) -> None:
        found = self.measured
        ready = found is not None and self.document.picture is not None
        rows = found.rows if found is not None and ready else ()
        self.table.fill(rows, self.theme)
        self.copy_button.setEnabled(ready)
        self.copy_action.setEnabled(ready)
        self.compute.setEnabled(ready)
        sentence = found.collapse if found is not None and ready else ""
        self.collapse.setText(f"▼ {sentence}" if sentence else "")
        self.collapse.setStyleSheet(f"color: {WORSE[self.theme.name]}")
        self.collapse.setVisible(bool(sentence))
        self._show_answers()
        self._show_marks()

    def _show_answers(self) -> None:
        found = self.measured
        picture = self.document.picture
        why = "no picture yet"
        if picture is not None and picture.mix is not None:
            why = f"a {picture.mix.how} of heads has no queries and keys"
        here: Closer | str | None = found.answer if found is not None else why
        # Where there is nothing to compute the answers take the button's room.
        self.compute.setVisible(None in self._answers)
        for label, answer in zip(self.answers, (here, *self._answers), strict=True):
            if answer is None or isinstance(answer, str):
                _say(label, answer or PRESS, self.theme.muted)
                continue
            words = answer_in_words(answer)
            words += " …" if answer is here and self.waiting else ""
            colors = {"better": BETTER, "worse": WORSE}.get(seen(*answer.mean, answer.verdict))
            color = self.theme.text if colors is None else colors[self.theme.name]
            _say(label, words, color)

    def _show_marks(self) -> None:
        """Say whether the numbers are of where the sliders stand."""
        self._marked = self.waiting
        self.table.mark(waiting=self.waiting and self.document.picture is not None)
        self._show_answers()

    # -- as text -----------------------------------------------------------------------------

    def as_text(self) -> str:
        """The answers and all measures, a line each, tab separated."""
        lines = [QUESTION]
        lines += [f"{s}\t{a.text()}" for s, a in zip(_SCOPES, self.answers, strict=True)]
        if self.measured is not None:
            lines += ["", self.measured.about, "measure\tbefore\tafter\tchange"]
            lines += [
                "\t".join((row.name, row.before, row.after, row.verdict))
                for row in self.measured.rows
            ]
            if self.measured.collapse:
                lines.append(self.measured.collapse)
        return "\n".join(lines) + "\n"

    def copy(self) -> None:
        """Copy the answers and all measures to the clipboard."""
        QGuiApplication.clipboard().setText(self.as_text())
        self.copied.emit("Copied: what the picture keeps")

    # -- Qt ----------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """It is seen: now the measures are needed."""
        super().showEvent(event)
        self._follow()


def _say(label: QLabel, words: str, color: str) -> None:
    """Set a label's words and colour; Qt lays out and styles anew even what stays as it was."""
    if label.text() != words:
        label.setText(words)
    style = f"color: {color}"
    if label.styleSheet() != style:
        label.setStyleSheet(style)


class _Table(QTableWidget):
    """Measures in rows: name, before, after, better or worse."""

    def __init__(self) -> None:
        super().__init__(0, 4)
        self.setObjectName("honesty_table")
        self.setAccessibleName("Measures, before and after")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.viewport().setAutoFillBackground(False)
        self.verticalHeader().hide()
        line = self.fontMetrics().height() + 4
        self.verticalHeader().setDefaultSectionSize(line)
        self.verticalHeader().setMinimumSectionSize(line)
        self.setHorizontalHeaderLabels(["", "before", "after", ""])
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setSectionsClickable(False)
        header.setMinimumSectionSize(18)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.setStyleSheet(
            "QTableWidget { background: transparent; }"
            "QHeaderView, QHeaderView::section { background: transparent; border: none; }"
        )

    def fill(self, rows: tuple[Row, ...], theme: Theme) -> None:
        """Show these measures."""
        self.setRowCount(len(rows))
        number = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for i, row in enumerate(rows):
            colors = {"better": BETTER, "worse": WORSE}.get(row.verdict)
            color = theme.text if colors is None else colors[theme.name]
            cells = (row.name, row.before, row.after, SIGNS[row.verdict])
            for j, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(row.tip)
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                if j in (1, 2):
                    item.setTextAlignment(number)
                if j:
                    item.setForeground(QBrush(QColor(theme.muted if j == 1 else color)))
                if j == 3:
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, row.verdict)
                self.setItem(i, j, item)

    def mark(self, *, waiting: bool) -> None:
        """Say in the heading that newer numbers are on their way."""
        words = "after …" if waiting else "after"
        self.model().setHeaderData(2, Qt.Orientation.Horizontal, words)
