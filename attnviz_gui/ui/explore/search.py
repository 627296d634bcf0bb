"""The bar that searches all texts: what it finds is lit in every panel, and gone to one by one.

The search itself runs in a worker; a newer one takes the place of the one before.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from PySide6.QtCore import QEvent, QObject, Qt, QTimer
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.session.search import Index, Matches, Search, found_tokens, search, show_position
from attnviz_gui.session.selection import Selection
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.panels.dock import ElidedLabel
from attnviz_gui.ui.parts import Part

if TYPE_CHECKING:
    import threading

    from attnviz_gui.ui.main_window import MainWindow

REST_MS = 120  # that the typing rests before it is searched
MODES = (
    ("Text", "substring", "A part of the text, which may reach over several tokens."),
    ("Token", "token", "A whole token, with or without its mark of a word piece."),
    ("Expression", "regex", "A regular expression, looked for in each token by itself."),
)


@dataclass(frozen=True)
class Request:
    """A search: the tokens and what is looked for."""

    index: Index
    what: Search

    def __call__(
        self, _progress: object, cancel: threading.Event
    ) -> tuple[Index, Search, Matches, Selection]:
        """Search."""
        matches = search(self.index, self.what, cancel)
        return self.index, self.what, matches, found_tokens(self.index.lists, matches)


class SearchBar(QWidget):
    """One row: what is looked for and how, what was found, and the way through it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("search_bar")
        self.setAccessibleName("Search all texts")
        self.input = QLineEdit()
        self.input.setObjectName("search_input")
        self.input.setAccessibleName("Search all texts")
        self.input.setPlaceholderText("Search all texts")
        self.input.setToolTip(
            "Search the tokens of all texts. Enter: next match, Shift+Enter: the one before, "
            "Esc: close."
        )
        self.input.setClearButtonEnabled(True)
        self.input.setMinimumWidth(160)
        self.input.setMaximumWidth(420)
        self.mode = QComboBox()
        self.mode.setObjectName("search_mode")
        self.mode.setAccessibleName("What is searched for")
        for number, (words, mode, tip) in enumerate(MODES):
            self.mode.addItem(words, mode)
            self.mode.setItemData(number, tip, Qt.ItemDataRole.ToolTipRole)
        self.mode.setToolTip("\n".join(f"{words}: {tip}" for words, _, tip in MODES))
        self.case = tool_button("Aa", checkable=True)
        self.case.setObjectName("search_case")
        self.case.setAccessibleName("Capital letters and accents count")
        self.case.setToolTip("Capital letters and accents count")
        self.previous, self.next, self.select, self.shut = (
            tool_button(words) for words in ("◀", "▶", "Select all", "✕")
        )
        for button, name, words in (
            (self.previous, "search_previous", "The match before (Shift+Enter, Shift+F3)"),
            (self.next, "search_next", "The next match (Enter, F3)"),
            (self.select, "search_select", "Select all that was found; Shift+click: add it"),
            (self.shut, "search_close", "End the search (Esc)"),
        ):
            button.setObjectName(name)
            button.setAccessibleName(words.split(" (")[0].split(";")[0])
            button.setToolTip(words)
        self.count = ElidedLabel(Qt.AlignmentFlag.AlignLeft, shortest=12)
        self.count.setObjectName("search_count")
        row = QHBoxLayout()
        row.setContentsMargins(8, 3, 8, 3)
        row.addWidget(self.input, 2)
        for widget in (self.mode, self.case, self.previous, self.next):
            row.addWidget(widget)
        row.addWidget(self.count, 3)
        row.addWidget(self.select)
        row.addWidget(self.shut)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row)
        self.hide()

    @property
    def what(self) -> Search:
        """What is looked for."""
        return Search(self.input.text(), self.mode.currentData(), self.case.isChecked())


