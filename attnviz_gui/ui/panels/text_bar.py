"""The top row: the text, the model, Run. Asks the window for runs; runs nothing itself."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QFontMetricsF, QStandardItemModel, QTextOption
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPlainTextEdit, QPushButton, QWidget

from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PySide6.QtCore import QMimeData
    from PySide6.QtGui import QInputMethodEvent, QKeyEvent, QResizeEvent, QWheelEvent

BUNDLED = "bundled"
# What two entries of the list do in place of naming a model; no path and no id looks like them.
_CHOOSE, _DOWNLOAD, _IN_MEMORY = "choose:", "download:", "memory:"
_WIDEST = 640  # pixels of the open list
MOST_LINES = 3
# What has no end at which a line could be broken: no space that breaks, and none of what is written
# without spaces (Chinese, Japanese, Korean), where every letter is an end.
_UNBROKEN = re.compile(
    r"(?:[^\s\u200b\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\uff9f\U00020000-\U0003ffff]"
    r"|[\u00a0\u2007\u202f])+"
)
_ENDLESS = 2000  # letters; longer words are none
_TYPING_MS = 400  # a pause this long while a run is under way starts the run of the new text


def _endless(text: str) -> bool:
    """Return whether a word is so long that Qt takes seconds to look for its end in each line."""
    return any(found.end() - found.start() >= _ENDLESS for found in _UNBROKEN.finditer(text))


class TextInput(QPlainTextEdit):
    """The text: grows from one line to three, Ctrl+Enter runs it."""

    run_wanted = Signal()
    composed = Signal()  # an input method has changed what it composes, or has finished
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
        self.textChanged.connect(self._wrap_at_words)
        self.document().documentLayout().documentSizeChanged.connect(self._resized)
        self._fit_height()

    def replace(self, text: str) -> None:
        """Show another text; what was typed stays in the undo history."""
        self._wrap_for(text)
        cursor = self.textCursor()
        cursor.select(cursor.SelectionType.Document)
        cursor.insertText(text)

    def insertFromMimeData(self, source: QMimeData) -> None:
        """Paste, or take what is dropped."""
        self._wrap_for(source.text())
        super().insertFromMimeData(source)

    def _wrap_for(self, text: str) -> None:
        """Break lines anywhere where a word has no end: looking for its end takes Qt seconds."""
        if _endless(text):
            self.setWordWrapMode(QTextOption.WrapMode.WrapAnywhere)

    def _wrap_at_words(self) -> None:
        anywhere = self.wordWrapMode() == QTextOption.WrapMode.WrapAnywhere
        if anywhere and not _endless(self.document().toRawText()):
            self.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)

    def _fit_height(self) -> None:
        # Some scripts stand higher than the interface's own font.
        layout = self.document().firstBlock().layout()
        drawn = layout.lineAt(0).height() if layout.lineCount() else 0.0
        line = max(QFontMetricsF(self.font()).lineSpacing(), drawn)
        wanted = max(round(self.document().size().height()), 1)
        lines = min(wanted, MOST_LINES)
        # Below the last line of a text that goes on there is no margin: half a line would show.
        margin = self.document().documentMargin()
        below = margin + 2 if wanted == lines else 0.0
        self.setFixedHeight(math.ceil(lines * line + margin + below) + 2 * self.frameWidth())

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

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Let an input method compose, which is no text yet."""
        super().inputMethodEvent(event)
        self.composed.emit()

    @property
    def composing(self) -> bool:
        """True while an input method holds letters that are not in the text yet."""
        return bool(self.textCursor().block().layout().preeditAreaText())

    def minimumSizeHint(self) -> QSize:
        """Leave room for the model and Run beside it."""
        return QSize(160, super().minimumSizeHint().height())


