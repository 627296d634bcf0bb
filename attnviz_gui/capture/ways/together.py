"""Read a model whose attentions are of several kinds: each through the way that fits it best.

A model of transformers in a caller's own module may stand beside an `nn.MultiheadAttention`, and
both beside attention that is written out. Each way by itself would pass over what it does not know,
in silence. Here all of them watch the same run: the attention interface and
`nn.MultiheadAttention` read theirs, and what neither of them has read of a caller's own code is
left to the operands of the softmax.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from torch import nn

from attnviz_gui.capture.call import Place
from attnviz_gui.capture.ways import interface, modules, operands
from attnviz_gui.capture.ways.stacks import stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch

    from attnviz_gui.capture.call import Call

# Packages whose modules compute attention only in ways that are known.
_KNOWN = ("torch.nn.", "torch.ao.nn.", "torch._dynamo.", "transformers.")


def reads(model: torch.nn.Module) -> bool:
    """Return whether one way by itself may pass over some of a model's attention.

    That is so for `nn.MultiheadAttention` inside a model of transformers that the attention
    interface does not read whole, and for either of them beside code of a caller's own.
    """
    if modules.reads(model):
        return not all(_known(part, "torch.") for part in model.modules())
    return interface.reads(model) and not all(map(_known, model.modules()))


def only(model: torch.nn.Module) -> bool:
    """Return whether no other way may be tried: the model has code of a caller's own."""
    return reads(model) and _has_own(model)


def _has_own(model: torch.nn.Module) -> bool:
    """Return whether a model has code of a caller's own, which may attend in any way."""
    return not all(map(_known, model.modules()))


def _known(part: torch.nn.Module, package: str = "") -> bool:
    where = f"{type(part).__module__}."
    return where.startswith(package) and where.startswith(_KNOWN)


@contextmanager
def recording(model: torch.nn.Module, on_call: Callable[[Call], None]) -> Iterator[None]:
    """Call `on_call` for each attention that `model` computes inside the block, in this thread.

    Raises
    ------
    InputError
        When the model has attention that no way can read.
    """
    place = _Places()
    through = set(interface.attentions(model))
    stack = stacks(
        name
        for name, part in model.named_modules()
        if part in through or (through and isinstance(part, nn.MultiheadAttention))
    )

    def note(call: Call) -> None:
        if call.stack is None:
            call = call._replace(stack=stack.get(call.place.name))
        on_call(call._replace(place=place.of(call.place)))

    own = _has_own(model)
    with (
        operands.recording(model, note, rest=True) if own else nullcontext(),
        modules.recording(model, note),
        interface.recording(model, note, whole=not own, ends=False),
    ):
        yield


@contextmanager
def watching(
    model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None]
) -> Iterator[None]:
    """Call `on_weights` with each attention's place and weights, (B, H, T_q, T_k)."""
    place = _Places()

    def note(found: Place, weights: torch.Tensor) -> None:
        on_weights(place.of(found), weights)

    own = _has_own(model)
    with (
        operands.watching(model, note, rest=True) if own else nullcontext(),
        modules.watching(model, note),
        interface.watching(model, note, whole=not own),
    ):
        yield


class _Places:
    """Counts the attentions of each module, whichever way reads them."""

    def __init__(self) -> None:
        self._often: Counter[str] = Counter()

    def of(self, place: Place) -> Place:
        name = place.name
        self._often[name] += 1
        return Place(name, self._often[name] - 1)
