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


def test_names_for_keys_that_stand_beside_others() -> None:
    """The keys that no token stands behind have names of their own."""
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(8, 2, add_bias_kv=True, add_zero_attn=True)
    query, memory = torch.randn(3, 1, 8), torch.randn(5, 1, 8)
    names = {"query": list("xyz"), "key": list("abcde")}
    capture = attnviz_gui.capture(attention, (query, memory, memory), tokens=names)
    assert capture.query_tokens(0) == tuple("xyz")
    assert capture.key_tokens(0) == (*"abcde", "⟨bias_k⟩", "⟨zero⟩")
    with pytest.raises(InputError, match="the attentions have 3, 5 tokens"):
        attnviz_gui.capture(attention, (query, memory, memory), tokens=list("abcdefg"))


@pytest.mark.parametrize("family", ["Clip", "Siglip", "Blip"])
def test_an_image_of_as_many_patches_as_the_text_has_tokens(family: str) -> None:
    """Neither the text's names nor its padding are the image's."""
    config, cls = {
        "Clip": (transformers.CLIPConfig, transformers.CLIPModel),
        "Siglip": (transformers.SiglipConfig, transformers.SiglipModel),
        "Blip": (transformers.BlipConfig, transformers.BlipModel),
    }[family]
    small = {
        "hidden_size": 32, "intermediate_size": 37, "num_hidden_layers": 1,
        "num_attention_heads": 4,
    }  # fmt: skip
    text = {"vocab_size": 99, "max_position_embeddings": 32, "pad_token_id": 1}
    torch.manual_seed(0)
    model = cls(
        config(
            text_config=small | text | {"bos_token_id": 97, "eos_token_id": 98},
            vision_config=small | {"image_size": 16, "patch_size": 4},
        )
    ).eval()
    first = [] if family == "Siglip" else ["[CLS]"]
    patches = (*first, *(f"{row},{column}" for row in range(4) for column in range(4)))
    ids = torch.arange(2 * len(patches)).reshape(2, -1) + 3
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    inputs = {"input_ids": ids, "attention_mask": mask, "pixel_values": torch.randn(2, 3, 16, 16)}
    capture = attnviz_gui.capture(model, inputs)
    by_stack = {layer.stack: i for i, layer in enumerate(capture.layers)}
    assert set(by_stack) == {"vision", "text"} | ({"vision head"} if family == "Siglip" else set())
    for row in range(2):
        assert capture.query_tokens(by_stack["vision"], row) == patches
        assert capture.key_tokens(by_stack["vision"], row) == patches
        shown = tuple(map(str, ids[row, : 17 if row == 0 else 10].tolist()))
        assert capture.query_tokens(by_stack["text"], row) == shown
    if family == "Siglip":  # one query that sums up the image
        assert capture.key_tokens(by_stack["vision head"], 1) == patches
        assert capture.head(by_stack["vision head"], 0, 1).attention.shape == (1, len(patches))
    assert 0 < capture.verify() <= 1e-5


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


class Blind(torch.nn.Module):
    """A module that hides no padding from its attention."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(20, 8)
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        x = self.table(input_ids)
        return self.attention(x, x, x)[0] * attention_mask[..., None]  # type: ignore[no-any-return]


@pytest.mark.parametrize("mask", [[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 0, 0]]])
def test_padding_that_a_model_looks_at_stays_in_its_attention(mask: list[list[int]]) -> None:
    """Cut away, the rest would no longer be what the model computes."""
    inputs = {"input_ids": torch.arange(8).reshape(2, 4), "attention_mask": torch.tensor(mask)}
    capture = attnviz_gui.capture(Blind(), inputs)
    assert capture.head(0, 1, 1).attention.shape == (2, 4)
    assert len(capture.key_tokens(0, 1)) == 4
    assert len(capture.query_tokens(0, 1)) == 2
    assert 0 < capture.verify() <= 1e-5


def test_a_decoder_is_not_cut_by_the_mask_of_its_encoder() -> None:
    """Its tokens may be as many as the encoder's, padding included."""
    part = transformers.BertConfig(
        vocab_size=30, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4,
    )  # fmt: skip
    config = transformers.EncoderDecoderConfig(encoder=part.to_dict(), decoder=part.to_dict())
    torch.manual_seed(0)
    model = transformers.EncoderDecoderModel(config).eval()
    ids = torch.arange(5, 15).reshape(2, 5)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": ids}
    assert 0 < attnviz_gui.capture(model, inputs).verify() <= 1e-5


