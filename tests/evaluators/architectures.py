"""Tiny configurations of many architectures, each with what is peculiar to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

CONTEXT = 128
# Shorter than most of the tests' rows.
WINDOW = 8

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 3,
}
ROPE: dict[str, Any] = {
    **SHAPE,
    "intermediate_size": 64,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
}
SLIDING = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2}


@dataclass(frozen=True)
class Architecture:
    """A model type of transformers and its configuration.

    `fallback` is in the reason why it goes one example at a time; None if it goes in batches.
    """

    model_type: str
    config: dict[str, Any] = field(default_factory=lambda: ROPE)
    fallback: str | None = None


ARCHITECTURES = {
    "llama": Architecture("llama"),
    "mistral": Architecture("mistral", {**ROPE, "sliding_window": WINDOW}),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3", {**ROPE, "tie_word_embeddings": True}),
    "gemma2": Architecture(
        "gemma2",
        {
            **ROPE,
            **SLIDING,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 5.0,
            "query_pre_attn_scalar": 8,
        },
    ),
    "gemma3": Architecture("gemma3_text", {**ROPE, **SLIDING, "final_logit_softcapping": 5.0}),
    "gpt2": Architecture("gpt2", {**SHAPE, "n_positions": CONTEXT}),
    "gpt-neox": Architecture("gpt_neox", {**ROPE, "num_key_value_heads": None}),
    "opt": Architecture(
        "opt",
        {**SHAPE, "ffn_dim": 64, "max_position_embeddings": CONTEXT, "word_embed_proj_dim": 32},
    ),
    "phi3": Architecture("phi3", {**ROPE, "sliding_window": WINDOW}),
    "phi3-longrope": Architecture(
        "phi3",
        {
            **ROPE,
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 4,
                "long_factor": [4.0] * 4,
                "original_max_position_embeddings": 32,
            },
        },
        "its longrope rotary embedding depends on the longest row",
    ),
    "llama-dynamic": Architecture(
        "llama",
        {
            **ROPE,
            "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
        },
    ),
    "llama-yarn": Architecture(
        "llama",
        {
            **ROPE,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        },
    ),
    "olmo2": Architecture("olmo2"),
    "smollm3": Architecture("smollm3", {**ROPE, "no_rope_layers": [1, 0]}),
    "cohere": Architecture("cohere", {**ROPE, "logit_scale": 0.5}),
    "granite": Architecture("granite", {**ROPE, "logits_scaling": 3.0}),
    "mixtral": Architecture("mixtral", {**ROPE, **EXPERTS}),
    "qwen3-moe": Architecture(
        "qwen3_moe", {**ROPE, **EXPERTS, "moe_intermediate_size": 16, "mlp_only_layers": [0]}
    ),
    "gpt-oss": Architecture("gpt_oss", {**ROPE, **SLIDING, **EXPERTS}),
    "llama4": Architecture(
        "llama4_text",
        {
            **ROPE,
            **EXPERTS,
            "attention_chunk_size": WINDOW,
            "layer_types": ["chunked_attention", "full_attention"],
            "no_rope_layers": [1, 0],
            "intermediate_size_mlp": 64,
            "floor_scale": 4,
        },
        "raises",
    ),
    "deepseek-v3": Architecture(
        "deepseek_v3",
        {
            **ROPE,
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 12,
            "head_dim": 8,
            "n_routed_experts": 8,
            "n_group": 2,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
        },
    ),
    "falcon": Architecture(
        "falcon",
        {**SHAPE, "alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
        "has an attention of its own",
    ),
    "falcon-alibi": Architecture(
        "falcon",
        {**SHAPE, "alibi": True, "new_decoder_architecture": False},
        "has an attention of its own",
    ),
    "bloom": Architecture("bloom", SHAPE, "takes no position_ids"),
    "mamba": Architecture("mamba", {**SHAPE, "state_size": 8}, "keeps no key-value cache"),
    "rwkv": Architecture(
        "rwkv",
        {**SHAPE, "attention_hidden_size": 32, "context_length": CONTEXT},
        "keeps no key-value cache",
    ),
    "jamba": Architecture(
        "jamba",
        {
            **ROPE,
            **EXPERTS,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "use_mamba_kernels": False,
        },
        "keeps a LinearAttention",
    ),
    "lfm2": Architecture(
        "lfm2",
        {**ROPE, "layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
        "keeps a LinearAttention",
    ),
    "qwen3-next": Architecture(
        "qwen3_next",
        {
            **ROPE,
            **EXPERTS,
            "layer_types": ["linear_attention", "full_attention"],
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        "keeps a LinearAttention",
    ),
    "gemma3n": Architecture(
        "gemma3n_text",
        {
            **ROPE,
            **SLIDING,
            "vocab_size_per_layer_input": 50,
            "hidden_size_per_layer_input": 8,
            "laurel_rank": 4,
            "num_kv_shared_layers": 0,
            "activation_sparsity_pattern": [0.0, 0.0],
            "altup_num_inputs": 2,
        },
    ),
    "gpt-neo": Architecture(
        "gpt_neo",
        {
            **SHAPE,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
            "max_position_embeddings": CONTEXT,
        },
        "has an attention of its own",
    ),
}
