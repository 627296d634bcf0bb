"""Tiny models of families whose attention goes through the interface of transformers."""

from __future__ import annotations

from typing import Any

from tests.families.family import Family

_IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "vocab_size": 300}
_SMALL: dict[str, Any] = {
    **_IDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128,
}  # fmt: skip
# With a rotary embedding and two query heads to each key head.
_ROTARY = {**_SMALL, "num_key_value_heads": 2, "head_dim": 8}
_EXPERTS = {**_ROTARY, "moe_intermediate_size": 16, "num_experts_per_tok": 2}
_ENCODER_DECODER: dict[str, Any] = {
    **_IDS, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48,
    "max_position_embeddings": 128, "decoder_start_token_id": 2,
}  # fmt: skip
_GPT = {**_IDS, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
_T5: dict[str, Any] = {
    **_IDS, "d_model": 32, "d_ff": 48, "d_kv": 8, "num_layers": 2, "num_heads": 4,
    "decoder_start_token_id": 0,
}  # fmt: skip
_IMAGE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "image_size": 32, "patch_size": 8,
}  # fmt: skip
_WAVES: dict[str, Any] = {
    **_IDS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4,
    "conv_dim": (16, 16, 16), "conv_kernel": (10, 3, 3), "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
}  # fmt: skip
# A text and an image, each with its own transformer.
_PAIR: dict[str, Any] = {
    "text_config": {**_SMALL, "projection_dim": 16},
    "vision_config": {**_IMAGE, "projection_dim": 16},
    "projection_dim": 16,
}
# Keys and values from one short vector, a part of which is rotated.
_LATENT: dict[str, Any] = {
    **_SMALL, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16,
    "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
}  # fmt: skip

