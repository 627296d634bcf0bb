"""Record q, k and v through the attention interface of transformers.

Families that use the interface hand query, key, value and mask to a function of one signature,
after query/key norms and the rotary embedding and before keys are repeated over groups. For a run
the model is pointed at a function of ours, which notes what it is handed and then calls the
family's own (eager) attention.

A run of a model that has been run before ends with its last attention: what comes after it, a
sixth of a 6-layer BERT, changes nothing that is recorded.

The registry is global, so ours has a name of its own and does nothing but compute outside of a run:
what is recorded, and by whom, is in a context variable.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.modeling_utils import PreTrainedModel

from attnviz_gui.capture.call import Call, Place
from attnviz_gui.capture.own import Plain, own_attention
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Never "eager" itself: registering that would replace every model's own function.
NAME = "attnviz"

_SINKS = ("s_aux", "sinks")

# The attentions that a model's last whole run came to, and the names of its modules then.
_SEEN: WeakKeyDictionary[torch.nn.Module, tuple[tuple[str, ...], tuple[Place, ...]]] = (
    WeakKeyDictionary()
)


class _Ended(BaseException):
    """The last attention was noted; no `Exception`, so that no model takes it for a failure."""


class _Run:
    """The run that is being recorded in this context."""

    def __init__(self, model: torch.nn.Module, on_call: Callable[[Call], None]) -> None:
        self.model = model
        self.on_call = on_call
        self.plain = Plain()
        self.names = {id(module): name for name, module in model.named_modules()}
        self.places: list[Place] = []
        self.often: Counter[str] = Counter()
        names, places = _SEEN.get(model, ((), ()))
        same = names == tuple(self.names.values())
        self.expected = places if same and not _watched(model) else ()

    def note(
        self, module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor,
        value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    ) -> None:  # fmt: skip
        self._refuse(module, query, extras)
        name = self.names.get(id(module), type(module).__name__)
        place = Place(name, self.often[name])
        self.often[name] += 1
        self.places.append(place)
        scaling = extras.get("scaling")
        scaling = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
        bias = extras.get("position_bias")
        self.on_call(Call(place, query, key, value, scaling, mask, bias))
        if tuple(self.places) == self.expected:
            raise _Ended

    def finish(self) -> None:
        """The model ran to its end: the next run need not."""
        _SEEN[self.model] = tuple(self.names.values()), tuple(self.places)

    def _refuse(self, module: torch.nn.Module, query: torch.Tensor, extras: dict[str, Any]) -> None:
        """Raise for what query, key, mask and bias alone cannot reproduce."""
        reason = None
        if extras.get("softcap") is not None:
            reason = "it caps its logits (soft cap)"
        elif _has_sinks(module, extras):
            reason = "it has attention sinks"
        elif extras.get("indices") is not None or extras.get("block_indices") is not None:
            reason = "its attention is sparse, chosen from token to token"
        elif query.ndim != 4:
            reason = "its attention works in windows"
        if reason:
            raise InputError(
                f"Models of the family {family(self.model)} cannot be read yet: {reason}, which "
                "query and key alone do not explain. Choose another model."
            )


_RUN: ContextVar[_Run | None] = ContextVar("attnviz_run", default=None)


def _attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    attention_mask: torch.Tensor | None, **extras: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """Note a call in the run that is on, and compute it."""
    run = _RUN.get()
    plain = None
    if run is not None:
        run.note(module, query, key, value, attention_mask, extras)
        plain = run.plain
    return own_attention(module, query, key, value, attention_mask, extras, plain), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, eager_mask)


def _watched(model: torch.nn.Module) -> bool:
    """Return whether something waits for the ends of modules: a caller's hooks, weights on loan."""
    return any(m._forward_hooks or "_hf_hook" in m.__dict__ for m in model.modules())


def _has_sinks(module: torch.nn.Module, extras: dict[str, Any]) -> bool:
    return any(extras.get(s) is not None or getattr(module, s, None) is not None for s in _SINKS)


def family(model: torch.nn.Module) -> str:
    """Return the name of a model's family, ``bert``, or its class."""
    name = getattr(getattr(model, "config", None), "model_type", "")
    return str(name) if name else type(model).__name__


def reads(model: torch.nn.Module) -> bool:
    """Return whether a model's attention goes through the interface."""
    return isinstance(model, PreTrainedModel) and all(
        part._can_set_attn_implementation()
        for part in model.modules()
        if isinstance(part, PreTrainedModel)
    )


@contextmanager
def recording(model: torch.nn.Module, on_call: Callable[[Call], None]) -> Iterator[None]:
    """Call `on_call` for each attention that `model` computes inside the block, in this context.

    The block runs the model once. It may end with the model's last attention.
    """
    with implementation(model, NAME):
        run = _Run(model, on_call)
        token = _RUN.set(run)
        try:
            yield
            run.finish()
        except _Ended:
            pass
        finally:
            _RUN.reset(token)


@contextmanager
def watching(
    model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None]
) -> Iterator[None]:
    """Call `on_weights` with the weights, (B, H, T_q, T_k), that the model's own attention gives.

    The block runs the model once, with its eager attention.
    """
    calls: Counter[str] = Counter()
    hooks = []
    for name, module in model.named_modules():

        def hook(_module: Any, _inputs: Any, output: Any, name: str = name) -> None:
            weights = _weights(output)
            if weights is not None:
                on_weights(Place(name, calls[name]), weights)
                calls[name] += 1

        hooks.append(module.register_forward_hook(hook))
    try:
        with implementation(model, "eager"):
            yield
    finally:
        for handle in hooks:
            handle.remove()


def _weights(output: Any) -> torch.Tensor | None:
    """Return the attention among a module's outputs, told by being made of shares."""
    for part in reversed(output) if isinstance(output, tuple) else ():
        if isinstance(part, torch.Tensor) and part.ndim == 4 and part.is_floating_point():
            own = part.detach().float()
            if bool((own >= 0).all()) and bool((own.sum(-1) < 1.01).all()):
                return own
    return None


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
