"""Matrices as colours: signed ones around 0, attention from 0 up; pooled where they are large.

Knows no document and no widget. What is pooled keeps its strongest entry, sign included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QColor, QImage

from attnviz_gui.ui.views.color_scale import mix, round_up
from attnviz_gui.ui.views.matrix_item import strongest

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.capture.anatomy.record import Matrix
    from attnviz_gui.ui.theme import Theme

    FloatArray = npt.NDArray[np.float32]

LARGEST = (640, 1280)  # rows and columns that are kept of a large matrix for its picture
_MANY = 4096  # entries from which a few outliers no longer set the colours
_SAMPLE = 1 << 18

# Purple below 0, green above: neither means anything else in the window. Told apart by people
# with any colour vision; the middle is the ground that the matrix lies on.
_NEGATIVE = {"light": ("#C2A5CF", "#762A83", "#3F0A55"), "dark": ("#6E4A86", "#B57CCB", "#F0D3FA")}
_POSITIVE = {"light": ("#A6D3A0", "#1B7837", "#003D17"), "dark": ("#2F6B45", "#5DB878", "#D2F7DA")}
_ZERO = {"light": "#FAFAFA", "dark": "#26292E"}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A matrix with what its picture needs, computed once and away from the GUI thread.

    Attributes
    ----------
    small
        The matrix, pooled where it is larger than `LARGEST`; minus infinity where masked.
    limit
        The value of the strongest colour; `peak` is the largest of all, and more where a few
        outliers were left out.
    """

    matrix: Matrix
    small: FloatArray
    limit: float
    peak: float


def prepare(matrix: Matrix) -> Prepared:
    """Pool a matrix and find the range of its colours."""
    values = matrix.values
    if matrix.mask is not None:
        values = np.where(matrix.mask, values, np.float32(-np.inf))
    rows, columns = (min(n, most) for n, most in zip(values.shape, LARGEST, strict=True))
    small = pooled(values, (rows, columns))
    step = max(values.size // _SAMPLE, 1)
    finite = small[np.isfinite(small)] if small.size else small.ravel()
    peak = float(np.abs(finite).max(initial=0))
    if matrix.kind == "share":
        return Prepared(matrix, small, round_up(peak), peak)
    limit = peak
    if values.size > _MANY:
        sample = values.ravel()[::step]
        usual = float(np.quantile(np.abs(sample[np.isfinite(sample)]), 0.995))
        limit = usual if peak > 2 * usual > 0 else peak
    return Prepared(matrix, small, limit or 1.0, peak)


def pooled(values: FloatArray, shape: tuple[int, int]) -> FloatArray:
    """Return a matrix of this shape: repeated where larger, the strongest entry where smaller."""
    rows, columns = (min(n, wanted) for n, wanted in zip(values.shape, shape, strict=True))
    if (rows, columns) != values.shape:
        above = strongest(values, (rows, columns))
        below = -strongest(np.where(np.isfinite(values), -values, -np.inf), (rows, columns))
        values = np.where(np.isfinite(below) & (-below > above), below, above)
    for axis, wanted in enumerate(shape):
        n = values.shape[axis]
        if n != wanted:
            values = values.take(np.arange(wanted) * n // wanted, axis=axis)
    return values


def signed_colors(theme: Theme) -> npt.NDArray[np.uint8]:
    """Return 255 colours from the lowest to the highest value, (255, 3); 0 in the middle."""
    kind = "dark" if theme.name == "dark" else "light"
    stops = [*reversed(_NEGATIVE[kind]), _ZERO[kind], *_POSITIVE[kind]]
    where = [0.0, 0.18, 0.36, 0.5, 0.64, 0.82, 1.0]
    parts = zip(*(_rgb(QColor(stop)) for stop in stops), strict=True)
    at = np.linspace(0, 1, 255)
    return np.stack([np.interp(at, where, part) for part in parts], axis=1).astype(np.uint8)


def share_colors() -> npt.NDArray[np.uint8]:
    """Return 255 colours for attention, (255, 3): the heatmap's own."""
    return pg.colormap.get("viridis").getLookupTable(nPts=255, alpha=False).astype(np.uint8)


def masked_color(theme: Theme) -> QColor:
    """Return the colour of a pair that the mask leaves out: the heatmap's own."""
    return mix(theme.color("ground"), theme.color("faint"), 0.55)


def colors_of(prepared: Prepared, values: FloatArray, theme: Theme) -> npt.NDArray[np.uint8]:
    """Return the colours of some of a matrix' values, (..., 3)."""
    share = prepared.matrix.kind == "share"
    table = share_colors() if share else signed_colors(theme)
    low = 0.0 if share else -prepared.limit
    allowed = np.isfinite(values)
    place = (np.where(allowed, values, 0) - low) / (prepared.limit - low)
    colors = table[np.clip(np.rint(place * 254), 0, 254).astype(np.intp)]
    if not allowed.all():
        colors[~allowed] = _rgb(masked_color(theme))
    return colors


def _rgb(color: QColor) -> tuple[int, int, int]:
    return color.red(), color.green(), color.blue()


def image_of(prepared: Prepared, width: int, height: int, theme: Theme) -> QImage:
    """Return a matrix as a picture of this many pixels."""
    values = pooled(prepared.small, (max(height, 1), max(width, 1)))
    colors = colors_of(prepared, values, theme)
    full = np.full((*colors.shape[:2], 4), 255, dtype=np.uint8)
    full[..., :3] = colors
    picture = QImage(full.data, width, height, 4 * width, QImage.Format.Format_RGBA8888)
    return picture.convertToFormat(QImage.Format.Format_RGB32)  # a copy, with memory of its own
