"""Names for the tokens of an image: the row and column of each patch. Says nothing of the picture.

What a family's config does not say, and the number of tokens does not settle, stays a number: a
patch with another patch's name would be worse.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import numpy.typing as npt

    from attnviz_gui.capture.call import Call
    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.models import LoadedModel

# More tokens than these before the patches are not theirs alone.
_MOST_BEFORE = 16

# By how much the later stages of a pyramid, or the keys of one, are coarser than the first patches.
_COARSER = (1, 2, 4, 8, 16, 32, 64)

# Families whose tokens stand in an order of their own.
_OTHER_ORDER = ("hiera",)

PADDING = "[PAD]"


class Patches(NamedTuple):
    """The patches of one image, or of a film.

    Attributes
    ----------
    rows, columns
        Of one picture.
    frames
        Number of pictures, or of the short films that each patch of a film spans.
    before : tuple of str
        Names that are known of what stands before the patches.
    after : tuple of str or None
        Names of what stands after them; None where it is padding, however much.
    pyramid
        True where later stages are coarser.
    window
        Side of the windows that the picture is filled up to whole numbers of; 1 without.
    """

    rows: int
    columns: int
    frames: int = 1
    before: tuple[str, ...] = ()
    after: tuple[str, ...] | None = ()
    pyramid: bool = False
    window: int = 1

    def names(self, n: int) -> tuple[str, ...]:
        """Return names for `n` tokens in the order of rows, empty where they are no patches."""
        patches = self._patches()
        after = self.after
        if after is None:
            after = (PADDING,) * max(n - len(patches), 0)
        before = n - len(patches) - len(after)
        if 0 <= before <= _MOST_BEFORE:
            return (*self._before(before), *patches, *after)
        if not self.pyramid:
            return ()
        for rows, columns in self._stages():
            if rows * columns == n:
                return _grid(rows, columns)
            if rows * columns == n - 1:
                return ("[CLS]", *_grid(rows, columns))
            high, wide = _filled(rows, self.window), _filled(columns, self.window)
            if high * wide == n:
                return tuple(
                    _name(row, column, (rows, columns))
                    for row, column in product(range(high), range(wide))
                )
        return ()

    def in_windows(self, windows: int, n: int, shift: int = 0) -> tuple[str, ...]:
        """Return names for `n` tokens that stand window by window, empty where they are none.

        Parameters
        ----------
        windows
            How many; they stand row by row, as do the tokens in each.
        shift
            By how many patches the picture was moved up and to the left, around its edges.
        """
        side = math.isqrt(n // windows)
        if self.frames > 1 or side * side * windows != n:
            return ()
        for rows, columns in self._stages():
            down, across = math.ceil(rows / side), math.ceil(columns / side)
            if down * across != windows:
                continue
            high, wide = down * side, across * side
            return tuple(
                _name((y * side + i + shift) % high, (x * side + j + shift) % wide, (rows, columns))
                for y, x, i, j in product(range(down), range(across), range(side), range(side))
            )
        return ()

    def _patches(self) -> tuple[str, ...]:
        if self.frames == 1:
            return _grid(self.rows, self.columns)
        names = _grid(self.rows, self.columns)
        return tuple(f"{frame}:{name}" for frame in range(self.frames) for name in names)

    def _before(self, n: int) -> tuple[str, ...]:
        if n == len(self.before):
            return self.before
        return ("[CLS]", *(f"[extra {i}]" for i in range(1, n)))[:n]

    def _stages(self) -> Iterator[tuple[int, int]]:
        """Yield rows and columns of each stage, the finest first."""
        for coarser in _COARSER if self.pyramid else (1,):
            yield math.ceil(self.rows / coarser), math.ceil(self.columns / coarser)
            if self.rows >= coarser <= self.columns:
                yield self.rows // coarser, self.columns // coarser


def patches_of(model: LoadedModel, forward: Forward, row: int = 0) -> Patches | None:
    """Return how an image of the batch is cut into patches; None where it is not, or not known."""
    pixels = forward.keywords.get("pixel_values")
    if pixels is None and len(forward.arguments) == 1:
        pixels = forward.arguments[0]
    if not isinstance(pixels, torch.Tensor):
        return None
    config = _vision(model)
    if getattr(config, "model_type", None) in _OTHER_ORDER:
        return None
    shapes = forward.keywords.get("spatial_shapes")
    if pixels.ndim == 3 and isinstance(shapes, torch.Tensor) and shapes.shape == (len(pixels), 2):
        rows, columns = (int(n) for n in shapes[row])
        return Patches(rows, columns, after=None)  # cut by the processor
    size = _size(config)
    if pixels.ndim not in (4, 5) or size is None:
        return None
    rows, columns = pixels.shape[-2] // size[0], pixels.shape[-1] // size[1]
    frames = 1
    if pixels.ndim == 5:
        span = getattr(config, "tubelet_size", None)
        span = span[0] if isinstance(span, (list, tuple)) and span else span
        if not _is_length(span):
            return None
        frames = pixels.shape[1] // span
    if not rows or not columns or not frames:
        return None
    window = getattr(config, "window_size", None)
    many = (getattr(config, name, None) for name in ("depths", "hidden_sizes"))
    return Patches(
        rows, columns, frames, _before(model, config), _after(config),
        pyramid=any(isinstance(each, (list, tuple)) for each in many),
        window=window if _is_length(window) else 1,
    )  # fmt: skip


def reordered(
    model: LoadedModel, forward: Forward, pixels: torch.Tensor,
    order: Callable[[int, int], npt.NDArray[np.intp]],
) -> torch.Tensor | None:  # fmt: skip
    """Return images with their patches in another order; None where they are not known.

    Parameters
    ----------
    pixels : (batch, channels, height, width)
    order : callable
        Of an image's place in the batch and its number of patches: which patch comes where.
    """
    size = _size(_vision(model))
    cut = [patches_of(model, forward, row) for row in range(len(pixels))]
    if pixels.ndim != 4 or size is None:
        return None
    pixels = pixels.clone()
    for row, patches in enumerate(cut):
        if patches is None:
            return None
        grid = patches.rows, size[0], patches.columns, size[1]
        image = pixels[row, :, : grid[0] * grid[1], : grid[2] * grid[3]]
        apart = image.reshape(-1, *grid).permute(1, 3, 0, 2, 4).flatten(0, 1)
        apart = apart[torch.from_numpy(order(row, len(apart)))]
        apart = apart.reshape(grid[0], grid[2], *apart.shape[1:])
        image.copy_(apart.permute(2, 0, 3, 1, 4).reshape(image.shape))
    return pixels


def _vision(model: LoadedModel) -> Any:
    """Return the config of the part that sees."""
    config: Any = getattr(model.module, "config", None)
    return getattr(config, "vision_config", None) or config


def window_names(model: LoadedModel, call: Call, patches: Patches) -> tuple[str, ...]:
    """Return names for a call's queries where they stand window by window, else nothing."""
    n = call.query.shape[2]
    if call.windows < 2 or call.key.shape[2] != n:
        return ()
    parts = dict(model.module.named_modules())
    name, shift = call.place.name, None
    while name and shift is None:
        shift = getattr(parts.get(name), "shift_size", None)
        name = name.rpartition(".")[0]
    return patches.in_windows(call.windows, n, 0 if shift is None else int(shift))


