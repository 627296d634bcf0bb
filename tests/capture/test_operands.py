"""Attention written by hand, in every order of axes: its operands, and nothing else, are found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import attnviz_gui
from attnviz_gui.capture.ways import operands
from attnviz_gui.errors import InputError
from tests.families.family import Family, build, example

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from attnviz_gui.capture.call import Call, Place

E, H, D = 12, 3, 4
SMALL = {
    "vocab_size": 300, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "pad_token_id": 0,
}  # fmt: skip


class Written(nn.Module):
    """Projections, and an attention that a test writes."""

    num_heads = H

    def __init__(self, attend: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v = nn.Linear(E, E), nn.Linear(E, E, bias=False), nn.Linear(E, E)
        self.latents = nn.Parameter(torch.randn(2, E))
        self.attend = attend

    def forward(self, x: torch.Tensor) -> Any:
        return self.attend(self, x)

    def heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Query, key and value, (B, T, H, D) each."""
        return [f(x).unflatten(-1, (H, D)) for f in (self.q, self.k, self.v)]

    def split(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Query, key and value, (B, H, T, D) each."""
        return [t.transpose(-3, -2) for t in self.heads(x)]


def product(m: Written, x: torch.Tensor) -> Any:
    q, k, v = m.split(x)
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(D), -1) @ v


def einsum(m: Written, x: torch.Tensor) -> Any:
    q, k, v = m.heads(x)
    weights = (torch.einsum("bqhd,bkhd->bhqk", q, k) * 0.5).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


def heads_last(m: Written, x: torch.Tensor) -> Any:
    q, k, v = m.heads(x)
    weights = (torch.einsum("bqhd,bkhd->bqkh", q, k) * 0.5).softmax(2)
    return torch.einsum("bqkh,bkhd->bqhd", weights, v)


def keys_first(m: Written, x: torch.Tensor) -> Any:
    q, k, v = m.split(x)
    return v.mT @ torch.softmax(k @ (q * 0.5).mT, -2)


def folded(m: Written, x: torch.Tensor) -> Any:
    q, k, v = (t.flatten(0, 1) for t in m.split(x))
    weights = torch.baddbmm(torch.empty(1), q, k.mT, beta=0, alpha=0.5).softmax(-1)
    return torch.bmm(weights, v)


def fused(m: Written, x: torch.Tensor) -> Any:
    return nn.functional.scaled_dot_product_attention(*m.split(x), scale=0.5)


WRITTEN = [product, einsum, heads_last, keys_first, folded, fused]


def read(model: nn.Module, *inputs: torch.Tensor) -> tuple[list[Call], list[torch.Tensor]]:
    """The calls and the model's own weights; its output is the same all the while."""
    calls: list[Call] = []
    weights: list[torch.Tensor] = []

    def watch(_place: Place, found: torch.Tensor) -> None:
        weights.append(found)

    with torch.no_grad():
        plain = model(*inputs)
        with operands.recording(model, calls.append):
            recorded = model(*inputs)
        with operands.watching(model, watch):
            watched = model(*inputs)
    assert torch.equal(plain, recorded)
    assert torch.equal(plain, watched)
    return calls, weights


def attention(call: Call) -> torch.Tensor:
    """The weights that a call stands for."""
    logits = call.query @ call.key.mT * call.scaling
    if call.softcap is not None:
        logits = call.softcap * torch.tanh(logits / call.softcap)
    if call.bias is not None:
        logits = logits + call.bias
    if call.mask is not None:
        logits = logits.masked_fill(~call.mask, -torch.inf)
    return logits.softmax(-1)


@pytest.mark.parametrize("attend", WRITTEN, ids=lambda f: f.__name__)
def test_query_key_and_value_in_any_order(attend: Callable[..., Any]) -> None:
    model = Written(attend)
    x = torch.randn(2, 5, E)
    (call,), (weights,) = read(model, x)
    with torch.no_grad():
        expected = model.split(x)
    for found, own in zip((call.query, call.key, call.value), expected, strict=True):
        assert found.shape == own.shape == (2, H, 5, D)
        assert (found - own).abs().max() <= 1e-6
    assert call.scaling == pytest.approx(0.5)
    assert call.bias is None
    assert call.mask is None
    assert call.softcap is None
    assert not call.cross
    assert call.place == ("Written", 0)
    assert (attention(call) - weights).abs().max() <= 1e-6


def test_what_is_added_is_told_apart() -> None:
    position = torch.randn(H, 5, 5)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)

    def attend(m: Written, x: torch.Tensor) -> Any:
        q, k, v = m.split(x)
        logits = q @ k.mT / 2
        logits = torch.tanh(logits / 3) * 3 + position
        logits[..., later] = -1e4
        return logits.softmax(-1) @ v

    (call,), (weights,) = read(Written(attend), torch.randn(2, 5, E))
    assert call.softcap == 3
    assert call.scaling == pytest.approx(0.5)
    assert call.mask is not None
    assert torch.equal(call.mask[0, 0], ~later)
    assert call.bias is not None
    assert (call.bias - position.masked_fill(later, 0)).abs().max() <= 1e-6
    assert (attention(call) - weights).abs().max() <= 1e-6


