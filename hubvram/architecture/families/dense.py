"""The model types of llama's shape: one entry each, with what it does differently.

The details were read from each model's `modeling_*.py` in transformers 5.23 and are proven by reconciliation
with published files, or with models that are built from those classes' defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.families.decoder import (
    Traits,
    dense,
    experts,
    experts_behind_dense,
    four_times_hidden,
    read_decoder,
    some_experts,
)

_LLAMA: Final = Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias", mlp_bias="mlp_bias")

_TRAITS: Final[Mapping[str, Traits]] = {
    "llama": _LLAMA,
    "mistral": Traits(read_mlp=dense, windows=patterns.wherever_set),
    "mixtral": Traits(read_mlp=partial(experts, width="intermediate_size"), windows=patterns.wherever_set),
    "qwen2": Traits(read_mlp=dense, windows=patterns.from_max_window_layers, qkv_bias=True),
    "qwen3": Traits(
        read_mlp=dense,
        windows=patterns.from_max_window_layers,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
    ),
    "qwen3_moe": Traits(
        read_mlp=some_experts,
        windows=patterns.if_used,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
    ),
    "qwen2_moe": Traits(
        read_mlp=partial(some_experts, shared_width="shared_expert_intermediate_size"),
        windows=patterns.every_other_before_max_window_layers,
        qkv_bias="qkv_bias",
    ),
    "glm4_moe": Traits(
        read_mlp=experts_behind_dense,
        uneven_heads=True,
        qkv_bias="attention_bias",
        qk_norm="use_qk_norm",
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.5,
    ),
    "granite": _LLAMA,
    "granitemoe": Traits(
        read_mlp=partial(experts, width="intermediate_size", number="num_local_experts"),
        qkv_bias="attention_bias",
        o_bias="attention_bias",
    ),
    "phimoe": Traits(
        read_mlp=partial(experts, width="intermediate_size", number="num_local_experts"),
        windows=patterns.wherever_set,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        norm_bias=True,
        head_bias="lm_head_bias",
    ),
    "olmo2": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
        qk_norm_all_heads=True,
        pre_norm=False,
    ),
    "cohere": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm="use_qk_norm",
        qk_norm_all_heads=True,
        parallel=True,
    ),
    "phi": Traits(
        read_mlp=dense,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        qk_norm="qk_layernorm",
        qk_norm_bias=True,
        norm_bias=True,
        parallel=True,
        head_bias=True,
        gated=False,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.5,
    ),
    "stablelm": Traits(
        read_mlp=dense,
        qkv_bias="use_qkv_bias",
        qk_norm="qk_layernorm",
        qk_norm_all_heads=True,
        norm_bias=True,
        parallel="use_parallel_residual",
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.25,
    ),
    "starcoder2": Traits(
        read_mlp=dense,
        windows=patterns.wherever_set,
        qkv_bias="use_bias",
        o_bias="use_bias",
        mlp_bias="use_bias",
        norm_bias=True,
        gated=False,
    ),
    "gemma": Traits(read_mlp=dense, qkv_bias="attention_bias", o_bias="attention_bias"),
    "gemma2": Traits(
        read_mlp=dense,
        windows=patterns.every_other,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        norms_per_layer=4,
        activation="hidden_activation",
    ),
    "gemma3_text": Traits(
        read_mlp=dense,
        windows=patterns.all_but_every_sixth,
        both_ways="use_bidirectional_attention",
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        qk_norm=True,
        norms_per_layer=4,
        activation="hidden_activation",
        rotary_tables=2,
    ),
    "phi3": Traits(
        read_mlp=dense,
        windows=patterns.wherever_set,
        fused_qkv=True,
        fused_mlp=True,
        partial_rotary_key="partial_rotary_factor",
    ),
    "gpt2": Traits(
        read_mlp=four_times_hidden,
        qkv_bias=True,
        o_bias=True,
        mlp_bias=True,
        norm_bias=True,
        gated=False,
        activation="activation_function",
        fused_qkv=True,
        learned_positions="max_position_embeddings",
    ),
    "gpt_neox": Traits(
        read_mlp=dense,
        qkv_bias="attention_bias",
        o_bias="attention_bias",
        mlp_bias=True,
        norm_bias=True,
        gated=False,
        fused_qkv=True,
        partial_rotary_key="rotary_pct",
        partial_rotary_default=0.25,
    ),
}

FAMILIES: Final = {model_type: partial(read_decoder, traits=traits) for model_type, traits in _TRAITS.items()}
