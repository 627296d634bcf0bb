"""Read a model whose attentions are of several kinds: each through the way that fits it best.

A model of transformers in a caller's own module may stand beside an `nn.MultiheadAttention`, and
both beside attention that is written out. Each way by itself would pass over what it does not know,
in silence. Here all of them watch the same run: the attention interface and
`nn.MultiheadAttention` read theirs, and what neither of them has read is left to the operands of
the softmax.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
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
    """Return whether no other way may be tried before: it would not miss what it passes over.

    That is so for a caller's own code, and for SigLIP, whose images end in an
    `nn.MultiheadAttention`.
    """
    if interface.reads(model) and modules.reads(model):
        return True
    return reads(model) and not all(map(_known, model.modules()))


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

    # The operands first: the interface sees that someone waits for the end of the run.
    with (
        operands.recording(model, note, rest=True),
        modules.recording(model, note),
        interface.recording(model, note, whole=False),
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

    with (
        operands.watching(model, note, rest=True),
        modules.watching(model, note),
        interface.watching(model, note, whole=False),
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
