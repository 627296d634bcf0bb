"""Baselines: tokens shuffled, weights random, a sequence repeated; and nothing left behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

import attnviz_gui
from attnviz_gui.analysis.heads import measure_heads
from attnviz_gui.capture import baselines
from attnviz_gui.capture.baselines import random_twin, random_weights, repeated, shuffled
from attnviz_gui.capture.inputs import Forward
from attnviz_gui.capture.models import LoadedModel, load_model
from attnviz_gui.capture.patches import reordered
from attnviz_gui.errors import Cancelled, InputError
from tests.images import save_tiny_vit
from tests.samples import random_capture, save_tiny_bert

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "the capybara eats, and the capybara sleeps by the river"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(save_tiny_bert(tmp_path_factory.mktemp("tiny"))), device="cpu")


def state(model: LoadedModel) -> list[object]:
    module = model.module
    return [
        {name: value.clone() for name, value in module.state_dict().items()},
        [part.training for part in module.modules()],
        module.config._attn_implementation,
        sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()),
        torch.get_rng_state(),
    ]


def test_nothing_is_left_on_the_model(tiny: LoadedModel) -> None:
    capture = attnviz_gui.capture(tiny, TEXT)
    before = state(tiny)
    list(shuffled(capture))
    list(random_weights(capture))
    repeated(tiny)
    after = state(tiny)
    for name, value in before[0].items():
        assert torch.equal(value, after[0][name])
    assert torch.equal(before.pop(), after.pop())
    assert before[1:] == after[1:]


def test_shuffled_has_the_same_tokens_elsewhere(tiny: LoadedModel) -> None:
    capture = attnviz_gui.capture(tiny, [TEXT, "another text, of another length"])
    ((texts, found),) = shuffled(capture)
    assert list(texts) == [0, 1]
    for text in range(2):
        old, new = capture.tokens[text], found.tokens[text]
        assert sorted(old) == sorted(new)
        assert old != new
        assert (new[0], new[-1]) == ("[CLS]", "[SEP]")
        np.testing.assert_array_equal(found.special[text], capture.special[text])
    assert found.verify() < 1e-5
    ((texts, again),) = shuffled(capture, [1])
    assert list(texts) == [1]
    assert again.tokens[0] == found.tokens[1]
    # The first layer's keys are those of the tokens at other places, not the old ones moved.
    assert not np.allclose(np.sort(found.head(0, 0).key, axis=0),
                           np.sort(capture.head(0, 0).key, axis=0))  # fmt: skip


def test_the_random_twin_is_as_before_training(bundled: LoadedModel) -> None:
    twin, again = random_twin(bundled), random_twin(bundled)
    theirs = bundled.module.state_dict()
    assert not twin.module.training
    for name, value in twin.module.state_dict().items():
        assert value.shape == theirs[name].shape
        assert torch.equal(value, again.module.state_dict()[name])
    name = "encoder.layer.0.attention.self.query.weight"
    drawn = twin.module.state_dict()[name]
    assert not torch.equal(drawn, theirs[name])
    assert float(drawn.std()) == pytest.approx(bundled.module.config.initializer_range, rel=0.05)


def test_a_trained_head_is_told_from_its_baselines(bundled: LoadedModel) -> None:
    capture = attnviz_gui.capture(bundled, TEXT)
    ((_, twin),) = random_weights(capture)
    assert twin.tokens == capture.tokens
    own, random = (measure_heads(each, 0).column("entropy_normalised") for each in (capture, twin))
    assert random.min() > 0.9  # untrained attention is nearly even
    assert own.min() < 0.6


class Plain(nn.Module):
    """A module of nobody's library, with a parameter that no part resets."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.full((1, 6, 16), 3.0) + torch.randn(1, 6, 16))
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.places
        return self.attention(x, x, x)[0]


def test_a_plain_module_resets_its_parts() -> None:
    torch.manual_seed(1)
    module = Plain().eval()
    with torch.no_grad():
        module.attention.in_proj_weight.fill_(0.5)
    capture = attnviz_gui.capture(module, (torch.randn(1, 6, 16),))
    ((_, found),) = random_weights(capture)
    assert [layer.n_heads for layer in found.layers] == [4]
    twin = random_twin(baselines.model_of(capture)).module
    assert float(twin.attention.in_proj_weight.detach().std()) > 0.05
    assert float(twin.places.detach().mean()) == pytest.approx(3, abs=0.5)
    assert not torch.equal(twin.places, module.places)
    assert float(module.attention.in_proj_weight.detach().min()) == 0.5
    with pytest.raises(InputError, match="no tokens"):
        list(shuffled(capture))


