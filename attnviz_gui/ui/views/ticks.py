"""Round numbers along an axis."""

from __future__ import annotations

import math

_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


def ticks(low: float, high: float, most: int, least: int = 0) -> list[float]:
    """Return at most `most` round numbers from `low` to `high`; more where `least` needs it."""
    found = _ticks(low, high, most)
    while len(found) < least and high > low:
        most += 1
        found = _ticks(low, high, most)
    return found


def _ticks(low: float, high: float, most: int) -> list[float]:
    span = high - low
    if not span > 0:
        return [low]
    raw = span / max(most, 1)
    decade = 10.0 ** math.floor(math.log10(raw))
    step = next((r * decade for r in _ROUND if r * decade >= raw), 10 * decade)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, between: tuple[float, ...] = ()) -> list[float]:
    """Return the powers of ten from `low` to `high`, and so many times them where there are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first > 2:  # more than two decades
        between = ()
    found = (times * 10.0**i for i in range(first - 1, last + 1) for times in (1.0, *between))
    return [place for place in found if low * (1 - 1e-9) <= place <= high * (1 + 1e-9)]


def tick_text(value: float) -> str:
    """Write a tick without needless digits: 0.25, −1, 0."""
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    text = f"{value:.3g}" if -4 < size < 5 else f"{value:.1e}".replace("e-0", "e-")
    return text.replace("e+0", "e").replace("-", "−")
