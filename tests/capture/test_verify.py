"""The check against the model's own attention: what it finds, and that it gives way."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import attnviz_gui
from attnviz_gui.capture.run import alone
from attnviz_gui.capture.verify import head_differences, precision, weights_at_once
from attnviz_gui.errors import Cancelled
from tests.capture.tiny import TEXT, tiny_folder
from tests.samples import random_capture


@pytest.fixture(scope="module")
def bart(tmp_path_factory):
    model = attnviz_gui.load_model(tiny_folder(tmp_path_factory.mktemp("bart"), "bart"))
    return attnviz_gui.capture(model, TEXT)


def test_every_head_of_every_stack_is_exact(bart):
    differences = head_differences(bart)
    assert [[d.shape for d in text] for text in differences] == [[(4,)] * 6]
    assert max(float(d.max()) for d in differences[0]) <= 1e-5


def test_a_head_that_was_read_wrongly_is_found_alone(bart):
    wrong = bart.records[0][1].query.copy()
    wrong[2] *= 1.5
    records = list(bart.records[0])
    records[1] = replace(records[1], query=wrong)
    differences = head_differences(replace(bart, records=(tuple(records),)))[0]
    off = [(layer, h) for layer, d in enumerate(differences) for h in np.flatnonzero(d > 1e-3)]
    assert off == [(1, 2)]


def test_it_stops_at_the_next_layer_and_leaves_no_trace(bart):
    model = bart.verifier.model.module
    before = model.config._attn_implementation
    asked = []

    def cancel() -> bool:
        asked.append(1)
        return len(asked) > 8

    with pytest.raises(Cancelled):
        head_differences(bart, cancel)
    assert len(asked) == 9
    assert model.config._attn_implementation == before
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert head_differences(bart)[0][0].max() <= 1e-5


def test_waiting_for_a_run_can_be_cancelled(bart):
    cancel = threading.Event()
    ended = []

    def check() -> None:
        try:
            head_differences(bart, cancel)
        except Cancelled:
            ended.append("cancelled")

    with alone():
        thread = threading.Thread(target=check)
        thread.start()
        cancel.set()
        thread.join(60)
    assert ended == ["cancelled"]


def test_what_it_holds_and_in_what_it_computes_are_told_beforehand(bart):
    n = len(bart.tokens[0])
    assert weights_at_once(bart) == 4 * n * n
    assert precision(bart) == "float32"
    half = attnviz_gui.capture(
        replace(bart.verifier.model, module=bart.verifier.model.module.to(torch.bfloat16)), TEXT
    )
    assert precision(half) == "bfloat16"
    bart.verifier.model.module.to(torch.float32)


def test_a_capture_without_its_model_says_so():
    with pytest.raises(RuntimeError, match="not at hand"):
        head_differences(random_capture(4))
