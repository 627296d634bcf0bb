"""Read a model by the operands before each softmax: for models without an attention interface.

Whatever a model is written in, its attention is a product of queries and keys, a softmax over the
keys, and a product with the values. `trace` follows the tensors from one to the next; here the
pieces become a `Call`. What the model does to the product before the softmax is told apart into a
factor, a soft cap and what may not be seen; all the rest, be it position terms that are products
themselves, is recorded as the bias, so that softmax(scaling q·k + bias) gives the model's own
weights.

Models whose softmax is not over the same keys for all queries (banded, in blocks) are refused. A
softmax of a layer's outputs (a router, a classifier, a kernel) is no attention and is passed over;
in a model without a softmax of products nothing is found.

Where the product with the values cannot be found, the values are empty, (B, H, T_k, 0); nothing is
guessed.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from transformers.modeling_utils import PreTrainedModel

from attnviz_gui.capture.call import Call, Place, taken
from attnviz_gui.capture.drawn import as_drawn, noting_drawn
from attnviz_gui.capture.ways.ending import Ended, Ending
from attnviz_gui.capture.ways.explain import Explained, Shared, explain, own_weights
from attnviz_gui.capture.ways.frames import Frame, Frames, common
from attnviz_gui.capture.ways.heads import Rows
from attnviz_gui.capture.ways.interface import family, implementation
from attnviz_gui.capture.ways.layout import Chain, Layout, entries, layout, take, value_rows
from attnviz_gui.capture.ways.sums import Sums
from attnviz_gui.capture.ways.trace import Origin, Trace
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Families whose softmax gives an approximation's factors, not the attention.
_APPROXIMATE = {"nystromformer": "its attention is a product of three smaller ones"}

# What modules call the other text that keys come from.
_OTHER = (
    "encoder_hidden_states", "key_value_states", "encoder_states", "encoder_output", "memory",
    "context", "kv", "hidden_kv",
)  # fmt: skip


def reads(model: torch.nn.Module) -> bool:
    """Return True: whether a module can be read this way is known once it ran."""
    return True


@contextmanager
def recording(
    model: torch.nn.Module, on_call: Callable[[Call], None], *, rest: bool = False
) -> Iterator[None]:
    """Call `on_call` for each attention that `model` computes inside the block, in this thread.

    Parameters
    ----------
    rest
        Whether other ways read the same run: what they take is left to them, and a softmax that no
        values are multiplied with is no attention.

    Raises
    ------
    InputError
        When the model has attention that queries and keys do not explain.
    """
    with noting_drawn(model), suppress(Ended):
        yield from _followed(_Recording(model, on_call, rest))


@contextmanager
def watching(
    model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None],
    *, rest: bool = False,
) -> Iterator[None]:  # fmt: skip
    """Call `on_weights` with each attention's place and weights, (B, H, T_q, T_k).

    These are the weights that the values are multiplied by: after the model's own changes to its
    softmax's result, if it has any. `rest` as for `recording`.
    """
    with as_drawn(model):
        yield from _followed(_Watching(model, on_weights, rest))


def _held(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Every tensor that a model brings along: what is multiplied by one is no query and no key."""
    yield from model.parameters()
    yield from model.buffers()
    for part in model.modules():
        yield from (value for value in vars(part).values() if isinstance(value, torch.Tensor))


def _followed(run: _Run) -> Iterator[None]:
    with ExitStack() as stack:
        if isinstance(run.model, PreTrainedModel):
            stack.enter_context(implementation(run.model, "eager"))
        trace = Trace(run, _held(run.model))
        stack.callback(trace.forget)
        stack.callback(run.pending.clear)
        stack.enter_context(run.frames.following())
        with trace:
            yield
        run.finish()
    run.whole()


class _Pending:
    """A softmax whose product with the values is still to come."""

    def __init__(self, frame: Frame | None, stack: tuple[Frame, ...]) -> None:
        self.frame = frame
        self.stack = stack
        self.refused: str | None = None
        self.learned = False  # not known to be an attention before the values are found
        self.done = False
        self.layout: Layout | None = None
        self.shape: torch.Size = torch.Size()
        self.result: torch.Tensor | None = None
        self.explained: Explained | None = None
        self.value: torch.Tensor | None = None


