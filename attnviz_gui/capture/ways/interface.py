"""Record q, k and v through the attention interface of transformers.

Families that use the interface hand query, key, value and mask to a function of one signature,
after query/key norms and the rotary embedding and before keys are repeated over groups. For a run
the model is set to its own (eager) attention, and a function of ours stands in for the family's:
it notes what it is handed and then calls the family's own. So whatever else a family does for its
eager attention (its mask, its extras) is done as the family does it.

A run of a model that has been run before ends with its last attention (`ending`).
"""

from __future__ import annotations

import dis
import functools
from collections import Counter
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from attnviz_gui.capture.call import Call, OtherWay, Place, taking
from attnviz_gui.capture.drawn import as_drawn, noting_drawn
from attnviz_gui.capture.signature import parameters
from attnviz_gui.capture.ways import rotary
from attnviz_gui.capture.ways.ending import Ended, Ending
from attnviz_gui.capture.ways.extras import extra_key, sink_of
from attnviz_gui.capture.ways.own import Plain, own_attention
from attnviz_gui.capture.ways.stacks import stacks
from attnviz_gui.capture.ways.standin import Names, methods, standing_in
from attnviz_gui.capture.ways.windows import fits, fold, fold_added, fold_weights
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# What a model's attention implementation is set to for a run.
NAME = "eager"

_FUNCTIONS = Names(lambda name: "eager_attention_forward" in name)

# Inputs that have a row for each text, image or sound, the surest first, and the axes they have
# then; some families stack the patches of all images into fewer.
_ROWS = {
    "input_ids": 2, "inputs_embeds": 3, "pixel_values": 4, "pixel_values_videos": 5,
    "input_features": 3, "input_values": 2, "hidden_states": 3,
}  # fmt: skip


