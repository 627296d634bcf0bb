"""Which axes of an attention are its batch and which its heads, whatever order they are in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from attnviz_gui.capture.call import Call
from attnviz_gui.capture.ways.windows import fits, fold, fold_added, fold_weights
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from attnviz_gui.capture.call import Place
    from attnviz_gui.capture.ways.explain import Explained, Shared
    from attnviz_gui.capture.ways.frames import Frame, Frames
    from attnviz_gui.capture.ways.layout import Layout

_COUNTS = (
    "num_heads", "num_attention_heads", "n_heads", "n_head", "nhead", "num_attn_heads", "heads",
    "h",
)  # fmt: skip
_ROWS = ("input_ids", "pixel_values", "input_features", "input_values", "inputs_embeds")


class Split(NamedTuple):
    """Batch and heads of an attention.

    Attributes
    ----------
    sizes
        Of the axes that are neither the queries' nor the keys'.
    order
        These axes so that heads come last and all others are the batch.
    batch, heads
        How many there are; windows are in the batch.
    windows
        How many of them one input has.
    """

    sizes: tuple[int, ...]
    order: tuple[int, ...]
    batch: int
    heads: int
    windows: int = 1

    def unfold(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return (O, ...) as (B, H, ...)."""
        rest = tensor.shape[1:]
        tensor = tensor.reshape(*self.sizes, *rest)
        last = range(len(self.sizes), tensor.ndim)
        return tensor.permute(*self.order, *last).reshape(self.batch, self.heads, *rest)

    def call(
        self, place: Place, found: Explained, value: torch.Tensor | None, shared: Shared
    ) -> Call:
        """Return an attention as a `Call`; keys that several heads share are given once."""
        query, key, mask, bias = found.query, found.key, found.mask, found.bias
        if query.ndim == 3:
            query, key = self.unfold(query), self.unfold(key)
            value = None if value is None else self.unfold(value)
            mask, bias = shared.added(found, self)
        if value is None:
            value = key[..., :0]
        positions = tuple(p._replace(table=self.unfold(p.table)) for p in found.positions)
        if positions and self.windows > 1:
            raise InputError(
                f"{place.name} attends in windows by a table of distances, which cannot be read."
            )
        group = 1 if positions else math.gcd(_group(key), _group(value))
        key, value = key[:, ::group], value[:, ::group]
        call = Call(place, query, key, value, found.scaling, mask, bias, found.softcap)
        call = call._replace(positions=positions)
        return self._fold(call) if self.windows > 1 else call

    def _fold(self, call: Call) -> Call:
        """Return a call with the windows of one input one after the other."""
        n, m = call.query.shape[2], call.key.shape[2]
        if not fits(self.windows, call):
            raise InputError(
                f"{call.place.name} attends in {self.windows:,} windows of {max(n, m):,} tokens, "
                "which are too many for one picture; give a smaller input."
            )
        shape = (call.query.shape[0], n, m)
        mask, bias = fold_added(call.mask, call.bias, self.windows, shape)
        query, key, value = (fold(t, self.windows) for t in (call.query, call.key, call.value))
        return call._replace(
            query=query, key=key, value=value, mask=mask, bias=bias, windows=self.windows
        )


class Rows:
    """Tells batch from heads by what the model was called with."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames

    def split(self, found: Explained, layout: Layout | None, frame: Frame | None) -> Split:
        """Return the split of what was explained."""
        sizes = found.query.shape[:2] if layout is None else layout.others
        return self._split(tuple(sizes), frame)

    def weights(
        self, weights: torch.Tensor, layout: Layout | None, frame: Frame | None
    ) -> torch.Tensor:
        """Return weights as (B, H, T_q, T_k)."""
        if layout is None:
            split = self._split(tuple(weights.shape[:2]), frame)
        else:
            split = self._split(layout.others, frame)
            weights = split.unfold(layout.arrange(weights))
        return fold_weights(weights, split.windows) if split.windows > 1 else weights

    def _split(self, sizes: tuple[int, ...], frame: Frame | None) -> Split:
        rows, heads, total = self._batch(), _heads(frame), math.prod(sizes)
        order = list(range(len(sizes)))
        if len(sizes) == 2 and heads in (sizes[0], None) and sizes[1] == rows != sizes[0]:
            order.reverse()
        elif len(sizes) == 2:
            heads = sizes[1]
        elif len(sizes) > 2 and heads in sizes[1:]:  # heads, and windows before or after them
            order.append(order.pop(max(a for a in order if a and sizes[a] == heads)))
        elif not heads or total % (heads * (rows or 1)):
            heads = total // rows if rows and total % rows == 0 else total
        heads = heads or sizes[order[-1]]
        batch = total // heads
        windows = batch // rows if rows and batch % rows == 0 else 1
        return Split(sizes, tuple(order), batch, heads, windows)

    def _batch(self) -> int | None:
        """Return how many inputs the model was given, None where that is not told."""
        root = self._frames.root
        if root is None:
            return None
        tensors = {n: v for n, v in root.inputs.items() if isinstance(v, torch.Tensor)}
        given = [tensors[name] for name in _ROWS if name in tensors] or list(tensors.values())
        for tensor in given:
            if tensor.ndim >= (3 if tensor.is_floating_point() else 2):
                return tensor.shape[0]
        return None


def _heads(frame: Frame | None) -> int | None:
    """Return how many heads a module says it has."""
    module = None if frame is None else frame.module
    for name in _COUNTS:
        count = getattr(module, name, None)
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return count
    return None


def _group(heads: torch.Tensor) -> int:
    """Return how many heads that stand together are the same, (B, H, T, d)."""
    count = heads.shape[1]
    if heads.numel() == 0:
        return count
    if count == 1 or not torch.equal(heads[:, 0], heads[:, 1]):
        return 1
    for group in range(count, 1, -1):
        if count % group == 0:
            parts = heads.reshape(heads.shape[0], -1, group, *heads.shape[2:])
            if bool((parts == parts[:, :, :1]).all()):
                return group
    return 1
