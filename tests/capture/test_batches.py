"""Many texts at once: those of one length in one call, each as if it had been run alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attnviz_gui.capture.batches import FEW, batches
from attnviz_gui.capture.budget import batch_tokens, expected_bytes
from attnviz_gui.capture.models import LoadedModel
from attnviz_gui.capture.recorder import record, record_texts
from attnviz_gui.errors import Cancelled

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture

FEW_TEXTS = [
    "The cat sleeps.",
    "A dog barks loudly at night.",
    "Rain falls softly.",
    "吾輩は猫である。",
    "Two birds sing.",
    "x",
    "The old dog barks at us.",
]
TEXTS = [text for i in range(3) for text in (*FEW_TEXTS, f"Number {i} is here.")]


def differences(capture: Capture, model: LoadedModel) -> float:
    """How far the attention of each text is from that of the text alone."""
    most = 0.0
    for t, text in enumerate(capture.texts):
        alone = record(model, text)
        assert alone.tokens[0] == capture.tokens[t]
        for layer, described in enumerate(capture.layers):
            for head in range(described.n_heads):
                own, other = alone.head(layer, head), capture.head(layer, head, t)
                most = max(most, float(np.abs(own.attention - other.attention).max()))
    return most


@given(lengths=st.lists(st.integers(1, 40), max_size=60), most=st.integers(1, 200))
def test_each_text_is_in_one_batch_of_its_length(lengths: list[int], most: int):
    found = batches(lengths, most)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    if len(lengths) <= FEW:
        assert max(map(len, found), default=1) == 1
    for batch in found:
        assert len({lengths[i] for i in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= most
    assert [batch[0] for batch in found] == sorted(batch[0] for batch in found)


def test_texts_together_are_as_each_alone(bundled: LoadedModel):
    capture = record(bundled, TEXTS)
    assert capture.texts == tuple(TEXTS)
    assert capture.texts_asked is None
    # Another number of rows makes products be summed in another order.
    assert differences(capture, bundled) < 1e-5
    assert capture.verify() < 1e-5
    few = record(bundled, FEW_TEXTS)
    assert differences(few, bundled) == 0


@pytest.mark.parametrize("family", ["gpt2", "t5", "deberta"])
def test_also_in_other_families(family: str, bundled: LoadedModel):
    model = LoadedModel(family, tiny(family), bundled.tokenizer, "cpu", None, family)
    capture = record(model, TEXTS)
    assert differences(capture, model) < 1e-5


def tiny(family: str) -> torch.nn.Module:
    import transformers as t

    torch.manual_seed(0)
    vocab = 30522
    module = {
        "gpt2": lambda: t.GPT2Model(
            t.GPT2Config(vocab_size=vocab, n_embd=32, n_layer=2, n_head=4, n_positions=64)
        ),
        "t5": lambda: t.T5Model(
            t.T5Config(vocab_size=vocab, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
        ),
        "deberta": lambda: t.DebertaModel(
            t.DebertaConfig(
                vocab_size=vocab, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                intermediate_size=64, relative_attention=True, pos_att_type=["c2p", "p2c"],
            )
        ),
    }[family]()  # fmt: skip
    return module.eval()


def test_a_batch_is_as_large_as_the_memory_allows(bundled: LoadedModel):
    fits = batch_tokens(bundled, 100 << 20)
    assert batch_tokens(bundled, 200 << 20)(20) >= 2 * fits(20)
    assert fits(512) < fits(20)  # its attention grows with the square of its length
    lengths = [20] * 300
    found = batches(lengths, fits)
    assert 1 < len(found) < 300
    # What is kept of a batch, in the memory twice while it is computed, is within it.
    assert 2 * expected_bytes(bundled, [20] * len(found[0])) < 100 << 20
    assert batches(lengths, batch_tokens(bundled, 0)) == [[i] for i in range(300)]


def test_small_batches_give_the_same(bundled: LoadedModel, monkeypatch: pytest.MonkeyPatch):
    large = record_texts(bundled, TEXTS)
    monkeypatch.setattr("attnviz_gui.capture.recorder.LEAST_BATCH", 0)
    small = record_texts(bundled, TEXTS, most_bytes=2 << 20)
    for t in range(len(TEXTS)):
        for layer in (0, 5):
            a, b = large.head(layer, 3, t).attention, small.head(layer, 3, t).attention
            np.testing.assert_allclose(a, b, atol=1e-5)


class OneByOne(torch.nn.Module):
    """A model that takes no batch."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.config = inner.config
        self.runs: list[int] = []

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.inner.get_input_embeddings()

    def forward(self, input_ids: torch.Tensor) -> object:
        self.runs.append(len(input_ids))
        if len(input_ids) > 1:
            raise ValueError("one at a time")
        return self.inner(input_ids)


def test_a_model_that_takes_no_batch_is_given_its_texts_one_by_one(bundled: LoadedModel):
    inner = OneByOne(tiny("gpt2"))
    model = LoadedModel("one", inner, bundled.tokenizer, "cpu", None, "one")
    told: list[tuple[int, int]] = []
    capture = record(model, TEXTS, progress=lambda done, total: told.append((done, total)))
    assert capture.texts == tuple(TEXTS)
    assert max(inner.runs) > 1
    assert inner.runs.count(1) >= len(TEXTS)
    assert told[-1][0] == told[-1][1]
    assert differences(capture, model) < 1e-6


def test_a_cancelled_run_keeps_what_is_done(bundled: LoadedModel):
    stop = threading.Event()

    def progress(done: int, total: int) -> None:
        if done >= 13:  # two batches of six layers are done
            stop.set()

    capture = record_texts(bundled, TEXTS, progress=progress, cancel=stop)
    assert 0 < len(capture.texts) < len(TEXTS)
    assert capture.texts_asked == len(TEXTS)
    assert [t for t in TEXTS if t in capture.texts] == list(capture.texts)
    assert capture.verify() < 1e-5
    with pytest.raises(Cancelled):
        record(bundled, TEXTS, cancel=stop)
    with pytest.raises(Cancelled):
        record_texts(bundled, TEXTS, cancel=stop)
