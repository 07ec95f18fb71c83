"""Model types whose code is not part of transformers: the rules that the published headers do not exercise.

Expected numbers are sums over the matrices that the rule is about; the one published total says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.errors import ConfigError
from tests.samples import architecture_of

_GLM: Final = {
    "model_type": "chatglm",
    "architectures": ["ChatGLMModel"],
    "hidden_size": 64,
    "num_layers": 2,
    "num_attention_heads": 4,
    "kv_channels": 16,
    "ffn_hidden_size": 96,
    "padded_vocab_size": 100,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "add_qkv_bias": True,
}
_MINICPM: Final = {
    "model_type": "minicpm",
    "hidden_size": 2304,
    "intermediate_size": 5760,
    "num_hidden_layers": 40,
    "num_attention_heads": 36,
    "num_key_value_heads": 36,
    "hidden_act": "silu",
    "vocab_size": 122_753,
}


def test_the_first_chatglm_is_another_model_of_the_same_type() -> None:
    # As its trainers print it: all params 6173286400.
    config = {
        "model_type": "chatglm",
        "architectures": ["ChatGLMModel"],
        "hidden_size": 4096,
        "inner_hidden_size": 16_384,
        "num_layers": 28,
        "num_attention_heads": 32,
        "max_sequence_length": 2048,
        "vocab_size": 130_528,
    }
    assert architecture_of(config).parameters == 6_173_286_400


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"post_layer_norm": False}, -64),  # no norm behind the last layer
        ({"rmsnorm": False}, 5 * 64),  # LayerNorm: a bias for each of five norms
        ({"multi_query_attention": False}, 2 * 2 * (2 * 16 * 64 + 2 * 16)),  # two more heads of K and V each, biased
        ({"add_bias_linear": True}, 2 * (64 + 2 * 96 + 64)),  # o, gate and up, down
        ({"add_qkv_bias": False}, -2 * (64 + 2 * 32)),
    ],
)
def test_switches_of_chatglm(changes: Mapping[str, Any], difference: int) -> None:
    assert architecture_of({**_GLM, **changes}).parameters - architecture_of(_GLM).parameters == difference


def test_minicpm_ties_its_head_and_may_have_experts() -> None:
    # 40 x (4 x 2304^2 + 3 x 2304 x 5760 + 2 x 2304) + 122,753 x 2304 + 2304
    dense = architecture_of(_MINICPM)
    assert dense.parameters == 2_724_880_896
    sparse = architecture_of({**_MINICPM, "num_experts": 8, "num_experts_per_tok": 2})
    assert sparse.parameters - dense.parameters == 40 * (7 * 3 * 2304 * 5760 + 8 * 2304)


_DECI: Final = {
    "model_type": "deci",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads_per_layer": [4, 1],
    "hidden_act": "silu",
    "vocab_size": 100,
}


def test_deci_has_its_kv_heads_layer_by_layer() -> None:
    # Q and O, an MLP of three matrices, two norms; K and V of heads that are 16 wide.
    rest = 2 * 64 * 64 + 3 * 64 * 96 + 2 * 64
    layers = architecture_of(_DECI).layers
    assert [layer.parameters for layer in layers] == [rest + 2 * heads * 16 * 64 for heads in (4, 1)]


def test_qwens_gate_and_up_share_the_intermediate_size() -> None:
    config = {
        "model_type": "qwen",
        "hidden_size": 64,
        "intermediate_size": 192,
        "kv_channels": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 100,
        "no_bias": False,
    }
    # Q, K and V of 4 x 32 with biases, O with one, three matrices of 96 with theirs, three norms; embedding and head.
    qkv, out, mlp = 3 * 128 * 65, 64 * 129, 2 * 96 * 65 + 64 * 97
    assert architecture_of(config).parameters == qkv + out + mlp + 3 * 64 + 2 * 100 * 64


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({**_GLM, "multi_query_group_num": 0}, "multi_query_group_num"),
        ({**_GLM, "padded_vocab_size": None}, "padded_vocab_size"),
        ({**_DECI, "num_key_value_heads_per_layer": [4]}, "num_key_value_heads_per_layer"),
        ({**_DECI, "num_key_value_heads_per_layer": [4, 3]}, "num_key_value_heads"),
        ({**_MINICPM, "num_experts": 2, "num_experts_per_tok": 3}, "num_experts_per_tok"),
        ({**_MINICPM, "model_type": "xverse", "num_experts": 64}, "num_experts"),
    ],
)
def test_bad_values_are_named(config: Mapping[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        architecture_of(config)
