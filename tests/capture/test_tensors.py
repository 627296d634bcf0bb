"""Recording a caller's own tensors: batches with padding, images, two stacks, names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers

import attnviz_gui
from attnviz_gui.capture.models import load_model
from attnviz_gui.errors import InputError
from attnviz_gui.resources import bundled_model
from tests.capture.tiny import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.models import LoadedModel

TEXTS = ["The brown capybara is sleeping now.", "A bird sings."]


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_batch_is_recorded_without_its_padding(bundled: LoadedModel, side: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(bundled_model())
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt", padding_side=side)
    if side == "left":  # the positions of the tokens, as if there were no padding
        batch["position_ids"] = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
    together = attnviz_gui.capture(bundled, batch)
    assert together.texts == ("the brown capybara is sleeping now.", "a bird sings.")
    for row, text in enumerate(TEXTS):
        alone = attnviz_gui.capture(bundled, text)
        assert together.tokens[row] == alone.tokens[0]
        assert together.special[row].tolist() == alone.special[0].tolist()
        for a, b in zip(together.records[row], alone.records[0], strict=True):
            assert a.query_tokens is None
            assert a.key_tokens is None
            assert np.abs(a.query - b.query).max() <= 1e-5
            assert np.array_equal(a.mask, b.mask)
        for layer in range(6):
            for head in range(12):
                own, other = (
                    together.head(layer, head, row).attention,
                    alone.head(layer, head).attention,
                )
                assert np.abs(own - other).max() <= 1e-5  # another order of sums
    assert 0 < together.verify() <= 2e-6


def test_patches_of_an_image_are_named_by_row_and_column() -> None:
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        image_size=24, patch_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ViTModel(config).eval()
    capture = attnviz_gui.capture(model, {"pixel_values": torch.randn(2, 3, 24, 24)})
    assert capture.tokens[1] == ["[CLS]", *(f"{r},{c}" for r in range(3) for c in range(3))]
    assert np.flatnonzero(capture.special[0]).tolist() == [0]
    assert len(capture.texts) == 2
    assert 0 < capture.verify() <= 1e-5


def _bart() -> tuple[Any, dict[str, torch.Tensor]]:
    inputs = {
        "input_ids": torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "decoder_input_ids": torch.tensor([[1, 10, 11], [1, 10, 0]]),
        "decoder_attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]]),
    }
    return tiny_model("bart"), inputs


def test_encoder_decoder_and_cross_attention_are_told_apart() -> None:
    model, inputs = _bart()
    capture = attnviz_gui.capture(model, inputs)
    kinds = [(layer.stack, layer.kind) for layer in capture.layers]
    assert kinds == [("encoder", "self")] * 2 + [("decoder", "self"), ("decoder", "cross")] * 2
    assert capture.tokens == (["5", "6", "7", "8", "9"], ["5", "6", "7"])
    for row, (n_encoder, n_decoder) in enumerate([(5, 3), (3, 2)]):
        for index, layer in enumerate(capture.layers):
            n_queries = n_encoder if layer.stack == "encoder" else n_decoder
            n_keys = n_decoder if (layer.stack, layer.kind) == ("decoder", "self") else n_encoder
            head = capture.head(index, 1, row)
            assert head.attention.shape == (n_queries, n_keys)
            assert len(capture.query_tokens(index, row)) == n_queries
            assert len(capture.key_tokens(index, row)) == n_keys
    assert capture.query_tokens(3, 1) == ("1", "10")
    assert capture.key_tokens(3, 1) == ("5", "6", "7")
    assert 0 < capture.verify() <= 1e-5


def test_names_by_stack() -> None:
    model, inputs = _bart()
    one = {name: tensor[:1] for name, tensor in inputs.items()}
    names = {"encoder": list("abcde"), "decoder": list("xyz")}
    capture = attnviz_gui.capture(model, one, tokens=names)
    assert capture.tokens == (list("abcde"),)
    assert capture.query_tokens(3) == tuple("xyz")
    assert capture.key_tokens(3) == tuple("abcde")


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["a", "b"], "tokens holds 2 names, but the attentions have 3, 5 tokens"),
        ([["a"], ["b"]], "names 2 rows, but the batch has 1"),
        ({"middle": ["a"]}, "no stack 'middle'"),
        ({"decoder": ["a"]}, "holds 1 names for the decoder"),
    ],
)
def test_names_that_do_not_fit(tokens: Any, said: str) -> None:
    model, inputs = _bart()
    one = {name: tensor[:1] for name, tensor in inputs.items()}
    with pytest.raises(InputError, match=said):
        attnviz_gui.capture(model, one, tokens=tokens)


def test_tensors_in_a_tuple_and_as_numpy() -> None:
    model = tiny_model("bert")
    ids = np.array([[1, 5, 6, 2]])
    captures = [
        attnviz_gui.capture(model, inputs)
        for inputs in ({"input_ids": ids}, (torch.from_numpy(ids),), torch.from_numpy(ids))
    ]
    for capture in captures[1:]:
        assert np.array_equal(capture.records[0][1].query, captures[0].records[0][1].query)
    assert captures[0].texts == ("input 1",)


def test_tensors_that_do_not_fit_the_model(bundled: LoadedModel) -> None:
    with pytest.raises(InputError, match="could not be run on this"):
        attnviz_gui.capture(bundled, (torch.zeros(1, 3),))


def test_a_folder_of_a_model_that_reads_images_needs_no_tokenizer(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        image_size=24, patch_size=8,
    )  # fmt: skip
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    model = load_model(tmp_path / "vit", device="cpu")
    assert model.tokenizer is None
    capture = attnviz_gui.capture(model, {"pixel_values": torch.randn(1, 3, 24, 24)})
    assert capture.tokens[0][:2] == ["[CLS]", "0,0"]
    with pytest.raises(InputError, match="no tokenizer"):
        attnviz_gui.capture(model, "a text")
