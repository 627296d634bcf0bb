"""What every tensor of a run was made of, as far as attention goes: product, moves, factors.

Below PyTorch's functions there are few operations, whatever a model is written in: ``@``,
``einsum`` and ``baddbmm`` all end in one batched product. `Trace` sees each of them. It remembers
for each living tensor which product it comes from and what was done to it since, and tells a
`Reader` of each softmax of such a tensor, and of each product that takes the softmax's result.
Changes no number, and keeps no tensor alive but the operands of products whose result still lives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attnviz_gui.capture.ways.frames import Frame
    from attnviz_gui.capture.ways.layout import Chain, Step

_PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm"})
_MOVES = frozenset({
    "view", "_unsafe_view", "reshape", "_reshape_alias", "permute", "transpose", "t", "unsqueeze",
    "squeeze", "expand", "slice", "select", "narrow", "movedim", "split", "split_with_sizes",
    "unbind", "unfold", "flip",
})  # fmt: skip
_COPIES = frozenset({"clone", "contiguous", "_to_copy", "detach", "alias", "lift_fresh"})
# What changes entries where they stand. Only factors are followed; the rest shows in the result.
_CHANGES = frozenset({
    "add", "sub", "rsub", "mul", "div", "true_divide", "neg", "tanh", "masked_fill", "where",
    "maximum", "minimum", "clamp", "clamp_min", "clamp_max", "nan_to_num", "tril", "triu",
    "index_put", "masked_scatter", "native_dropout", "dropout",
})  # fmt: skip
# What puts entries elsewhere by rules that are not followed.
_SCATTERS = frozenset({
    "cat", "stack", "constant_pad_nd", "copy", "as_strided", "slice_scatter", "select_scatter",
    "scatter", "gather", "index", "index_select", "roll", "as_strided_scatter", "diagonal",
    "repeat",
})  # fmt: skip
_SOFTMAXES = frozenset({"_softmax", "_safe_softmax", "softmax"})
_FUSED = "_scaled_dot_product"

# What is no number's bound: smaller than any logit that is not masked.
_NO_BOUND = -1e9

# A linear layer with so many outputs makes features of them; with fewer, its weights may be queries
# that were learned.
_FEATURES = 64

# Records of tensors that are gone are thrown away once there are so many.
_MANY = 512


_Known = TypeVar("_Known", "Origin", "Part", "Gathered")


def replace(known: _Known, **changes: Any) -> _Known:
    """As `dataclasses.replace`, which takes ten times as long: it is called for every operation."""
    made = object.__new__(type(known))
    made.__dict__.update(known.__dict__)
    made.__dict__.update(changes)
    return made


@dataclass(eq=False)
class Product:
    """A batched product of (N, I, d) and (N, d, J).

    Attributes
    ----------
    numbers
        What each operand was multiplied by just before the product.
    bases
        What each operand was before that; None where it is to be computed.
    factor
        Both together, times the product's own factor.
    learned
        Which of the operands are weights of the model.
    stack
        The modules that were running.
    """

    first: torch.Tensor
    second: torch.Tensor
    numbers: tuple[float, float]
    bases: tuple[torch.Tensor | None, torch.Tensor | None]
    factor: float
    learned: tuple[bool, bool]
    stack: tuple[Frame, ...]

    def plain(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the operands as they were before they were multiplied by numbers."""
        both = zip((self.first, self.second), self.numbers, self.bases, strict=True)
        first, second = (
            tensor if number == 1 else tensor / number if base is None else base
            for tensor, number, base in both
        )
        return first, second


@dataclass(frozen=True, eq=False)
class Gathered:
    """A product whose columns were gathered: by the distance of two tokens, as a rule.

    Attributes
    ----------
    product
        Of vectors (N, T, d) and a table (N, d, S).
    scale
        Factor since then.
    index : (T, n) int64
        Which column of the table stands where, for all N.
    turned
        Whether the last two axes were swapped since.
    """

    product: Product
    scale: float
    index: torch.Tensor
    turned: bool = False


