"""What a run recorded: `Capture`, its `Layer`s and `Head`s. Frozen; numpy inside, never torch.

Only queries, keys and values are stored. A head's logits and attention are computed when asked
for, so memory is bounded by q, k and v however many tokens there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from attnviz_gui.lazy import lazy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    stack
        Which part of the model it stands in, ``encoder``, ``decoder``, ``vision``; empty where
        there is only one.
    """

    name: str
    kind: Kind
    n_heads: int
    head_dim: int
    stack: str = ""


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
    softcap : float or None
        The scaled product x becomes softcap tanh(x / softcap), before the bias is added.
    sink : float or None
        A learned logit that takes part in every row's softmax and belongs to no key.
    unrotated : pair of (T_q, d) and (T_k, d) float32, or None
        Query and key before the rotary embedding; None where the model has none.
    """

    query: FloatArray
    key: FloatArray
    value: FloatArray
    scaling: float
    mask: BoolArray
    bias: FloatArray | None = None
    softcap: float | None = None
    sink: float | None = None
    unrotated: tuple[FloatArray, FloatArray] | None = None

    @lazy
    def logits(self) -> FloatArray:
        """What the softmax is taken of, (T_q, T_k) float32; minus infinity where masked.

        The scaled products, capped where the model caps them, plus the bias.
        """
        # In float32 and in this order, as the models do it: their rounding is then ours too. The
        # true logits are no nearer to the model's own, which are its product's rounding away.
        logits: FloatArray = self.query @ self.key.T
        logits *= np.float32(self.scaling)
        if self.softcap is not None:
            logits /= np.float32(self.softcap)
            np.tanh(logits, out=logits)
            logits *= np.float32(self.softcap)
        if self.bias is not None:
            logits += self.bias
        logits[~self.mask] = -np.inf
        return logits

    @lazy
    def attention(self) -> FloatArray:
        """Softmax of the logits over the keys, (T_q, T_k) float32.

        A row in which nothing is allowed is all zero. Rows sum to less than 1 where a sink takes
        the rest.
        """
        return softmax(self.logits, self.sink)

    @property
    def sink_attention(self) -> FloatArray | None:
        """Share of each query's attention that the sink takes, (T_q,); None without a sink."""
        if self.sink is None:
            return None
        rest: FloatArray = np.maximum(1 - self.attention.sum(axis=1), 0)
        return rest


def softmax(logits: FloatArray, sink: float | None = None) -> FloatArray:
    """Softmax over the last axis; a row of minus infinities gives zeros.

    A `sink` is one more logit in each row, whose share is left out of the result.
    """
    top = logits.max(axis=-1, keepdims=True)
    if sink is not None:
        top = np.maximum(top, np.float32(sink))
    top = np.where(np.isfinite(top), top, 0).astype(logits.dtype)
    weights: FloatArray = np.exp(logits - top)
    total = weights.sum(axis=-1, keepdims=True)
    if sink is not None:
        total += np.exp(np.float32(sink) - top)
    weights /= np.where(total > 0, total, 1).astype(logits.dtype)
    return weights


