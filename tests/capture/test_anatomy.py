"""The anatomy of a head: what its steps come to, and that they are the model's own numbers."""

from __future__ import annotations

import contextlib
import gc
import io
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import attnviz_gui
from attnviz_gui.capture.anatomy.dissect import dissect, of_multihead, worked_example
from attnviz_gui.capture.anatomy.record import Anatomy, Difference, Equality, Matrix, plain
from attnviz_gui.capture.inputs import text_forward
from attnviz_gui.capture.models import load_model
from attnviz_gui.capture.tokens import encode
from tests.capture.tiny import TEXT, tiny_folder
from tests.conftest import CAPYBARA

if TYPE_CHECKING:
    from pathlib import Path

    from attnviz_gui.capture.record import Capture

# Figures that an article on PyTorch's MultiheadAttention prints for this module and input.
ATTENTION = [
    [[0.0424, 0.2048, 0.3446, 0.2414, 0.1667], [0.1729, 0.1644, 0.2146, 0.2448, 0.2033],
     [0.2667, 0.1591, 0.1675, 0.2068, 0.2000], [0.0698, 0.2457, 0.3001, 0.2061, 0.1782],
     [0.1792, 0.1710, 0.2114, 0.2354, 0.2030]],
    [[0.1456, 0.1290, 0.2313, 0.2845, 0.2096], [0.2896, 0.3155, 0.1334, 0.0994, 0.1622],
     [0.2136, 0.3166, 0.1714, 0.1335, 0.1649], [0.1254, 0.2581, 0.2383, 0.2125, 0.1655],
     [0.1764, 0.2372, 0.2087, 0.1930, 0.1846]],
]  # fmt: skip
OUTPUT = [
    [0.3529, 0.0220, 0.0969, -0.1303], [0.4565, 0.1399, 0.0720, 0.1694],
    [0.3354, 0.1571, 0.0336, 0.2145], [0.3725, 0.0816, 0.1403, -0.0746],
    [0.3248, 0.0932, 0.0436, 0.0879],
]  # fmt: skip
ROW = [
    -1.3839, 0.3560, -0.5477, 0.5145, 1.5560, -0.1749, 1.3026, -0.2896, 1.4396, -0.2397, 0.6415,
    1.2935,
]  # fmt: skip


def matrices(anatomy: Anatomy, page: str = "stacked") -> dict[str, Matrix]:
    """A page's matrices by symbol; of those that have one, the last."""
    return {
        plain(matrix.symbol): matrix
        for section in getattr(anatomy, page)
        for step in section.steps
        for matrix in step.matrices
    }


def steps(anatomy: Anatomy, page: str = "stacked") -> list[str]:
    return [step.name for section in getattr(anatomy, page) for step in section.steps]


