"""Whether there is memory for what a window computes of a capture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attnviz_gui.capture.budget import free_memory
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture

_PAIR_BYTES = 40  # that a window takes for each pair of the head on show
_SMALL = 256 << 20  # bytes that any machine has


def refuse_without_room(capture: Capture) -> None:
    """Refuse a capture with a head of more pairs than there is memory for.

    A file of a few megabytes may hold queries and keys whose products no machine could.

    Raises
    ------
    InputError
        Naming the layer, and the memory that it needs.
    """
    for layer, *of_layer in zip(capture.layers, *capture.records, strict=True):
        sizes = ((record.query.shape[1], record.key.shape[1]) for record in of_layer)
        n_queries, n_keys = max(sizes, key=math.prod)
        wanted = n_queries * n_keys * _PAIR_BYTES
        if wanted > _SMALL and wanted > (free := free_memory()):
            raise InputError(
                f"{capture.model_name} can't be shown: {layer.name} has {n_queries:,} queries and "
                f"{n_keys:,} keys, whose pairs need {wanted / 1e9:,.1f} GB of memory, and "
                f"{free / 1e9:,.1f} GB are free. Record a shorter text."
            )
