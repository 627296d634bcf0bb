"""Memory for the large arrays of frames, used again when nobody holds it any more.

While a slider moves, every frame needs arrays of T x T numbers. Fresh memory of that size costs
more than the arithmetic on it (the system hands it out page by page, and takes it back at once).
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Float64 = npt.NDArray[np.float64]

# Frames before, last and now with two arrays each, and two to compute in.
KEPT = 8
# Below this many numbers fresh memory is cheap.
SMALL = 1 << 13


class Buffers:
    """Arrays to write on. What was taken is never handed out again while anything refers to it.

    A view of an array counts as well, since it holds the array: nothing can change under whoever
    keeps a frame, its arrays, or a part of them.
    """

    def __init__(self) -> None:
        self._arrays: list[Float64] = []
        self._lock = threading.Lock()

    def take(self, shape: tuple[int, ...]) -> Float64:
        """Return an array whose numbers are to be overwritten."""
        if np.prod(shape) < SMALL:
            return np.empty(shape)
        with self._lock:
            for array in self._arrays:
                if array.shape == shape and sys.getrefcount(array) == _UNHELD:
                    return array
            array = np.empty(shape)
            if len(self._arrays) < KEPT:
                self._arrays.append(array)
            return array


def _references_of_a_kept_array() -> int:
    """Return the references that `Buffers.take` sees where it alone holds an array."""
    for array in [np.empty(1)]:
        return sys.getrefcount(array)
    raise AssertionError


_UNHELD = _references_of_a_kept_array()
