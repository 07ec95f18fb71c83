"""Models with latent attention: rules that the default configs of transformers do not show.

Where nothing else is said, a number is that of the tensors of transformers' class, built from the same config on the
meta device (transformers 5.23).
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import kv_cache_bytes
from tests.samples import architecture_of

SMALL: Final[dict[str, Any]] = {
    "hidden_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 100,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
}
INDEX: Final = {"index_n_heads": 2, "index_head_dim": 8}
KIMI: Final = {"num_experts": 8, "num_experts_per_token": 2, "num_shared_experts": 1}
DOTS_WINDOW: Final = {
    "swa_num_attention_heads": 2,
    "swa_q_lora_rank": 20,
    "swa_kv_lora_rank": 8,
    "swa_head_dim": 16,
    "swa_qk_nope_head_dim": 10,
    "swa_v_head_dim": 6,
}
DELTA: Final = {"full_attn_layers": [3, 6], "kda_layers": [1, 2, 4, 5], "head_dim": 16, "num_heads": 3}


def small(model_type: str, **changes: Any) -> Architecture:
    return architecture_of({**SMALL, "model_type": model_type, **changes})


@pytest.mark.parametrize(
    ("model_type", "changes", "parameters"),
    [
        (
            "deepseek_v2",
            {"first_k_dense_replace": 2, "attention_bias": True, "mlp_bias": True, "q_lora_rank": None},
            352408,
        ),
        ("deepseek_v3", {"attention_bias": True}, 305616),
        ("deepseek_v3", {"attention_bias": True, "q_lora_rank": None, "first_k_dense_replace": 0}, 438216),
        ("deepseek_v3", {"first_k_dense_replace": 9}, 174384),  # all dense
        ("deepseek_v32", {**INDEX, "attention_bias": True, "mlp_layer_types": ["sparse", "dense"] * 3}, 311856),
        # Layers 0, 1 and 4 have an indexer; 0, 2 and 5; 0, 2 and 4.
        ("glm_moe_dsa", {**INDEX, "index_topk_freq": 3}, 308088),
        ("glm_moe_dsa", {**INDEX, "index_topk_pattern": "FSFSSF"}, 308088),
        ("glm_moe_dsa", {**INDEX, "indexer_types": ["full", "shared"] * 3}, 308088),
        ("glm4_moe_lite", {"attention_bias": True}, 392672),  # one dense layer where nothing is said
        ("youtu", {"attention_bias": True, "tie_word_embeddings": False}, 175032),
        ("minicpm3", {"v_head_dim": None, "attention_bias": True, "mlp_bias": True, "q_lora_rank": None}, 179864),
        # Experts in layers 2 and 4, with a norm of their own.
        ("axk1", {"first_k_dense_replace": 1, "moe_layer_freq": 2, "attention_bias": True}, 262216),
        ("axk2", {**INDEX, "first_k_dense_replace": 2, "attention_bias": True, "gated_norm_rank": 4}, 381240),
        ("hy_v4", {**INDEX, "attention_bias": True, "hc_mult": 3}, 428748),
        ("hy_v4", {**INDEX, "indexer_types": ["full", "shared"] * 3}, 439325),
        # Sizes of linear attention as the published config has them, and as transformers writes them.
        (
            "kimi_linear",
            {
                **KIMI,
                "q_lora_rank": None,
                "first_k_dense_replace": 2,
                "linear_attn_config": {**DELTA, "short_conv_kernel_size": 5},
            },
            358604,
        ),
        (
            "kimi_linear",
            {
                **KIMI,
                "attention_bias": True,
                "linear_head_dim": 8,
                "linear_num_heads": 2,
                "linear_conv_kernel_dim": 3,
            },
            347982,
        ),
        (
            "bailing_hybrid",
            {
                **KIMI,
                "q_lora_rank": None,
                "layer_group_size": 3,
                "head_dim": 16,
                "short_conv_kernel_size": 3,
                "attention_bias": True,
            },
            393848,
        ),
        (
            "dots3_note_text",
            {**INDEX, **DOTS_WINDOW, "moe_shared_expert_intermediate_size": 40, "first_k_dense_replace": 2},
            351610,
        ),
        (
            "dots3_note_text",
            {**INDEX, "use_dsa": False, "use_sliding_window": False, "shared_experts_intermediate_size": 24},
            378224,
        ),
        (
            "longcat_flash",
            {
                "num_layers": 3,
                "ffn_hidden_size": 96,
                "expert_ffn_hidden_size": 32,
                "moe_topk": 2,
                "zero_expert_num": 0,
                "attention_bias": True,
                "router_bias": True,
            },
            324072,
        ),
    ],
)
def test_parameters_are_those_of_the_class(model_type: str, changes: dict[str, Any], parameters: int) -> None:
    assert small(model_type, **changes).parameters == parameters


def test_deepseek_v3_activates_37_billion_without_its_input_embedding() -> None:
    """The defaults are DeepSeek-V3's sizes: 671 B, of which a token uses 37 B (README_WEIGHTS.md: 36.6 B)."""
    architecture = architecture_of({"model_type": "deepseek_v3"})
    active = architecture.parameters - architecture.inactive_parameters
    assert round(architecture.parameters / 1e9) == 671
    assert round((active - architecture.embedding_parameters) / 1e9, 1) == 36.6
    assert round(active / 1e9, 1) == 37.6  # not what is published


