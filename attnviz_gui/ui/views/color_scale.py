"""How attention becomes colour: linear from 0, or by powers of ten. Never draws.

Linear reaches from 0 to a round number above the largest value, so that every head uses the whole
of the colours. Logarithmic reaches from a tenth of what even attention would give each key up to 1:
the same for all heads of a text, and one strong token does not drown the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtGui import QColor

if TYPE_CHECKING:
    import numpy.typing as npt

    from attnviz_gui.session.document import ColorScale as Kind

_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


@dataclass(frozen=True)
class ColorScale:
    """Attention from `low` to `high`, as a place among the colours."""

    low: float
    high: float
    logarithmic: bool = False

    @property
    def levels(self) -> tuple[float, float]:
        """`low` and `high` in the units of `image`."""
        if self.logarithmic:
            return math.log10(self.low), math.log10(self.high)
        return self.low, self.high

    def image(self, attention: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return what an image shows: the attention itself, or its common logarithm."""
        if not self.logarithmic:
            return attention
        return np.log10(np.maximum(attention, np.float32(self.low)), dtype=np.float32)

    def place(self, attention: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return where the values lie between `low` (0) and `high` (1); beyond is cut off."""
        low, high = self.levels
        return np.clip((self.image(attention) - low) / (high - low), 0, 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Places from 0 to 1 and what is written there."""
        if self.logarithmic:
            low, high = (round(level) for level in self.levels)
            n = high - low
            return [(i / n, plain(10.0 ** (low + i))) for i in range(n + 1)]
        middle = (self.low + self.high) / 2
        return [(0.0, plain(self.low)), (0.5, plain(middle)), (1.0, plain(self.high))]


def color_scale(kind: Kind, largest: float, n_keys: int) -> ColorScale:
    """Return the scale for attention up to `largest` over `n_keys` keys."""
    if kind == "logarithmic":
        return ColorScale(10.0 ** -(1 + math.ceil(math.log10(n_keys))), 1.0, logarithmic=True)
    return ColorScale(0.0, round_up(largest))


def round_up(value: float) -> float:
    """Return a round number that is not less; 1 for 0, as nothing is to be told apart."""
    if not value > 0:
        return 1.0
    decade = 10.0 ** math.floor(math.log10(value))
    # A softmax may end a rounding error above 1: that is still 1.
    return next(r * decade for r in _ROUND if r * decade >= value * (1 - 1e-5))


def plain(value: float) -> str:
    """Write a tick without an exponent: 0.0001, 0.25, 1."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def mix(ground: QColor, color: QColor, weight: float) -> QColor:
    """Return `color` at this weight (0 to 1) over `ground`."""
    near, far = 1 - weight, weight
    return QColor(
        round(near * ground.red() + far * color.red()),
        round(near * ground.green() + far * color.green()),
        round(near * ground.blue() + far * color.blue()),
    )


def ink_on(color: QColor) -> QColor:
    """Return black or white, whichever reads better on a colour (WCAG 2 contrast)."""
    luminance = (
        0.2126 * _light(color.redF())
        + 0.7152 * _light(color.greenF())
        + 0.0722 * _light(color.blueF())
    )
    return QColor("#000000" if luminance > 0.179 else "#FFFFFF")


def _light(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
