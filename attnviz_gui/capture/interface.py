"""Record q, k and v through the attention interface of transformers. Computes no attention.

Families that use the interface hand query, key, value and mask to a function of one signature,
after query/key norms and the rotary embedding and before keys are repeated over groups. For a run
the model is pointed at a function of ours, which notes what it is handed and passes it on to the
function the model would have called.

The registry is global, so ours has names of its own and does nothing but pass on outside of a run:
what is recorded, and by whom, is in a context variable.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Two names, for a model computes by the fast kernel or by its family's own (eager) function, and
# these want masks of different kinds. Never "eager" itself: that would replace every model's own.
FAST, OWN = "attnviz_sdpa", "attnviz_eager"
_OURS = {FAST, OWN}

_CROSS = ("encdecattention", "encoder_attn", "crossattention", "cross_attn", "cross_attention")
_SINKS = ("s_aux", "sinks")


class Place(NamedTuple):
    """Where an attention stands: the module's path, and which of its calls in the run, from 0."""

    name: str
    nth: int


class Call(NamedTuple):
    """What one attention was handed: tensors as they came, for one text (batch of 1).

    `causal` says that the missing mask stands for a causal one.
    """

    place: Place
    query: torch.Tensor  # (1, H, T_q, d)
    key: torch.Tensor  # (1, H_kv, T_k, d)
    value: torch.Tensor
    scaling: float
    mask: torch.Tensor | None
    bias: torch.Tensor | None
    causal: bool

    @property
    def cross(self) -> bool:
        """True where queries come from one text and keys from another."""
        name = self.place.name.lower()
        return any(word in name for word in _CROSS) or self.query.shape[2] != self.key.shape[2]


class _Run:
    """The run that is being recorded in this context."""

    def __init__(self, model: torch.nn.Module, on_call: Callable[[Call], None]) -> None:
        self.family = family(model)
        self.names = {id(module): name for name, module in model.named_modules()}
        self.calls: Counter[str] = Counter()
        self.on_call = on_call

    def note(
        self, module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor,
        value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any], *, fast: bool,
    ) -> None:  # fmt: skip
        name = self.names.get(id(module), type(module).__name__)
        self._refuse(module, query, extras)
        scaling = extras.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        causal = False
        if mask is None and fast:
            # The fast kernel is told of a causal mask by a flag, as transformers does it.
            causal = extras.get("is_causal")
            causal = getattr(module, "is_causal", True) if causal is None else causal
            causal = bool(causal) and query.shape[2] > 1
        nth = self.calls[name]
        self.calls[name] += 1
        bias = extras.get("position_bias")
        self.on_call(Call(Place(name, nth), query, key, value, scaling, mask, bias, causal))

    def _refuse(self, module: torch.nn.Module, query: torch.Tensor, extras: dict[str, Any]) -> None:
        """Raise for what query, key, mask and bias alone cannot reproduce."""
        reason = None
        if extras.get("softcap") is not None:
            reason = "it caps its logits (soft cap)"
        elif any(extras.get(s) is not None or getattr(module, s, None) is not None for s in _SINKS):
            reason = "it has attention sinks"
        elif extras.get("indices") is not None or extras.get("block_indices") is not None:
            reason = "its attention is sparse, chosen from token to token"
        elif query.ndim != 4 or query.shape[0] != 1:
            reason = "its attention works in windows"
        if reason:
            raise InputError(
                f"Models of the family {self.family} cannot be read yet: {reason}, which query "
                "and key alone do not explain. Choose another model."
            )


_RUN: ContextVar[_Run | None] = ContextVar("attnviz_run", default=None)


def _fast(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, **extras: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    run = _RUN.get()
    if run is not None:
        run.note(module, query, key, value, attention_mask, extras, fast=True)
    return _sdpa(module, query, key, value, attention_mask, **extras)


def _own(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, **extras: Any,
) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
    run = _RUN.get()
    if run is not None:
        run.note(module, query, key, value, attention_mask, extras, fast=False)
    return own_function(module)(module, query, key, value, attention_mask, **extras)


_sdpa: Callable[..., Any] = ALL_ATTENTION_FUNCTIONS["sdpa"]
AttentionInterface.register(FAST, _fast)
AttentionInterface.register(OWN, _own)
AttentionMaskInterface.register(FAST, sdpa_mask)
AttentionMaskInterface.register(OWN, eager_mask)


def own_function(module: torch.nn.Module) -> Callable[..., Any]:
    """Return the family's eager attention function, from where its class or a base is written."""
    for cls in type(module).__mro__:
        function = getattr(sys.modules.get(cls.__module__), "eager_attention_forward", None)
        if function is not None:
            return function  # type: ignore[no-any-return]
    raise InputError(f"No attention function is known for {type(module).__name__}.")


def family(model: torch.nn.Module) -> str:
    """Return the name of a model's family, ``bert``, or its class."""
    name = getattr(getattr(model, "config", None), "model_type", "")
    return str(name) if name else type(model).__name__


def readable(model: torch.nn.Module) -> bool:
    """Return whether a model's attention goes through the interface."""
    return isinstance(model, PreTrainedModel) and all(
        part._can_set_attn_implementation()
        for part in model.modules()
        if isinstance(part, PreTrainedModel)
    )


@contextmanager
def recording(model: torch.nn.Module, on_call: Callable[[Call], None]) -> Iterator[None]:
    """Call `on_call` for each attention that `model` computes inside the block, in this context.

    The model computes as it would have: its outputs are those of the same run without recording.
    """
    swap = {name: OWN if name in (None, "eager") else FAST for name in _implementations(model)}
    with implementation(model, lambda before: before if before in _OURS else swap[before]):
        token = _RUN.set(_Run(model, on_call))
        try:
            yield
        finally:
            _RUN.reset(token)


@contextmanager
def implementation(
    model: torch.nn.Module, choose: Callable[[str | None], str | None]
) -> Iterator[None]:
    """Give every config of a model another attention implementation inside the block.

    Each config gets back what it had, also when the block fails.
    """
    before = [(config, config._attn_implementation_internal) for config in _configs(model)]
    try:
        for config, name in before:
            config._attn_implementation_internal = choose(name)
        yield
    finally:
        for config, name in before:
            config._attn_implementation_internal = name


def _implementations(model: torch.nn.Module) -> set[str | None]:
    return {config._attn_implementation_internal for config in _configs(model)}


def _configs(model: torch.nn.Module) -> list[Any]:
    """Return every config that a part of the model may ask, each once."""
    found: dict[int, Any] = {}

    def add(config: Any) -> None:
        if id(config) in found or not hasattr(config, "_attn_implementation_internal"):
            return
        found[id(config)] = config
        for name in config.sub_configs:
            add(getattr(config, name, None))

    for module in model.modules():
        add(module.__dict__.get("config"))
    return list(found.values())
