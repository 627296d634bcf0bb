"""What functions take, told once for each: every run of a model asks the same ones."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's parameters; none where it does not tell them."""
    if inspect.ismethod(function):
        return _read(function.__func__)[1:]
    return _read(function) if inspect.isfunction(function) else _ask(function)


def _ask(function: Callable[..., Any]) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return ()


_read = lru_cache(maxsize=256)(_ask)