def test_what_a_tokenizer_gives_by_itself_is_taken() -> None:
    lists = {"input_ids": [[5, 6, 7], [7, 6, 0]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
    capture = attnviz_gui.capture(tiny_model("bert"), lists)
    assert capture.tokens == (["5", "6", "7"], ["7", "6"])


@pytest.mark.parametrize(
    "array", [np.array([[8, 7, 6, 5]])[:, ::-1], np.array([[5, 6, 7, 8]], ">i8")]
)
def test_arrays_of_any_layout(array: np.ndarray) -> None:
    capture = attnviz_gui.capture(tiny_model("bert"), {"input_ids": array})
    assert capture.tokens == (["5", "6", "7", "8"],)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"input_ids": torch.zeros(0, 4, dtype=torch.long)}, r"input_ids is empty.*\(0, 4\)"),
        (torch.zeros(1, 0, dtype=torch.long), r"number 1 is empty.*\(1, 0\)"),
        ({"input_ids": np.array([["a"]])}, "array of str.* is no input"),
        ({"input_ids": np.array([[5, None]])}, "array of object is no input"),
        ({"input_ids": [[5, 6], [7]]}, "rows of input_ids are not of one length"),
        ({"input_ids": torch.ones(1, 4, device="meta")}, "holds no numbers"),
        ({"input_ids": torch.ones(2, 2).long(), "attention_mask": torch.tensor([[1, 1], [0, 0]])},
         "Row 2 of the batch has no tokens"),
        ({"input_ids": torch.ones(1, 2).long(), "past_key_values": transformers.DynamicCache()},
         "give the whole text instead, without past_key_values"),
        ({"input_ids": torch.full((1, 2), 10**6)}, r"family llama\) could not be run on this"),
    ],
)  # fmt: skip
def test_tensors_that_cannot_be_run(inputs: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        attnviz_gui.capture(tiny_model("llama"), inputs)


@pytest.mark.parametrize(
    "tokens",
    [("a", "b"), (c for c in "ab"), np.array(["a", "b"]), [["a", "b"]], [np.array(["a", "b"])],
     {"encoder": iter("ab")}],
)  # fmt: skip
def test_names_in_any_kind_of_list(tokens: Any) -> None:
    capture = attnviz_gui.capture(tiny_model("bert"), torch.tensor([[5, 6]]), tokens=tokens)
    assert capture.tokens == (["a", "b"],)


def test_names_that_cannot_be_seen_are_shown_and_saved(tmp_path: Any) -> None:
    names = ["\0", "\ud800", ""]
    capture = attnviz_gui.capture(tiny_model("bert"), torch.tensor([[5, 6, 7]]), tokens=names)
    assert capture.tokens == (["␀", "⟨U+D800⟩", "∅"],)
    capture.save(tmp_path / "c.safetensors")
    assert attnviz_gui.open_capture(tmp_path / "c.safetensors").tokens == capture.tokens


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("ab", "tokens holds str where a list of names belongs"),
        ({"a", "b"}, "tokens holds set where a list"),
        (3, "tokens holds int where a list"),
        (["a", None], "tokens holds NoneType where a token's name belongs"),
        ([b"a", b"b"], "tokens holds bytes where a token's name"),
        ([[["a"], "b"]], "tokens holds list where a token's name"),
    ],
)
def test_what_is_no_list_of_names(tokens: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        attnviz_gui.capture(tiny_model("bert"), torch.tensor([[5, 6]]), tokens=tokens)


class Hand(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.layer(x)
        return torch.softmax(q @ q.transpose(-2, -1), -1) @ x


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: torch.jit.script(Hand()), "compiled by torch.jit"),
        (lambda: Hand().to("meta"), "has no weights"),
        (lambda: None, "no model but NoneType"),
        (lambda: Hand, "no model but the class Hand"),
    ],
)
def test_what_cannot_be_looked_into(model: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        attnviz_gui.capture(model(), torch.ones(1, 3, 4))


def test_an_attention_in_one_piece_is_named() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    class Flexible(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return flex_attention(x, x, x)

    said = r"Flexible.*cannot be read: it computes flex_attention in one piece"
    with (
        pytest.warns(UserWarning, match="flex_attention"),
        pytest.raises(InputError, match=said),
    ):
        attnviz_gui.capture(Flexible(), torch.ones(1, 2, 4, 16))
