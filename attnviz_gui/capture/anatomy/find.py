"""Find a layer's weights by what they compute: which product gave q, k, v, which took the heads.

Names of modules prove nothing; every find is checked on the numbers of a run. Runs no model.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

# Largest difference, as a share of the largest entry, up to which two results are the same.
CLOSE = 1e-4
CLOSE_HALF = 2e-2

Form = Literal["thd", "htd", "flat"]


class Seen(NamedTuple):
    """One call of a module without submodules: what went in and what came out, one text's rows.

    ``inner`` and ``outer`` are (T, ...) or (H, T, d), on the model's device, in its precision.
    """

    name: str
    module: torch.nn.Module
    inner: Tensor
    outer: Tensor


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalisation between a projection and the heads: a copy of the module, in float32."""

    name: str
    module: torch.nn.Module
    form: Form

    def __call__(self, heads: Tensor) -> Tensor:
        """Normalise all heads, (H, T, d)."""
        with torch.no_grad():
            return _as_heads(self.module(_as_form(heads, self.form)), self.form, heads.shape)


@dataclass(frozen=True, eq=False)
class Projection:
    """What turns rows of X into the vectors of all heads: ``factor · (x Wᵀ + b)``, then a norm.

    Attributes
    ----------
    x : (T, E) float32
    weight : (H d, E) float32
        Head after head.
    bias : (H d,) float32 or None
    module
        Path of the module, and which rows of its product these are.
    stride
        Rows of the module's product: more than H d where it computes others as well.
    transposed
        True where the module keeps its weight as (E, H d).
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    n_heads: int
    name: str
    stride: int
    factor: float = 1.0
    norm: Norm | None = None
    transposed: bool = False

    @property
    def head_dim(self) -> int:
        """Length of a head's vectors."""
        return int(self.weight.shape[0]) // self.n_heads

    def of_head(self, head: int) -> tuple[Tensor, Tensor | None]:
        """Return a head's own weight (d, E) and bias (d,)."""
        rows = slice(head * self.head_dim, (head + 1) * self.head_dim)
        return self.weight[rows], None if self.bias is None else self.bias[rows]


@dataclass(frozen=True, eq=False)
class Output:
    """What turns the concatenated heads into the output: ``concat Wᵀ + b``.

    Attributes
    ----------
    weight : (E, H d) float32
    bias : (E,) float32 or None
    result : (T, E) float32
        What the model itself computed.
    """

    weight: Tensor
    bias: Tensor | None
    name: str
    result: Tensor


@dataclass(frozen=True, eq=False)
class Rotation:
    """A rotary embedding: coordinates in pairs, each turned by an angle of its position.

    Attributes
    ----------
    layout
        ``half``: coordinate j goes with j + size/2; ``pairs``: 2j with 2j + 1.
    size
        How many coordinates are turned, from the first on.
    query, key : (T, size / 2) complex64
        What a pair, written as a complex number, is multiplied by.
    """

    layout: Literal["half", "pairs"]
    size: int
    query: Tensor
    key: Tensor

    def turn(self, heads: Tensor, which: Literal["query", "key"]) -> Tensor:
        """Turn (..., T, d)."""
        by = self.query if which == "query" else self.key
        turned = _complex(heads, self.layout, self.size) * by
        return torch.cat([_real(turned, self.layout), heads[..., self.size :]], dim=-1)


def linear(
    module: torch.nn.Module, inner: Tensor, outer: Tensor
) -> tuple[Tensor, Tensor | None, bool] | None:
    """Return weight (N, E), bias (or None) and whether it is kept as (E, N); None if not linear.

    As float32 on the CPU; ``Conv1D`` of transformers keeps its weight transposed, as (E, N).
    """
    weight = getattr(module, "weight", None)
    bias = getattr(module, "bias", None)
    if not isinstance(weight, torch.Tensor) or weight.ndim != 2 or not weight.is_floating_point():
        return None
    size = int(outer.shape[-1]), int(inner.shape[-1])
    weight = float32(weight)
    bias = float32(bias) if isinstance(bias, torch.Tensor) else None
    x, y = float32(inner), float32(outer)
    for transposed, candidate in enumerate((weight, weight.T)):
        if tuple(candidate.shape) == size:
            made = x @ candidate.T if bias is None else x @ candidate.T + bias
            if made.shape == y.shape and same(made, y, close_of(inner)):
                return candidate, bias, bool(transposed)
    return None


def find_projection(target: Tensor, seen: Sequence[Seen]) -> Projection | None:
    """Return what gave the vectors of all heads, (H, T, d), perhaps through a norm; else None."""
    found = _find_blocks(target, seen)
    if found is not None:
        return found
    for call in seen:
        form = _form(call.outer, target)
        if form is None or call.inner.shape != call.outer.shape:
            continue
        before = _find_blocks(_as_heads(float32(call.inner), form, target.shape), seen)
        if before is None or before.factor != 1:
            continue
        module = copy.deepcopy(call.module).to("cpu", torch.float32).eval()
        norm = Norm(call.name, module, form)
        heads = _project(before)
        if same(norm(heads), target, close_of(call.outer)):
            return replace(before, norm=norm)
    return None


