"""A family's own (eager) attention, computed in little more than the fast kernel's time.

The fast kernel would compute the same up to rounding, but later layers then see other numbers than
the model's own attention gives them: at 500 tokens of a 6-layer BERT, 3e-6 in the attention. The
own function is called on a few queries at a time, so that its matrices stay in the processor's
cache; that gives the same bits as one call, save for a last rounding where sizes are odd.

What it still loses to the fast kernel is memory that is taken and given back at every step: up to a
third of the run. Most families' functions are the plain softmax(scaling Q Kᵀ + mask) V, which
`Plain` computes in memory that it keeps; it takes a function's place once it has given the same
bits on the run's own numbers.
"""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

# Bytes of attention computed at a time: what stays in the cache of a processor's core, for each
# core that computes; what a GPU can spare.
_CORE_CHUNK = 3 << 19
_GPU_CHUNK = 1 << 28
_LEAST_ROWS = 32  # fewer, and the products become slow

# What `Plain` keeps, a few chunks for each thread that records.
_MEMORY = threading.local()


def own_attention(
    own: Callable[..., Any], module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor,
    value: torch.Tensor, mask: torch.Tensor | None, extras: dict[str, Any],
    plain: Plain | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return the attention output of a family's function, (B, T_q, H, d_v), in a few steps.

    Parameters
    ----------
    extras
        What else the function is handed; tensors among it that have a row a query are cut with it.
    plain
        What may take the function's place where it gives the same; None: nothing may.
    """
    n = query.shape[-2]
    by_query = [t for t in extras.values() if isinstance(t, torch.Tensor) and t.ndim == 4]
    step = _step(query, key, [t for t in (mask, *by_query) if t is not None])
    if step >= n:
        return own(module, query, key, value, mask, **extras)[0]  # type: ignore[no-any-return]
    if plain is not None and not plain.fits(own, query, key, value, mask):
        plain = None
    if plain is not None and plain.trusted(own):
        return plain.attention(query, key, value, mask, extras, step)
    parts = []
    for start in range(0, n, step):
        rows = slice(start, start + step)
        cut = {
            name: e[..., rows, :] if isinstance(e, torch.Tensor) and e.ndim == 4 else e
            for name, e in extras.items()
        }
        some = None if mask is None else mask[..., rows, :]
        parts.append(own(module, query[..., rows, :], key, value, some, **cut)[0])
        if plain is not None and start == 0:
            mine = plain.attention(query[..., rows, :], key, value, some, extras, step)
            plain.judge(own, same=torch.equal(mine, parts[0]))
    return torch.cat(parts, dim=1)


class Plain:
    """softmax(scaling Q Kᵀ + mask) V in memory that is kept; for one run."""

    def __init__(self) -> None:
        self._judged: dict[Callable[..., Any], bool] = {}

    def trusted(self, own: Callable[..., Any]) -> bool:
        """Return whether this has given the same bits as `own` in this run."""
        return self._judged.get(own, False)

    def judge(self, own: Callable[..., Any], *, same: bool) -> None:
        """Remember whether this gives the same bits as `own`."""
        self._judged[own] = same

    def fits(
        self, own: Callable[..., Any], query: torch.Tensor, key: torch.Tensor,
        value: torch.Tensor, mask: torch.Tensor | None,
    ) -> bool:  # fmt: skip
        """Return whether this could take the place of `own` here."""
        tensors = [t for t in (query, key, value, mask) if t is not None]
        return (
            self._judged.get(own, True)
            and query.shape[0] == 1
            and query.device.type == "cpu"
            and all(t.dtype == torch.float32 and t.ndim == 4 for t in tensors)
        )

    def attention(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
        mask: torch.Tensor | None, extras: dict[str, Any], step: int,
    ) -> torch.Tensor:  # fmt: skip
        """Return the attention's output, (1, T_q, H, d_v), `step` queries at a time."""
        _, n_heads, n_rows, head_dim = query.shape
        group = n_heads // key.shape[1]
        keys, values = key[0], value[0]
        if group > 1:
            keys, values = keys.repeat_interleave(group, 0), values.repeat_interleave(group, 0)
        scaling = extras.get("scaling")
        scaling = head_dim**-0.5 if scaling is None else float(scaling)
        output = query.new_empty(1, n_rows, n_heads, values.shape[-1])
        for start in range(0, n_rows, step):
            rows = slice(start, start + step)
            some = query[0, :, rows]
            shape = (n_heads, some.shape[1], keys.shape[1])
            logits = torch.bmm(some, keys.transpose(1, 2), out=_kept("logits", *shape))
            logits.mul_(scaling)
            if mask is not None:
                logits.add_(mask[0, :, rows])
            weights = torch.softmax(logits, -1, out=_kept("weights", *shape))
            mixed = _kept("mixed", *shape[:2], values.shape[-1])
            output[0, rows] = torch.bmm(weights, values, out=mixed).transpose(0, 1)
        return output


def _kept(name: str, *shape: int) -> torch.Tensor:
    """Return memory of a shape, the same as before where it is large enough."""
    size = math.prod(shape)
    memory: torch.Tensor | None = getattr(_MEMORY, name, None)
    if memory is None or memory.numel() < size:
        memory = torch.empty(size)
        setattr(_MEMORY, name, memory)
    return memory[:size].view(shape)


def _step(query: torch.Tensor, key: torch.Tensor, added: list[torch.Tensor]) -> int:
    """Return how many queries to compute at a time."""
    n = query.shape[-2]
    if query.ndim != 4 or any(t.ndim != 4 or t.shape[-2] != n for t in added):
        return n  # an arrangement that is not known: all at once, as the family does it
    on_cpu = query.device.type == "cpu"
    chunk = _CORE_CHUNK * torch.get_num_threads() if on_cpu else _GPU_CHUNK
    row = query.shape[0] * query.shape[1] * key.shape[2] * query.element_size()
    # Parts of one size: the library that multiplies rounds small remainders in another order.
    parts = -(-n // max(chunk // row, _LEAST_ROWS))
    return -(-n // parts)
