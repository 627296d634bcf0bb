"""Patches have the row and column of the pixels that they see, in whatever order they stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers

import attnviz_gui

SMALL: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
SWIN: dict[str, Any] = {
    "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4,
    "drop_path_rate": 0.0,
}  # fmt: skip


def swin(height: int, width: int) -> Any:
    return transformers.SwinModel(transformers.SwinConfig(**SWIN, image_size=(height, width)))


def wide_patches() -> Any:
    return transformers.ViTModel(
        transformers.ViTConfig(**{**SMALL, "image_size": (32, 48), "patch_size": (8, 16)})
    )


def yolos() -> Any:
    return transformers.YolosModel(
        transformers.YolosConfig(**{**SMALL, "image_size": [32, 32]}, num_detection_tokens=5)
    )


def pvt() -> Any:
    return transformers.PvtModel(
        transformers.PvtConfig(
            image_size=64, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1],
            num_attention_heads=[1, 1, 2, 2],
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "size", "grid"),
    [
        (wide_patches, (32, 48), (4, 3)),
        (yolos, (32, 32), (4, 4)),  # whose tokens for what it finds stand after the patches
        (lambda: swin(32, 64), (32, 64), (8, 16)),  # window by window
        (lambda: swin(40, 40), (40, 40), (10, 10)),  # in windows that are filled up
        (pvt, (64, 64), (16, 16)),
    ],
    ids=["wide patches", "yolos", "swin", "swin filled up", "pvt"],
)
def test_a_patch_has_the_name_of_its_pixels(
    make: Any, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    model = make().eval()
    pixels = torch.rand(1, 3, *size)
    plain = attnviz_gui.capture(model, {"pixel_values": pixels})
    image = plain.image()
    assert image is not None
    assert (image.rows, image.columns) == grid
    names = plain.query_tokens(0)
    assert image.patches(names) is not None
    high, wide = size[0] // grid[0], size[1] // grid[1]
    # The second layer of Swin has its windows elsewhere.
    layers = range(2 if isinstance(model, transformers.SwinModel) else 1)
    for row, column in ((0, 0), (0, grid[1] - 1), (1, 2), (grid[0] - 1, 1)):
        other = pixels.clone()
        other[..., row * high : (row + 1) * high, column * wide : (column + 1) * wide] += 3
        moved = attnviz_gui.capture(model, {"pixel_values": other})
        for layer in layers:
            before, after = (c.records[0][layer].query for c in (plain, moved))
            most = int(np.abs(before - after).max((0, 2)).argmax())
            assert plain.query_tokens(layer)[most] == f"{row},{column}"
    assert plain.verify() <= 1e-5


def test_what_is_filled_up_is_no_patch() -> None:
    capture = attnviz_gui.capture(swin(40, 40).eval(), {"pixel_values": torch.rand(1, 3, 40, 40)})
    names = capture.query_tokens(0)
    assert (len(names), names.count("[PAD]"), len(set(names))) == (144, 44, 101)


def test_stages_of_a_picture_that_is_no_square() -> None:
    capture = attnviz_gui.capture(swin(32, 64).eval(), {"pixel_values": torch.rand(1, 3, 32, 64)})
    assert sorted(capture.query_tokens(2)) == sorted(f"{r},{c}" for r in range(4) for c in range(8))


def test_patches_of_a_film_name_their_frames() -> None:
    model = transformers.VideoMAEModel(
        transformers.VideoMAEConfig(**SMALL, num_frames=4, tubelet_size=2)
    )
    pixels = torch.rand(1, 4, 3, 32, 32)
    capture = attnviz_gui.capture(model.eval(), {"pixel_values": pixels})
    assert len(capture.tokens[0]) == 32
    assert capture.tokens[0][0] == "0:0,0"
    assert capture.tokens[0][16:18] == ["1:0,0", "1:0,1"]


def test_patches_that_the_processor_cut_out() -> None:
    """Each row of the batch says how many rows and columns it has; the rest is padding."""
    model = transformers.Siglip2VisionModel(
        transformers.Siglip2VisionConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
            num_patches=16, patch_size=8,
        )
    )  # fmt: skip
    mask = torch.ones(2, 16, dtype=torch.long)
    mask[1, 12:] = 0
    capture = attnviz_gui.capture(
        model.eval(),
        {
            "pixel_values": torch.rand(2, 16, 192),
            "pixel_attention_mask": mask,
            "spatial_shapes": torch.tensor([[2, 8], [4, 3]]),
        },
    )
    assert capture.tokens[0][7:9] == ["0,7", "1,0"]
    assert capture.tokens[1][2:4] == ["0,2", "1,0"]
    assert capture.tokens[1][11:] == ["3,2"] + ["[PAD]"] * 4


def test_tokens_in_an_order_that_is_not_known_are_numbers() -> None:
    """Hiera has its tokens unit by unit, so that each stage can take the largest of neighbours."""
    model = transformers.HieraModel(
        transformers.HieraConfig(
            image_size=[64, 64], embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4]
        )
    )
    capture = attnviz_gui.capture(model.eval(), {"pixel_values": torch.rand(1, 3, 64, 64)})
    for layer in range(len(capture.layers)):
        assert capture.query_tokens(layer)[:2] == ("0", "1")
