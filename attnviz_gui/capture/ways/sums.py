"""What was added to a product of queries and keys, put together from the tensors that were added.

A model adds the same mask, and often the same bias, in every layer. What the run was seen to add is
put together once, for all layers that add it; each layer only has some rows of its logits compared
with what it says. Where something was done to the logits that was not followed, or where the rows
differ, there is no sum, and the logits themselves must tell (`explain`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from attnviz_gui.capture.call import Positions
from attnviz_gui.capture.ways.layout import move
from attnviz_gui.capture.ways.windows import _FORBIDDEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnviz_gui.capture.ways.layout import Layout
    from attnviz_gui.capture.ways.trace import Origin, Part, Product

# What is further down than this may not be seen, if no attention falls to it: models take 1e4 or
# 1e6 off a logit for that.
FAR_DOWN = -5e3

# No attention falls to what is so much below another logit of its row, not in float32.
_NOTHING = 110.0

# Rounding of a product, in units of its type's and of what its sums are made of.
ROUNDING = 4

# Rows of each head that are compared.
_ROWS = 4
# Keys of a row that are, at least, where each pair has products of its own.
_COLUMNS = 64

# How many sums are remembered: a model's layers may take turns with a few.
_KEPT = 4


@dataclass(eq=False)
class Sum:
    """What was added to a product, for all layers that add the same.

    Attributes
    ----------
    mask : (O, T_q, T_k) bool or None
    bias : (O, T_q, T_k) float32 or None
        Zero where the mask forbids.
    gap
        How far what is forbidden lies below something else of its row, at least; infinite where it
        is forbidden whatever stands there.

    Memory of heads that share their numbers is shared, where the axes allow it.
    """

    mask: torch.Tensor | None
    bias: torch.Tensor | None
    gap: float


class Sums:
    """The sums of a run."""

    def __init__(self) -> None:
        # The tensors are kept with them, so that no memory is given to another one.
        self._kept: list[tuple[tuple[Part, ...], tuple[object, ...], Sum]] = []
        self._indices: list[torch.Tensor] = []

    def of(
        self, origin: Origin, found: Layout, entries: torch.Tensor,
        query: torch.Tensor, key: torch.Tensor, scaling: float, softcap: float | None,
    ) -> tuple[Sum, tuple[Positions, ...]] | None:  # fmt: skip
        """Return what was added to a product before a softmax; None where that is not known.

        Parameters
        ----------
        origin, found
            Where `entries`, what the softmax was taken of, come from.
        query, key, scaling, softcap
            What the product was explained by; (O, T, d).
        """
        parts = origin.parts
        if parts is None or not all(part.intact() for part in parts):
            return None
        positions: list[Positions] = []
        dense = []
        level: torch.Tensor | None = None
        for part in parts:
            terms = self._positions(part, origin, found)
            positions += terms
            same = None if terms else _level(part, origin, found)
            if same is not None:
                level = same if level is None else level + same
            elif not terms:
                dense.append(part)
        parts = tuple(dense)
        moved = tuple((p.fill, p.factor, p.shape, origin.chain[len(p.chain) :]) for p in parts)
        how = (*moved, found.order, found.others, entries.dtype)
        known = next((k for k in self._kept if k[1] == how and _all_alike(k[0], parts)), None)
        if known is None:
            made = _sum(parts, origin, found, entries)
            if made is None:
                return None
            known = parts, how, made
            self._kept = [known, *self._kept[: _KEPT - 1]]
        total = known[2]
        if positions and (total.gap < torch.inf or softcap is not None):
            return None
        logits = found.arrange(entries)
        holds = _holds(total, logits, query, key, scaling, softcap, positions, level)
        return (total, tuple(positions)) if holds else None

    def _positions(self, part: Part, origin: Origin, found: Layout) -> list[Positions]:
        """Return a part as products with tables; nothing where it is not, or where these are large.

        They are of the layer's own queries and keys, so that only the tables are held on to.
        """
        product, terms = origin.product, []
        assert product is not None
        in_order = found.order == tuple(range(len(found.order))) and not found.swapped
        after = origin.chain[len(part.chain) :]
        kept = all(
            (step[0] is torch.reshape and step[1][0][-2:] == part.shape[-2:])
            or (step[0] is torch.Tensor.expand and step[1][0] == part.shape)
            for step in after
        )  # fmt: skip
        if part.fill is not None or not in_order or not kept:
            return []
        sides = (product.first, product.second.transpose(1, 2))
        bases = (product.bases[0], None if product.bases[1] is None else product.bases[1].mT)
        for gathered in part.gathered:
            vectors, table = gathered.product.first, gathered.product.second.transpose(1, 2)
            side = "key" if gathered.turned else "query"
            raw, base = sides[gathered.turned], bases[gathered.turned]
            number = product.numbers[gathered.turned]
            scaling = part.factor * gathered.scale / gathered.product.factor
            scaling *= _alpha(gathered.product)
            if _same_memory(vectors, raw):
                scaling *= number
            elif base is None or not _same_memory(vectors, base):
                return []
            index = gathered.index.mT if gathered.turned else gathered.index
            if index.shape != part.shape[-2:] or index.numel() <= table[0].numel():
                return []
            terms.append(Positions(side, table, self._index(index), scaling))
        return terms

    def _index(self, index: torch.Tensor) -> torch.Tensor:
        """Return an index, the same tensor for the same numbers."""
        for known in self._indices:
            if known.shape == index.shape and torch.equal(known, index):
                return known
        self._indices.append(index.clone())
        return self._indices[-1]


def _alpha(product: Product) -> float:
    """Return the product's own factor, without those of its operands."""
    return product.factor / (product.numbers[0] * product.numbers[1])


