"""Tiny models of every kind, as transformers itself saves them, against what hubvram reads back.

Extra: runs where transformers and torch are installed. Each model has random weights in bf16. Compared are the
parameters, the bytes, and the matrices of each layer's attention or recurrence with the live modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from hubvram.architecture.layers import Layer
from hubvram.architecture.parts import Part
from hubvram.architecture.reconcile import Status
from hubvram.inspection import read_model
from hubvram.sources.local import LocalSource

transformers: Any = pytest.importorskip(
    "transformers", reason="transformers, which writes the checkpoints, is not installed"
)
torch: Any = pytest.importorskip("torch", reason="torch, which builds transformers' classes, is not installed")

# ------------------------------------------------------------------------------------- the models

TOKENS: Final = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SMALL: Final = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    **TOKENS,
}
ALL_HEADS: Final = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
LAYERS: Final = {"num_hidden_layers": 4}
EXPERTS: Final = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
LOCAL: Final = {"num_local_experts": 4, "num_experts_per_tok": 2}
ROUTED: Final = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "first_k_dense_replace": 1,
}
LATENT: Final = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
}
MAMBA: Final = {"mamba_d_state": 8, "mamba_d_conv": 3, "mamba_expand": 2}
HEADS_OF_MAMBA: Final = {**MAMBA, "mamba_n_heads": 8, "mamba_d_head": 16}
DELTA: Final = {
    "head_dim": 16,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "shared_expert_intermediate_size": 48,
}
SIDES: Final = {
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 96,
    "decoder_ffn_dim": 80,
    "vocab_size": 128,
    "max_position_embeddings": 32,
    "decoder_start_token_id": 1,
    **TOKENS,
}
IMAGES: Final = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}
VISUAL: Final = {"depth": 2, "hidden_size": 32, "intermediate_size": 40, "num_heads": 4, "out_hidden_size": 64}


def composite(
    text: str | None, tower: str | None, /, vision: Mapping[str, Any] = IMAGES, **more: Any
) -> dict[str, Any]:
    """A text model and a vision tower, of these types where the whole does not say which."""
    inside = {"text_config": (text, SMALL | more.pop("text", {})), "vision_config": (tower, vision)}
    return {key: {**values, **({"model_type": kind} if kind else {})} for key, (kind, values) in inside.items()} | more


TINY: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    # Decoders.
    ("SmolLM3ForCausalLM", SMALL | LAYERS),
    ("Cohere2ForCausalLM", SMALL | LAYERS),
    ("Glm4ForCausalLM", SMALL | {"head_dim": 16}),
    ("Olmo3ForCausalLM", SMALL | LAYERS),
    ("Gemma3nForCausalLM", SMALL | {
        "num_hidden_layers": 10, "head_dim": 16, "num_kv_shared_layers": 5, "vocab_size_per_layer_input": 128,
        "hidden_size_per_layer_input": 8, "laurel_rank": 8,
    }),
    ("Gemma4ForCausalLM", SMALL | {
        "num_hidden_layers": 12, "head_dim": 16, "num_kv_shared_layers": 6, "vocab_size_per_layer_input": 128,
        "hidden_size_per_layer_input": 8,
    }),
    ("NemotronForCausalLM", SMALL | {"head_dim": 16}),
    ("OPTForCausalLM", {
        "hidden_size": 64, "ffn_dim": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 128,
        "word_embed_proj_dim": 32, "max_position_embeddings": 32,
    }),
    ("BloomForCausalLM", {"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128}),
    ("FalconForCausalLM", ALL_HEADS),
    ("FalconForCausalLM", ALL_HEADS | {"new_decoder_architecture": True, "num_kv_heads": 2}),
    ("GPTBigCodeForCausalLM", {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 32, "vocab_size": 128}),
    ("MptForCausalLM", {"d_model": 64, "n_layers": 3, "n_heads": 4, "vocab_size": 128}),
    ("OlmoeForCausalLM", SMALL | EXPERTS),
    ("GptOssForCausalLM", SMALL | LOCAL | {"head_dim": 16}),
    ("MiniMaxM2ForCausalLM", SMALL | LOCAL | {"head_dim": 32}),
    ("DbrxForCausalLM", {
        "d_model": 64, "n_heads": 4, "n_layers": 3, "vocab_size": 128,
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10_000.0},
        "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 48, "moe_num_experts": 4, "moe_top_k": 2},
    }),
    ("Llama4ForCausalLM", SMALL | LAYERS | LOCAL | {
        "head_dim": 16, "intermediate_size_mlp": 80, "interleave_moe_layer_step": 2, "attention_chunk_size": 8,
    }),
    # Latent attention.
    ("DeepseekV2ForCausalLM", SMALL | LATENT | ROUTED | {"q_lora_rank": None}),
    ("DeepseekV3ForCausalLM", SMALL | LATENT | ROUTED | {"n_group": 2, "topk_group": 1}),
    ("GlmMoeDsaForCausalLM", SMALL | LATENT | ROUTED | {"index_n_heads": 2, "index_head_dim": 8, "index_topk": 4}),
    ("MiniCPM3ForCausalLM", SMALL | LATENT),
    # State spaces, linear attention, convolutions.
    ("MambaForCausalLM", {"hidden_size": 64, "num_hidden_layers": 3, "state_size": 8, "vocab_size": 128}),
    ("Mamba2ForCausalLM", {
        "hidden_size": 64, "num_hidden_layers": 3, "state_size": 8, "vocab_size": 128, "num_heads": 8,
        "head_dim": 16, "n_groups": 2,
    }),
    ("JambaForCausalLM", SMALL | LAYERS | MAMBA | {
        "num_experts": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
    }),
    ("Zamba2ForCausalLM", ALL_HEADS | MAMBA | {
        "num_hidden_layers": 6, "n_mamba_heads": 8, "num_mem_blocks": 2, "adapter_rank": 8,
        "layers_block_type": ["linear_attention", "hybrid"] * 3,
    }),
    ("FalconH1ForCausalLM", SMALL | HEADS_OF_MAMBA | {"mamba_d_ssm": 128}),
    ("NemotronHForCausalLM", SMALL | ROUTED | {
        "head_dim": 16, "hybrid_override_pattern": "M*-E", "mamba_num_heads": 8, "mamba_head_dim": 16,
        "ssm_state_size": 8, "n_groups": 2, "moe_shared_expert_intermediate_size": 48,
    }),
    ("GraniteMoeHybridForCausalLM", SMALL | LAYERS | LOCAL | HEADS_OF_MAMBA | {
        "shared_intermediate_size": 48, "layer_types": ["linear_attention", "full_attention"] * 2,
    }),
    ("Lfm2ForCausalLM", SMALL | {"full_attn_idxs": [1]}),
    ("Lfm2MoeForCausalLM", SMALL | EXPERTS | {
        "num_dense_layers": 1, "use_expert_bias": True, "layer_types": ["conv", "full_attention", "conv"],
    }),
    ("Qwen3NextForCausalLM", SMALL | LAYERS | DELTA | EXPERTS),
    ("Qwen3_5MoeForCausalLM", SMALL | LAYERS | DELTA | EXPERTS),
    # Encoders and decoders.
    ("T5ForConditionalGeneration", {
        "d_model": 64, "d_ff": 96, "d_kv": 8, "num_layers": 2, "num_decoder_layers": 3, "num_heads": 4,
        "vocab_size": 128, "decoder_start_token_id": 0,
    }),
    ("BartForConditionalGeneration", SIDES),
    ("WhisperForConditionalGeneration", SIDES | {
        "num_mel_bins": 8, "max_source_positions": 16, "max_target_positions": 16,
    }),
    ("M2M100ForConditionalGeneration", SIDES),
    # Encoders.
    ("BertModel", ALL_HEADS),
    ("BertForMaskedLM", ALL_HEADS),
    ("BertForSequenceClassification", ALL_HEADS | {"num_labels": 3}),
    ("RobertaForMaskedLM", ALL_HEADS),
    ("DebertaV2ForSequenceClassification", ALL_HEADS | {
        "relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm", "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "type_vocab_size": 0,
    }),
    ("ModernBertForMaskedLM", ALL_HEADS | {"cls_token_id": 1, "sep_token_id": 2}),
    ("ViTForImageClassification", IMAGES | {"num_labels": 3}),
    ("CLIPModel", {"text_config": ALL_HEADS, "vision_config": IMAGES, "projection_dim": 24}),
    ("SiglipModel", {"text_config": ALL_HEADS, "vision_config": IMAGES}),
    ("Wav2Vec2ForCTC", ALL_HEADS | {
        "conv_dim": [16, 16], "conv_stride": [2, 2], "conv_kernel": [3, 3], "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 4,
    }),
    # Text models with a tower.
    ("LlavaForConditionalGeneration", composite("llama", "clip_vision_model")),
    ("MllamaForConditionalGeneration", composite(
        None, None,
        {key: value for key, value in IMAGES.items() if key != "num_attention_heads"} | {
            "attention_heads": 4, "num_global_layers": 1, "max_num_tiles": 2,
            "supported_aspect_ratios": [[1, 1], [1, 2]], "intermediate_layers_indices": [0], "vision_output_dim": 64,
        },
        text={"cross_attention_layers": [1]},
    )),
    ("Qwen2VLForConditionalGeneration", composite(
        None, None, {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4, "mlp_ratio": 3},
    )),
    ("Qwen2_5_VLForConditionalGeneration", composite(None, None, VISUAL)),
    ("Qwen3VLForConditionalGeneration", composite(
        None, None, VISUAL | {"deepstack_visual_indexes": [1], "num_position_embeddings": 16}, text={"head_dim": 8},
    )),
    ("Idefics3ForConditionalGeneration", composite("llama", None)),
    ("Mistral3ForConditionalGeneration", composite("mistral", "pixtral")),
    ("Gemma3ForConditionalGeneration", composite(
        None, None, IMAGES | {"vision_use_head": False}, text={"head_dim": 8}, mm_tokens_per_image=4,
    )),
    ("InternVLForConditionalGeneration", composite(
        "qwen2", None, IMAGES | {"image_size": [28, 28], "patch_size": [14, 14]},
    )),
    ("Glm4vForConditionalGeneration", composite(None, None, VISUAL | {"image_size": 28})),
    ("Qwen2AudioForConditionalGeneration", {
        "text_config": SMALL | {"model_type": "qwen2"},
        "audio_config": {
            "model_type": "qwen2_audio_encoder", "d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48, "num_mel_bins": 8, "max_source_positions": 16,
        },
    }),
)  # fmt: skip
"""(class, config)"""

# ------------------------------------------------------------------------- what the modules are like

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "q": ("q_proj", "q", "self.query", "self.query_proj"),
    "k": ("k_proj", "k", "self.key", "self.key_proj"),
    "v": ("v_proj", "v", "self.value", "self.value_proj"),
    "o": ("o_proj", "out_proj", "o", "output.dense", "dense", "c_proj", "Wo", "proj", "projection_layer"),
    "qkv": ("query_key_value", "c_attn", "Wqkv", "qkv", "qkv_proj"),
    "q_a": ("q_a_proj",),
    "q_b": ("q_b_proj",),
    "kv_a": ("kv_a_proj_with_mqa",),
    "kv_b": ("kv_b_proj",),
    "index q": ("indexer.wq_b",),
    "index k": ("indexer.wk",),
    "index weights": ("indexer.weights_proj",),
    "in": ("in_proj", "in_proj_qkvz", "in_proj_qkv"),
    "z": ("in_proj_z",),
    "b a": ("in_proj_ba", "in_proj_b"),
    "a": ("in_proj_a",),
    "x": ("x_proj",),
    "dt": ("dt_proj",),
}
"""What a matrix is in hubvram, and what it is called in the modules that hold it."""
SAME: Final = {"q k v": "in", "z": "in", "b a": "in", "a": "in", "out": "o"}
"""What is one here: models cut what reads the hidden states of a recurrence in different ways."""
MIXES: Final = {"q", "q_a", "in"}
"""One of these makes a module a token mixer."""

Shapes = tuple[tuple[str, int, int], ...]
"""The matrices of one mixer by name: what they are, rows, columns."""


def joined(linears: Iterable[tuple[str, int, int]]) -> Shapes:
    rows: dict[tuple[str, int], int] = {}
    for name, out_features, in_features in linears:
        key = SAME.get(name, name), in_features
        rows[key] = rows.get(key, 0) + out_features
    return tuple(sorted((name, out_features, in_features) for (name, in_features), out_features in rows.items()))


def shapes_of_part(part: Part) -> Shapes:
    """None but those of a token mixer."""
    shapes = joined((it.name, it.out_features, it.in_features) for it in part.linears)
    return shapes if MIXES & {name for name, _, _ in shapes} else ()


def shapes_of_module(module: Any) -> Shapes:
    """The same. One matrix for Q, K and V is cut by what O reads, which is as wide as Q."""
    children = dict(module.named_modules())
    found = {
        role: (child.out_features, child.in_features)
        for role, names in NAMES.items()
        for name in names
        if isinstance(child := children.get(name), torch.nn.Linear)
    }
    if "qkv" in found and "o" in found:
        (rows, hidden), query = found.pop("qkv"), found["o"][1]
        found |= {"q": (query, hidden), "k": ((rows - query) // 2, hidden), "v": ((rows - query) // 2, hidden)}
    return joined((role, *shape) for role, shape in found.items()) if MIXES & {SAME.get(it, it) for it in found} else ()


Stack = tuple[int, list[list[Shapes]]]
"""Width of the hidden states, and the mixers of each layer that has any."""


def stack_of_layers(hidden_size: int, layers: Iterable[Layer]) -> Stack:
    mixers = (sorted(filter(None, map(shapes_of_part, layer.parts))) for layer in layers)
    return hidden_size, list(filter(None, mixers))


def stacks_in_modules(model: Any) -> list[Stack]:
    """Modules whose names are alike up to the number of a layer are a stack."""
    stacks: dict[str, dict[str, list[Shapes]]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        match = re.match(r"(.*?)\.\d+\.", name)
        if match and (shapes := shapes_of_module(module)):
            stack = match[1].replace("global_", "")  # the two halves of mllama's tower are one
            stacks.setdefault(stack, {}).setdefault(match[0], []).append(shapes)
    return [(width_of(layers), layers) for layers in ([*map(sorted, it.values())] for it in stacks.values())]


def width_of(layers: list[list[Shapes]]) -> int:
    """What the first layer reads."""
    return next(columns for name, _, columns in layers[0][0] if name in MIXES)


def learned(model: Any) -> list[Any]:
    """Parameters, shared ones once, and what is learned and saved but kept as buffers: biases of routers, scales."""
    endings = ("e_score_correction_bias", "expert_bias", "layer_scalar")
    return [*model.parameters(), *(buffer for name, buffer in model.named_buffers() if name.endswith(endings))]


def size_of_tower(config: Any, name: str) -> tuple[int, int]:
    """(layers, width), as the live config has them."""
    if name != "encoder":
        config = getattr(config, f"{name}_config")
    layers = getattr(config, "depth", None) or config.num_hidden_layers + getattr(config, "num_global_layers", 0)
    return layers, getattr(config, "embed_dim", None) or config.hidden_size


@pytest.mark.parametrize(("class_name", "values"), TINY, ids=[f"{name}-{i}" for i, (name, _) in enumerate(TINY)])
def test_saved_models_read_back_as_they_are(class_name: str, values: Mapping[str, Any], tmp_path: Path) -> None:
    make = getattr(transformers, class_name)
    torch.manual_seed(0)
    model = make._from_config(make.config_class(**values), dtype=torch.bfloat16).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    read = read_model(LocalSource(tmp_path))
    found = read.reconciliation
    assert (found.status, found.scope) == (Status.RECONCILED, "all"), found.differences
    weights = learned(model)
    assert found.total == sum(weight.numel() for weight in weights)
    assert read.stored.compute_dtype == "bf16"
    kept = [buffer for name, buffer in model.named_buffers() if name.endswith("final_logits_bias")]  # and not learned
    resident = sum(weight.numel() * weight.element_size() for weight in (*weights, *kept))
    assert read.stored.component.size_bytes == resident
    architecture = found.architecture
    assert architecture is not None
    beside = [stack for stack in architecture.stacks if stack.layers]  # a projector has none
    stacks = [stack_of_layers(stack.hidden_size, stack.layers) for stack in beside]
    stacks.append(stack_of_layers(architecture.hidden_size, architecture.layers))
    assert sorted(stacks) == sorted(stacks_in_modules(model))
    for stack in beside:
        assert (len(stack.layers), stack.hidden_size) == size_of_tower(model.config, stack.name)
