"""How an item that stays the same through a drag is painted: once, and copied from then on."""

from __future__ import annotations

from PySide6.QtWidgets import QGraphicsItem

STILL = QGraphicsItem.CacheMode.DeviceCoordinateCache