def _same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (one.data_ptr(), one.shape, one.stride(), one.dtype) == (
        other.data_ptr(), other.shape, other.stride(), other.dtype,
    )  # fmt: skip


def _all_alike(kept: tuple[Part, ...], parts: tuple[Part, ...]) -> bool:
    return all(_alike(a, b) for a, b in zip(kept, parts, strict=True))


def _alike(kept: Part, part: Part) -> bool:
    """Return whether two parts have the same numbers."""
    one, other = kept.tensor, part.tensor
    if not kept.intact() or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.data_ptr() == other.data_ptr() and one.stride() == other.stride():
        return True
    return torch.equal(one, other)  # made anew in each layer


def _sum(
    parts: tuple[Part, ...], origin: Origin, found: Layout, entries: torch.Tensor
) -> Sum | None:
    """Return the sum of parts; None where it is not clear what may not be seen."""
    added: torch.Tensor | None = None
    own = False  # whether `added` is memory of our own, to be written to
    for part in parts:
        tensor = _arranged(part, origin, found)
        if tensor is None:
            return None
        one = _one_head(tensor)
        tensor = tensor if one is None else one  # a mask: a matrix, not one for each head
        if part.fill is None:
            plain = part.factor == 1
            tensor = tensor.float() if plain else tensor.float() * part.factor
            if added is None:
                added, own = tensor, not plain
            elif own and len(added) >= len(tensor):
                added += tensor
            else:
                added, own = added + tensor, True
        elif part.fill > FAR_DOWN:
            return None
        else:
            nothing = torch.zeros((), device=tensor.device) if added is None else added
            added, own = torch.where(tensor, part.fill, nothing), True
    if added is None:
        return Sum(None, None, torch.inf)
    one = _one_head(added)
    added = one if one is not None else added
    mask: torch.Tensor | None = None
    bias: torch.Tensor | None = added
    gap = torch.inf
    if float(added.min()) < FAR_DOWN:
        mask = added >= FAR_DOWN
        bias = added.masked_fill(~mask, 0)
        gap = _gap(added, mask, bias, entries.dtype)
    if bias is not None and not bool(bias.any()):
        bias = None
    shape = (len(found.query_rows), *found.arrange(entries).shape[1:])
    return Sum(
        None if mask is None else mask.expand(shape), None if bias is None else bias.expand(shape),
        gap,
    )  # fmt: skip


def _arranged(part: Part, origin: Origin, found: Layout) -> torch.Tensor | None:
    """Return a part's tensor as the logits are, (O, T_q, T_k); None where it can't be moved so."""
    try:
        tensor = move(part.tensor.expand(part.shape), origin.chain[len(part.chain) :])
    except RuntimeError:
        return None
    return found.arrange(tensor)