def _find_blocks(target: Tensor, seen: Sequence[Seen]) -> Projection | None:
    """Find each head among the stretches of d columns that linear modules gave.

    This covers heads one after the other, three matrices in one, and their mixtures: q, k, v of
    each head or group of heads side by side.
    """
    n_heads, n_tokens, width = target.shape
    wanted = target.reshape(n_heads, -1)
    sizes = wanted.norm(dim=1)
    if not bool((sizes > 0).all()):
        return None
    for call in seen:
        n = call.outer.shape[-1]
        if call.outer.ndim != 2 or call.outer.shape[0] != n_tokens or n % width or n < width:
            continue
        if getattr(call.module, "weight", None) is None or call.inner.ndim != 2:
            continue
        y = float32(call.outer)
        blocks = y.reshape(n_tokens, -1, width).permute(1, 0, 2).reshape(-1, n_tokens * width)
        cosines = (wanted / sizes[:, None]) @ torch.nn.functional.normalize(blocks, dim=1).T
        best = cosines.argmax(dim=1)
        close = close_of(call.outer)
        if bool((cosines.amax(dim=1) < 1 - 10 * close).any()):
            continue
        chosen = blocks[best]
        factors = (wanted * chosen).sum(1) / (chosen * chosen).sum(1)
        factor = float(factors.mean())
        factor = 1.0 if abs(factor - 1) < close else factor
        if not same(chosen * factor, wanted, close):
            continue
        weights = linear(call.module, call.inner, call.outer)
        if weights is None:
            continue
        rows = (best[:, None] * width + torch.arange(width)).reshape(-1)
        whole = rows.numel() == n and bool((rows == torch.arange(n)).all())
        weight, bias, transposed = weights
        return Projection(
            float32(call.inner),
            weight if whole else weight[rows],
            bias if bias is None or whole else bias[rows],
            n_heads,
            call.name,
            n,
            factor,
            transposed=transposed,
        )
    return None


def find_output(concat: Tensor, seen: Sequence[Seen]) -> Output | None:
    """Return the linear module that was handed the concatenated heads, (T, H d); else None."""
    for call in seen:
        if call.inner.shape != concat.shape or call.outer.ndim != 2:
            continue
        if not same(float32(call.inner), concat, max(close_of(call.inner), 1e-3)):
            continue
        weights = linear(call.module, call.inner, call.outer)
        if weights is not None:
            return Output(weights[0], weights[1], call.name, float32(call.outer))
    return None


def find_rotation(
    before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor], close: float
) -> Rotation | None:
    """Return the rotation that leads from unrotated (query, key) to rotated ones; else None."""
    width = before[0].shape[-1]
    moved = torch.zeros(width, dtype=torch.bool)
    for one, other in zip(before, after, strict=True):
        moved |= ((one - other).abs() > 0).reshape(-1, width).any(0)
    last = int(moved.nonzero().max()) + 1 if bool(moved.any()) else 2
    for size in dict.fromkeys((width, last + last % 2, width // 2, width // 4)):
        if size < 2 or size % 2 or size > width:
            continue
        for layout in ("half", "pairs"):
            rotation = _fit_rotation(before, after, layout, size)
            if all(
                same(rotation.turn(one, which), other, close)  # type: ignore[arg-type]
                for one, other, which in zip(before, after, ("query", "key"), strict=True)
            ):
                return rotation
    return None


def _fit_rotation(
    before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor],
    layout: Literal["half", "pairs"], size: int,
) -> Rotation:  # fmt: skip
    angles = []
    for one, other in zip(before, after, strict=True):
        z, w = _complex(one, layout, size), _complex(other, layout, size)
        energy = (z.abs() ** 2).sum(0).clamp_min(1e-30)
        angles.append((w * z.conj()).sum(0) / energy)
    return Rotation(layout, size, angles[0], angles[1])


def _complex(heads: Tensor, layout: str, size: int) -> Tensor:
    part = heads[..., :size]
    if layout == "half":
        return torch.complex(
            part[..., : size // 2].contiguous(), part[..., size // 2 :].contiguous()
        )
    return torch.complex(part[..., 0::2].contiguous(), part[..., 1::2].contiguous())


def _real(turned: Tensor, layout: str) -> Tensor:
    if layout == "half":
        return torch.cat([turned.real, turned.imag], dim=-1)
    return torch.stack([turned.real, turned.imag], dim=-1).flatten(-2)


def _project(projection: Projection) -> Tensor:
    """Return the heads as the projection alone gives them, (H, T, d)."""
    made = projection.x @ projection.weight.T
    if projection.bias is not None:
        made = made + projection.bias
    return made.reshape(len(made), projection.n_heads, -1).permute(1, 0, 2)


def _form(outer: Tensor, target: Tensor) -> Form | None:
    """Return in which order of axes a module's output is the target, (H, T, d)."""
    h, t, d = target.shape
    shapes: Iterable[tuple[Form, tuple[int, ...]]] = (
        ("thd", (t, h, d)), ("htd", (h, t, d)), ("flat", (t, h * d)),
    )  # fmt: skip
    for form, shape in shapes:
        if tuple(outer.shape) == shape and same(
            _as_heads(float32(outer), form, target.shape), target, close_of(outer)
        ):
            return form
    return None


def _as_heads(values: Tensor, form: Form, shape: Sequence[int]) -> Tensor:
    h, t, d = shape
    if form == "htd":
        return values
    return values.reshape(t, h, d).permute(1, 0, 2)


def _as_form(heads: Tensor, form: Form) -> Tensor:
    if form == "htd":
        return heads
    turned = heads.permute(1, 0, 2)
    return turned.reshape(len(turned), -1) if form == "flat" else turned


def float32(tensor: Tensor) -> Tensor:
    """Return a tensor detached, on the CPU, in float32; the same memory where it can be."""
    return tensor.detach().to("cpu", torch.float32)


def close_of(tensor: Tensor) -> float:
    """Return up to which difference results of this precision are the same."""
    return CLOSE if torch.finfo(tensor.dtype).bits >= 32 else CLOSE_HALF


def same(one: Tensor, other: Tensor, close: float) -> bool:
    """Return whether two tensors differ by rounding only."""
    size = float(other.abs().max()) if other.numel() else 0.0
    return bool(((one - other).abs().max() if other.numel() else 0.0) <= close * max(size, 1e-12))