class _Run:
    """The run that is read in this context."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.parts = dict(model.named_modules())
        self.found = _through(self.parts.values())
        self.names = {id(module): name for name, module in self.parts.items()}
        self.often: Counter[str] = Counter()
        self.rows: int | None = None  # texts, images ... in the batch; None: not known
        self.ending = Ending(model, self.parts)
        self._last_one: tuple[Any, ...] = (None, None, None)

    def starts(self, _model: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """The model is called, which another thread may do too."""
        if _RUN.get() is not self:
            return
        tensors = {str(i): a for i, a in enumerate(arguments) if isinstance(a, torch.Tensor)}
        tensors |= {n: a for n, a in keywords.items() if isinstance(a, torch.Tensor)}
        sure = (tensors[n] for n, axes in _ROWS.items() if n in tensors and tensors[n].ndim >= axes)
        likely = (t for n, t in tensors.items() if n not in _ROWS and t.ndim >= 2)
        first = next(sure, next(likely, None))
        self.rows = None if first is None else first.shape[0]
        self.ending.starts({str(i): a for i, a in enumerate(arguments)} | keywords)

    def misses(self, module: torch.nn.Module, _arguments: Any) -> None:
        """An attention begins that does not go through the interface."""
        if _RUN.get() is self:
            raise OtherWay(
                f"Models of the family {family(self.model)} cannot be read: {type(module).__name__}"
                " computes its attention in a way of its own. Choose another model."
            )

    def place(self, module: torch.nn.Module) -> Place:
        """Return where a module's next attention stands."""
        name = self.names.get(id(module), type(module).__name__)
        place = Place(name, self.often[name])
        self.often[name] += 1
        return place

    def told(self, module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor) -> bool:
        """Return whether this is the last attention once more, taken of other values."""
        last, self._last_one = self._last_one, (module, query, key)
        return all(a is b for a, b in zip(last, self._last_one, strict=True))

    def windows(self, query: torch.Tensor) -> int:
        """Return how many windows of one input stand where others have their batch."""
        return 1 if self.rows is None else max(query.shape[0] // self.rows, 1)

    def packed(self, query: torch.Tensor) -> bool:
        """Return whether all inputs of a batch stand in one row."""
        return query.shape[0] == 1 and self.rows is not None and self.rows > 1

    def spread(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return what all inputs have together as a row for each of them."""
        return tensor.expand(self.rows or 1, -1, -1, -1)

    def attention(
        self, own: Callable[..., Any], module: torch.nn.Module, query: torch.Tensor,
        key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    ) -> Any:  # fmt: skip
        """Read a call, and return what `own` does."""
        raise NotImplementedError


class _Recording(_Run):
    """Hands on what each attention was handed."""

    def __init__(self, model: torch.nn.Module, on_call: Callable[[Call], None], ends: bool) -> None:
        super().__init__(model)
        self.on_call = on_call
        self.ends = ends
        self.plain = Plain()
        self.takes: dict[Callable[..., Any], frozenset[str]] = {}
        self.stacks = stacks(self.names[id(module)] for module in self.found)
        self.rotations = rotary.Rotations()
        self.free: dict[tuple[int, ...], torch.Tensor] = {}  # masks of windows that hide nothing

    def attention(
        self, own: Callable[..., Any], module: torch.nn.Module, query: torch.Tensor,
        key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    ) -> tuple[torch.Tensor, None]:  # fmt: skip
        if self.told(module, query, key):
            return own_attention(own, module, query, key, value, mask, extras), None
        call = self._call(own, module, query, key, value, mask, extras)
        self.on_call(call)
        if self.ending.last(call.place) and self.ends:
            raise Ended
        usual = call.softcap is None and call.sink is None and not call.extra_keys
        plain = self.plain if usual and call.bias is None else None
        return own_attention(own, module, query, key, value, mask, extras, plain), None

    def _call(
        self, own: Callable[..., Any], module: torch.nn.Module, query: torch.Tensor,
        key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    ) -> Call:  # fmt: skip
        if query.ndim != 4 or key.ndim != 4:
            raise InputError(
                f"Models of the family {family(self.model)} cannot be read: the queries of "
                f"{type(module).__name__} have {query.ndim} axes instead of 4. Choose another "
                "model."
            )
        place = self.place(module)
        if own not in self.takes:
            self.takes[own] = frozenset(parameters(own))
        takes = self.takes[own]
        scaling = extras.get("scaling")
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        if isinstance(factor, torch.Tensor) and factor.numel() > 1:  # one for each head
            query, factor = query * factor, 1.0
        call = Call(
            place, query, key, value, float(factor), mask,
            bias=extras.get("position_bias") if "position_bias" in takes else None,
            softcap=extras.get("softcap") if "softcap" in takes else None,
            unrotated=self.rotations.unrotated(query, key),
            stack=self.stacks.get(place.name, ""),
        )  # fmt: skip
        if "cross" not in place.name and getattr(module, "is_cross_attention", False) is True:
            call = call._replace(kind="cross")
        sink = sink_of(own, module, call, extras)
        if sink is not None:
            call = call._replace(sink=sink) if sink.ndim == 1 else extra_key(call, sink)
        return self._rows(call)

    def _rows(self, call: Call) -> Call:
        """Return a call with a row for each text."""
        windows = self.windows(call.query)
        if windows < 2:
            if self.packed(call.query):
                query, key, value = map(self.spread, (call.query, call.key, call.value))
                unrotated = call.unrotated
                if unrotated is not None:
                    unrotated = self.spread(unrotated[0]), self.spread(unrotated[1])
                call = call._replace(query=query, key=key, value=value, unrotated=unrotated)
            return call
        n, m = call.query.shape[2], call.key.shape[2]
        if not fits(windows, call):
            raise InputError(
                f"{call.place.name} (family {family(self.model)}) attends in {windows:,} windows "
                f"of {max(n, m):,} tokens, which are too many for one matrix; give a smaller input."
            )
        shape = (call.query.shape[0], n, m)
        mask, bias = fold_added(call.mask, call.bias, windows, shape)
        if mask.shape[:2] == (1, 1):
            # Layers that hide nothing share one mask, in the record too.
            known = self.free.setdefault((windows, n, m), mask)
            mask = known if torch.equal(known, mask) else mask
        unrotated = call.unrotated
        if unrotated is not None:
            unrotated = fold(unrotated[0], windows), fold(unrotated[1], windows)
        return call._replace(
            query=fold(call.query, windows), key=fold(call.key, windows),
            value=fold(call.value, windows), mask=mask, bias=bias, unrotated=unrotated,
            windows=windows,
        )  # fmt: skip


class _Watching(_Run):
    """Hands on the weights that each attention computed."""

    def __init__(
        self, model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None]
    ) -> None:
        super().__init__(model)
        self.on_weights = on_weights

    def attention(
        self, own: Callable[..., Any], module: torch.nn.Module, query: torch.Tensor,
        key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    ) -> Any:  # fmt: skip
        output, weights = own(module, query, key, value, mask, **extras)
        if self.told(module, query, key):
            return output, weights
        windows = self.windows(query)
        found = weights
        if isinstance(extras.get("sinks"), torch.Tensor) and extras["sinks"].ndim == 4:
            found = torch.cat([found, 1 - found.sum(-1, keepdim=True)], -1)
        if windows > 1:
            found = fold_weights(found, windows)
        elif self.packed(query):
            found = self.spread(found)
        self.on_weights(self.place(module), found)
        return output, weights


_RUN: ContextVar[_Run | None] = ContextVar("attnviz_run", default=None)


def _stand_in(own: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that lets the run that is on read each call of `own`, and else is `own`."""
    names = parameters(own)[5:]

    @functools.wraps(own)
    def attention(
        module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
        attention_mask: torch.Tensor | None = None, *more: Any, **extras: Any,
    ) -> Any:  # fmt: skip
        run = _RUN.get()
        if run is None:
            return own(module, query, key, value, attention_mask, *more, **extras)
        extras = dict(zip(names, more, strict=False)) | extras
        with taking():
            return run.attention(own, module, query, key, value, attention_mask, extras)

    return attention


def family(model: torch.nn.Module) -> str:
    """Return the name of a model's family, ``bert``, or its class."""
    name = getattr(getattr(model, "config", None), "model_type", "")
    return str(name) if name else type(model).__name__


def attentions(model: torch.nn.Module) -> list[torch.nn.Module]:
    """Return the modules of a model whose attention goes through the interface."""
    return _through(model.modules())


def _through(parts: Iterable[torch.nn.Module]) -> list[torch.nn.Module]:
    return [part for part in parts if _FUNCTIONS.called_by(type(part))]


def reads(model: torch.nn.Module) -> bool:
    """Return whether attention of a model goes through the interface.

    A run raises `OtherWay` where it comes to attention that does not.
    """
    return any(_FUNCTIONS.called_by(type(module)) for module in model.modules())


def _attends(cls: type) -> bool:
    """Return whether a class computes attention itself, as told by its code: softmax and product.

    Attention without products of queries and keys (deformable attention) is no attention here.
    """
    if cls not in _ATTENDS:
        called: set[str] = set()
        for _, _, function in methods(cls) if "attention" in cls.__name__.lower() else ():
            called.update(function.__code__.co_names)
            called.update(i.argrepr for i in dis.get_instructions(function) if i.argrepr == "@")
        product = any(name in ("@", "matmul", "einsum") or "bmm" in name for name in called)
        _ATTENDS[cls] = "softmax" in called and product
    return _ATTENDS[cls]


_ATTENDS: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


@contextmanager
def recording(
    model: torch.nn.Module,
    on_call: Callable[[Call], None],
    *,
    whole: bool = True,
    ends: bool = True,
) -> Iterator[None]:
    """Call `on_call` for each attention that `model` computes inside the block, in this context.

    The block runs the model once.

    Parameters
    ----------
    whole
        Whether all attention is to go through the interface; else what does not is passed over.
    ends
        Whether the run may end with the last attention that does.
    """
    run = _Recording(model, on_call, ends)
    with (
        noting_drawn(model),
        standing_in(rotary.spots(run.found), rotary.stand_in),
        rotary.noting(run.rotations),
        _reading(run, whole),
    ):
        try:
            yield
            run.ending.whole()
        except Ended:
            pass


@contextmanager
def watching(
    model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None],
    *, whole: bool = True,
) -> Iterator[None]:  # fmt: skip
    """Call `on_weights` with the weights, (B, H, T_q, T_k), that the model's own attention gives.

    The block runs the model once, with its eager attention; `whole` as for `recording`.
    """
    with as_drawn(model), _reading(_Watching(model, on_weights), whole):
        yield


@contextmanager
def _reading(run: _Run, whole: bool) -> Iterator[None]:
    """Let `run` read the attentions that its model computes inside the block."""
    through = {type(module) for module in run.found}
    spots = [spot for cls in through for spot in _FUNCTIONS.called_by(cls)]
    handles = [run.model.register_forward_pre_hook(run.starts, with_kwargs=True)]
    for module in run.parts.values() if whole else ():
        if type(module) not in through and _attends(type(module)):
            handles.append(module.register_forward_pre_hook(run.misses))
    token = _RUN.set(run)
    try:
        with implementation(run.model, NAME), standing_in(spots, _stand_in):
            yield
    finally:
        _RUN.reset(token)
        for handle in handles:
            handle.remove()


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
        for name, value in module.__dict__.items():
            if name.endswith("config"):
                add(value)
    return list(found.values())
