"""Work that is too heavy for the GUI thread, handed to whoever has a worker.

A view calls ``offload(work, then)``; without a window around it the work is done at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

LIVE_PAIRS = 300_000  # pairs up to which every frame is computed on the GUI thread
MOVING_PAIRS = 262_144  # pairs that are drawn while a slider moves, where there are more than that

Offload = Callable[[Callable[[], Any], Callable[[Any], object]], None]


def at_once(work: Callable[[], Any], then: Callable[[Any], object]) -> None:
    """Do the work here and now."""
    then(work())
