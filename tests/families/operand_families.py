"""Tiny models of families without the attention interface: read by the operands of the softmax."""

from __future__ import annotations

from typing import Any

from tests.families.family import Family

_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": 300}
_SMALL: dict[str, Any] = {
    **_IDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128,
}  # fmt: skip
_GPT: dict[str, Any] = {
    **_IDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128,
}  # fmt: skip
_SEQ2SEQ: dict[str, Any] = {
    **_IDS, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "max_position_embeddings": 128, "decoder_start_token_id": 2,
}  # fmt: skip
_XLM: dict[str, Any] = {
    "vocab_size": 300, "emb_dim": 32, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 128,
    "pad_index": 0, "bos_index": 1, "eos_index": 2, "pad_token_id": 0,
}  # fmt: skip
_IMAGE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
_SPEECH: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "vocab_size": 30,
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    "deberta": Family(
        "DebertaConfig",
        {**_SMALL, "relative_attention": True, "pos_att_type": ["c2p", "p2c"],
         "max_relative_positions": 8, "position_biased_input": False},
    ),
    "deberta-v2": Family(
        "DebertaV2Config",
        {**_SMALL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"],
         "position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm"},
    ),
    "mpnet": Family("MPNetConfig", _SMALL),
    "roformer": Family("RoFormerConfig", {**_SMALL, "embedding_size": 32}),
    "rembert": Family(
        "RemBertConfig",
        {**_SMALL, "input_embedding_size": 16, "output_embedding_size": 16},
    ),
    "convbert": Family("ConvBertConfig", {**_SMALL, "embedding_size": 32, "conv_kernel_size": 3}),
    "ibert": Family("IBertConfig", _SMALL),
    "squeezebert": Family(
        "SqueezeBertConfig",
        {**_SMALL, "embedding_size": 32, "q_groups": 2, "k_groups": 2, "v_groups": 2,
         "post_attention_groups": 1, "intermediate_groups": 2, "output_groups": 2},
    ),
    "megatron-bert": Family("MegatronBertConfig", _SMALL),
    "luke": Family("LukeConfig", {**_SMALL, "entity_vocab_size": 20, "entity_emb_size": 16}),
    "canine": Family(
        "CanineConfig",
        {**_SMALL, "num_hash_functions": 2, "num_hash_buckets": 64, "downsampling_rate": 2,
         "upsampling_kernel_size": 2, "local_transformer_stride": 8},
    ),
    "tapas": Family("TapasConfig", {**_SMALL, "type_vocab_sizes": [3, 8, 8, 2, 8, 8, 4]}),
    "layoutlmv3": Family(
        "LayoutLMv3Config",
        {**_SMALL, "max_2d_position_embeddings": 64, "coordinate_size": 5, "shape_size": 6,
         "visual_embed": False, "rel_pos_bins": 8, "rel_2d_pos_bins": 8, "max_rel_pos": 16,
         "max_rel_2d_pos": 16},
    ),
    "funnel": Family(
        "FunnelConfig",
        {"vocab_size": 300, "block_sizes": [1, 1], "num_decoder_layers": 1, "d_model": 32,
         "n_head": 4, "d_head": 8, "d_inner": 48, "pad_token_id": 0},
        "FunnelModel",
    ),
    "xlnet": Family(
        "XLNetConfig",
        {"vocab_size": 300, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, **_IDS},
    ),
    "xlm": Family("XLMConfig", _XLM),
    "flaubert": Family("FlaubertConfig", _XLM),
    "openai-gpt": Family("OpenAIGPTConfig", _GPT),
    "gptj": Family("GPTJConfig", {**_GPT, "rotary_dim": 4}),
    "codegen": Family("CodeGenConfig", {**_GPT, "rotary_dim": 4, "n_ctx": 128}),
    "gpt_neo": Family(
        "GPTNeoConfig",
        {**_IDS, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": 3,
         "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 128},
    ),
    "gpt_neox_japanese": Family("GPTNeoXJapaneseConfig", _SMALL),
    "bloom": Family("BloomConfig", {**_IDS, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": Family("MptConfig", {**_IDS, "d_model": 32, "n_layers": 2, "n_heads": 4}),
    "falcon": Family("FalconConfig", {**_SMALL, "multi_query": True}),
    "falcon alibi": Family(
        "FalconConfig",
        {**_SMALL, "alibi": True, "new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "xglm": Family(
        "XGLMConfig",
        {**_IDS, "d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 48,
         "max_position_embeddings": 128},
    ),
    "trocr": Family(
        "TrOCRConfig",
        {**_IDS, "d_model": 32, "decoder_layers": 2, "decoder_attention_heads": 4,
         "decoder_ffn_dim": 48, "max_position_embeddings": 128},
        "TrOCRForCausalLM",
    ),
    "fsmt": Family(
        "FSMTConfig",
        {**_SEQ2SEQ, "src_vocab_size": 300, "tgt_vocab_size": 300, "langs": ["de", "en"]},
    ),
    "mvp": Family("MvpConfig", _SEQ2SEQ),
    "prophetnet": Family(
        "ProphetNetConfig",
        {**_IDS, "hidden_size": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
         "num_encoder_layers": 2, "num_decoder_layers": 2, "num_encoder_attention_heads": 4,
         "num_decoder_attention_heads": 4, "num_buckets": 8, "relative_max_distance": 16,
         "max_position_embeddings": 128, "decoder_start_token_id": 2},
    ),
    "lilt": Family("LiltConfig", {**_SMALL, "hidden_size": 48, "channel_shrink_ratio": 2}),
    "imagegpt": Family("ImageGPTConfig", _GPT),
    "perceiver": Family(
        "PerceiverConfig",
        {"vocab_size": 300, "d_model": 32, "d_latents": 32, "num_latents": 6, "num_blocks": 1,
         "num_self_attends_per_block": 2, "num_self_attention_heads": 4,
         "num_cross_attention_heads": 4, "max_position_embeddings": 16},
        "PerceiverForMaskedLM",
    ),
    "swinv2": Family(
        "Swinv2Config",
        {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1],
         "num_heads": [2, 4], "window_size": 4},
        inputs="image",
    ),
    "sew-d": Family(
        "SEWDConfig", {**_SPEECH, "squeeze_factor": 2, "position_buckets": 8}, inputs="speech"
    ),
    "mgp-str": Family(
        "MgpstrConfig",
        {**_IMAGE, "image_size": [16, 32], "max_token_length": 5, "num_character_labels": 9,
         "num_bpe_labels": 9, "num_wordpiece_labels": 9, "mlp_ratio": 2.0},
        inputs="image",
    ),
    "hiera": Family(
        "HieraConfig",
        {"embed_dim": 16, "image_size": [32, 32], "patch_size": [3, 3], "patch_stride": [4, 4],
         "patch_padding": [1, 1], "depths": [1, 1], "num_heads": [1, 2], "num_query_pool": 1,
         "masked_unit_size": [4, 4], "query_stride": [2, 2]},
        inputs="image",
    ),
    "pvt": Family(
        "PvtConfig",
        {"image_size": 32, "hidden_sizes": [16, 32], "num_encoder_blocks": 2, "depths": [1, 1],
         "sequence_reduction_ratios": [2, 1], "patch_sizes": [4, 2], "strides": [4, 2],
         "num_attention_heads": [2, 4], "mlp_ratios": [2, 2]},
        inputs="image",
    ),
}  # fmt: skip