@dataclass(frozen=True, eq=False)
class PositionTerm:
    """A part of a layer's bias, computed when a head is looked at.

    Attributes
    ----------
    side : {"query", "key"}
        Which vectors x of the layer are multiplied.
    table : (H, S, d) float32
        One vector for each distance of two tokens.
    index : (T_q, T_k) int32
        Row of the table: scaling x[i] · table[index[i, j]], x[j] with the keys, is what is added.
    scaling : float
    """

    side: Literal["query", "key"]
    table: FloatArray
    index: npt.NDArray[np.int32]
    scaling: float

    def of(self, vectors: FloatArray, head: int) -> FloatArray:
        """Return what is added in one head, (T_q, T_k), of its queries or keys (T, d)."""
        products: FloatArray = vectors @ self.table[head].T
        products *= np.float32(self.scaling)
        if self.side == "query":
            return np.take_along_axis(products, self.index, axis=1)
        return np.take_along_axis(products, self.index.T, axis=1).T


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
    softcap : float or None
    sink : (H,) float32 or None
    unrotated : pair of (H, T_q, d) and (H_kv, T_k, d) float32, or None
        As `Head` has them.
    positions : tuple of PositionTerm
        What a head's bias has beside `bias`.
    query_tokens, key_tokens : tuple of str or None
        Names of this attention's own queries and keys; None where they are the text's tokens.
    """

    query: FloatArray
    key: FloatArray
    value: FloatArray
    scaling: float
    mask: BoolArray
    bias: FloatArray | None = None
    softcap: float | None = None
    sink: FloatArray | None = None
    unrotated: tuple[FloatArray, FloatArray] | None = None
    query_tokens: tuple[str, ...] | None = None
    key_tokens: tuple[str, ...] | None = None
    positions: tuple[PositionTerm, ...] = ()

    def bias_of(self, head: int) -> FloatArray | None:
        """Return what is added to one head's scaled products, (T_q, T_k); None where it is none."""
        bias = self.bias
        if bias is not None and bias.ndim == 3:
            bias = bias[head]
        for term in self.positions:
            added = term.of((self.query if term.side == "query" else self.key)[head], head)
            bias = added if bias is None else bias + added
        return bias

    def whole_bias(self) -> FloatArray | None:
        """Return what `bias_of` returns for all heads, (T_q, T_k) or (H, T_q, T_k)."""
        if not self.positions:
            return self.bias
        whole = np.empty((len(self.query), self.query.shape[1], self.key.shape[1]), np.float32)
        for head, bias in enumerate(whole):
            bias[:] = self.bias_of(head)
        return whole

    def head(self, head: int) -> Head:
        """Return one query head with the key head that serves it."""
        group = head * self.key.shape[0] // self.query.shape[0]
        mask = self.mask if self.mask.ndim == 2 else self.mask[head]
        bias = self.bias_of(head)
        return Head(
            query=self.query[head],
            key=self.key[group],
            value=self.value[group],
            scaling=self.scaling,
            mask=mask,
            bias=bias,
            softcap=self.softcap,
            sink=None if self.sink is None else float(self.sink[head]),
            unrotated=None
            if self.unrotated is None
            else (self.unrotated[0][head], self.unrotated[1][group]),
        )


@dataclass(frozen=True, eq=False)
class PatchImage:
    """The picture that an image model was shown, and the patches that it was cut into.

    Attributes
    ----------
    pixels : (height, width, 3) uint8
        As the model was given it: resized and cropped.
    rows, columns
        Number of patches down and across.
    scaled : {"processor", "min-max"}
        How the model's numbers became colours again: by the mean and deviation that the model's
        folder names, or from their least to their largest where it names none that fit.
    """

    pixels: npt.NDArray[np.uint8]
    rows: int
    columns: int
    scaled: Literal["processor", "min-max"] = "processor"

    def patches(self, names: Sequence[str]) -> npt.NDArray[np.intp] | None:
        """Return which patch each of an attention's tokens is, counted along the rows, (T,).

        -1 stands for what belongs to no place: [CLS], a distillation token, registers, padding.
        None where the tokens are not these patches, each of them once.
        """
        at = {f"{i // self.columns},{i % self.columns}": i for i in range(self.rows * self.columns)}
        found = np.array([at.get(name, -1) for name in names], dtype=np.intp)
        ours = found[found >= 0]
        return found if len(ours) == len(at) == len(set(ours.tolist())) else None


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
    texts_asked : int or None
        How many texts were to be recorded where the run was cancelled before its end, else None.
    images : tuple of PatchImage or None
        One for each text where the model was shown pictures; empty where it read words.
    """

    texts: tuple[str, ...]
    tokens: tuple[list[str], ...]
    special: tuple[BoolArray, ...]
    layers: tuple[Layer, ...]
    records: tuple[tuple[LayerRecord, ...], ...] = field(repr=False)
    model_name: str = "model"
    seconds: float = 0.0
    cut_from: int | None = None
    texts_asked: int | None = None
    verifier: Callable[[Capture], float] | None = field(default=None, repr=False)
    images: tuple[PatchImage | None, ...] = field(default=(), repr=False)

    def image(self, text: int = 0) -> PatchImage | None:
        """Return the picture that a text stands for; None where it is words."""
        return self.images[text] if text < len(self.images) else None

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

    def query_tokens(self, layer: int, text: int = 0) -> tuple[str, ...]:
        """Return the names of a layer's queries: the text's tokens, unless it has its own."""
        own = self.records[text][layer].query_tokens
        return tuple(self.tokens[text]) if own is None else own

    def key_tokens(self, layer: int, text: int = 0) -> tuple[str, ...]:
        """Return the names of a layer's keys: the text's tokens, unless it has its own."""
        own = self.records[text][layer].key_tokens
        return tuple(self.tokens[text]) if own is None else own

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
