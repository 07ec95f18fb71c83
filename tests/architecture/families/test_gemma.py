"""Gemma 3n and 4: shared K and V, two sizes of heads, experts, what old and new configs call them.

Expected numbers are parameters of transformers 5.23's own classes, built from the same config on the meta device
(a tied head once, the layers' scales included).
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture.attention import FullAttention, SharedKVAttention, SlidingAttention
from hubvram.architecture.reconcile import reconcile
from hubvram.checkpoint.components import Component
from hubvram.errors import ConfigError
from hubvram.memory.kv_cache import kv_cache_bytes
from tests.samples import architecture_of, checkpoint_of

_SMALL: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 100,
    "sliding_window": 8,
}
_PER_LAYER: Final = {"vocab_size_per_layer_input": 90, "hidden_size_per_layer_input": 8}
_GEMMA3N: Final = {
    **_SMALL,
    **_PER_LAYER,
    "model_type": "gemma3n_text",
    "num_hidden_layers": 10,
    "num_kv_shared_layers": 2,
    "intermediate_size": [96] * 5 + [48] * 5,
    "altup_num_inputs": 3,
    "laurel_rank": 4,
    "attention_bias": True,
}
_GEMMA4: Final = {**_SMALL, **_PER_LAYER, "model_type": "gemma4_text"}
_SHARED: Final = {**_GEMMA4, "num_hidden_layers": 12, "num_kv_shared_layers": 6, "use_double_wide_mlp": True}
_K_IS_V: Final = {"attention_k_eq_v": True, "num_global_key_value_heads": 1}
_MOE: Final = {
    **_GEMMA4,
    **_K_IS_V,
    "hidden_size_per_layer_input": 0,
    "global_head_dim": 32,
    "enable_moe_block": True,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 24,
}
_UNIFIED: Final = {**_SMALL, "model_type": "gemma4_unified_text"}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (_GEMMA3N, 312_944),
        ({**_SHARED, "global_head_dim": 32}, 512_868),
        (_MOE, 312_382),
        # The same by the field that replaced `global_head_dim` and `num_global_key_value_heads`.
        ({**_MOE, "per_layer_config": {"5": {"head_dim": 32, "num_key_value_heads": 1}}}, 312_382),
        ({**_MOE, "per_layer_config": {"05": {"head_dim": 32, "num_key_value_heads": 1}}}, 312_382),
        # The last layer is full, whatever `layer_types` says.
        (
            {
                **_GEMMA4,
                "attention_k_eq_v": True,
                "attention_bias": True,
                "layer_types": ["full_attention", *["sliding_attention"] * 5],
            },
            846_254,
        ),
        ({**_UNIFIED, **_K_IS_V}, 476_134),
        ({**_UNIFIED, "num_hidden_layers": 12, "num_kv_shared_layers": 6, "use_double_wide_mlp": True}, 1_100_860),
    ],
)
def test_parameters(config: dict[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


def test_only_layers_with_k_and_v_of_their_own_cache_them() -> None:
    model = architecture_of({**_SHARED, "global_head_dim": 32})
    assert [type(layer.mixer) for layer in model.layers] == [
        *[SlidingAttention] * 5,
        FullAttention,
        *[SharedKVAttention] * 6,
    ]
    # 5 layers keep 8 of 100 tokens, K and V of 2 heads of 16; one keeps all, of 2 heads of 32.
    assert kv_cache_bytes(model, tokens=100, batch_size=1, element_bytes=2) == 2 * (5 * 8 * 64 + 100 * 128)


def test_v_is_cached_though_it_has_no_matrix() -> None:
    # 5 layers keep 8 tokens, K and V of 2 heads of 16; one keeps all 100, K and V of 1 head of 32.
    assert kv_cache_bytes(architecture_of(_MOE), tokens=100, batch_size=1, element_bytes=2) == 2 * (
        5 * 8 * 64 + 100 * 64
    )


def test_a_window_that_reaches_both_ways_is_halved() -> None:
    first = architecture_of({**_GEMMA4, "use_bidirectional_attention": "all"}).layers[0].mixer
    assert isinstance(first, SlidingAttention) and first.sliding_window == 5
    first = architecture_of({**_GEMMA4, "use_bidirectional_attention": "vision"}).layers[0].mixer
    assert isinstance(first, SlidingAttention) and first.sliding_window == 8


def test_stored_k_and_v_of_layers_that_take_others_are_not_used() -> None:
    # Layer 6 is the first that takes what an earlier one made.
    stored = checkpoint_of(
        {f"model.language_model.layers.{index}.self_attn.k_proj.weight": (32, 64) for index in (5, 6)}
    )
    found = reconcile(stored, architecture_of(_SHARED))
    assert found.by_component[Component.ATTENTION] == 2 * 32 * 64
    unused = [item for item in found.accounted if item.what == "not used"]
    assert [(item.tensors, item.parameters, item.is_loaded) for item in unused] == [(1, 32 * 64, False)]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({**_GEMMA4, "num_kv_shared_layers": 6}, "num_kv_shared_layers: 6 is not between 0 and 5"),
        ({**_GEMMA4, "num_kv_shared_layers": -1}, "num_kv_shared_layers: -1"),
        ({**_GEMMA4, "per_layer_config": {"5": 1}}, "per_layer_config.5: expected an object"),
        ({**_GEMMA4, "per_layer_config": {"0": {"head_dim": 0}}}, "head_dim: 0"),
        ({**_MOE, "top_k_experts": 5}, "top_k_experts: 5 of 4"),
        ({**_GEMMA4, "hidden_size_per_layer_input": -8}, "hidden_size_per_layer_input: -8"),
        ({**_GEMMA3N, "intermediate_size": [96]}, "intermediate_size: it has 1 values"),
        ({**_GEMMA3N, "intermediate_size": [0] * 10}, "intermediate_size: 0"),
        ({**_GEMMA3N, "intermediate_size": "wide"}, "intermediate_size: expected an integer"),
    ],
)
def test_what_cannot_be(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        architecture_of(config)
