"""Turn what attentions were handed (tensors) into records (numpy). Runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.record import Layer, LayerRecord, PositionTerm
from attnviz_gui.capture.ways.stacks import of_media
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.call import Call, Positions
    from attnviz_gui.capture.inputs import Forward, Side
    from attnviz_gui.capture.names import Names
    from attnviz_gui.capture.record import BoolArray, FloatArray

# Families write "not allowed" as minus infinity, as the type's lowest number, or as -1e9.
_FORBIDDEN = -1e9

# What is further down among the logits gets no attention, even if a model does not call it masked.
_FAR_DOWN = -5e3


def describe(calls: Sequence[Call]) -> tuple[Layer, ...]:
    """Return the layers that these calls stand for; a module's second call is its ``(pass 2)``."""
    often = {call.place.name for call in calls if call.place.nth > 0}
    two = any(call.cross for call in calls)
    return tuple(
        Layer(
            name=(call.place.name or "attention")
            + (f" (pass {call.place.nth + 1})" if call.place.name in often else ""),
            kind="cross" if call.cross else "self",
            n_heads=call.query.shape[1],
            head_dim=call.query.shape[3],
            stack=_stack(call, two=two),
        )
        for call in calls
    )


def _stack(call: Call, *, two: bool) -> str:
    """Return which part of a model an attention stands in; told by its path where it is not said.

    A model with cross attention has two stacks; another one only where its way says so.
    """
    if call.stack is not None:
        return call.stack
    if not two:
        return ""
    name = call.place.name.lower()
    if "decoder" in name:
        return "decoder"
    # An attention to another text may also stand in an encoder, of two kinds of input.
    return "decoder" if call.cross and "encoder." not in name else "encoder"


def convert(
    calls: Sequence[Call], forward: Forward, row: int = 0, names: Names | None = None
) -> tuple[LayerRecord, ...]:
    """Return one record a call, for one row of the batch, without its padding.

    Layers that share a mask or a bias share its array.

    Parameters
    ----------
    names
        Names for the row's tokens; None where they are the text's tokens in every attention.
    """
    masks = _Masks(row)
    sides = sides_of(calls)
    main = None if names is None else main_tokens(calls, forward, row, names)
    records = []
    for call, (query_side, key_side) in zip(calls, sides, strict=True):
        mask, bias = masks.of(call)
        query, key, value = (_array(t, row) for t in (call.query, call.key, call.value))
        rows, columns = _kept_of(call, (query_side, key_side), forward, row)
        if not columns.all() and _seen(mask, bias, rows, ~columns):
            columns = np.ones_like(columns)  # without them the attention would be another one
        if not rows.all() or not columns.all():
            query, key, value = query[:, rows], key[:, columns], value[:, columns]
            grid = np.ix_(rows, columns)
            mask = _frozen(np.ascontiguousarray(mask[..., grid[0], grid[1]]))
            bias = bias if bias is None else _frozen(bias[..., grid[0], grid[1]])
        positions = tuple(masks.positions(p, rows, columns) for p in call.positions)
        unrotated = None
        if call.unrotated is not None:
            before, after = (_array(t, row) for t in call.unrotated)
            unrotated = before[:, rows], after[:, columns]
        query_tokens = key_tokens = None
        if names is not None:
            own = query.shape[1], key.shape[1] - len(call.extra_keys)
            query_tokens = names.of(query_side, own[0])
            key_tokens = (*names.of(key_side, own[1]), *call.extra_keys)
        records.append(
            LayerRecord(
                query=query,
                key=key,
                value=value,
                scaling=call.scaling,
                mask=mask,
                bias=bias,
                softcap=call.softcap,
                sink=None if call.sink is None else _frozen(_numpy(call.sink).reshape(-1)),
                unrotated=unrotated,
                query_tokens=None if query_tokens == main else query_tokens,
                key_tokens=None if key_tokens == main else key_tokens,
                positions=positions,
            )
        )
    return tuple(records)


def _seen(mask: BoolArray, bias: FloatArray | None, rows: BoolArray, columns: BoolArray) -> bool:
    """Return whether a model lets some of its queries see some of its keys.

    Not every model hides padding, nor does every mask belong to every attention of a model.
    """
    grid = np.ix_(rows, columns)
    seen = mask[..., grid[0], grid[1]]
    if bias is not None:
        seen = seen & (bias[..., grid[0], grid[1]] > _FAR_DOWN)
    return bool(seen.any())


def main_tokens(calls: Sequence[Call], forward: Forward, row: int, names: Names) -> tuple[str, ...]:
    """Return the tokens of a row that stand for it: those of the first attention's queries."""
    side = sides_of(calls)[0][0]
    n = int(_kept(forward, side, row, calls[0].query.shape[2]).sum())
    return names.of(side, n)


def main_special(calls: Sequence[Call], forward: Forward, row: int, names: Names) -> BoolArray:
    """Return which of `main_tokens` are special, (T,)."""
    side = sides_of(calls)[0][0]
    n = int(_kept(forward, side, row, calls[0].query.shape[2]).sum())
    return names.special_of(side, n)


def check_names(calls: Sequence[Call], forward: Forward, row: int, names: Names) -> None:
    """Raise where no attention has as many tokens as the caller gave names for."""
    lengths = set()
    for call, (rows, columns) in zip(calls, kept(forward, calls, row), strict=True):
        lengths |= {int(rows.sum()), int(columns.sum()) - len(call.extra_keys)}
    for side in names.given:
        given = names.known[side]
        if len(given) not in lengths:
            raise InputError(
                f"tokens holds {len(given)} names{' for the decoder' if side == 'decoder' else ''},"
                f" but the attentions have {', '.join(map(str, sorted(lengths)))} tokens; give one "
                "name a token."
            )


