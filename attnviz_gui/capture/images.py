"""Pictures: as a model takes them, and back to what a person sees. Opens no file.

A folder's ``preprocessor_config.json`` says how large a model wants its pictures and by which mean
and deviation it scales them. What it asks for is done here with torch alone, so that no other
library for pictures is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from attnviz_gui.capture.hub import is_hub_id, snapshot
from attnviz_gui.capture.record import PatchImage
from attnviz_gui.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from attnviz_gui.capture.inputs import Forward
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.names import Names
    from attnviz_gui.capture.progress import CancelToken, Progress
    from attnviz_gui.capture.record import Capture

    Pixels = npt.NDArray[np.uint8]

_SLACK = 0.02  # beyond 0 to 1: a resized picture overshoots a little
_RESAMPLE = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # as PIL numbers them
_LARGEST = 4096  # pixels of a side that a model may ask for


@dataclass(frozen=True)
class Processing:
    """How a model wants its pictures.

    Attributes
    ----------
    size
        Height and width of what the model reads.
    mean, deviation
        Of each channel, for colours from 0 to 1.
    shortest
        Length that the shorter side is resized to before the middle of `size` is cut out; None
        where the picture is stretched to `size`.
    resample
        ``nearest``, ``bilinear`` or ``bicubic``.
    """

    size: tuple[int, int]
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    deviation: tuple[float, ...] = (0.5, 0.5, 0.5)
    shortest: int | None = None
    resample: str = "bilinear"


def reads_images(model: LoadedModel) -> bool:
    """Return whether pictures are what a model's forward call takes first."""
    return getattr(model.module, "main_input_name", "") == "pixel_values"


