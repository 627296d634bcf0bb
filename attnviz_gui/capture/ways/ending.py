"""Where a run may end: with the last attention, which the model's last whole run has told.

What comes after it, a sixth of a 6-layer BERT, changes nothing that is recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from attnviz_gui.capture.call import Place

# What a model's last whole run was given and came to, and the names of its modules then.
_SEEN: WeakKeyDictionary[torch.nn.Module, tuple[object, tuple[str, ...], tuple[Place, ...]]] = (
    WeakKeyDictionary()
)


class Ended(BaseException):
    """The last attention was noted; no `Exception`, so that no model takes it for a failure."""


class Ending:
    """Counts the attentions of a run, and tells the last one.

    Made before the run's own hooks are, since it looks for those of others: a run that something
    waits for the end of goes on to it.

    Parameters
    ----------
    parts
        The model's modules by their names, as ``named_modules()`` gives them.
    """

    def __init__(self, model: torch.nn.Module, parts: Mapping[str, torch.nn.Module]) -> None:
        self._model = model
        self._names = tuple(parts)
        self._awaited = _awaited(parts.values())
        self._given: object = None
        self._places: list[Place] = []

    def starts(self, inputs: Mapping[str, Any]) -> None:
        """The model is called with these."""
        given: list[tuple[str, object]] = []
        for name, value in inputs.items():
            if isinstance(value, torch.Tensor):
                # Texts of any length come to the same attentions; of images nobody knows.
                given.append((name, value.shape if value.is_floating_point() else 0))
            elif value is None or isinstance(value, (bool, int, float, str)):
                given.append((name, value))
            else:
                return  # what may be anything may come to anything
        self._given = given

    def last(self, place: Place) -> bool:
        """Note an attention; return whether the run may end with it."""
        self._places.append(place)
        given, names, places = _SEEN.get(self._model, (None, (), ()))
        return (
            not self._awaited
            and len(self._places) == len(places)
            and tuple(self._places) == places
            and names == self._names
            and given is not None
            and given == self._given
        )

    def whole(self) -> None:
        """The model ran to its end: the next run need not."""
        _SEEN[self._model] = self._given, self._names, tuple(self._places)


def forget() -> None:
    """Let the next run of every model be a whole one."""
    _SEEN.clear()


def _awaited(parts: Iterable[torch.nn.Module]) -> bool:
    """Return whether something waits for the ends of modules: a caller's hooks, weights on loan."""
    return any(m._forward_hooks or "_hf_hook" in m.__dict__ for m in parts)
