"""Set a widget without it telling that it was set."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PySide6.QtCore import QObject


@contextmanager
def quiet(*objects: QObject) -> Iterator[None]:
    """Block the signals of `objects` inside the block."""
    before = [(item, item.blockSignals(True)) for item in objects]
    try:
        yield
    finally:
        for item, blocked in before:
            item.blockSignals(blocked)
