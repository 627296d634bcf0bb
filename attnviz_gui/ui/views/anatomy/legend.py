"""What the colours of the matrices mean: signed around 0, attention from 0 up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFontMetricsF, QImage, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

from attnviz_gui.ui.theme import SMALL, font
from attnviz_gui.ui.views.anatomy.colors import share_colors, signed_colors

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from attnviz_gui.ui.theme import Theme

BAR = 54
GAP = 5


class Legend(QWidget):
    """Two short colour bars with their ends named; left out where there is no room."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.theme = theme
        self.setAccessibleName("Colours: purple below zero, green above; attention from 0 up")
        self.setToolTip("Each matrix has a range of its own; its largest entry has the last colour")
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        metrics = QFontMetricsF(font(SMALL))
        self._wide = [
            metrics.horizontalAdvance("−") + metrics.horizontalAdvance("0 +") + 2 * GAP + BAR,
            metrics.horizontalAdvance("attention 0") + metrics.horizontalAdvance("max")
            + 2 * GAP + BAR,
        ]  # fmt: skip

    def set_theme(self, theme: Theme) -> None:
        """Take another theme's colours."""
        self.theme = theme
        self.update()

    def sizeHint(self) -> QSize:
        """Both bars."""
        return QSize(round(sum(self._wide)) + 24, 18)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars that fit, from the right."""
        if self.width() < self.sizeHint().width():
            return
        p = QPainter(self)
        p.setFont(font(SMALL))
        x = self.width() - sum(self._wide) - 20
        x = self._bar(p, x, "−", signed_colors(self.theme), "+") + 20
        self._bar(p, x, "attention 0", share_colors(), "max")
        p.end()

    def _bar(self, p: QPainter, x: float, low: str, colors: np.ndarray, high: str) -> float:
        metrics = QFontMetricsF(font(SMALL))
        middle = self.height() / 2
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        p.setPen(self.theme.color("muted"))
        wide = metrics.horizontalAdvance(low)
        p.drawText(QRectF(x, 0, wide + 2, self.height()), flags, low)
        x += wide + GAP
        full = np.full((1, len(colors), 4), 255, dtype=np.uint8)
        full[0, :, :3] = colors
        strip = QImage(full.data, len(colors), 1, 4 * len(colors), QImage.Format.Format_RGBA8888)
        area = QRectF(x, middle - 4, BAR, 8)
        p.drawImage(area, strip.copy())
        p.drawRect(area)
        x += BAR + GAP
        wide = metrics.horizontalAdvance(high)
        p.drawText(QRectF(x, 0, wide + 2, self.height()), flags, high)
        return x + wide
