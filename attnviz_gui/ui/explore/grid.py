"""Joins the grid of all heads to the window: its panel, its worker, and what sorts and dims."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtWidgets import (
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QWidget,
)

from attnviz_gui.jobs.runner import Runner, Worker
from attnviz_gui.ui.panels.buttons import tool_button
from attnviz_gui.ui.parts import Part, PartDock
from attnviz_gui.ui.signals import quiet

if TYPE_CHECKING:
    from PySide6.QtGui import QResizeEvent

    from attnviz_gui.jobs.mosaic import MosaicRequest
    from attnviz_gui.ui.explore.view_panel import ViewPanel
    from attnviz_gui.ui.main_window import MainWindow
    from attnviz_gui.ui.theme import Theme
    from attnviz_gui.ui.views.head_grid import HeadGridView

TITLE = "All heads"
TIGHT = "QToolButton { padding-left: 3px; padding-right: 3px; }"
ORDERS = (
    ("none", "in order", "Layers and heads as they are numbered."),
    ("layers", "sort layers", "Layers from the largest mean of the measure to the least."),
    ("heads", "sort heads", "Columns from the largest mean of the measure to the least."),
    ("both", "sort both", "Layers and columns, each by the mean of the measure."),
    ("within", "sort within layers", "The heads of each layer by themselves."),
)


class HeadGridPart(Part):
    """The panel of all heads."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self.panel: ViewPanel | None = None
        self.view: HeadGridView | None = None
        self.runner: Runner | None = None
        self._worker: Worker | None = None
        self._request: MosaicRequest | None = None
        self.dock = PartDock(TITLE, "head_grid_panel", self._make, early=True)
        window.workspace.add(self.dock)
        action = self.dock.toggleViewAction()
        action.setToolTip("Every head of every layer on one screen; a click opens one.")
        window.explore_menu.addAction(action)

    def _make(self) -> QWidget:
        from attnviz_gui.ui.explore.view_panel import ViewPanel
        from attnviz_gui.ui.views.head_grid import HeadGridView

        view = self.view = HeadGridView(self.document, self.window.theme)
        self._worker = Worker("grid")
        runner = self.runner = Runner(self._worker, self)
        view.compute, view.give_up, view.at_once = self._compute, runner.cancel, False
        runner.progressed.connect(self._progressed)
        runner.finished.connect(lambda _: view.finish(self._request))
        runner.failed.connect(self._failed)
        runner.stopped.connect(self._show_running)
        self.bar = QProgressBar()
        self.bar.setObjectName("head_grid_progress")
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(40)
        self.bar.setMaximumHeight(10)
        self.bar.setAccessibleName("Heads that are drawn")
        self.bar.setToolTip("How many heads are drawn.")
        self.button = tool_button("Cancel")
        self.button.setObjectName("head_grid_cancel")
        self.button.setAccessibleName("Cancel or go on")
        self.button.setToolTip("Stop; the heads that are drawn stay.")
        self.button.setFixedWidth(58)
        self.button.clicked.connect(self.toggle)
        # Their room is kept: a row that comes and goes changes the cells' size, which asks anew.
        for each in (self.bar, self.button):
            policy = each.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            each.setSizePolicy(policy)
        panel = self.panel = ViewPanel(self.window, view, TITLE)
        beside = QWidget()
        row = QHBoxLayout(beside)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        for widget in (panel.picks["pool"], panel.picks["axes"], self.bar, self.button):
            panel.row.removeWidget(widget)
            row.addWidget(widget)
        row.addStretch(1)
        panel.row.insertWidget(0, Fold(panel.picks["mode"], beside), 1)
        panel.row.setStretch(panel.row.count() - 1, 0)
        self.choices = GridChoices(view)
        layout: Any = panel.layout()
        layout.insertWidget(2, self.choices)
        view.titled.connect(self._follow)
        self._follow()
        self._show_running()
        return panel

    # -- computing ---------------------------------------------------------------------------

    def _compute(self, request: MosaicRequest, _view: HeadGridView) -> None:
        assert self.runner is not None
        self._request = request
        self.runner.submit(request)
        self.bar.setRange(0, len(request.wanted))
        self.bar.setValue(0)
        self._show_running()

    def _progressed(self, done: int, total: int) -> None:
        assert self.view is not None
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.view.take(self._request)
        self.view.titled.emit()

    def _failed(self, fault: BaseException) -> None:
        assert self.view is not None
        self.view.halt()
        raise fault

    def toggle(self) -> None:
        """Stop, or go on."""
        assert self.view is not None and self.runner is not None
        if self.runner.running:
            self.view.halt()
            self.runner.cancel()
        else:
            self.view.go_on()
        self._show_running()

    def _show_running(self) -> None:
        assert self.view is not None and self.runner is not None
        running = self.runner.running
        if not running:
            self._request = None  # nothing holds a capture that nobody looks at
        self.bar.setVisible(running)
        self.button.setVisible(running or self.view.halted)
        self.button.setText("Cancel" if running else "Go on")

    def _follow(self) -> None:
        """Show the choices that have a meaning for what the cells are."""
        assert self.view is not None and self.panel is not None
        mode = self.view.choices["mode"]
        self.panel.picks["pool"].setVisible(mode == "attention")
        self.panel.picks["axes"].setVisible(mode == "plane")
        self.button.setVisible(self.view.halted or self.bar.isVisibleTo(self.panel))
        self.choices.follow()

    # -- as a part ---------------------------------------------------------------------------

    def set_theme(self, theme: Theme) -> None:
        """Take another theme."""
        if self.panel is not None:
            self.panel.retheme(theme)

    def close(self) -> None:
        """Cancel what runs, wait for it, and follow the document no longer."""
        if self.runner is not None:
            self.runner.close()
        if self._worker is not None:
            self._worker.close()
        if self.panel is not None:
            self.panel.stop()


