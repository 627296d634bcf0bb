"""The points of all texts behind those of the chosen one: every one of them, however many.

Up to a few thousand they are markers; more are dots counted on pixels, where the colour of a pixel
says how many queries and how many keys lie on it. Knows nothing of the document.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPoint, QRectF
from PySide6.QtGui import QImage, QPainter

from attnviz_gui.ui.views.labels import mix
from attnviz_gui.ui.views.marks import Markers
from attnviz_gui.ui.views.raster import Area, count_dots

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QColor

    from attnviz_gui.ui.views.marks import Shape

    Float = npt.NDArray[np.float64]

FEW = 3_000  # points up to which each is a marker
FADED = 0.45  # how much of its colour a marker keeps, the rest is ground
DOT = 2.2  # diameter of a dot in pixels
LOWEST, HIGHEST = 0.34, 0.92  # opacity of a pixel with one dot, and of the fullest
_STEPS = 3  # colours per dot
_LEVELS = 96  # of either kind


class Crowd:
    """Queries and keys of all texts.

    Attributes
    ----------
    query, key : (N_q, 2), (N_k, 2)
        In the plane's unit.
    """

    def __init__(self) -> None:
        self.query: Float = np.zeros((0, 2))
        self.key: Float = np.zeros((0, 2))
        self._markers = Markers()
        self._image = QImage()
        self._made_for: object = None
        self._version = 0

    def __len__(self) -> int:
        return len(self.query) + len(self.key)

    def set_points(self, query: Float, key: Float) -> None:
        """Take other points."""
        self.query, self.key = query, key
        self._version += 1

    def nearest(self, area: Area, x: float, y: float) -> tuple[int, float] | None:
        """Return the point nearest to a place in pixels, queries first, and how far it is."""
        best = None
        for first, points in ((0, self.query), (len(self.query), self.key)):
            if len(points):
                squares = (area.across(points[:, 0]) - x) ** 2 + (area.down(points[:, 1]) - y) ** 2
                i = int(squares.argmin())
                apart = math.sqrt(squares[i])
                if best is None or apart < best[1]:
                    best = first + i, apart
        return best

    def draw(
        self, painter: QPainter, area: Area, diameter: float, query: QColor, key: QColor,
        ground: QColor, scale: float,
    ) -> None:  # fmt: skip
        """Draw all points into an area that begins at (0, 0).

        `diameter` is that of a marker, `scale` the painter's device pixels per pixel.
        """
        if not len(self):
            return
        if len(self) <= FEW:
            sides: tuple[tuple[Float, Shape, QColor], ...] = (
                (self.key, "triangle", key),
                (self.query, "circle", query),
            )
            for points, shape, color in sides:
                at = np.column_stack([area.across(points[:, 0]), area.down(points[:, 1])])
                faded = mix(ground, color, FADED)
                self._markers.draw(painter, at, shape, diameter, faded, ground, scale)
            return
        to_device = painter.deviceTransform()
        place = to_device.mapRect(QRectF(0, 0, area.width, area.height))
        corner = QPoint(math.floor(place.left()), math.floor(place.top()))
        shape_of_image = (
            math.ceil(place.bottom()) - corner.y(), math.ceil(place.right()) - corner.x(),
        )  # fmt: skip
        inside = place.left() - corner.x(), place.top() - corner.y()
        wanted = (
            self._version, area, shape_of_image, inside, scale, query.rgba(), key.rgba(),
        )  # fmt: skip
        if wanted != self._made_for:
            self._make_image(area, shape_of_image, inside, scale, (query, key))
            self._made_for = wanted
        painter.save()
        painter.setTransform(to_device.inverted()[0], True)
        painter.drawImage(corner, self._image)
        painter.restore()

    def _make_image(
        self, area: Area, shape: tuple[int, int], inside: tuple[float, float], scale: float,
        colors: tuple[QColor, QColor],
    ) -> None:  # fmt: skip
        level = np.zeros(shape, dtype=np.int32)
        for points, step in ((self.query, _LEVELS), (self.key, 1)):
            across = (area.across(points[:, 0]) * scale + inside[0]).astype(np.float32)
            down = (area.down(points[:, 1]) * scale + inside[1]).astype(np.float32)
            dots = count_dots(across, down, shape, DOT * scale)
            dots *= _STEPS
            np.minimum(dots, _LEVELS - 1, out=dots)
            level += dots.astype(np.int32) * step
        if (self._image.height(), self._image.width()) != shape:
            self._image = QImage(shape[1], shape[0], QImage.Format.Format_ARGB32_Premultiplied)
        pixels = np.frombuffer(self._image.bits(), dtype=np.uint32).reshape(shape)
        table = _colors(*((c.redF(), c.greenF(), c.blueF()) for c in colors))
        table.take(level, out=pixels, mode="clip")


@lru_cache(maxsize=8)
def _colors(
    query: tuple[float, float, float], key: tuple[float, float, float]
) -> npt.NDArray[np.uint32]:
    """Return the colour of each count of queries and keys, 0xAARRGGBB, premultiplied.

    The tone says how the dots are shared between the two, the opacity how many there are, by the
    logarithm.
    """
    dots = np.arange(_LEVELS) / _STEPS
    of_query, of_key = np.repeat(dots, _LEVELS), np.tile(dots, _LEVELS)
    both = of_query + of_key
    share = of_query / np.maximum(both, 1e-9)
    rgb = np.outer(share, query) + np.outer(1 - share, key)
    fullness = np.log(np.maximum(both, 1)) / math.log(2 * _LEVELS / _STEPS)
    opacity = (LOWEST + (HIGHEST - LOWEST) * np.minimum(fullness, 1)) * np.minimum(both, 1)
    parts = np.column_stack([opacity, rgb * opacity[:, None]])
    parts = np.rint(parts * 255).astype(np.uint32)
    return (parts << np.array([24, 16, 8, 0], dtype=np.uint32)).sum(axis=1, dtype=np.uint32)
