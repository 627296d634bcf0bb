"""Turn what an attention was handed (tensors) into records (numpy). Runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from attnviz_gui.capture.record import Layer, LayerRecord
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.call import Call
    from attnviz_gui.capture.record import BoolArray, FloatArray

# Families write "not allowed" as minus infinity, as the type's lowest number, or as -1e9.
_FORBIDDEN = -1e9


def describe(calls: Sequence[Call]) -> tuple[Layer, ...]:
    """Return the layers that these calls stand for; a module's second call is its ``(pass 2)``."""
    often = {call.place.name for call in calls if call.place.nth > 0}
    return tuple(
        Layer(
            name=call.place.name
            + (f" (pass {call.place.nth + 1})" if call.place.name in often else ""),
            kind="cross" if call.cross else "self",
            n_heads=call.query.shape[1],
            head_dim=call.query.shape[3],
        )
        for call in calls
    )


def convert(calls: Sequence[Call]) -> tuple[LayerRecord, ...]:
    """Return one record a call. Layers that share a mask or a bias share its array."""
    masks = _Masks()
    records = []
    for call in calls:
        mask, bias = masks.of(call)
        records.append(
            LayerRecord(
                query=_array(call.query),
                key=_array(call.key),
                value=_array(call.value),
                scaling=call.scaling,
                mask=mask,
                bias=bias,
            )
        )
    return tuple(records)


def _array(tensor: torch.Tensor) -> FloatArray:
    """Return (1, H, T, d) as (H, T, d) float32, a view of the tensor's memory where it can be.

    The model has no further use for that memory: nothing is copied, and nothing writes to it.
    """
    base = tensor._base
    if base is not None and base.requires_grad:  # a view of a weight, which training may change
        tensor = tensor.clone()
    array: FloatArray = tensor.detach()[0].to("cpu", torch.float32).numpy()
    array.flags.writeable = False
    return array


class _Masks:
    """Converts each mask once, however many layers share it."""

    def __init__(self) -> None:
        # The tensors are kept with the results, so that no address is used twice.
        self._done: dict[tuple[object, ...], tuple[object, BoolArray, FloatArray | None]] = {}

    def of(self, call: Call) -> tuple[BoolArray, FloatArray | None]:
        """Return what a call allows, and what it adds to the logits, each (T_q, T_k) or by head."""
        shape = call.query.shape[2], call.key.shape[2]
        key = (id(call.mask), id(call.bias), *shape)
        if key not in self._done:
            mask, bias = self._convert(call, shape)
            self._done[key] = (call.mask, call.bias), mask, bias
        return self._done[key][1:]

    def _convert(self, call: Call, shape: tuple[int, int]) -> tuple[BoolArray, FloatArray | None]:
        bias = None if call.bias is None else _matrix(call.bias.float(), call)
        if call.mask is None:
            allowed: BoolArray = np.broadcast_to(np.bool_(True), shape)
        elif call.mask.dtype == torch.bool:
            allowed = _matrix(call.mask, call)
        else:
            added = _matrix(call.mask.float(), call)
            allowed = added > max(_FORBIDDEN, torch.finfo(call.mask.dtype).min / 2)
            added = np.where(allowed, added, np.float32(0))
            bias = added if bias is None else bias + added
        if bias is not None and not bias.any():
            bias = None  # cross attention of T5 is handed zeros
        for array in (allowed, bias):
            if array is not None and array.flags.writeable:
                array.flags.writeable = False
        return allowed, bias


def _matrix(tensor: torch.Tensor, call: Call) -> np.ndarray:
    """Return a mask or bias that broadcasts to (1, H, T_q, T_k) as (T_q, T_k) or (H, T_q, T_k)."""
    n_heads, shape = call.query.shape[1], (call.query.shape[2], call.key.shape[2])
    array = tensor.detach().cpu().numpy()
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if array.ndim != 4 or array.shape[0] != 1 or array.shape[1] not in (1, n_heads):
        raise InputError(f"The mask of {call.place.name} has the shape {array.shape}.")
    array = array[0, 0] if array.shape[1] == 1 else array[0]
    array = array[..., -shape[0] :, : shape[1]]
    return np.broadcast_to(array, (*array.shape[:-2], *shape)).copy()
