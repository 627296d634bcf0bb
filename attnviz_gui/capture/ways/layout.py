"""Where the heads, queries, keys and values of a product stand after it was moved about.

A product (N, I, J) reaches its softmax as views: heads unfolded from the batch, axes in another
order, a column cut off. The same moves, done on the numbers 0, 1, 2 ..., tell for each entry of the
softmax which row of which operand it was made of, whatever the order of axes. Computes no
attention.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

# A step is an operation that moves entries but computes nothing, and its other arguments; a chain
# is all of them since the product.
Step = tuple["Callable[..., Any]", tuple[Any, ...], tuple[tuple[str, Any], ...], int]
Chain = tuple[Step, ...]


def move(tensor: torch.Tensor, chain: Chain) -> torch.Tensor:
    """Return the tensor after a chain's moves."""
    for operation, args, kwargs, output in chain:
        moved = operation(tensor, *args, **dict(kwargs))
        tensor = moved[output] if output >= 0 else moved
    return tensor


@dataclass(frozen=True, eq=False)
class Layout:
    """How a softmax's input is made of its product's operands.

    Attributes
    ----------
    others : tuple of int
        Sizes of the axes that are neither the queries' nor the keys'; O entries in all.
    order : tuple of int
        The softmax's axes in the order of `others`, queries, keys. An axis of one query that it
        does not have stands for itself as -1.
    swapped
        True where the first operand holds the keys.
    query_rows : (O, T_q) int64
        Row of the query's operand, its first two axes folded.
    key_rows : (O, T_k) int64
        Row of the key's operand.
    """

    others: tuple[int, ...]
    order: tuple[int, ...]
    swapped: bool
    query_rows: torch.Tensor
    key_rows: torch.Tensor

    def arrange(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return what has the softmax's shape as (O, T_q, T_k)."""
        if -1 in self.order:
            tensor = tensor.unsqueeze(-1)
        n = tensor.ndim
        tensor = tensor.permute([axis if axis >= 0 else n - 1 for axis in self.order])
        return tensor.reshape(-1, *tensor.shape[-2:])

    def operands(
        self, first: torch.Tensor, second: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return query (O, T_q, d) and key (O, T_k, d) of a product's (N, I, d) and (N, d, J)."""
        second = second.transpose(1, 2)
        query, key = (second, first) if self.swapped else (first, second)
        return take(query, self.query_rows), take(key, self.key_rows)


def take(operand: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Return (N, I, d) by rows (O, T) of the first two axes, as (O, T, d); a view if it can be."""
    size = operand.shape[0] * operand.shape[1]
    if rows.numel() == size and bool((rows.flatten() == torch.arange(size)).all()):
        return operand if rows.shape == operand.shape[:2] else operand.reshape(*rows.shape, -1)
    return operand.reshape(size, -1)[rows.to(operand.device)]


@lru_cache(maxsize=64)
def layout(shape: tuple[int, int, int], chain: Chain, axis: int) -> Layout | None:
    """Return the layout of a softmax over `axis` of a product (N, I, J) after a chain.

    None where the entries are not products of one query and one key each, with the same keys for
    all queries.
    """
    n_rows, n_columns = shape[1:]
    whole = _reshaped(shape, chain)
    if whole is not None and whole[-2:] == shape[1:] and axis in (-1, len(whole) - 1):
        axes = tuple(range(len(whole)))
        return Layout(whole[:-2], axes, False, _rows(shape[0], n_rows), _rows(shape[0], n_columns))
    index = _numbered(shape, chain)
    if index is None or index.numel() == 0:
        return None
    axis %= index.ndim
    row, column = index // n_columns, index % n_columns
    column += row // n_rows * n_columns  # rows of the second operand, its last two axes swapped
    swapped = index.shape[axis] > 1 and not _same(row, axis)
    query, key = (column, row) if swapped else (row, column)
    if not _same(query, axis):
        return None
    asks = _query_axis(query, key, axis)
    others = [a for a in range(index.ndim) if a not in (axis, asks)]
    order = (*others, -1 if asks is None else asks, axis)
    found = Layout(tuple(index.shape[a] for a in others), order, swapped, query[:0], key[:0])
    query, key = found.arrange(query)[:, :, 0], found.arrange(key)
    if not bool((key == key[:, :1]).all()):
        return None
    return Layout(found.others, order, swapped, query.long().clone(), key[:, 0].long().clone())


@lru_cache(maxsize=64)
def value_rows(
    shape: tuple[int, ...], chain: Chain, found: Layout, first: bool
) -> torch.Tensor | None:
    """Return where a product of the weights takes its values from.

    Parameters
    ----------
    shape
        Of the softmax's result.
    chain
        What brought it to the product, as an operand (N, I, J) if `first`, else (N, J, I).
    found
        The softmax's layout.

    Returns
    -------
    (O, T_k) int64
        Row of the other operand (N, J, d), its first two axes folded.
    None where the product does not sum over the keys, or not over all of them.
    """
    whole, n_others = _reshaped(shape, chain), math.prod(found.others)
    in_order = found.order == tuple(range(len(shape)))
    if first and in_order and whole == (n_others, *shape[-2:]):
        return _rows(n_others, shape[-1])
    index = _numbered(shape, chain)
    if index is None or index.ndim != 3:
        return None
    moved = index if first else index.transpose(1, 2)
    # Which (O, T_k) each entry of the softmax belongs to, then the same for the operand's.
    n_keys = shape[found.order[-1]]
    key = torch.arange(math.prod(found.others) * n_keys).view(-1, 1, n_keys)
    size = 1 if found.order[-2] == -1 else shape[found.order[-2]]
    key = _disarrange(key.expand(-1, size, -1), found, shape).flatten()[moved.long()]
    if not _same(key // n_keys, 2):
        return None  # it sums over something else
    rows = torch.arange(moved.shape[0])[:, None] * moved.shape[2] + torch.arange(moved.shape[2])
    result = torch.full((math.prod(found.others) * n_keys,), -1)
    result[key.flatten()] = rows[:, None].expand(moved.shape).flatten()
    if bool((result < 0).any()) or not bool((result[key] == rows[:, None]).all()):
        return None
    return result.view(-1, n_keys)


def entries(shape: tuple[int, ...], chain: Chain) -> torch.Tensor | None:
    """Return which entry before a chain each entry after it is; None where that is not told."""
    index = _numbered(shape, chain)
    return None if index is None else index.long()


def _rows(n: int, size: int) -> torch.Tensor:
    return torch.arange(n * size).view(n, size)


def _reshaped(shape: tuple[int, ...], chain: Chain) -> tuple[int, ...] | None:
    """Return the shape after a chain that leaves the order of entries; None if it may not."""
    for operation, args, _, _ in chain:
        if operation is not torch.reshape:
            return None
        shape = args[0]
    return shape


def _disarrange(tensor: torch.Tensor, found: Layout, shape: tuple[int, ...]) -> torch.Tensor:
    """Return (O, T_q, T_k) in the softmax's own order of axes; what `arrange` undoes."""
    tensor = tensor.reshape(*found.others, *tensor.shape[1:])
    order = [a if a >= 0 else len(shape) for a in found.order]
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return tensor.permute(inverse).reshape(shape)


def _numbered(shape: tuple[int, ...], chain: Chain) -> torch.Tensor | None:
    """Return, for each entry after a chain, which entry before it it was."""
    size = math.prod(shape)
    kind = torch.int32 if size < 2**31 else torch.int64
    try:
        return move(torch.arange(size, dtype=kind).view(shape), chain)
    except RuntimeError:  # a view that only the model's own strides allow
        return None


def _same(tensor: torch.Tensor, axis: int) -> bool:
    return bool((tensor == tensor.narrow(axis, 0, 1)).all())


def _query_axis(query: torch.Tensor, key: torch.Tensor, axis: int) -> int | None:
    """Return the axis of the queries: keys are the same along it, queries are not."""
    alike = [a for a in range(key.ndim) if a != axis and _same(key, a)]
    asking = [a for a in alike if query.shape[a] > 1 and not _same(query, a)]
    if not asking:  # one query
        return alike[-1] if alike else None
    # Where heads share their keys, theirs is such an axis too.
    square = [a for a in asking if query.shape[a] == query.shape[axis]]
    return square[0] if len(square) == 1 else asking[-1]
