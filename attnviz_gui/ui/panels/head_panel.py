"""Which layer, head and text is on show, and which of its tokens and vectors are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QFormLayout, QGroupBox, QSpinBox, QWidget

from attnviz_gui.session.groups import Group, group_of, groups
from attnviz_gui.ui.panels.view_options import Choice
from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from attnviz_gui.session.document import Document


class HeadPanel(QGroupBox):
    """Spin boxes for layer, head and (where there are several) text; switches for what is drawn.

    Where layers stand in several stacks, or some attend to another text, a list above the spin
    boxes goes from one group to another; the layers keep their numbers.
    """

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__("Head", parent)
        self.document = document
        self._groups: tuple[Group, ...] = ()
        self.stack_select = QComboBox()
        self.stack_select.setObjectName("stack_select")
        self.stack_select.setAccessibleName("Stack")
        self.stack_select.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.stack_select.setMinimumContentsLength(12)
        self.layer_select = self._spin(
            "layer_select", "Layer", "Layer, counted from 0 (Page Up, Page Down, ↑, ↓)."
        )
        self.head_select = self._spin("head_select", "Head", "Head, counted from 0 (←, →).")
        self.text_select = self._spin("text_select", "Text", "Which of the texts, counted from 1.")
        self.together = Choice(
            "texts_mode",
            "Texts in plane and scatter",
            [
                ("one", "this text", "Plane and scatter show the chosen text."),
                (
                    "all",
                    "all together",
                    "Plane and scatter show all texts of the capture together: every token, and\n"
                    "the pairs within each text. Lines, names and the other panels are those of\n"
                    "the chosen text. A click on a point of another text goes there.",
                ),
            ],
        )
        self.special = QCheckBox("Special tokens")
        self.special.setObjectName("special_tokens")
        self.special.setAccessibleName("Show special tokens")
        self.special.setToolTip(
            "Show the tokens that the tokenizer adds ([CLS], [SEP], …).\n"
            "Hidden, they are left out of every panel and every number, and the attention of the\n"
            "others stays what the model computed."
        )
        self.rotary = QCheckBox("After rotary embedding")
        self.rotary.setObjectName("rotary_switch")
        self.rotary.setAccessibleName("Draw queries and keys after the rotary embedding")
        self.rotary.setToolTip(
            "The model turns queries and keys by their positions before it multiplies them.\n"
            "On: they are drawn as they are multiplied. Off: as they were before that;\n"
            "the attention shown stays the model's own."
        )
        form = QFormLayout(self)
        form.addRow(self.stack_select)
        form.addRow("Layer", self.layer_select)
        form.addRow("Head", self.head_select)
        form.addRow("Text", self.text_select)
        form.addRow("Show", self.together)
        form.addRow(self.special)
        form.addRow(self.rotary)
        self.stack_select.currentIndexChanged.connect(self._on_group)
        self.layer_select.valueChanged.connect(lambda n: document.show_head(layer=n))
        self.head_select.valueChanged.connect(lambda n: document.show_head(head=n))
        self.text_select.valueChanged.connect(lambda n: document.show_head(text=n - 1))
        self.together.group.idClicked.connect(
            lambda i: document.set_options(together=self.together.values[i] == "all")
        )
        self.special.toggled.connect(lambda on: document.set_options(show_special=on))
        self.rotary.toggled.connect(lambda on: document.set_options(rotary=on))
        document.picture_changed.connect(self.follow)
        document.wanted_changed.connect(self.follow)
        document.options_changed.connect(self.follow)
        self.follow()

    def stop(self) -> None:
        """Follow the document no longer."""
        self.document.picture_changed.disconnect(self.follow, missing_ok=True)
        self.document.wanted_changed.disconnect(self.follow, missing_ok=True)
        self.document.options_changed.disconnect(self.follow, missing_ok=True)

    def follow(self) -> None:
        """Show where the document stands."""
        d = self.document
        capture = d.capture
        form = self.layout()
        assert isinstance(form, QFormLayout)
        several = capture is not None and len(capture.texts) > 1
        form.setRowVisible(self.text_select, several)
        form.setRowVisible(self.together, several)
        self.together.show_value("all" if d.options.together else "one")
        with quiet(self.special):
            self.special.setChecked(d.options.show_special)
        with quiet(self.rotary):
            self.rotary.setChecked(d.options.rotary)
        turned = capture is not None and capture.records[d.text][d.layer].unrotated is not None
        form.setRowVisible(self.rotary, turned)
        self._follow_groups(form)
        for box in (self.layer_select, self.head_select, self.text_select):
            box.setEnabled(capture is not None)
        if capture is None:
            return
        last_head = capture.layers[d.layer].n_heads - 1
        for box, value, low, last in (
            (self.layer_select, d.layer, 0, len(capture.layers) - 1),
            (self.head_select, d.head, 0, last_head),
            (self.text_select, d.text + 1, 1, len(capture.texts)),
        ):
            with quiet(box):
                box.setRange(low, last)
                box.setSuffix(f"   ({low}–{last})")
                box.setValue(value)
        self.layer_select.setToolTip(
            f"{capture.layers[d.layer].name}\nLayer, counted from 0 (Page Up, Page Down, ↑, ↓)."
        )

    def _follow_groups(self, form: QFormLayout) -> None:
        """List the groups of the capture's layers, and choose the one on show."""
        d = self.document
        capture = d.capture
        found = () if capture is None else groups(capture.layers)
        form.setRowVisible(self.stack_select, len(found) > 1)
        if capture is None:
            return
        with quiet(self.stack_select):
            if found != self._groups:
                self._groups = found
                self.stack_select.clear()
                for group in found:
                    self.stack_select.addItem(group.label)
                    tip = f"{group.name}: layers {group.numbers}"
                    row = self.stack_select.count() - 1
                    self.stack_select.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
            now = group_of(capture.layers, d.layer)
            self.stack_select.setCurrentIndex(found.index(now))
        self.stack_select.setToolTip(
            "Part of the model, and what its attention goes to; choosing one keeps the place in "
            f"it.\nHere: {now.name}, layers {now.numbers}."
        )

    def _on_group(self, index: int) -> None:
        """Go to the layer that stands in the chosen group where the present one stands in its."""
        capture = self.document.capture
        if capture is not None and 0 <= index < len(self._groups):
            now = group_of(capture.layers, self.document.layer)
            self.document.show_head(layer=self._groups[index].like(self.document.layer, now))

    def _spin(self, name: str, accessible: str, tip: str) -> QSpinBox:
        box = QSpinBox(self)
        box.setObjectName(name)
        box.setAccessibleName(accessible)
        box.setToolTip(tip)
        box.setKeyboardTracking(False)
        return box