@dataclass(frozen=True, eq=False)
class Part:
    """What was done to the entries of a product beside moving them and multiplying by numbers.

    Attributes
    ----------
    tensor
        What was added, or True where entries were replaced; broadcasts to `shape`.
    factor
        Of what was added.
    fill
        What entries were replaced by; None where something was added.
    chain : Chain
        The product's moves up to there.
    shape
        There.
    version
        The tensor's, to tell whether it was written to since.
    gathered
        What it is the sum of; empty where that is not known.
    """

    tensor: torch.Tensor
    factor: float
    fill: float | None
    chain: Chain
    shape: torch.Size
    version: int
    gathered: tuple[Gathered, ...] = ()

    def intact(self) -> bool:
        """Return whether the tensor still holds what it held."""
        return version(self.tensor) == self.version >= 0


@dataclass(frozen=True, eq=False)
class Origin:
    """What is known of a tensor.

    Attributes
    ----------
    product
        What it comes from; None where that is none or not known.
    chain
        The moves since the product (or since the softmax).
    scale
        Factor since the product; since the tanh where there is one.
    inner
        Factor of the product inside of a tanh; None without one.
    factors
        Tensors that it was multiplied by, each with the chain up to there and the shape there.
    parts
        What else was done to the product's entries, in order; None where that is not followed.
    gathered
        What the tensor is the sum of, in place of a product; empty where that is not known.
    writes
        How often the tensor's memory had been written to; it is what is said here as long as that
        stays so.
    weights
        What the reader returned for the softmax that this is the result of.
    number
        A number that the tensor was multiplied by after it was last computed.
    base
        What it was before it was multiplied by that; None where that is not known.
    learned
        True for a weight of the model, also moved or in another type.
    lost
        True where products, or a softmax's result, were put together in a way that is not followed.
    """

    product: Product | None = None
    chain: Chain = ()
    scale: float = 1.0
    inner: float | None = None
    factors: tuple[tuple[torch.Tensor, Chain, torch.Size], ...] = ()
    parts: tuple[Part, ...] | None = ()
    gathered: tuple[Gathered, ...] = ()
    writes: int = 0
    weights: Any = None
    number: float = 1.0
    base: torch.Tensor | None = None
    learned: bool = False
    lost: bool = False


_UNKNOWN = Origin()