@pytest.mark.parametrize("written", ["row", "column", "copied"])
def test_what_is_written_through_another_view_is_seen(written: str) -> None:
    later = torch.ones(40, 40, dtype=torch.bool).triu(1)

    def attend(m: Written, x: torch.Tensor) -> Any:
        q, k, v = m.split(x)
        logits = q @ k.mT / 2
        logits = logits.masked_fill(later, -torch.inf) + position
        if written == "row":
            logits[0, 1, 17] += 1.5  # one row of one head, which no sample may hit
        elif written == "column":
            logits[..., 3].mul_(0.5)
        else:
            position.zero_()  # what was added is no longer what it was
        return logits.softmax(-1) @ v

    position = torch.randn(H, 40, 40)
    added = position.clone()
    model = Written(attend)
    x = torch.randn(2, 40, E)
    calls: list[Call] = []
    weights: list[torch.Tensor] = []
    with torch.no_grad():
        with operands.recording(model, calls.append):
            model(x)
        position.copy_(added)
        with operands.watching(model, lambda _place, found: weights.append(found)):
            model(x)
    assert (attention(calls[0]) - weights[0]).abs().max() <= 1e-6


def test_layers_that_add_the_same_share_it() -> None:
    position, later = torch.randn(H, 9, 9), torch.ones(9, 9, dtype=torch.bool).triu(1)

    def attend(m: Written, x: torch.Tensor) -> Any:
        for factor in (0.5, 0.25):
            q, k, v = m.split(x)
            logits = (q @ k.mT * factor + position).masked_fill(later.clone(), -torch.inf)
            x = (logits.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return x

    calls, weights = read(Written(attend), torch.randn(2, 9, E))
    assert len(calls) == 2
    assert calls[0].bias is calls[1].bias is not None
    assert calls[0].mask is calls[1].mask is not None
    for call, own in zip(calls, weights, strict=True):
        assert (attention(call) - own).abs().max() <= 1e-6


@pytest.mark.parametrize("keys_first", [False, True])
@pytest.mark.parametrize("filled", ["before", "after", "not"])
def test_what_is_taken_off_whole_rows_is_no_bias(filled: str, keys_first: bool) -> None:
    """As in a softmax written for large logits; a bias that is the same in each layer is shared."""
    position, later = torch.randn(H, 9, 9), torch.ones(9, 9, dtype=torch.bool).triu(1)

    def attend(m: Written, x: torch.Tensor) -> Any:
        keys = -2 if keys_first else -1
        for factor in (0.5, 0.25):
            q, k, v = m.split(x)
            q = q * factor
            added, forbidden = position.clone(), later
            if keys_first:
                logits, added, forbidden = k @ q.mT, added.mT, later.mT
            else:
                logits = q @ k.mT
            logits = logits + added
            if filled == "before":
                logits = logits.masked_fill(forbidden, -1e4)
            logits = logits - logits.amax(keys, keepdim=True) + 2.5
            if filled == "after":
                logits = logits.masked_fill(forbidden, -1e4)
            weights = logits.softmax(keys)
            x = ((v.mT @ weights).mT if keys_first else weights @ v).transpose(1, 2).flatten(2)
        return x

    calls, weights = read(Written(attend), torch.randn(2, 9, E))
    assert len(calls) == 2
    assert calls[0].bias is calls[1].bias is not None
    seen = later if filled != "not" else torch.zeros_like(later)
    apart = (calls[0].bias - position).abs().masked_fill(seen, 0)
    assert apart.max() <= 1e-6
    for call, own in zip(calls, weights, strict=True):
        assert (attention(call) - own).abs().max() <= 1e-6


def test_a_row_that_is_pushed_far_down_as_a_whole_sees_nothing() -> None:
    far = torch.zeros(9, 1)
    far[4] = -1e9  # in single precision nothing is left of the products

    def attend(m: Written, x: torch.Tensor) -> Any:
        q, k, v = m.split(x)
        return (q @ k.mT * 0.5 + far).softmax(-1) @ v

    (call,), (weights,) = read(Written(attend), torch.randn(1, 9, E))
    assert call.bias is None
    assert call.mask is not None
    assert call.mask[0, 0].all(-1).tolist() == [i != 4 for i in range(9)]
    assert not call.mask[0, 0, 4].any()
    others = [i for i in range(9) if i != 4]
    assert (attention(call) - weights)[:, :, others].abs().max() <= 1e-6


@pytest.mark.parametrize("lengths", [(24,), (24, 15)])
@pytest.mark.parametrize("name", ["deberta", "deberta-v2"])
def test_distances_are_held_as_tables(name: str, lengths: tuple[int, ...], tmp_path: Path) -> None:
    model = build(name)
    capture = attnviz_gui.capture(model, example(name, model, lengths))
    if len(lengths) == 1:  # each head and pair of tokens has its own number in a bias
        for record in capture.records[0]:
            assert record.bias is None
            assert {term.side for term in record.positions} == {"query", "key"}
            assert record.positions[0].index is capture.records[0][0].positions[1].index
    assert any(np.ptp(capture.head(0, h).bias) > 0.1 for h in range(4))
    assert capture.verify() <= 1e-5
    capture.save(tmp_path / "capture.safetensors")
    again = attnviz_gui.open_capture(tmp_path / "capture.safetensors")
    for text in range(len(lengths)):
        for layer in range(2):
            for h in range(4):
                one, other = capture.head(layer, h, text), again.head(layer, h, text)
                assert np.array_equal(one.bias, other.bias)
                assert np.array_equal(one.attention, other.attention)


def test_a_learned_query() -> None:
    def attend(m: Written, x: torch.Tensor) -> Any:
        return (m.latents @ m.k(x).mT).softmax(-1) @ m.v(x)

    (call,), (weights,) = read(Written(attend), torch.randn(3, 5, E))
    assert call.query.shape == (3, 1, 2, E)
    assert call.cross
    assert (attention(call) - weights).abs().max() <= 1e-6


def test_a_softmax_of_a_layer_is_no_attention() -> None:
    def attend(m: Written, x: torch.Tensor) -> Any:
        gate = m.k(x).softmax(-1)
        return product(m, x).sum() + gate @ torch.ones(E, 2)

    calls, _ = read(Written(attend), torch.randn(2, 5, E))
    assert [call.key.shape for call in calls] == [(2, H, 5, D)]


def test_values_that_are_not_found_are_empty() -> None:
    def attend(m: Written, x: torch.Tensor) -> Any:
        q, k, _ = m.split(x)
        return (q @ k.mT).softmax(-1).mean(1)

    (call,), _ = read(Written(attend), torch.randn(2, 5, E))
    assert call.value.shape == (2, H, 5, 0)


def test_a_band_is_refused_by_name() -> None:
    family = Family("LongformerConfig", {**SMALL, "attention_window": 8})
    model = build(family)
    said = "family longformer cannot be read: what its softmax is taken of"
    with (
        pytest.raises(InputError, match=said),
        torch.no_grad(),
        operands.recording(model, lambda _: None),
    ):
        model(**example(family, model, (20, 20)))
    assert _hooks(model) == 0


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("MraConfig", "family mra cannot be read: MraSelfAttention makes its weights without a"),
        ("YosoConfig", "family yoso cannot be read: YosoSelfAttention makes its weights without a"),
        ("FNetConfig", "family fnet cannot be read: none of their parts is called an attention"),
    ],
)
def test_what_takes_no_softmax_is_refused_by_name(config: str, said: str) -> None:
    family = Family(config, SMALL)
    with pytest.raises(InputError, match=said):
        attnviz_gui.capture(build(family), example(family, build(family), (16, 16)))


