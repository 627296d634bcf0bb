"""Modules whose attentions are of several kinds: none is passed over, each is read exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import attnviz_gui
from attnviz_gui.capture.ways import together, ways_for
from attnviz_gui.errors import InputError
from tests.capture.tiny import tiny_model

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])


def written(hidden: torch.Tensor) -> torch.Tensor:
    return torch.softmax(hidden @ hidden.mT / 8, -1) @ hidden


def kernel(hidden: torch.Tensor) -> torch.Tensor:
    query = hidden[:, None]
    return nn.functional.scaled_dot_product_attention(query, query, query)


def gate(hidden: torch.Tensor) -> torch.Tensor:
    """A softmax of products that weighs nothing: a score, no attention."""
    return torch.softmax(hidden @ hidden.mT, -1)


class Topped(nn.Module):
    """A model of transformers in a module of a caller's own, with something on top of it."""

    def __init__(self, family: str, top: Any = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.base = tiny_model(family)
        self.top = top
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True) if top is None else None
        self.head = nn.Linear(32, 2)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        hidden = self.base(input_ids).last_hidden_state
        if self.attention is not None:
            return self.head(self.attention(hidden, hidden, hidden)[0])  # type: ignore[no-any-return]
        return self.top(hidden)  # type: ignore[no-any-return]


@pytest.mark.parametrize("family", ["bert", "gpt_oss", "deberta-v2"])
@pytest.mark.parametrize(
    ("top", "heads"), [(None, [2]), (written, [1]), (kernel, [1])],
    ids=["multihead", "written", "kernel"],
)  # fmt: skip
def test_what_stands_on_top_is_read_too(family: str, top: Any, heads: list[int]) -> None:
    model = Topped(family, top)
    with torch.no_grad():
        before = model(IDS)
    capture = attnviz_gui.capture(model, IDS)
    assert [layer.n_heads for layer in capture.layers] == [4, 4, 4, *heads]
    assert 0 < capture.verify() <= 1e-5
    alone = attnviz_gui.capture(model.base, IDS)
    for mine, own in zip(capture.records[1], alone.records[1], strict=False):
        assert np.abs(mine.query - own.query).max() <= 1e-6
        assert (mine.sink is None) == (own.sink is None)
    with torch.no_grad():
        assert torch.equal(model(IDS), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_softmax_that_weighs_nothing_is_no_attention() -> None:
    capture = attnviz_gui.capture(Topped("bert", gate), IDS)
    assert [layer.n_heads for layer in capture.layers] == [4, 4, 4]


def test_two_models_are_both_read() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = tiny_model("llama"), tiny_model("deberta-v2")

        def forward(self, input_ids: torch.Tensor) -> Any:
            return [m(input_ids).last_hidden_state for m in (self.one, self.other)]

    capture = attnviz_gui.capture(Pair(), IDS)
    assert [layer.name.partition(".")[0] for layer in capture.layers] == ["one"] * 3 + ["other"] * 3
    assert capture.records[0][0].unrotated is not None
    assert 0 < capture.verify() <= 1e-5


def test_one_module_that_computes_both() -> None:
    class Both(nn.MultiheadAttention):
        def forward(self, x: torch.Tensor) -> Any:  # type: ignore[override]
            return written(super().forward(x, x, x)[0])

    torch.manual_seed(0)
    capture = attnviz_gui.capture(Both(8, 2, batch_first=True), torch.randn(2, 5, 8))
    assert [layer.n_heads for layer in capture.layers] == [2, 1]
    assert len({layer.name for layer in capture.layers}) == 2
    assert 0 < capture.verify() <= 1e-5


def test_what_no_way_can_read_is_refused_beside_what_can() -> None:
    def mixed(hidden: torch.Tensor) -> torch.Tensor:
        products = torch.cat([hidden @ hidden.mT, hidden @ hidden.flip(1).mT], -1)
        return torch.softmax(products, -1) @ torch.cat([hidden, hidden], 1)

    with pytest.raises(InputError, match="several products"):
        attnviz_gui.capture(Topped("bert", mixed), IDS)


def test_models_of_one_kind_are_read_in_one_way() -> None:
    assert not together.reads(tiny_model("bert"))
    assert not together.reads(nn.Transformer(8, 2, 1, 1, 8, batch_first=True))
    assert ways_for(Topped("bert")) == [together]


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_compiled_models(family: str) -> None:
    """A compiled graph would pass by all that reads; afterwards it is used as before."""
    model = tiny_model(family)
    plain = attnviz_gui.capture(model, {"input_ids": IDS})
    compiled: Any = torch.compile(model, backend="eager")
    with torch.no_grad():
        before = compiled(input_ids=IDS).last_hidden_state
        capture = attnviz_gui.capture(compiled, {"input_ids": IDS})
        assert 0 < capture.verify() <= 1e-5
        assert torch.equal(compiled(input_ids=IDS).last_hidden_state, before)
    for mine, own in zip(capture.records[0], plain.records[0], strict=True):
        assert np.array_equal(mine.query, own.query)


def test_a_model_of_transformers_with_low_rank_adapters() -> None:
    class Adapted(nn.Module):
        def __init__(self, base: nn.Linear) -> None:
            super().__init__()
            self.base = base
            self.down = nn.Linear(base.in_features, 2, bias=False)
            self.up = nn.Linear(2, base.out_features, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.base(x) + self.up(self.down(x))  # type: ignore[no-any-return]

    model: Any = tiny_model("qwen3")
    assert isinstance(model, transformers.PreTrainedModel)
    for layer in model.layers:
        layer.self_attn.q_proj = Adapted(layer.self_attn.q_proj)
    capture = attnviz_gui.capture(model, IDS)
    assert len(capture.layers) == 3
    assert 0 < capture.verify() <= 1e-5


class Choosing(nn.Module):
    """Leaves out tokens at random, also in eval mode."""

    def __init__(self, top: Any) -> None:
        super().__init__()
        self.top = top

    def forward(self, x: torch.Tensor) -> Any:
        x = x[:, torch.randperm(x.shape[1])[:4]]
        return self.top(x, x, x)


@pytest.mark.parametrize(
    "top",
    [
        lambda q, k, v: torch.softmax(q @ k.mT, -1) @ v,
        nn.MultiheadAttention(8, 2, batch_first=True),
    ],
    ids=["written", "multihead"],
)
def test_random_choices_are_the_same_when_it_is_checked(top: Any) -> None:
    torch.manual_seed(0)
    capture = attnviz_gui.capture(Choosing(top), torch.randn(1, 9, 8))
    torch.rand(3)
    went_on = torch.get_rng_state()
    assert 0 < capture.verify() <= 1e-5
    assert torch.equal(torch.get_rng_state(), went_on)