class _Living:
    """True as long as a tensor's memory is; keeps its number from being given away again."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._memory: Any = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]

    def __bool__(self) -> bool:
        return not self._memory.expired()


@dataclass(frozen=True)
class _Operation:
    """What an operation is called, and which of its arguments it writes to."""

    name: str
    in_place: bool
    mutable: bool
    written: frozenset[int]

    @classmethod
    def of(cls, func: Any) -> _Operation:
        name = func._schema.name.removeprefix("aten::")
        in_place = name.endswith("_") and not name.endswith("__")
        arguments = enumerate(func._schema.arguments)
        written = {i for i, a in arguments if a.alias_info is not None and a.alias_info.is_write}
        name = name.rstrip("_") if in_place else name
        return cls(name, in_place, func._schema.is_mutable, frozenset(written))


class Reader(Protocol):
    """Who is told."""

    def stack(self) -> tuple[Frame, ...]:
        """Return the modules that are running."""

    def passes(self) -> bool:
        """Return whether what is computed now is none of the reader's business."""

    def softmax(
        self, origin: Origin, entries: torch.Tensor, result: torch.Tensor, axis: int
    ) -> Any:
        """A softmax of a product; returns what its result is remembered by, None to forget it."""

    def weighs(self, weights: Any, chain: Chain, operands: list[torch.Tensor], which: int) -> None:
        """A product whose operand `which` is the result of a softmax."""

    def weighs_scattered(self, weights: Any) -> None:
        """A product with the result of a softmax that was put together anew."""

    def fused(self, arguments: dict[str, Any]) -> None:
        """An attention in one operation."""


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the tensors of what is computed inside the block, in this thread."""

    def __init__(self, reader: Reader, weights: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reader = reader
        # Held on to: memory that is given back in the run may be a query's next.
        self._weights = list(weights)
        self._learned = {w.untyped_storage()._cdata for w in self._weights}
        # By where a tensor lies: PyTorch may give the same memory another Python object at any
        # time.
        self._origins: dict[tuple[Any, ...], tuple[_Living, Origin]] = {}
        self._lost: dict[int, tuple[_Living, Origin]] = {}
        self._writes: dict[int, int] = {}
        self._operations: dict[Any, _Operation] = {}
        self._many = _MANY

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._reader.passes():
            return func(*args, **kwargs)
        known = self._operations.get(func)
        if known is None:
            known = self._operations[func] = _Operation.of(func)
        name, in_place = known.name, known.in_place
        if name.startswith(_FUSED):
            self._reader.fused(_bound(func, args, kwargs))
            return func(*args, **kwargs)
        if name in _PRODUCTS:
            self._note_weighing(args[-2:])
            made = self._product(name, args[-2:], kwargs)
            result = func(*args, **kwargs)
            if len(args) > 2 and made.product is not None:
                part = _added(args[0], float(kwargs.get("beta", 1.0)), made, result)
                made = replace(made, parts=part)
            self._wrote(known, args, kwargs)
            self._set(result, made)
            return result
        if name in _SOFTMAXES:
            origin = self._of(args[0])
            # What the layer before left behind is room for this one's.
            self._purge()
            result = func(*args, **kwargs)
            if origin.product is not None or origin.lost:
                if self._writes.get(_memory(args[0]), 0) != origin.writes:
                    origin = replace(origin, parts=None)
                weights = self._reader.softmax(origin, args[0], result, args[1])
                self._set(result, _UNKNOWN if weights is None else Origin(weights=weights))
            return result
        if name in _MOVES and not in_place:
            return self._move(name, func, args, kwargs)
        if name in _COPIES or name in _CHANGES:
            before = [self._whole(a) if isinstance(a, torch.Tensor) else _UNKNOWN for a in args]
            result = func(*args, **kwargs)
            self._wrote(known, args, kwargs)
            if any(origin is not _UNKNOWN for origin in before) or _numeric(name, args):
                out = result[0] if isinstance(result, tuple) else result
                self._set(out, _changed(name, args, kwargs, before, out))
            return result
        result = func(*args, **kwargs)
        self._wrote(known, args, kwargs)
        scattered = [self._of(t) for t in _tensors(args)] if name in _SCATTERS else []
        scattered = [
            o for o in scattered if o.lost or o.weights or (o.product and not _of_layer(o))
        ]
        if scattered and isinstance(result, torch.Tensor):
            weights = next((o.weights for o in scattered if o.weights), None)
            lost = _Living(result), Origin(weights=weights, lost=True)
            self._lost[result.untyped_storage()._cdata] = lost
            self._set(result, _UNKNOWN)
            if name == "gather":
                gathered = _gathered(self._whole(args[0]), args)
                self._set(result, Origin(lost=True, weights=weights, gathered=gathered))
        elif known.mutable and isinstance(result, torch.Tensor):
            self._set(result, _UNKNOWN)
        return result

    def _wrote(self, known: _Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Count what an operation wrote to, whichever of its views it was given."""
        if known.mutable:
            written = [a for i, a in enumerate(args) if i in known.written]
            for tensor in _tensors((*written, *kwargs.values())):
                memory = _memory(tensor)
                self._writes[memory] = self._writes.get(memory, 0) + 1

    def _whole(self, tensor: torch.Tensor) -> Origin:
        """Return what is known of a tensor that was perhaps written to through another view."""
        origin = self._of(tensor)
        if not origin.gathered and (origin.product is None or origin.parts is None):
            return origin
        if self._writes.get(_memory(tensor), 0) == origin.writes:
            return origin
        return replace(origin, parts=None, gathered=())

    def _move(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        origin = self._whole(args[0])
        if origin is _UNKNOWN:
            return result
        if name == "expand" and result.shape == args[0].shape:
            self._set(result, origin)
            return result
        rest, named = tuple(map(_frozen, args[1:])), tuple(sorted(kwargs.items()))
        if "view" in name or "reshape" in name:
            # The numbers that are moved in its place may lie elsewhere in memory.
            func, rest, named = torch.reshape, (tuple(result.shape),), ()
        outputs = enumerate(result) if isinstance(result, (list, tuple)) else [(-1, result)]
        for number, moved in outputs:
            step: Step = (func, rest, named, number)
            kept = _turned(name, args, moved, origin.gathered) if origin.gathered else ()
            self._set(moved, replace(origin, chain=(*origin.chain, step), gathered=kept, base=None))
        return result

    def _product(self, name: str, operands: Any, kwargs: dict[str, Any]) -> Origin:
        origins = [self._of(t) for t in operands]
        learned = (origins[0].learned, origins[1].learned)
        if all(learned) or (any(learned) and name == "addmm"):
            return _UNKNOWN  # a layer of the model
        if learned[1] and name == "mm" and operands[1].shape[1] >= _FEATURES:
            stack = self._reader.stack()
            if stack and isinstance(stack[-1].module, torch.nn.Linear):
                return _UNKNOWN
        alpha = float(kwargs.get("alpha", 1.0))
        numbers = origins[0].number, origins[1].number
        first, second = operands
        bases = origins[0].base, origins[1].base
        chain: Chain = ()
        if first.ndim == 2:
            first, second, bases = first[None], second[None], (None, None)
            chain = ((torch.select, (0, 0), (), -1),)
        factor = alpha * numbers[0] * numbers[1]
        made = Product(first, second, numbers, bases, factor, learned, self._reader.stack())
        return Origin(made, chain, factor)

    def _note_weighing(self, operands: Any) -> None:
        for which, tensor in enumerate(operands):
            origin = self._of(tensor)
            if origin.weights is None:
                continue
            if origin.lost:
                self._reader.weighs_scattered(origin.weights)
            elif not self._of(operands[1 - which]).learned:
                chain = origin.chain
                both = list(operands)
                if tensor.ndim == 2:
                    chain = (*chain, (torch.unsqueeze, (0,), (), -1))
                    both = [t[None] for t in both]
                self._reader.weighs(origin.weights, chain, both, which)

    def _of(self, tensor: Any) -> Origin:
        if not isinstance(tensor, torch.Tensor):
            return _UNKNOWN
        found = self._origins.get(_where(tensor))
        if found is not None:
            return found[1]
        number = tensor.untyped_storage()._cdata
        if number in self._learned:
            return Origin(learned=True)
        return self._lost[number][1] if number in self._lost else _UNKNOWN

    def _set(self, tensor: torch.Tensor, origin: Origin) -> None:
        where = _where(tensor)
        if origin is _UNKNOWN:
            self._origins.pop(where, None)
            return
        if len(self._origins) >= self._many:
            self._purge()
        writes = self._writes.get(where[0], 0)
        if origin.writes != writes and (origin.product is not None or origin.gathered):
            origin = replace(origin, writes=writes)
        self._origins[where] = _Living(tensor), origin

    def _purge(self) -> None:
        self._origins = {w: o for w, o in self._origins.items() if o[0]}
        self._lost = {n: o for n, o in self._lost.items() if o[0]}
        self._many = max(_MANY, 2 * len(self._origins))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: nothing is compiled in a run, and asking costs time at each operation."""
        return False

    def forget(self) -> None:
        """Let go of every tensor."""
        self._origins.clear()
        self._lost.clear()
        self._weights.clear()


def _changed(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], before: list[Origin],
    out: torch.Tensor,
) -> Origin:  # fmt: skip
    """Return what is known of the result of an operation that changes entries in their place."""
    if name in _COPIES:
        return before[0]
    led = [i for i, origin in enumerate(before) if origin.product is not None]
    weighed = [i for i, origin in enumerate(before) if origin.weights is not None]
    if not led:
        if len(weighed) == 1 and name not in ("add", "sub", "rsub", "tanh"):
            return _broadcast(before[weighed[0]], args[weighed[0]], out)
        if any(origin.lost for origin in before):
            return Origin(lost=True, gathered=_summed(name, args, kwargs, before, out))
        number = _factor(name, args)
        if number is None:
            return _UNKNOWN
        origin = before[0 if _is_large(args[0], out) else 1]
        base = args[0] if origin.number == 1 and _is_large(args[0], out) else None
        if base is not None and _memory(base) == _memory(out):
            base = None
        number *= origin.number
        return Origin(number=number, base=base, learned=origin.learned)
    # The first product is the content's; terms of positions are added to it.
    which = min(led, key=lambda i: (_of_layer(before[i]), i))
    origin = _broadcast(before[which], args[which], out)
    number = _factor(name, args)
    if number is not None:
        origin = replace(origin, scale=origin.scale * number, number=origin.number * number)
        return replace(origin, parts=_scaled(origin.parts, number))
    parts = _further(name, args, kwargs, which, origin, out)
    if parts and origin.parts is not None and len(parts) > len(origin.parts) and which < 2:
        terms = before[1 - which].gathered if len(before) > 1 else ()
        if terms and parts[-1].fill is None and parts[-1].tensor.shape == out.shape:
            parts = (*parts[:-1], replace(parts[-1], gathered=terms))
    origin = replace(origin, number=1.0, parts=parts)
    if name == "tanh" and origin.inner is None:
        return replace(origin, inner=origin.scale, scale=1.0)
    if (name in ("add", "sub") and which == 1) or (name == "rsub" and which == 0):
        alpha = float(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
        return replace(origin, scale=origin.scale * (alpha if name == "add" else -alpha))
    if name in ("div", "true_divide") and which == 1:
        return _UNKNOWN
    if name in ("mul", "div", "true_divide") and len(args) > 1:
        other = args[1 - which] if which in (0, 1) else None
        if isinstance(other, torch.Tensor) and other.numel() < out.numel():
            factor = other if name == "mul" else other.reciprocal()
            factors = (*origin.factors, (factor, origin.chain, out.shape))
            return replace(origin, factors=factors, parts=None)
    return origin


def _further(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], which: int, origin: Origin,
    out: torch.Tensor,
) -> tuple[Part, ...] | None:  # fmt: skip
    """Return a product's parts after an operation that is no factor; None where that is unclear."""
    parts = origin.parts
    if parts is None or out.shape != args[which].shape:
        return None
    if name == "tanh":
        return None if parts or origin.inner is not None else ()
    if name in ("add", "sub") and which < 2 and len(args) > 1:
        alpha = float(kwargs.get("alpha", 1)) * (-1 if name == "sub" else 1)
        if which == 1:  # the other is what it is, the product is multiplied
            return _added(args[0], 1.0, replace(origin, parts=_scaled(parts, alpha)), out)
        return _added(args[1], alpha, origin, out)
    if name == "masked_fill" and which == 0:
        return _filled(args[1], args[2], origin, out)
    if name == "where" and len(args) > 2:
        return _filled(~args[0] if which == 1 else args[0], args[3 - which], origin, out)
    low = args[1] if name in ("maximum", "clamp", "clamp_min") and len(args) > 1 else None
    if name == "clamp" and (len(args) > 2 or kwargs):
        low = None
    number = _number(low)  # a bound that only masked entries reach
    return parts if number is not None and which == 0 and number <= _NO_BOUND else None


def _gathered(origin: Origin, args: tuple[Any, ...]) -> tuple[Gathered, ...]:
    """Return what the result of a gather is; nothing where it is not as in `Gathered`."""
    product, (table, axis, index) = origin.product, args[:3]
    plain = origin.parts == () and not origin.factors and origin.inner is None
    if product is None or any(product.learned) or not plain or axis not in (-1, table.ndim - 1):
        return ()
    size = product.first.shape[1], product.second.shape[2]
    moved = any(step[0] is not torch.reshape for step in origin.chain)
    alike = all(
        n == 1 or step == 0 for n, step in zip(index.shape[:-2], index.stride()[:-2], strict=True)
    )
    if moved or table.shape[-2:] != size or not alike or index.shape[-2] != size[0]:
        return ()
    if index.shape[:-2] != table.shape[:-2]:
        return ()
    return (Gathered(product, origin.scale, index[(0,) * (index.ndim - 2)]),)


def _turned(
    name: str, args: tuple[Any, ...], moved: torch.Tensor, gathered: tuple[Gathered, ...]
) -> tuple[Gathered, ...]:
    """Return what is left of sums of products after a move that may swap the last two axes."""
    before = args[0]
    if name == "transpose" and {a % before.ndim for a in args[1:3]} == {
        before.ndim - 2, before.ndim - 1,
    }:  # fmt: skip
        return tuple(replace(g, turned=not g.turned) for g in gathered)
    if ("view" in name or "reshape" in name) and moved.shape[-2:] == before.shape[-2:]:
        return gathered
    return ()


def _summed(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], before: list[Origin],
    out: torch.Tensor,
) -> tuple[Gathered, ...]:  # fmt: skip
    """Return the terms of a sum, or of a multiple, of gathered products."""
    number = _factor(name, args)
    if number is not None and before[0].gathered:
        return tuple(replace(g, scale=g.scale * number) for g in before[0].gathered)
    if name != "add" or kwargs or len(args) != 2:
        return ()
    terms: tuple[Gathered, ...] = ()
    for arg, origin in zip(args, before, strict=True):
        if isinstance(arg, torch.Tensor):
            if not origin.gathered or arg.shape != out.shape:
                return ()
            terms += origin.gathered
        elif arg != 0:
            return ()
    return terms


