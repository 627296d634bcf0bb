"""Mean attention by position equals a plain loop over texts and pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from attnviz_gui.analysis.positions import mean_by_position
from attnviz_gui.capture.recorder import record
from attnviz_gui.errors import Cancelled
from tests.samples import random_capture

if TYPE_CHECKING:
    from attnviz_gui.capture.models import LoadedModel
    from attnviz_gui.capture.record import Capture


def of_many_lengths(*, causal: bool) -> Capture:
    parts = [random_capture(n, seed=n, causal=causal) for n in (3, 7, 5, 1)]
    return replace(
        parts[0],
        texts=tuple(t for p in parts for t in p.texts),
        tokens=tuple(t for p in parts for t in p.tokens),
        special=tuple(t for p in parts for t in p.special),
        records=tuple(t for p in parts for t in p.records),
    )


@pytest.mark.parametrize("with_special", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_it_equals_a_plain_loop(causal: bool, with_special: bool):
    capture = of_many_lengths(causal=causal)
    found = mean_by_position(capture, 1, 2, with_special=with_special)
    assert found.mean.shape == found.count.shape == (7, 7)
    assert found.n_texts == 4
    for i in range(7):
        for j in range(7):
            values = []
            for text, tokens in enumerate(capture.tokens):
                if max(i, j) >= len(tokens) or (causal and j > i):
                    continue
                if not with_special and (capture.special[text][i] or capture.special[text][j]):
                    continue
                values.append(float(capture.head(1, 2, text).attention[i, j]))
            assert found.count[i, j] == len(values)
            assert found.mean[i, j] == pytest.approx(np.mean(values) if values else 0, abs=1e-6)


def test_rows_of_texts_of_one_length_sum_to_one(bundled: LoadedModel):
    capture = record(bundled, ["The cat sleeps.", "A dog barks.", "Rain is falling."])
    found = mean_by_position(capture, 0, 0)
    n = min(len(tokens) for tokens in capture.tokens)
    rows = found.count[:n].sum(axis=1)
    assert rows.min() >= 3 * n
    same = mean_by_position(record(bundled, ["The cat sleeps."] * 3), 0, 0)
    alone = record(bundled, "The cat sleeps.").head(0, 0).attention
    np.testing.assert_allclose(same.mean, alone, atol=1e-6)
    assert (same.count == 3).all()


def test_it_says_how_far_it_is_and_stops():
    capture = random_capture(5, texts=4)
    told: list[tuple[int, int]] = []
    mean_by_position(capture, 0, 0, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(Cancelled):
        mean_by_position(capture, 0, 0, cancel=lambda: True)
