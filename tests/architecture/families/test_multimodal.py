"""Models of several parts: what older files call their fields, parts that are left out, and switches.

Expected numbers are parameters of transformers 5.23's own classes, built from the same config on the meta device
(a tied head once, buffers not at all), unless a comment says otherwise.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from hubvram.architecture import families
from hubvram.architecture.attention import SlidingAttention
from hubvram.checkpoint.components import Component
from hubvram.errors import ConfigError
from tests.samples import architecture_of, config_of

_TEXT: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
}
_TOWER: Final = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 4}
_GEMMA4_TEXT: Final = {
    **_TEXT,
    "head_dim": 16,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 300,
}
_GEMMA4_AUDIO: Final = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "output_proj_dims": 40,
}
_GEMMA4: Final = {
    "model_type": "gemma4",
    "text_config": _GEMMA4_TEXT,
    "vision_config": {
        **_TOWER,
        "num_key_value_heads": 4,
        "head_dim": 12,
        "standardize": True,
        "use_clipped_linears": True,
        "patch_size": 8,
        "position_embedding_size": 50,
    },
    "audio_config": {**_GEMMA4_AUDIO, "subsampling_conv_channels": [16, 8], "conv_kernel_size": 3},
}
_GEMMA4_UNIFIED: Final = {
    "model_type": "gemma4_unified",
    "text_config": {**_TEXT, "head_dim": 16},
    "vision_config": {"mm_embed_dim": 40, "mm_posemb_size": 10, "output_proj_dims": 40, "patch_size": 4},
    "audio_config": {"audio_embed_dim": 20},
}
_PHI4: Final = {
    **_TEXT,
    "model_type": "phi4_multimodal",
    "vision_config": {**_TOWER, "crop_size": 56, "image_size": 56, "patch_size": 14},
    "audio_config": {
        "hidden_size": 32,
        "intermediate_size": 40,
        "num_blocks": 2,
        "num_attention_heads": 4,
        "bias_symmetric": True,
        "bias_max_distance": 50,
        "time_reduction": 4,
        "input_size": 70,
        "nemo_conv_channels": 12,
        "downsample_rate": 2,
        "ext_pw_out_channel": 32,
        "depthwise_separable_out_channel": 32,
        "depthwise_multiplier": 2,
    },
}
_ERNIE_TEXT: Final = {
    **_TEXT,
    "hidden_size": 512,
    "use_bias": True,
    "moe_num_experts": 4,
    "moe_k": 2,
    "moe_intermediate_size": [24, 16],
    "moe_num_shared_experts": 1,
    "num_hidden_layers": 3,
    "mlp_layer_types": ["sparse", "dense", "sparse"],
}
_ERNIE: Final = {
    "model_type": "ernie4_5_vl_moe",
    "text_config": _ERNIE_TEXT,
    "vision_config": {
        "depth": 2,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_heads": 4,
        "temporal_merge_size": 3,
    },
}
_MOLMO2_TOWER: Final = {**_TOWER, "num_hidden_layers": 6, "num_key_value_heads": 4, "head_dim": 12}
_MOLMO2_ADAPTER: Final = {
    "hidden_size": 48,
    "intermediate_size": 70,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "head_dim": 12,
    "text_hidden_size": 64,
}
_MOLMO2_OLMO: Final = {
    "model_type": "molmo2",
    "text_config": {
        **_TEXT,
        "head_dim": 16,
        "qk_norm_type": "olmo",
        "additional_vocab_size": 6,
        "attention_bias": True,
        "norm_after": True,
    },
    "vision_config": _MOLMO2_TOWER,
    "adapter_config": {
        **_MOLMO2_ADAPTER,
        "vision_feature_layer": [3, 1],
        "attention_bias": False,
        "mlp_bias": True,
    },
}
# As the released files have it: layers behind the last one that is looked at are not there.
_MOLMO2_RELEASED: Final = {
    "model_type": "molmo2",
    "text_config": {**_TEXT, "head_dim": 16, "additional_vocab_size": 6},
    "vit_config": {
        **_MOLMO2_TOWER,
        "model_type": "molmo2",
        "image_default_input_size": [56, 56],
        "image_patch_size": 14,
        "image_num_pos": 17,
    },
    "adapter_config": {**_MOLMO2_ADAPTER, "model_type": "molmo2", "vit_layers": [-3, -5]},
}
_MINICPM: Final = {
    "model_type": "minicpmv4_6",
    "merger_times": 2,
    "text_config": {
        **_TEXT,
        "num_hidden_layers": 4,
        "head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
    },
    "vision_config": {**_TOWER, "window_kernel_size": [2, 2]},
}
_NEMOTRON_TEXT: Final = {
    "model_type": "nemotron_h",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
    "mamba_num_heads": 8,
    "mamba_head_dim": 16,
    "n_groups": 2,
    "ssm_state_size": 16,
    "layers_block_type": ["mamba", "moe", "attention", "mlp"],
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "moe_shared_expert_intermediate_size": 24,
}
_RADIO: Final = {
    "model_type": "radio",
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_img_size": 64,
    "num_registers": 2,
    "num_cls_tokens": 1,
    "video_temporal_patch_size": 2,
}
_NEMOTRON: Final = {
    "model_type": "nemotron_h_omni",
    "text_config": _NEMOTRON_TEXT,
    "vision_config": {**_RADIO, "use_swiglu_ffn": True, "qkv_bias": False},
    "vision_hidden_size": 48,
    "projector_hidden_size": 50,
}
# As the released file has it: the tower for sound under another name, and without the type that it has here.
_NEMOTRON_HEARS: Final = {
    **_NEMOTRON,
    "text_config": {**_NEMOTRON_TEXT, "num_nextn_predict_layers": 1},
    "vision_config": _RADIO,
    "sound_config": {
        "model_type": "parakeet",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "projection_hidden_size": 36,
        "projection_bias": False,
        "num_mel_bins": 80,
        "subsampling_conv_channels": 16,
    },
}
_GRANITE_SPEECH: Final = {
    "model_type": "granite_speech",
    "text_config": {**_TEXT, "model_type": "granite"},
    "encoder_config": {
        "hidden_dim": 32,
        "num_layers": 2,
        "num_heads": 4,
        "input_dim": 20,
        "dim_head": 10,
        "feedforward_mult": 2,
        "conv_expansion_factor": 3,
        "conv_kernel_size": 5,
        "max_pos_emb": 30,
        "context_size": 20,
        "output_dim": 12,
    },
    "projector_config": {
        "model_type": "blip_2_qformer",
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 70,
        "encoder_hidden_size": 32,
        "cross_attention_frequency": 1,
    },
    "tie_word_embeddings": True,
}
# As the released file has it: other names, and lists that go on for a block behind the last layer.
_STEP3: Final[dict[str, Any]] = {
    "model_type": "step3p7",
    "projector_bias": True,
    "text_config": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_attention_groups": 2,
        "head_dim": 16,
        "vocab_size": 300,
        "moe_num_experts": 4,
        "moe_top_k": 2,
        "moe_intermediate_size": 24,
        "share_expert_dim": 20,
        "moe_layers_enum": "1,2",
        "sliding_window": 8,
        "num_nextn_predict_layers": 1,
        "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
        "attention_other_setting": {"num_attention_heads": 6},
    },
    "vision_config": {"width": 48, "layers": 2, "heads": 4, "mlp_ratio": 2.5, "image_size": 56},
}
_MISTRAL4: Final = {
    "model_type": "mistral3",
    "text_config": {
        **_TEXT,
        "model_type": "mistral4",
        "kv_lora_rank": 16,
        "q_lora_rank": 24,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 24,
        "num_key_value_heads": 4,
        "first_k_dense_replace": 1,
    },
    "vision_config": {**_TOWER, "model_type": "pixtral"},
    "tie_word_embeddings": True,
}
_LFM3: Final = {
    "model_type": "lfm3_vl",
    "text_config": {**_TEXT, "model_type": "lfm3", "head_dim": 16, "layer_types": ["conv", "full_attention"]},
    "vision_config": {
        **_TOWER,
        "num_hidden_layers": 4,
        "num_key_value_heads": 2,
        "spatial_merge_size": 3,
        "conv_kernel_size": 5,
    },
    "projector_bias": False,
    "projector_hidden_size": 30,
    "tie_word_embeddings": False,
}
_VOXTRAL: Final = {
    "model_type": "voxtral_realtime",
    "text_config": {**_TEXT, "head_dim": 16, "sliding_window": None},
    "audio_config": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 10,
        "intermediate_size": 40,
    },
    "downsample_factor": 2,
    "tie_word_embeddings": False,
}
_DEEPSEEK: Final = {
    "model_type": "deepseek_vl_hybrid",
    "text_config": {**_TEXT, "model_type": "llama"},
    "vision_config": {**_TOWER, "model_type": "siglip_vision_model", "vision_use_head": False},
    "high_res_vision_config": {
        "model_type": "sam_vision_model",
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "output_channels": 20,
        "mlp_dim": 96,
        "image_size": 128,
        "window_size": 4,
        "use_rel_pos": False,
    },
    "tie_word_embeddings": False,
}
_DOCLING: Final = {
    "model_type": "granite_docling",
    "text_config": {**_TEXT, "num_key_value_heads": 2},
    "vision_config": {**_TOWER, "num_hidden_layers": 12, "out_hidden_size": 64, "scale_factor": 2, "image_size": 64},
    "density_router_hidden_size": 20,
    "tie_word_embeddings": True,
}
_DOCLING_COARSE: Final = {
    **_DOCLING,
    "vision_config": {
        **_TOWER,
        "out_hidden_size": 64,
        "scale_factor": 4,
        "use_fine_route": False,
        "image_size": 64,
        "deepstack_visual_indexes": [1],
    },
    "density_router_hidden_size": None,
    "tie_word_embeddings": False,
}
_GIT: Final = {
    "model_type": "git",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 300,
    "max_position_embeddings": 20,
    "num_image_with_embedding": 6,
    "tie_word_embeddings": True,
    "vision_config": {**_TOWER, "image_size": 32},
}
_PIX2STRUCT: Final = {
    "model_type": "pix2struct",
    "text_config": {
        "hidden_size": 64,
        "d_kv": 10,
        "d_ff": 50,
        "num_layers": 2,
        "num_heads": 4,
        "vocab_size": 300,
        "relative_attention_num_buckets": 8,
    },
    "vision_config": {
        "hidden_size": 64,
        "d_kv": 12,
        "d_ff": 40,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "patch_embed_hidden_size": 70,
        "seq_len": 30,
    },
}
_UDOP: Final = {
    "model_type": "udop",
    "d_model": 64,
    "d_kv": 12,
    "d_ff": 50,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "vocab_size": 300,
    "feed_forward_proj": "gated-gelu",
    "max_2d_position_embeddings": 20,
    "patch_size": 8,
    "relative_bias_args": [{"type": "1d"}, {"type": "horizontal"}],
    "tie_word_embeddings": True,
}

_VIT: Final = {
    "model_type": "vit",
    "hidden_size": 384,
    "num_attention_heads": 6,
    "intermediate_size": 1536,
    "num_hidden_layers": 3,
    "image_size": 384,
    "qkv_bias": False,
}
_TROCR: Final = {
    "model_type": "vision-encoder-decoder",
    "encoder": _VIT,
    "decoder": {
        "model_type": "trocr",
        "add_cross_attention": True,
        "is_decoder": True,
        "vocab_size": 1000,
        "d_model": 256,
        "decoder_layers": 3,
        "decoder_attention_heads": 4,
        "decoder_ffn_dim": 512,
        "cross_attention_hidden_size": 384,
    },
}
_CAPTIONS: Final = {
    "model_type": "vision-encoder-decoder",
    "encoder": {"model_type": "vit", "num_hidden_layers": 3},
    "decoder": {"model_type": "gpt2", "n_layer": 2, "add_cross_attention": True, "is_decoder": True},
}
_DONUT: Final = {
    "model_type": "vision-encoder-decoder",
    "encoder": {
        "model_type": "donut-swin",
        "use_absolute_embeddings": True,
        "window_size": 5,
        "qkv_bias": False,
        "depths": [1, 2],
        "num_heads": [3, 6],
        "mlp_ratio": 2.0,
        "image_size": [64, 32],
    },
    "decoder": {
        "model_type": "mbart",
        "decoder_layers": 2,
        "add_cross_attention": True,
        "is_decoder": True,
    },
}


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        pytest.param(_GEMMA4, 586_362, id="gemma4"),
        pytest.param(
            {"model_type": "gemma4", "text_config": _GEMMA4_TEXT, "audio_config": _GEMMA4_AUDIO},
            596_098,
            id="gemma4 that only hears",
        ),
        pytest.param(_GEMMA4_UNIFIED, 486_186, id="gemma4 without towers"),
        pytest.param(_PHI4, 249_076, id="phi4"),
        pytest.param(_ERNIE, 3_629_008, id="ernie with biases"),
        pytest.param(_MOLMO2_OLMO, 296_172, id="molmo2 with olmo's norms"),
        pytest.param(_MOLMO2_RELEASED, 226_848, id="molmo2 as released"),
        pytest.param(_MINICPM, 446_200, id="minicpm that merges twice"),
        pytest.param(_NEMOTRON, 290_284, id="nemotron with a gated tower"),
        pytest.param(_NEMOTRON_HEARS, 328_556, id="nemotron that hears"),
        pytest.param(_GRANITE_SPEECH, 208_194, id="granite_speech"),
        pytest.param(_STEP3, 440_376, id="step3 as released"),
        pytest.param(_MISTRAL4, 284_336, id="mistral4"),
        pytest.param(_LFM3, 278_648, id="lfm3"),
        pytest.param(_VOXTRAL, 150_336, id="voxtral"),
        pytest.param(_DEEPSEEK, 331_857, id="deepseek with two towers"),
        pytest.param(_DOCLING, 421_450, id="docling with both ways"),
        pytest.param(_DOCLING_COARSE, 281_264, id="docling with one way"),
        pytest.param(_GIT, 155_308, id="git for films"),
        pytest.param(_PIX2STRUCT, 192_352, id="pix2struct"),
        pytest.param(_UDOP, 194_240, id="udop"),
        pytest.param(_TROCR, 8_942_848, id="trocr"),
        pytest.param(_CAPTIONS, 80_887_296, id="vit and gpt2"),
        pytest.param(_DONUT, 87_077_439, id="donut with positions"),
    ],
)
def test_a_model_of_several_parts(config: dict[str, Any], parameters: int) -> None:
    assert architecture_of(config).parameters == parameters


def test_kimi_with_the_names_of_its_own_code() -> None:
    # moonshotai/Kimi-K2.5: the Hub's total is 1,026,879,376,368, of which 1,026,408,232,448 are Kimi-K2's.
    towers = {
        "model_type": "kimi_k25",
        "text_config": {**_TEXT, "model_type": "deepseek_v3", "hidden_size": 7168},
        "vision_config": {
            "vt_hidden_size": 1152,
            "vt_intermediate_size": 4304,
            "vt_num_attention_heads": 16,
            "vt_num_hidden_layers": 27,
            "init_pos_emb_height": 64,
            "init_pos_emb_width": 64,
            "patch_size": 14,
            "merge_kernel_size": [2, 2],
        },
    }
    found = architecture_of(towers).parameters_by_component
    assert found[Component.VISION] + found[Component.PROJECTOR] == 1_026_879_376_368 - 1_026_408_232_448


def test_layers_with_a_window_have_heads_of_their_own() -> None:
    mixers = [layer.mixer for layer in architecture_of(_STEP3).layers]
    assert [mixer.num_attention_heads for mixer in mixers if isinstance(mixer, SlidingAttention)] == [6, 6]


def test_layers_with_a_window_rotate_in_their_own_way() -> None:
    for rotary in (
        {"partial_rotary_factors": [0.5, 1.0, 1.0, 0.5]},
        {"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5}, "sliding_attention": {}}},
    ):
        found = architecture_of({**_STEP3, "text_config": {**_STEP3["text_config"], **rotary}})
        assert (found.rotary_dims, found.rotary_dim) == ((8, 16), 16)


def test_a_token_of_text_takes_no_experts_for_images() -> None:
    # In each of two layers, three matrices: those of two experts of width 24, and of all four of width 16.
    assert architecture_of({**_ERNIE, "text_config": {**_ERNIE_TEXT, "use_bias": False}}).inactive_parameters == (
        2 * 3 * 512 * (2 * 24 + 4 * 16)
    )


@pytest.mark.parametrize(
    ("config", "field", "value", "message"),
    [
        (_ERNIE, "text_config", {"moe_intermediate_size": [24]}, "expected two sizes"),
        (_STEP3, "text_config", {"moe_layers_enum": "1;2"}, "expected numbers between commas"),
        (_STEP3, "text_config", {"partial_rotary_factors": [1.0, 2]}, "2 is not between 0 and 1"),
        (_GEMMA4, "audio_config", {"subsampling_conv_channels": [16]}, "expected two sizes"),
        (_DONUT, "encoder", {"num_heads": [3]}, "expected 2 numbers of heads"),
        (_DONUT, "encoder", {"depths": [1] * 17}, "expected the layers of 1 to 16 stages"),
    ],
)
def test_what_is_refused(config: dict[str, Any], field: str, value: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        families.architecture_of(config_of({**config, field: {**config[field], **value}}))
