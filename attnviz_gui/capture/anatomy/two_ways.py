"""Compute one attention in two ways, stacked and head by head, and compare them with the model.

Both in float32 with torch, from the layer's weights and inputs; neither looks at what the other or
the model computed. Numbers: multi-head attention as in Vaswani et al. (2017), section 3.2.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from attnviz_gui.capture.anatomy.find import CLOSE_HALF, same
from attnviz_gui.capture.anatomy.record import Difference, Equality

if TYPE_CHECKING:
    from torch import Tensor

    from attnviz_gui.capture.anatomy.find import Projection
    from attnviz_gui.capture.anatomy.layer import LayerParts
    from attnviz_gui.capture.record import LayerRecord

_ENTRIES = 1 << 25  # of attention at once: 128 MB

STACKED = "stacked and head by head"
STACKED_OWN = "stacked and the model's own"
PAPER_OWN = "head by head and the model's own"


@dataclass(frozen=True, eq=False)
class Way:
    """What one way gives on its way, for all heads.

    Attributes
    ----------
    projected : tuple of (H, T, d) float32
        Query, key and value as the product gives them.
    normed : tuple of (H, T, d) float32
        After the factor and the norm, before any rotation.
    query, key, value : (H, T, d) float32
        What is multiplied.
    concat : (T_q, H d_v) float32
    output : (T_q, E) float32 or None
    """

    projected: tuple[Tensor, Tensor, Tensor]
    normed: tuple[Tensor, Tensor, Tensor]
    query: Tensor
    key: Tensor
    value: Tensor
    concat: Tensor
    output: Tensor | None


@dataclass(frozen=True, eq=False)
class TwoWays:
    """Both ways of one layer, and how far they are from each other and from the model."""

    stacked: Way
    paper: Way
    equality: Equality | None


def two_ways(parts: LayerParts) -> TwoWays:
    """Compute a layer in both ways; where its projections are not known, from q, k, v on."""
    stacked = _operands(parts, _stacked(parts))
    if parts.projections is None:
        way = _finish(parts, stacked)
        return TwoWays(way, way, None)
    paper = _operands(parts, _head_by_head(parts))
    between, to_own = _compare_weights(parts, stacked, paper)
    one, other = _finish(parts, stacked), _finish(parts, paper)
    own = None if parts.output is None else parts.output.result
    differences = [
        Difference("weights", STACKED, between),
        Difference("weights", STACKED_OWN, to_own[0]),
        Difference("weights", PAPER_OWN, to_own[1]),
        Difference("output", STACKED, _apart(one.output, other.output)),
        Difference("output", STACKED_OWN, _apart(one.output, own)),
        Difference("output", PAPER_OWN, _apart(other.output, own)),
    ]
    size = 1.0 if one.output is None else float(one.output.abs().max())
    tolerance = 1e-5 if parts.precision == "float32" else CLOSE_HALF
    return TwoWays(one, other, Equality(tuple(differences), size, tolerance, parts.precision))


def explains(parts: LayerParts) -> bool:
    """Return whether projections, norms and rotation together give the recorded q, k and v."""
    made = _operands(parts, _stacked(parts))
    close = 1e-3 if parts.precision == "float32" else 5 * CLOSE_HALF
    record = parts.record
    return all(
        mine.shape == recorded.shape and same(mine, torch.tensor(recorded), close)
        for mine, recorded in zip(made[2:], (record.query, record.key, record.value), strict=True)
    )


Heads = tuple["Tensor", "Tensor", "Tensor"]
_Operands = tuple[Heads, Heads, "Tensor", "Tensor", "Tensor"]


def _stacked(parts: LayerParts) -> Heads:
    """One product with the stacked W, then cut: as PyTorch does it."""
    if parts.projections is None:
        record = parts.record
        return torch.tensor(record.query), torch.tensor(record.key), torch.tensor(record.value)
    if parts.one_source:
        x = parts.projections[0].x
        made = x @ torch.cat([p.weight for p in parts.projections]).T  # (T, 3 E)
        columns = torch.split(made, [len(p.weight) for p in parts.projections], dim=-1)
    else:
        columns = tuple(p.x @ p.weight.T for p in parts.projections)
    heads = []
    for projection, product in zip(parts.projections, columns, strict=True):
        if projection.bias is not None:
            product = product + projection.bias
        heads.append(product.reshape(len(product), projection.n_heads, -1).permute(1, 0, 2))
    return heads[0], heads[1], heads[2]


def _head_by_head(parts: LayerParts) -> Heads:
    """A product of its own for every head: as the paper writes it."""
    assert parts.projections is not None

    def heads(projection: Projection) -> Tensor:
        made = []
        for head in range(projection.n_heads):
            weight, bias = projection.of_head(head)
            product = projection.x @ weight.T.contiguous()  # X W_i
            made.append(product if bias is None else product + bias)
        return torch.stack(made)

    q, k, v = (heads(projection) for projection in parts.projections)
    return q, k, v


def _operands(parts: LayerParts, projected: Heads) -> _Operands:
    """Return projected, normed, and what is multiplied: scaled, normed, rotated, lengthened."""
    record = parts.record
    if parts.projections is None:
        return projected, projected, *projected
    made = []
    for heads, projection in zip(projected, parts.projections, strict=True):
        done = heads if projection.norm is None else projection.norm(heads)
        made.append(done if projection.factor == 1 else done * projection.factor)
    normed = made[0], made[1], made[2]
    query, key, value = normed
    if parts.rotation is not None:
        query, key = parts.rotation.turn(query, "query"), parts.rotation.turn(key, "key")
    elif parts.rotated:
        query, key = torch.tensor(record.query), torch.tensor(record.key)
    # Keys that no token stands behind are the layer's own.
    key = torch.cat([key, torch.tensor(record.key[:, key.shape[1] :])], dim=1)
    value = torch.cat([value, torch.tensor(record.value[:, value.shape[1] :])], dim=1)
    return projected, normed, query, key, value


def _finish(parts: LayerParts, operands: _Operands) -> Way:
    """Attend, concatenate, and project what comes out."""
    projected, normed, query, key, value = operands
    made = []
    for chunk in _chunks(parts.record):
        weights = attention(parts.record, query, key, chunk)
        made.append(weights @ value[_group(parts.record, chunk)])
    concat = torch.cat(made).permute(1, 0, 2).flatten(1)
    output = None
    if parts.output is not None:
        output = concat @ parts.output.weight.T
        if parts.output.bias is not None:
            output = output + parts.output.bias
    return Way(projected, normed, query, key, value, concat, output)


def logits(record: LayerRecord, query: Tensor, key: Tensor, heads: Tensor) -> Tensor:
    """Return what the softmax is taken of, (heads, T_q, T_k); minus infinity where masked."""
    made = query[heads] @ key[_group(record, heads)].mT * record.scaling
    if record.softcap is not None:
        made = torch.tanh(made / record.softcap) * record.softcap
    if record.bias is not None:
        made = made + _of_heads(record.bias, heads)
    return made.masked_fill(~_of_heads(record.mask, heads), -torch.inf)


def attention(record: LayerRecord, query: Tensor, key: Tensor, heads: Tensor) -> Tensor:
    """Return the attention of some heads, (heads, T_q, T_k); a row without a key is all zero."""
    made = logits(record, query, key, heads)
    if record.sink is None:
        return made.softmax(-1).nan_to_num(0.0)
    sink = torch.tensor(record.sink)[heads][:, None, None].expand(-1, made.shape[1], 1)
    return torch.cat([made, sink], dim=-1).softmax(-1)[..., :-1]


def _of_heads(values: object, heads: Tensor) -> Tensor:
    tensor = torch.tensor(values)
    return tensor if tensor.ndim == 2 else tensor[heads]


def _group(record: LayerRecord, heads: Tensor) -> Tensor:
    """Return which key head serves each of these query heads."""
    return heads * len(record.key) // len(record.query)


def _chunks(record: LayerRecord) -> tuple[Tensor, ...]:
    n_heads, n_queries, _ = record.query.shape
    few = max(_ENTRIES // max(n_queries * record.key.shape[1], 1), 1)
    return torch.split(torch.arange(n_heads), few)


def _compare_weights(
    parts: LayerParts, stacked: _Operands, paper: _Operands
) -> tuple[float, tuple[float | None, float | None]]:
    """Return the largest differences of attention: of both ways, and of each from the model's."""
    record = parts.record
    between = 0.0
    to_own: dict[Literal[0, 1], float | None] = {0: None, 1: None}
    for chunk in _chunks(record):
        one = attention(record, stacked[2], stacked[3], chunk)
        # The second way takes one head at a time.
        other = torch.cat(
            [attention(record, paper[2], paper[3], head) for head in torch.split(chunk, 1)]
        )
        between = max(between, float((one - other).abs().max()))
        if parts.weights is None:
            continue
        own = torch.from_numpy(parts.weights)[chunk]
        # A row in which nothing is allowed has no weights of its own.
        allowed = _of_heads(record.mask, chunk).any(-1, keepdim=True)
        for index, mine in ((0, one), (1, other)):
            apart = float(((mine - own).abs() * allowed).nan_to_num(0.0).max())
            to_own[index] = max(to_own[index] or 0.0, apart)  # type: ignore[index]
    return between, (to_own[0], to_own[1])


def _apart(one: Tensor | None, other: Tensor | None) -> float | None:
    if one is None or other is None or one.shape != other.shape:
        return None
    return float((one - other).abs().max())