def record_image(
    model: LoadedModel,
    pixels: Pixels,
    name: str,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Capture:
    """Run an image model on a picture and return what its attention did.

    Parameters
    ----------
    pixels : (height, width, 3) uint8
        Of any size: it is resized as the model's folder says, stretched to the model's own size
        where it says nothing.
    name
        What to call the picture; the text of the capture.

    Raises
    ------
    InputError, Cancelled
        As `record`; also when the model takes no pictures.
    """
    from attnviz_gui.capture.recorder import record

    if not reads_images(model):
        raise InputError(
            f"{model.name} takes no pictures; choose the folder of a model that does, such as ViT."
        )
    values = as_model_takes(pixels, processing_of(model))
    capture = record(model, {"pixel_values": values[None]}, progress=progress, cancel=cancel)
    return replace(capture, texts=(name,))


def processing_of(model: LoadedModel) -> Processing:
    """Return how a model wants its pictures: as its folder says, else as ViT was trained.

    Raises
    ------
    InputError
        When neither the folder nor the config names a size.
    """
    said = _said(model)
    size, shortest = _size(said, _config_size(model))
    if size is None:
        raise InputError(
            f"{model.name} does not say how large its pictures are; put its "
            "preprocessor_config.json into its folder."
        )
    mean, deviation = _scaling(said) or ((0.5,) * 3, (0.5,) * 3)
    if said.get("do_normalize") is False:
        mean, deviation = (0.0,) * 3, (1.0,) * 3
    resample = _RESAMPLE.get(said.get("resample", 2), "bilinear")
    return Processing(size, mean, deviation, shortest, resample)


def as_model_takes(pixels: Pixels, processing: Processing) -> npt.NDArray[np.float32]:
    """Return a picture as a model takes it, (3, height, width) float32.

    Parameters
    ----------
    pixels : (height, width, 3) uint8
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise InputError("A picture has rows, columns and three colours.")
    height, width = processing.size
    values = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    if processing.shortest is None:
        values = _resized(values, (height, width), processing.resample)
    else:
        rows, columns = values.shape[-2:]
        factor = processing.shortest / min(rows, columns)
        shape = (
            max(int(rows * factor), processing.shortest),
            max(int(columns * factor), processing.shortest),
        )
        values = _cropped(_resized(values, shape, processing.resample), (height, width))
    mean, deviation = (
        torch.tensor(v).reshape(3, 1, 1) for v in (processing.mean, processing.deviation)
    )
    scaled = (values[0] / 255 - mean) / deviation
    return np.asarray(scaled.numpy(), dtype=np.float32)


def pictures_of(
    model: LoadedModel, forward: Forward, names: Sequence[Names]
) -> tuple[PatchImage | None, ...]:
    """Return the picture of each row of a batch, empty where the model was shown none.

    Parameters
    ----------
    names
        Of each row's tokens.
    """
    pixels = forward.keywords.get("pixel_values")
    if pixels is None and len(forward.arguments) == 1:
        pixels = forward.arguments[0]
    if not isinstance(pixels, torch.Tensor) or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        return ()
    cut = [each.patches for each in names]
    if len(pixels) != len(cut) or None in cut:
        return ()
    scaling = _scaling(_said(model))
    return tuple(
        _picture(row.float().cpu().numpy(), (patches.rows, patches.columns), scaling)
        for row, patches in zip(pixels, cut, strict=True)
        if patches is not None
    )


def _picture(
    values: npt.NDArray[np.float32],
    grid: tuple[int, int],
    scaling: tuple[tuple[float, ...], tuple[float, ...]] | None,
) -> PatchImage | None:
    """Return what a person sees of (channels, height, width) numbers."""
    if not np.isfinite(values).all():
        return None
    colors = np.broadcast_to(values, (3, *values.shape[1:])).transpose(1, 2, 0)
    if scaling is not None:
        mean, deviation = (np.array(part, np.float32) for part in scaling)
        known = colors * deviation + mean
        if known.min() >= -_SLACK and known.max() <= 1 + _SLACK:
            return PatchImage(_bytes(known), *grid, "processor")
    low, high = float(colors.min()), float(colors.max())
    spread = (colors - low) / (high - low or 1.0)
    return PatchImage(_bytes(spread), *grid, "min-max")


def _bytes(colors: npt.NDArray[np.float32]) -> Pixels:
    return np.ascontiguousarray(np.rint(np.clip(colors, 0, 1) * 255).astype(np.uint8))


# -- what the folder says --------------------------------------------------------------------


def _said(model: LoadedModel) -> dict[str, Any]:
    """Return preprocessor_config.json, empty where there is none that can be read."""
    config = getattr(model.module, "config", None)
    for origin in (model.source, str(getattr(config, "_name_or_path", "") or "")):
        if not origin:
            continue
        folder: Path | None = Path(origin)
        try:
            if not Path(origin).is_dir():
                folder = snapshot(origin) if is_hub_id(origin) else None
            said = json.loads((folder / "preprocessor_config.json").read_bytes()) if folder else {}
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(said, dict) and said:
            return said
    return {}


def _scaling(said: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of each channel, None where they are not said."""
    found = []
    for name in ("image_mean", "image_std"):
        values = said.get(name)
        if isinstance(values, (int, float)):
            values = [values] * 3
        if not isinstance(values, list) or len(values) != 3:
            return None
        if not all(isinstance(v, (int, float)) and np.isfinite(v) for v in values):
            return None
        found.append(tuple(float(v) for v in values))
    return None if min(found[1]) <= 0 else (found[0], found[1])


def _size(
    said: dict[str, Any], own: tuple[int, int] | None
) -> tuple[tuple[int, int] | None, int | None]:
    """Return the size that a model reads, and the shorter side's before the middle is cut out."""
    size = _pair(said.get("size"))
    crop = _pair(said.get("crop_size")) if said.get("do_center_crop") else None
    named = said.get("size")
    shortest = named.get("shortest_edge") if isinstance(named, dict) else None
    if not _is_length(shortest):
        return crop or size or own, None
    assert isinstance(shortest, int)
    return crop or own or (shortest, shortest), shortest


def _config_size(model: LoadedModel) -> tuple[int, int] | None:
    config: Any = getattr(model.module, "config", None)
    config = getattr(config, "vision_config", None) or config
    return _pair(getattr(config, "image_size", None))


def _pair(said: Any) -> tuple[int, int] | None:
    if isinstance(said, dict):
        said = said.get("height"), said.get("width")
    if _is_length(said):
        return said, said
    if isinstance(said, (list, tuple)) and len(said) == 2 and all(map(_is_length, said)):
        return int(said[0]), int(said[1])
    return None


def _is_length(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _LARGEST


def _resized(values: torch.Tensor, shape: tuple[int, int], resample: str) -> torch.Tensor:
    if resample == "nearest":
        return torch.nn.functional.interpolate(values, shape, mode="nearest-exact")
    made = torch.nn.functional.interpolate(
        values, shape, mode=resample, align_corners=False, antialias=True
    )
    return made.round().clamp(0, 255)


def _cropped(values: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return the middle of a picture, black around it where it is smaller."""
    short = [max(want - have, 0) for want, have in zip(shape, values.shape[-2:], strict=True)]
    if any(short):
        (down, across) = short
        values = torch.nn.functional.pad(
            values, (across // 2, across - across // 2, down // 2, down - down // 2)
        )
    top, left = ((have - want) // 2 for want, have in zip(shape, values.shape[-2:], strict=True))
    return values[..., top : top + shape[0], left : left + shape[1]]
