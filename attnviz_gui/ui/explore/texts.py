"""Many texts: pasted lines, a file of lines, or one column of a table; their size before they run.

The dialog says how many texts and tokens there are and what the capture takes; the window runs
them as it runs one text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from attnviz_gui.errors import InputError
from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.jobs.texts import PlanRequest, TextsRequest, sweep
from attnviz_gui.session.settings import MOST_MEGABYTES
from attnviz_gui.session.texts import Texts, lines_of, read_lines, read_table
from attnviz_gui.session.words import size
from attnviz_gui.ui.parts import Part

if TYPE_CHECKING:
    from attnviz_gui.jobs.texts import Plan
    from attnviz_gui.session.texts import Table
    from attnviz_gui.ui.main_window import MainWindow

MEGABYTE = 1_000_000
_PAUSE_MS = 300  # after the last letter
_SHOWN = 2000  # lines of a file that are put into the field; all of them are run
_LETTERS = 1000  # of each of them: one word of a million would take the field a minute
_LONG = (
    ("first", "run their beginning"),
    ("split", "split them into parts"),
    ("refuse", "run none"),
)


class TextsDialog(QDialog):
    """Which texts, and what they take."""

    wanted = Signal(object)  # TextsRequest

    def __init__(self, source: Any, worker: Worker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source = source
        self.setWindowTitle("Many texts")
        self.setObjectName("texts_dialog")
        self.resize(620, 480)
        self.found = Texts(())
        self.plan: Plan | None = None
        self._table: Table | None = None
        self._file: Texts | None = None  # of a file, until something is typed
        self._cut = False  # whether the field shows only the beginning of some line
        self._fault = ""  # why what was opened or counted cannot be run
        self._runner = Runner(worker, self)
        self._runner.finished.connect(self._planned)
        self._runner.failed.connect(self._failed)
        self._pause = QTimer(self, singleShot=True, interval=_PAUSE_MS)
        self._pause.timeout.connect(self._ask)
        self._make()
        self._look()

    def _make(self) -> None:
        form = QFormLayout(self)
        self.lines = QPlainTextEdit()
        self.lines.setObjectName("texts_lines")
        self.lines.setAccessibleName("Texts, one on each line")
        self.lines.setToolTip("One text on each line; empty lines are left out.")
        self.lines.setPlaceholderText("One text on each line")
        self.lines.setTabChangesFocus(True)
        self.lines.textChanged.connect(self._typed)
        form.addRow(self.lines)
        row = QHBoxLayout()
        self.open_lines = QPushButton("Open a text file…")
        self.open_lines.setToolTip("A file with one text on each line (UTF-8).")
        self.open_lines.clicked.connect(self._choose_lines)
        self.open_table = QPushButton("Open a table (CSV)…")
        self.open_table.setToolTip("One column of a table is run (UTF-8).")
        self.open_table.clicked.connect(self._choose_table)
        for button in (self.open_lines, self.open_table):
            button.setAutoDefault(False)
            row.addWidget(button)
        row.addStretch(1)
        form.addRow(row)
        self.column = QComboBox()
        self.column.setObjectName("texts_column")
        self.column.setAccessibleName("Column of the table")
        self.column.setToolTip("Which column of the table holds the texts.")
        self.column.currentIndexChanged.connect(self._take_column)
        form.addRow("Column", self.column)
        form.setRowVisible(self.column, False)
        self.long = QComboBox()
        self.long.setObjectName("texts_long")
        self.long.setAccessibleName("Texts that are too long for the model")
        self.long.setToolTip("What to do with a text that the model cannot read whole.")
        for value, words in _LONG:
            self.long.addItem(words, value)
        self.long.currentIndexChanged.connect(lambda _: self._say())
        form.addRow("Too long texts", self.long)
        self.memory = QSpinBox()
        self.memory.setObjectName("texts_budget")
        self.memory.setAccessibleName("Memory for the capture, in megabytes")
        self.memory.setToolTip(
            "A larger capture is put on the disk, in a temporary folder that is cleared\n"
            "afterwards. At first a third of the memory that is free."
        )
        self.memory.setRange(0, MOST_MEGABYTES)
        self.memory.setSingleStep(256)
        self.memory.setGroupSeparatorShown(True)
        self.memory.setSuffix(" MB")
        self.memory.setSpecialValueText("a third of what is free")
        self.memory.valueChanged.connect(lambda _: self._say())
        form.addRow("Memory", self.memory)
        self.says = QLabel()
        self.says.setObjectName("texts_says")
        self.says.setWordWrap(True)
        self.says.setTextFormat(Qt.TextFormat.PlainText)  # a file's name may look like a tag
        self.says.setMinimumHeight(3 * self.fontMetrics().height())
        form.addRow(self.says)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.run = buttons.addButton("Run", QDialogButtonBox.ButtonRole.AcceptRole)
        self.run.setObjectName("texts_run")
        self.run.setDefault(True)
        buttons.accepted.connect(self._accept)
        buttons.rejected.connect(self.reject)
        form.addRow(buttons)
        self._form = form

    # -- where texts come from ---------------------------------------------------------------

    def _typed(self) -> None:
        self._file = self._table = None
        self._form.setRowVisible(self.column, False)
        self._look()

    def _choose_lines(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open a text file")
        if name:
            self.open_file(Path(name))

    def _choose_table(self) -> None:
        kinds = "Tables (*.csv *.tsv *.txt);;All files (*)"
        name, _ = QFileDialog.getOpenFileName(self, "Open a table", "", kinds)
        if name:
            self.open_csv(Path(name))

    def open_file(self, path: Path) -> None:
        """Take the lines of a file."""
        try:
            found = read_lines(path)
        except InputError as error:
            self._refuse(str(error))
            return
        self._table = None
        self._form.setRowVisible(self.column, False)
        self._take(found)

    def open_csv(self, path: Path) -> None:
        """Take a table; the column with the longest cells is chosen at first."""
        try:
            table = read_table(path)
        except InputError as error:
            self._refuse(str(error))
            return
        self._table = None  # while the list is filled
        self.column.clear()
        self.column.addItems(table.columns)
        self._table = table
        rows = table.rows[:50]
        letters = [
            sum(len(row[i]) for row in rows if len(row) > i) for i in range(len(table.columns))
        ]
        self._form.setRowVisible(self.column, True)
        self.column.setCurrentIndex(letters.index(max(letters)))
        self._take_column()

    def _take_column(self) -> None:
        if self._table is None or self.column.currentIndex() < 0:
            return
        try:
            self._take(self._table.column(self.column.currentText()))
        except InputError as error:
            self._refuse(str(error))

    def _take(self, found: Texts) -> None:
        self._file = found
        shown = [" ".join(text.split()) for text in found.texts[:_SHOWN]]
        self._cut = any(len(line) > _LETTERS for line in shown)
        before = self.lines.blockSignals(True)
        self.lines.setPlainText(
            "\n".join(n if len(n) <= _LETTERS else f"{n[:_LETTERS]}…" for n in shown)
        )
        self.lines.blockSignals(before)
        self._look()

    # -- what they take ----------------------------------------------------------------------

    def _look(self) -> None:
        self._runner.cancel()
        self.plan, self._fault = None, ""
        self.found = self._file or lines_of(self.lines.toPlainText())
        self._say()
        if self.found.texts:
            self._pause.start()
        else:
            self._pause.stop()

    def _ask(self) -> None:
        self._runner.submit(PlanRequest(self.found.texts, self.source))

    def _planned(self, plan: Plan) -> None:
        self.plan = plan
        self._say()

    def _failed(self, fault: BaseException) -> None:
        if not isinstance(fault, InputError):
            raise fault
        self._refuse(str(fault))

    def _refuse(self, words: str) -> None:
        self._runner.cancel()
        self._pause.stop()
        self.plan, self._fault = None, words
        self._say()

    @property
    def budget(self) -> int:
        """Bytes that the capture may take in memory."""
        own = self.memory.value() * MEGABYTE
        return own or (0 if self.plan is None else self.plan.free // 3)

    def _say(self) -> None:
        plan, long = self.plan, self.long.currentData()
        if self._fault:
            self.says.setText(self._fault)
        elif not self.found.texts:
            self.says.setText("No text yet: write or paste one on each line, or open a file.")
        elif plan is None:
            self.says.setText(f"{self.found.words}. Counting tokens…")
        else:
            left_out = self.found.says_left_out(plan.left_out)
            parts = [self.found.words, left_out] if left_out else [self.found.words]
            self.says.setText(f"{'; '.join(parts)}. {self._size(plan)}")
        fits = (
            plan is not None
            and plan.n_texts > 0
            and plan.n_bytes[long] <= max(self.budget, plan.disk)
        )
        self.run.setEnabled(
            fits and plan is not None and not (plan.n_long > 0 and long == "refuse")
        )

    def _size(self, plan: Plan) -> str:
        if not plan.n_texts:
            return "There is nothing to run."
        words = []
        many = self._file is not None and len(self._file.texts) > _SHOWN
        if many or (self._file is not None and self._cut):
            above = f"the first {_SHOWN:,}" if many else "the texts"
            above = f"the beginnings of {above}" if self._cut else above
            words.append(f"Above are {above}; all are run, unless you change them there.")
        n_bytes = plan.n_bytes[self.long.currentData()]
        words.append(f"{plan.n_tokens:,} tokens; the capture takes about {size(n_bytes)}")
        if n_bytes <= self.budget:
            words[-1] += " of memory."
        elif n_bytes <= plan.disk:
            words[-1] += f", more than {size(self.budget)} of memory: it is put on the disk."
        else:
            words[-1] += (
                f", more than {size(self.budget)} of memory and more than the disk has free "
                f"({size(plan.disk)}). Take fewer texts, or make room."
            )
        if plan.n_long:
            many = plan.n_long != 1
            words.append(
                f"{plan.n_long:,} text{'s are' if many else ' is'} longer than the "
                f"{plan.limit:,} tokens that the model reads at once."
            )
        return " ".join(words)

    def _accept(self) -> None:
        if self.plan is None:
            return
        texts = self.found.without(self.plan.left_out)
        request = TextsRequest(texts, self.source, self.long.currentData(), self.budget)
        self.accept()
        self.wanted.emit(request)

    def done(self, result: int) -> None:
        """Close it; what is being counted is dropped."""
        self._pause.stop()
        self._runner.close()
        super().done(result)


class TextsPart(Part):
    """The menu's entry for many texts."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.dialog: TextsDialog | None = None
        action = window.explore_menu.addAction("Many &texts…")
        action.setShortcut("Ctrl+Shift+T")
        action.triggered.connect(lambda _=False: self.open())
        QTimer.singleShot(0, self, sweep)

    def open(self) -> None:
        """Ask which texts."""
        source = self.window.text_bar.source
        if self.dialog is not None:
            self.dialog.close()
        self._worker = Worker("texts")
        dialog = self.dialog = TextsDialog(source, self._worker, self.window)
        memory = self.window.memory
        dialog.memory.setValue(memory.settings.texts_memory)
        dialog.memory.valueChanged.connect(lambda n: memory.change(texts_memory=n))
        dialog.wanted.connect(self.window.runs.submit)
        dialog.finished.connect(lambda _: self._forget())
        dialog.open()

    def _forget(self) -> None:
        dialog, self.dialog = self.dialog, None
        if dialog is not None:
            self._worker.close()
            dialog.deleteLater()

    def close(self) -> None:
        """Close the dialog, and wait for what it counts."""
        if self.dialog is not None:
            self.dialog.close()
