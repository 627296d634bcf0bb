"""Attention rollout: how much of each token has reached each place after several layers.

Abnar & Zuidema 2020, *Quantifying Attention Flow in Transformers*. In each layer the heads are
averaged and the residual connection counts half: 0.5 A + 0.5 I, with rows that sum to 1. The layers
are multiplied, the last at the left. Heads are computed one after the other and dropped, so that
three T x T matrices are held however many layers and heads there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from attnviz_gui.errors import InputError
from attnviz_gui.geometry.stopping import stop_where

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture

    FloatArray = npt.NDArray[np.float32]

RESIDUAL = 0.5


def rolled_layers(capture: Capture, layer: int, text: int = 0) -> tuple[int, ...]:
    """Return the layers that a rollout up to `layer` goes through, in order.

    Those with self-attention in the same stack, over the same tokens.

    Raises
    ------
    InputError
        Where a rollout has no meaning, with the reason.
    """
    here = capture.layers[layer]
    if here.kind != "self":
        raise InputError(
            f"Layer {layer} is cross-attention: its keys are other tokens than its queries, so "
            "layers can't be multiplied. Choose a layer with self-attention."
        )
    chosen = tuple(
        i
        for i, of in enumerate(capture.layers[: layer + 1])
        if (of.stack, of.kind) == (here.stack, "self")
    )
    own = capture.query_tokens(layer, text)
    if own != capture.key_tokens(layer, text):
        raise InputError(
            f"The queries of layer {layer} are not its keys, so a rollout has no meaning here."
        )
    for other in chosen:
        sides = capture.query_tokens(other, text), capture.key_tokens(other, text)
        if any(side != own for side in sides):
            raise InputError(
                f"Layer {other} has {len(sides[0]):,} tokens and layer {layer} has {len(own):,} or "
                "others: what is attended to changes on the way (windows, merged patches), so "
                "layers can't be multiplied."
            )
    return chosen


def mean_attention(
    capture: Capture, layer: int, text: int = 0, *, cancel: Any = None
) -> FloatArray:
    """Return the mean over a layer's heads of their attention, (T_q, T_k) float32.

    Raises
    ------
    Cancelled
        When `cancel` is set.
    """
    stop = stop_where(cancel)
    n_heads = capture.layers[layer].n_heads
    total: FloatArray | None = None
    for head in range(n_heads):
        stop()
        attention = capture.head(layer, head, text).attention
        total = attention if total is None else np.add(total, attention, out=total)
    assert total is not None
    total /= np.float32(n_heads)
    return total


def rollout(
    capture: Capture,
    layer: int,
    text: int = 0,
    *,
    residual: float = RESIDUAL,
    progress: Callable[[int, int], object] | None = None,
    cancel: Any = None,
) -> FloatArray:
    """Return the rollout up to and with a layer, (T, T) float32; its rows sum to 1.

    Parameters
    ----------
    residual
        Weight of the residual connection, 0.5 in the paper.
    progress, cancel
        Told of each layer that is done; asked before each head.

    Raises
    ------
    InputError
        Where a rollout has no meaning, with the reason.
    Cancelled
        When `cancel` is set.
    """
    layers = rolled_layers(capture, layer, text)
    rolled: FloatArray | None = None
    for done, number in enumerate(layers):
        if progress is not None:
            progress(done, len(layers))
        mixed = mean_attention(capture, number, text, cancel=cancel)
        mixed *= np.float32(1 - residual)
        mixed[np.diag_indices_from(mixed)] += np.float32(residual)
        # A sink takes a share that goes to no token, a token of padding attends to nothing: what
        # is left is the whole.
        whole = mixed.sum(axis=1, keepdims=True)
        mixed /= np.where(whole > 0, whole, 1).astype(np.float32)
        rolled = mixed if rolled is None else mixed @ rolled
    assert rolled is not None
    if progress is not None:
        progress(len(layers), len(layers))
    return rolled
