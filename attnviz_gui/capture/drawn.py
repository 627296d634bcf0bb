"""Random numbers that a model draws while it runs: the second run of it draws the same ones.

A few models leave out patches at random even in eval mode. What their own attention is can only be
asked for on the numbers that were drawn when they were recorded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where the random numbers began in a model's last run, for models that drew some.
_BEGAN: WeakKeyDictionary[torch.nn.Module, torch.Tensor] = WeakKeyDictionary()


@contextmanager
def noting_drawn(model: torch.nn.Module) -> Iterator[None]:
    """Remember where the random numbers begin if the block, a run of `model`, draws some."""
    began = torch.get_rng_state()
    yield
    if torch.equal(began, torch.get_rng_state()):
        _BEGAN.pop(model, None)
    else:
        _BEGAN[model] = began


@contextmanager
def as_drawn(model: torch.nn.Module) -> Iterator[None]:
    """Draw the numbers of the model's last run inside the block; afterwards go on as before it."""
    began = _BEGAN.get(model)
    with torch.random.fork_rng(devices=[], enabled=began is not None):
        if began is not None:
            torch.set_rng_state(began)
        yield
