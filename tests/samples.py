"""Captures made from random vectors, for sizes that the bundled model does not have."""

from __future__ import annotations

import numpy as np

from attnviz_gui.capture.record import Capture, Layer, LayerRecord


def random_capture(
    n_tokens: int, *, layers: int = 2, heads: int = 3, head_dim: int = 32, seed: int = 0,
    causal: bool = False, texts: int = 1,
) -> Capture:  # fmt: skip
    """A capture with [CLS] and [SEP] at its ends (where there is room) and random vectors."""
    rng = np.random.default_rng(seed)
    names = [f"t{i}" for i in range(n_tokens)]
    special = np.zeros(n_tokens, dtype=bool)
    if n_tokens > 2:
        names[0], names[-1] = "[CLS]", "[SEP]"
        special[[0, -1]] = True
    mask = np.ones((n_tokens, n_tokens), dtype=bool)
    if causal:
        mask = np.tril(mask)

    def vectors(offset: float) -> np.ndarray:
        base = rng.normal(size=(heads, n_tokens, head_dim)) + offset
        return base.astype(np.float32)

    records = tuple(
        tuple(
            LayerRecord(vectors(0.5), vectors(-0.5), vectors(0.0), head_dim**-0.5, mask)
            for _ in range(layers)
        )
        for _ in range(texts)
    )
    return Capture(
        texts=tuple(" ".join(names) for _ in range(texts)),
        tokens=tuple(tuple(names) for _ in range(texts)),
        special=tuple(special for _ in range(texts)),
        layers=tuple(Layer(f"layer.{i}", "self", heads, head_dim) for i in range(layers)),
        records=records,
        model_name="random",
    )
