"""`capture` of a caller's own module: inputs of any form, padding and names of both stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attnviz_gui
from attnviz_gui.errors import InputError

WIDTH = 16


class _Nested(nn.Module):
    """Takes its tensors in containers, as loaders of data hand them out."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.asked: list[Any] = []

    def forward(self, batch: Any, again: Any = None) -> torch.Tensor:
        self.asked.append(batch)
        query, (key, value) = batch["query"], batch["pair"]
        mixed: torch.Tensor = self.read(query, key, value)[0]
        return mixed


def _batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, n, WIDTH, generator=generator) for n in (3, 5))
    return {"query": query, "pair": (key, key), "name": "a row", "n": 7}


def test_tensors_inside_other_containers() -> None:
    module = _Nested().eval()
    batch = _batch()
    as_tuple = attnviz_gui.capture(module, (batch,))
    as_dict = attnviz_gui.capture(module, {"batch": batch})
    arrays = {**batch, "query": batch["query"].numpy()}
    as_arrays = attnviz_gui.capture(module, {"batch": arrays})
    own = module.read(batch["query"], *batch["pair"], average_attn_weights=False)[1][0]
    for capture in (as_tuple, as_dict, as_arrays):
        assert capture.layers[0].kind == "cross"
        for head in range(2):
            attention = capture.head(0, head).attention
            np.testing.assert_allclose(attention, own[head].detach(), atol=1e-6)
        assert capture.verify() <= 1e-6
    # What is no tensor comes to the module as it was.
    assert all(asked["name"] == "a row" and asked["n"] == 7 for asked in module.asked)


def test_padding_of_two_stacks_is_checked_against_the_models_own() -> None:
    """A row's lengths with padding left out may look like the other stack's."""
    torch.manual_seed(0)
    model = nn.Transformer(WIDTH, 4, 1, 1, 32, batch_first=True).eval()
    source = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]).bool()
    target = torch.tensor([[0, 0, 0], [0, 0, 1]]).bool()
    capture = attnviz_gui.capture(
        model,
        {
            "src": torch.randn(2, 5, WIDTH),
            "tgt": torch.randn(2, 3, WIDTH),
            "src_key_padding_mask": source,
            "tgt_key_padding_mask": target,
            "memory_key_padding_mask": source,
        },
        tokens={"src": [list("abcde"), list("abcd")], "tgt": [list("xyz"), list("xy")]},
    )
    assert [capture.key_tokens(layer, 1) for layer in range(3)] == [tuple("abcd"), tuple("xy"),
                                                                   tuple("abcd")]  # fmt: skip
    assert capture.verify() <= 1e-6


def test_a_decoders_memory_is_named_by_its_argument() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerDecoderLayer(WIDTH, 4, 32, batch_first=True)
    decoder = nn.TransformerDecoder(layer, 1).eval()
    inputs = torch.randn(1, 3, WIDTH), torch.randn(1, 5, WIDTH)
    capture = attnviz_gui.capture(
        decoder, inputs, tokens={"tgt": list("abc"), "memory": list("vwxyz")}
    )
    assert (capture.query_tokens(1), capture.key_tokens(1)) == (tuple("abc"), tuple("vwxyz"))


def test_a_device_as_pytorch_has_it() -> None:
    module = nn.MultiheadAttention(WIDTH, 2)
    assert attnviz_gui.load_model(module, device=torch.device("cpu")).device == "cpu"
    with pytest.raises(InputError, match=r"no device 'cuda:99' here; choose auto or cpu"):
        attnviz_gui.load_model(module, device=torch.device("cuda:99"))
