"""The table of all heads: one text, all texts, with and without special tokens, cancel."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from attnviz_gui.analysis.heads import ALL_TEXTS, heads_of, measure_heads
from attnviz_gui.analysis.measures import BY_NAME
from attnviz_gui.errors import Cancelled, InputError
from tests.analysis import oracles
from tests.samples import random_capture

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture


@pytest.mark.parametrize("with_special", [True, False])
def test_every_head_has_its_measures(capybara: Capture, with_special: bool) -> None:
    told = []
    found = measure_heads(
        capybara, 0, with_special=with_special, progress=lambda *at: told.append(at)
    )
    assert found.heads == heads_of(capybara)
    assert found.names == tuple(BY_NAME)
    assert told[-1] == (72, 72)
    for layer, head in ((0, 0), (3, 7), (5, 11)):
        of = capybara.head(layer, head)
        wanted = oracles.measures(
            of.attention, of.mask, capybara.tokens[0], capybara.special[0],
            with_special=with_special,
        )  # fmt: skip
        for name, value in wanted.items():
            got = found.of(layer, head, name)
            assert got == pytest.approx(value, rel=1e-5, abs=1e-6, nan_ok=True)
            assert bool(found.reason(layer, head, name)) == math.isnan(got)


def test_all_texts_are_their_mean() -> None:
    capture = random_capture(7, texts=3, causal=True)
    every = measure_heads(capture, ALL_TEXTS)
    own = [measure_heads(capture, text).values for text in range(3)]
    np.testing.assert_allclose(every.values, np.mean(own, axis=0), rtol=1e-12)


def test_some_measures_only_and_more_beside_them() -> None:
    capture = random_capture(6)
    few = measure_heads(capture, 0, names=["next", "entropy"])
    assert few.names == ("next", "entropy")
    with pytest.raises(InputError, match="not measured"):
        few.column("previous")
    more = few.extended(measure_heads(capture, 0, names=["entropy", "duplicate"]))
    assert more.names == ("next", "entropy", "duplicate")
    assert np.isnan(more.column("duplicate")).all()
    assert more.reason(0, 0, "duplicate") == "no token occurs twice"
    np.testing.assert_array_equal(more.column("next"), few.column("next"))


def test_what_is_not_there_is_refused() -> None:
    capture = random_capture(4)
    with pytest.raises(InputError, match="no measure joy"):
        measure_heads(capture, names=["joy"])
    with pytest.raises(InputError, match="no text 1"):
        measure_heads(capture, 1)


def test_cancel_stops_it() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        measure_heads(random_capture(4), cancel=cancel)