class Fold(QWidget):
    """Two groups of controls side by side; one below the other where words would be cut short."""

    def __init__(self, first: QWidget, second: QWidget) -> None:
        super().__init__()
        self.first, self.second = first, second
        self._wide = 0  # of the first, with all the room that its words are given
        self._tight = False
        box = self._box = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addWidget(first, 0, Qt.AlignmentFlag.AlignLeft)
        box.addWidget(second, 1)

    def minimumSizeHint(self) -> QSize:
        """As narrow as the wider of the two: folding makes the room."""
        hints = self.first.minimumSizeHint(), self.second.minimumSizeHint()
        wide = min(max(hint.width() for hint in hints), 280)
        return QSize(wide, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold, or unfold."""
        super().resizeEvent(event)
        self.fold()

    def event(self, event: QEvent) -> bool:
        """Fold where a control has come or gone."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:
            self.fold()
        return done

    def fold(self) -> None:
        """Stand side by side only where both have room; alone, its words move together."""
        if not self._tight:
            self._wide = self.first.sizeHint().width()
        if (tight := self.width() < self._wide) != self._tight:
            self._tight = tight
            self.first.setStyleSheet(TIGHT if tight else "")
        needed = self.first.sizeHint().width() + self.second.sizeHint().width() + 6
        way = QBoxLayout.Direction
        want = way.LeftToRight if needed <= self.width() else way.TopToBottom
        if self._box.direction() != want:
            self._box.setDirection(want)


class GridChoices(QWidget):
    """A measure, whether it sorts, and the least that is not dimmed."""

    def __init__(self, view: HeadGridView) -> None:
        super().__init__()
        self.view = view
        self._names: tuple[str, ...] = ()
        self.measure = QComboBox()
        self.measure.setObjectName("head_grid_measure")
        self.measure.setAccessibleName("Measure of heads")
        self.measure.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.measure.setMinimumContentsLength(12)
        self.order = QComboBox()
        self.order.setObjectName("head_grid_order")
        self.order.setAccessibleName("Order of the heads")
        self.order.setToolTip("Whether layers, heads or both are sorted by the measure.")
        for value, words, tip in ORDERS:
            self.order.addItem(words, value)
            self.order.setItemData(self.order.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.dim = QCheckBox("only >")
        self.dim.setObjectName("head_grid_filter")
        self.dim.setAccessibleName("Dim heads")
        self.dim.setToolTip("Dim heads whose measure is not above this number.")
        self.limit = QDoubleSpinBox()
        self.limit.setObjectName("head_grid_limit")
        self.limit.setAccessibleName("Least measure that is not dimmed")
        self.limit.setToolTip(self.dim.toolTip())
        self.limit.setRange(-1e6, 1e6)
        self.limit.setDecimals(3)
        self.limit.setSingleStep(0.1)
        self.limit.setEnabled(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 0, 8, 2)
        row.setSpacing(6)
        word = QLabel("measure")
        word.setProperty("quiet", True)
        groups = QWidget(), QWidget()
        parts: tuple[tuple[QWidget, ...], ...] = (
            (word, self.measure, self.order), (self.dim, self.limit)
        )  # fmt: skip
        for group, widgets in zip(groups, parts, strict=True):
            inner = QHBoxLayout(group)
            inner.setContentsMargins(0, 0, 0, 0)
            inner.setSpacing(6)
            for widget in widgets:
                inner.addWidget(widget)
            inner.addStretch(1)
        row.addWidget(Fold(*groups), 1)
        self.measure.currentIndexChanged.connect(self._chosen)
        self.order.currentIndexChanged.connect(
            lambda i: self.view.choose_order(self.order.itemData(i))
        )
        self.dim.toggled.connect(self._dim)
        self.limit.valueChanged.connect(self._dim)
        self.follow()

    def _chosen(self, index: int) -> None:
        self.view.choose_measure(self.measure.itemData(index))
        self.follow()

    def _dim(self, *_: object) -> None:
        on = self.dim.isChecked()
        self.limit.setEnabled(on)
        self.view.choose_limit(self.limit.value() if on else None)

    def follow(self) -> None:
        """List the measures that there are, and say where the chosen one lies."""
        from attnviz_gui.analysis.catalogue import CATALOGUE, tip
        from attnviz_gui.analysis.measures import MEASURES

        found = self.view.measures
        names = tuple(each.name for each in MEASURES)
        if found is not None:
            names = (*names, *(name for name in found.names if name not in names))
        if names != self._names:
            self._names = names
            with quiet(self.measure):
                self.measure.clear()
                for name in names:
                    known = CATALOGUE.get(name)
                    self.measure.addItem(name if known is None else known.title, name)
                    if known is not None:
                        last = self.measure.count() - 1
                        self.measure.setItemData(last, tip(known), Qt.ItemDataRole.ToolTipRole)
        with quiet(self.measure):
            self.measure.setCurrentIndex(max(self.measure.findData(self.view.measure), 0))
        known = CATALOGUE.get(self.view.measure)
        self.measure.setToolTip("" if known is None else tip(known))
        values = [v for v in self.view.values().values() if math.isfinite(v)]
        if values:
            spread = max(values) - min(values)
            with quiet(self.limit):
                self.limit.setSingleStep(max(spread / 50, 1e-3))
