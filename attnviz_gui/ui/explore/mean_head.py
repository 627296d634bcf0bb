"""Choose several heads, to be shown as one: the mean or the maximum of their attention."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QButtonGroup,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListView,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.errors import InputError
from attnviz_gui.session.mix import Mix
from attnviz_gui.ui.parts import Part, PartDock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnviz_gui.capture.record import Capture
    from attnviz_gui.session.document import Document
    from attnviz_gui.session.mix import How
    from attnviz_gui.ui.main_window import MainWindow

EMPTY = "Run a text, and its layers and heads are listed here."
CHOOSE = "Tick layers and heads; each ticked head of each ticked layer counts."
ABOUT = (
    "The attention of every chosen head in every chosen layer, taken together pair by pair.\n"
    "It has no queries and keys of its own, so plane and scatter rest. Arrow keys leave it."
)


class MeanPanel(QWidget):
    """Ticks for layers and heads, mean or maximum, and the way back."""

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.document = document
        self._of: Capture | None = None
        self.setObjectName("mean_head")
        self.setAccessibleName("Mean of heads")
        self.setToolTip(ABOUT)
        self._make()
        self._lay_out()
        document.picture_changed.connect(self.follow)
        document.wanted_changed.connect(self.follow)
        self.follow()

    def _make(self) -> None:
        self.layers = self._list("mean_layers", "Layers", "Layers whose heads are taken together.")
        self.heads = self._list("mean_heads", "Heads", "Which heads of each of these layers.")
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
        lists = QGridLayout()
        for row, (words, box) in enumerate((("Layers", self.layers), ("Heads", self.heads))):
            lists.addWidget(QLabel(words), row, 0, Qt.AlignmentFlag.AlignTop)
            lists.addWidget(box, row, 1)
        rows = [QHBoxLayout() for _ in range(3)]
        for button in self.quick:
            rows[0].addWidget(button)
        for choice in self.how.values():
            rows[1].addWidget(choice)
        rows[1].addStretch(1)
        rows[2].addWidget(self.show_button)
        rows[2].addWidget(self.back)
        column_ = QVBoxLayout(self)
        column_.addLayout(rows[0])
        column_.addLayout(lists, 1)
        column_.addLayout(rows[1])
        column_.addLayout(rows[2])
        column_.addWidget(self.told)

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self.follow, missing_ok=True)
        self.document.wanted_changed.disconnect(self.follow, missing_ok=True)

    # -- choosing ----------------------------------------------------------------------------

    def chosen(self) -> Mix:
        """The heads that are ticked; those that a layer does not have are left out."""
        capture = self.document.capture
        layers, heads = _ticked(self.layers), _ticked(self.heads)
        places = () if capture is None else tuple(
            (layer, head) for layer in layers for head in heads
            if head < capture.layers[layer].n_heads
        )  # fmt: skip
        how: How = "mean" if self.how["mean"].isChecked() else "maximum"
        return Mix(places, how)

    def take_layer(self) -> None:
        """Tick every head of the layer on show, and show them."""
        self._tick([self.document.layer], range(self.heads.count()))

    def take_head(self) -> None:
        """Tick the head on show in every layer, and show them."""
        self._tick(range(self.layers.count()), [self.document.head])

    def take_all(self) -> None:
        """Tick every head, and show them."""
        self._tick(range(self.layers.count()), range(self.heads.count()))

    def _take_other(self) -> None:
        """Show the maximum in place of a mean that is on show, or the other way round."""
        capture, mix = self.document.capture, self.document.mix
        if capture is not None and mix is not None:
            self.document.show_mix(replace(mix, how=self.chosen().how))

    def _tick(self, layers: Iterable[int], heads: Iterable[int]) -> None:
        for box, rows in ((self.layers, set(layers)), (self.heads, set(heads))):
            for row in range(box.count()):
                on = Qt.CheckState.Checked if row in rows else Qt.CheckState.Unchecked
                box.item(row).setCheckState(on)
        self.show_mix()

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
            layers = 0 if capture is None else len(capture.layers)
            heads = 0 if capture is None else max(layer.n_heads for layer in capture.layers)
            _fill(self.layers, layers, self.document.layer)
            _fill(self.heads, heads, None)
        for widget in (*self.quick, self.show_button, *self.how.values()):
            widget.setEnabled(capture is not None)
        self.back.setEnabled(mix is not None)
        self.back.setText(f"Back to {_behind(self.document)}" if mix is not None else "Back")
        if capture is None:
            self.told.setText(EMPTY)
        elif mix is None:
            self.told.setText(CHOOSE)
        else:
            self.told.setText(f"On show: {mix.words(capture)}. Arrow keys leave it.")

    def _list(self, name: str, accessible: str, tip: str) -> QListWidget:
        box = QListWidget()
        box.setFlow(QListView.Flow.LeftToRight)
        box.setWrapping(True)
        box.setResizeMode(QListView.ResizeMode.Adjust)
        box.setUniformItemSizes(True)
        box.setFrameShape(QListWidget.Shape.NoFrame)
        box.setMinimumHeight(2 * (box.fontMetrics().height() + 8))
        box.setObjectName(name)
        box.setAccessibleName(accessible)
        box.setToolTip(tip)
        return box

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


def _fill(box: QListWidget, n: int, only: int | None) -> None:
    """List the numbers up to n, all ticked or one of them."""
    box.clear()
    for number in range(n):
        item = QListWidgetItem(str(number), box)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        on = only is None or number == only
        item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)


def _ticked(box: QListWidget) -> list[int]:
    rows = range(box.count())
    return [row for row in rows if box.item(row).checkState() == Qt.CheckState.Checked]
