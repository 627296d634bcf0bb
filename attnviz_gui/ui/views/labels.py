"""Token labels beside their points: which are shown, where, and how they are drawn.

Labels never overlap each other and always touch their own point's side; what does not fit is left
out, the least important first. Knows nothing of the document; never moves a point.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPainterPath, QPen, QPixmap

from attnviz_gui.ui.theme import SMALL, font

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Float = npt.NDArray[np.float64]
    Int = npt.NDArray[np.intp]
    Bool = npt.NDArray[np.bool_]
    Bounds = tuple[float, float, float, float]

GAP = 2.5  # pixels between a marker's edge and its label
LONGEST = 110.0  # pixels; a longer token is shortened
MOST_NEAR = 1  # so many other points may be as near to a label as its own
HALO = 1.75  # pixels of ground around the letters, so that they read over a line
LEAST_SEEN, RIM = 1.6, 3.0  # contrasts: below the first, a marker has a rim of the second

# Where a label may stand: the sign of its centre's offset from the point, the better ones first.
_SIDES = np.array(
    [(1, 0), (1, -1), (-1, 0), (1, 1), (-1, -1), (-1, 1), (0, -1), (0, 1)], dtype=np.float64
)
_SIDE_COST = np.array([0.0, 0.12, 0.10, 0.16, 0.20, 0.24, 0.22, 0.26])


def sides(sizes: Float, radius: float) -> Float:
    """Return the top left corners that each label may have, relative to its point.

    Parameters
    ----------
    sizes : (N, 2)
        Width and height of the labels in pixels.
    radius : float
        Radius of the markers in pixels.

    Returns
    -------
    (N, 8, 2)
    """
    away = radius + GAP
    diagonal = away * 0.75  # a corner is nearer to the point than a side
    reach = np.where(np.abs(_SIDES).sum(axis=1, keepdims=True) == 2, diagonal, away)
    half = sizes[:, None, :] / 2
    return _SIDES * (half + reach) - half


def place(
    points: Float,
    sizes: Float,
    order: Int,
    *,
    bounds: Bounds,
    radius: float,
    away: Float | None = None,
    obstacles: Float | None = None,
    n_forced: int = 0,
    most: int = 200,
) -> tuple[Int, Float]:
    """Choose labels and their places: greedy, the most important first, none over another.

    Parameters
    ----------
    points, sizes : (N, 2)
        Points, and widths and heights of their labels, in pixels.
    order : (M,) int
        The points that may be labelled, the most important first.
    bounds : x0, y0, x1, y1
        No label leaves this rectangle.
    radius : float
        Radius of the markers.
    away : (N, 2), optional
        For each point a direction (length 1 at most) in which its label should rather not stand.
    obstacles : (P, 2), optional
        Markers not to be covered; the points themselves if left out.
    n_forced : int
        So many of `order` may cover markers where there is no better place.
    most : int
        No more labels than this.

    Returns
    -------
    index : (L,) int, the labelled points, the most important first
    corner : (L, 2), top left corners of the labels relative to their points
    """
    none = np.zeros(0, dtype=np.intp), np.zeros((0, 2))
    if not len(order) or bounds[2] - bounds[0] < 2 or bounds[3] - bounds[1] < 2:
        return none
    corners = sides(sizes[order], radius)  # (M, 8, 2)
    low = points[order][:, None, :] + corners
    high = low + sizes[order][:, None, :]
    inside: Bool = np.all((low >= bounds[:2]) & (high <= bounds[2:]), axis=2)  # (M, 8)
    table = _table(points if obstacles is None else obstacles, bounds)
    covered = _count(table, low, high, bounds, 0.6 * radius)  # (M, 8)
    # Points as near to the label as its own, to which it might be taken to belong.
    near = _count(table, low, high, bounds, 0.7 * (radius + GAP))
    cost = covered + 0.3 * near + _SIDE_COST
    if away is not None:
        unit = _SIDES / np.linalg.norm(_SIDES, axis=1, keepdims=True)
        cost = cost + 0.5 * np.maximum(away[order] @ unit.T, 0)
    allowed = inside & (covered == 0) & (near <= MOST_NEAR)
    allowed[:n_forced] = inside[:n_forced]

    rows = np.flatnonzero(allowed.any(axis=1))
    best = np.argsort(np.where(allowed, cost, np.inf)[rows], axis=1, kind="stable")
    n_allowed = allowed[rows].sum(axis=1)
    # Taken pixels; rounding outwards keeps labels apart by what it adds.
    taken = np.zeros(
        (math.ceil(bounds[3] - bounds[1]) + 1, math.ceil(bounds[2] - bounds[0]) + 1), bool
    )
    first = np.floor(low[rows] - bounds[:2]).astype(np.intp).tolist()
    last = np.ceil(high[rows] - bounds[:2]).astype(np.intp).tolist()
    chosen: list[int] = []
    chosen_side: list[int] = []
    for row, (order_of_sides, n) in enumerate(zip(best.tolist(), n_allowed.tolist(), strict=True)):
        for side in order_of_sides[:n]:
            (x0, y0), (x1, y1) = first[row][side], last[row][side]
            if not taken[y0:y1, x0:x1].any():
                taken[y0:y1, x0:x1] = True
                chosen.append(int(rows[row]))
                chosen_side.append(side)
                break
        if len(chosen) == most:
            break
    if not chosen:
        return none
    return order[chosen], corners[chosen, chosen_side]


def disjoint(low: Float, high: Float) -> Bool:
    """Return which rectangles stay when each that overlaps an earlier kept one is dropped.

    Parameters
    ----------
    low, high : (L, 2)
        Top left and bottom right corners, the most important first.
    """
    cross = (low[:, None] < high[None]) & (high[:, None] > low[None])  # (L, L, 2)
    overlap: Bool = np.all(cross, axis=2)
    keep = np.ones(len(low), dtype=bool)
    for i in np.flatnonzero(np.tril(overlap, -1).any(axis=1)):
        keep[i] = not (overlap[i, :i] & keep[:i]).any()
    return keep


def _table(points: Float, bounds: Bounds) -> Int:
    """Return the summed-area table of the points: how many lie above and left of each pixel."""
    x0, y0, x1, y1 = bounds
    h, w = math.ceil(y1 - y0) + 2, math.ceil(x1 - x0) + 2
    cell = np.floor(points - (x0, y0)).astype(np.intp) + 1
    cell = cell[np.all((cell >= 0) & (cell < (w, h)), axis=1)]
    counts = np.bincount(cell[:, 1] * w + cell[:, 0], minlength=h * w).reshape(h, w)
    table = np.zeros((h + 1, w + 1), dtype=np.intp)
    np.cumsum(np.cumsum(counts, axis=0), axis=1, out=table[1:, 1:])
    return table


def _count(table: Int, low: Float, high: Float, bounds: Bounds, grow: float) -> Int:
    """Count the points in each rectangle grown by `grow`."""
    limit = table.shape[1] - 1, table.shape[0] - 1
    a = np.clip(np.ceil(low - grow - bounds[:2]).astype(np.intp) + 1, 0, limit)
    b = np.clip(np.floor(high + grow - bounds[:2]).astype(np.intp) + 1, a, limit)
    ax, ay, bx, by = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    return table[by, bx] - table[ay, bx] - table[by, ax] + table[ay, ax]


class LabelArt:
    """The labels of one text as small pictures with a halo, kept until text or colour change.

    Parameters
    ----------
    texts : sequence of str
        One for each point.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        self.tokens = tuple(texts)
        self.font = font(SMALL)
        metrics = QFontMetricsF(self.font)
        shown: dict[str, tuple[str, float]] = {}
        for text in dict.fromkeys(texts):
            line = " ".join(text.split()) or "␣"
            short = metrics.elidedText(line, Qt.TextElideMode.ElideMiddle, LONGEST)
            shown[text] = short, metrics.horizontalAdvance(short)
        self.texts = [shown[text][0] for text in texts]
        # Letters, not the line's full height: neighbours may come close.
        self._ascent = metrics.ascent() - 1
        height = math.ceil(self._ascent + metrics.descent() - 1)
        self.sizes = np.array([(math.ceil(shown[t][1]) + 2, height) for t in texts], dtype=float)
        self.sizes = self.sizes.reshape(-1, 2)
        self._look: tuple[object, ...] = ()
        self._pictures: dict[tuple[str, int], QPixmap] = {}

    def draw(
        self,
        painter: QPainter,
        index: Iterable[int],
        corners: Float,
        colors: Sequence[QColor],
        ground: QColor,
        scale: float,
    ) -> None:
        """Draw the labels `index` with their top left corners at `corners`, in pixels.

        `colors` are those of the labels drawn; `scale` is the painter's device pixels per pixel.
        """
        look = ground.rgba(), scale
        if look != self._look:
            self._look = look
            self._pictures.clear()
        margin = math.ceil(HALO)
        # On whole device pixels: letters stay sharp.
        places = (np.round((corners - margin) * scale) / scale).tolist()
        for i, (x, y), color in zip(index, places, colors, strict=True):
            key = self.texts[i], color.rgba()
            picture = self._pictures.get(key)
            if picture is None:
                picture = self._picture(i, color, ground, scale)
                self._pictures[key] = picture
            painter.drawPixmap(QPointF(x, y), picture)

    def _picture(self, index: int, color: QColor, ground: QColor, scale: float) -> QPixmap:
        margin = math.ceil(HALO)
        w, h = (int(v) + 2 * margin for v in self.sizes[index].tolist())
        picture = QPixmap(math.ceil(w * scale), math.ceil(h * scale))
        picture.setDevicePixelRatio(scale)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        base = QPointF(margin + 1, margin + self._ascent)
        path = QPainterPath()
        path.addText(base, self.font, self.texts[index])
        halo = QPen(ground, 2 * HALO)
        halo.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.strokePath(path, halo)
        painter.setFont(self.font)
        painter.setPen(color)
        painter.drawText(base, self.texts[index])
        painter.end()
        return picture


