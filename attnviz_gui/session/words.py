"""Numbers and settings in words, the same in the window, on figures and in files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnviz_gui.session.document import Sliders

BEFORE_ROTARY = "before rotary embedding"


def size(n_bytes: int) -> str:
    """Return bytes as a person reads them."""
    if n_bytes >= 10**9:
        return f"{n_bytes / 1e9:,.1f} GB"
    return f"{max(n_bytes / 1e6, 0.1):,.{0 if n_bytes >= 10**7 else 1}f} MB"


def number(value: float, digits: int = 3) -> str:
    """Write a number with `digits` significant digits and a true minus sign.

    Very large and very small ones in the form 3.1e-8.
    """
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if -4 <= power < 6:
        text = f"{value:.{max(digits - 1 - power, 0)}f}"
    else:
        text = f"{value:.{max(digits - 2, 0)}e}".replace("e-0", "e-").replace("e+0", "e")
    return text.replace("-", "−")


def hidden_in_words(n: int) -> str:
    """Return how many special tokens are hidden: ``1 special token hidden``."""
    return f"{n:,} special token{'s' * (n != 1)} hidden"


def normalisation_in_words(sliders: Sliders) -> str:
    """Return what a and c are: ``a = 0.500, c = 1``."""
    t = number(sliders.t)
    centroid = f"{t} · (q̄ − k̄)" if sliders.t else t
    shift = {
        "constant": t,
        "centroid": centroid,
        "locked": "c²·q̄ − k̄",
        "balanced": f"{centroid} in balanced axes",
        "lifted": f"{centroid} and lifted",
    }[sliders.mode]
    return f"a = {shift}, c = {'1' if sliders.scale == 1 else number(sliders.scale)}"