FAMILIES: dict[str, Family] = {
    # Encoders
    "albert": Family("AlbertConfig", {**_SMALL, "embedding_size": 16}),
    "bert": Family("BertConfig", _SMALL),
    "camembert": Family("CamembertConfig", _SMALL),
    "data2vec-text": Family("Data2VecTextConfig", _SMALL),
    "distilbert": Family(
        "DistilBertConfig",
        {**_IDS, "dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4,
         "max_position_embeddings": 128},
    ),
    "electra": Family("ElectraConfig", {**_SMALL, "embedding_size": 16}),
    "ernie": Family("ErnieConfig", _SMALL),
    "esm": Family("EsmConfig", {**_SMALL, "position_embedding_type": "rotary"}),
    "modernbert": Family(
        "ModernBertConfig",
        {**_SMALL, "local_attention": 4, "global_attn_every_n_layers": 2,
         "cls_token_id": 1, "sep_token_id": 2},
    ),
    "roberta": Family("RobertaConfig", _SMALL),
    "roc_bert": Family(
        "RoCBertConfig",
        {**_SMALL, "pronunciation_vocab_size": 300, "shape_vocab_size": 300,
         "pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    ),
    "xlm-roberta": Family("XLMRobertaConfig", _SMALL),
    "xmod": Family("XmodConfig", {**_SMALL, "default_language": "en_XX"}),
    # Decoders
    "arcee": Family("ArceeConfig", _ROTARY),
    "biogpt": Family("BioGptConfig", _SMALL),
    "cohere": Family("CohereConfig", _ROTARY),
    "cohere2": Family("Cohere2Config", {**_ROTARY, "sliding_window": 3, "num_hidden_layers": 4}),
    "ctrl": Family("CTRLConfig", {**_GPT, "dff": 48}),
    "deepseek_v2": Family(
        "DeepseekV2Config",
        {**_LATENT, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
         "first_k_dense_replace": 1},
    ),
    "deepseek_v3": Family(
        "DeepseekV3Config",
        {**_LATENT, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2,
         "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    ),
    "diffllama": Family("DiffLlamaConfig", _ROTARY),
    "ernie4_5": Family("Ernie4_5Config", _ROTARY),
    "exaone4": Family("Exaone4Config", {**_ROTARY, "sliding_window": 3}),
    "gemma": Family("GemmaConfig", _ROTARY),
    "gemma2": Family(
        "Gemma2Config", {**_ROTARY, "sliding_window": 3, "attn_logit_softcapping": 5.0}
    ),
    "gemma3_text": Family("Gemma3TextConfig", {**_ROTARY, "sliding_window": 3}),
    "glm": Family("GlmConfig", _ROTARY),
    "glm4": Family("Glm4Config", _ROTARY),
    "gpt2": Family("GPT2Config", _GPT),
    "gpt_bigcode": Family("GPTBigCodeConfig", _GPT),
    "gpt_neox": Family("GPTNeoXConfig", _SMALL),
    "gpt_oss": Family(
        "GptOssConfig",
        {**_ROTARY, "num_local_experts": 2, "num_experts_per_tok": 1, "sliding_window": 3},
    ),
    "granite": Family("GraniteConfig", _ROTARY),
    "granitemoe": Family("GraniteMoeConfig", {**_ROTARY, "num_local_experts": 2}),
    "helium": Family("HeliumConfig", _ROTARY),
    "llama": Family("LlamaConfig", _ROTARY),
    "llama4_text": Family(
        "Llama4TextConfig",
        {**_ROTARY, "intermediate_size_mlp": 48, "num_local_experts": 2, "num_experts_per_tok": 1},
    ),
    "mistral": Family("MistralConfig", {**_ROTARY, "sliding_window": 3}),
    "mixtral": Family("MixtralConfig", {**_ROTARY, "num_local_experts": 2}),
    "nemotron": Family("NemotronConfig", _ROTARY),
    "olmo": Family("OlmoConfig", _ROTARY),
    "olmo2": Family("Olmo2Config", _ROTARY),
    "olmoe": Family("OlmoeConfig", {**_ROTARY, "num_experts": 4, "num_experts_per_tok": 2}),
    "opt": Family(
        "OPTConfig",
        {**_IDS, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "word_embed_proj_dim": 32, "max_position_embeddings": 128},
    ),
    "persimmon": Family("PersimmonConfig", _SMALL),
    "phi": Family("PhiConfig", _SMALL),
    "phi3": Family("Phi3Config", {**_ROTARY, "sliding_window": 3}),
    "qwen2": Family("Qwen2Config", _ROTARY),
    "qwen2_moe": Family(
        "Qwen2MoeConfig", {**_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 16}
    ),
    "qwen3": Family("Qwen3Config", _ROTARY),
    "qwen3_moe": Family("Qwen3MoeConfig", {**_EXPERTS, "num_experts": 4}),
    "smollm3": Family("SmolLM3Config", {**_ROTARY, "num_hidden_layers": 4}),
    "stablelm": Family("StableLmConfig", {**_SMALL, "num_key_value_heads": 2}),
    "starcoder2": Family("Starcoder2Config", _ROTARY),
    # Encoders with decoders
    "bart": Family("BartConfig", _ENCODER_DECODER),
    "blenderbot": Family("BlenderbotConfig", _ENCODER_DECODER),
    "blenderbot-small": Family("BlenderbotSmallConfig", _ENCODER_DECODER),
    "m2m_100": Family("M2M100Config", _ENCODER_DECODER),
    "marian": Family("MarianConfig", _ENCODER_DECODER),
    "mbart": Family("MBartConfig", _ENCODER_DECODER),
    "mt5": Family("MT5Config", _T5),
    "pegasus": Family("PegasusConfig", _ENCODER_DECODER),
    "plbart": Family("PLBartConfig", _ENCODER_DECODER),
    "switch_transformers": Family(
        "SwitchTransformersConfig",
        {**_T5, "num_decoder_layers": 2, "num_experts": 2, "num_sparse_encoder_layers": 1,
         "num_sparse_decoder_layers": 1},
    ),
    "t5": Family("T5Config", _T5),
    "t5gemma": Family(
        "T5GemmaConfig",
        {"encoder": {**_ROTARY, "sliding_window": 3}, "decoder": {**_ROTARY, "sliding_window": 3},
         "vocab_size": 300},
    ),
    "umt5": Family("UMT5Config", _T5),
    # Images
    "beit": Family("BeitConfig", {**_IMAGE, "use_relative_position_bias": True}, inputs="image"),
    "deit": Family("DeiTConfig", _IMAGE, inputs="image"),
    "dinov2": Family("Dinov2Config", {**_IMAGE, "mlp_ratio": 2}, inputs="image"),
    "dinov3_vit": Family("DINOv3ViTConfig", _IMAGE, inputs="image"),
    "ijepa": Family("IJepaConfig", _IMAGE, inputs="image"),
    "segformer": Family(
        "SegformerConfig",
        {"image_size": 32, "num_encoder_blocks": 2, "depths": [1, 1], "sr_ratios": [2, 1],
         "hidden_sizes": [16, 32], "num_attention_heads": [2, 4], "patch_sizes": [7, 3],
         "strides": [4, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 16},
        inputs="image",
    ),
    "swin": Family(
        "SwinConfig",
        {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [2, 2],
         "num_heads": [2, 4], "window_size": 4},
        inputs="image",
    ),
    "vit": Family("ViTConfig", _IMAGE, inputs="image"),
    "vit_msn": Family("ViTMSNConfig", _IMAGE, inputs="image"),
    "yolos": Family(
        "YolosConfig",
        {**_IMAGE, "image_size": [32, 32], "num_detection_tokens": 4},
        inputs="image",
    ),
    # Images and text
    "align-text": Family("AlignTextConfig", _SMALL, model="AlignTextModel"),
    "clip": Family("CLIPConfig", _PAIR, inputs="image+text"),
    "siglip": Family("SiglipConfig", _PAIR, inputs="image+text"),
    "metaclip_2": Family("MetaClip2Config", _PAIR, inputs="image+text"),
    # Speech
    "audio-spectrogram-transformer": Family(
        "ASTConfig",
        {**_IMAGE, "patch_size": 8, "num_mel_bins": 16, "max_length": 32, "frequency_stride": 8,
         "time_stride": 8},
        inputs="speech",
    ),
    "hubert": Family("HubertConfig", _WAVES, inputs="speech"),
    "wav2vec2": Family("Wav2Vec2Config", _WAVES, inputs="speech"),
    "whisper": Family(
        "WhisperConfig",
        {**_ENCODER_DECODER, "num_mel_bins": 16, "max_source_positions": 12,
         "max_target_positions": 64},
        inputs="speech",
    ),
}  # fmt: skip
