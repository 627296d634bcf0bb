"""Choose several heads, to be shown as one: the mean or the maximum of their attention."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.errors import InputError
from attnviz_gui.session.mix import Mix
from attnviz_gui.ui.explore.heads_matrix import HeadsMatrix
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.mix import How
    from attnviz_gui.ui.main_window import MainWindow

EMPTY = "Run a text, and its layers and heads are listed here."
CHOOSE = "Choose heads (rows are layers), then press Show."
CELLS = (
    "A row is a layer, a column a head. Click or drag to choose heads or let go of them; a "
    "number takes its whole row or column. With keys: arrows and Space."
)
ABOUT = (
    "The attention of every chosen head in every chosen layer, taken together pair by pair.\n"
    "It has no queries and keys of its own, so plane and scatter rest. Arrow keys leave it."
)


class MeanPanel(QWidget):
    """A cell for each head, mean or maximum, and the way back."""

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self._of: Capture | None = None
        self._places: tuple[tuple[int, int], ...] = ()  # that were shown as one
        self.setObjectName("mean_head")
        self.setAccessibleName("Mean of heads")
        self.setToolTip(ABOUT)
        self._make()
        self._lay_out()
        document.picture_changed.connect(self.follow)
        document.wanted_changed.connect(self.follow)
        self.follow()

    def _make(self) -> None:
        self.matrix = HeadsMatrix()
        self.matrix.setObjectName("mean_heads")
        self.matrix.setAccessibleName("Heads to be taken together")
        self.matrix.setToolTip(CELLS)
        self.matrix.selectionModel().selectionChanged.connect(self._tell)
        self.how: dict[How, QRadioButton] = {}
        self.group = QButtonGroup(self)
        tips = {
            "mean": "The mean attention of each pair over the chosen heads.",
            "maximum": "The largest attention of each pair over the chosen heads.",
        }
        name: How
        for name in ("mean", "maximum"):
            button = QRadioButton(name)
            button.setObjectName(f"mean_how_{name}")
            button.setAccessibleName(name)
            button.setToolTip(tips[name])
            self.how[name] = button
            self.group.addButton(button)
        self.how["mean"].setChecked(True)
        self.group.buttonClicked.connect(self._take_other)
        self.quick = [
            self._button("This layer", "Every head of the layer on show.", self.take_layer),
            self._button("This head", "The head on show, in every layer.", self.take_head),
            self._button("All", "Every head of every layer.", self.take_all),
            self._button("None", "Let go of every head.", self.take_none),
        ]
        self.show_button = self._button("Show", "Show these heads as one.", self.show_mix)
        self.show_button.setObjectName("mean_show")
        self.back = self._button("Back", "Show one head again.", lambda: go_back(self.document))
        self.back.setObjectName("mean_back")
        self.told = QLabel()
        self.told.setObjectName("mean_told")
        self.told.setWordWrap(True)
        self.told.setProperty("quiet", True)

    def _lay_out(self) -> None:
        rows = QHBoxLayout(), QHBoxLayout()
        for button in self.quick:
            rows[0].addWidget(button)
        for choice in self.how.values():
            rows[1].addWidget(choice)
        rows[1].addWidget(self.show_button, 1)
        rows[1].addWidget(self.back, 1)
        column_ = QVBoxLayout(self)
        column_.addLayout(rows[0])
        column_.addWidget(self.matrix, 1)
        column_.addLayout(rows[1])
        column_.addWidget(self.told)

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self.follow, missing_ok=True)
        self.document.wanted_changed.disconnect(self.follow, missing_ok=True)

    # -- choosing ----------------------------------------------------------------------------

    def chosen(self) -> Mix:
        """The heads that are chosen, and how they are taken together."""
        how: How = "mean" if self.how["mean"].isChecked() else "maximum"
        return Mix(self.matrix.chosen, how)

    def take(self, places: Iterable[tuple[int, int]]) -> None:
        """Choose these heads, and show them."""
        self.matrix.choose(places)
        self.show_mix()

    def take_layer(self) -> None:
        """Choose every head of the layer on show, and show them."""
        self.take(p for p in self._every() if p[0] == self.document.layer)

    def take_head(self) -> None:
        """Choose the head on show in every layer that has it, and show them."""
        self.take(p for p in self._every() if p[1] == self.document.head)

    def take_all(self) -> None:
        """Choose every head, and show them."""
        self.take(self._every())

    def take_none(self) -> None:
        """Choose no head; what is on show stays."""
        self.matrix.choose(())

    def _every(self) -> list[tuple[int, int]]:
        counts = self.matrix.heads.counts
        return [(layer, head) for layer, n in enumerate(counts) for head in range(n)]

    def _take_other(self) -> None:
        """Show the maximum in place of a mean that is on show, or the other way round."""
        capture, mix = self.document.capture, self.document.mix
        if capture is not None and mix is not None:
            self.document.show_mix(replace(mix, how=self.chosen().how))

    def show_mix(self) -> None:
        """Show what is ticked as one head, or say why that cannot be."""
        try:
            self.document.show_mix(self.chosen())
        except InputError as error:
            self.told.setText(str(error))

    # -- following ---------------------------------------------------------------------------

    def follow(self) -> None:
        """List the capture's layers and heads, and say what is on show."""
        capture, mix = self.document.capture, self.document.mix
        if capture is not self._of:
            self._of = capture
            self.matrix.show_heads([] if capture is None else [of.n_heads for of in capture.layers])
        places = () if mix is None else mix.places
        if places and places != self._places:
            self.matrix.choose(places)  # perhaps somebody else's choice
        self._places = places
        self.matrix.mark(None if capture is None else (self.document.layer, self.document.head))
        for widget in (*self.quick, self.show_button, *self.how.values()):
            widget.setEnabled(capture is not None)
        self.back.setEnabled(mix is not None)
        self.back.setText(f"Back to {_behind(self.document)}" if mix is not None else "Back")
        self._tell()

    def _tell(self) -> None:
        """Say what is on show, and how many heads are chosen where that is something else."""
        capture, mix, n = self.document.capture, self.document.mix, len(self.matrix.chosen)
        if capture is None:
            self.told.setText(EMPTY)
            return
        chosen = f"{n:,} chosen." if n else CHOOSE
        if mix is None:
            self.told.setText(chosen)
        else:
            same = self.matrix.chosen == tuple(sorted(mix.places))
            words = f"On show: {mix.words(capture)}. Arrow keys leave it."
            self.told.setText(words if same else f"{words} {chosen}")
        self.told.setToolTip("" if mix is None else mix.listing(capture))

    def _button(self, words: str, tip: str, act: object) -> QPushButton:
        button = QPushButton(words)
        button.setAccessibleName(words)
        button.setToolTip(tip)
        button.clicked.connect(act)
        return button