class ModelBox(QComboBox):
    """The list of models: says when it opens, so that it can be brought up to date."""

    opened = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("model_select")
        self.setAccessibleName("Model")
        self.setToolTip(
            "The model that reads the text: bundled, a folder, or one of the Hugging Face hub."
        )
        # As wide as a usual name, not as the longest: the text needs the room.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(24)
        self.setMaxVisibleItems(24)
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._again = False

    def showPopup(self) -> None:
        """Open the list, wide enough for its entries."""
        wanted = self.view().sizeHintForColumn(0) + 48  # a frame, a scroll bar
        self.view().setMinimumWidth(min(max(wanted, self.width()), _WIDEST))
        super().showPopup()
        if not self._again:
            self.opened.emit()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Turning the wheel over a list that is not open runs no other model by mistake."""
        event.ignore()

    def refill(self, fill: Callable[[], None]) -> None:
        """Change the entries; a list that is open stays open, at its new size."""
        was_open = self.view().isVisible()
        if was_open:
            self.hidePopup()
        fill()
        if was_open:
            self._again = True
            try:
                self.showPopup()
            finally:
                self._again = False

    def add_heading(self, words: str) -> None:
        """Add a line that cannot be chosen."""
        self.addItem(words)
        entries = self.model()
        assert isinstance(entries, QStandardItemModel)
        item = entries.item(self.count() - 1)
        item.setEnabled(False)
        font = self.font()
        font.setBold(True)
        item.setFont(font)


class TextBar(QWidget):
    """Text, model and Run in one row."""

    run_wanted = Signal()  # the text with the model, now
    retyped = Signal()  # the text changed while a run was under way, and typing has paused
    edited = Signal()  # the text changed
    model_chosen = Signal(object)  # a source: bundled, a folder, or a model in memory
    folder_wanted = Signal()  # the user wants to look for a model folder
    hub_wanted = Signal()  # the user wants a model from the hub
    opened = Signal()  # the list of models opens

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text_input = TextInput()
        self.model_select = ModelBox()
        self.model_select.opened.connect(self.opened)
        self.model_select.currentIndexChanged.connect(self._on_model)
        self.run_button = QPushButton("Run")
        self.run_button.setObjectName("run_button")
        self.run_button.setAccessibleName("Run")
        self.run_button.setToolTip("Run the model on the text (Ctrl+Enter).")
        self.run_button.clicked.connect(self.run_wanted)
        self.text_input.run_wanted.connect(self.run_wanted)
        self._typing = QTimer(self, singleShot=True, interval=_TYPING_MS)
        self._typing.timeout.connect(self._on_pause)
        self._waiting = False
        self.text_input.textChanged.connect(self.edited)
        self.text_input.composed.connect(self._on_composed)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 6, 8, 4)
        row.addWidget(self.text_input, 1)
        top = Qt.AlignmentFlag.AlignTop
        row.addWidget(self.model_select, 0, top)
        row.addWidget(self.run_button, 0, top)
        self.source: Any = BUNDLED
        self._in_memory: list[tuple[str, object]] = []
        self._folders: tuple[str, ...] = ()
        self._hub: tuple[str, ...] = ()
        self._fill()

    @property
    def text(self) -> str:
        """The text as it stands."""
        return self.text_input.toPlainText()

    def set_text(self, text: str) -> None:
        """Replace the text; what was typed stays in the undo history."""
        self.text_input.replace(text)

    def set_models(
        self, folders: Iterable[str] | None = None, hub: Iterable[str] | None = None
    ) -> None:
        """List other folders, or other models of the hub's cache; None leaves them as they are."""
        folders = self._folders if folders is None else tuple(folders)
        hub = self._hub if hub is None else tuple(hub)
        if (folders, hub) != (self._folders, self._hub):
            self._folders, self._hub = folders, hub
            self.model_select.refill(self._fill)

    def add_model(self, name: str, model: object) -> None:
        """List a model that is in memory already, and put it in use."""
        self._in_memory.append((name, model))
        self._fill()
        self.show_source(model)

    def show_source(self, source: Any) -> None:
        """Say which model is in use, without running it."""
        self.source = source
        box = self.model_select
        with quiet(box):
            index = box.findData(self._key(source))
            if index < 0 and isinstance(source, str):  # until it is among the recent ones
                folder = Path(source)
                box.insertItem(0, folder.name if folder.is_absolute() else source, source)
                index = 0
            box.setCurrentIndex(max(index, 0))
        box.update()  # it hears of its new index by the signal that was kept quiet

    def _fill(self) -> None:
        """List all models, by where they are."""
        box = self.model_select
        with quiet(box):
            box.clear()
            for n, (name, _) in enumerate(self._in_memory):
                box.addItem(name, f"{_IN_MEMORY}{n}")
                box.setItemData(n, "In memory", Qt.ItemDataRole.ToolTipRole)
            box.addItem("all-MiniLM-L6-v2 (bundled)", BUNDLED)
            if self._folders:
                box.insertSeparator(box.count())
                box.add_heading("Recent folders")
            names = [Path(folder).name or folder for folder in self._folders]
            for folder, name in zip(self._folders, names, strict=True):
                # Two of one name are told apart by where they are.
                where = f"  ({Path(folder).parent})" if names.count(name) > 1 else ""
                box.addItem(name + where, folder)
                box.setItemData(box.count() - 1, folder, Qt.ItemDataRole.ToolTipRole)
            if self._hub:
                box.insertSeparator(box.count())
                box.add_heading("Hugging Face hub, on this machine")
            for repository in self._hub:
                box.addItem(repository, repository)
            box.insertSeparator(box.count())
            box.addItem("Choose a folder…", _CHOOSE)
            box.addItem("Download from the Hugging Face hub…", _DOWNLOAD)
        self.show_source(self.source)

    def _key(self, source: Any) -> str:
        """Return what an entry holds for a source: a module itself would be taken for a list."""
        if isinstance(source, str):
            return source
        models = [model for _, model in self._in_memory]
        found = [n for n, model in enumerate(models) if model is source]
        return f"{_IN_MEMORY}{found[0] if found else -1}"

    @property
    def waiting(self) -> bool:
        """True while a run waits for typing to pause."""
        return self._waiting

    def wait_for_pause(self) -> None:
        """Emit `retyped` once typing pauses and there is a text."""
        self._waiting = True
        self._typing.start()

    def forget_pause(self) -> None:
        """The run that typing would have replaced is gone."""
        self._waiting = False
        self._typing.stop()

    def _on_pause(self) -> None:
        """Go on, unless the text is still to come: the next key starts another pause."""
        if not self.text_input.composing and self.text.strip():
            self._waiting = False
            self.retyped.emit()

    def _on_composed(self) -> None:
        """Composing is typing too, and where it is given up no text changes."""
        if self._waiting:
            self._typing.start()

    def _on_model(self, index: int) -> None:
        key = self.model_select.itemData(index)
        if key in (_CHOOSE, _DOWNLOAD):
            self.show_source(self.source)  # until one is chosen, the model is the old one
            (self.folder_wanted if key == _CHOOSE else self.hub_wanted).emit()
        elif isinstance(key, str) and key.startswith(_IN_MEMORY):
            self.model_chosen.emit(self._in_memory[int(key.removeprefix(_IN_MEMORY))][1])
        elif key is not None:
            self.model_chosen.emit(key)