def test_an_attention_that_a_model_takes_in_the_run_has_its_place() -> None:
    """BigBird leaves its sparse attention for a full one when it first meets a short text."""
    family = Family("BigBirdConfig", {**SMALL, "attention_type": "block_sparse", "block_size": 4})
    model = build(family)
    inputs = example(family, model, (12, 12))
    for _ in range(2):
        capture = attnviz_gui.capture(model, inputs)
        assert [layer.name for layer in capture.layers] == [
            f"encoder.layer.{i}.attention.self" for i in range(len(capture.layers))
        ]
        assert capture.verify() <= 1e-5
        assert _hooks(model) == 0


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_no_trace(kind: type[BaseException]) -> None:
    model = Written(product)
    x = torch.randn(2, 5, E)
    plain = model(x)

    def fail(_call: Call) -> None:
        raise kind

    for _ in range(2):
        with pytest.raises(kind), operands.recording(model, fail):
            model(x)
        assert _hooks(model) == 0
    assert torch.equal(model(x), plain)
    seen: list[Call] = []
    with operands.recording(model, seen.append):
        model(x)
    assert len(seen) == 1


def _hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


class Mixing(torch.nn.Module):
    """Heads whose logits are mixed by a matrix; each head's weights are kept for the next run."""

    def __init__(self, mixed_by: str) -> None:
        super().__init__()
        self.inputs = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(3))
        self.mixed_by = mixed_by
        mix = torch.randn(2, 2)
        if mixed_by == "parameter":
            self.mix: object = torch.nn.Parameter(mix)
        elif mixed_by == "buffer":
            self.register_buffer("mix", mix)
        else:
            self.mix = mix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            part(x).view(len(x), -1, 2, 4).transpose(1, 2) for part in self.inputs
        )  # fmt: skip
        logits = query @ key.transpose(-2, -1) / 2
        if self.mixed_by:
            logits = torch.einsum("gh,bhqk->bgqk", self.mix, logits)
        self.attention = torch.softmax(logits, -1)
        return self.attention @ value


@pytest.mark.parametrize("mixed_by", ["parameter", "buffer", "attribute"])
def test_mixed_logits_are_no_product_of_queries_and_keys(mixed_by: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(InputError, match="No attention was seen in Mixing"):
        attnviz_gui.capture(Mixing(mixed_by).eval(), torch.randn(1, 6, 8))


def test_what_a_module_kept_from_its_last_run_hides_nothing() -> None:
    torch.manual_seed(0)
    model = Mixing("").eval()
    for _ in range(5):
        capture = attnviz_gui.capture(model, torch.randn(1, 6, 8))
        assert [layer.n_heads for layer in capture.layers] == [2]
        assert capture.verify() <= 1e-6