def test_padded_rows_of_ids_are_shuffled_among_themselves(tiny: LoadedModel) -> None:
    ids = torch.tensor([[101, 7, 8, 9, 10, 102, 0, 0], [101, 17, 18, 19, 20, 21, 22, 102]])
    capture = attnviz_gui.capture(tiny, {"input_ids": ids, "attention_mask": (ids > 0).long()})
    ((_, found),) = shuffled(capture)
    for row in range(2):
        assert sorted(found.tokens[row]) == sorted(capture.tokens[row])
        assert found.tokens[row] != capture.tokens[row]
        assert found.tokens[row][0] == "[CLS]"


@pytest.mark.parametrize("named", [True, False])
def test_patches_of_a_picture_are_shuffled_in_place_of_tokens(tmp_path: Path, named: bool) -> None:
    model = load_model(str(save_tiny_vit(tmp_path / "vit")), device="cpu")
    for name, parameter in model.module.named_parameters():
        if "position_embeddings" in name:
            parameter.data.zero_()  # so that a patch is the same wherever it stands
    side = model.module.config.image_size
    pixels = torch.linspace(-1, 1, 2 * 3 * side * side).reshape(2, 3, side, side).sin()
    capture = attnviz_gui.capture(model, {"pixel_values": pixels} if named else (pixels,))
    ((texts, found),) = shuffled(capture)
    assert list(texts) == [0, 1]
    assert found.tokens == capture.tokens
    np.testing.assert_array_equal(found.special[1], capture.special[1])
    orders = []
    for row in range(2):
        own, other = (each.records[row][0].key[0] for each in (capture, found))
        np.testing.assert_allclose(other[0], own[0], atol=1e-5)  # [CLS]
        apart = np.linalg.norm(other[1:, None] - own[None, 1:], axis=2)
        orders.append(apart.argmin(axis=1).tolist())
        assert apart.min(axis=1).max() < 1e-4
        assert sorted(orders[-1]) == list(range(len(own) - 1)) != orders[-1]
    assert orders[0] != orders[1]
    ((_, again),) = shuffled(capture)
    np.testing.assert_array_equal(again.records[0][1].key, found.records[0][1].key)


def test_the_repeated_sequence_is_the_same_twice(tiny: LoadedModel) -> None:
    capture = repeated(tiny, 20)
    names = capture.tokens[0]
    assert len(names) == 42
    assert names[1:21] == names[21:41]
    assert len(set(names)) == 22
    assert capture.special[0].nonzero()[0].tolist() == [0, 41]
    assert repeated(tiny, 20).tokens == capture.tokens
    assert len(repeated(tiny, 10**6).tokens[0]) == 128  # as many as it reads
    found = measure_heads(capture, 0, names=["induction"])
    assert np.isfinite(found.values).all()


def test_without_the_model_there_is_a_sentence() -> None:
    with pytest.raises(InputError, match="opened from a file"):
        list(shuffled(random_capture(4)))
    module = load_model(nn.MultiheadAttention(8, 2))
    with pytest.raises(InputError, match="no tokenizer"):
        repeated(module)


def test_cancel_stops_them(tiny: LoadedModel) -> None:
    capture = attnviz_gui.capture(tiny, TEXT)
    cancel = threading.Event()
    cancel.set()
    for way in (shuffled, random_weights):
        with pytest.raises(Cancelled):
            list(way(capture, cancel=cancel))
    with pytest.raises(Cancelled):
        repeated(tiny, cancel=cancel)


def test_patches_that_are_set_anew_leave_no_pixel_out() -> None:
    class Model(nn.Module):
        config = type("Config", (), {"patch_size": (4, 6), "model_type": "some"})()

    model, pixels = LoadedModel("model", Model(), None, "cpu", None, ""), torch.rand(2, 3, 10, 20)
    forward = Forward((), {"pixel_values": pixels}, given=True, present={})
    same = reordered(model, forward, pixels, lambda _, n: np.arange(n))
    assert torch.equal(same, pixels)
    turned = reordered(model, forward, pixels, lambda row, n: np.roll(np.arange(n), row))
    assert torch.equal(turned[0], pixels[0])
    assert torch.equal(turned[1, :, 8:], pixels[1, :, 8:])  # what belongs to no patch stays
    assert torch.equal(turned[1, :, :8, 18:], pixels[1, :, :8, 18:])
    assert torch.equal(turned[1, :, :4, 6:12], pixels[1, :, :4, :6])
    assert torch.equal(turned[1, :, 4:8, :6], pixels[1, :, :4, 12:18])
    assert torch.equal(turned[1, :, :4, :6], pixels[1, :, 4:8, 12:18])
    film = torch.rand(1, 2, 3, 8, 12)
    assert reordered(model, forward, film, lambda _, n: np.arange(n)) is None
