"""The colours of a plane's points, where they are coloured by something else than their side.

Classes have the eight colours of Okabe and Ito, numbers viridis: both can be told apart without
seeing red and green. Knows no document.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QColor

from attnviz_gui.session.coloring import LEVELS

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.session.coloring import Coloring
    from attnviz_gui.ui.theme import Theme

    Float = npt.NDArray[np.float64]
    Levels = npt.NDArray[np.int16]
    Bool = npt.NDArray[np.bool_]
    Int = npt.NDArray[np.intp]

# Okabe and Ito, Color Universal Design (2008), and a grey in the place of their black.
CLASSES = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#666666"
GREY_ON_DARK = "#BBBBBB"  # as the last one; a darker grey is lost there
SIZES = np.array([0.6, 0.8, 1.0, 1.3, 1.7])  # that points are drawn in


def class_color(which: int, theme: Theme) -> QColor:
    """Return the colour of a class."""
    name = CLASSES[which % len(CLASSES)]
    return QColor(GREY_ON_DARK if name == CLASSES[-1] and theme.name == "dark" else name)


@lru_cache(maxsize=8)
def scale_colors(theme_name: str, *, cyclic: bool = False) -> tuple[QColor, ...]:
    """Return the colours of a number's levels; the ends stand out from the ground.

    `cyclic`: the last level is next to the first (CET-CBC1, also for the colour-blind).
    """
    if cyclic:
        round_ = np.linspace(0, 1, LEVELS, endpoint=False)
        return tuple(pg.colormap.get("CET-CBC1").map(round_, mode="qcolor"))
    low, high = (0.0, 0.9) if theme_name != "dark" else (0.15, 1.0)
    table = pg.colormap.get("viridis").map(np.linspace(low, high, LEVELS), mode="qcolor")
    return tuple(table)


def colors_of(coloring: Coloring, theme: Theme) -> list[QColor]:
    """Return the colour of each class or level, and last that of a point which has none."""
    if coloring.of_classes:
        found = [class_color(i, theme) for i in range(len(coloring.classes))]
    else:
        found = list(scale_colors(theme.name, cyclic=coloring.name == "modulo"))
    return [*found, theme.color("muted")]


@dataclass(frozen=True, eq=False)
class Tones:
    """How each of some points is drawn.

    Attributes
    ----------
    level : (N,) int16
        Which of `colors`; -1 is the last.
    colors : list of QColor
    shown : (N,) bool, or None where all are
    size : (N,) or None
        Times the usual size.
    """

    level: Levels | None
    colors: tuple[QColor, ...]
    shown: Bool | None = None
    size: Float | None = None

    def part(self, points: slice | Bool) -> Tones:
        """Return those of some points."""
        return Tones(
            None if self.level is None else self.level[points],
            self.colors,
            None if self.shown is None else self.shown[points],
            None if self.size is None else self.size[points],
        )

    def groups(self, index: Int) -> list[tuple[Int, QColor | None, float]]:
        """Return points that are drawn alike: their indices, colour (None: as usual), and size."""
        if self.shown is not None:
            index = index[self.shown[index]]
        level = np.zeros(len(index), np.int64) if self.level is None else self.level[index] + 1
        step = np.full(len(index), 2)
        if self.size is not None:
            step = np.abs(self.size[index][:, None] - SIZES).argmin(axis=1)
        both = level * len(SIZES) + step
        found = []
        for one in np.unique(both).tolist():
            which, size = divmod(int(one), len(SIZES))
            color = None if self.level is None else self.colors[which - 1]
            found.append((index[both == one], color, float(SIZES[size])))
        return found


def join(one: Tones, other: Tones) -> Tones:
    """Return the tones of some points and of others after them."""

    def both(a: Any, b: Any) -> Any:
        return None if a is None or b is None else np.concatenate([a, b])

    return Tones(
        both(one.level, other.level), one.colors, both(one.shown, other.shown),
        both(one.size, other.size),
    )  # fmt: skip
