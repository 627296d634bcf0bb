"""Families of transformers, each as a tiny random model: read exactly, or refused by name."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers

import attnviz_gui
from attnviz_gui.capture.models import load_model
from attnviz_gui.capture.ways import ending, interface, own
from attnviz_gui.errors import InputError
from tests.capture.tiny import FAMILIES, TEXT, byte_tokenizer, tiny_folder, tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.record import Capture

REFUSED = {"mamba": "family mamba cannot be read: none of their parts is called an attention"}
OTHER_WAYS = ["deberta-v2"]
READ = [family for family in FAMILIES if family not in REFUSED and family not in OTHER_WAYS]
CAUSAL = ["gpt2", "gpt_neox", "opt", "llama", "qwen2", "qwen3", "mistral", "phi"]
CAUSAL += ["gemma2", "gpt_oss"]  # windows longer than the text


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The text through a family's tiny model, loaded from a folder; each run once."""

    @cache
    def capture(family: str) -> tuple[Path, Capture]:
        folder = tiny_folder(tmp_path_factory.mktemp("models") / family, family)
        return folder, attnviz_gui.capture(load_model(folder, device="cpu"), TEXT)

    return capture


@pytest.mark.parametrize("family", READ)
def test_attention_equals_the_models_own(captures: Any, family: str) -> None:
    folder, capture = captures(family)
    model = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = byte_tokenizer()(TEXT, return_tensors="pt")["input_ids"]
    inputs = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    with torch.no_grad():
        outputs = model(**inputs, output_attentions=True)
    by_kind: dict[str, list[torch.Tensor]] = {"self": [], "cross": []}
    for name in ("attentions", "encoder_attentions", "decoder_attentions"):
        by_kind["self"] += outputs.get(name) or ()
    by_kind["cross"] += outputs.get("cross_attentions") or ()
    found = {"self": 0, "cross": 0}
    for index, layer in enumerate(capture.layers):
        weights = by_kind[layer.kind][found[layer.kind]][0].numpy()
        found[layer.kind] += 1
        assert layer.n_heads == len(weights) == 4
        for head in range(layer.n_heads):
            attention = capture.head(index, head).attention
            assert np.abs(attention - weights[head]).max() <= 1e-5
    assert found == {kind: len(own) for kind, own in by_kind.items()}
    assert 0 < capture.verify() <= 1e-5


@pytest.mark.parametrize("family", READ)
def test_a_second_capture_is_equal(captures: Any, family: str) -> None:
    """The second run of a model ends with its last attention; the first went to the end."""
    folder, first = captures(family)
    model = load_model(folder, device="cpu")
    for _ in range(2):
        again = attnviz_gui.capture(model, TEXT)
        assert again.layers == first.layers
        for a, b in zip(first.records[0], again.records[0], strict=True):
            for name in ("query", "key", "value", "mask"):
                assert np.array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("family", READ)
def test_the_mask_is_the_models(captures: Any, family: str) -> None:
    _, capture = captures(family)
    n = len(capture.tokens[0])
    for index, layer in enumerate(capture.layers):
        mask = capture.head(index, 0).mask
        causal = family in CAUSAL or (layer.kind == "self" and "decoder" in layer.name)
        expected = np.tri(n, dtype=bool) if causal else np.ones((n, n), dtype=bool)
        if family == "mistral":  # a window of 6 tokens
            expected &= ~np.tri(n, k=-6, dtype=bool)
        if family == "modernbert" and index % 2:  # 4 tokens to each side, in every second layer
            near = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
            expected = near <= 4
        assert np.array_equal(mask, expected), layer.name


def test_grouped_keys(captures: Any) -> None:
    _, capture = captures("qwen2")
    record = capture.records[0][1]
    assert record.query.shape[0] == 4
    assert record.key.shape[0] == 2
    assert [capture.head(1, h).key is not None for h in range(4)]
    for head, group in enumerate([0, 0, 1, 1]):
        assert np.array_equal(capture.head(1, head).key, record.key[group])
    assert not np.array_equal(record.key[0], record.key[1])


def test_a_shared_module_is_counted_by_its_calls(captures: Any) -> None:
    _, capture = captures("albert")
    path = "encoder.albert_layer_groups.0.albert_layers.0.attention"
    assert [e.name for e in capture.layers] == [f"{path} (pass {i})" for i in (1, 2, 3)]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_encoder_decoder_and_cross(captures: Any, family: str) -> None:
    _, capture = captures(family)
    assert [(e.name.split(".")[0], e.kind) for e in capture.layers] == [
        ("encoder", "self"), ("encoder", "self"),
        ("decoder", "self"), ("decoder", "cross"), ("decoder", "self"), ("decoder", "cross"),
    ]  # fmt: skip


