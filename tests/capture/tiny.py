"""Tiny random models of many families, saved as folders with a tokenizer of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "The brown capybara is sleeping now, and a small bird sits on its back. カピバラ 🦫!"

_SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": 128,
}  # fmt: skip
_ROTARY = {**_SMALL, "num_key_value_heads": 2, "head_dim": 8}
_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}

# family: the config's class and what makes it small
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", _SMALL),
    "roberta": ("RobertaConfig", {**_SMALL, "max_position_embeddings": 66, **_IDS}),
    "distilbert": (
        "DistilBertConfig",
        {"dim": 32, "hidden_dim": 48, "n_layers": 3, "n_heads": 4, "max_position_embeddings": 128},
    ),
    "albert": ("AlbertConfig", {**_SMALL, "embedding_size": 16}),
    "electra": ("ElectraConfig", {**_SMALL, "embedding_size": 16}),
    "modernbert": (
        "ModernBertConfig",
        {**_SMALL, "local_attention": 8, "global_attn_every_n_layers": 2, **_IDS,
         "cls_token_id": 1, "sep_token_id": 2},
    ),
    "gpt2": ("GPT2Config", {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128, **_IDS}),
    "gpt_neox": ("GPTNeoXConfig", {**_SMALL, **_IDS}),
    "opt": (
        "OPTConfig",
        {"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
         "word_embed_proj_dim": 32, "max_position_embeddings": 128, **_IDS},
    ),
    "llama": ("LlamaConfig", {**_ROTARY, **_IDS}),
    "qwen2": ("Qwen2Config", {**_ROTARY, **_IDS}),
    "qwen3": ("Qwen3Config", {**_ROTARY, **_IDS}),
    "mistral": ("MistralConfig", {**_ROTARY, "sliding_window": 6, **_IDS}),
    "phi": ("PhiConfig", {**_SMALL, **_IDS}),
    "t5": (
        "T5Config",
        {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4, **_IDS},
    ),
    "bart": (
        "BartConfig",
        {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
         "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
         "max_position_embeddings": 128, **_IDS},
    ),
    "gemma2": ("Gemma2Config", {**_ROTARY, **_IDS}),
    "gpt_oss": (
        "GptOssConfig",
        {**_ROTARY, "num_local_experts": 2, "num_experts_per_tok": 1, **_IDS},
    ),
    "deberta-v2": ("DebertaV2Config", _SMALL),
    "mamba": ("MambaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, **_IDS}),
}  # fmt: skip


def byte_tokenizer(**switches: Any) -> Any:
    """A byte-level BPE tokenizer with few merges: characters beyond ASCII span several tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(
        ["the brown capybara is sleeping now and a small bird"] * 3, trainer
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **switches
    )


def tiny_model(family: str, **changes: Any) -> Any:
    """A random model of a family, the same each time."""
    name, small = FAMILIES[family]
    config = getattr(transformers, name)(vocab_size=300, **{**small, **changes})
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(config).eval()
    # Larger weights than usual, so that the attention is far from even.
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data *= 8 if parameter.std() < 0.1 else 1.5
    return model


def tiny_folder(folder: Path, family: str, **changes: Any) -> Path:
    """The same, saved with a tokenizer."""
    tiny_model(family, **changes).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