class SearchPart(Part):
    """Searches as it is typed, and follows the capture."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.worker = Worker("search")
        self.runner = Runner(self.worker, self)
        self.runner.finished.connect(self._arrived)
        self.runner.failed.connect(self._failed)
        self.bar = bar = SearchBar()
        layout = cast("QVBoxLayout", window.centralWidget().layout())
        layout.insertWidget(layout.indexOf(window.workspace), bar)
        self._index: Index | None = None
        self._done: Search | None = None  # what was searched for last, and its matches
        self._matches: Matches | None = None
        self._at: int | None = None  # the match that was gone to
        self._step = 0  # that is made when the matches are there
        self._wait = QTimer(self, singleShot=True, interval=REST_MS)
        self._wait.timeout.connect(self.search)
        bar.input.textChanged.connect(lambda _: self._wait.start())
        bar.mode.currentIndexChanged.connect(lambda _: self.search())
        bar.case.toggled.connect(lambda _: self.search())
        bar.next.clicked.connect(lambda: self.step(1))
        bar.previous.clicked.connect(lambda: self.step(-1))
        bar.select.clicked.connect(self.select_all)
        bar.shut.clicked.connect(self.shut)
        bar.input.installEventFilter(self)
        menu = window.explore_menu
        self.open_action = menu.addAction("&Search all texts")
        self.open_action.setShortcuts([QKeySequence("Ctrl+Shift+F"), QKeySequence("/")])
        self.open_action.triggered.connect(self.open)
        self.next_action = menu.addAction("&Next match")
        self.next_action.setShortcut("F3")
        self.next_action.triggered.connect(lambda: self.step(1))
        self.previous_action = menu.addAction("&Previous match")
        self.previous_action.setShortcut("Shift+F3")
        self.previous_action.triggered.connect(lambda: self.step(-1))
        self.document.picture_changed.connect(self._follow)
        self._enable()

    def open(self) -> None:
        """Show the bar, ready to be typed in."""
        self.bar.show()
        self.bar.input.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.bar.input.selectAll()
        if self._done is None:
            self.search()

    def shut(self) -> None:
        """End the search: nothing is lit any more."""
        had_focus = self.bar.isAncestorOf(self.window.focusWidget() or self.bar)
        self.bar.hide()
        self._forget()
        self.document.find(Selection(self.document.token_lists))
        if had_focus:
            self.window.heatmap.setFocus()

    def search(self) -> None:
        """Search for what stands in the bar."""
        self._wait.stop()
        picture, what = self.document.picture, self.bar.what
        if picture is None or self.bar.isHidden():
            return
        if self._index is None or self._index.lists is not self.document.token_lists:
            self._index = Index(self.document.token_lists, picture.capture.texts)
        self.runner.submit(Request(self._index, what))

    def step(self, by: int) -> None:
        """Go to the next match, or the one before; from the last to the first."""
        if self.bar.isHidden():
            self.open()
            return
        if self.bar.what != self._done:
            self._step = by
            self.search()
            return
        matches = self._matches
        if matches is None or not len(matches):
            return
        n = len(matches)
        if self._at is None:
            texts = matches.text.tolist()
            find = bisect.bisect_left if by > 0 else bisect.bisect_right
            here = find(texts, self.document.text)
            self._at = (here if by > 0 else here - 1) % n
        else:
            self._at = (self._at + by) % n
        at = self._at
        show_position(
            self.document, int(matches.which[at]), int(matches.text[at]), int(matches.first[at])
        )
        self._say()

    def select_all(self) -> None:
        """Select all tokens that were found."""
        from PySide6.QtWidgets import QApplication

        shift = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
        self.document.select(self.document.found, "add" if shift else "replace")

    # -- what comes back ---------------------------------------------------------------------

    def _arrived(self, answer: tuple[Index, Search, Matches, Selection]) -> None:
        index, what, matches, found = answer
        if index.lists is not self.document.token_lists or self.bar.isHidden():
            return
        self._done, self._matches, self._at = what, matches, None
        self.document.find(found)
        self._say()
        step, self._step = self._step, 0
        if step and what == self.bar.what:
            self.step(step)

    def _failed(self, fault: BaseException) -> None:
        self._step = 0
        if not isinstance(fault, InputError):
            raise fault
        self._color("watched")
        self.bar.count.say(str(fault))

    def _say(self) -> None:
        self._color("text")
        words = ""
        if self._matches is not None and self._done is not None and self._done.words:
            words = self._matches.in_words()
            if self._at is not None:
                words = f"{self._at + 1:,} of {words}"
        self.bar.count.say(words)
        self._enable()

    def _color(self, role: str) -> None:
        palette = self.bar.count.palette()
        palette.setColor(palette.ColorRole.WindowText, self.window.theme.color(role))
        self.bar.count.setPalette(palette)

    def set_theme(self, theme: object) -> None:
        """Take another theme's colours."""
        self._color("text")

    def _enable(self) -> None:
        some = self._matches is not None and len(self._matches) > 0
        for button in (self.bar.next, self.bar.previous, self.bar.select):
            button.setEnabled(some)

    def _follow(self) -> None:
        """Search another capture for the same; go on from the text that is gone to by hand."""
        index = self._index
        if index is not None and index.lists is not self.document.token_lists:
            self._forget()
            self.search()
            return
        at, matches = self._at, self._matches
        if at is not None and matches is not None and matches.text[at] != self.document.text:
            self._at = None
            self._say()

    def _forget(self) -> None:
        self.runner.cancel()
        self._wait.stop()
        self._done = self._matches = self._at = self._index = None
        self._step = 0
        self._say()

    # -- Qt ----------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Enter and Shift+Enter step, Esc closes."""
        if event.type() not in (QEvent.Type.KeyPress, QEvent.Type.ShortcutOverride):
            return False
        key: Any = event
        assert isinstance(key, QKeyEvent)
        enter = key.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if not enter and key.key() != Qt.Key.Key_Escape:
            return False
        event.accept()
        if event.type() == QEvent.Type.KeyPress:
            if enter:
                back = key.modifiers() & Qt.KeyboardModifier.ShiftModifier
                self.step(-1 if back else 1)
            else:
                self.shut()
        return True

    def close(self) -> None:
        """Stop searching."""
        self._wait.stop()
        self.bar.input.removeEventFilter(self)
        self.runner.close()
        self.worker.close()
        self.document.picture_changed.disconnect(self._follow, missing_ok=True)
