"""An image of few discs: drawn and wiped pixel by pixel, in the number of those with ink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QImage

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.ui.views.raster import Sheet


class FewDiscs:
    """Keeps its image from frame to frame, and knows which of its pixels are not free."""

    def __init__(self) -> None:
        self.image = QImage()
        self._ink = np.zeros(0)
        self._inked = np.zeros(0, dtype=np.intp)

    def draw(self, sheet: Sheet, colors: npt.NDArray[np.uint32], steps: float) -> QImage:
        """Return the image, margin and all, of ink whose colour stands at ink times `steps`."""
        rows, columns = sheet.shape
        if (self.image.height(), self.image.width()) != sheet.shape:
            self.image = QImage(columns, rows, QImage.Format.Format_ARGB32_Premultiplied)
            self.image.fill(0)
            self._ink = np.zeros(rows * columns)
            self._inked = self._inked[:0]
        pixels = np.frombuffer(self.image.bits(), dtype=np.uint32)
        pixels[self._inked] = 0
        place = self._inked = sheet.place
        np.add.at(self._ink, place, sheet.ink)
        pixels[place] = colors.take((self._ink[place] * steps).astype(np.intp), mode="clip")
        self._ink[place] = 0
        return self.image