def test_a_position_bias_is_recorded(captures: Any) -> None:
    _, capture = captures("t5")
    first, second = capture.records[0][:2]
    assert first.bias is not None
    assert first.bias.shape == (4, len(capture.tokens[0]), len(capture.tokens[0]))
    assert first.bias is second.bias  # layers that share it share its memory
    assert capture.records[0][3].bias is None  # cross attention has none
    assert first.scaling == 1.0
    head = capture.head(0, 2)
    assert np.array_equal(head.bias, first.bias[2])  # type: ignore[arg-type]
    assert np.abs(head.logits - head.query @ head.key.T).max() > 0.1


@pytest.mark.parametrize(("family", "said"), REFUSED.items())
def test_refused_with_the_family_and_the_reason(tmp_path: Path, family: str, said: str) -> None:
    model = load_model(tiny_folder(tmp_path / family, family), device="cpu")
    with pytest.raises(InputError, match=said):
        attnviz_gui.capture(model, TEXT)


@pytest.mark.parametrize(
    "family", ["bert", "llama", "mistral", "t5", "bart", "gpt2", "gemma2", "gpt_oss"]
)
def test_in_parts_as_in_one_call(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's attention, computed a few queries at a time."""
    model = tiny_model(family)
    torch.manual_seed(0)
    ids = torch.randint(3, 300, (2, 100))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs["attention_mask"][1, 80:] = 0
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    outputs = {}
    for chunk in (1 << 30, 1):  # at once; as few rows as there may be
        monkeypatch.setattr(own, "_CORE_CHUNK", chunk)
        ending.forget()  # a second run would end with its last attention
        with torch.no_grad(), interface.recording(model, lambda call: None):
            outputs[chunk] = model(**inputs).last_hidden_state
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state
    assert torch.equal(outputs[1 << 30], expected)
    assert (outputs[1] - expected).abs().max() <= 1e-5


@pytest.mark.parametrize(
    "family", ["bert", "llama", "mistral", "t5", "bart", "gpt2", "gemma2", "gpt_oss"]
)
def test_recorded_in_parts_as_in_one_call(
    tmp_path: Path, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_folder(tmp_path / family, family), device="cpu")
    text = f"{TEXT} a {TEXT}"  # three parts and a bit
    monkeypatch.setattr(own, "_CORE_CHUNK", 1 << 30)
    whole = attnviz_gui.capture(model, text)
    monkeypatch.setattr(own, "_CORE_CHUNK", 1)
    parts = attnviz_gui.capture(model, text)
    assert len(parts.tokens[0]) > 96
    for a, b in zip(whole.records[0], parts.records[0], strict=True):
        assert np.abs(a.query - b.query).max() <= 1e-5 * np.abs(a.query).max()
        assert np.abs(a.value - b.value).max() <= 1e-5 * np.abs(a.value).max()
    assert parts.verify() <= 1e-6


def test_plain_attention_takes_over_where_it_is_the_same() -> None:
    from transformers.models.bert.modeling_bert import BertSelfAttention, eager_attention_forward

    module = BertSelfAttention(tiny_model("bert").config).eval()
    query, key, value = torch.randn(3, 1, 4, 100, 8)
    mask = torch.zeros(1, 1, 100, 100).masked_fill(torch.rand(100, 100) < 0.5, -3e38)
    plain = own.Plain()
    assert plain.fits(eager_attention_forward, query, key, value, mask)
    output = plain.attention(query, key, value, mask, {"scaling": 0.3}, 32)
    expected = eager_attention_forward(module, query, key, value, mask, scaling=0.3)[0]
    assert (output - expected).abs().max() <= 1e-6
    plain.judge(eager_attention_forward, same=True)
    assert plain.trusted(eager_attention_forward)
    plain.judge(eager_attention_forward, same=False)
    assert not plain.fits(eager_attention_forward, query, key, value, mask)


def test_plain_attention_does_not_take_over_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family whose function differs, be it by little, is computed by its own to the end."""
    from transformers.models.bert import modeling_bert

    plain_function = modeling_bert.eager_attention_forward

    def other(*arguments: Any, **extras: Any) -> Any:
        output, weights = plain_function(*arguments, **extras)
        return output * 1.5, weights

    monkeypatch.setattr(modeling_bert, "eager_attention_forward", other)
    monkeypatch.setattr(own, "_CORE_CHUNK", 1)
    module = modeling_bert.BertSelfAttention(tiny_model("bert").config).eval()
    query, key, value = torch.randn(3, 1, 4, 100, 8)
    plain = own.Plain()
    for _ in range(2):
        output = own.own_attention(other, module, query, key, value, None, {"scaling": 0.3}, plain)
        expected = other(module, query, key, value, None, scaling=0.3)[0]
        assert (output - expected).abs().max() <= 1e-6
        assert not plain.trusted(other)
