"""What a model adds to its product of queries and keys before the softmax, told apart.

Where the run was seen to add tensors, and nothing else was done, these are what is added (`sums`).
Otherwise the numbers decide: what the softmax was taken of, minus the scaled product, is what was
added, however the model came to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from attnviz_gui.capture.ways.layout import move
from attnviz_gui.capture.ways.sums import FAR_DOWN, ROUNDING
from attnviz_gui.capture.ways.windows import _FORBIDDEN

if TYPE_CHECKING:
    from attnviz_gui.capture.call import Positions
    from attnviz_gui.capture.ways.heads import Split
    from attnviz_gui.capture.ways.layout import Layout
    from attnviz_gui.capture.ways.sums import Sum, Sums
    from attnviz_gui.capture.ways.trace import Origin

# More than any rounding.
_LARGE = 0.1


@dataclass(eq=False)
class Explained:
    """An attention before its heads are told from its batch.

    Attributes
    ----------
    query : (O, T_q, d)
    key : (O, T_k, d)
    scaling, softcap
        As `Call` has them.
    mask : (O, T_q, T_k) bool or None
    bias : (O, T_q, T_k) float32 or None
    noise
        How far the bias is known.
    total
        What mask and bias are of, where other layers may have the same.
    positions
        What is added to the bias, as `Call` has them; with tables (O, S, d).

    An attention in one operation has (B, H) for O already.
    """

    query: torch.Tensor
    key: torch.Tensor
    scaling: float
    softcap: float | None = None
    mask: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    noise: float = 0.0
    total: Sum | None = None
    positions: tuple[Positions, ...] = ()

    @classmethod
    def of_fused(cls, arguments: dict[str, Any]) -> Explained:
        """Read the arguments of an attention in one operation; (B, H, T, d) each."""
        query, key = arguments["query"], arguments["key"]
        scale = arguments.get("scale")
        mask = _fused_mask(arguments)
        return cls(
            query, key, query.shape[-1] ** -0.5 if scale is None else float(scale), mask=mask
        )


def _fused_mask(arguments: dict[str, Any]) -> torch.Tensor | None:
    query, key = arguments["query"], arguments["key"]
    if arguments.get("is_causal"):
        return torch.ones(
            query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device
        ).tril()
    for name in ("attn_mask", "attn_bias"):
        mask = arguments.get(name)
        if isinstance(mask, torch.Tensor):
            return mask
    return None


def own_weights(arguments: dict[str, Any]) -> torch.Tensor:
    """Return the weights that an attention in one operation computes inside, (B, H, T_q, T_k)."""
    query, key = arguments["query"], arguments["key"]
    ones = torch.eye(key.shape[-2], dtype=query.dtype, device=query.device)
    mask = _fused_mask(arguments)
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, ones.expand(*key.shape[:-2], -1, -1), attn_mask=mask,
        scale=arguments.get("scale"), enable_gqa=key.shape[1] != query.shape[1],
    )  # fmt: skip


def explain(
    origin: Origin, found: Layout, entries: torch.Tensor, result: torch.Tensor, sums: Sums
) -> Explained:
    """Explain what a softmax was taken of.

    Parameters
    ----------
    origin, found
        Where `entries` come from.
    entries, result
        What the softmax was taken of, and what it gave.
    sums
        Those of the run.
    """
    assert origin.product is not None
    query, key = found.operands(*origin.product.plain())
    query, key = _with_factors(origin, found, query, key)
    scaling, softcap = origin.scale, None
    if origin.inner is not None:
        scaling, softcap = origin.inner * origin.scale, origin.scale
    known = sums.of(origin, found, entries, query, key, scaling, softcap)
    if known is not None:
        total, positions = known
        mask, bias = total.mask, total.bias
        return Explained(query, key, scaling, softcap, mask, bias, total=total, positions=positions)
    logits = found.arrange(entries)
    added = _added(logits, query, key, scaling, softcap)
    coarse = max((query.dtype, key.dtype, logits.dtype), key=lambda kind: torch.finfo(kind).eps)
    size = abs(scaling) * float(query.float().norm(dim=-1).max() * key.float().norm(dim=-1).max())
    unit = ROUNDING * torch.finfo(coarse).eps
    mask = None
    if float(added.min()) < FAR_DOWN:
        floor = max(_FORBIDDEN, torch.finfo(logits.dtype).min / 2)
        mask = added >= FAR_DOWN
        mask |= (logits > floor) & (found.arrange(result) > 0)
        added.masked_fill_(~mask, 0)
    low, high = (float(end) for end in torch.aminmax(added))
    largest = max(high, -low)
    bias = added if largest > unit * max(size, 1.0) else None
    noise = unit * max(size, largest, 1.0)
    return Explained(query, key, scaling, softcap, mask, bias, noise)


def _added(
    logits: torch.Tensor, query: torch.Tensor, key: torch.Tensor, scaling: float,
    softcap: float | None,
) -> torch.Tensor:  # fmt: skip
    """Return what is left of the logits without the scaled, capped product, (O, T_q, T_k)."""
    keys = key.float().transpose(1, 2)
    if softcap is None:
        return torch.baddbmm(logits.float(), query.float(), keys, alpha=-scaling)
    product = torch.bmm(query.float(), keys).mul_(scaling / softcap).tanh_().mul_(softcap)
    return torch.sub(logits.float(), product, out=product)


def _with_factors(
    origin: Origin, found: Layout, query: torch.Tensor, key: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multiply into query and key what the product was multiplied by for each head or token."""
    for factor, chain, shape in origin.factors:
        if origin.inner is not None:
            break
        whole = move(factor.expand(shape), origin.chain[len(chain) :])
        whole = found.arrange(whole)
        if bool((whole == whole[:, :, :1]).all()):
            query = query * whole[:, :, :1]
        elif bool((whole == whole[:, :1]).all()):
            key = key * whole[:, :1].transpose(1, 2)
    return query, key