def sides_of(calls: Sequence[Call]) -> list[tuple[Side, Side]]:
    """Return where each call's queries and keys come from."""
    two = any(call.cross for call in calls)
    beside_text = not all(of_media(call.stack) for call in calls)
    sides: list[tuple[Side, Side]] = []
    for call in calls:
        if beside_text and of_media(call.stack):
            sides.append(("media", "media"))
        elif call.cross:
            sides.append(("decoder", "main"))
        elif two and _stack(call, two=True) == "decoder":
            sides.append(("decoder", "decoder"))
        else:
            sides.append(("main", "main"))
    return sides


def kept(forward: Forward, calls: Sequence[Call], row: int) -> list[tuple[BoolArray, BoolArray]]:
    """Return which queries and keys of each call are no padding in a row."""
    return [
        _kept_of(call, sides, forward, row)
        for call, sides in zip(calls, sides_of(calls), strict=True)
    ]


def _kept_of(
    call: Call, sides: tuple[Side, Side], forward: Forward, row: int
) -> tuple[BoolArray, BoolArray]:
    n_extra = len(call.extra_keys)
    columns = _kept(forward, sides[1], row, call.key.shape[2] - n_extra)
    # Keys that no token stands behind come last, and are never padding.
    columns = np.concatenate([columns, np.ones(n_extra, dtype=bool)])
    return _kept(forward, sides[0], row, call.query.shape[2]), columns


def _kept(forward: Forward, side: Side, row: int, n: int) -> BoolArray:
    present = forward.present.get(side)
    if present is None or present.shape[1] != n:  # another sequence than the padded one
        return np.ones(n, dtype=bool)
    kept: BoolArray = present[row]
    return kept


def _array(tensor: torch.Tensor, row: int) -> FloatArray:
    """Return a row of (B, H, T, d) as (H, T, d) float32, a view of its memory where it can be.

    The model has no further use for that memory: nothing is copied, and nothing writes to it.
    """
    base = tensor._base
    if base is not None and base.requires_grad:  # a view of a weight, which training may change
        tensor = tensor.clone()
    array: FloatArray = _frozen(_numpy(tensor[row]))
    return array


def _numpy(tensor: torch.Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def _frozen(array: Any) -> Any:
    if array.flags.writeable:
        array.flags.writeable = False
    return array


class _Masks:
    """Converts each mask of one row once, however many layers share it."""

    def __init__(self, row: int) -> None:
        self._row = row
        # The tensors are kept with the results, so that no address is used twice.
        self._done: dict[tuple[object, ...], tuple[object, BoolArray, FloatArray | None]] = {}
        self._indices: dict[tuple[object, ...], tuple[object, Any]] = {}

    def of(self, call: Call) -> tuple[BoolArray, FloatArray | None]:
        """Return what a call allows, and what it adds to the logits, each (T_q, T_k) or by head."""
        shape = call.query.shape[2], call.key.shape[2]
        key = (id(call.mask), id(call.bias), *shape)
        if key not in self._done:
            mask, bias = self._convert(call, shape)
            self._done[key] = (call.mask, call.bias), mask, bias
        return self._done[key][1:]

    def positions(self, call: Positions, rows: BoolArray, columns: BoolArray) -> PositionTerm:
        """Return a part of a bias; layers share its index."""
        key = (id(call.rows), rows.tobytes(), columns.tobytes())
        if key not in self._indices:
            index = call.rows.to("cpu", torch.int32).numpy()[np.ix_(rows, columns)]
            self._indices[key] = call.rows, _frozen(np.ascontiguousarray(index))
        side: Any = call.side
        return PositionTerm(
            side, _array(call.table, self._row), self._indices[key][1], call.scaling
        )

    def _convert(self, call: Call, shape: tuple[int, int]) -> tuple[BoolArray, FloatArray | None]:
        bias = None if call.bias is None else self._matrix(call.bias.float(), call)
        if call.mask is None:
            allowed: BoolArray = np.broadcast_to(np.bool_(True), shape)
        elif call.mask.dtype == torch.bool:
            allowed = self._matrix(call.mask, call)
        else:
            added = self._matrix(call.mask.float(), call)
            allowed = added > max(_FORBIDDEN, torch.finfo(call.mask.dtype).min / 2)
            added = np.where(allowed, added, np.float32(0))
            bias = added if bias is None else bias + added
        if bias is not None and not bias.any():
            bias = None  # cross attention of T5 is handed zeros
        elif bias is not None:
            # A bias may hold the mask as well.
            free = bias > _FORBIDDEN
            if not free.all():
                allowed, bias = allowed & free, np.where(free, bias, np.float32(0))
        return _frozen(allowed), None if bias is None else _frozen(bias)

    def _matrix(self, tensor: torch.Tensor, call: Call) -> np.ndarray:
        """Return what broadcasts to (B, H, T_q, T_k) as (T_q, T_k) or (H, T_q, T_k), of the row."""
        n_rows, n_heads = call.query.shape[:2]
        shape = call.query.shape[2], call.key.shape[2]
        array = tensor.detach().cpu().numpy()
        array = array.reshape((1,) * (4 - array.ndim) + array.shape)
        if (
            array.ndim != 4
            or array.shape[0] not in (1, n_rows)
            or array.shape[1] not in (1, n_heads)
        ):
            raise InputError(f"The mask of {call.place.name} has the shape {array.shape}.")
        array = array[self._row if array.shape[0] > 1 else 0]
        array = array[0] if array.shape[0] == 1 else array
        array = array[..., -shape[0] :, : shape[1]]
        return np.broadcast_to(array, (*array.shape[:-2], *shape)).copy()
