"""Query and key before their rotary embedding, found by watching the family's function for it.

A family's function for the embedding has a name of a known kind and gives back tensors of the
shapes it was given. What it gave is looked for in what the attention is handed: the same memory, or
the same numbers in a part of the vectors, where only a part is rotated. What cannot be found again
exactly (normed or scaled after it was rotated) is not recorded.
"""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from attnviz_gui.capture.ways.standin import Names, Spot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_NAME = re.compile(r"apply\w*(rotary|rope)|rotate_queries")
_MODULE = re.compile(r"rotary|rope", re.IGNORECASE)

FUNCTIONS = Names(lambda name: _NAME.search(name) is not None)


class Rotated(NamedTuple):
    """A tensor before and after its rotary embedding, of one shape."""

    before: torch.Tensor
    after: torch.Tensor


class Rotations:
    """What was rotated in a run since its last attention."""

    def __init__(self) -> None:
        self._pairs: list[Rotated] = []
        self._used = False  # by an attention: what is rotated from now on is another one's
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(self, given: Iterable[Any], result: Any) -> None:
        """Remember what a function for the embedding was given, and gave back."""
        if self._used:
            self._pairs, self._used = [], False
        before = [t for t in given if isinstance(t, torch.Tensor) and t.ndim >= 3]
        for after in result if isinstance(result, (tuple, list)) else (result,):
            if not isinstance(after, torch.Tensor) or after.ndim < 3:
                continue
            found = next((i for i, t in enumerate(before) if t.shape == after.shape), None)
            if found is not None:
                self._pairs.append(Rotated(before.pop(found), after))

    def unrotated(
        self, query: torch.Tensor, key: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return query and key as they were before; None where that is not known of both."""
        self._used = True
        before_query = _before(query, self._pairs)
        before_key = None if before_query is None else _before(key, self._pairs)
        if before_key is None:
            # A layer may share the keys of one before it.
            before_key = next((before for shared, before in self._kept if shared is key), None)
        else:
            self._kept = [*self._kept[-3:], (key, before_key)]
        if before_query is None or before_key is None:
            return None
        return before_query, before_key


_ROTATIONS: ContextVar[Rotations | None] = ContextVar("attnviz_rotations", default=None)


def spots(modules: Iterable[torch.nn.Module]) -> Iterator[Spot]:
    """Yield where the functions stand that rotate the queries and keys of these attentions."""
    for cls in {type(module) for module in modules}:
        yield from FUNCTIONS.called_by(cls)
    for cls in {type(child) for module in modules for child in module.children()}:
        # Some families have a module that rotates; the others' modules give cosines and sines.
        owner = next((base for base in cls.__mro__ if "forward" in vars(base)), None)
        if owner is not None and _MODULE.search(cls.__name__):
            yield Spot(owner, "forward")


def stand_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes the same and notes it in the run that is on."""

    @functools.wraps(function)
    def rotate(*given: Any, **named: Any) -> Any:
        result = function(*given, **named)
        run = _ROTATIONS.get()
        if run is not None:
            run.note((*given, *named.values()), result)
        return result

    return rotate


@contextmanager
def noting(rotations: Rotations) -> Iterator[None]:
    """Note in `rotations` what is rotated inside the block, in this context."""
    token = _ROTATIONS.set(rotations)
    try:
        yield
    finally:
        _ROTATIONS.reset(token)


def _before(tensor: torch.Tensor, pairs: list[Rotated]) -> torch.Tensor | None:
    """Return (B, H, T, d) before its embedding."""
    for pair in reversed(pairs):
        for before, after in _arrangements(pair):
            found = _match(tensor, before, after)
            if found is not None:
                return found
    return None


def _arrangements(pair: Rotated) -> Iterator[Rotated]:
    """Yield a pair as (B, H, T, d), for each order of the axes that families use."""
    before, after = pair
    if after.ndim == 3:  # (T, H, d): images cut into patches; (B, T, d): all heads in one
        yield Rotated(before.transpose(0, 1)[None], after.transpose(0, 1)[None])
        yield Rotated(before[:, None], after[:, None])
    elif after.ndim == 4:
        yield pair
        yield Rotated(before.transpose(1, 2), after.transpose(1, 2))


def _match(tensor: torch.Tensor, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor | None:
    """Return `tensor` with the part that is `after` put back to `before`; None where there is none.

    Parameters
    ----------
    tensor : (B, H, T, d)
    before, after : (B, H or 1, T or more, r)
    """
    n, d, r = tensor.shape[2], tensor.shape[3], after.shape[3]
    if after.shape[2] > n and r == d:
        # One of several texts that were rotated in one: the memory says which.
        same = after.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
        step = after.stride(2)
        start = (tensor.storage_offset() - after.storage_offset()) // step if same and step else -1
        if not 0 <= start <= after.shape[2] - n:
            return None
        before, after = before[:, :, start : start + n], after[:, :, start : start + n]
    if after.shape[0] not in (1, tensor.shape[0]) or after.shape[2] != n or r > d:
        return None
    heads = tensor.shape[1]
    if after.shape[1] not in (1, heads):
        if heads % after.shape[1]:
            return None
        # Repeated for the heads that share them, before the attention sees them.
        for repeat in (torch.Tensor.repeat_interleave, _tiled):
            wide = [repeat(t, heads // after.shape[1], 1) for t in (before, after)]
            found = _match(tensor, *wide)
            if found is not None:
                return found
        return None
    for start in {0, d - r}:
        part = tensor[..., start : start + r]
        if _same(part, after.expand_as(part)):
            before = before.expand_as(part)
            if r == d:
                return before
            rest = tensor[..., :start], before, tensor[..., start + r :]
            return torch.cat(rest, dim=-1)
    return None


def _tiled(tensor: torch.Tensor, times: int, dim: int) -> torch.Tensor:
    return torch.cat([tensor] * times, dim)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    where = one.data_ptr() == other.data_ptr() and one.stride() == other.stride()
    return (where and one.dtype == other.dtype) or torch.equal(one, other)
