"""Tiny models of families whose attention goes through the interface of transformers."""

from __future__ import annotations

from typing import Any

from tests.families.family import Family

_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": 300}
_SMALL: dict[str, Any] = {
    **_IDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128,
}  # fmt: skip
_ROTARY = {**_SMALL, "num_key_value_heads": 2, "head_dim": 8}

FAMILIES: dict[str, Family] = {
    "bert": Family("BertConfig", _SMALL),
    "llama": Family("LlamaConfig", _ROTARY),
}
