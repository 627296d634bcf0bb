"""Pictures: as a model takes them, as a person sees them again, and kept with the capture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import transformers

import attnviz_gui
from attnviz_gui.capture.images import Processing, as_model_takes, processing_of, record_image
from attnviz_gui.capture.record import PatchImage
from attnviz_gui.errors import InputError
from attnviz_gui.session.store import open_capture
from tests.images import PROCESSOR, image_capture, landscape, save_tiny_vit
from tests.samples import random_capture

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.models import LoadedModel


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = save_tiny_vit(tmp_path_factory.mktemp("models") / "tiny-vit")
    return attnviz_gui.load_model(folder, device="cpu")


def test_a_picture_is_run_and_kept_as_the_model_saw_it(vit: LoadedModel) -> None:
    capture = record_image(vit, landscape(), "landscape.png")
    assert capture.texts == ("landscape.png",)
    image = capture.image()
    assert image is not None
    assert (image.rows, image.columns, image.scaled) == (4, 4, "processor")
    assert image.pixels.shape == (32, 32, 3)
    assert capture.tokens[0][:2] == ["[CLS]", "0,0"]
    assert image.patches(capture.tokens[0]).tolist() == [-1, *range(16)]
    # The sun, at 25 % down and 72 % across, and the field at the lower left.
    assert np.abs(image.pixels[8, 23].astype(int) - (250, 200, 60)).max() <= 4
    assert image.pixels[30, 2, 1] > 1.5 * image.pixels[30, 2, 0]
    assert 0 < capture.verify() <= 2e-6


def resized_by_loops(rows: np.ndarray, length: int) -> np.ndarray:
    """Resize the first axis by a triangle filter as wide as a step, the way Pillow documents it."""
    scale = len(rows) / length
    reach = max(scale, 1.0)
    made = []
    for i in range(length):
        centre = (i + 0.5) * scale
        weights = [max(0.0, 1 - abs((j + 0.5 - centre) / reach)) for j in range(len(rows))]
        made.append(sum(w * row for w, row in zip(weights, rows, strict=True)) / sum(weights))
    return np.array(made)


@pytest.mark.parametrize("size", [(97, 60), (20, 45), (32, 32)])
def test_a_picture_is_resized_as_the_reference_does(
    vit: LoadedModel, size: tuple[int, int]
) -> None:
    pixels = landscape(*size).astype(np.float64)
    side = PROCESSOR["size"]
    across = resized_by_loops(pixels.swapaxes(0, 1), side["width"]).swapaxes(0, 1)
    down = resized_by_loops(across, side["height"]).transpose(2, 0, 1)
    mean, deviation = (np.reshape(PROCESSOR[k], (3, 1, 1)) for k in ("image_mean", "image_std"))
    expected = (down / 255 - mean) / deviation
    ours = as_model_takes(landscape(*size), processing_of(vit))
    steps = np.abs(expected - ours) * deviation * 255
    assert steps.max() <= 0.51  # of 256 steps: whole numbers are what a processor scales


def test_the_middle_is_cut_out_after_the_shorter_side_was_resized() -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 200
    made = as_model_takes(
        pixels, Processing((20, 20), (0.0,) * 3, (1.0,) * 3, shortest=20, resample="nearest")
    )
    assert made.shape == (3, 20, 20)
    assert np.allclose(made, 200 / 255)  # the black ends of 10 columns each are cut off
    made = as_model_takes(pixels, Processing((24, 20), (0.0,) * 3, (1.0,) * 3, shortest=20))
    assert made[:, :2].max() == 0 == made[:, -2:].max()  # too low: black above and below
    assert made[:, 10, 10].min() > 0.7


def test_without_a_processor_the_colours_are_spread(tmp_path: Path) -> None:
    model = attnviz_gui.load_model(save_tiny_vit(tmp_path / "bare", processor=False), device="cpu")
    assert processing_of(model) == Processing((32, 32))
    capture = record_image(model, landscape(), "a.png")
    image = capture.image()
    assert image is not None
    assert image.scaled == "min-max"
    assert (image.pixels.min(), image.pixels.max()) == (0, 255)


def test_numbers_that_the_processor_never_makes_are_spread(vit: LoadedModel) -> None:
    noise = 3 * torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    capture = attnviz_gui.capture(vit, {"pixel_values": noise})
    assert len(capture.images) == 2
    assert {image.scaled for image in capture.images if image is not None} == {"min-max"}


def test_registers_and_distillation_tokens_stand_before_the_patches() -> None:
    common = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "image_size": 24, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    for model, before in (
        (transformers.DeiTModel(transformers.DeiTConfig(**common)), ("[CLS]", "[DIST]")),
        (
            transformers.Dinov2WithRegistersModel(
                transformers.Dinov2WithRegistersConfig(**common, num_register_tokens=4)
            ),
            ("[CLS]", "[REG 1]", "[REG 2]", "[REG 3]", "[REG 4]"),
        ),
    ):
        capture = attnviz_gui.capture(model.eval(), {"pixel_values": torch.rand(1, 3, 24, 24)})
        image = capture.image()
        assert image is not None
        start = len(before)
        assert capture.query_tokens(0)[:start] == before
        assert image.patches(capture.query_tokens(0)).tolist() == [-1] * start + [*range(9)]
        assert capture.special[0].tolist() == [True] * start + [False] * 9


def test_a_text_model_takes_no_picture_and_its_captures_have_none(bundled: LoadedModel) -> None:
    with pytest.raises(InputError, match="takes no pictures"):
        record_image(bundled, landscape(), "a.png")
    capture = attnviz_gui.capture(bundled, "A bird.")
    assert capture.images == ()
    assert capture.image() is None


def test_pictures_are_saved_and_opened(tmp_path: Path) -> None:
    capture = image_capture(3, leading=2)
    capture.save(tmp_path / "a.safetensors")
    again = open_capture(tmp_path / "a.safetensors")
    before, after = capture.image(), again.image()
    assert before is not None and after is not None
    assert np.array_equal(before.pixels, after.pixels)
    assert (after.rows, after.columns, after.scaled) == (3, 3, "processor")
    words = random_capture(5)
    words.save(tmp_path / "b.safetensors")
    assert open_capture(tmp_path / "b.safetensors").images == ()


def test_a_picture_that_does_not_fit_is_refused_when_it_is_saved(tmp_path: Path) -> None:
    capture = image_capture(3)
    image = PatchImage(np.zeros((2, 9, 3), np.uint8), 3, 3)
    with pytest.raises(InputError):
        replace(capture, images=(image,)).save(tmp_path / "a.safetensors")
    with pytest.raises(InputError):
        replace(capture, images=(image, image)).save(tmp_path / "a.safetensors")
