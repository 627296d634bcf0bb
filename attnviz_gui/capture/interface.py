"""Record q, k and v through the attention interface of transformers.

Families that use the interface hand query, key, value and mask to a function of one signature,
after query/key norms and the rotary embedding and before keys are repeated over groups. For a run
the model is pointed at a function of ours, which notes what it is handed and then calls the
family's own (eager) attention.

The fast kernel would compute the same up to rounding, but later layers then see other numbers than
the model's own attention gives them: at 500 tokens of a 6-layer BERT, 3e-6 in the attention. The
own function, called on a few heads and rows at a time so that its matrices stay in the processor's
cache, gives the same bits as one call, in little more than the fast kernel's time.

The registry is global, so ours has a name of its own and does nothing but compute outside of a run:
what is recorded, and by whom, is in a context variable.
"""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

# Never "eager" itself: registering that would replace every model's own function.
NAME = "attnviz"

_CROSS = ("encdecattention", "encoder_attn", "crossattention", "cross_attn", "cross_attention")
_SINKS = ("s_aux", "sinks")

# Bytes of attention computed at a time: what stays in a processor's cache; what a GPU can spare.
_CHUNK = {"cpu": 1 << 19}
_LARGE_CHUNK = 1 << 28


class Place(NamedTuple):
    """Where an attention stands: the module's path, and which of its calls in the run, from 0."""

    name: str
    nth: int


class Call(NamedTuple):
    """What one attention was handed: tensors as they came, for one text (batch of 1)."""

    place: Place
    query: torch.Tensor  # (1, H, T_q, d)
    key: torch.Tensor  # (1, H_kv, T_k, d)
    value: torch.Tensor
    scaling: float
    mask: torch.Tensor | None
    bias: torch.Tensor | None

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
        value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    ) -> None:  # fmt: skip
        self._refuse(module, query, extras)
        name = self.names.get(id(module), type(module).__name__)
        place = Place(name, self.calls[name])
        self.calls[name] += 1
        scaling = extras.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        bias = extras.get("position_bias")
        self.on_call(Call(place, query, key, value, scaling, mask, bias))

    def _refuse(self, module: torch.nn.Module, query: torch.Tensor, extras: dict[str, Any]) -> None:
        """Raise for what query, key, mask and bias alone cannot reproduce."""
        reason = None
        if extras.get("softcap") is not None:
            reason = "it caps its logits (soft cap)"
        elif _has_sinks(module, extras):
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


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, **extras: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Note a call in the run that is on, and compute it."""
    run = _RUN.get()
    if run is not None:
        run.note(module, query, key, value, attention_mask, extras)
    return _compute(module, query, key, value, attention_mask, extras), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, eager_mask)


def _compute(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    mask: torch.Tensor | None, extras: dict[str, Any],
) -> torch.Tensor:  # fmt: skip
    """Return the family's attention output, (1, T_q, H, d_v), made by heads and rows."""
    own = own_function(module)
    bias = extras.get("position_bias")
    heads, rows = _steps(query, key, mask, bias, whole=_has_sinks(module, extras))
    n_heads, n_rows = query.shape[1], query.shape[2]
    if heads >= n_heads and rows >= n_rows:
        return own(module, query, key, value, mask, **extras)[0]  # type: ignore[no-any-return]
    group = n_heads // key.shape[1]
    output = value.new_empty(query.shape[0], n_rows, n_heads, value.shape[-1])
    for h in range(0, n_heads, heads):
        keys = slice(h // group, (h + heads) // group)
        for r in range(0, n_rows, rows):
            part = (slice(h, h + heads), slice(r, r + rows))
            if bias is not None:
                extras = {**extras, "position_bias": _part(bias, part)}
            output[:, part[1], part[0]] = own(
                module, query[:, *part], key[:, keys], value[:, keys], _part(mask, part), **extras
            )[0]
    return output


def _steps(
    query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, bias: torch.Tensor | None,
    *, whole: bool,
) -> tuple[int, int]:  # fmt: skip
    """Return how many heads and rows to compute at a time; query heads of a group stay together."""
    n_heads, n_rows = query.shape[1], query.shape[2]
    added = [t for t in (mask, bias) if t is not None]
    if whole or query.ndim != 4 or any(t.ndim != 4 or t.shape[-2] != n_rows for t in added):
        return n_heads, n_rows
    group = n_heads // key.shape[1]
    chunk = _CHUNK.get(query.device.type, _LARGE_CHUNK) // query.element_size()
    row = max(key.shape[2], 1)
    heads = min(max(chunk // (n_rows * row * group), 1) * group, n_heads)
    rows = n_rows if heads > group else max(chunk // (row * group), 32)
    return heads, rows


def _part(tensor: torch.Tensor | None, part: tuple[slice, slice]) -> torch.Tensor | None:
    """Return the heads and rows of a mask or bias; one that all heads share has one head."""
    if tensor is None:
        return None
    heads, rows = part
    return tensor[:, heads if tensor.shape[1] > 1 else slice(None), rows]


def own_function(module: torch.nn.Module) -> Callable[..., Any]:
    """Return the family's own attention function, from where its class or a base is written."""
    for cls in type(module).__mro__:
        function = getattr(sys.modules.get(cls.__module__), "eager_attention_forward", None)
        if function is not None:
            return function  # type: ignore[no-any-return]
    return _sdpa


def _sdpa(*tensors: Any, **extras: Any) -> Any:
    """Compute by the fast kernel, where a family has no function of its own."""
    # Whatever may not be seen is in the mask: a missing one means that all may.
    return ALL_ATTENTION_FUNCTIONS["sdpa"](*tensors, **{**extras, "is_causal": False})


def _has_sinks(module: torch.nn.Module, extras: dict[str, Any]) -> bool:
    return any(extras.get(s) is not None or getattr(module, s, None) is not None for s in _SINKS)


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
    """Call `on_call` for each attention that `model` computes inside the block, in this context."""
    with implementation(model, NAME):
        token = _RUN.set(_Run(model, on_call))
        try:
            yield
        finally:
            _RUN.reset(token)


@contextmanager
def implementation(model: torch.nn.Module, name: str) -> Iterator[None]:
    """Give every config of a model another attention implementation inside the block.

    Each config gets back what it had, also when the block fails.
    """
    before = [(config, config._attn_implementation_internal) for config in _configs(model)]
    try:
        for config, _ in before:
            config._attn_implementation_internal = name
        yield
    finally:
        for config, name_before in before:
            config._attn_implementation_internal = name_before


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
