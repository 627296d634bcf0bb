"""A property that is computed once, when it is first asked for. Imports nothing of the project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property as lazy
else:

    class lazy:
        """As `functools.cached_property`, without its lock.

        Until Python 3.12 that lock is one for all objects of a class: while a worker computes one
        head's logits, the window would wait for another's. Two threads that ask the same object at
        once compute the same twice, and either result is kept.
        """

        def __init__(self, function: Any) -> None:
            self.function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.function(instance)
            return value


__all__ = ["lazy"]
