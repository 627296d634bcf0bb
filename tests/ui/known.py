"""Captures whose attention is known, and what to look for in what was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPoint, QPointF
from PySide6.QtGui import QColor, QImage

from attnviz_gui.capture.record import Capture, Layer, LayerRecord

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget


def known_capture(attention, tokens=None, *, mask=None, special=()) -> Capture:
    """A capture of one head whose attention is the given matrix; masked entries must be 0."""
    attention = np.asarray(attention, dtype=np.float64)
    n = len(attention)
    allowed = np.ones((n, n), dtype=bool) if mask is None else mask
    # Queries are the rows' logarithms and keys the unit vectors: the logits are the logarithms.
    query = np.log(np.where(attention > 0, attention, 1e-30))
    names = tuple(tokens) if tokens else tuple(f"t{i}" for i in range(n))
    flags = np.zeros(n, dtype=bool)
    flags[list(special)] = True
    record = LayerRecord(
        query[None].astype(np.float32),
        np.eye(n, dtype=np.float32)[None],
        np.eye(n, dtype=np.float32)[None],
        1.0,
        allowed,
    )
    return Capture(
        texts=(" ".join(names),),
        tokens=(list(names),),
        special=(flags,),
        layers=(Layer("layer.0", "self", 1, n),),
        records=((record,),),
        model_name="known",
    )


def rows_of_one(matrix) -> np.ndarray:
    """The matrix with each row divided by its sum."""
    matrix = np.asarray(matrix, dtype=np.float64)
    return matrix / matrix.sum(axis=1, keepdims=True)


def picture_of(widget: QWidget) -> QImage:
    """What the widget shows."""
    return widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)


def pixels(image: QImage) -> np.ndarray:
    """The image's colours, (height, width, 3) int."""
    bgra = np.frombuffer(image.constBits(), dtype=np.uint8)
    bgra = bgra.reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width()]
    return bgra[:, :, 2::-1].astype(int)


def rgb(color: QColor) -> np.ndarray:
    """A colour as three numbers."""
    return np.array(color.getRgb()[:3])


def at(image: QImage, point: QPoint | QPointF) -> np.ndarray:
    """The colour at a point, (3,) int."""
    point = point.toPoint() if isinstance(point, QPointF) else point
    return rgb(image.pixelColor(point))


def near(one, other, tolerance: int = 6) -> bool:
    """Whether two colours look the same."""
    return bool(np.abs(np.asarray(one) - np.asarray(other)).max() <= tolerance)


def count(image: QImage, color: QColor, tolerance: int = 6) -> int:
    """How many pixels have this colour."""
    return int((np.abs(pixels(image) - rgb(color)).max(axis=-1) <= tolerance).sum())
