"""Attention in windows as attention over a whole text: each window a block of the matrix.

Some families cut an image (or a film, or a sound) into windows, and put these where others have
their batch. Here the windows of one input stand one after the other, and no query sees another
window's keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from attnviz_gui.capture.call import Call

# Families write "not allowed" as minus infinity, as the type's lowest number, or as -1e9.
_FORBIDDEN = -1e9

# Bytes that the mask and the bias of one attention's windows may take together.
_MOST_BYTES = 1 << 31


def window_positions(call: Call) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the window of each query and of each key, and its place in it, from 0.

    Windows are in the model's order: row by row over the image, as are the places in each.
    """
    queries, keys = (
        [(w, i) for w in range(call.windows) for i in range(tensor.shape[2] // call.windows)]
        for tensor in (call.query, call.key)
    )
    return queries, keys


def fits(windows: int, call: Call) -> bool:
    """Return whether the matrix of all windows can be held, for a call of (B·W, H, n, d)."""
    size = windows * call.query.shape[2] * windows * call.key.shape[2]
    # A byte for what is allowed; a number a head for what may be added.
    plain = call.bias is None and (call.mask is None or call.mask.dtype == torch.bool)
    return size * (1 if plain else 1 + 4 * call.query.shape[1]) <= _MOST_BYTES


def fold(tensor: torch.Tensor, windows: int) -> torch.Tensor:
    """Return (B·W, H, n, d) as (B, H, W·n, d)."""
    rows, heads, n, d = tensor.shape
    parts = tensor.reshape(rows // windows, windows, heads, n, d)
    return parts.transpose(1, 2).reshape(rows // windows, heads, windows * n, d)


def fold_weights(weights: torch.Tensor, windows: int) -> torch.Tensor:
    """Return weights (B·W, H, n, m) as (B, H, W·n, W·m), zero between windows."""
    return _blocks(weights, windows, weights.shape[0] // windows)


def fold_added(
    mask: torch.Tensor | None, bias: torch.Tensor | None, windows: int, shape: tuple[int, int, int]
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return what is allowed, and what is added, between the tokens of all windows.

    Parameters
    ----------
    mask, bias
        What broadcasts to (B·W, H, n, m), as a `Call` has them.
    shape
        B·W, n and m.

    Returns
    -------
    (1 or B, 1 or H, W·n, W·m) bool
    (1 or B, 1 or H, W·n, W·m) or None
        What is added; None where it is nothing.
    """
    rows, n, m = shape
    allowed = torch.ones(1, 1, n, m, dtype=torch.bool)
    added = bias
    if mask is not None and mask.dtype == torch.bool:
        allowed = mask
    elif mask is not None:
        allowed = mask > max(_FORBIDDEN, torch.finfo(mask.dtype).min / 2)
        mask = mask.masked_fill(~allowed, 0)
        added = mask if added is None else added + mask
    if added is not None and not bool(added.any()):
        added = None
    allowed = _blocks(_sized(allowed, n, m), windows, rows // windows)
    if added is not None:
        added = _blocks(_sized(added, n, m), windows, rows // windows)
    return allowed, added


def _sized(tensor: torch.Tensor, n: int, m: int) -> torch.Tensor:
    """Return what broadcasts to (B·W, H, n, m) with its last axes in full."""
    tensor = tensor.reshape((1,) * (4 - tensor.ndim) + tensor.shape)
    return tensor.expand(*tensor.shape[:2], n, m)


def _blocks(parts: torch.Tensor, windows: int, rows: int) -> torch.Tensor:
    """Return (1 or W or B·W, H, n, m) as the blocks of (1 or B, H, W·n, W·m)."""
    first, heads, n, m = parts.shape
    if first == 1:
        parts = parts.expand(windows, heads, n, m)
    rows = rows if first == rows * windows else 1
    whole = parts.new_zeros(rows, heads, windows, n, windows, m)
    blocks = parts.reshape(rows, windows, heads, n, m).permute(0, 2, 3, 4, 1)
    whole.diagonal(dim1=2, dim2=4).copy_(blocks)
    return whole.view(rows, heads, windows * n, windows * m)
