"""Functions put in the place of a family's own for the length of a run, and taken away again.

A model's code looks its helpers up by name at each call, in the module it is written in. Standing
in under such a name sees what the helper is handed, whatever the model does around it. Threads that
record nothing pass through to the helper itself; the last run to end puts it back.
"""

from __future__ import annotations

import inspect
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Spot(NamedTuple):
    """Where a function is looked up: a module's globals or a class, and a name there."""

    owner: Any
    name: str

    @property
    def key(self) -> tuple[int, str]:
        """What tells spots apart."""
        return id(self.owner), self.name

    def get(self) -> Any:
        """Return what stands there."""
        names = self.owner if isinstance(self.owner, dict) else vars(self.owner)
        return names.get(self.name)

    def put(self, function: Any) -> None:
        """Let a function stand there."""
        if isinstance(self.owner, dict):
            self.owner[self.name] = function
        else:
            setattr(self.owner, self.name, function)


_LOCK = threading.Lock()
_STANDING: dict[tuple[int, str], tuple[Any, int]] = {}  # what stood there, and for how many runs


@contextmanager
def standing_in(
    spots: Iterable[Spot], make: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Let ``make(function)`` stand in for the function at each spot, inside the block.

    `make` must be the same for all runs that meet: the first one's stands for all of them.
    """
    taken = list({spot.key: spot for spot in spots}.values())
    with _LOCK:
        for spot in taken:
            own, runs = _STANDING.get(spot.key, (spot.get(), 0))
            if runs == 0:
                spot.put(make(own))
            _STANDING[spot.key] = own, runs + 1
    try:
        yield
    finally:
        with _LOCK:
            for spot in taken:
                own, runs = _STANDING.pop(spot.key)
                if runs > 1:
                    _STANDING[spot.key] = own, runs - 1
                else:
                    spot.put(own)


def methods(cls: type) -> Iterator[tuple[type, str, Any]]:
    """Yield a class's own and inherited methods, those that it has replaced left out.

    Each with the class that it is written in and its name; what PyTorch wrote is left out.
    """
    seen: set[str] = set()
    for base in cls.__mro__:
        if base is object or base.__module__.partition(".")[0] == "torch":
            continue
        for name, method in vars(base).items():
            function = inspect.unwrap(method) if callable(method) else None
            if name not in seen and inspect.isfunction(function):
                yield base, name, function
            seen.add(name)


class Names:
    """Finds, once a class, the spots of the functions that its methods call by certain names."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._found: WeakKeyDictionary[type, tuple[Spot, ...]] = WeakKeyDictionary()

    def called_by(self, cls: type) -> tuple[Spot, ...]:
        """Return where the functions stand that methods of `cls` call, inherited ones included."""
        if cls not in self._found:
            self._found[cls] = tuple(self._search(cls))
        return self._found[cls]

    def _search(self, cls: type) -> Iterator[Spot]:
        for base, name, function in methods(cls):
            if self._wanted(name):
                yield Spot(base, name)
            for called in function.__code__.co_names:
                if self._wanted(called) and inspect.isfunction(function.__globals__.get(called)):
                    yield Spot(function.__globals__, called)