class Shared:
    """Gives layers that have the same mask or bias the same tensor."""

    def __init__(self) -> None:
        self._mask: torch.Tensor | None = None
        self._bias: torch.Tensor | None = None
        self._done: dict[object, tuple[Sum, torch.Tensor | None, torch.Tensor | None]] = {}

    def added(
        self, found: Explained, split: Split
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return an attention's mask and bias, each broadcasting to (B, H, T_q, T_k)."""
        total, how = found.total, (id(found.total), split.sizes, split.order, split.heads)
        if total is not None and how in self._done:
            return self._done[how][1:]
        mask = None if found.mask is None else self.mask(split.unfold(found.mask))
        bias = None if found.bias is None else self.bias(split.unfold(found.bias), found.noise)
        if total is not None:
            self._done[how] = total, mask, bias
        return mask, bias

    def mask(self, mask: torch.Tensor | None) -> torch.Tensor | None:
        """Return a mask (B, H, T_q, T_k) once for all heads if they share it."""
        if mask is None:
            return None
        if bool((mask == mask[:, :1]).all()):
            mask = mask[:, :1]
        if self._mask is not None and torch.equal(self._mask, mask):
            return self._mask
        self._mask = mask.clone()
        return self._mask

    def bias(self, bias: torch.Tensor | None, noise: float) -> torch.Tensor | None:
        """Return a bias (B, H, T_q, T_k) once for all heads if they share it, up to noise."""
        if bias is None:
            return None
        if _apart(bias, bias[:, :1]) <= noise:
            bias = bias[:, :1].clone()
        before = self._bias
        if before is None or before.shape != bias.shape or _apart(before, bias) > noise:
            self._bias = bias
        return self._bias


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference; of the first query alone where that is large already."""
    first = float((one[:, :, :1] - other[:, :, :1]).abs().max())
    if first > _LARGE:
        return first
    low, high = torch.aminmax(one - other)
    return max(float(high), -float(low))