def _added(
    tensor: Any, factor: float, origin: Origin, out: torch.Tensor
) -> tuple[Part, ...] | None:
    if origin.parts is None or factor == 0 or (not isinstance(tensor, torch.Tensor) and not tensor):
        return origin.parts
    if isinstance(tensor, (int, float)):
        tensor = torch.full((), tensor, dtype=torch.float32, device=out.device)
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        return None
    if _memory(tensor) == _memory(out):  # it was written over
        return None
    part = Part(tensor, factor, None, origin.chain, out.shape, version(tensor))
    return (*origin.parts, part)


def _filled(
    mask: torch.Tensor, by: Any, origin: Origin, out: torch.Tensor
) -> tuple[Part, ...] | None:
    number = _number(by)
    if origin.parts is None or number is None or mask.dtype != torch.bool:
        return None
    return (*origin.parts, Part(mask, 1.0, number, origin.chain, out.shape, version(mask)))


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1 and value.is_floating_point():
        return float(value)
    return float(value) if isinstance(value, (int, float)) else None


def _scaled(parts: tuple[Part, ...] | None, by: float) -> tuple[Part, ...] | None:
    if not parts or by == 1:
        return parts
    return tuple(
        replace(p, factor=p.factor * by, fill=None if p.fill is None else p.fill * by)
        for p in parts
    )


