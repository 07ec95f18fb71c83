"""Decoders with experts: published totals, active parameters, and what their default configs leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.architecture.attention import ChunkedAttention, FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block
from hubvram.errors import ConfigError
from tests.samples import architecture_of

MIXTRAL_8X7B: Final = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
}
QWEN3_30B_A3B: Final = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
}
GPT_OSS_20B: Final = {"model_type": "gpt_oss", "num_hidden_layers": 24, "num_local_experts": 32}
GPT_OSS_120B: Final = {"model_type": "gpt_oss", "num_hidden_layers": 36, "num_local_experts": 128}
DBRX: Final = {
    "model_type": "dbrx",
    "d_model": 6144,
    "n_heads": 48,
    "n_layers": 40,
    "vocab_size": 100352,
    "attn_config": {"kv_n_heads": 8, "clip_qkv": 8},
    "ffn_config": {"ffn_act_fn": "silu", "ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
}
OLMOE_1B_7B: Final = {"model_type": "olmoe", "intermediate_size": 1024}

SMALL: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 100,
}
FOUR: Final = {"num_experts": 4, "num_experts_per_tok": 2}
FOUR_LOCAL: Final = {"num_local_experts": 4, "num_experts_per_tok": 2}
FOUR_ROUTED: Final = {"n_routed_experts": 4, "num_experts_per_tok": 2}
V4: Final = {
    **FOUR_ROUTED,
    "num_key_value_heads": 1,
    "intermediate_size": 32,
    "q_lora_rank": 24,
    "o_groups": 4,
    "o_lora_rank": 12,
    "index_n_heads": 4,
    "index_head_dim": 8,
    "hc_mult": 3,
}
M3: Final = {**FOUR_LOCAL, "dense_intermediate_size": 72, "shared_intermediate_size": 40}


VARIANTS: Final[list[tuple[str, Mapping[str, Any], int]]] = [
    # Sizes of models built from these configs by transformers 5.23 on the meta device (without buffers).
    ("gpt_oss", {**FOUR_LOCAL, "attention_bias": False}, 586_632),
    ("llama4_text", {**FOUR_LOCAL, "interleave_moe_layer_step": 2, "intermediate_size_mlp": 112}, 478_272),
    ("llama4_text", {**FOUR_LOCAL, "moe_layers": [1, 4], "intermediate_size_mlp": 112}, 407_360),
    (
        "ernie4_5_moe",
        {"use_bias": True, "tie_word_embeddings": False, "moe_num_experts": 4, "moe_k": 2},
        343_416,
    ),
    ("exaone_moe", {**FOUR, "first_k_dense_replace": 2, "num_shared_experts": 2}, 322_064),
    (
        "dots1",
        {**FOUR_ROUTED, "n_shared_experts": 2, "first_k_dense_replace": 1, "attention_bias": True},
        342_292,
    ),
    ("hunyuan_v1_moe", {"num_experts": 4, "moe_topk": [1, 2, 3, 2, 1, 2], "attention_bias": True}, 692_736),
    ("mimo_v2_flash", {**FOUR_ROUTED, "v_head_dim": 8, "attention_bias": True}, 261_972),
    ("mellum", {**FOUR, "mlp_layer_types": ["dense"] * 2 + ["sparse"] * 4, "attention_bias": True}, 274_432),
    (
        "cohere2_moe",
        {
            **FOUR,
            "first_k_dense_replace": 2,
            "prefix_dense_intermediate_size": 80,
            "num_shared_experts": 2,
            "attention_bias": True,
        },
        605_376,
    ),
    ("afmoe", {**FOUR, "num_dense_layers": 2, "attention_bias": True, "num_shared_experts": 1}, 348_944),
    (
        "aria_text",
        {
            "moe_num_experts": 4,
            "moe_topk": 2,
            "moe_num_shared_experts": 3,
            "attention_bias": True,
            "mlp_bias": True,
        },
        917_568,
    ),
    ("hy_v3", {**FOUR, "attention_bias": True, "mlp_bias": True, "num_shared_experts": 2}, 343_508),
    (
        "laguna",
        {
            **FOUR,
            "gating": "per-element",
            "num_attention_heads_per_layer": [8, 4, 8, 4, 2, 8],
            "shared_expert_intermediate_size": 40,
            "attention_bias": True,
        },
        325_172,
    ),
    (
        "minimax_m3_vl_text",
        {
            **M3,
            "moe_layer_freq": [0, 0, 1, 1, 1, 1],
            "sparse_attention_config": {
                "sparse_num_index_heads": 2,
                "sparse_index_dim": 8,
                "sparse_attention_freq": [0, 1, 0, 1, 0, 1],
            },
        },
        495_680,
    ),
    (
        "deepseek_v4",
        {
            **V4,
            "num_hash_layers": 0,
            "compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 16},
        },
        320_452,
    ),
    ("deepseek_v4", {**V4, "compress_ratios": [0, 0, 4, 128, 4, 128, 0], "num_hash_layers": 1}, 319_584),
]


def active(architecture: Architecture) -> int:
    return architecture.parameters - architecture.inactive_parameters


@pytest.mark.parametrize(
    ("config", "total"),
    [(MIXTRAL_8X7B, 46_702_792_704), (QWEN3_30B_A3B, 30_532_122_624), (GPT_OSS_20B, 20_914_757_184)],
    ids=("mixtral", "qwen3", "gpt_oss"),
)
def test_totals_as_the_hub_counts_them(config: Mapping[str, Any], total: int) -> None:
    assert architecture_of(config).parameters == total


@pytest.mark.parametrize(
    ("config", "billions"), [(DBRX, "132"), (OLMOE_1B_7B, "7"), (GPT_OSS_120B, "117")], ids=("dbrx", "olmoe", "gpt_oss")
)
def test_totals_by_the_models_cards(config: Mapping[str, Any], billions: str) -> None:
    assert f"{architecture_of(config).parameters / 1e9:.0f}" == billions


@pytest.mark.parametrize(
    ("config", "billions"),
    # 12.9 B and 36 B by the models' cards; Qwen3's 3.3 B is cut off, not rounded (3,353,032,704).
    [(MIXTRAL_8X7B, (12.85, 12.95)), (QWEN3_30B_A3B, (3.3, 3.4)), (DBRX, (35.5, 36.5))],
    ids=("mixtral", "qwen3", "dbrx"),
)
def test_active_parameters_with_the_input_embedding(config: Mapping[str, Any], billions: tuple[float, float]) -> None:
    assert billions[0] <= active(architecture_of(config)) / 1e9 < billions[1]


@pytest.mark.parametrize(("config", "billions"), [(GPT_OSS_20B, "3.61"), (GPT_OSS_120B, "5.13")], ids=("20b", "120b"))
def test_gpt_oss_counts_its_active_parameters_without(config: Mapping[str, Any], billions: str) -> None:
    """Its card counts the head ("unembedding") and leaves the input embedding out."""
    architecture = architecture_of(config)
    assert f"{(active(architecture) - architecture.embedding_parameters) / 1e9:.2f}" == billions


@pytest.mark.parametrize(("model_type", "changes", "parameters"), VARIANTS)
def test_variants(model_type: str, changes: Mapping[str, Any], parameters: int) -> None:
    architecture = architecture_of({**SMALL, "model_type": model_type, **changes})
    assert architecture.parameters == parameters


def small(model_type: str, **changes: Any) -> Architecture:
    return architecture_of({**SMALL, "model_type": model_type, **changes})


def kinds(architecture: Architecture) -> list[str]:
    return [layer.mixer.kind for layer in architecture.layers if layer.mixer is not None]


def test_gpt_oss_has_sinks_and_every_other_layer_a_window() -> None:
    architecture = small("gpt_oss", **FOUR_LOCAL)
    first, second = architecture.layers[0].mixer, architecture.layers[1].mixer
    assert isinstance(first, SlidingAttention)
    assert first.sliding_window == 128
    assert kinds(architecture) == ["sliding_attention", "full_attention"] * 3
    # Q, K, V, O with their biases, and a sink for each of the 8 heads.
    assert second is not None
    assert second.parameters == 64 * (128 + 32 + 32) + 128 * 64 + 128 + 32 + 32 + 64 + 8


def test_experts_of_gpt_oss_and_its_router_have_biases() -> None:
    mlp = small("gpt_oss", **FOUR_LOCAL).layers[0].mlp
    assert isinstance(mlp, MoEMLP)
    assert mlp.expert_parameters == 4 * (3 * 64 * 96 + 2 * 96 + 64)
    assert mlp.router_parameters == 4 * 64 + 4
    assert mlp.inactive_parameters == 2 * (3 * 64 * 96 + 2 * 96 + 64)


def test_llama4_attends_in_chunks_where_positions_rotate() -> None:
    architecture = small("llama4_text", **FOUR_LOCAL, no_rope_layers=[], no_rope_layer_interval=3)
    assert kinds(architecture) == (["chunked_attention"] * 2 + ["full_attention"]) * 2
    first = architecture.layers[0].mixer
    assert isinstance(first, ChunkedAttention)
    assert first.attention_chunk_size == 8192
    architecture = small("llama4_text", **FOUR_LOCAL, no_rope_layers=[0, 1, 1, 1, 1, 1])
    assert kinds(architecture) == ["full_attention"] + ["chunked_attention"] * 5


def test_llama4_maverick_interleaves_dense_layers() -> None:
    # 400 B, 17 B of them active, by the model's card.
    architecture = architecture_of(
        {"model_type": "llama4_text", "interleave_moe_layer_step": 2, "num_local_experts": 128}
    )
    assert [isinstance(layer.mlp, DenseMLP) for layer in architecture.layers[:4]] == [True, False, True, False]
    assert round(architecture.parameters / 1e9) == 401  # with 0.9 B of vision, 401.6 B on the Hub
    assert round(active(architecture) / 1e9) == 17


def test_mimo_reads_the_fields_of_its_published_config() -> None:
    architecture = small(
        "mimo_v2_flash",
        **FOUR_ROUTED,
        v_head_dim=8,
        swa_num_key_value_heads=8,
        hybrid_layer_pattern=[0, 1, 1, 1, 1, 0],
        moe_layer_freq=[0, 0, 1, 1, 1, 1],
        sliding_window_size=128,
    )
    full, sliding = architecture.layers[0].mixer, architecture.layers[1].mixer
    assert isinstance(full, FullAttention)
    assert isinstance(sliding, SlidingAttention)
    assert (full.k_size, full.v_size) == (2 * 16, 2 * 8)
    assert (sliding.k_size, sliding.v_size, sliding.sliding_window) == (8 * 16, 8 * 8, 129)
    assert (len(full.others), len(sliding.others)) == (0, 1)
    assert [isinstance(layer.mlp, DenseMLP) for layer in architecture.layers] == [True, True] + [False] * 4


def test_deepseek_v4_reads_the_fields_of_its_published_config() -> None:
    architecture = small("deepseek_v4", **V4, compress_ratios=[0, 0, 4, 128, 4, 0, 0], num_hash_layers=1)
    sliding, sparse, heavy = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
    assert kinds(architecture) == [sliding, sliding, sparse, heavy, sparse, sliding]
    scored = [layer.mlp.correction_bias for layer in architecture.layers if isinstance(layer.mlp, MoEMLP)]
    assert scored == [False] + [True] * 5


def test_deepseek_v4_flash() -> None:
    # 284 B, 13 B of them active, by the model's card.
    architecture = architecture_of({"model_type": "deepseek_v4", "compress_ratios": [0, 0] + [4, 128] * 20 + [4, 0]})
    assert round(architecture.parameters / 1e9) == 284
    assert round((active(architecture) - architecture.embedding_parameters) / 1e9) == 13


def test_jetmoe_chooses_among_experts_of_its_attention_too() -> None:
    # 8.5 B, 2.3 B of them active, by the model's card ("8B", "2.2B").
    architecture = architecture_of({"model_type": "jetmoe", "num_hidden_layers": 24})
    assert isinstance(architecture.layers[0].mixer, Block)
    assert round(architecture.parameters / 1e9, 1) == 8.5
    assert round(active(architecture) / 1e9, 1) == 2.3


def test_minimax_01() -> None:
    # 456 B by its paper (2501.08313).
    architecture = architecture_of(
        {
            "model_type": "minimax",
            "hidden_size": 6144,
            "intermediate_size": 9216,
            "num_hidden_layers": 80,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "num_local_experts": 32,
            "vocab_size": 200064,
            "layer_types": (["linear_attention"] * 7 + ["full_attention"]) * 10,
        }
    )
    assert round(architecture.parameters / 1e9) == 456
    assert kinds(architecture)[6:8] == ["lightning_attention", "full_attention"]


def test_exaone_names_its_pattern_in_letters() -> None:
    architecture = small("exaone_moe", **FOUR, sliding_window_pattern="LLG", sliding_window=32)
    assert kinds(architecture) == (["sliding_attention"] * 2 + ["full_attention"]) * 2


@pytest.mark.parametrize(
    ("model_type", "changes", "message"),
    [
        ("mellum", {**FOUR, "mlp_layer_types": ["sparse"]}, "mlp_layer_types: it has 1 values"),
        ("mellum", {**FOUR, "mlp_layer_types": ["no"] * 6}, "mlp_layer_types: 'no' is neither dense nor sparse"),
        ("olmoe", {"num_experts": 4, "num_experts_per_tok": 5}, "num_experts_per_tok: 5 of 4 experts"),
        ("hunyuan_v1_moe", {"num_experts": 4, "moe_topk": [0] * 6}, "moe_topk: 0 is not between 1 and"),
        ("laguna", {**FOUR, "num_attention_heads_per_layer": [3] * 6}, r"per_layer\[0\]: 2 KV heads do not divide 3"),
        ("llama4_text", {**FOUR_LOCAL, "interleave_moe_layer_step": 0}, "interleave_moe_layer_step: 0 is not between"),
        ("dbrx", {"ffn_config": {"moe_num_experts": 0}}, r"ffn_config\.moe_num_experts: 0 is not between"),
        ("deepseek_v4", {**V4, "compress_ratios": [7] * 6}, "compress_ratios: 7 tokens in one"),
        ("deepseek_v4", {**V4, "o_groups": 7}, "o_groups: 7 does not divide the 128 features"),
        ("exaone_moe", {**FOUR, "sliding_window_pattern": "x"}, "sliding_window_pattern: its letters are not L and G"),
    ],
)
def test_what_is_refused(model_type: str, changes: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(model_type, **changes)