def rectangles(points: Float, corner: Float, sizes: Float) -> list[QRectF]:
    """Return the labels' rectangles in pixels."""
    low = points + corner
    return [QRectF(*a, *b) for a, b in zip(low.tolist(), sizes.tolist(), strict=True)]


def readable(color: QColor, ground: QColor, text: QColor, contrast: float = 4.5) -> QColor:
    """Return `color` mixed with the text's colour until it reads on the ground.

    The contrast is that of the Web Content Accessibility Guidelines (4.5: normal text, AA).
    """
    for part in np.linspace(0, 1, 21):
        mixed = mix(color, text, float(part))
        if contrast_of(mixed, ground) >= contrast:
            return mixed
    return text


def contrast_of(one: QColor, other: QColor) -> float:
    """Return the contrast of two colours as the Web Content Accessibility Guidelines define it."""
    a, b = sorted((_luminance(one), _luminance(other)))
    return (b + 0.05) / (a + 0.05)


def rim(fill: QColor, ground: QColor) -> QColor:
    """Return what a marker is rimmed with: the ground, which keeps it apart from its neighbours.

    One that is hardly seen on the ground (yellow on white) has a rim that is: of its own colour,
    with a contrast of 3.
    """
    return QColor.fromRgba(_rim(fill.rgba(), ground.rgba()))


@lru_cache(maxsize=512)
def _rim(fill: int, ground: int) -> int:
    color, behind = QColor.fromRgba(fill), QColor.fromRgba(ground)
    if contrast_of(color, behind) >= LEAST_SEEN:
        return ground
    far = QColor("black" if _luminance(behind) > 0.2 else "white")
    return readable(color, behind, far, RIM).rgba()


def mix(a: QColor, b: QColor, part: float) -> QColor:
    """Return the colour `part` of the way from `a` to `b`, opaque."""
    x, y = _parts(a), _parts(b)
    return QColor.fromRgbF(*(x + (y - x) * part).tolist())


def _luminance(color: QColor) -> float:
    c = _parts(color)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _parts(color: QColor) -> Float:
    return np.array([color.redF(), color.greenF(), color.blueF()])
