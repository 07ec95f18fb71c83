"""What a tensor is for, by the names that published models use."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path

import pytest

from hubvram.checkpoint.components import Component, buffer_kind, component_of
from hubvram.checkpoint.tensors import TensorInfo

# Names as they stand in the files of each family.
NAMES = {
    "blocks for multi-token prediction": {
        "mtp.layers.0.self_attn.q_proj.weight": "mtp",
        "model.layers.92.eh_proj.weight": "mtp",
        "model.layers.61.shared_head.norm.weight": "mtp",
    },
    "llama": {
        "model.embed_tokens.weight": "embedding",
        "model.layers.0.self_attn.q_proj.weight": "attention",
        "model.layers.0.self_attn.o_proj.bias": "attention",
        "model.layers.31.mlp.gate_proj.weight": "mlp",
        "model.layers.31.mlp.down_proj.weight": "mlp",
        "model.layers.0.input_layernorm.weight": "norm",
        "model.layers.0.post_attention_layernorm.weight": "norm",
        "model.norm.weight": "norm",
        "lm_head.weight": "head",
    },
    "qwen3": {
        "model.layers.0.self_attn.q_norm.weight": "attention",
        "model.layers.0.self_attn.k_norm.weight": "attention",
    },
    "gemma": {
        "model.layers.0.pre_feedforward_layernorm.weight": "norm",
        "model.layers.0.post_feedforward_layernorm.weight": "norm",
    },
    "gpt2": {
        "wte.weight": "embedding",
        "wpe.weight": "embedding",
        "h.0.attn.c_attn.weight": "attention",
        "h.0.attn.c_attn.bias": "attention",
        "h.0.attn.c_proj.bias": "attention",
        "h.0.mlp.c_fc.weight": "mlp",
        "h.0.ln_1.weight": "norm",
        "h.0.ln_2.bias": "norm",
        "ln_f.weight": "norm",
        "transformer.wte.weight": "embedding",
        "transformer.h.0.ln_1.bias": "norm",
    },
    "gpt-neox": {
        "gpt_neox.embed_in.weight": "embedding",
        "gpt_neox.layers.0.attention.query_key_value.weight": "attention",
        "gpt_neox.layers.0.attention.dense.bias": "attention",
        "gpt_neox.layers.0.mlp.dense_h_to_4h.weight": "mlp",
        "gpt_neox.layers.0.input_layernorm.bias": "norm",
        "gpt_neox.final_layer_norm.weight": "norm",
        "embed_out.weight": "head",
    },
    "falcon and bloom": {
        "transformer.word_embeddings.weight": "embedding",
        "transformer.h.0.self_attention.query_key_value.weight": "attention",
        "word_embeddings_layernorm.weight": "norm",
        "transformer.ln_f.bias": "norm",
    },
    "mamba": {
        "backbone.layers.0.mixer.in_proj.weight": "ssm",
        "backbone.layers.0.mixer.A_log": "ssm",
        "backbone.layers.0.norm.weight": "norm",
        "backbone.embeddings.weight": "embedding",
    },
    "opt": {
        "model.decoder.embed_positions.weight": "embedding",
        "model.decoder.layers.0.self_attn.out_proj.weight": "attention",
        "model.decoder.layers.0.self_attn_layer_norm.weight": "norm",
        "model.decoder.layers.0.final_layer_norm.bias": "norm",
    },
    "mixtral": {
        "model.layers.0.block_sparse_moe.gate.weight": "router",
        "model.layers.0.block_sparse_moe.experts.7.w1.weight": "experts",
    },
    "qwen-moe and deepseek": {
        "model.layers.0.mlp.gate.weight": "router",
        "model.layers.0.mlp.gate.e_score_correction_bias": "router",
        "model.layers.0.mlp.experts.127.down_proj.weight": "experts",
        "model.layers.0.mlp.shared_expert.up_proj.weight": "experts",
        "model.layers.0.mlp.shared_experts.up_proj.weight": "experts",
        "model.layers.0.self_attn.kv_a_layernorm.weight": "attention",
    },
    "llama4 and gpt-oss": {
        "language_model.model.layers.0.feed_forward.router.weight": "router",
        "language_model.model.layers.0.feed_forward.experts.gate_up_proj": "experts",
        "language_model.model.layers.0.feed_forward.up_proj.weight": "mlp",
        "model.layers.0.mlp.router.bias": "router",
        "model.layers.0.mlp.experts.gate_up_proj_blocks": "experts",
    },
    "towers": {
        "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight": "vision",
        "visual.blocks.0.attn.qkv.weight": "vision",
        "model.visual.blocks.0.mlp.gate_proj.weight": "vision",
        "vision_model.patch_embedding.weight": "vision",
        "audio_tower.layers.0.fc1.weight": "audio",
        "model.audio_tower.layers.0.self_attn.k_proj.weight": "audio",
        "multi_modal_projector.linear_1.weight": "projector",
        "model.multi_modal_projector.mm_input_projection_weight": "projector",
        "model.connector.modality_projection.proj.weight": "projector",
    },
    "classifiers": {"score.weight": "head", "classifier.bias": "head"},
    "unknown": {"weight": "other", "model.layers.0.mystery.weight": "other", "": "other"},
}


@pytest.mark.parametrize(
    ("name", "component"), [pair for names in NAMES.values() for pair in names.items()], ids=lambda text: text or "''"
)
def test_names(name: str, component: str) -> None:
    assert component_of(name) == component


def test_every_component_has_a_name() -> None:
    assert {component for names in NAMES.values() for component in names.values()} == {str(part) for part in Component}


def tensor(name: str, *shape: int) -> TensorInfo:
    return TensorInfo(name=name, dtype="F32", shape=shape, stored_bytes=4 * prod(shape), file="x")


@pytest.mark.parametrize(
    ("stored", "kind"),
    [
        (tensor("h.0.attn.bias", 1, 1, 1024, 1024), "causal masks"),
        (tensor("transformer.h.0.attn.bias", 1, 1, 1024, 1024), "causal masks"),
        (tensor("gpt_neox.layers.0.attention.bias", 1, 1, 2048, 2048), "causal masks"),
        (tensor("gpt_neox.layers.0.attention.masked_bias"), "masked values"),
        (tensor("h.0.attn.masked_bias"), "masked values"),
        (tensor("gpt_neox.layers.0.attention.rotary_emb.inv_freq", 8), "rotary frequencies"),
        (tensor("model.layers.0.self_attn.rotary_emb.inv_freq", 64), "rotary frequencies"),
        (tensor("rotary_emb.cos_cached", 1, 1, 4096, 128), "rotary frequencies"),
        (tensor("bert.embeddings.position_ids", 1, 512), "position ids"),
        (tensor("position_ids", 1, 512), "position ids"),
        (tensor("h.0.attn.c_attn.bias", 2304), None),
        (tensor("model.layers.0.attn.bias", 4096), None),
        (tensor("gpt_neox.layers.0.attention.dense.bias", 768), None),
        (tensor("model.layers.0.self_attn.q_proj.weight", 8, 8), None),
        (tensor("embed_positions.weight", 512, 8), None),
    ],
    ids=lambda value: value.name if isinstance(value, TensorInfo) else None,
)
def test_buffers(stored: TensorInfo, kind: str | None) -> None:
    assert buffer_kind(stored.name, len(stored.shape)) == kind


def test_layers_and_experts_repeat_one_answer() -> None:
    names = [f"model.layers.{layer}.mlp.experts.{expert}.w1" for layer in (0, 9, 61) for expert in (7, 10, 255)]
    assert {component_of(name) for name in names} == {Component.EXPERTS}


def test_no_bundled_model_has_a_parameter_of_unknown_use(fixtures: Path) -> None:
    """Read without the code under test: every name in a layout, its templates left as they are."""

    def names(items: list[object]) -> list[str]:
        return [
            name
            for item in items
            for name in (names(item["tensors"]) if isinstance(item, dict) else [str(item[0]).replace("{}", "0")])  # type: ignore[index]
        ]

    for folder in fixtures.iterdir():
        layout = json.loads((folder / "headers.json").read_text())
        unknown = [
            name
            for name in names(layout["tensors"])
            if component_of(name) is Component.OTHER and buffer_kind(name, 4) is None
        ]
        assert unknown == [], folder.name
