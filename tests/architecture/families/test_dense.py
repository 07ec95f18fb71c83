"""Decoders of llama's shape: the rules that their default configs do not exercise.

Expected numbers are parameters of transformers 5.23's own classes, built from the same config on the meta device
(a tied head once); expected windows are the layers of the DynamicCache that it makes for them.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.attention import SlidingAttention
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import knows_cache
from tests.samples import architecture_of

_SMALL: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}
_DOGE_MOE: Final = {"is_moe": True, "num_experts": 90, "num_experts_per_tok": 4, "mlp_bias": True}
_HRM: Final = {"num_hidden_layers": 2, "head_dim": 16, "H_cycles": 3, "L_cycles": 2}
_HRM_BIASED: Final = {**_HRM, "attention_bias": True, "mlp_bias": True}


def small(model_type: str, **values: Any) -> dict[str, Any]:
    return {**_SMALL, "model_type": model_type, **values}


def windows(model_type: str, **values: Any) -> list[int | None]:
    layers = architecture_of(small(model_type, **values)).layers
    return [layer.mixer.sliding_window if isinstance(layer.mixer, SlidingAttention) else None for layer in layers]


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (small("cohere2", attention_bias=True), 130_368),
        (small("seed_oss", head_dim=32, attention_bias=True, attention_out_bias=True, mlp_bias=True), 187_712),
        (small("apertus", hidden_act="silu"), 111_808),
        (small("hyperclovax", use_post_norm=False, attention_bias=True), 137_024),
        (small("granitemoeshared", shared_intermediate_size=40, attention_bias=True, num_local_experts=4), 389_952),
        # Names of its fields before transformers had it.
        (small("internlm3", qkv_bias=True, bias=True, head_dim=16), 138_048),
        (small("gpt_neox_japanese", intermediate_multiple_size=3, num_hidden_layers=3), 130_240),
        (small("doge", **_DOGE_MOE), 188_872),
        (small("hrm_text", **_HRM_BIASED), 170_816),
        # As save_pretrained writes it: layers that run, and layers that there are.
        (small("hrm_text", **{**_HRM_BIASED, "num_hidden_layers": 18, "num_layers_per_stack": 2}), 170_816),
        (small("moshi", ffn_dim=96, num_hidden_layers=2), 56_192),
    ],
)
def test_parameters(config: dict[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


def test_windows_where_nothing_rotates() -> None:
    assert windows("smollm3", sliding_window=8) == [None] * 4
    assert windows("smollm3", sliding_window=8, use_sliding_window=True) == [None, None, None, 8]
    assert windows("smollm3", sliding_window=8, use_sliding_window=True, no_rope_layers=[0, 1, 1, 0]) == [
        *(8, None),
        *(None, 8),
    ]


def test_windows_by_pattern() -> None:
    assert windows("cohere2", sliding_window=8) == [8, 8, 8, None]
    assert windows("cohere2", sliding_window=8, sliding_window_pattern=2) == [8, None, 8, None]
    assert windows("exaone4", sliding_window=8, sliding_window_pattern=3) == [8, 8, None, 8]
    assert windows("exaone4", sliding_window=None, sliding_window_pattern="LLLG") == [None] * 4
    assert windows("olmo3", sliding_window=8) == [8, 8, 8, None]
    assert windows("cwm", sliding_window=8) == windows("granite_swa", sliding_window=8) == [None, 8, 8, 8]
    assert windows("ministral3", sliding_window=8) == windows("moshi", sliding_window=8) == [8] * 4


def test_experts_of_one_row_are_inactive_unless_chosen() -> None:
    model = architecture_of(small("doge", **_DOGE_MOE))
    assert model.inactive_parameters == 4 * (90 - 4) * 2 * 64
    assert knows_cache(model)


def test_each_run_of_a_layer_has_a_cache() -> None:
    # 3 high cycles of 2 low runs and a high one, of 2 layers each; 2 stacks of 2 layers have weights.
    layers = architecture_of(small("hrm_text", **_HRM)).layers
    assert len(layers) == 18
    assert [not layer.is_shared for layer in layers[:6]] == [True, True, False, False, True, True]
    assert all(layer.is_shared for layer in layers[6:])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (small("smollm3", use_sliding_window=True, sliding_window=8, no_rope_layers=[1]), "no_rope_layers: it names 1"),
        (
            small("smollm3", use_sliding_window=True, sliding_window=8, no_rope_layer_interval=0),
            "no_rope_layer_interval: 0",
        ),
        (small("cohere2", sliding_window_pattern=0), "sliding_window_pattern: 0"),
        (small("gpt_neox_japanese", intermediate_multiple_size=2000), "intermediate_multiple_size: 2000"),
        (small("moshi", ffn_dim=97), "ffn_dim: 97"),
        (small("doge", is_moe=True, num_experts=3), "num_experts_per_tok: 64 of 3"),
        (small("hrm_text", H_cycles=10_000), "H_cycles: more than 2,048 layers"),
        (small("hrm_text", L_cycles=0), "L_cycles: 0"),
        (small("granitemoeshared", shared_intermediate_size=-1), "shared_intermediate_size: -1"),
    ],
)
def test_what_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture_of(config)
