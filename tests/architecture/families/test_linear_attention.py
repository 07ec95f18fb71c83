"""Linear attention and recurrences: the rules that default configs leave out. Where no source is named, the number of
parameters is that of transformers 5.23's own model of the config, built on the meta device."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture
from hubvram.errors import ConfigError
from tests.samples import architecture_of

SMALL: Final = {
    "hidden_size": 64,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 100,
}
QWEN3_NEXT: Final = {
    "head_dim": 16,
    "num_hidden_layers": 6,
    "full_attention_interval": 3,
    "mlp_only_layers": [1],
    "decoder_sparse_step": 2,
    "attention_bias": True,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 20,
    "shared_expert_intermediate_size": 24,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
    "linear_conv_kernel_dim": 3,
}


def small(model_type: str, **values: Any) -> Architecture:
    return architecture_of({"model_type": model_type, **SMALL, **values})


@pytest.mark.parametrize(
    ("model_type", "values", "parameters"),
    [
        ("qwen3_next", QWEN3_NEXT, 212_496),
        (
            "qwen3_5_text",
            {"num_hidden_layers": 6, "full_attention_interval": 2, "tie_word_embeddings": True},
            4_167_296,
        ),
        # This type has experts in every layer, whatever mlp_only_layers says.
        (
            "qwen3_5_moe_text",
            {"num_hidden_layers": 4, "num_experts": 4, "num_experts_per_tok": 2, "mlp_only_layers": [1]},
            5_500_288,
        ),
        (
            "recurrent_gemma",
            {
                "num_key_value_heads": 1,
                "num_hidden_layers": 5,
                "lru_width": 80,
                "block_types": ["recurrent", "attention"],
                "attention_bias": True,
            },
            134_996,
        ),
        (
            "olmo_hybrid",
            {
                "num_hidden_layers": 3,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 6,
                "linear_key_head_dim": 8,
            },
            126_808,
        ),
        ("olmo_hybrid", {"num_hidden_layers": 9, "attention_bias": True}, 393_184),
        ("rwkv", {"num_hidden_layers": 3, "attention_hidden_size": 96}, 139_776),
        (
            "xlstm",
            {
                "num_blocks": 3,
                "num_heads": 4,
                "use_bias": True,
                "weight_mode": "fused",
                "qk_dim_factor": 1.6,
                "v_dim_factor": 2.0,
                "ffn_proj_factor": 1.7,
                "ffn_round_up_to_multiple_of": 24,
            },
            200_460,
        ),
    ],
)
def test_rules_that_defaults_leave_out(model_type: str, values: dict[str, Any], parameters: int) -> None:
    assert small(model_type, **values).parameters == parameters


def test_rwkv_4_169m() -> None:
    # A layer has 4 + 4 + 4 + 1 matrices' worth of 768^2, and 5 + 2 + 4 vectors: time, channels, norms. Two more norms
    # stand around the layers, and two tables of 50,277 words.
    model = architecture_of({"model_type": "rwkv", "hidden_size": 768, "num_hidden_layers": 12, "vocab_size": 50277})

    assert model.parameters == 12 * (13 * 768**2 + 11 * 768) + 4 * 768 + 2 * 50277 * 768 == 169_342_464


def test_the_last_layer_of_a_short_olmo_hybrid_is_attention() -> None:
    model = small("olmo_hybrid", num_hidden_layers=2)

    assert [(isinstance(layer.mixer, FullAttention), layer.pre_norm) for layer in model.layers] == [
        (False, True),
        (True, False),
    ]


def test_recurrent_gemma_looks_at_a_window() -> None:
    mixers = [layer.mixer for layer in small("recurrent_gemma", num_hidden_layers=5).layers]

    assert [isinstance(mixer, SlidingAttention) for mixer in mixers] == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("model_type", "values", "key"),
    [
        ("qwen3_next", {"full_attention_interval": 0}, "full_attention_interval"),
        ("qwen3_next", {"layer_types": ["conv"] * 48}, "layer_types"),
        ("recurrent_gemma", {"block_types": ["mamba"]}, "block_types"),
        ("olmo_hybrid", {"linear_num_key_heads": 1000}, "linear_num_key_heads"),
        ("xlstm", {"ffn_proj_factor": 1e300}, "ffn_proj_factor"),
    ],
)
def test_what_makes_no_sense_is_named(model_type: str, values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        small(model_type, **values)
