"""A model's second run ends with its last attention, and records what the whole run records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import attnviz_gui
from tests.families.family import build, example

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture

# By the interface, and by the operands of the softmax; with a part that comes after the attention.
FAMILIES = {
    "bert": "encoder.layer.1.output",
    "gptj": "ln_f",
    "deberta": "encoder.layer.1.output",
    "prophetnet": "decoder.layers.1.feed_forward",
}


class Ends:
    """How often a model's part began to run that comes after its last attention."""

    def __init__(self, model: torch.nn.Module, part: str) -> None:
        self.n = 0
        model.get_submodule(part).register_forward_pre_hook(self._starts)

    def _starts(self, _module: Any, _inputs: Any) -> None:
        self.n += 1


def same(one: Capture, other: Capture) -> bool:
    assert one.layers == other.layers
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(one.records[0], other.records[0], strict=True)
        for name in ("query", "key", "value", "mask")
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_second_run_ends_with_the_last_attention(family: str) -> None:
    model = build(family)
    inputs = example(family, model)
    ends = Ends(model, FAMILIES[family])
    whole = attnviz_gui.capture(model, inputs)
    assert ends.n == 1
    short = attnviz_gui.capture(model, inputs)
    assert ends.n == 1
    assert same(whole, short)
    assert short.verify() <= 1e-5
    with torch.no_grad():
        assert model(**inputs)[0].isfinite().all()
    assert not model._forward_hooks


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_that_is_waited_for_goes_to_its_end(family: str) -> None:
    model = build(family)
    inputs = example(family, model)
    attnviz_gui.capture(model, inputs)
    seen: list[Any] = []
    with model.register_forward_hook(lambda _m, _i, output: seen.append(output)):
        attnviz_gui.capture(model, inputs)
    assert len(seen) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_whose_parts_changed_is_run_whole(family: str) -> None:
    model = build(family)
    inputs = example(family, model)
    ends = Ends(model, FAMILIES[family])
    attnviz_gui.capture(model, inputs)
    model.add_module("more", torch.nn.Identity())
    attnviz_gui.capture(model, inputs)
    assert ends.n == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_other_settings_of_the_call_are_another_run(family: str) -> None:
    model = build(family)
    inputs = example(family, model)
    ends = Ends(model, FAMILIES[family])
    for n, setting in enumerate([False, True, False], 1):
        attnviz_gui.capture(model, {**inputs, "return_dict": setting})
        assert ends.n == n
    attnviz_gui.capture(model, {**inputs, "return_dict": False})
    assert ends.n == 3


def test_a_callers_own_code_is_run_whole() -> None:
    """It may do something else each time."""

    class Own(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.q, self.k = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
            self.last = torch.nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weights = torch.softmax(self.q(x) @ self.k(x).mT, -1)
            output: torch.Tensor = self.last(weights @ x)
            return output

    model = Own().eval()
    ends = Ends(model, "last")
    for times in (1, 2, 3):
        attnviz_gui.capture(model, torch.randn(1, 5, 8))
        assert ends.n == times
