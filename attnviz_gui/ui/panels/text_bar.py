"""The top row: the text, the model, Run. Asks the window for runs; runs nothing itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPlainTextEdit, QPushButton, QWidget

from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PySide6.QtGui import QKeyEvent, QResizeEvent

BUNDLED = "bundled"
_CHOOSE = "choose"
MOST_LINES = 3
_TYPING_MS = 400  # a pause this long while a run is under way starts the run of the new text


class TextInput(QPlainTextEdit):
    """The text: grows from one line to three, Ctrl+Enter runs it."""

    run_wanted = Signal()
    _resized = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("text_input")
        self.setAccessibleName("Text")
        self.setToolTip("The text to run through the model. Ctrl+Enter runs it.")
        self.setPlaceholderText("Type or paste a text, then press Ctrl+Enter.")
        self.setTabChangesFocus(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # Queued: a height that changes while lines are being broken leaves some broken too late.
        queued = Qt.ConnectionType.QueuedConnection
        self._resized.connect(self._fit_height, queued)
        self.document().documentLayout().documentSizeChanged.connect(self._resized)
        self._fit_height()

    def _fit_height(self) -> None:
        # Some scripts stand higher than the interface's own font.
        layout = self.document().firstBlock().layout()
        drawn = layout.lineAt(0).height() if layout.lineCount() else 0.0
        line = max(QFontMetricsF(self.font()).lineSpacing(), drawn)
        wanted = max(round(self.document().size().height()), 1)
        lines = min(wanted, MOST_LINES)
        # Below the last line of a text that goes on there is no margin: half a line would show.
        margins = self.document().documentMargin() * (2 if wanted == lines else 1)
        self.setFixedHeight(math.ceil(lines * line + margins) + 2 * self.frameWidth() + 2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks the lines elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._resized.emit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Ctrl+Enter runs; everything else, input methods too, is the editor's."""
        enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if enter and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.run_wanted.emit()
            return
        if event.key() in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            event.ignore()  # a text of three lines has no pages: they choose the layer
            return
        super().keyPressEvent(event)

    def minimumSizeHint(self) -> QSize:
        """Leave room for the model and Run beside it."""
        return QSize(160, super().minimumSizeHint().height())


class TextBar(QWidget):
    """Text, model and Run in one row."""

    run_wanted = Signal()  # the text with the model, now
    retyped = Signal()  # the text changed while a run was under way, and typing has paused
    edited = Signal()  # the text changed
    model_chosen = Signal(object)  # a source: bundled, a folder, or a model in memory
    folder_wanted = Signal()  # the user wants to look for a model folder

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text_input = TextInput()
        self.model_select = QComboBox()
        self.model_select.setObjectName("model_select")
        self.model_select.setAccessibleName("Model")
        self.model_select.setToolTip("The model that reads the text: bundled, or a folder on disk.")
        self.model_select.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.model_select.currentIndexChanged.connect(self._on_model)
        self.run_button = QPushButton("Run")
        self.run_button.setObjectName("run_button")
        self.run_button.setAccessibleName("Run")
        self.run_button.setToolTip("Run the model on the text (Ctrl+Enter).")
        self.run_button.clicked.connect(self.run_wanted)
        self.text_input.run_wanted.connect(self.run_wanted)
        self._typing = QTimer(self, singleShot=True, interval=_TYPING_MS)
        self._typing.timeout.connect(self.retyped)
        self.text_input.textChanged.connect(self.edited)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 6, 8, 4)
        row.addWidget(self.text_input, 1)
        top = Qt.AlignmentFlag.AlignTop
        row.addWidget(self.model_select, 0, top)
        row.addWidget(self.run_button, 0, top)
        self.source: Any = BUNDLED
        self._in_memory: list[tuple[str, object]] = []
        self.set_models([])

    @property
    def text(self) -> str:
        """The text as it stands."""
        return self.text_input.toPlainText()

    def set_text(self, text: str) -> None:
        """Replace the text; what was typed stays in the undo history."""
        cursor = self.text_input.textCursor()
        cursor.select(cursor.SelectionType.Document)
        cursor.insertText(text)

    def set_models(self, folders: Iterable[str]) -> None:
        """List the bundled model, these folders, and a way to choose another."""
        box = self.model_select
        with quiet(box):
            box.clear()
            for name, model in self._in_memory:
                box.addItem(name, model)
            box.addItem("all-MiniLM-L6-v2 (bundled)", BUNDLED)
            for folder in folders:
                box.addItem(Path(folder).name or folder, folder)
                box.setItemData(box.count() - 1, folder, Qt.ItemDataRole.ToolTipRole)
            box.insertSeparator(box.count())
            box.addItem("Choose a folder…", _CHOOSE)
        self.show_source(self.source)

    def add_model(self, name: str, model: object) -> None:
        """List a model that is in memory already, and put it in use."""
        self._in_memory.append((name, model))
        with quiet(self.model_select):
            self.model_select.insertItem(0, name, model)
        self.show_source(model)

    def show_source(self, source: Any) -> None:
        """Say which model is in use, without running it."""
        self.source = source
        index = self.model_select.findData(source)
        with quiet(self.model_select):
            self.model_select.setCurrentIndex(max(index, 0))
        self.model_select.update()  # it hears of its new index by the signal that was kept quiet

    @property
    def waiting(self) -> bool:
        """True while a run waits for typing to pause."""
        return self._typing.isActive()

    def wait_for_pause(self) -> None:
        """Emit `retyped` once typing pauses."""
        self._typing.start()

    def forget_pause(self) -> None:
        """The run that typing would have replaced is gone."""
        self._typing.stop()

    def _on_model(self, index: int) -> None:
        source = self.model_select.itemData(index)
        if source == _CHOOSE:
            self.show_source(self.source)  # until a folder is chosen, the model is the old one
            self.folder_wanted.emit()
        elif source is not None:
            self.model_chosen.emit(source)
