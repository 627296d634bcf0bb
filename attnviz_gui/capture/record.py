"""What a run recorded: `Capture`, its `Layer`s and `Head`s. Frozen; numpy inside, never torch.

Only queries, keys and values are stored. A head's logits and attention are computed when asked
for, so memory is bounded by q, k and v however many tokens there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float32]
    BoolArray = npt.NDArray[np.bool_]

Kind = Literal["self", "cross"]


@dataclass(frozen=True)
class Layer:
    """One attention of the model: its name in the model, and its sizes.

    Attributes
    ----------
    name
        Path of the module in the model, ``encoder.layer.3.attention.self``.
    kind
        ``"self"`` (queries and keys from one text) or ``"cross"``.
    n_heads, head_dim
        Number of query heads, and the length of each query and key.
    """

    name: str
    kind: Kind
    n_heads: int
    head_dim: int


@dataclass(frozen=True, eq=False)
class Head:
    """One head on one text.

    Attributes
    ----------
    query : (T_q, d) float32
    key : (T_k, d) float32
        After rotary embedding and query/key norms: the vectors whose product is the logit.
    value : (T_k, d_v) float32
    scaling : float
        Factor of the product, 1/sqrt(d) unless the model says otherwise.
    mask : (T_q, T_k) bool
        True where attention is allowed.
    bias : (T_q, T_k) float32 or None
        What the model adds to the scaled product before the softmax, beside the mask.
    """

    query: FloatArray
    key: FloatArray
    value: FloatArray
    scaling: float
    mask: BoolArray
    bias: FloatArray | None = None

    @cached_property
    def logits(self) -> FloatArray:
        """Scaled products plus bias, (T_q, T_k) float32; minus infinity where masked."""
        # In float32 and in this order, as the models do it: their rounding is then ours too. The
        # true logits are no nearer to the model's own, which are its product's rounding away.
        logits: FloatArray = self.query @ self.key.T
        logits *= np.float32(self.scaling)
        if self.bias is not None:
            logits += self.bias
        logits[~self.mask] = -np.inf
        return logits

    @cached_property
    def attention(self) -> FloatArray:
        """Softmax of the logits over the keys, (T_q, T_k) float32.

        A row in which nothing is allowed is all zero.
        """
        return softmax(self.logits)


def softmax(logits: FloatArray) -> FloatArray:
    """Softmax over the last axis; a row of minus infinities gives zeros."""
    top = logits.max(axis=-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(logits.dtype)
    weights: FloatArray = np.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total > 0, total, 1).astype(logits.dtype)
    return weights


@dataclass(frozen=True, eq=False)
class LayerRecord:
    """What one attention was handed for one text.

    Attributes
    ----------
    query : (H, T_q, d) float32
    key, value : (H_kv, T_k, d) float32
        H_kv divides H: each key head serves H / H_kv query heads that stand together.
    mask : (T_q, T_k) or (H, T_q, T_k) bool
    bias : (T_q, T_k) or (H, T_q, T_k) float32 or None
    """

    query: FloatArray
    key: FloatArray
    value: FloatArray
    scaling: float
    mask: BoolArray
    bias: FloatArray | None = None

    def head(self, head: int) -> Head:
        """Return one query head with the key head that serves it."""
        group = head * self.key.shape[0] // self.query.shape[0]
        mask = self.mask if self.mask.ndim == 2 else self.mask[head]
        bias = self.bias
        if bias is not None and bias.ndim == 3:
            bias = bias[head]
        return Head(
            query=self.query[head],
            key=self.key[group],
            value=self.value[group],
            scaling=self.scaling,
            mask=mask,
            bias=bias,
        )


@dataclass(frozen=True, eq=False)
class Capture:
    """Everything recorded from one run of one model on some texts.

    Attributes
    ----------
    texts : tuple of str
    tokens : tuple of lists of str
        ``tokens[t]``: the tokens of text `t` as a person reads them.
    special : tuple of (T,) bool arrays
        True for the tokens that the tokenizer added ([CLS], [SEP], <s> ...).
    layers : tuple of Layer
    records : tuple of tuples of LayerRecord
        ``records[t][l]``: text `t`, layer `l`.
    model_name : str
        What to call the model: a folder's or a hub repository's last name.
    seconds : float
        Time that the run took, loading not counted.
    cut_from : int or None
        Tokens in the whole text where the capture holds only its beginning, else None.
    """

    texts: tuple[str, ...]
    tokens: tuple[list[str], ...]
    special: tuple[BoolArray, ...]
    layers: tuple[Layer, ...]
    records: tuple[tuple[LayerRecord, ...], ...] = field(repr=False)
    model_name: str = "model"
    seconds: float = 0.0
    cut_from: int | None = None
    verifier: Callable[[Capture], float] | None = field(default=None, repr=False)

    def head(self, layer: int, head: int, text: int = 0) -> Head:
        """Return one head on one text.

        Raises
        ------
        IndexError
            When there is no such layer, head or text; counted from 0, negative numbers refused.
        """
        for what, index, count in (
            ("text", text, len(self.texts)),
            ("layer", layer, len(self.layers)),
        ):
            if not 0 <= index < count:
                raise IndexError(f"no {what} {index}: there are {count}, counted from 0")
        n_heads = self.layers[layer].n_heads
        if not 0 <= head < n_heads:
            raise IndexError(f"no head {head}: layer {layer} has {n_heads}, counted from 0")
        return self.records[text][layer].head(head)

    def verify(self) -> float:
        """Return the largest difference between recomputed attention and the model's own.

        Runs the model once more with its own (eager) attention, over every text, layer and head.

        Raises
        ------
        RuntimeError
            When the model is not at hand, as for a capture that was opened from a file.
        """
        if self.verifier is None:
            raise RuntimeError(
                "verify() needs the model that was captured; this capture was opened from a file."
            )
        return self.verifier(self)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the capture to one ``.safetensors`` file; parent folders are made.

        Raises
        ------
        InputError
            When it cannot be written there.
        """
        from attnviz_gui.session.store import save_capture

        save_capture(self, path)
