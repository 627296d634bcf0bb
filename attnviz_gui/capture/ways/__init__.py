"""The ways of reading a model, and which of them fits. Each is described in `call`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from attnviz_gui.capture.ways import interface, modules, operands, together

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    import torch

    from attnviz_gui.capture.call import Call, Place


class Way(Protocol):
    """What every way offers."""

    __name__: str

    def reads(self, model: torch.nn.Module, /) -> bool:
        """Return whether this way can read the model, told without running it."""

    def recording(
        self, model: torch.nn.Module, on_call: Callable[[Call], None], /
    ) -> AbstractContextManager[None]:
        """Call `on_call` for each attention of the one run inside the block."""

    def watching(
        self, model: torch.nn.Module, on_weights: Callable[[Place, torch.Tensor], None], /
    ) -> AbstractContextManager[None]:
        """Call `on_weights` with the model's own weights of each attention inside the block."""


# The most exact first: what one way finds nothing in, the next one is tried on.
WAYS = {
    "attention interface": cast("Way", interface),
    "several ways at once": cast("Way", together),
    "nn.MultiheadAttention": cast("Way", modules),
    "operands of the softmax": cast("Way", operands),
}


# What was found for models of the same classes: asking every way anew goes through all parts of a
# model time and again, a thirtieth of a short text's run.
_FOUND: dict[tuple[type, frozenset[type]], list[Way]] = {}
_MOST_FOUND = 64


def ways_for(model: torch.nn.Module) -> list[Way]:
    """Return the ways that may read a model, the best first; its parts' classes decide."""
    key = type(model), frozenset(map(type, model.modules()))
    if key not in _FOUND:
        if len(_FOUND) >= _MOST_FOUND:
            _FOUND.clear()
        _FOUND[key] = _find(model)
    return list(_FOUND[key])


def _find(model: torch.nn.Module) -> list[Way]:
    together_, operands_ = WAYS["several ways at once"], WAYS["operands of the softmax"]
    if together.only(model):
        return [together_]
    if interface.reads(model) and modules.reads(model):
        return [together_, operands_]  # SigLIP: each of the two would pass over the other's
    return [way for way in WAYS.values() if way.reads(model)]


def name_of(way: Way) -> str:
    """Return what a person calls a way."""
    return next(name for name, each in WAYS.items() if each is way)
