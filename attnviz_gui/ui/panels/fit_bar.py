"""Fit: for which heads, how far it is, and a way to stop it."""

from __future__ import annotations

from typing import cast

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from attnviz_gui.jobs.fitting import SCOPES, Scope

_SCOPE_TIPS = {
    "head": "The best a and c of the head on show.",
    "layer": "Each head of this layer its own a and c.",
    "all": "Each head of the model its own a and c.",
    "layer together": "One a and c that is best for all heads of this layer as one set of pairs.",
    "all together": "One a and c that is best for all heads of the model as one set of pairs.",
}
_FIT_TIP = (
    "Find the a and c that make the objective largest. Every head keeps its own fit,\n"
    "and brings it back when it is shown."
)


class FitBar(QWidget):
    """Scope and Fit, which is Cancel while a fit runs; Reset and the table of all fits."""

    wanted = Signal()
    cancel_wanted = Signal()
    table_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.running = False
        self.scope = QComboBox()
        self.scope.setObjectName("fit_scope")
        self.scope.setAccessibleName("Fit which heads")
        self.scope.setToolTip("Which heads are fitted, and which of them share one a and c.")
        for i, (scope, words) in enumerate(SCOPES.items()):
            self.scope.addItem(words, scope)
            self.scope.setItemData(i, _SCOPE_TIPS[scope], 3)  # Qt.ToolTipRole
        self.all_texts = QCheckBox("all texts")
        self.all_texts.setObjectName("fit_all_texts")
        self.all_texts.setAccessibleName("Fit on all texts")
        self.all_texts.setToolTip(
            "Fit on all texts of the capture: the pairs of every text count, and the fit holds for "
            "every text."
        )
        self.all_texts.hide()
        self.fit = QPushButton("Fit")
        self.fit.setObjectName("fit_button")
        self.fit.setAccessibleName("Fit")
        self.fit.setToolTip(_FIT_TIP)
        self.reset = QPushButton("Reset")
        self.reset.setObjectName("reset_button")
        self.reset.setAccessibleName("Reset")
        self.reset.setToolTip("Return to a = 0 and c = 1, and to the first range of a.")
        self.table = QPushButton("Table…")
        self.table.setObjectName("fits_button")
        self.table.setAccessibleName("Table of all fits")
        self.table.setToolTip("All fits, head by head, to be sorted and copied.")
        self.progress = QProgressBar()
        self.progress.setObjectName("fit_progress")
        self.progress.setAccessibleName("Progress of the fit")
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(4)
        keep = self.progress.sizePolicy()
        keep.setRetainSizeWhenHidden(True)  # nothing moves when a fit begins
        self.progress.setSizePolicy(keep)
        self.progress.hide()

        first, second = QHBoxLayout(), QHBoxLayout()
        first.addWidget(self.scope, 1)
        first.addWidget(self.all_texts)
        for button in (self.fit, self.reset, self.table):
            second.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(first)
        column.addLayout(second)
        column.addWidget(self.progress)
        self.fit.clicked.connect(
            lambda: self.cancel_wanted.emit() if self.running else self.wanted.emit()
        )
        self.table.clicked.connect(self.table_wanted)

    @property
    def scope_name(self) -> Scope:
        """The chosen scope."""
        return cast("Scope", self.scope.currentData())

    def set_running(self, running: bool) -> None:
        """Turn Fit into Cancel, or back."""
        self.running = running
        self.fit.setText("Cancel" if running else "Fit")
        self.fit.setAccessibleName("Cancel the fit" if running else "Fit")
        self.fit.setToolTip("Stop the fit; what was kept before stays." if running else _FIT_TIP)
        self.progress.setVisible(running)
        self.progress.setRange(0, 0)

    def set_progress(self, done: int, total: int) -> None:
        """Show how far the fit is; a total of 0: not known."""
        self.progress.setRange(0, total)
        self.progress.setValue(done)
