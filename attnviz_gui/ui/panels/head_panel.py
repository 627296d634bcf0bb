"""Which layer, head and text is on show, and whether its special tokens are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QCheckBox, QFormLayout, QGroupBox, QSpinBox, QWidget

from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from attnviz_gui.session.document import Document


class HeadPanel(QGroupBox):
    """Spin boxes for layer, head and (where there are several) text; a switch for [CLS] & co."""

    def __init__(self, document: Document, parent: QWidget | None = None) -> None:
        super().__init__("Head", parent)
        self.document = document
        self.layer_select = self._spin(
            "layer_select", "Layer", "Layer, counted from 0 (Page Up, Page Down, ↑, ↓)."
        )
        self.head_select = self._spin("head_select", "Head", "Head, counted from 0 (←, →).")
        self.text_select = self._spin("text_select", "Text", "Which of the texts, counted from 1.")
        self.special = QCheckBox("Special tokens")
        self.special.setObjectName("special_tokens")
        self.special.setAccessibleName("Show special tokens")
        self.special.setToolTip(
            "Show the tokens that the tokenizer adds ([CLS], [SEP], …).\n"
            "Hidden, they are left out of every panel and every number, and the attention of the\n"
            "others stays what the model computed."
        )
        form = QFormLayout(self)
        form.addRow("Layer", self.layer_select)
        form.addRow("Head", self.head_select)
        form.addRow("Text", self.text_select)
        form.addRow(self.special)
        self.layer_select.valueChanged.connect(lambda n: document.show_head(layer=n))
        self.head_select.valueChanged.connect(lambda n: document.show_head(head=n))
        self.text_select.valueChanged.connect(lambda n: document.show_head(text=n - 1))
        self.special.toggled.connect(lambda on: document.set_options(show_special=on))
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
        form.setRowVisible(self.text_select, capture is not None and len(capture.texts) > 1)
        with quiet(self.special):
            self.special.setChecked(d.options.show_special)
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

    def _spin(self, name: str, accessible: str, tip: str) -> QSpinBox:
        box = QSpinBox(self)
        box.setObjectName(name)
        box.setAccessibleName(accessible)
        box.setToolTip(tip)
        box.setKeyboardTracking(False)
        return box