def _level(part: Part, origin: Origin, found: Layout) -> torch.Tensor | None:
    """Return (O, T_q, 1) of what is added to whole rows of the logits; None where it is not that.

    A softmax does not change by it. As a rule it is each row's largest logit, taken off so that the
    exponentials stay small.
    """
    if part.fill is not None:
        return None
    tensor = _arranged(part, origin, found)
    if tensor is None or tensor.shape[2] == 1 or tensor.stride(2) != 0:
        return None
    level: torch.Tensor = tensor[:, :, :1].float() * part.factor
    # So far down there is no room for differences: that is a mask, and evens the row out.
    return level if not level.numel() or float(level.abs().max()) < -FAR_DOWN else None


def _one_head(added: torch.Tensor) -> torch.Tensor | None:
    """Return (1, T_q, T_k) of what is the same for all heads and the batch, None otherwise."""
    if added.ndim == 3 and (added.stride(0) == 0 or len(added) == 1):
        return added[:1]
    return None


def _gap(added: torch.Tensor, mask: torch.Tensor, bias: torch.Tensor, dtype: torch.dtype) -> float:
    """Return how far what is forbidden lies below what is allowed in its row."""
    floor = max(_FORBIDDEN, torch.finfo(dtype).min / 2)
    some = mask.any(-1, keepdim=True)
    highest = bias.masked_fill(~mask, -torch.inf).amax(-1, keepdim=True)
    below = torch.where(some, highest - added, 0.0)  # nothing is allowed: not clear
    below = below.masked_fill(mask | (added <= floor), torch.inf)
    return float(below.min())


def _length(vectors: torch.Tensor) -> torch.Tensor:
    """Return lengths (O, n, 1) of vectors (O, n, d)."""
    lengths: torch.Tensor = torch.linalg.vector_norm(
        vectors, dim=-1, keepdim=True, dtype=torch.float32
    )
    return lengths


def _holds(
    total: Sum, logits: torch.Tensor, query: torch.Tensor, key: torch.Tensor, scaling: float,
    softcap: float | None, positions: Sequence[Positions], level: torch.Tensor | None,
) -> bool:  # fmt: skip
    """Return whether some rows of the logits are what they are said to be."""
    n, n_keys = logits.shape[1:]
    rows = torch.linspace(0, n - 1, min(n, _ROWS), device=logits.device).long()
    # Products with tables are computed for each pair, so that some keys of a row have to do.
    columns = slice(None, None, max(n_keys // _COLUMNS, 1) if positions else 1)
    key, logits = key[:, columns], logits[:, :, columns]
    queries, keys = query[:, rows].float(), key.float().transpose(1, 2)
    expected = torch.bmm(queries, keys).mul_(scaling)
    # What the rounding of the product can be at most, after Cauchy and Schwarz.
    lengths = _length(queries), _length(key)[:, None, :, 0]
    size = lengths[0] * lengths[1] * abs(scaling)
    if total.gap < torch.inf:
        most = abs(scaling) * float(_length(query).max()) * float(lengths[1].max())
        moved = 0.0 if level is None else float(level.abs().max())
        if (
            total.gap - 2 * (most if softcap is None else min(most, abs(softcap))) - moved
            < _NOTHING
        ):
            return False
    if softcap is not None:
        expected = expected.div_(softcap).tanh_().mul_(softcap)
    if total.bias is not None:
        bias = total.bias[:, rows, columns]
        expected += bias
        size += bias.abs()
    if level is not None:
        expected += level[:, rows]
        size += level[:, rows].abs()
    for term in positions:
        table, index = term.table.float(), term.rows[rows, columns]
        if term.side == "query":
            place = index.expand(len(table), *index.shape)
            expected += torch.bmm(queries * term.scaling, table.mT).gather(2, place)
            of_table = (lengths[0] * abs(term.scaling)) * _length(table)[:, None, :, 0]
            size += of_table.gather(2, place)
            continue
        for row, of_row in enumerate(index):
            near = table.index_select(1, of_row)
            size[:, row] += _length(near)[:, :, 0] * lengths[1][:, 0] * abs(term.scaling)
            expected[:, row] += near.mul_(keys.mT).sum(-1).mul_(term.scaling)
    coarse = max((query.dtype, key.dtype, logits.dtype), key=lambda kind: torch.finfo(kind).eps)
    off = (expected - logits[:, rows].float()).abs_()
    right = off <= ROUNDING * torch.finfo(coarse).eps * size.clamp_(min=1.0)
    if total.mask is not None:
        low = logits[:, rows] < FAR_DOWN / 2
        right = torch.where(total.mask[:, rows, columns], right, low)
    return bool(right.all())
