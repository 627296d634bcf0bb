"""Self and cross attention, and the stacks they stand in, told apart in families that differ."""

from __future__ import annotations

from collections import Counter

import pytest

import attnviz_gui
from tests.families.family import Family, build, example

SMALL = {"vocab_size": 300, "pad_token_id": 0, "d_model": 32, "d_kv": 8, "d_ff": 48}
LOCAL = Family("LongT5Config", {**SMALL, "num_layers": 2, "num_heads": 4, "local_radius": 3})

ENCODER_DECODER = {("self", "encoder"): 2, ("self", "decoder"): 2, ("cross", "decoder"): 2}


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        # One sequence, whose keys are fewer than its queries: images made smaller for the keys.
        ("segformer", {("self", ""): 2}),
        ("pvt", {("self", ""): 2}),
        # Queries that are pooled from more keys.
        ("hiera", {("self", ""): 2}),
        ("funnel", {("self", ""): 3}),
        # A window of keys for each block of queries.
        (LOCAL, ENCODER_DECODER),
        ("bart", ENCODER_DECODER),
        ("t5", ENCODER_DECODER),
        # The second stream of the decoder looks at both streams.
        ("prophetnet", {("self", "encoder"): 2, ("self", "decoder"): 4, ("cross", "decoder"): 2}),
        # Its encoder, too, has learnt queries that look at the text.
        (
            "perceiver",
            {("cross", "encoder"): 1, ("self", "encoder"): 2, ("cross", "decoder"): 1},
        ),
        ("bert", {("self", ""): 2}),
    ],
    ids=lambda value: (
        value if isinstance(value, str) else "longt5" if isinstance(value, Family) else ""
    ),
)
def test_kinds_and_stacks(family: str | Family, expected: dict[tuple[str, str], int]) -> None:
    model = build(family)
    capture = attnviz_gui.capture(model, example(family, model))
    assert Counter((layer.kind, layer.stack) for layer in capture.layers) == expected
