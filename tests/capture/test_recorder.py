"""Recording: exact, complete, without a trace, and stopped when asked."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers

import attnviz_gui
from attnviz_gui.capture.models import load_model
from attnviz_gui.capture.quiet import quiet
from attnviz_gui.capture.verify import head_differences
from attnviz_gui.errors import Cancelled, InputError
from attnviz_gui.resources import bundled_model
from tests.capture.tiny import TEXT, tiny_model
from tests.conftest import CAPYBARA
from tests.samples import random_capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture

_SENTENCE = "Attention is a weighted mean of values, and its weights come from scaled products. "
TEXTS = {
    "capybara": CAPYBARA,
    "500 tokens": (_SENTENCE * 40)[:2580],
    "Japanese": "カピバラは今、川のそばで静かに眠っています。",
    "emoji": "I love 🦫 and 🙂👍🏽 so much! 🎉👨‍👩‍👧",
    "257 tokens": "The small brown bird sleeps. " * 42 + "The river runs",  # no part of a size
    "one character": "a",
    "mixed": "Whether 3.14 or 2,718: “numbers” — naïve façades, tabs\tand\nnewlines too…",
}


@pytest.fixture(scope="module")
def eager() -> Any:
    """The bundled model with its own attention, loaded by transformers alone."""
    return transformers.AutoModel.from_pretrained(
        bundled_model(), attn_implementation="eager"
    ).eval()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_every_head_equals_the_models_own_attention(
    bundled: LoadedModel, eager: Any, text: str
) -> None:
    capture = attnviz_gui.capture(bundled, text)
    cut = bundled.tokenizer(text, truncation=False, padding=False, return_tensors="pt")
    with torch.no_grad():
        own = eager(**cut, output_attentions=True).attentions
    assert len(capture.layers) == len(own) == 6
    assert len(capture.tokens[0]) == cut["input_ids"].shape[1]
    for layer, weights in enumerate(own):
        for head in range(12):
            attention = capture.head(layer, head).attention
            assert np.abs(attention - weights[0, head].numpy()).max() <= 1e-6
    assert 0 < capture.verify() <= 1e-6


def test_the_long_text_is_long(bundled: LoadedModel) -> None:
    assert len(attnviz_gui.capture(bundled, TEXTS["500 tokens"]).tokens[0]) >= 498


def test_the_first_text(capybara: Capture) -> None:
    assert capybara.tokens == (
        ["[CLS]", "the", "brown", "cap", "##y", "##bara", "is", "sleeping", "now", ".", "[SEP]"],
    )
    assert np.flatnonzero(capybara.special[0]).tolist() == [0, 10]
    assert [e.name for e in capybara.layers] == [
        f"encoder.layer.{i}.attention.self" for i in range(6)
    ]
    assert {(e.kind, e.n_heads, e.head_dim) for e in capybara.layers} == {("self", 12, 32)}
    head = capybara.head(3, 7)
    assert head.query.shape == head.key.shape == head.value.shape == (11, 32)
    assert head.query.dtype == head.attention.dtype == np.float32
    assert head.scaling == pytest.approx(32**-0.5, abs=1e-12)
    assert head.mask.all()
    assert head.bias is None
    assert capybara.model_name == "all-MiniLM-L6-v2"
    assert capybara.seconds > 0
    assert capybara.cut_from is None


def test_values_are_the_models_own(bundled: LoadedModel, capybara: Capture) -> None:
    """Query, key and value of the first layer, from its weights."""
    model = bundled.module
    ids = bundled.tokenizer(CAPYBARA, truncation=False, padding=False, return_tensors="pt")
    with torch.no_grad():
        hidden = model.embeddings(input_ids=ids["input_ids"])
        attention = model.encoder.layer[0].attention.self
        for name in ("query", "key", "value"):
            expected = getattr(attention, name)(hidden)[0].reshape(11, 12, 32).transpose(0, 1)
            recorded = getattr(capybara.records[0][0], name)
            assert np.abs(recorded - expected.numpy()).max() < 1e-6


def test_differences_by_head(bundled: LoadedModel) -> None:
    capture = attnviz_gui.capture(bundled, [CAPYBARA, "a"])
    differences = head_differences(capture)
    assert [len(text) for text in differences] == [6, 6]
    assert all(d.shape == (12,) for text in differences for d in text)
    assert max(d.max() for text in differences for d in text) == pytest.approx(capture.verify())


def test_verify_sees_a_wrong_record(bundled: LoadedModel) -> None:
    from dataclasses import replace

    capture = attnviz_gui.capture(bundled, CAPYBARA)
    layers = list(capture.records[0])
    layers[4] = replace(layers[4], scaling=layers[4].scaling * 1.01)
    wrong = replace(capture, records=(tuple(layers),))
    assert wrong.verify() > 1e-4
    by_layer = [d.max() for d in head_differences(wrong)[0]]
    assert max(by_layer) == by_layer[4]
    assert max(by_layer[:4] + by_layer[5:]) <= 1e-6


def test_verify_without_the_model() -> None:
    capture = random_capture(5)
    with pytest.raises(RuntimeError, match="needs the model"):
        capture.verify()
    with pytest.raises(RuntimeError, match="not at hand"):
        head_differences(capture)


def test_many_texts_are_run_one_by_one(bundled: LoadedModel) -> None:
    texts = ["a", CAPYBARA, "a"]
    together = attnviz_gui.capture(bundled, texts)
    assert together.texts == tuple(texts)
    assert [len(t) for t in together.tokens] == [3, 11, 3]
    for index, text in enumerate(texts):
        _same(together.records[index], attnviz_gui.capture(bundled, text).records[0])


def test_two_captures_are_equal(bundled: LoadedModel) -> None:
    first = attnviz_gui.capture(bundled, TEXTS["emoji"])
    second = attnviz_gui.capture(bundled, TEXTS["emoji"])
    assert first.tokens == second.tokens
    assert first.layers == second.layers
    _same(first.records[0], second.records[0])


def test_records_cannot_be_written_to(capybara: Capture) -> None:
    record = capybara.records[0][0]
    for array in (record.query, record.key, record.value, record.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


def test_own_names_for_tokens(bundled: LoadedModel) -> None:
    capture = attnviz_gui.capture(bundled, "a b", tokens=["start", "A", "B", "end"])
    assert capture.tokens == (["start", "A", "B", "end"],)
    with pytest.raises(InputError, match="holds 1 names for a text of 4 tokens"):
        attnviz_gui.capture(bundled, "a b", tokens=["A"])
    with pytest.raises(InputError, match="names 1 texts, but there are 2"):
        attnviz_gui.capture(bundled, ["a b", "c"], tokens=[["A"]])


@pytest.mark.parametrize("inputs", [[], {"input_ids": 3}, 5, None, ["a", 1]])
def test_inputs_that_are_no_texts(bundled: LoadedModel, inputs: Any) -> None:
    with pytest.raises(InputError, match="text"):
        attnviz_gui.capture(bundled, inputs)


def test_a_module_in_memory_is_read_too() -> None:
    module = transformers.AutoModel.from_pretrained(bundled_model())
    capture = attnviz_gui.capture(module, "a")  # its tokenizer is found where it came from
    assert len(capture.tokens[0]) == 3
    nameless = load_model(tiny_model("bert"))
    with pytest.raises(InputError, match="no tokenizer"):
        attnviz_gui.capture(nameless, "a")


# -- no trace --------------------------------------------------------------------------------


def _trace(model: Any) -> list[Any]:
    """Everything that a run might leave behind."""
    return [
        [
            (name, part.training, len(part._forward_hooks), len(part._forward_pre_hooks))
            for name, part in model.named_modules()
        ],
        [sorted(vars(part)) for part in model.modules()],
        [part.config._attn_implementation for part in model.modules() if hasattr(part, "config")],
        [p.requires_grad for p in model.parameters()],
        transformers.utils.logging.get_verbosity(),
        logging.getLogger("transformers").propagate,
        [len(handler.filters) for handler in logging.getLogger("transformers").handlers],
        transformers.utils.logging.is_progress_bar_enabled(),
        torch.is_grad_enabled(),
    ]


def test_only_errors_are_heard_from_transformers() -> None:
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    library = logging.getLogger("transformers")
    library.addHandler(handler)
    try:
        with quiet(), quiet():
            logging.getLogger("transformers.models.bert").warning("within")
            logging.getLogger("transformers.models.bert").error("wrong")
        logging.getLogger("transformers.models.bert").warning("afterwards")
    finally:
        library.removeHandler(handler)
    assert said == ["wrong", "afterwards"]


def _outputs(model: Any) -> torch.Tensor:
    torch.manual_seed(1)  # one block is in training, its dropout at work
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 25)[None]).last_hidden_state  # type: ignore[no-any-return]


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("how", ["done", "verified", "failed", "cancelled"])
def test_a_run_leaves_no_trace(tmp_path: Any, how: str, implementation: str) -> None:
    from tests.capture.tiny import tiny_folder

    model = load_model(tiny_folder(tmp_path / "gpt2", "gpt2"), device="cpu")
    module: Any = model.module
    module.set_attn_implementation(implementation)
    module.train()
    module.h[1].eval()  # flags that are not all the same come back as they were
    module.eval()
    module.h[1].train()
    before, outputs = _trace(module), _outputs(module)
    if how in ("done", "verified"):
        for _ in range(2):  # the first run of a model goes to its end, the second need not
            capture = attnviz_gui.capture(model, TEXT)
            if how == "verified":
                capture.verify()
    elif how == "failed":
        whole, module.h[1].mlp.c_fc.weight.data = (
            module.h[1].mlp.c_fc.weight.data,
            torch.zeros(1, 2),
        )
        with pytest.raises(InputError, match="could not be run"):
            attnviz_gui.capture(model, TEXT)
        module.h[1].mlp.c_fc.weight.data = whole
    else:
        asked: list[int] = []
        with pytest.raises(Cancelled):
            attnviz_gui.capture(model, TEXT, cancel=lambda: len(asked) > 2 or asked.append(1))
    assert _trace(module) == before
    assert module.config._attn_implementation == implementation
    assert torch.equal(_outputs(module), outputs)


def test_a_callers_hooks_see_the_whole_model(bundled: LoadedModel) -> None:
    """A run that ends with the last attention would keep the last hooks from being called."""
    attnviz_gui.capture(bundled, "a")
    ends: list[torch.Tensor] = []
    handle = bundled.module.register_forward_hook(
        lambda _module, _inputs, output: ends.append(output.last_hidden_state)
    )
    try:
        attnviz_gui.capture(bundled, "a")
    finally:
        handle.remove()
    assert [tuple(e.shape) for e in ends] == [(1, 3, 384)]


def test_a_model_that_has_grown_is_read_whole(tmp_path: Any) -> None:
    from copy import deepcopy

    from tests.capture.tiny import tiny_folder

    model = load_model(tiny_folder(tmp_path / "bert", "bert"), device="cpu")
    for _ in range(2):
        assert len(attnviz_gui.capture(model, TEXT).layers) == 3
    layers = model.module.encoder.layer  # type: ignore[union-attr]
    layers.append(deepcopy(layers[0]))  # type: ignore[union-attr, arg-type]
    capture = attnviz_gui.capture(model, TEXT)
    assert len(capture.layers) == 4
    assert capture.verify() <= 1e-6


# -- progress and cancel ---------------------------------------------------------------------


@pytest.mark.parametrize("texts", [[CAPYBARA], [CAPYBARA, "a", "b"]])
def test_progress_counts_layers(bundled: LoadedModel, texts: list[str]) -> None:
    told: list[tuple[int, int]] = []
    attnviz_gui.capture(bundled, texts, progress=lambda done, total: told.append((done, total)))
    layers = 6 * len(texts)
    assert sorted(set(told)) == [(done, layers) for done in range(layers + 1)]
    assert told == sorted(told)


@pytest.mark.parametrize("layer", [0, 3, 5])
def test_cancel_stops_at_the_next_layer(bundled: LoadedModel, layer: int) -> None:
    event, told = threading.Event(), []

    def progress(done: int, total: int) -> None:
        told.append(done)
        if done == layer:
            event.set()

    with pytest.raises(Cancelled):
        attnviz_gui.capture(bundled, CAPYBARA, progress=progress, cancel=event)
    assert told[-1] == layer


def test_cancelled_before_it_began(bundled: LoadedModel) -> None:
    with pytest.raises(Cancelled):
        attnviz_gui.capture(bundled, CAPYBARA, cancel=lambda: True)


def test_a_failing_progress_is_the_callers_own_error(bundled: LoadedModel) -> None:
    def progress(done: int, total: int) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        attnviz_gui.capture(bundled, CAPYBARA, progress=progress)


# -- threads ---------------------------------------------------------------------------------


def test_two_threads_do_not_mix(bundled: LoadedModel) -> None:
    texts = [CAPYBARA, TEXTS["Japanese"]] * 3
    alone = {text: attnviz_gui.capture(bundled, text) for text in set(texts)}
    with ThreadPoolExecutor(2) as pool:
        captures = list(pool.map(lambda text: attnviz_gui.capture(bundled, text), texts))
    for text, capture in zip(texts, captures, strict=True):
        assert capture.texts == (text,)
        _same(capture.records[0], alone[text].records[0])


def test_waiting_for_another_run_can_be_cancelled(bundled: LoadedModel) -> None:
    inside, leave = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        inside.set()
        assert leave.wait(30)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(attnviz_gui.capture, bundled, "a", progress=progress)
        try:
            assert inside.wait(30)
            asked: list[int] = []
            with pytest.raises(Cancelled):
                attnviz_gui.capture(bundled, "b", cancel=lambda: len(asked) > 1 or asked.append(1))
        finally:
            leave.set()
        assert first.result().tokens == (["[CLS]", "a", "[SEP]"],)


# -- numbers that are none -------------------------------------------------------------------


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_said(tmp_path: Any, bad: float) -> None:
    from tests.capture.tiny import tiny_folder

    model = load_model(tiny_folder(tmp_path / "bert", "bert"), device="cpu")
    model.module.encoder.layer[0].output.dense.weight.data[0, 0] = bad  # type: ignore[union-attr, index]
    with pytest.raises(InputError, match="no finite numbers"):
        attnviz_gui.capture(model, TEXT)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_recorded_as_float32(tmp_path: Any, dtype: torch.dtype) -> None:
    from tests.capture.tiny import tiny_folder

    folder = tiny_folder(tmp_path / "llama", "llama")
    load: Callable[..., Any] = transformers.AutoModel.from_pretrained
    load(folder).to(dtype).save_pretrained(folder)
    model = load_model(folder, device="cpu")
    assert next(model.module.parameters()).dtype == dtype
    capture = attnviz_gui.capture(model, TEXT)
    assert capture.head(2, 3).query.dtype == np.float32
    assert (
        capture.verify() <= {torch.float64: 1e-6, torch.float16: 2e-3, torch.bfloat16: 2e-2}[dtype]
    )


def _same(first: Any, second: Any) -> None:
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.query, b.query)
        assert np.array_equal(a.key, b.key)
        assert np.array_equal(a.value, b.value)
        assert np.array_equal(a.mask, b.mask)
        assert a.scaling == b.scaling
