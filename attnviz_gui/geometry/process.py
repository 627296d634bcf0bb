"""How numpy works in a process that draws many small frames."""

from __future__ import annotations

import numpy as np
from threadpoolctl import ThreadpoolController

_KEPT = 31 << 20  # bytes; glibc's threshold grows no further than 32 MB


def prepare_for_frames() -> None:
    """Make frames steady, for the rest of the process.

    One BLAS thread: a frame's matrices are small, and a 32 × 32 eigen-decomposition that takes
    0.2 ms in one thread takes up to 25 ms in several on a busy machine, where they wait for each
    other. The model's threads are torch's own and stay as they are.

    Freed memory kept: glibc gives large blocks back to the system and takes them anew in every
    frame, until it has seen a larger one freed.
    """
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)
    np.empty(_KEPT, np.uint8)
