"""Captures made from random vectors, and model folders made from a config."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np

from attnviz_gui.capture.record import Capture, Layer, LayerRecord
from attnviz_gui.resources import bundled_model

if TYPE_CHECKING:
    from pathlib import Path


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
        tokens=tuple(list(names) for _ in range(texts)),
        special=tuple(special for _ in range(texts)),
        layers=tuple(Layer(f"layer.{i}", "self", heads, head_dim) for i in range(layers)),
        records=records,
        model_name="random",
    )


def save_tiny_bert(folder: Path) -> Path:
    """Save a BERT of two layers with random weights, with the bundled model's tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=128,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(bundled_model() / name, folder / name)
    return folder
