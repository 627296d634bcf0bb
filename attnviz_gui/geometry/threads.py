"""How many threads numpy's linear algebra uses."""

from __future__ import annotations

import numpy as np
from threadpoolctl import ThreadpoolController


def use_one_thread() -> None:
    """Let numpy's BLAS work in the thread that calls it, for the rest of the process.

    A frame's matrices are small: a 32 × 32 eigen-decomposition takes 0.2 ms in one thread, but up
    to 25 ms in several on a busy machine, where they wait for each other. The model's threads are
    torch's own and stay as they are.
    """
    assert np  # its library has to be loaded before it can be told
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)
