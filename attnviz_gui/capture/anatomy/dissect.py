"""`dissect`: how one head of a captured model comes to its result, step by step.

Takes the layer's input and weights from the model, computes its attention in two ways, as PyTorch
does it and as the paper writes it, and compares both with what the model itself gave. For use in a
worker; leaves no trace on the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import ref

import numpy as np
import torch

from attnviz_gui.capture.anatomy.layer import (
    LayerParts,
    layer_parts,
    multihead_parts,
    whole_rows,
)
from attnviz_gui.capture.anatomy.two_ways import explains, two_ways
from attnviz_gui.capture.anatomy.write import write
from attnviz_gui.capture.record import LayerRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from attnviz_gui.capture.anatomy.record import Anatomy
    from attnviz_gui.capture.anatomy.two_ways import TwoWays
    from attnviz_gui.capture.record import Capture

UNEXPLAINED = (
    "What the model does between its projections and q and k is not known, so it begins at q, k "
    "and v."
)

# The layer that was looked at last: its other heads need no run of the model.
_last: tuple[ref[Capture], int, int, LayerParts, TwoWays] | None = None


def dissect(capture: Capture, layer: int, head: int, text: int = 0) -> Anatomy:
    """Return how a head's result is computed.

    Where the model is not at hand or its projections cannot be identified, the steps begin at the
    recorded q, k, v, and `Anatomy.missing` says so.

    Raises
    ------
    IndexError
        When there is no such layer, head or text.
    """
    global _last
    capture.head(layer, head, text)  # refuses what is not there
    if _last is None or _last[0]() is not capture or _last[1:3] != (layer, text):
        _last = ref(capture), layer, text, *_computed(layer_parts(capture, text, layer))
    return write(*_last[3:], head)


def of_multihead(
    module: torch.nn.MultiheadAttention,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    *,
    tokens: Sequence[str] | None = None,
    key_tokens: Sequence[str] | None = None,
    head: int = 0,
    name: str = "MultiheadAttention",
) -> Anatomy:
    """Return how an ``nn.MultiheadAttention`` comes to its result, without masks.

    Parameters
    ----------
    query, key, value
        As the module takes them, one text; key and value are the query where not given.
    tokens, key_tokens
        Names of the rows; ``x0``, ``x1`` ... where not given.
    """
    key = query if key is None else key
    value = key if value is None else value
    training = module.training
    fast = torch.backends.mha.get_fastpath_enabled()
    module.training = False
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            result, weights = module(
                query, key, value, need_weights=True, average_attn_weights=False
            )
    finally:
        module.training = training
        torch.backends.mha.set_fastpath_enabled(fast)
    weights = weights.detach().reshape(-1, *weights.shape[-3:])[0].float().cpu().numpy()
    n_heads, n_queries, n_keys = weights.shape
    d = module.head_dim
    # Only the sizes are asked of this record until q, k and v are known.
    shape = LayerRecord(
        np.zeros((n_heads, n_queries, d), np.float32),
        np.zeros((n_heads, n_keys, d), np.float32),
        np.zeros((n_heads, n_keys, d), np.float32),
        d**-0.5,
        np.ones((n_queries, n_keys), dtype=bool),
    )
    names = tuple(tokens) if tokens is not None else tuple(f"x{i}" for i in range(n_queries))
    if key_tokens is None:
        key_tokens = names if key is query else tuple(f"y{i}" for i in range(n_keys))
    bare = LayerParts(name, shape, names, tuple(key_tokens), weights=weights)
    rows = whole_rows(shape)
    parts = multihead_parts(bare, module, (query, key, value), result, rows, check=False)
    q, k, v = (way.numpy() for way in two_ways(parts).stacked.projected)
    record = replace(shape, query=q, key=k, value=v)
    parts, ways = _computed(replace(parts, record=record))
    return write(parts, ways, head)


def worked_example() -> tuple[torch.nn.MultiheadAttention, Tensor]:
    """Return the smallest example with two heads, and its input (1, 5, 4): always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(55)
        x = torch.randn(1, 5, 4)
        module = torch.nn.MultiheadAttention(4, 2, bias=False, batch_first=True).eval()
    return module, x


def _computed(parts: LayerParts) -> tuple[LayerParts, TwoWays]:
    """Compute both ways; where they do not lead to the recorded q, k, v, begin there."""
    if parts.projections is not None and not explains(parts):
        parts = replace(parts, projections=None, rotation=None, missing=UNEXPLAINED)
    return parts, two_ways(parts)
