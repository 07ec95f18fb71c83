"""From config.json to layers: every family, and what each refuses."""

from __future__ import annotations

from typing import Any

import pytest

from hubvram.architecture.families import FAMILIES
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.errors import ConfigError
from tests.samples import architecture_of, attention_of, config_of, small_llama

DIMENSIONS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "intermediate_size")
HOSTILE: tuple[Any, ...] = (0, -1, 10**30, "64", 64.0, True, [64], None)


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("field", DIMENSIONS)
def test_hostile_dimensions_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"config\.json: {field}: "):
        small_llama(**{field: value})


@pytest.mark.parametrize("value", [0, -1, 10**30, "2", 2.0, True, [2]], ids=repr)
@pytest.mark.parametrize("field", ["num_key_value_heads", "head_dim", "max_position_embeddings"])
def test_hostile_optional_dimensions_too(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"config\.json: {field}: "):
        small_llama(**{field: value})


def test_a_billion_layers_are_refused_and_not_built() -> None:
    with pytest.raises(ConfigError, match="num_hidden_layers: 1000000000 is not between 1 and 2,048"):
        small_llama(num_hidden_layers=10**9)
    assert small_llama(num_hidden_layers=2_048).num_hidden_layers == 2_048


def test_heads_divide_the_hidden_size() -> None:
    with pytest.raises(ConfigError, match="num_attention_heads: 5 heads do not divide hidden_size 64"):
        small_llama(num_attention_heads=5, num_key_value_heads=5)


def test_unless_a_head_has_a_size_of_its_own() -> None:
    mixer = attention_of(small_llama(num_attention_heads=5, num_key_value_heads=5, head_dim=16).layers[0])
    assert (mixer.q_size, mixer.k_size) == (80, 80)


def test_key_value_heads_divide_the_heads() -> None:
    with pytest.raises(ConfigError, match="num_key_value_heads: 3 does not divide the 4 attention heads"):
        small_llama(num_key_value_heads=3)


def test_without_key_value_heads_there_are_as_many_as_heads() -> None:
    assert attention_of(small_llama(num_key_value_heads=None).layers[0]).num_key_value_heads == 4


def test_null_head_dim_is_the_hidden_size_shared_out() -> None:
    assert attention_of(small_llama(head_dim=None).layers[0]).head_dim == 16


