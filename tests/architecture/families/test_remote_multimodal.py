"""Molmo and MiniCPM-V: totals that the Hub publishes, and the models of these types that are not read."""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture import families
from hubvram.architecture.parts import Linear
from tests.samples import architecture_of, config_of

_QWEN2_7B: Final = {
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
}
_MOLMO: Final = {
    **_QWEN2_7B,
    "model_type": "molmo",
    "architectures": ["MolmoForCausalLM"],
    "attention_layer_norm": False,
    "norm_after": False,
    "qkv_bias": True,
    "intermediate_size": 37_888,
    "embedding_size": 152_064,
    "vocab_size": 152_064,
}
_MINICPM_V: Final = {
    **_QWEN2_7B,
    "model_type": "minicpmv",
    "architectures": ["MiniCPMV"],
    "version": 2.6,
    "hidden_act": "silu",
    "intermediate_size": 18_944,
    "max_window_layers": 28,
    "use_sliding_window": False,
    "vocab_size": 151_666,
    "query_num": 64,
    "drop_vision_last_layer": False,
    "vision_config": {
        "model_type": "siglip",
        "hidden_size": 1152,
        "image_size": 980,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        pytest.param(_MOLMO, 8_021_025_280, id="allenai/Molmo-7B-D-0924"),
        pytest.param(_MINICPM_V, 8_099_175_152, id="openbmb/MiniCPM-V-2_6"),
        # One layer less: four matrices of attention and two of the MLP, their biases, and two norms.
        pytest.param(
            {**_MINICPM_V, "drop_vision_last_layer": True},
            8_099_175_152 - (4 * 1152 * 1153 + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152),
            id="without the last layer of the tower",
        ),
    ],
)
def test_published_totals(config: dict[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


def test_norms_of_all_heads_in_a_molmo_that_is_an_olmo() -> None:
    usual, olmo = architecture_of(_MOLMO), architecture_of({**_MOLMO, "attention_layer_norm": True, "norm_after": True})
    assert olmo.parameters - usual.parameters == 28 * (3584 + 512)
    assert not olmo.layers[0].pre_norm
    assert isinstance(olmo.head, Linear)


@pytest.mark.parametrize(
    "config", [{**_MOLMO, "moe_num_experts": 64}, {**_MINICPM_V, "version": 2.5}, {**_MINICPM_V, "version": None}]
)
def test_others_of_the_same_type_are_not_read(config: dict[str, Any]) -> None:
    assert families.architecture_of(config_of(config)) is None