def version(tensor: torch.Tensor) -> int:
    """Return how often a tensor was written to; -1 where nobody counts."""
    return -1 if tensor.is_inference() else tensor._version


def _of_layer(origin: Origin) -> bool:
    return origin.product is not None and any(origin.product.learned)


def _of_data(origin: Origin) -> bool:
    return origin.product is not None and not any(origin.product.learned)


def _is_large(tensor: Any, out: torch.Tensor) -> bool:
    return isinstance(tensor, torch.Tensor) and tensor.shape == out.shape


def _broadcast(origin: Origin, tensor: torch.Tensor, out: torch.Tensor) -> Origin:
    if tensor.shape == out.shape:
        return origin
    step: Step = (torch.Tensor.expand, (tuple(out.shape),), (), -1)
    return replace(origin, chain=(*origin.chain, step))


def _factor(name: str, args: tuple[Any, ...]) -> float | None:
    """Return the number that an operation multiplies by, None where it does anything else."""
    if name == "neg":
        return -1.0
    if name not in ("mul", "div", "true_divide") or len(args) < 2:
        return None
    other = args[1]
    if isinstance(args[0], torch.Tensor) and args[0].ndim == 0 and isinstance(other, torch.Tensor):
        if name == "mul" and other.ndim:
            return float(args[0])
        return None
    if isinstance(other, torch.Tensor):
        if other.numel() != 1 or other.ndim > args[0].ndim or other.is_complex():
            return None
        other = float(other)
    if not isinstance(other, (int, float)) or (name != "mul" and other == 0):
        return None
    return float(other) if name == "mul" else 1.0 / float(other)


def _numeric(name: str, args: tuple[Any, ...]) -> bool:
    return name in ("mul", "div") and len(args) > 1 and _factor(name, args) is not None


def _bound(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return an operation's arguments by name."""
    names = [argument.name for argument in func._schema.arguments]
    return {**dict(zip(names, args, strict=False)), **kwargs}


def _tensors(args: tuple[Any, ...]) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for arg in args:
        if isinstance(arg, torch.Tensor):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [t for t in arg if isinstance(t, torch.Tensor)]
    return found


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, (list, tuple)) else value


def _where(tensor: torch.Tensor) -> tuple[Any, ...]:
    storage = _memory(tensor)
    return storage, tensor.storage_offset(), tensor.shape, tensor.stride()


def _memory(tensor: torch.Tensor) -> int:
    number: int = tensor.untyped_storage()._cdata
    return number
