"""The column at the left: panels one below the other, scrolled where the window is too low."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QScrollArea, QVBoxLayout, QWidget

WIDTH = 286
MARGINS = 20  # left and right together


class Controls(QScrollArea):
    """Keeps its panels' width: a scroll bar takes the room of the margins beside them."""

    def __init__(self, *panels: QWidget) -> None:
        super().__init__()
        within = QWidget()
        self._column = column = QVBoxLayout(within)
        for panel in panels:
            column.addWidget(panel)
        column.addStretch(1)
        self.setWidget(within)
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFixedWidth(WIDTH)
        self.verticalScrollBar().rangeChanged.connect(self._fit)
        self._fit(0, 0)

    def _fit(self, low: int, high: int) -> None:
        bar = self.verticalScrollBar().sizeHint().width() if high > low else 0
        left = max(MARGINS - bar, 0) // 2
        self._column.setContentsMargins(left, 2, max(MARGINS - bar, 0) - left, 6)
