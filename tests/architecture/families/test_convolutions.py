"""Short convolutions: the rules that default configs leave out. Where no source is named, the number of parameters is
that of transformers 5.23's own model of the config, built on the meta device."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.layers import Architecture
from hubvram.errors import ConfigError
from tests.samples import architecture_of

SMALL: Final = {
    "hidden_size": 64,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
BETWEEN: Final = {"num_hidden_layers": 3, "layer_types": ["conv", "full_attention", "conv"]}
EXPERTS: Final = {"intermediate_size": 100, "moe_intermediate_size": 30, "num_experts": 4}


def small(model_type: str, **values: Any) -> Architecture:
    return architecture_of({"model_type": model_type, **SMALL, **values})


@pytest.mark.parametrize(
    ("model_type", "values", "parameters"),
    [
        (
            "lfm2",
            {
                "num_hidden_layers": 3,
                "block_ff_dim": 600,
                "full_attn_idxs": [1],
                "conv_bias": True,
                "block_multiple_of": 16,
                "block_ffn_dim_multiplier": 1.3,
            },
            357_088,
        ),
        (
            "lfm2",
            {**BETWEEN, "intermediate_size": 100, "block_auto_adjust_ff_dim": False, "tie_embedding": False},
            116_320,
        ),
        # Without full_attn_idxs, all layers are attention.
        ("lfm2", {"num_hidden_layers": 3, "intermediate_size": 100, "block_ffn_dim_multiplier": 0.7}, 191_264),
        ("lfm2_moe", {**BETWEEN, **EXPERTS, "num_dense_layers": 0, "use_expert_bias": False}, 122_208),
        ("lfm2_moe", {**BETWEEN, **EXPERTS, "num_dense_layers": 1, "tie_embedding": False}, 124_520),
        (
            "lfm3",
            {
                "num_hidden_layers": 6,
                "intermediate_size": 100,
                "use_attention_gate": False,
                "use_sandwich_norm": False,
                "conv_bias": True,
                "attention_bias": True,
            },
            390_336,
        ),
        # Experts as wide as intermediate_size says, where dense layers have a width of their own.
        (
            "inkling_text",
            {
                "num_hidden_layers": 4,
                "head_dim": 16,
                "swa_num_attention_heads": 8,
                "swa_num_key_value_heads": 4,
                "swa_head_dim": 8,
                "sliding_window_size": 32,
                "d_rel": 4,
                "rel_extent": 64,
                "intermediate_size": 40,
                "dense_intermediate_size": 96,
                "dense_mlp_idx": 2,
                "n_routed_experts": 6,
                "n_shared_experts": 1,
                "num_experts_per_tok": 2,
                "local_layer_ids": [0, 2],
            },
            217_968,
        ),
        (
            "zaya",
            {
                "num_hidden_layers": 3,
                "head_dim": 16,
                "attention_bias": True,
                "lm_head_bias": True,
                "num_experts": 3,
                "moe_intermediate_size": 24,
                "router_hidden_size": 12,
                "cca_time0": 3,
            },
            101_678,
        ),
    ],
)
def test_rules_that_defaults_leave_out(model_type: str, values: dict[str, Any], parameters: int) -> None:
    assert small(model_type, **values).parameters == parameters


def test_lfm3_has_three_kinds_of_layers() -> None:
    kinds = [layer.mixer.kind for layer in small("lfm3", num_hidden_layers=6).layers if layer.mixer]
    conv = "short_conv"

    assert kinds == [conv, conv, "full_attention", conv, "sliding_attention", conv]


@pytest.mark.parametrize(
    ("model_type", "values", "key"),
    [
        ("lfm2_moe", {}, "layer_types"),
        ("lfm2", {"block_ffn_dim_multiplier": -1}, "block_ffn_dim_multiplier"),
        ("inkling_text", {"mlp_layer_types": ["dense"]}, "mlp_layer_types"),
    ],
)
def test_what_makes_no_sense_is_named(model_type: str, values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        small(model_type, **values)