class _Run:
    """The run that is followed; what it finds, in the order of the softmaxes."""

    def __init__(self, model: torch.nn.Module, rest: bool) -> None:
        self.model = model
        self.rest = rest
        self.frames = Frames(model, self._ended)
        self.rows = Rows(self.frames)
        self.pending: list[_Pending] = []
        self._often: Counter[str] = Counter()

    def stack(self) -> tuple[Frame, ...]:
        return tuple(self.frames.stack)

    def passes(self) -> bool:
        """Return whether another way reads what is computed now."""
        return self.rest and taken()

    def softmax(
        self, origin: Origin, entries: torch.Tensor, result: torch.Tensor, axis: int
    ) -> _Pending | None:
        """Note a softmax of what may be a product of queries and keys."""
        stack = self.stack()
        product = origin.product
        if product is None:
            pending = _Pending(common(stack), stack)
            pending.refused = "what its softmax is taken of is put together from several products"
            self.pending.append(pending)
            return pending
        found = self._layout(origin, axis)
        if found is not None and product.learned[0 if found.swapped else 1]:
            return None  # a layer's outputs: its weights are no keys
        if found is None and any(product.learned):
            return None
        pending = _Pending(common(stack, product.stack), stack)
        pending.learned = any(product.learned)
        pending.shape = result.shape
        if found is None:
            pending.refused = "its queries do not all see the same keys"
        else:
            pending.layout = found
            self._read(pending, origin, entries, result)
        self.pending.append(pending)
        return pending

    def weighs(
        self, pending: _Pending, chain: Any, operands: list[torch.Tensor], which: int
    ) -> None:
        """Note a product that takes a softmax's result."""
        if pending.done or pending.value is not None:
            return
        if pending.refused is not None:
            raise self._refusal(pending.refused)
        assert pending.layout is not None
        rows = value_rows(tuple(pending.shape), chain, pending.layout, which == 0)
        if rows is None:
            return
        other = operands[1 - which]
        pending.value = take(other if which == 0 else other.transpose(1, 2), rows)
        self._weigh(pending, operands[which], chain)
        pending.frame = common(pending.stack, self.stack(), _up_to(pending.frame, pending.stack))
        pending.done = True
        self._hand_on()

    def weighs_scattered(self, pending: _Pending) -> None:
        """Note a product with what a softmax's result became a part of."""
        if pending.refused is not None:
            raise self._refusal(pending.refused)

    def fused(self, arguments: dict[str, Any]) -> None:
        """Note an attention in one operation."""
        pending = _Pending(common(self.stack()), self.stack())
        pending.done = True
        pending.value = arguments["value"]
        self._fuse(pending, arguments)
        self.pending.append(pending)
        self._hand_on()

    def finish(self) -> None:
        """The model ran to its end."""
        for pending in self.pending:
            pending.done = True
        self._hand_on()

    def whole(self) -> None:
        """The model ran to its end, and nothing was refused."""

    def _ended(self, frame: Frame) -> None:
        """A module ended: what it has not multiplied with values by now, it will not."""
        for pending in self.pending:
            if pending.frame is frame:
                pending.done = True
        self._hand_on()

    def _hand_on(self) -> None:
        while self.pending and self.pending[0].done:
            pending = self.pending.pop(0)
            unsure = pending.learned or self.rest
            if pending.refused is not None or (unsure and pending.value is None):
                continue
            name = pending.frame.name if pending.frame else type(self.model).__name__
            place = Place(name, self._often[name])
            self._often[name] += 1
            reason = _APPROXIMATE.get(family(self.model))
            if reason is not None and pending.explained is not None and self._uneven(pending):
                raise self._refusal(reason)
            self._emit(pending, place)

    def _uneven(self, pending: _Pending) -> bool:
        assert pending.layout is not None
        return pending.layout.query_rows.shape[1] != pending.layout.key_rows.shape[1]

    def _layout(self, origin: Origin, axis: int) -> Layout | None:
        assert origin.product is not None
        first, second = origin.product.first, origin.product.second
        shape = (first.shape[0], first.shape[1], second.shape[2])
        return layout(shape, origin.chain, axis)

    def _refusal(self, reason: str) -> InputError:
        return InputError(
            f"Models of the family {family(self.model)} cannot be read: {reason}. Choose another "
            "model."
        )

    def _read(
        self, pending: _Pending, origin: Origin, entries: torch.Tensor, result: torch.Tensor
    ) -> None:
        """Take what is wanted of a softmax."""
        raise NotImplementedError

    def _weigh(self, pending: _Pending, weights: torch.Tensor, chain: Chain) -> None:
        """Take what is wanted of the product with the values."""

    def _fuse(self, pending: _Pending, arguments: dict[str, Any]) -> None:
        """Take what is wanted of an attention in one operation."""
        raise NotImplementedError

    def _emit(self, pending: _Pending, place: Place) -> None:
        """Hand on what was taken."""
        raise NotImplementedError