def test_zero_experts_of_longcat_are_rows_of_the_router_only() -> None:
    """Model card: 560 B, of which 18.6 to 31.3 B are used; transformers' class allocates more, and never uses it."""
    architecture = architecture_of({"model_type": "longcat_flash"})
    assert architecture.parameters // 10**9 == 560
    active = architecture.parameters - architecture.inactive_parameters - architecture.embedding_parameters
    assert active // 10**8 == 313  # 31.377 B, cut off
    # 28 layers, two attentions each, latents of 512 + 64.
    assert kv_cache_bytes(architecture, tokens=1, batch_size=1, element_bytes=2) == 28 * 2 * 576 * 2


@pytest.mark.parametrize(("model_type", "method", "has_bias"), [
    ("deepseek_v2", None, False),
    ("deepseek_v2", "noaux_tc", True),  # the language model of DeepSeek-VL2
    ("deepseek_v3", None, True),
    ("deepseek_v3", "greedy", False),
    ("kimi_k2", "noaux_tc", True),
])  # fmt: skip
def test_a_bias_corrects_the_choice_of_experts_where_the_method_has_one(
    model_type: str, method: str | None, has_bias: bool
) -> None:
    changes = {"first_k_dense_replace": 1, "hidden_act": "silu", **({"topk_method": method} if method else {})}
    mlp = small(model_type, **changes).layers[-1].mlp
    assert isinstance(mlp, MoEMLP)
    assert mlp.correction_bias is has_bias


def test_a_kimi_k2_inside_another_model_is_read_as_one() -> None:
    inside = {**SMALL, "model_type": "kimi_k2", "first_k_dense_replace": 1, "hidden_act": "silu"}
    architecture = architecture_of({"model_type": "kimi_k25", "text_config": inside})
    plain = small("deepseek_v3", first_k_dense_replace=1)
    beside = sum(stack.parameters for stack in architecture.stacks)
    assert architecture.parameters - beside == plain.parameters
    assert [type(layer.mlp) for layer in architecture.layers] == [DenseMLP, *[MoEMLP] * 5]


def test_a_layer_without_an_indexer_keeps_no_keys_for_it() -> None:
    architecture = small("glm_moe_dsa", **INDEX, indexer_types=["full", "shared"] * 3)
    assert all(isinstance(layer.mixer, LatentAttention) for layer in architecture.layers)
    assert kv_cache_bytes(architecture, tokens=1, batch_size=1, element_bytes=1) == 6 * (16 + 4) + 3 * 8


@pytest.mark.parametrize(
    ("model_type", "changes", "key"),
    [
        ("deepseek_v3", {"n_shared_experts": -1}, "n_shared_experts"),
        ("deepseek_v3", {"moe_layer_freq": 0}, "moe_layer_freq"),
        ("deepseek_v3", {"kv_lora_rank": 0}, "kv_lora_rank"),
        ("deepseek_v32", {"mlp_layer_types": ["dense"]}, "mlp_layer_types"),
        ("deepseek_v32", {"mlp_layer_types": ["dense"] * 5 + [3]}, r"mlp_layer_types\[5\]"),
        ("deepseek_v32", {"mlp_layer_types": ["dense"] * 5 + ["thin"]}, r"mlp_layer_types\[5\]"),
        ("glm_moe_dsa", {"index_topk_pattern": "FSX"}, "index_topk_pattern"),
        ("minicpm3", {"v_head_dim": None, "num_attention_heads": 7}, "num_attention_heads"),
        ("kimi_linear", {"linear_attn_config": {"num_heads": "many"}}, "linear_attn_config.num_heads"),
        ("bailing_hybrid", {**KIMI, "layer_group_size": 0}, "layer_group_size"),
        ("longcat_flash", {"num_layers": 3, "zero_expert_num": -1}, "zero_expert_num"),
        ("dots3_note_text", {"swa_head_dim": 10, "swa_qk_nope_head_dim": 10}, "qk_rope_head_dim"),
        ("dots3_note_text", {"per_layer_config": {"02": 7}}, "per_layer_config.02"),
    ],
)
def test_bad_values_are_named(model_type: str, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        small(model_type, **changes)