class MeanHeadPart(Part):
    """The panel, and a line in the head's panel while several heads are shown as one."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panel: MeanPanel | None = None
        self.dock = PartDock("Mean of heads", "mean_head_panel", self._make)
        window.workspace.add(self.dock)
        action = self.dock.toggleViewAction()
        action.setToolTip("Show the mean or maximum of several heads as one.")
        window.explore_menu.addAction(action)
        self.notice = QLabel()
        self.notice.setObjectName("mix_notice")
        self.notice.setAccessibleName("Heads shown as one")
        self.notice.setWordWrap(True)
        by = Qt.TextInteractionFlag
        self.notice.setTextInteractionFlags(
            by.LinksAccessibleByMouse | by.LinksAccessibleByKeyboard
        )
        self.notice.linkActivated.connect(lambda _: go_back(self.document))
        self.notice.hide()
        form = window.head_panel.layout()
        assert isinstance(form, QFormLayout)
        form.insertRow(0, self.notice)
        self.document.picture_changed.connect(self._follow)
        self.document.wanted_changed.connect(self._follow)

    def _make(self) -> QWidget:
        self.panel = MeanPanel(self.document)
        return self.panel

    def _follow(self) -> None:
        capture, mix = self.document.capture, self.document.mix
        form = self.window.head_panel.layout()
        assert isinstance(form, QFormLayout)
        if capture is not None and mix is not None:
            back = _behind(self.document)
            self.notice.setText(f'<b>{mix.words(capture)}</b> · <a href="back">back to {back}</a>')
            self.notice.setToolTip(mix.listing(capture))
        form.setRowVisible(self.notice, mix is not None)

    def close(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self._follow, missing_ok=True)
        self.document.wanted_changed.disconnect(self._follow, missing_ok=True)
        if self.panel is not None:
            self.panel.stop()


def go_back(document: Document) -> None:
    """Show the one head again that was on show before."""
    document.show_head(layer=document.layer, head=document.head)


def _behind(document: Document) -> str:
    return f"L{document.layer} H{document.head}"