@pytest.mark.parametrize("field", ["attention_bias", "mlp_bias", "tie_word_embeddings"])
def test_switches_are_true_or_false(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: expected true or false"):
        small_llama(**{field: "yes"})


def test_llama_biases() -> None:
    plain = small_llama().parameters
    # Q, K, V and O: 64 + 32 + 32 + 64 per layer; gate, up and down: 96 + 96 + 64.
    assert small_llama(attention_bias=True).parameters - plain == 2 * 192
    assert small_llama(mlp_bias=True).parameters - plain == 2 * 256


def qwen3_moe(**values: Any) -> list[str]:
    small = {
        "model_type": "qwen3_moe",
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 6,
        "num_experts": 8,
        "num_experts_per_tok": 2,
    }
    return [layer.mlp.kind for layer in architecture_of(small | values).layers if layer.mlp is not None]


def test_some_layers_have_experts() -> None:
    assert qwen3_moe() == ["moe"] * 6
    assert qwen3_moe(decoder_sparse_step=2) == ["dense", "moe"] * 3
    assert qwen3_moe(mlp_only_layers=[0, 5]) == ["dense", *["moe"] * 4, "dense"]
    assert qwen3_moe(decoder_sparse_step=3, mlp_only_layers=[2]) == [*["dense"] * 5, "moe"]
    assert qwen3_moe(mlp_only_layers=[99]) == ["moe"] * 6
    assert qwen3_moe(num_experts=0) == ["dense"] * 6  # as Qwen3MoeDecoderLayer has it


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"num_experts_per_tok": 9}, "num_experts_per_tok: 9 of 8 experts cannot be chosen"),
        ({"num_experts": -1}, "num_(local_)?experts: -1 is not between"),
        ({"decoder_sparse_step": 0}, "decoder_sparse_step: 0 is not between"),
        ({"mlp_only_layers": ["0"]}, r"mlp_only_layers\[0\]: expected an integer"),
        ({"moe_intermediate_size": -768}, "moe_intermediate_size: -768"),
    ],
)
def test_experts_that_cannot_be(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        qwen3_moe(**values)


def test_mixtral_names_its_experts_in_its_own_way() -> None:
    small = {"model_type": "mixtral", "hidden_size": 64, "num_attention_heads": 8, "intermediate_size": 96}
    mlp = architecture_of(small | {"num_local_experts": 4, "num_hidden_layers": 1}).layers[0].mlp
    assert isinstance(mlp, MoEMLP)
    assert (mlp.num_experts, mlp.num_experts_per_tok, mlp.moe_intermediate_size) == (4, 2, 96)


def test_gpt2_is_four_times_as_wide_inside_unless_it_says_so() -> None:
    for values, width in (({}, 3072), ({"n_inner": None}, 3072), ({"n_inner": 1000}, 1000)):
        mlp = architecture_of({"model_type": "gpt2"} | values).layers[0].mlp
        assert isinstance(mlp, DenseMLP)
        assert mlp.intermediate_size == width


def test_gpt2_has_learned_positions_and_the_rest_rotates() -> None:
    gpt2 = architecture_of({"model_type": "gpt2"})
    assert (gpt2.learned_positions, gpt2.rotary_dim) == (1024, 0)
    assert architecture_of({"model_type": "llama"}).rotary_dim == 128
    # GPT-NeoX rotates a quarter of each head of 6,144 / 64 = 96.
    assert architecture_of({"model_type": "gpt_neox"}).rotary_dim == 24
    assert architecture_of({"model_type": "gpt_neox", "rotary_pct": 0.5}).rotary_dim == 48
    # Phi-4-mini rotates three quarters of a head of 128.
    assert architecture_of({"model_type": "phi3", "head_dim": 128, "partial_rotary_factor": 0.75}).rotary_dim == 96


@pytest.mark.parametrize("model_type", ["phi3", "gpt_neox"])
def test_the_rotary_share_where_transformers_5_writes_it(model_type: str) -> None:
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5}
    values = {"model_type": model_type, "hidden_size": 64, "num_attention_heads": 4, "rope_parameters": rope}
    assert architecture_of(values).rotary_dim == 8


@pytest.mark.parametrize("share", [-0.5, 1.5, 10**400, float("nan"), float("inf")], ids=repr)
def test_a_rotary_share_is_a_share(share: float) -> None:
    small = {"model_type": "phi3", "hidden_size": 64, "num_attention_heads": 4}
    with pytest.raises(ConfigError, match=r"config\.json: partial_rotary_factor: .* is not between 0 and 1"):
        architecture_of(small | {"partial_rotary_factor": share})
    with pytest.raises(ConfigError, match=r"config\.json: rope_parameters\.partial_rotary_factor: "):
        architecture_of(small | {"rope_parameters": {"partial_rotary_factor": share}})
    with pytest.raises(ConfigError, match=r"config\.json: rope_parameters: expected an object"):
        architecture_of(small | {"rope_parameters": 0.5})


def test_gemma3_has_a_rotary_table_for_each_kind_of_layer() -> None:
    assert architecture_of({"model_type": "gemma3_text"}).rotary_tables == 2
    assert architecture_of({"model_type": "gemma3_text", "num_hidden_layers": 5}).rotary_tables == 1


@pytest.mark.parametrize("model_type", ["llama", "gemma3_text", "qwen3_moe", "gpt2"])
def test_a_text_model_inside_a_larger_one_is_read_the_same(model_type: str) -> None:
    inner = config_of({"model_type": "larger", "text_config": {"model_type": model_type}})
    assert inner.is_nested
    assert FAMILIES[model_type](inner.text, ()) == architecture_of({"model_type": model_type})
