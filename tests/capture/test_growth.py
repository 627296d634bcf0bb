"""Fifty captures in a row leave no more behind than one."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import attnviz_gui
from tests.capture.tiny import tiny_model

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel

TIMES = 50
LARGEST = 24 << 20  # bytes: less than what the captures would take if they were kept


def resident() -> int:
    """Bytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def tensors() -> int:
    return sum(1 for thing in gc.get_objects() if type(thing) is torch.Tensor)


def modules() -> tuple[Any, Any]:
    layer = torch.nn.TransformerEncoderLayer(384, 12, 512, batch_first=True)
    return torch.nn.TransformerEncoder(layer, 3).eval(), torch.randn(1, 120, 384)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory on Linux only")
@pytest.mark.parametrize("way", ["interface", "modules", "operands"])
def test_memory_does_not_grow(bundled: LoadedModel, way: str) -> None:
    model: Any = bundled
    inputs: Any = "the brown river runs over old stone and a small bird " * 5
    if way == "modules":
        model, inputs = modules()
    elif way == "operands":
        model = tiny_model("deberta-v2", hidden_size=384, num_attention_heads=12)
        inputs = {"input_ids": torch.randint(3, 300, (1, 120))}

    def once() -> None:
        capture = attnviz_gui.capture(model, inputs)
        assert len(capture.tokens[0]) > 50

    def least(times: int) -> int:
        """What is held between some captures, where the allocator holds the least."""
        held = []
        for _ in range(times):
            once()
            gc.collect()
            held.append(resident())
        return min(held)

    attnviz_gui.capture(model, inputs).verify()
    before, counted = least(10), tensors()
    size = sum(a.nbytes for r in attnviz_gui.capture(model, inputs).records[0]
               for a in (r.query, r.key, r.value))  # fmt: skip
    assert size * (TIMES - 20) > LARGEST
    for _ in range(TIMES - 20):
        once()
    assert least(10) - before < LARGEST
    assert tensors() <= counted
