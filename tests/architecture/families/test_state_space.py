"""State spaces: the rules that default configs leave out. Where no source is named, the number of parameters is
that of transformers 5.23's own model of the config, built on the meta device."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.reconcile import Status
from hubvram.architecture.recurrent import Mamba2
from hubvram.checkpoint.components import Component
from hubvram.errors import ConfigError
from tests.samples import architecture_of
from tests.walk.compare import reconciliation_of

SMALL: Final = {
    "hidden_size": 64,
    "vocab_size": 100,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
}
NEMOTRON_3_ULTRA: Final = {
    "model_type": "nemotron_h",
    "hidden_size": 8192,
    "intermediate_size": 5120,
    "layers_block_type": ["mamba"] * 48 + ["attention"] * 12 + ["moe"] * 48,
    "mamba_num_heads": 256,
    "moe_intermediate_size": 5120,
    "moe_latent_size": 2048,
    "moe_shared_expert_intermediate_size": 10240,
    "n_routed_experts": 512,
    "num_attention_heads": 64,
    "num_experts_per_tok": 22,
    "num_key_value_heads": 2,
}
BIASED: Final = {"use_bias": True, "use_conv_bias": False}
DOUBLED: Final = {"mamba_proj_bias": True, "mamba_conv_bias": False}


def small(model_type: str, **values: Any) -> Architecture:
    return architecture_of({"model_type": model_type, **SMALL, **values})


@pytest.mark.parametrize(
    ("model_type", "values", "parameters"),
    [
        ("mamba", {"intermediate_size": 128, "num_hidden_layers": 2, **BIASED, "time_step_rank": 7}, 73_792),
        # falcon-mamba-7b says expand 16 and means intermediate_size.
        (
            "falcon_mamba",
            {"num_hidden_layers": 2, "expand": 16, "intermediate_size": 128, "tie_word_embeddings": False},
            78_272,
        ),
        (
            "mamba2",
            {
                "num_hidden_layers": 2,
                "num_heads": 8,
                "head_dim": 16,
                "n_groups": 2,
                "tie_word_embeddings": True,
                **BIASED,
            },
            129_408,
        ),
        (
            "jamba",
            {
                "num_hidden_layers": 12,
                "attn_layer_period": 4,
                "attn_layer_offset": 1,
                "expert_layer_period": 3,
                "expert_layer_offset": 2,
                "num_experts": 4,
                "mamba_dt_rank": 5,
                **DOUBLED,
            },
            792_781,
        ),
        ("jamba", {"num_hidden_layers": 12, "num_experts": 1, "num_experts_per_tok": 1}, 607_308),
        (
            "falcon_h1",
            {
                "num_hidden_layers": 2,
                "mamba_d_ssm": None,
                "mamba_n_heads": 8,
                "mamba_rms_norm": True,
                "attention_bias": True,
                "mlp_bias": True,
                "head_dim": 20,
                **DOUBLED,
            },
            204_352,
        ),
        (
            "falcon_h1",
            {
                "num_hidden_layers": 2,
                "mamba_d_ssm": 96,
                "mamba_n_heads": 8,
                "mamba_d_head": 12,
                "projectors_bias": True,
                "mamba_n_groups": 2,
            },
            254_896,
        ),
        (
            "bamba",
            {
                "num_hidden_layers": 3,
                "attn_layer_indices": [1],
                "mamba_n_heads": 8,
                "attention_bias": True,
                "mlp_bias": True,
                "mamba_proj_bias": True,
            },
            205_888,
        ),
    ],
)
def test_rules_that_defaults_leave_out(model_type: str, values: dict[str, Any], parameters: int) -> None:
    assert small(model_type, **values).parameters == parameters


def test_granite_has_attention_where_its_layer_types_say_so_and_may_have_no_experts() -> None:
    values = {"num_hidden_layers": 3, "shared_intermediate_size": 80, "mamba_n_heads": 8, "attention_bias": True}
    kinds = ["mamba", "attention", "mamba"]
    model = small("granitemoehybrid", **values, num_local_experts=0, layer_types=kinds, mamba_proj_bias=True)

    assert [layer.mixer.kind for layer in model.layers if layer.mixer] == ["mamba2", "full_attention", "mamba2"]
    assert model.parameters == 195_904
    assert Component.EXPERTS not in model.parameters_by_component


def test_the_mlp_of_a_granite_without_experts_is_no_expert() -> None:
    # Its tensors are named like the shared expert of others.
    config = {"model_type": "granitemoehybrid", **SMALL, "num_hidden_layers": 1, "num_local_experts": 0}
    layer = "model.layers.0."
    shapes = {
        "model.embed_tokens.weight": (100, 64),
        f"{layer}self_attn.q_proj.weight": (64, 64),
        f"{layer}self_attn.k_proj.weight": (32, 64),
        f"{layer}self_attn.v_proj.weight": (32, 64),
        f"{layer}self_attn.o_proj.weight": (64, 64),
        f"{layer}shared_mlp.input_linear.weight": (160, 64),
        f"{layer}shared_mlp.output_linear.weight": (64, 80),
        f"{layer}input_layernorm.weight": (64,),
        f"{layer}post_attention_layernorm.weight": (64,),
        "model.norm.weight": (64,),
        "lm_head.weight": (100, 64),
    }
    values = {**config, "layer_types": ["attention"], "shared_intermediate_size": 80}
    found = reconciliation_of(values, [(name, "BF16", shape) for name, shape in shapes.items()])

    assert found.status is Status.RECONCILED
    assert found.by_component[Component.MLP] == 3 * 64 * 80


def test_nemotron_h_reads_letters_and_names_of_old() -> None:
    model = small(
        "nemotron_h",
        hybrid_override_pattern="M-M*E-",
        num_hidden_layers=5,  # the letters are right
        head_dim=16,
        mlp_bias=True,
        use_bias=True,
        mamba_n_groups=2,
        mamba_d_conv=3,
        mamba_conv_bias=False,
        mamba_num_heads=8,
        mamba_head_dim=12,
        moe_latent_size=24,
        moe_intermediate_size=40,
        moe_shared_expert_intermediate_size=48,
        n_routed_experts=6,
    )
    kinds = [part.kind for layer in model.layers for part in layer.parts]

    assert kinds == ["mamba2", "dense", "mamba2", "full_attention", "moe", "dense"]
    assert model.parameters == 180_622


def test_nemotron_h_with_experts_of_a_latent() -> None:
    model = architecture_of(NEMOTRON_3_ULTRA)
    # The Hub says 560,524,578,816 for nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16: without correction biases
    # (48 x 512), and with one block for multi-token prediction: an attention and an expert layer, a matrix that
    # joins two hidden states, five norms.
    parts = {part.kind: part.parameters for layer in model.layers for part in layer.parts}
    prediction = parts["full_attention"] + parts["moe"] - 512 + 2 * 8192 * 8192 + 5 * 8192

    assert model.parameters - 48 * 512 + prediction == 560_524_578_816


def test_zamba_counts_the_attention_that_its_layers_share_once() -> None:
    kinds = ["hybrid", "mamba", "hybrid", "mamba"]
    model = small("zamba", num_key_value_heads=4, num_hidden_layers=4, layers_block_type=kinds)
    first, _, second, _ = model.layers

    assert model.parameters == 221_440
    assert isinstance(second.mixer, FullAttention) and isinstance(second.mlp, DenseMLP)
    assert (second.mixer, second.mlp) == (first.mixer, first.mlp)
    assert second.parameters_by_component.keys() == {Component.SSM, Component.NORM, Component.OTHER}
    assert all(linear.name != "q" for linear in second.linears)


def test_zamba2_takes_turns_with_its_blocks_and_has_adapters_for_each_layer() -> None:
    model = small(
        "zamba2",
        intermediate_size=None,
        num_key_value_heads=None,
        num_hidden_layers=7,
        layers_block_type=["mamba", "hybrid", "hybrid", "hybrid", "mamba", "hybrid", "hybrid"],
        num_mem_blocks=2,
        use_shared_attention_adapter=True,
        adapter_rank=8,
        add_bias_linear=True,
        n_mamba_heads=8,
        mamba_headdim=16,
        mamba_ngroups=2,
        use_conv_bias=False,  # ignored: its convolution has a bias in any case
    )

    assert model.parameters == 604_576
    assert [len(layer.shared_parts) for layer in model.layers] == [0, 0, 0, 2, 0, 2, 2]
    assert sum(isinstance(part, Mamba2) for layer in model.layers for part in layer.parts) == 7


@pytest.mark.parametrize(
    ("model_type", "values", "key"),
    [
        ("nemotron_h", {"hybrid_override_pattern": "M|E"}, "hybrid_override_pattern"),
        ("mamba2", {"num_heads": 7}, "num_heads"),
        ("granitemoehybrid", {"layer_types": ["mamba", "moe"], "num_hidden_layers": 2}, "layer_types"),
        ("granitemoehybrid", {"layer_types": ["mamba"], "num_hidden_layers": 2}, "layer_types"),
        ("zamba2", {"num_hidden_layers": 3}, "layers_block_type"),
        ("jamba", {"attn_layer_period": 0}, "attn_layer_period"),
        ("mamba", {"time_step_rank": "many"}, "time_step_rank"),
    ],
)
def test_what_makes_no_sense_is_named(model_type: str, values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        small(model_type, **values)