def _grid(rows: int, columns: int) -> tuple[str, ...]:
    return tuple(f"{row},{column}" for row in range(rows) for column in range(columns))


def _name(row: int, column: int, size: tuple[int, int]) -> str:
    return f"{row},{column}" if row < size[0] and column < size[1] else PADDING


def _filled(length: int, window: int) -> int:
    return math.ceil(length / window) * window


def _size(config: Any) -> tuple[int, int] | None:
    """Return height and width of a patch in pixels; of the first stage's where there are more."""
    for name in ("strides", "patch_stride", "patch_size", "patch_sizes", "tubelet_size"):
        said = getattr(config, name, None)
        if _is_length(said) and name != "tubelet_size":
            return said, said
        if not isinstance(said, (list, tuple)) or not said or not all(map(_is_length, said)):
            continue
        if name in ("strides", "patch_sizes"):  # one for each stage
            return said[0], said[0]
        return (said[-2], said[-1]) if len(said) > 1 else (said[0], said[0])
    return None


def _is_length(value: Any) -> TypeGuard[int]:
    return type(value) is int and value > 0


def _before(model: LoadedModel, config: Any) -> tuple[str, ...]:
    """Return the names of a class token and what a family has beside it, where that is known."""
    registers = getattr(config, "num_register_tokens", None)
    if _is_length(registers):
        return ("[CLS]", *(f"[REG {i}]" for i in range(1, registers + 1)))
    own = (name.rpartition(".")[2] for name, _ in model.module.named_parameters())
    return ("[CLS]", "[DIST]") if "distillation_token" in own else ("[CLS]",)


def _after(config: Any) -> tuple[str, ...]:
    found = getattr(config, "num_detection_tokens", None)
    return tuple(f"[DET {i}]" for i in range(1, found + 1)) if _is_length(found) else ()
