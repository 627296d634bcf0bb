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

from attnviz_gui.ui.views.labels import mix, rim
from attnviz_gui.ui.views.marks import Markers
from attnviz_gui.ui.views.raster import Area, count_dots

if TYPE_CHECKING:
    import numpy.typing as npt
    from PySide6.QtGui import QColor

    from attnviz_gui.ui.views.marks import Shape
    from attnviz_gui.ui.views.tones import Tones

    Float = npt.NDArray[np.float64]
    Bool = npt.NDArray[np.bool_]

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
    tones : pair of Tones, or None
        Of queries and keys; None where they have their two colours.
    """

    def __init__(self) -> None:
        self.query: Float = np.zeros((0, 2))
        self.key: Float = np.zeros((0, 2))
        self._markers = Markers()
        self._image = QImage()
        self._made_for: object = None
        self._version = 0
        self.tones: tuple[Tones, Tones] | None = None

    def __len__(self) -> int:
        return len(self.query) + len(self.key)

    def set_points(self, query: Float, key: Float) -> None:
        """Take other points."""
        self.query, self.key = query, key
        self._version += 1

    def set_tones(self, query: Tones | None, key: Tones | None) -> None:
        """Take other colours, and which points are shown; None: as queries and keys."""
        self.tones = None if query is None or key is None else (query, key)
        self._version += 1

    @property
    def shown(self) -> tuple[Bool | None, Bool | None]:
        """Which queries and keys are drawn; None where all are."""
        return (None, None) if self.tones is None else (self.tones[0].shown, self.tones[1].shown)

    def nearest(self, area: Area, x: float, y: float) -> tuple[int, float] | None:
        """Return the point nearest to a place in pixels, queries first, and how far it is."""
        best = None
        for first, points in ((0, self.query), (len(self.query), self.key)):
            if len(points):
                squares = (area.across(points[:, 0]) - x) ** 2 + (area.down(points[:, 1]) - y) ** 2
                shown = None if self.tones is None else self.tones[first > 0].shown
                if shown is not None:
                    squares[~shown] = np.inf
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
        if len(self) <= FEW and self.tones is not None:
            self._draw_toned(painter, area, diameter, (query, key), ground, scale)
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
        if (self._image.height(), self._image.width()) != shape:
            self._image = QImage(shape[1], shape[0], QImage.Format.Format_ARGB32_Premultiplied)
        pixels = np.frombuffer(self._image.bits(), dtype=np.uint32).reshape(shape)
        if self.tones is not None:
            self._mix_tones(area, inside, scale, colors, pixels)
            return
        level = np.zeros(shape, dtype=np.int32)
        for points, step in ((self.query, _LEVELS), (self.key, 1)):
            across = (area.across(points[:, 0]) * scale + inside[0]).astype(np.float32)
            down = (area.down(points[:, 1]) * scale + inside[1]).astype(np.float32)
            dots = count_dots(across, down, shape, DOT * scale)
            dots *= _STEPS
            np.minimum(dots, _LEVELS - 1, out=dots)
            level += dots.astype(np.int32) * step
        table = _colors(*((c.redF(), c.greenF(), c.blueF()) for c in colors))
        table.take(level, out=pixels, mode="clip")

    def _draw_toned(
        self, painter: QPainter, area: Area, diameter: float, colors: tuple[QColor, QColor],
        ground: QColor, scale: float,
    ) -> None:  # fmt: skip
        """Draw each point as a marker in the colour of its class or level."""
        assert self.tones is not None
        sides: tuple[tuple[int, Float, Shape], ...] = (
            (1, self.key, "triangle"),
            (0, self.query, "circle"),
        )
        for side, points, shape in sides:
            at = np.column_stack([area.across(points[:, 0]), area.down(points[:, 1])])
            for some, color, size in self.tones[side].groups(np.arange(len(points))):
                fill = colors[side] if color is None else color
                faded, edge = (mix(ground, c, 1.4 * FADED) for c in (fill, rim(fill, ground)))
                self._markers.draw(
                    painter, at[some], shape, diameter * size, faded, edge, scale
                )  # fmt: skip

    def _mix_tones(
        self, area: Area, inside: tuple[float, float], scale: float,
        colors: tuple[QColor, QColor], pixels: npt.NDArray[np.uint32],
    ) -> None:  # fmt: skip
        """Give each pixel the mean colour of its dots, as opaque as they are many."""
        assert self.tones is not None
        rgb, places = [], []
        for side, points in ((0, self.query), (1, self.key)):
            tones = self.tones[side]
            own = tones.colors if tones.level is not None else (colors[side],)
            table = np.array([[c.redF(), c.greenF(), c.blueF()] for c in own], dtype=np.float32)
            level = np.zeros(len(points), np.int64) if tones.level is None else tones.level
            shown = slice(None) if tones.shown is None else tones.shown
            rgb.append(table[level][shown])
            places.append(points[shown])
        points, weights = np.concatenate(places), np.concatenate(rgb)
        across = (area.across(points[:, 0]) * scale + inside[0]).astype(np.float32)
        down = (area.down(points[:, 1]) * scale + inside[1]).astype(np.float32)
        shape = pixels.shape
        dots = count_dots(across, down, shape, DOT * scale)
        full = np.log(np.maximum(dots, 1)) / math.log(2 * _LEVELS / _STEPS)
        opacity = (LOWEST + (HIGHEST - LOWEST) * np.minimum(full, 1)) * np.minimum(dots, 1)
        factor = 255 * opacity / np.maximum(dots, 1e-6)
        pixels[:] = np.rint(255 * opacity).astype(np.uint32) << 24
        for part, bits in ((0, 16), (1, 8), (2, 0)):
            total = count_dots(across, down, shape, DOT * scale, weights[:, part])
            pixels |= np.rint(np.minimum(total * factor, 255)).astype(np.uint32) << bits


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
