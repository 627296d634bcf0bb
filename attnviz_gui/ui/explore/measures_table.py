"""Measures of all heads in a table: sorted, filtered, compared, grouped, copied, written to a file.

A click or Enter on a row shows that head. Nothing is measured before the table is looked at.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QFontMetrics, QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.analysis.catalogue import (
    BASELINE_TITLES,
    BASELINES,
    CATALOGUE,
    LIKENESS,
    PICTURE,
    tip,
)
from attnviz_gui.analysis.filtering import parse
from attnviz_gui.analysis.measures import BY_NAME
from attnviz_gui.errors import InputError
from attnviz_gui.export.table import exact
from attnviz_gui.session.mix import Mix
from attnviz_gui.ui.explore.measures_engine import N_GROUPS, Measuring
from attnviz_gui.ui.explore.measures_model import HeadsModel, HeadsProxy, columns_of
from attnviz_gui.ui.explore.measures_widgets import (
    EMPTY,
    StayingMenu,
    Table,
    menu_button,
    named,
    tick,
)
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.panels.dock import ElidedLabel
from attnviz_gui.ui.theme import font

if TYPE_CHECKING:
    from PySide6.QtGui import QHideEvent, QShowEvent

    from attnviz_gui.session.document import Document
    from attnviz_gui.ui.theme import Theme

WIDEST = "−0.00123"  # of the numbers of measures, as a rule
WAITING = "Measuring all heads…"
CANCELLED = "Cancelled. Press Measure to begin anew."
_EXTRAS = {
    "repeated": ("Repeated random sequence", CATALOGUE["induction_repeated"]),
    "fits": ("Fitted a and c", CATALOGUE["fit_a"]),
}


class MeasuresPanel(QWidget):
    """The table and what is above it."""

    export_wanted = Signal()
    room_wanted = Signal()
    copied = Signal(str)

    def __init__(
        self, document: Document, theme: Theme, measuring: Measuring | None = None,
        parent: QWidget | None = None,
    ) -> None:  # fmt: skip
        """Without a `measuring` it has one of its own, which `stop` ends."""
        super().__init__(parent)
        self.setObjectName("measures_view")
        self.document = document
        self.measuring = Measuring(document) if measuring is None else measuring
        self._own = self.measuring if measuring is None else None
        self.hidden_columns: set[str] = set()
        self._shown: tuple[Any, ...] = ()
        self._sorted = "layer", Qt.SortOrder.AscendingOrder  # the last column that was chosen
        self.model = HeadsModel(theme, self)
        self.proxy = HeadsProxy(self)
        self.proxy.setSourceModel(self.model)
        self._make_controls()
        self._make_table()
        self._lay_out()
        self._connect()
        self.fill()

    # -- making ------------------------------------------------------------------------------

    def _make_controls(self) -> None:
        self.scope = QComboBox()
        self.scope.addItem("this text", False)
        self.scope.addItem("all texts, mean", True)
        named(
            self.scope,
            "measures_scope",
            "Measure which texts",
            "The text on show, or the mean over all texts on which a number is defined.",
        )
        self.special = QCheckBox("special tokens")
        self.special.setChecked(True)
        named(
            self.special,
            "measures_special",
            "Count special tokens",
            "Off: [CLS], [SEP] and the like count neither as queries nor as keys, and each row "
            "is divided by what is left.",
        )
        self.columns_button = menu_button(
            "Columns", "measures_columns", "Which columns", "Which measures are shown."
        )
        self.baselines_button = menu_button(
            "Baselines", "measures_baselines", "Which baselines",
            "The same measures where there is nothing to find; they need the model.",
        )  # fmt: skip
        self.layers_button = menu_button(
            "Layers", "measures_layers", "Which layers", "Whose heads are listed."
        )
        self.filter = QLineEdit()
        self.filter.setClearButtonEnabled(True)
        self.filter.setMinimumWidth(60)
        self.filter.setPlaceholderText("Filter: entropy > 2, previous token > 0.3")
        named(
            self.filter,
            "measures_filter",
            "Filter heads",
            "Conditions on columns, all of which are to hold: entropy > 2, layer <= 3.",
        )
        self.like = tool_button("Heads like this one", checkable=True)
        named(
            self.like,
            "measures_like",
            "Heads like this one",
            "Sort all heads by how alike their rows are to those of the head on show, on the "
            "text on show: Jensen-Shannon divergence, 0 where they are the same.",
        )
        self.group = tool_button("Groups", checkable=True)
        named(
            self.group,
            "measures_group",
            "Group heads",
            "Sort the heads into groups that look alike on the text on show: average linkage of "
            "their Jensen-Shannon divergences.",
        )
        self.n_groups = QSpinBox()
        self.n_groups.setRange(2, 99)
        self.n_groups.setValue(N_GROUPS)
        self.n_groups.setKeyboardTracking(False)
        named(
            self.n_groups, "measures_n_groups", "Number of groups",
            "How many groups, at most. Heads of other queries or keys, as a decoder's, have as "
            "many of their own.",
        )  # fmt: skip
        self.more = tool_button("⋯")
        words = "Show these heads as one; copy or export the table"
        named(self.more, "measures_menu", words, words)
        self.room = tool_button("⤢")
        named(
            self.room, "measures_room", "Whole window, or back",
            "Give the table the whole window, or give it back.",
        )  # fmt: skip
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.about = ElidedLabel(Qt.AlignmentFlag.AlignLeft, shortest=12)
        self.fault = QLabel()
        self.fault.setWordWrap(True)
        self.fault.setProperty("quiet", True)
        self.fault.hide()
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedSize(90, 6)
        named(self.progress, "measures_progress", "Progress of measuring", "How far it is.")
        self.cancel = QPushButton("Cancel")
        named(
            self.cancel, "measures_cancel", "Cancel measuring", "Stop; what was found before stays."
        )
        self.again = QPushButton("Measure")
        named(self.again, "measures_begin", "Measure all heads", "Measure all heads now.")
        for widget in (self.progress, self.cancel, self.again):
            widget.hide()

    def _make_table(self) -> None:
        self.table = Table()
        named(
            self.table,
            "measures_table",
            "Measures of all heads",
            "Click a column to sort by it, a row (or press Enter) to show its head.",
        )
        self.table.setModel(self.proxy)
        self.table.setSortingEnabled(True)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)  # Tab leaves the table
        self.table.setWordWrap(False)
        self.table.setShowGrid(False)
        self.table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        rows = self.table.verticalHeader()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 5)
        rows.setFixedWidth(self.fontMetrics().horizontalAdvance("▸ L00 H00") + 10)
        rows.setDefaultAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        head = self.table.horizontalHeader()
        head.setSectionsMovable(True)
        head.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        head.customContextMenuRequested.connect(self._on_header_menu)
        head.sortIndicatorChanged.connect(self._on_sorted)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)

    def _lay_out(self) -> None:
        rows: tuple[tuple[QWidget, ...], ...] = (
            (self.scope, self.special, self.columns_button, self.baselines_button,
             self.layers_button),
            (self.filter, self.like, self.group, self.n_groups),
            (self.about, self.progress, self.cancel, self.again),
        )  # fmt: skip
        first, second, third = lines = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for line, widgets in zip(lines, rows, strict=True):
            line.setSpacing(4)
            for widget in widgets:
                line.addWidget(widget, int(widget in (self.filter, self.about)))
        first.addStretch(1)
        first.addWidget(self.room)
        first.addWidget(self.more)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(4)
        column.addLayout(first)
        column.addLayout(second)
        column.addWidget(self.fault)
        column.addWidget(self.table, 1)
        column.addLayout(third)

    def _connect(self) -> None:
        want = self.measuring.want
        self.scope.activated.connect(lambda _: want(all_texts=self.scope.currentData()))
        self.special.toggled.connect(lambda on: want(with_special=on))
        self.filter.textChanged.connect(self._on_filter)
        self.like.clicked.connect(lambda _on: self._on_like())
        self.group.clicked.connect(self._on_groups)
        self.n_groups.valueChanged.connect(lambda _: self._on_groups(self.group.isChecked()))
        self.cancel.clicked.connect(self.measuring.cancel)
        self.again.clicked.connect(self.measuring.measure)
        self.table.clicked.connect(lambda index: self.go_to(index.row()))
        enter = QShortcut(QKeySequence(Qt.Key.Key_Return), self.table)
        enter.setContext(Qt.ShortcutContext.WidgetShortcut)
        enter.activated.connect(lambda: self.go_to(self.table.currentIndex().row()))
        copy = QShortcut(QKeySequence(QKeySequence.StandardKey.Copy), self.table)
        copy.setContext(Qt.ShortcutContext.WidgetShortcut)
        copy.activated.connect(self.copy)
        menu = QMenu(self)
        mean = menu.addAction("Show the mean of these heads")
        mean.setToolTip("The heads that the filter leaves, shown as one: their mean attention.")
        mean.triggered.connect(self.show_mean)
        menu.setToolTipsVisible(True)
        menu.addSeparator()
        menu.addAction("Copy the table").triggered.connect(self.copy)
        menu.addAction("Export as CSV…").triggered.connect(self.export_wanted)
        self.room.clicked.connect(self.room_wanted)
        self.more.setMenu(menu)
        for button, fill in (
            (self.columns_button, self._fill_columns),
            (self.baselines_button, self._fill_baselines),
            (self.layers_button, self._fill_layers),
        ):
            chosen = StayingMenu(button)
            chosen.setToolTipsVisible(True)
            chosen.aboutToShow.connect(partial(fill, chosen))
            button.setMenu(chosen)
        m = self.measuring
        m.changed.connect(self.fill)
        m.wanted_changed.connect(self._follow_wanted)
        m.said.connect(self._say)
        m.progressed.connect(self._on_progress)
        m.running_changed.connect(self._on_running)

    def start(self) -> None:
        """Show what is known."""
        self.fill()

    def stop(self) -> None:
        """End what is its own."""
        if self._own is not None:
            self._own.close()

    # -- following ---------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Measure as long as somebody looks."""
        super().showEvent(event)
        self.measuring.set_active(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Nobody looks any longer."""
        self.measuring.set_active(False)
        super().hideEvent(event)

    def retheme(self, theme: Theme) -> None:
        """Take another theme."""
        self.model.retheme(theme)

    def fill(self) -> None:
        """Show what is known now."""
        document, m = self.document, self.measuring
        capture = document.capture
        self.scope.setVisible(capture is not None and len(capture.texts) > 1)
        measures = m.measures
        self.table.sentence = EMPTY if capture is None else WAITING
        wanted = m.wanted
        likeness, clusters = m.alike, m.groups
        baselines = [which for which in BASELINES if getattr(wanted, which)]
        shown = (
            measures, likeness, clusters, tuple(baselines), frozenset(self._hidden()),
        )  # fmt: skip
        if shown != self._shown:
            before = self._shown[1] if self._shown else None
            new = likeness is not None and (
                before is None or before.distances is not likeness.distances
            )
            self._shown = shown
            self._show_columns(likeness, clusters, baselines)
            if new:
                self.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
        picture = document.picture
        self.model.mark(None if picture is None else (picture.layer, picture.head))
        self.like.setEnabled(capture is not None)
        self._tell()

    def _show_columns(self, likeness: Any, clusters: Any, baselines: list[str]) -> None:
        measures = self.measuring.measures
        old = {column.key for column in self.model.columns}
        head = self.table.horizontalHeader()
        key, order = self._sorted
        if measures is None:
            self.model.show((), [])
        else:
            columns = columns_of(measures, self._hidden(), baselines, likeness, clusters)
            self.model.show(measures.heads, columns)
            keys = [column.key for column in columns]
            if key in keys:
                self.table.sortByColumn(keys.index(key), order)
            else:
                self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
                if key != LIKENESS.name:
                    self._sorted = key, order  # it may come back, of another text
            if set(keys) != old:
                # The head on show is in bold, and nothing of a number is to be cut off.
                number = QFontMetrics(font(bold=True)).horizontalAdvance(WIDEST) + 12
                for i in range(len(keys)):
                    lines = columns[i].title.split(" · ")  # a baseline's has two
                    words = max(head.fontMetrics().horizontalAdvance(line) for line in lines)
                    least = number if columns[i].range else 52
                    self.table.setColumnWidth(i, max(words + 30, least))
        self._on_filter(self.filter.text())

    def _hidden(self) -> set[str]:
        """Return the names of columns that are not to be shown."""
        wanted = self.measuring.wanted
        hidden = set(self.hidden_columns)
        if not wanted.pictures:
            hidden |= {each.name for each in PICTURE}
        if not wanted.repeated:
            hidden.add("induction_repeated")
        if not wanted.fits:
            hidden |= {"fit_a", "fit_c"}
        return hidden

    def _on_sorted(self, section: int, order: Qt.SortOrder) -> None:
        if 0 <= section < len(self.model.columns):
            self._sorted = self.model.columns[section].key, order

    def _follow_wanted(self) -> None:
        wanted = self.measuring.wanted
        self.like.setChecked(wanted.like is not None)
        self.group.setChecked(wanted.groups > 0)
        if wanted.groups:
            self.n_groups.setValue(wanted.groups)
        self.scope.setCurrentIndex(int(wanted.all_texts))
        self.special.setChecked(wanted.with_special)

    def _tell(self) -> None:
        """Say how many heads are shown, of what."""
        if self.measuring.running:
            return
        measures = self.measuring.measures
        self.again.setVisible(measures is None and self.document.capture is not None)
        if measures is None:
            self.about.say("")
            return
        n, of = self.proxy.rowCount(), len(measures.heads)
        words = f"{of:,} heads" if n == of else f"{n:,} of {of:,} heads"
        n_texts = len(measures.capture.texts)
        if n_texts > 1:
            own = f"text {measures.text + 1:,} of {n_texts:,}"
            words += " · " + (f"mean over {n_texts:,} texts" if measures.text < 0 else own)
        if not measures.with_special:
            words += " · without special tokens"
        self.about.say(words)
        self.table.sentence = self._why_empty() if of else EMPTY
        self.table.viewport().update()

    def _why_empty(self) -> str:
        """Say what leaves no head: layers that are hidden, or the filter."""
        layers = {layer for layer, _ in self.model.heads}
        if layers <= self.proxy.hidden_layers:
            return "Every layer is hidden; tick some under Layers."
        return "No head fulfils the filter."

    def _say(self, words: str) -> None:
        if words:
            self.about.say(words)
        else:
            self._tell()

    def _on_progress(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)

    def _on_running(self, running: bool) -> None:
        self.progress.setVisible(running)
        self.cancel.setVisible(running)
        self.progress.setRange(0, 0)
        if running:
            self.again.hide()
            self.table.sentence = WAITING
        elif self.measuring.measures is None:
            self.again.setVisible(self.document.capture is not None)
            self.table.sentence = EMPTY if self.document.capture is None else CANCELLED
        self.table.viewport().update()

    # -- what the user does ------------------------------------------------------------------

    def go_to(self, row: int) -> None:
        """Show the head of a row, as it is sorted now."""
        if 0 <= row < self.proxy.rowCount():
            layer, head = self.model.heads[self.proxy.mapToSource(self.proxy.index(row, 0)).row()]
            self.document.show_head(layer, head)

    def show_mean(self) -> None:
        """Show the mean of the heads that are listed, or say why that cannot be."""
        rows = [self.proxy.index(row, 0) for row in range(self.proxy.rowCount())]
        places = (self.model.heads[self.proxy.mapToSource(row).row()] for row in rows)
        try:
            self.document.show_mix(Mix(tuple(sorted(places))))
        except InputError as error:
            self.about.say(str(error))

    def _on_like(self) -> None:
        """Ask about the head on show; where it has been asked about, no longer."""
        picture = self.document.picture
        here = None if picture is None else (picture.layer, picture.head)
        self.measuring.want(like=None if here == self.measuring.wanted.like else here)
        self._follow_wanted()

    def _on_groups(self, on: bool) -> None:
        self.measuring.want(groups=self.n_groups.value() if on else 0)

    def _on_filter(self, text: str) -> None:
        names = {c.key: (c.title, CATALOGUE[c.key].title) if c.key in CATALOGUE else (c.title,)
                 for c in self.model.columns}  # fmt: skip
        try:
            conditions = parse(text, names) if names else ()
        except InputError as error:
            self.fault.setText(str(error))
            self.fault.show()
            return
        self.fault.hide()
        self.proxy.show_only(conditions=conditions)
        self._tell()

    def _on_header_menu(self, at: QPoint) -> None:
        header = self.table.horizontalHeader()
        section = header.logicalIndexAt(at)
        if not 0 <= section < len(self.model.columns):
            return
        column = self.model.columns[section]
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(f"Filter by {column.title}…").triggered.connect(
            lambda: self.filter_by(column.key)
        )
        name = column.key.partition(":")[0]
        if name in BY_NAME:
            menu.addAction(f"Hide {CATALOGUE[name].title}").triggered.connect(
                lambda: self._show_measure(name, False)
            )
        menu.popup(header.mapToGlobal(at))

    def filter_by(self, key: str) -> None:
        """Begin a condition on a column, for the user to end."""
        text = self.filter.text().rstrip(" ,")
        self.filter.setFocus()
        self.filter.blockSignals(True)
        self.filter.setText(f"{text}, {key} > " if text else f"{key} > ")
        self.filter.blockSignals(False)

    def _fill_columns(self, menu: QMenu) -> None:
        menu.clear()
        wanted = self.measuring.wanted
        for name, measure in BY_NAME.items():
            tick(menu, measure.title, name not in self.hidden_columns, tip(measure),
                  partial(self._show_measure, name))  # fmt: skip
        menu.addSeparator()
        tick(menu, "What the picture keeps (slower)", wanted.pictures,
              "What a picture of the model's own queries and keys keeps of the attention.",
              lambda on: self.measuring.want(pictures=on))  # fmt: skip
        for option, (words, measure) in _EXTRAS.items():
            tick(menu, words, getattr(wanted, option), tip(measure),
                  partial(self._want, option))  # fmt: skip

    def _fill_baselines(self, menu: QMenu) -> None:
        menu.clear()
        for which, words in BASELINES.items():
            tick(menu, BASELINE_TITLES[which].capitalize(),
                  getattr(self.measuring.wanted, which), words,
                  partial(self._want, which))  # fmt: skip

    def _fill_layers(self, menu: QMenu) -> None:
        menu.clear()
        capture = self.document.capture
        n = 0 if capture is None else len(capture.layers)
        hidden = self.proxy.hidden_layers
        for words, chosen in (("All layers", frozenset[int]()), ("None", frozenset(range(n)))):
            menu.addAction(words).triggered.connect(partial(self._hide_layers, chosen))
        menu.addSeparator()
        for layer in range(n):
            assert capture is not None
            tick(menu, f"Layer {layer}", layer not in hidden, capture.layers[layer].name,
                 partial(self._show_layer, layer))  # fmt: skip

    def _want(self, option: str, on: bool) -> None:
        self.measuring.want(**{option: on})

    def _show_measure(self, name: str, on: bool) -> None:
        self.hidden_columns = self.hidden_columns - {name} if on else self.hidden_columns | {name}
        self.fill()

    def _show_layer(self, layer: int, on: bool) -> None:
        hidden = self.proxy.hidden_layers
        self._hide_layers(hidden - {layer} if on else hidden | {layer})

    def _hide_layers(self, hidden: frozenset[int]) -> None:
        self.proxy.show_only(hidden_layers=frozenset(hidden))
        self._tell()

    # -- copy and export ---------------------------------------------------------------------

    def rows(self, *, titles: bool = False) -> list[list[object]]:
        """Return the table as it is shown, its heading first; numbers whole."""
        columns = self.model.columns
        rows: list[list[object]] = [[c.title if titles else c.key for c in columns]]
        for i in range(self.proxy.rowCount()):
            row = self.proxy.mapToSource(self.proxy.index(i, 0)).row()
            rows.append(
                [int(c.values[row]) if c.key in ("layer", "head") else float(c.values[row])
                 for c in columns]
            )  # fmt: skip
        return rows

    def copy(self) -> None:
        """Copy the table as text, tab separated."""
        lines = ["\t".join(exact(value) for value in row) for row in self.rows(titles=True)]
        QGuiApplication.clipboard().setText("\n".join(lines) + "\n")
        self.copied.emit("Copied: measures of heads")
