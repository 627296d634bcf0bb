"""Record q, k and v of every `torch.nn.MultiheadAttention`, in whatever module it stands.

All of them, and with them `nn.TransformerEncoder`, `nn.TransformerDecoder` and `nn.Transformer`,
compute in one function of PyTorch, `multi_head_attention_forward`. It offers itself to a
`TorchFunctionMode` before it begins; ours then runs PyTorch's own code, but sees the projected
queries, keys and values go by. So nothing is computed twice, nothing is computed otherwise than
by PyTorch, and nothing is put into the model: a mode belongs to the thread that runs.

In eval mode PyTorch would take a fused path that hides them; it is off inside the block, as are
compiled graphs. The recorded run equals the plain one without the fused path to the bit, and the
one with it up to rounding.

A subclass that never comes to that function is read only where the standard computation with its
weights gives its output; otherwise its class is named and refused.
"""

from __future__ import annotations

import inspect
import sys
import threading
from collections import Counter
from contextlib import ExitStack, contextmanager
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from attnviz_gui.capture.call import Call, Place, taking
from attnviz_gui.capture.drawn import as_drawn, noting_drawn
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Arguments: TypeAlias = dict[str, Any]  # of PyTorch's function, by name
    Result: TypeAlias = tuple[torch.Tensor, torch.Tensor | None]

# Names of the keys that no token stands behind, in the order in which they come.
BIAS_KEY = "⟨bias_k⟩"
ZERO_KEY = "⟨zero⟩"

_FORWARD: Any = F.multi_head_attention_forward
_SIGNATURE = inspect.signature(_FORWARD)
_STACKS = {
    nn.TransformerEncoder: "encoder",
    nn.TransformerEncoderLayer: "encoder",
    nn.TransformerDecoder: "decoder",
    nn.TransformerDecoderLayer: "decoder",
}


def reads(model: nn.Module) -> bool:
    """Return whether any part of a model, or the model itself, is an `nn.MultiheadAttention`."""
    return any(isinstance(part, nn.MultiheadAttention) for part in model.modules())


@contextmanager
def recording(model: nn.Module, on_call: Callable[[Call], None]) -> Iterator[None]:
    """Call `on_call` for each attention that `model` computes inside the block, in this thread.

    Raises
    ------
    InputError
        Where a subclass of `nn.MultiheadAttention` computes in a way of its own.
    """
    masks = _Masks()

    def attend(where: _Where, arguments: Arguments) -> tuple[Result, Call]:
        result, projected = _projected(arguments)
        return result, _call(where, arguments, projected, masks)

    with noting_drawn(model), _reading(model, attend, on_call):
        yield


@contextmanager
def watching(model: nn.Module, on_weights: Callable[[Place, torch.Tensor], None]) -> Iterator[None]:
    """Call `on_weights` with each attention's own weights, (B, H, T_q, T_k), without dropout.

    Raises
    ------
    InputError
        Where a subclass of `nn.MultiheadAttention` computes in a way of its own.
    """

    def attend(where: _Where, arguments: Arguments) -> tuple[Result, tuple[Place, torch.Tensor]]:
        result, weights = _weighed(arguments)
        return result, (where.place, weights)

    with as_drawn(model), _reading(model, attend, lambda seen: on_weights(*seen)):
        yield