def rounding(anatomy: Anatomy, known: int = 6) -> bool:
    """Whether weights and outputs of both ways and of the model are all known and the same."""
    assert anatomy.equality is not None
    return len(anatomy.equality.known) == known and anatomy.equality.holds


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make a capture of a tiny model of a family."""
    made: dict[str, Capture] = {}

    def make(family: str) -> Capture:
        if family not in made:
            folder = tiny_folder(tmp_path_factory.mktemp(family), family)
            made[family] = attnviz_gui.capture(load_model(folder, device="cpu"), TEXT)
        return made[family]

    return make


# -- the worked example ----------------------------------------------------------------------


def test_the_worked_example_comes_to_the_printed_figures_in_both_ways() -> None:
    module, x = worked_example()
    anatomy = of_multihead(module, x)
    for page in ("stacked", "paper"):
        found = matrices(anatomy, page)
        np.testing.assert_allclose(found["A0"].values, ATTENTION[0], atol=5.1e-5)
        np.testing.assert_allclose(found["Y"].values, OUTPUT, atol=5.1e-5)
    np.testing.assert_allclose(matrices(anatomy, "paper")["A1"].values, ATTENTION[1], atol=5.1e-5)
    np.testing.assert_allclose(matrices(anatomy)["Q | K | V"].values[0], ROW, atol=5.1e-5)
    second = matrices(of_multihead(module, x, head=1))
    np.testing.assert_allclose(second["A1"].values, ATTENTION[1], atol=5.1e-5)
    assert rounding(anatomy)
    assert anatomy.missing == ""


def test_the_worked_example_is_always_the_same_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.rand(1)
    torch.manual_seed(1)
    one, other = worked_example(), worked_example()
    assert torch.equal(torch.rand(1), before)
    assert torch.equal(one[1], other[1])
    assert torch.equal(one[0].in_proj_weight, other[0].in_proj_weight)


def test_a_capture_of_the_worked_example_gives_the_same_steps() -> None:
    module, x = worked_example()
    capture = attnviz_gui.capture(module, (x,), tokens=list("abcde"))
    of_capture, direct = dissect(capture, 0, 1), of_multihead(module, x, tokens="abcde", head=1)
    assert steps(of_capture) == steps(direct)
    for symbol, matrix in matrices(direct).items():
        np.testing.assert_allclose(matrices(of_capture)[symbol].values, matrix.values, atol=1e-6)
    assert rounding(of_capture)
    assert matrices(of_capture)["X"].rows.names == tuple("abcde")


def test_rows_and_columns_are_named() -> None:
    module, x = worked_example()
    found = matrices(of_multihead(module, x, tokens="abcde", head=1))
    qkv = found["Q | K | V"]
    assert (qkv.rows.name(2), qkv.columns.name(0)) == ("c", "Q · 0")
    assert [qkv.columns.name(i) for i in (3, 7, 9)] == [
        "Q head 1 · 1", "K head 1 · 1", "V · 1",
    ]  # fmt: skip
    assert found["W"].rows.name(6) == "K head 1 · 0"
    assert found["C"].columns.name(3) == "head 1 · 1"
    assert found["A1"].kind == "share"
    assert found["A1"].columns.names == tuple("abcde")


# -- nn.MultiheadAttention -------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
def test_the_lines_that_check_it_say_true(bias: bool) -> None:
    torch.manual_seed(0)
    module = torch.nn.MultiheadAttention(12, 3, bias=bias).eval()
    if bias:
        torch.nn.init.normal_(module.in_proj_bias)
        torch.nn.init.normal_(module.out_proj.bias)
    x = torch.randn(7, 12)
    anatomy = of_multihead(module, x)
    assert rounding(anatomy)
    names: dict[str, Any] = {"mha": module, "X": x}
    body, _, last = anatomy.check.partition("torch.allclose(")
    exec(body, names)
    assert eval("torch.allclose(" + last, names) is True
    names["X"] = x + 1
    assert eval("torch.allclose(" + last, names) is True
    with torch.no_grad():
        module.out_proj.weight[0, 0] += 1
        names["W"] = (names["W"][1], *names["W"][1:])
    assert eval("torch.allclose(" + last, names) is False


@pytest.mark.parametrize(
    "arguments",
    [
        {"kdim": 6, "vdim": 10},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True, "bias": False},
    ],
    ids=str,
)
def test_multihead_attention_with_sources_and_keys_of_its_own(arguments: dict[str, Any]) -> None:
    torch.manual_seed(1)
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True, **arguments).eval()
    x = torch.randn(1, 5, 8)
    keys, values = (torch.randn(1, 4, arguments.get(dim, 8)) for dim in ("kdim", "vdim"))
    anatomy = dissect(attnviz_gui.capture(module, (x, keys, values)), 0, 1)
    assert rounding(anatomy)
    assert anatomy.missing == ""
    assert {"X", "XK", "XV"} <= set(matrices(anatomy))
    lengthened = "add_bias_kv" in arguments or "add_zero_attn" in arguments
    assert ("Lengthen" in steps(anatomy)) == lengthened
    extra = sum(name in arguments for name in ("add_bias_kv", "add_zero_attn"))
    assert matrices(anatomy)["A1"].values.shape == (5, 4 + extra)


def test_padding_is_left_out_and_masks_are_kept() -> None:
    torch.manual_seed(2)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    padding = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])
    inputs = {
        "src": torch.randn(2, 6, 8),
        "mask": torch.triu(torch.ones(6, 6, dtype=torch.bool), 1),
        "src_key_padding_mask": padding,
    }
    capture = attnviz_gui.capture(model, inputs)
    anatomy = dissect(capture, 1, 0, text=1)
    assert rounding(anatomy)
    found = matrices(anatomy)
    assert found["X"].values.shape == (4, 8)
    assert np.isneginf(found["L0"].values[0, 1:]).all()
    np.testing.assert_allclose(found["A0"].values, capture.head(1, 0, 1).attention, atol=1e-6)
    assert anatomy.check == ""  # the short line knows no masks


# -- models of transformers ------------------------------------------------------------------


def test_a_head_of_bert(capybara: Capture) -> None:
    anatomy = dissect(capybara, 3, 7)
    assert rounding(anatomy)
    found = matrices(anatomy)
    assert found["W"].values.shape == (1152, 384)
    assert found["Q | K | V"].values.shape == (11, 1152)
    assert found["W"].rows.name(384 + 7 * 32) == "K head 7 · 0"
    head = capybara.head(3, 7)
    for name, wanted in (("q7", head.query), ("k7", head.key), ("v7", head.value)):
        np.testing.assert_allclose(found[name].values, wanted, atol=1e-4)
    np.testing.assert_allclose(found["A7"].values, head.attention, atol=1e-5)
    of_paper = matrices(anatomy, "paper")
    assert of_paper["W7Q"].values.shape == (384, 32)
    np.testing.assert_array_equal(of_paper["W7Q"].values.T, found["W"].values[7 * 32 : 8 * 32])
    np.testing.assert_array_equal(of_paper["WO"].values.T, found["WO"].values)


def test_the_lines_that_check_a_model_print_true(bundled: Any, capybara: Capture) -> None:
    anatomy = dissect(capybara, 2, 0)
    inputs = text_forward(bundled, encode(bundled.tokenizer, CAPYBARA)).keywords
    hooks = {name: len(m._forward_hooks) for name, m in bundled.module.named_modules()}
    said = io.StringIO()
    with contextlib.redirect_stdout(said), torch.no_grad():
        exec(anatomy.check, {"model": bundled.module, "inputs": inputs})
    for name, module in bundled.module.named_modules():
        if len(module._forward_hooks) > hooks[name]:
            module._forward_hooks.clear()
    assert said.getvalue() == "True\n"


@pytest.mark.parametrize(
    ("family", "layer", "wanted"),
    [
        ("gpt2", 1, set()),  # three in one, transposed
        ("gpt_neox", 0, {"Rotate"}),  # three in one, head by head, a part of each rotated
        ("llama", 1, {"Rotate"}),  # grouped keys
        ("qwen3", 2, {"Normalise", "Rotate"}),
        ("opt", 0, {"Scale"}),  # queries are scaled before they are handed on
        ("t5", 0, set()),  # not scaled, with a bias
        ("albert", 2, set()),  # one module, run three times
        ("gemma2", 1, {"Rotate"}),  # a soft cap
        ("gpt_oss", 0, {"Rotate"}),  # a sink
    ],
)
def test_projections_are_found_by_their_numbers(
    tiny: Any, family: str, layer: int, wanted: set[str]
) -> None:
    capture = tiny(family)
    anatomy = dissect(capture, layer, 3)
    assert anatomy.missing == ""
    assert rounding(anatomy)
    assert {"Normalise", "Rotate", "Scale"} & set(steps(anatomy)) == wanted
    attention = matrices(anatomy)["A3"].values
    np.testing.assert_allclose(attention, capture.head(layer, 3).attention, atol=1e-5)


def test_cross_attention_has_two_sources(tiny: Any) -> None:
    capture = tiny("t5")
    layer = next(i for i, layer in enumerate(capture.layers) if layer.kind == "cross")
    anatomy = dissect(capture, layer, 0)
    assert rounding(anatomy)
    assert {"X", "XK"} <= set(matrices(anatomy))
    assert "XV" not in matrices(anatomy)
    assert {"WQ", "WK", "WV"} <= set(matrices(anatomy))


def test_grouped_queries_name_their_key_head(tiny: Any) -> None:
    anatomy = dissect(tiny("llama"), 0, 3)  # 4 query heads, 2 key heads
    formulas = [plain(s.formula) for section in anatomy.stacked for s in section.steps]
    assert "with key head 1" in formulas
    assert matrices(anatomy)["W"].rows.name(32) == "K · 0"
    assert matrices(anatomy)["W"].rows.name(32 + 8) == "K head 1 · 0"


# -- where not everything is known -----------------------------------------------------------


def test_without_the_model_it_begins_at_q_k_v_and_says_so(
    capybara: Capture, tmp_path: Path
) -> None:
    path = tmp_path / "capture.safetensors"
    capybara.save(path)
    opened = attnviz_gui.open_capture(path)
    anatomy = dissect(opened, 0, 5)
    assert "opened from a file" in anatomy.missing
    assert anatomy.equality is None
    assert steps(anatomy)[0] == "Recorded vectors"
    np.testing.assert_array_equal(matrices(anatomy)["q5"].values, opened.head(0, 5).query)
    np.testing.assert_allclose(
        matrices(anatomy)["A5"].values, opened.head(0, 5).attention, atol=1e-6
    )


class Strange(torch.nn.Module):
    """Attention whose queries are no linear map of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(8, 8)
        self.inner = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(torch.sin(self.first(x)), x, x)[0]


