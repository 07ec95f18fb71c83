"""Models of several parts: the rules that the default configs and the published headers do not exercise.

Expected numbers are sums over the tensors of models that transformers 5.23 built from these configs on meta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest

from hubvram.architecture import families
from hubvram.errors import ConfigError
from tests.samples import SMALL_LLAMA, architecture_of, config_of

_TEXT: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
}
_LLAMA: Final = {**_TEXT, "model_type": "llama"}
_QWEN2: Final = {**_TEXT, "model_type": "qwen2"}
_TOWER: Final = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
_CLIP: Final = {**_TOWER, "model_type": "clip_vision_model"}
_SIGLIP: Final = {**_TOWER, "model_type": "siglip_vision_model"}
_QWEN_TOWER: Final = {"depth": 2, "num_heads": 4, "hidden_size": 32, "intermediate_size": 40, "out_hidden_size": 64}
_QFORMER: Final = {**_TOWER, "encoder_hidden_size": 32, "vocab_size": 50, "max_position_embeddings": 9}


@pytest.mark.parametrize(
    ("model_type", "changes", "total"),
    [
        # Several layers of the tower are looked at; a projector without biases.
        (
            "llava",
            {
                "text_config": _LLAMA,
                "vision_config": _CLIP,
                "vision_feature_layer": [-2, -3],
                "multimodal_projector_bias": False,
            },
            120_480,
        ),
        # The text model's own word on its head counts; a pooling head on the tower.
        ("llava", {"text_config": {**_LLAMA, "tie_word_embeddings": True}, "vision_config": _SIGLIP}, 117_744),
        (
            "mistral3",
            {
                "text_config": {**_TEXT, "model_type": "mistral"},
                "vision_config": {**_TOWER, "model_type": "pixtral"},
                "vision_feature_layer": [-1, -2],
                "multimodal_projector_bias": True,
                "spatial_merge_size": 3,
                "tie_word_embeddings": True,
            },
            123_904,
        ),
        # An image that is no square, q/k norms, RMSNorm, a mask token, a norm at the end.
        (
            "internvl",
            {
                "text_config": _QWEN2,
                "vision_config": {
                    **_TOWER,
                    "image_size": [28, 56],
                    "use_qk_norm": True,
                    "norm_type": "rms_norm",
                    "use_mask_token": True,
                    "use_mean_pooling": False,
                    "attention_bias": True,
                },
                "downsample_ratio": 0.25,
                "tie_word_embeddings": True,
            },
            142_624,
        ),
        # Three ways to arrange the tiles, one layer that looks at the image, a gate in two layers of five.
        (
            "mllama",
            {
                "text_config": {**_TEXT, "cross_attention_layers": [1]},
                "vision_config": {
                    **_TOWER,
                    "num_hidden_layers": 3,
                    "num_global_layers": 2,
                    "max_num_tiles": 2,
                    "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
                    "vision_output_dim": 64,
                },
            },
            140_665,
        ),
        (
            "qwen2_vl",
            {
                "text_config": _TEXT,
                "vision_config": {
                    "depth": 2,
                    "embed_dim": 32,
                    "hidden_size": 64,
                    "mlp_ratio": 3,
                    "num_heads": 4,
                    "patch_size": 7,
                    "temporal_patch_size": 3,
                    "spatial_merge_size": 3,
                },
                "tie_word_embeddings": True,
            },
            207_360,
        ),
        # One merger beside the last.
        (
            "qwen3_vl",
            {
                "text_config": {**_TEXT, "head_dim": 8, "attention_bias": True},
                "vision_config": {**_QWEN_TOWER, "deepstack_visual_indexes": [1], "num_position_embeddings": 16},
            },
            179_664,
        ),
        (
            "glm_ocr",
            {"text_config": {**_TEXT, "head_dim": 8}, "vision_config": {**_QWEN_TOWER, "attention_bias": False}},
            169_184,
        ),
        # Windows in two layers of three, without positions of their own.
        (
            "got_ocr2",
            {
                "text_config": _QWEN2,
                "vision_config": {
                    **_TOWER,
                    "mlp_dim": 48,
                    "output_channels": 8,
                    "num_hidden_layers": 3,
                    "image_size": 56,
                    "window_size": 2,
                    "global_attn_indexes": [1],
                    "qkv_bias": False,
                    "use_abs_pos": False,
                },
                "tie_word_embeddings": True,
            },
            126_880,
        ),
        # A Q-Former that reads the text, and looks at the image in layers 0 and 3 of 5.
        (
            "blip-2",
            {
                "text_config": {
                    "model_type": "opt",
                    "hidden_size": 64,
                    "ffn_dim": 96,
                    "word_embed_proj_dim": 64,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "vocab_size": 128,
                },
                "vision_config": {**_TOWER, "qkv_bias": False},
                "qformer_config": {
                    **_QFORMER,
                    "num_hidden_layers": 5,
                    "cross_attention_frequency": 3,
                    "use_qformer_text_input": True,
                },
                "num_query_tokens": 5,
            },
            296_640,
        ),
        # As many queries as the most patches get.
        (
            "aria",
            {
                "text_config": {**_TEXT, "moe_num_experts": 4, "moe_num_shared_experts": 3},
                "vision_config": {**_TOWER, "model_type": "idefics3_vision"},
                "projector_patch_to_query_dict": {"4": 3, "9": 5},
            },
            348_736,
        ),
    ],
)
def test_sums(model_type: str, changes: Mapping[str, Any], total: int) -> None:
    assert architecture_of({"model_type": model_type, **changes}).parameters == total


def test_a_config_of_one_level_is_read_as_one_of_two() -> None:
    tower = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4}
    nested = {"model_type": "qwen2_vl", "text_config": _TEXT, "vision_config": tower}
    assert architecture_of({"model_type": "qwen2_vl", **_TEXT, "vision_config": tower}) == architecture_of(nested)


@pytest.mark.parametrize(
    ("outer", "inner", "tied"),
    [({}, {}, False), ({}, {"tie_word_embeddings": True}, True), ({"tie_word_embeddings": True}, {}, True)],
)
def test_the_whole_ties_where_it_says_so_itself(outer: dict[str, bool], inner: dict[str, bool], tied: bool) -> None:
    # Mistral-Small-3.1 says nothing and has a head of its own, though the class ties by default.
    text = {**_TEXT, "model_type": "mistral", **inner}
    config = {"model_type": "mistral3", "text_config": text, "vision_config": {**_TOWER, "model_type": "pixtral"}}
    assert architecture_of({**config, **outer}).has_tied_head is tied


def test_a_tower_that_nobody_reads_is_left_out() -> None:
    config = {"model_type": "llava", "text_config": SMALL_LLAMA, "vision_config": {"model_type": "no_tower"}}
    assert architecture_of(config).stacks == ()


def test_a_text_model_that_nobody_reads() -> None:
    config = config_of({"model_type": "llava", "text_config": {"model_type": "no_model"}})
    assert families.architecture_of(config) is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"patch_size": [14, 0]}, "vision_config.patch_size"),
        ({"image_size": []}, "vision_config.image_size"),
        ({"num_attention_heads": 0}, "vision_config.num_attention_heads"),
        ({"num_hidden_layers": 10**9}, "vision_config.num_hidden_layers"),
    ],
)
def test_impossible_towers(changes: Mapping[str, Any], named: str) -> None:
    config = {"model_type": "llava", "text_config": _LLAMA, "vision_config": {**_CLIP, **changes}}
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        architecture_of(config)


def test_an_endless_mlp() -> None:
    tower = {"depth": 2, "embed_dim": 32, "num_heads": 4, "mlp_ratio": 1e308}
    with pytest.raises(ConfigError, match="mlp_ratio"):
        architecture_of({"model_type": "qwen2_vl", "text_config": _TEXT, "vision_config": tower})