@contextmanager
def _reading(
    model: nn.Module, attend: Callable[[_Where, Arguments], tuple[Result, Any]],
    on_seen: Callable[[Any], None],
) -> Iterator[None]:  # fmt: skip
    with _plain_path(), _Reader(model, attend, on_seen) as reader:
        hooks = [hook for part in model.modules() for hook in reader.guard(part)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


# -- which attention it is ---------------------------------------------------------------------


class _Where:
    """The attention that computes: its place, and what its surroundings say of it."""

    def __init__(self, place: Place, kind: str | None = None, stack: str | None = None) -> None:
        self.place, self.kind, self.stack = place, kind, stack


class _Map:
    """Tells a model's modules, by the paths that they have at the start of a run."""

    def __init__(self, model: nn.Module) -> None:
        self._parts: dict[str, nn.Module] = dict(model.named_modules())
        self._names: dict[int, str] = {id(part): name for name, part in self._parts.items()}
        # Told only where there are two stacks: a decoder is one half of something.
        decoders = (nn.TransformerDecoder, nn.TransformerDecoderLayer)
        self._two = any(isinstance(part, decoders) for part in self._parts.values())

    def name_of_caller(self) -> str:
        """Return the path of the innermost module of the model that is being computed.

        The calling frames know it, however a module came to be called: in a direct call of its
        forward there is no hook, and parametrised weights are other tensors each time.
        """
        # From the caller on: a frame that looks at its own variables keeps itself alive.
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            name = self._names.get(id(frame.f_locals.get("self")))
            if name is not None:
                return name
            frame = frame.f_back
        return ""

    def name_of(self, part: nn.Module) -> str:
        """Return the path of a part of the model."""
        return self._names[id(part)]

    def where(self, place: Place) -> _Where:
        """Return what a place's surroundings say: PyTorch's own stacks and their parts."""
        own, parent = (self._parts.get(n) for n in (place.name, place.name.rpartition(".")[0]))
        kind = None
        if isinstance(parent, nn.TransformerDecoderLayer):
            kinds = {id(parent.self_attn): "self", id(parent.multihead_attn): "cross"}
            kind = kinds.get(id(own))
        stacks = self._stacks(place.name) if self._two else []
        return _Where(place, kind, stacks[0] if stacks else None)

    def _stacks(self, name: str) -> list[str]:
        """Return the stacks that a path leads through, the innermost first."""
        steps = name.split(".")
        around = [self._parts.get(".".join(steps[:end])) for end in range(len(steps), 0, -1)]
        around.append(self._parts.get(""))
        return [word for part in around for cls, word in _STACKS.items() if isinstance(part, cls)]


def _same(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Return whether queries and keys are projected from one and the same sequence."""
    return query is key or (query.shape == key.shape and torch.equal(query, key))


# -- PyTorch's function, seen from inside --------------------------------------------------------


class _Reader(TorchFunctionMode):
    """Stands in for PyTorch's function in this thread, and hands on what is seen in it."""

    def __init__(
        self, model: nn.Module, attend: Callable[[_Where, Arguments], tuple[Result, Any]],
        on_seen: Callable[[Any], None],
    ) -> None:  # fmt: skip
        super().__init__()
        self._map = _Map(model)
        self._attend, self._on_seen = attend, on_seen
        self._often: Counter[str] = Counter()
        self._held: list[Any] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is not _FORWARD:
            return func(*args, **(kwargs or {}))
        bound = _SIGNATURE.bind(*args, **(kwargs or {}))
        bound.apply_defaults()
        name = self._map.name_of_caller()
        where = self._map.where(Place(name, self._often[name]))
        with taking():
            result, seen = self._attend(where, bound.arguments)
        if self._held is not None:
            self._held.append(seen)
        else:
            self._often[name] += 1
            self._on_seen(seen)
        return result

    # A subclass may compute without ever coming to PyTorch's function.

    def guard(self, part: nn.Module) -> list[Any]:
        """Watch over a part of the model that has a forward of its own; return the hooks."""
        if not isinstance(part, nn.MultiheadAttention) or not _own_forward(part):
            return []
        name = self._map.name_of(part)
        before = 0

        def begin(_part: nn.Module, _args: Any) -> None:
            nonlocal before
            before = self._often[name]

        def end(part: nn.Module, args: Any, keywords: Any, output: Any) -> None:
            if self._often[name] == before:
                self._compare(name, part, args, keywords, output)

        # The first of its hooks: another one may change the output.
        return [
            part.register_forward_pre_hook(begin),
            part.register_forward_hook(end, prepend=True, with_kwargs=True),
        ]

    def _compare(self, name: str, part: Any, args: Any, keywords: Any, output: Any) -> None:
        """Read a module by the standard computation with its weights, if that is what it does."""
        held: list[Any] = []
        self._held = held
        try:
            again = nn.MultiheadAttention.forward(_standard(part), *args, **keywords)
            own = output if isinstance(output, tuple) else (output,)
            # Weights will do: the output of PyTorch's quantizable attention, batch first, is not
            # cut from its heads as it should be.
            if not any(map(_equal, again, own)):
                raise ValueError("another output")
        except Exception as error:
            cls = type(part)
            raise InputError(
                f"The attention {name or 'module'} is of the class {cls.__module__}."
                f"{cls.__qualname__}, which computes in a way of its own that its weights do not "
                "explain, so it cannot be read. Choose another model."
            ) from error
        finally:
            self._held = None
        for seen in held:
            self._often[name] += 1
            self._on_seen(seen)


def _spied(**replaced: Any) -> Any:
    """Return PyTorch's function with others in the place of some that it calls.

    A copy that shares the code: the function itself, which all threads call, stays as it is.
    """
    names = {**_FORWARD.__globals__, "has_torch_function": lambda _tensors: False, **replaced}
    return FunctionType(_FORWARD.__code__, names)


def _projected(arguments: Arguments) -> tuple[Result, list[torch.Tensor]]:
    """Compute an attention; return its result and q, k, v as projected, (T, B, E) each."""
    seen: list[torch.Tensor] = []

    def spy(function: Any) -> Any:
        def project(*args: Any) -> Any:
            projected = function(*args)
            seen[:] = projected
            return projected

        return project

    names = ("_in_projection_packed", "_in_projection")
    result = _spied(**{name: spy(_FORWARD.__globals__[name]) for name in names})(**arguments)
    return result, seen


def _weighed(arguments: Arguments) -> tuple[Result, torch.Tensor]:
    """Compute an attention; return its result and its weights, (B, H, T_q, T_k)."""
    weights: torch.Tensor
    if arguments["need_weights"]:
        result = _spied()(**arguments)
        asked = {"average_attn_weights": False, "training": False}
        weights = _spied()(**{**arguments, **asked})[1]
        return result, weights if weights.ndim == 4 else weights[None]
    # The kernel gives no weights, but with the identity for values they are what it mixes. Asked
    # for weights, the function would take another path, which ignores `is_causal`.
    seen: list[torch.Tensor] = []
    kernel = F.scaled_dot_product_attention

    def spy(q: Any, k: Any, v: Any, mask: Any, dropout: float, causal: bool) -> torch.Tensor:
        one = torch.eye(k.shape[-2], dtype=v.dtype, device=v.device).expand(*k.shape[:2], -1, -1)
        seen.append(kernel(q, k, one, mask, 0.0, causal))
        return kernel(q, k, v, mask, dropout, causal)

    return _spied(scaled_dot_product_attention=spy)(**arguments), seen[0]


# -- what it was handed --------------------------------------------------------------------------


def _call(
    where: _Where, arguments: Arguments, projected: list[torch.Tensor], masks: _Masks
) -> Call:
    """Return an attention's call from its arguments and q, k, v as projected, (T, B, E) each."""
    n_heads = arguments["num_heads"]
    query, key, value = (tensor.detach() for tensor in projected)
    n_batch, extra = query.shape[1], []
    if arguments["bias_k"] is not None:
        key = torch.cat([key, arguments["bias_k"].detach().repeat(1, n_batch, 1)])
        value = torch.cat([value, arguments["bias_v"].detach().repeat(1, n_batch, 1)])
        extra.append(BIAS_KEY)
    query, key, value = (_heads(tensor, n_heads) for tensor in (query, key, value))
    if arguments["static_k"] is not None:
        key = arguments["static_k"].detach().unflatten(0, (n_batch, n_heads))
    if arguments["static_v"] is not None:
        value = arguments["static_v"].detach().unflatten(0, (n_batch, n_heads))
    if arguments["add_zero_attn"]:
        key, value = (F.pad(tensor, (0, 0, 0, 1)) for tensor in (key, value))
        extra.append(ZERO_KEY)
    kind = where.kind
    if kind is None:
        kind = "self" if _same(arguments["query"], arguments["key"]) else "cross"
    return Call(
        where.place, query, key, value,
        scaling=query.shape[-1] ** -0.5,
        mask=masks.of(arguments, (n_batch, n_heads, query.shape[2], key.shape[2]), len(extra)),
        kind=kind,
        stack=where.stack,
        extra_keys=tuple(extra),
    )  # fmt: skip


def _heads(tensor: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Return (T, B, E) as (B, H, T, d): each head has d neighbouring dimensions of the E."""
    return tensor.reshape(*tensor.shape[:2], n_heads, -1).permute(1, 2, 0, 3)


class _Masks:
    """What the attentions of one run may see, as one tensor where several share it."""

    def __init__(self) -> None:
        self._known: list[torch.Tensor] = []

    def of(
        self, arguments: Arguments, shape: tuple[int, int, int, int], n_extra: int
    ) -> torch.Tensor | None:
        """Return what broadcasts to `shape`, (B, H, T_q, T_k); the last `n_extra` keys are free.

        Allowed where True, or added to the logits; None where all is allowed.
        """
        n_batch, n_heads, n_queries, n_keys = shape
        query, padding, mask = (arguments[n] for n in ("query", "key_padding_mask", "attn_mask"))
        if arguments["is_causal"] and padding is None and not arguments["need_weights"]:
            # The one path on which the hint is taken for the mask, whatever the mask says.
            causal = torch.ones(n_queries, n_keys, dtype=torch.bool, device=query.device)
            return self._shared(causal.tril()[None, None])
        parts = []
        if mask is not None:
            rest = (n_queries, n_keys - n_extra)
            added = _added(mask, query.dtype)
            # (T_q, T_k), or (B H, T_q, T_k)
            parts.append(added.reshape(*((1, 1) if mask.ndim == 2 else (n_batch, n_heads)), *rest))
        if padding is not None:
            parts.append(_added(padding, query.dtype).reshape(n_batch, 1, 1, n_keys - n_extra))
        if not parts:
            return None
        return self._shared(F.pad(sum(parts[1:], parts[0]).detach(), (0, n_extra)))

    def _shared(self, mask: torch.Tensor) -> torch.Tensor:
        """Return the mask that is known already where this one equals it."""
        for known in self._known:
            if known.shape == mask.shape and known.dtype == mask.dtype and torch.equal(known, mask):
                return known
        # A few: where each layer has one of its own, comparing with all would take long.
        self._known = [mask, *self._known[:3]]
        return mask


def _added(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask as what is added to the logits; True in a mask of bools means not allowed."""
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, float("-inf"))


# -- subclasses ----------------------------------------------------------------------------------


def _own_forward(part: nn.MultiheadAttention) -> bool:
    """Return whether a module computes by another forward than its class's in PyTorch."""
    return type(part).forward is not nn.MultiheadAttention.forward or "forward" in vars(part)


def _standard(part: Any) -> Any:
    """Return what the standard forward can be called with: the module, or one like it.

    PyTorch's quantizable attention has its projections in three linear layers.
    """
    layers: list[Any] = [getattr(part, f"linear_{letter}", None) for letter in "QKV"]
    if not all(isinstance(layer, nn.Linear) for layer in layers):
        return part
    query, key, value = layers
    biases = [layer.bias for layer in layers]
    names = ("embed_dim", "num_heads", "batch_first", "dropout", "training", "out_proj")
    return SimpleNamespace(
        **{name: getattr(part, name) for name in (*names, "bias_k", "bias_v", "add_zero_attn")},
        _qkv_same_embed_dim=False,
        in_proj_weight=None,
        in_proj_bias=None if biases[0] is None else torch.cat(biases),
        q_proj_weight=query.weight,
        k_proj_weight=key.weight,
        v_proj_weight=value.weight,
    )


def _equal(again: Any, own: Any) -> bool:
    """Return whether two outputs are equal up to the rounding of their type."""
    if not isinstance(again, torch.Tensor) or not isinstance(own, torch.Tensor):
        return False
    if own.shape != again.shape:
        return False
    share = min(64 * torch.finfo(again.dtype).eps, 0.02)
    size = float(again.detach().abs().nan_to_num(0).max()) if again.numel() else 0.0
    return torch.allclose(again, own.to(again.dtype), rtol=0, atol=share * size, equal_nan=True)


# -- paths on which nothing is seen --------------------------------------------------------------

_LOCK = threading.Lock()
_OFF = ExitStack()  # gives back what the first of the runs under way has switched off
_RUNS = 0


@contextmanager
def _plain_path() -> Iterator[None]:
    """Keep PyTorch from its fused path and from compiled graphs inside the block.

    Both switches are the whole process's: of blocks that overlap, the first one switches them off
    and the last one gives them back.
    """
    global _RUNS
    with _LOCK:
        if _RUNS == 0:
            mha = torch.backends.mha
            _OFF.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
            mha.set_fastpath_enabled(False)
            if "torch._dynamo" in sys.modules:
                _OFF.enter_context(torch.compiler.set_stance("force_eager"))
        _RUNS += 1
    try:
        yield
    finally:
        with _LOCK:
            _RUNS -= 1
            if _RUNS == 0:
                _OFF.close()