def test_what_stands_before_an_attention_is_not_taken_for_it() -> None:
    torch.manual_seed(3)
    capture = attnviz_gui.capture(Strange().eval(), (torch.randn(1, 5, 8),))
    anatomy = dissect(capture, 0, 0)
    assert rounding(anatomy)
    assert np.abs(matrices(anatomy)["X"].values).max() <= 1  # a sine


def test_nothing_is_left_on_the_model(bundled: Any, capybara: Capture) -> None:
    def state() -> list[Any]:
        return [
            (name, len(m._forward_hooks), len(m._forward_pre_hooks), m.training)
            for name, m in bundled.module.named_modules()
        ]

    before = state(), bundled.module.config._attn_implementation
    dissect(capybara, 1, 0)
    assert (state(), bundled.module.config._attn_implementation) == before


def test_a_capture_is_not_kept_alive() -> None:
    module, x = worked_example()
    capture = attnviz_gui.capture(module, (x,))
    dissect(capture, 0, 0)
    gone = weakref.ref(capture)
    del capture
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("place", [(9, 0, 0), (0, 12, 0), (0, 0, 1), (-1, 0, 0)])
def test_what_is_not_there_is_refused(capybara: Capture, place: tuple[int, int, int]) -> None:
    with pytest.raises(IndexError):
        dissect(capybara, *place)


def test_equality_is_held_against_the_size_of_the_output() -> None:
    differences = (Difference("weights", "a", 9e-6), Difference("output", "a", 5e-4))
    assert not Equality(differences, size=1.0).holds
    assert Equality(differences, size=100.0).holds
    assert not Equality((Difference("weights", "a", 2e-5),), size=100.0).holds
    unknown = Equality((*differences, Difference("output", "b", None)), size=100.0)
    assert unknown.holds
    assert len(unknown.known) == 2
