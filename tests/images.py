"""A tiny image model saved to a folder, a picture, and captures of pictures made of numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.capture.record import PatchImage
from tests.samples import random_capture

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from attnviz_gui.capture.record import Capture

PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"height": 32, "width": 32},
    "resample": 2,
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.5, 0.25, 0.2],
}


def landscape(height: int = 48, width: int = 64) -> npt.NDArray[np.uint8]:
    """A picture in which every place looks different: sky, sun, and a field, (h, w, 3)."""
    down, across = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    field = down > 0.6 + 0.08 * np.sin(7 * across)
    sky = np.stack([90 + 120 * down, 150 + 70 * down, 235 - 30 * down], axis=-1)
    grass = np.stack([60 + 90 * across, 150 - 60 * (down - 0.6), 60 + 20 * across], axis=-1)
    picture = np.where(field[..., None], grass, sky)
    sun = (down - 0.25) ** 2 + (across - 0.72) ** 2 < 0.016
    picture[sun] = (250, 200, 60)
    return picture.clip(0, 255).astype(np.uint8)


def save_tiny_vit(folder: Path, *, processor: bool = True) -> Path:
    """Save a ViT of two layers with random weights: 4 x 4 patches of 8 x 8 pixels."""
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        image_size=32, patch_size=8,
    )  # fmt: skip
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    if processor:
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def image_capture(side: int = 4, *, leading: int = 1, seed: int = 0) -> Capture:
    """A capture of a picture with random vectors: side x side patches after `leading` tokens."""
    n = leading + side * side
    capture = random_capture(n, seed=seed)
    extra = ["[CLS]", *(f"[extra {i}]" for i in range(1, leading))][:leading]
    names = [*extra, *(f"{r},{c}" for r in range(side) for c in range(side))]
    special = np.arange(n) < leading
    pixels = landscape(8 * side, 8 * side)
    return replace(
        capture, texts=("landscape.png",), tokens=(names,), special=(special,),
        images=(PatchImage(pixels, side, side),),
    )  # fmt: skip