class _Recording(_Run):
    """Makes a `Call` of each attention."""

    def __init__(self, model: torch.nn.Module, on_call: Callable[[Call], None], rest: bool) -> None:
        super().__init__(model, rest)
        self._on_call = on_call
        self._shared = Shared()
        self._sums = Sums()
        # Another way may read more of the run, and a caller's own code may do anything.
        whole = rest or not isinstance(model, PreTrainedModel)
        self._ending = None if whole else Ending(model, dict(model.named_modules()))

    def _read(
        self, pending: _Pending, origin: Origin, entries: torch.Tensor, result: torch.Tensor
    ) -> None:
        assert pending.layout is not None
        pending.explained = explain(origin, pending.layout, entries, result, self._sums)

    def _fuse(self, pending: _Pending, arguments: dict[str, Any]) -> None:
        pending.explained = Explained.of_fused(arguments)

    def _emit(self, pending: _Pending, place: Place) -> None:
        found = pending.explained
        assert found is not None
        split = self.rows.split(found, pending.layout, pending.frame)
        call = split.call(place, found, pending.value, self._shared)
        kind = "cross" if _takes_another(pending.frame) else None
        self._on_call(call._replace(kind=kind))
        if self._ending is None:
            return
        if self.frames.root is not None and self.frames.root.inputs:
            self._ending.starts(self.frames.root.inputs)
        if self._ending.last(place) and not self.pending:
            raise Ended

    def whole(self) -> None:
        if self._ending is not None:
            self._ending.whole()


class _Watching(_Run):
    """Hands on each attention's weights."""

    def __init__(
        self, model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None],
        rest: bool,
    ) -> None:  # fmt: skip
        super().__init__(model, rest)
        self._on_weights = on_weights

    def _read(
        self, pending: _Pending, origin: Origin, entries: torch.Tensor, result: torch.Tensor
    ) -> None:
        pending.result = result

    def _weigh(self, pending: _Pending, weights: torch.Tensor, chain: Chain) -> None:
        assert pending.result is not None
        index = entries(tuple(pending.shape), chain)
        if index is None:
            return
        own = torch.zeros_like(pending.result, memory_format=torch.contiguous_format)
        own.view(-1)[index.flatten().to(own.device)] = weights.flatten().to(own.dtype)
        pending.result = own

    def _fuse(self, pending: _Pending, arguments: dict[str, Any]) -> None:
        pending.result = own_weights(arguments)

    def _emit(self, pending: _Pending, place: Place) -> None:
        assert pending.result is not None
        self._on_weights(place, self.rows.weights(pending.result, pending.layout, pending.frame))


def _up_to(frame: Frame | None, stack: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """Return the part of a stack that ends with a frame."""
    return stack[: stack.index(frame) + 1] if frame in stack else ()


def _takes_another(frame: Frame | None) -> bool:
    """Return whether a module was given another text for its keys."""
    if frame is None:
        return False
    tensors = [value for value in frame.inputs.values() if isinstance(value, torch.Tensor)]
    given = [frame.inputs.get(name) for name in _OTHER]
    return any(isinstance(g, torch.Tensor) and g is not tensors[0] for g in given)
