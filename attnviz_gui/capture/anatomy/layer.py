"""What one attention of a model is made of, on one text: inputs, weights, rotation, own results.

Runs the model twice with hooks on one layer: as it was recorded, and with its own attention. Leaves
no trace on it. Keeps the tensors of this layer alone.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.anatomy.find import (
    CLOSE,
    CLOSE_HALF,
    Output,
    Projection,
    Rotation,
    Seen,
    close_of,
    find_output,
    find_projection,
    find_rotation,
    float32,
    same,
)
from attnviz_gui.capture.run import alone, run
from attnviz_gui.capture.verify import Verifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from attnviz_gui.capture.call import Place
    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.record import Capture, LayerRecord

FROM_FILE = (
    "This capture was opened from a file, and the model is not at hand: it begins at q, k and v."
)


@dataclass(frozen=True, eq=False)
class LayerParts:
    """Everything that an attention's result follows from.

    Attributes
    ----------
    projections
        Of query, key and value; None where they could not be identified.
    rotation
        Of query and key; None where there is none or it could not be explained.
    rotated
        True where the model turns its vectors and no rotation explains how.
    output
        None where the output projection could not be identified.
    weights : (H, T_q, T_k) float32 or None
        The model's own attention.
    multihead
        The module where it is an ``nn.MultiheadAttention``.
    missing
        Why something was not found; empty for nothing.
    """

    name: str
    record: LayerRecord
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    projections: tuple[Projection, Projection, Projection] | None = None
    rotation: Rotation | None = None
    rotated: bool = False
    output: Output | None = None
    weights: np.ndarray | None = field(default=None, repr=False)
    multihead: torch.nn.MultiheadAttention | None = None
    precision: str = "float32"
    missing: str = ""

    @property
    def one_source(self) -> bool:
        """True where queries, keys and values are projected from the same rows."""
        if self.projections is None:
            return False
        q, k, v = (p.x for p in self.projections)
        return q.shape == k.shape == v.shape and bool(torch.equal(q, k)) and torch.equal(q, v)


def layer_parts(capture: Capture, text: int, layer: int) -> LayerParts:
    """Return what a layer is made of; only q, k and v where the model is not at hand."""
    bare = LayerParts(
        capture.layers[layer].name,
        capture.records[text][layer],
        tuple(capture.query_tokens(layer, text)),
        tuple(capture.key_tokens(layer, text)),
    )
    verifier = capture.verifier
    if not isinstance(verifier, Verifier):
        return replace(bare, missing=FROM_FILE)
    place = verifier.places[layer]
    with alone():
        per_forward = len(capture.records) // len(verifier.forwards)
        forward = verifier.forwards[text // per_forward]()
        watched = _watch(verifier, forward, place)
        own = _own_weights(verifier, forward, place)
    rows = Rows(forward, text % per_forward, bare.record)
    module = watched.module
    parts = replace(
        bare,
        weights=None if own is None or own.ndim != 4 else rows.of_weights(own),
        precision=_precision(module),
    )
    if isinstance(module, torch.nn.MultiheadAttention):
        return multihead_parts(parts, module, watched.arguments, watched.result, rows)
    return _found(parts, rows.of_calls(watched.calls))


def _found(parts: LayerParts, seen: list[Seen]) -> LayerParts:
    """Add what can be told from the calls around the attention."""
    record = parts.record
    unrotated = record.unrotated
    before = (record.query, record.key) if unrotated is None else unrotated
    targets = [_tensor(values) for values in (*before, record.value)]
    query, key, value = (find_projection(target, seen) for target in targets)
    projections = None
    missing = ""
    if query is not None and key is not None and value is not None:
        projections = query, key, value
    else:
        wanted = [w for w, p in zip("qkv", (query, key, value), strict=True) if p is None]
        listed = " and ".join(wanted) if len(wanted) < 3 else "q, k and v"
        missing = (
            f"No matrix of the model was found whose product gives {listed} by itself, so it "
            "begins at q, k and v."
        )
    rotation = None
    if unrotated is not None:
        after = _tensor(record.query), _tensor(record.key)
        close = CLOSE if parts.precision == "float32" else CLOSE_HALF
        rotation = find_rotation((targets[0], targets[1]), after, close)
    output = find_output(_concat(record), seen)
    if output is None and not missing:
        missing = "No matrix was found that takes the concatenated heads, so it ends with them."
    return replace(
        parts,
        projections=projections,
        rotation=rotation,
        rotated=unrotated is not None and rotation is None,
        output=output,
        missing=missing,
    )


def multihead_parts(
    parts: LayerParts,
    module: torch.nn.MultiheadAttention,
    arguments: tuple[Tensor, Tensor, Tensor],
    result: Tensor,
    rows: Rows,
    *,
    check: bool = True,
) -> LayerParts:
    """Add what an ``nn.MultiheadAttention`` is made of: its weights have known places.

    `check`: whether they have to give the recorded q, k and v.
    """
    record = parts.record

    def text(tensor: Tensor, n: int) -> Tensor:
        if tensor.ndim == 3 and not module.batch_first:
            tensor = tensor.transpose(0, 1)
        return float32(rows.of(tensor, n))

    n_queries, n_keys = record.query.shape[1], record.key.shape[1]
    n_keys -= (module.bias_k is not None) + module.add_zero_attn
    inputs = [
        text(tensor, n) for tensor, n in zip(arguments, (n_queries, n_keys, n_keys), strict=True)
    ]
    close = close_of(module.out_proj.weight)
    projections = []
    for x, (weight, bias), recorded in zip(
        inputs, _in_projections(module), (record.query, record.key, record.value), strict=True
    ):
        made = x @ weight.T if bias is None else x @ weight.T + bias
        heads = made.reshape(len(made), module.num_heads, -1).permute(1, 0, 2)
        target = _tensor(recorded)[:, : heads.shape[1]] if check else heads
        factor = float((target * heads).sum() / (heads * heads).sum().clamp_min(1e-30))
        factor = 1.0 if abs(factor - 1) < CLOSE else factor
        if heads.shape != target.shape or not same(heads * factor, target, close):
            missing = "The module's weights do not give the recorded q, k and v; it begins there."
            return replace(parts, multihead=module, missing=missing)
        projections.append(
            Projection(x, weight, bias, module.num_heads, "in_proj", 3 * len(weight), factor)
        )
    out = module.out_proj
    bias = None if out.bias is None else float32(out.bias)
    return replace(
        parts,
        projections=(projections[0], projections[1], projections[2]),
        output=Output(float32(out.weight), bias, "out_proj", text(result, n_queries)),
        multihead=module,
    )


def _in_projections(module: torch.nn.MultiheadAttention) -> list[tuple[Tensor, Tensor | None]]:
    """Return weight and bias of query, key and value, stacked or not."""
    if module._qkv_same_embed_dim:
        weights = torch.chunk(float32(module.in_proj_weight), 3)
    else:
        apart = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
        weights = tuple(float32(weight) for weight in apart)
    biases: tuple[Tensor | None, ...] = (None, None, None)
    if module.in_proj_bias is not None:
        biases = torch.chunk(float32(module.in_proj_bias), 3)
    return list(zip(weights, biases, strict=True))


# -- running and watching --------------------------------------------------------------------


@dataclass
class _Watched:
    """What was seen of one attention in one run."""

    module: torch.nn.Module | None = None
    calls: list[tuple[str, torch.nn.Module, Tensor, Tensor]] = field(default_factory=list)
    arguments: Any = None
    result: Any = None


def _watch(verifier: Verifier, forward: Forward, place: Place) -> _Watched:
    """Run the model as it was recorded, and note what the modules around one attention did."""
    root = verifier.model.module
    modules = dict(root.named_modules())
    watched = _Watched(modules.get(place.name))
    if watched.module is None:
        return watched
    passes = 0

    def begin(_module: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        nonlocal passes
        passes += 1
        if passes == place.nth + 1 and isinstance(watched.module, torch.nn.MultiheadAttention):
            given = dict(zip(("query", "key", "value"), arguments, strict=False)) | dict(keywords)
            watched.arguments = given["query"], given["key"], given["value"]

    def end(_module: Any, _arguments: Any, result: Any) -> None:
        if passes == place.nth + 1 and watched.arguments is not None and watched.result is None:
            watched.result = result[0]

    def note(name: str, module: torch.nn.Module, arguments: tuple[Any, ...], result: Any) -> None:
        inner = arguments[0] if arguments else None
        if (
            passes == place.nth + 1
            and isinstance(inner, torch.Tensor)
            and isinstance(result, torch.Tensor)
            and inner.is_floating_point()
            and result.is_floating_point()
        ):
            watched.calls.append((name, module, inner.detach(), result.detach()))

    with ExitStack() as hooks:
        handle = watched.module.register_forward_pre_hook(begin, with_kwargs=True)
        hooks.callback(handle.remove)
        hooks.callback(watched.module.register_forward_hook(end).remove)
        for name, module in _around(modules, place.name, verifier.places).items():

            def hook(m: Any, arguments: Any, result: Any, name: str = name) -> None:
                note(name, m, arguments, result)

            hooks.callback(module.register_forward_hook(hook).remove)
        hooks.enter_context(verifier.way.recording(root, lambda _call: None))
        run(verifier.model, forward)
    return watched


def _around(
    modules: dict[str, torch.nn.Module], name: str, places: tuple[Place, ...]
) -> dict[str, torch.nn.Module]:
    """Return the modules without submodules in an attention and beside it.

    Beside it: the rest of its parent, unless another attention stands in there too; then only
    the parent's own.
    """
    parent, _, _ = name.rpartition(".")
    inside = "" if parent == "" else parent + "."
    crowded = any(p.name != name and p.name.startswith(inside) for p in places)
    found = {}
    for path, module in modules.items():
        if next(module.children(), None) is not None:
            continue
        own = path == name or path.startswith(name + ".") or name == ""
        near = path.startswith(inside) and (not crowded or path.rpartition(".")[0] == parent)
        if own or near:
            found[path] = module
    return found


def _own_weights(verifier: Verifier, forward: Forward, place: Place) -> Tensor | None:
    """Run the model with its own attention and return its weights, (B, H, T_q, T_k)."""
    found: list[Tensor] = []

    def note(at: Place, weights: Tensor) -> None:
        if at == place:
            found.append(weights)

    with verifier.way.watching(verifier.model.module, note):
        run(verifier.model, forward)
    return found[0] if found else None


@dataclass(frozen=True, eq=False)
class Rows:
    """Takes one text's tokens out of what a whole batch, with its padding, was computed for."""

    forward: Forward | None
    row: int
    record: LayerRecord

    def of_calls(self, calls: list[tuple[str, torch.nn.Module, Tensor, Tensor]]) -> list[Seen]:
        """Return the calls whose input and output have this text's tokens."""
        seen = []
        for name, module, inner, outer in calls:
            tokens = self.record.query.shape[1], self.record.key.shape[1]
            for n in dict.fromkeys(tokens):
                one, other = self._take(inner, n), self._take(outer, n)
                if one is not None and other is not None:
                    seen.append(Seen(name, module, one, other))
                    break
        return seen

    def of(self, tensor: Tensor, n: int) -> Tensor:
        """Return (n, E)."""
        taken = self._take(tensor, n)
        assert taken is not None, tensor.shape
        return taken

    def _take(self, tensor: Tensor, n: int) -> Tensor | None:
        n_rows = 1
        for present in self._present.values():
            n_rows = len(present)
        if tensor.ndim == 2:
            if tensor.shape[0] == n:
                return tensor
            if tensor.shape[0] % n_rows:
                return None
            tensor = tensor.reshape(n_rows, -1, tensor.shape[-1])
        if tensor.ndim not in (3, 4) or tensor.shape[0] <= self.row:
            return tensor if tensor.ndim == 3 else None
        taken = tensor[self.row]
        axis = next((a for a in range(taken.ndim - 1) if taken.shape[a] == n), None)
        if axis is not None:
            return taken
        for axis in range(taken.ndim - 1):
            kept = self._kept(taken.shape[axis], n)
            if kept is not None:
                index = torch.from_numpy(np.flatnonzero(kept)).to(taken.device)
                return taken.index_select(axis, index)
        return None

    def of_weights(self, weights: Tensor) -> np.ndarray | None:
        """Return (H, T_q, T_k) float32."""
        own: np.ndarray = weights[min(self.row, len(weights) - 1)].detach().float().cpu().numpy()
        wanted = self.record.query.shape[1], self.record.key.shape[1]
        if own.shape[0] != self.record.query.shape[0]:
            return None
        for axis, n in zip((1, 2), wanted, strict=True):
            if own.shape[axis] != n:
                kept = self._kept(own.shape[axis], n)
                if kept is None:
                    return None
                own = own.compress(kept, axis=axis)
        return own

    @property
    def _present(self) -> dict[Any, np.ndarray]:
        return {} if self.forward is None else dict(self.forward.present)

    def _kept(self, length: int, n: int) -> np.ndarray | None:
        """Return which of `length` places are the text's `n` tokens."""
        for present in self._present.values():
            extra = length - present.shape[1]
            if 0 <= extra <= 2 and int(present[self.row].sum()) + extra == n:
                return np.concatenate([present[self.row], np.ones(extra, dtype=bool)])
        return None


def whole_rows(record: LayerRecord) -> Rows:
    """Return what takes the only text there is."""
    return Rows(None, 0, record)


def _concat(record: LayerRecord) -> Tensor:
    """Return the heads' results beside each other, (T_q, H d_v), from what was recorded."""
    heads = [record.head(h) for h in range(len(record.query))]
    return torch.from_numpy(np.concatenate([h.attention @ h.value for h in heads], axis=1))


def _tensor(values: np.ndarray) -> Tensor:
    # Recorded arrays are read-only, which torch does not know; nothing here writes to them.
    return torch.from_numpy(values.copy() if not values.flags.writeable else values)


def _precision(module: torch.nn.Module | None) -> str:
    """Return the type that most of a module's weights have."""
    if module is None:
        return "float32"
    often = Counter(str(p.dtype).removeprefix("torch.") for p in module.parameters())
    return often.most_common(1)[0][0] if often else "float32"
