"""Tiny models of every type: default configs with small numbers in them. Needs torch and transformers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, Final

import torch
import transformers

from tests.caches.models import words

_SIZES: Final = {
    64: "hidden_size d_model n_embd dim embed_dim word_embed_proj_dim max_position_embeddings n_positions",
    96: "intermediate_size ffn_dim d_ff n_inner d_inner encoder_ffn_dim decoder_ffn_dim",
    6: "num_hidden_layers n_layer n_layers num_layers",
    4: """
        num_attention_heads n_head n_heads num_heads num_experts num_local_experts n_routed_experts moe_num_experts
        encoder_attention_heads decoder_attention_heads num_encoder_attention_heads num_decoder_attention_heads
        encoder_num_attention_heads decoder_num_attention_heads qk_rope_head_dim index_topk
    """,
    2: """
        num_key_value_heads num_kv_heads num_experts_per_tok num_experts_per_token moe_topk moe_top_k top_k_experts
        moe_k index_n_heads n_group depth eos_token_id encoder_layers decoder_layers num_encoder_layers
        num_decoder_layers encoder_num_hidden_layers decoder_num_hidden_layers
    """,
    128: "vocab_size vocab_size_per_layer_input",
    16: """
        head_dim kv_lora_rank mamba_d_state ssm_state_size state_size linear_key_head_dim linear_value_head_dim
        linear_head_dim kv_channels
    """,
    32: "moe_intermediate_size global_head_dim",
    8: """
        sliding_window attention_chunk_size qk_nope_head_dim index_head_dim rotary_dim hidden_size_per_layer_input
        swa_head_dim
    """,
    24: "q_lora_rank",
    12: "v_head_dim max_source_positions",
    48: "shared_expert_intermediate_size",
    28: "image_size",
    14: "patch_size",
    1: "first_k_dense_replace num_global_key_value_heads topk_group bos_token_id",
    0: "pad_token_id",
}
SMALL: Final = {field: size for size, fields in _SIZES.items() for field in words(fields)}

_ROPE: Final = {"rope_type": "default", "rope_theta": 10_000.0}
_IN_THREE: Final = {"rope_parameters": {**_ROPE, "mrope_section": [2, 3, 3], "partial_rotary_factor": 1.0}}
_FEW_HEADS: Final = {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
_DISENTANGLED: Final = {
    "relative_attention": True, "position_biased_input": False, "pos_att_type": ["c2p", "p2c"],
    "max_relative_positions": -1, "type_vocab_size": 0,
}  # fmt: skip
OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0, "clip_qkv": 8},
        "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deberta": _DISENTANGLED,
    "deberta-v2": {
        **_DISENTANGLED, "position_buckets": 32, "share_att_key": True, "norm_rel_ebd": "layer_norm",
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 2, "num_experts_per_tok": 2},
    "albert": {"embedding_size": 32},
    "distilbert": {"hidden_dim": 96},
    "rembert": {"input_embedding_size": 32, "output_embedding_size": 48},
    "roformer": {"embedding_size": 32},
    "esm": {
        "vocab_size": 128, "pad_token_id": 0, "mask_token_id": 3, "position_embedding_type": "rotary",
        "token_dropout": True,
    },
    "mimi": {
        "upsample_groups": 64, "num_filters": 4, "codebook_size": 64, "codebook_dim": 16,
        "vector_quantization_hidden_dimension": 16,
    },
    "modernbert": {"local_attention": 16},
    "mpnet": {"num_attention_heads": 16},
    "gemma3n_text": {"num_hidden_layers": 15, "num_kv_shared_layers": 5, "layer_types": None},
    "gpt_bigcode": {"num_key_value_heads": 1},
    "gpt_neo": {"num_layers": 6, "attention_types": [[["global", "local"], 3]]},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16, "num_experts": 4, "moe_topk": 2},
    "longcat_flash": {"head_dim": 4, "ffn_hidden_size": 96, "expert_ffn_hidden_size": 32},
    "ministral": {"head_dim": 16},
    "molmo2": {
        "adapter_config": {
            "vision_feature_layer": [2, 1], "hidden_size": 64, "text_hidden_size": 64, "num_attention_heads": 4,
            "num_key_value_heads": 4, "head_dim": 16, "intermediate_size": 96,
        },
    },
    "nemotron": {"num_key_value_heads": 2},
    **dict.fromkeys(("glm4v_text", "glm4v_moe_text", "glm_ocr_text"), _IN_THREE),
    **dict.fromkeys(("qwen2_vl_text", "qwen2_5_vl_text", "paddleocr_vl_text", "qwen2_5_omni_text"), _IN_THREE),
    "ernie4_5_vl_moe_text": {
        "rope_parameters": {**_ROPE, "mrope_section": [3, 3, 2]}, "moe_num_experts": 4, "moe_k": 2,
        "moe_intermediate_size": [32, 32],
    },
    "deepseek_vl_hybrid": {"high_res_vision_config": {"model_type": "sam_vision_model", "mlp_dim": 96}},
    "step3p5": {"sliding_window": 8, "layer_types": ["full_attention", "sliding_attention"] * 3},
    # With states.
    "mamba2": {"hidden_size": 64, "num_heads": 8, "head_dim": 16},
    "bamba": {"hidden_size": 64, "attn_layer_indices": [1, 4], "mamba_n_heads": 8, "mamba_d_head": 16},
    "granitemoehybrid": {
        "num_hidden_layers": 6, "hidden_size": 64,
        "layer_types": ["linear_attention", "full_attention", "linear_attention"] * 2, "mamba_n_heads": 8,
        "shared_intermediate_size": 48,
    },
    "falcon_h1": {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_ssm": 64},
    "nemotron_h": {"mamba_num_heads": 8, "mamba_head_dim": 8, "n_groups": 2},
    "zamba": {"num_hidden_layers": 12, "attn_layer_period": 4, "attn_layer_offset": 2},
    "zamba2": {
        "num_hidden_layers": 6, "hidden_size": 64,
        "layer_types": ["linear_attention", "hybrid", "linear_attention"] * 2, "num_mem_blocks": 2, "n_mamba_heads": 8,
        "hybrid_layer_ids": [1, 4],
        "mamba_headdim": 16,
    },
    **dict.fromkeys(("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"), _FEW_HEADS),
    "lfm2": {"full_attn_idxs": [1, 4]},
    "lfm2_moe": {"num_hidden_layers": 6, "layer_types": ["conv", "full_attention", "conv"] * 2},
    "lfm3": {"sliding_window": 8},
    "kimi_linear": {"linear_num_heads": 3},
    "bailing_hybrid": {"n_group": 2, "num_expert_group": 2},
    "xlstm": {"hidden_size": 128, "num_blocks": 6},
    "zaya": {"num_experts_per_tok": 1},
    "reformer": {
        "is_decoder": True, "attention_head_size": 16, "feed_forward_size": 96, "axial_pos_shape": [16, 16],
        "axial_pos_embds_dim": [24, 40],
    },
    "pix2struct_text_model": {"d_kv": 16, "num_heads": 4},
    "inkling2_vision": {"text_hidden_size": 64},
    "granite_docling_vision": {"out_hidden_size": 64},
    "timm_wrapper": {"model_args": {"embed_dim": 64}},
    "radio": {"video_temporal_patch_size": 2},
}  # fmt: skip
"""What single classes need beyond small numbers."""

LANGUAGE_MODEL: Final = {
    **dict.fromkeys(("blip-2", "instructblip", "instructblipvideo"), "language_model"),
    "kosmos-2": "text_model",
}
"""Where the text model is inside those that insist on an image."""

LEFT_IN_FP32: Final = ("reformer",)
"""Types whose class makes some of its weights in fp32, which are loaded so, too, and fails with the others in 16 bit:
`model.to()` turns all of them."""

BORROWED: Final = ("glmga", "pp_chart2table", "shieldgemma2")
"""Types that run with the class of another one."""


def small(values: Mapping[str, Any]) -> dict[str, Any]:
    """A default config with small numbers, without all that a class computes."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and "model_type" in value:
            name = value["model_type"]
            found[key] = {**small(value), **OWN.get(name, {}), **({"model_type": name} if name else {})}
        elif key in SMALL and isinstance(value, int):
            found[key] = SMALL[key]
    if "qk_rope_head_dim" in values:  # what rotates is a head of its own
        found.pop("head_dim", None)
        found["num_key_value_heads"] = 4
    return found


