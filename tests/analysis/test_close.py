"""Dimensions, value-weighted attention and rollout equal plain loops, and known cases."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from attnviz_gui.analysis.dimensions import pair_products, query_products, strongest_dimensions
from attnviz_gui.analysis.rollout import mean_attention, rolled_layers, rollout
from attnviz_gui.analysis.value_weighted import value_norms, value_weighted
from attnviz_gui.capture.record import Head, LayerRecord
from attnviz_gui.errors import Cancelled, InputError
from tests.samples import random_capture

if TYPE_CHECKING:
    from attnviz_gui.capture.record import Capture


def test_products_of_the_coordinates_sum_to_the_models_logit(capybara: Capture) -> None:
    for layer in range(len(capybara.layers)):
        head = capybara.head(layer, 7)
        for i, j in ((0, 0), (2, 4), (10, 3)):
            taken = pair_products(head, i, j)
            loop = [
                float(head.query[i, d]) * float(head.key[j, d]) * head.scaling for d in range(32)
            ]
            assert np.abs(taken.products - loop).max() <= 1e-12
            assert abs(taken.content - float(head.logits[i, j])) <= 1e-5
            assert np.abs(query_products(head, i)[j] - loop).max() <= 1e-6
            sizes = np.abs(taken.products)[taken.order]
            assert (np.diff(sizes) <= 0).all()
            assert sizes[: taken.n_half].sum() >= sizes.sum() / 2 > sizes[: taken.n_half - 1].sum()


def test_before_rotation_the_products_are_those_of_the_unrotated_vectors() -> None:
    plain = random_capture(4, head_dim=6).head(0, 0)
    assert pair_products(plain, 1, 2, rotated=False).rotated  # there is no rotation
    other = random_capture(4, head_dim=6, seed=1).head(0, 0)
    head = replace(plain, unrotated=(other.query, other.key))
    taken = pair_products(head, 1, 2, rotated=False)
    assert not taken.rotated
    assert np.allclose(taken.products, other.query[1] * other.key[2] * head.scaling, atol=1e-6)
    assert np.allclose(pair_products(head, 1, 2).products, plain.query[1] * plain.key[2] * 6**-0.5)


def test_the_coordinates_that_tell_keys_apart_come_first() -> None:
    products = np.zeros((5, 4))
    products[:, 1] = 9  # large, and the same for every key
    products[:, 3] = [0, 1, 2, 3, 4]
    products[:, 0] = [0, 0, 0, 0, 1]
    assert strongest_dimensions(products, 2).tolist() == [3, 0]


def test_value_weighted_attention_equals_a_loop() -> None:
    head = random_capture(5, causal=True).head(1, 2)
    made = value_weighted(head)
    for i in range(5):
        for j in range(5):
            brought = head.attention[i, j] * head.value[j].astype(np.float64)
            assert abs(made[i, j] - np.linalg.norm(brought)) <= 1e-6
    share = value_weighted(head, share=True)
    assert np.allclose(share.sum(axis=1), 1, atol=1e-6)
    assert np.allclose(share * made.sum(axis=1, keepdims=True), made, atol=1e-6)


def test_a_key_with_no_value_brings_nothing_and_an_empty_row_stays_empty() -> None:
    head = random_capture(3).head(0, 0)
    value = head.value.copy()
    value[1] = 0
    mask = head.mask.copy()
    mask[2] = False
    made = replace(head, value=value, mask=mask)
    assert value_norms(made)[1] == 0
    weighted = value_weighted(made, share=True)
    assert weighted[:, 1].max() == 0
    assert weighted[2].max() == 0
    assert weighted[0].sum() == pytest.approx(1)


def _loop(capture: Capture, layers: list[int], text: int = 0) -> np.ndarray:
    """The rollout, written out."""
    n = len(capture.tokens[text])
    rolled = np.eye(n)
    for layer in layers:
        heads = capture.layers[layer].n_heads
        mixed = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                a = sum(float(capture.head(layer, h, text).attention[i, j]) for h in range(heads))
                mixed[i, j] = 0.5 * a / heads + 0.5 * (i == j)
        for i in range(n):
            mixed[i] = mixed[i] / mixed[i].sum()
        rolled = np.array(
            [
                [sum(mixed[i, k] * rolled[k, j] for k in range(n)) for j in range(n)]
                for i in range(n)
            ]
        )
    return rolled


@pytest.mark.parametrize("causal", [False, True])
def test_rollout_equals_a_loop(causal: bool) -> None:
    capture = random_capture(6, layers=3, causal=causal, texts=2)
    steps: list[tuple[int, int]] = []
    made = rollout(capture, 2, 1, progress=lambda done, total: steps.append((done, total)))
    assert np.abs(made - _loop(capture, [0, 1, 2], 1)).max() <= 1e-6
    assert np.allclose(made.sum(axis=1), 1, atol=1e-6)
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    if causal:
        assert np.triu(made, 1).max() == 0
    assert np.abs(mean_attention(capture, 1) - _mean(capture, 1)).max() <= 1e-6


def _mean(capture: Capture, layer: int) -> np.ndarray:
    return np.mean([capture.head(layer, h).attention for h in range(3)], axis=0)


def _previous(n: int) -> LayerRecord:
    """One head in which each token attends to the one before it, the first to itself."""
    attended = np.maximum(np.arange(n) - 1, 0)
    eye = np.eye(n, dtype=np.float32)
    return LayerRecord(1e3 * eye[attended][None], eye[None], eye[None], 1.0, np.ones((n, n), bool))


def test_what_is_handed_on_by_previous_token_heads_goes_back_a_step_a_layer() -> None:
    """After two layers of 'previous token': a quarter two back, a half one back, a quarter here."""
    base = random_capture(5, heads=1)
    capture = replace(base, records=((_previous(5), _previous(5)),))
    made = rollout(capture, 1)
    assert np.allclose(made[4], [0, 0, 0.25, 0.5, 0.25])
    assert np.allclose(made[1], [0.75, 0.25, 0, 0, 0])  # the first token keeps what it has


def test_a_token_that_attends_to_nothing_keeps_itself_and_a_sink_takes_no_part() -> None:
    base = random_capture(4, layers=1)
    record = base.records[0][0]
    mask = record.mask.copy()
    mask[1] = False
    sink = np.array([2.0, 3.0, 1.0], np.float32)
    capture = replace(base, records=((replace(record, mask=mask, sink=sink),),))
    made = rollout(capture, 0)
    assert np.allclose(made[1], [0, 1, 0, 0])
    assert np.allclose(made.sum(axis=1), 1, atol=1e-6)


def test_rollout_stays_in_its_stack_and_says_where_it_has_no_meaning(capybara: Capture) -> None:
    base = random_capture(4, layers=4)
    encoder, cross, decoder, last = base.layers
    layers = (
        replace(encoder, stack="encoder"), replace(cross, stack="decoder", kind="cross"),
        replace(decoder, stack="decoder"), replace(last, stack="encoder"),
    )  # fmt: skip
    capture = replace(base, layers=layers)
    assert rolled_layers(capture, 3) == (0, 3)
    assert rolled_layers(capture, 2) == (2,)
    with pytest.raises(InputError, match="Layer 1 is cross-attention"):
        rollout(capture, 1)
    names = tuple("ab")
    small = random_capture(2).records[0][0]
    other = replace(small, query_tokens=names, key_tokens=names)
    merged = replace(base, records=((base.records[0][0], other, *base.records[0][2:]),))
    with pytest.raises(InputError, match="Layer 1 has 2 tokens and layer 3 has 4"):
        rollout(merged, 3)
    assert rolled_layers(capybara, 5) == (0, 1, 2, 3, 4, 5)


def test_rollout_is_cancelled_between_heads() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        rollout(random_capture(4), 1, cancel=cancel)


def test_heads_of_one_dimension_and_one_token() -> None:
    one = random_capture(1, head_dim=1)
    head: Head = one.head(0, 0)
    assert pair_products(head, 0, 0).order.tolist() == [0]
    assert rollout(one, 1).tolist() == [[1.0]]
    assert value_weighted(head, share=True).tolist() == [[1.0]]
