"""What every way of reading a model hands on: its attentions' calls. Tensors as they came.

A way is a module of the folder `ways` (`interface`, `operands`, `modules`) with

``reads(model) -> bool``
    Whether it can read the model, told without running it.
``recording(model, on_call)``
    A context in which the model is run once; `on_call` is given a `Call` for each attention.
``watching(model, on_weights)``
    A context in which the model is run once with its own attention; `on_weights` is given each
    call's `Place` and the weights that the model computed, (B, H, T_q, T_k). Verification only.

A way that meets an attention that it cannot read, in a run, raises `OtherWay` there.

Both contexts leave no trace on the model, also when the run in them fails.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

# What families call their attentions to another sequence, and what stands in a path only where
# there is none. Keys are also fewer or more than queries where an attention to the same sequence
# shortens them (images), looks back at a cache, or pools its queries.
_CROSS = ("encdecattention", "encoder_attn", "crossattention", "cross_attn", "cross_attention")
_SELF = "self"
_ONE_SEQUENCE = re.compile(r"(^|[._])(encoders?|stages?)([._]|$)")

_TAKEN: ContextVar[bool] = ContextVar("attnviz_taken", default=False)


@contextmanager
def taking() -> Iterator[None]:
    """Say that what is computed inside the block is an attention that a way reads."""
    token = _TAKEN.set(True)
    try:
        yield
    finally:
        _TAKEN.reset(token)


def taken() -> bool:
    """Return whether what is computed now is part of an attention that another way reads."""
    return _TAKEN.get()


class OtherWay(InputError):
    """A way does not read the whole model; another one may."""


class Place(NamedTuple):
    """Where an attention stands: the module's path, and which of its calls in the run, from 0."""

    name: str
    nth: int


class Positions(NamedTuple):
    """A part of the bias that is a product: of queries, or keys, and a table of distances.

    Attributes
    ----------
    side : {"query", "key"}
        Which vectors x are multiplied.
    table : (B, H, S, d)
        One vector for each distance.
    rows : (T_q, T_k) int
        Which of them: what is added is scaling x[i] · table[rows[i, j]], or x[j] with the keys.
    scaling : float
    """

    side: str
    table: torch.Tensor
    rows: torch.Tensor
    scaling: float


class Call(NamedTuple):
    """What one attention was handed.

    Attributes
    ----------
    query : (B, H, T_q, d)
        As they are multiplied: after query/key norms and the rotary embedding.
    key : (B, H_kv, T_k, d)
        Before keys are repeated over groups.
    value : (B, H_kv, T_k, d_v)
    scaling : float
        Factor of the product.
    mask
        What broadcasts to (B, H, T_q, T_k): bool (True: allowed), or added to the logits with
        minus infinity (or the type's lowest number) for what is not allowed. None allows all.
    bias
        What is added to the logits beside the mask; broadcasts in the same way.
    softcap : float or None
        The scaled product x becomes softcap tanh(x / softcap), before mask and bias.
    sink : (H,) tensor or None
        One more logit in each row's softmax, which belongs to no key.
    unrotated
        Query and key before the rotary embedding, of the same shapes; None where there is none.
    kind : {"self", "cross"} or None
        None: told by the place's name and the shapes.
    stack : str or None
        ``encoder``, ``decoder`` ...; None: told by the place's name.
    extra_keys : tuple of str
        Names of the last keys where these are no token's (a learned key, a key of zeros).
    windows : int
        Into how many windows of one size queries and keys are cut, one after the other; mask and
        bias are those of all windows together. `windows.window_positions` says what is where.
    positions
        What is added to the bias; not with windows, nor with keys that several heads share.
    """

    place: Place
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scaling: float
    mask: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    softcap: float | None = None
    sink: torch.Tensor | None = None
    unrotated: tuple[torch.Tensor, torch.Tensor] | None = None
    kind: str | None = None
    stack: str | None = None
    extra_keys: tuple[str, ...] = ()
    windows: int = 1
    positions: tuple[Positions, ...] = ()

    @property
    def cross(self) -> bool:
        """True where queries come from one text and keys from another."""
        if self.kind is not None:
            return self.kind == "cross"
        name = self.place.name.lower()
        if any(word in name for word in _CROSS):
            return True
        if _SELF in name or ("decoder" not in name and _ONE_SEQUENCE.search(name)):
            return False
        return self.query.shape[2] != self.key.shape[2] - len(self.extra_keys)