def values_of(model_type: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What the config is made from; `changes` are those of the text model."""
    own = OWN.get(model_type, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = {**small(transformers.CONFIG_MAPPING[model_type](**own).to_dict()), **own}
    made.get("text_config", made).update(changes)
    copied: dict[str, Any] = json.loads(json.dumps(made))
    return copied


_DECODERS: Final = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "SEQ_TO_SEQ_CAUSAL_LM", "")
_BOTH_SIDES: Final = ("SEQ_TO_SEQ_CAUSAL_LM", "SPEECH_SEQ_2_SEQ", "IMAGE_TEXT_TO_TEXT")


def class_of(model_type: str, *, both_sides: bool = False) -> Any:
    """What has a language-model head, else none."""
    from transformers.models.auto import modeling_auto

    for table in _BOTH_SIDES if both_sides else _DECODERS:
        names = getattr(modeling_auto, f"MODEL_FOR_{table}_MAPPING_NAMES" if table else "MODEL_MAPPING_NAMES")
        if model_type in names:
            name = names[model_type]
            return getattr(transformers, name if isinstance(name, str) else name[0])
    raise KeyError(model_type)


def config_of(model_type: str, made: Mapping[str, Any], *, both_sides: bool = False) -> Any:
    """The config of the class that runs: of the text part where the class is one for text."""
    config = transformers.CONFIG_MAPPING[model_type](**json.loads(json.dumps(made)))
    model_class = class_of(model_type, both_sides=both_sides)
    fits = model_type in BORROWED or isinstance(config, model_class.config_class)
    return config if fits else config.get_text_config()


def model_of(model_type: str, made: Mapping[str, Any], *, both_sides: bool = False) -> Any:
    """In bf16, as `from_pretrained` would load it: with what its class wants to stay in fp32 in fp32."""
    transformers.logging.set_verbosity_error()
    torch.manual_seed(0)
    config = config_of(model_type, made, both_sides=both_sides)
    attention = {"attn_implementation": "eager"} if model_type == "pix2struct" else {}  # whose mask sdpa cannot add to
    model = class_of(model_type, both_sides=both_sides)._from_config(config, dtype=torch.bfloat16, **attention).eval()
    if model_type in LEFT_IN_FP32:
        model.to(torch.bfloat16)
    kept = model._keep_in_fp32_modules_strict or ()
    for name, parameter in model.named_parameters():
        if any(part in name for part in kept):
            parameter.data = parameter.data.float()
    name = LANGUAGE_MODEL.get(model_type)
    return model.get_submodule(name) if name else model


def written(model_type: str, made: Mapping[str, Any], *, both_sides: bool = False) -> dict[str, Any]:
    """The config.json that transformers writes."""
    config = config_of(model_type, made, both_sides=both_sides)
    config.architectures = [class_of(model_type, both_sides=both_sides).__name__]
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=True))
    return found
