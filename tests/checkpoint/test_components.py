"""What a tensor is for, by the names that published models use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubvram.checkpoint import components
from hubvram.checkpoint.buffers import buffer_kind
from hubvram.checkpoint.components import NEXT_SENTENCE, POOLER, Component, beside_head, component_of
from hubvram.checkpoint.names import pattern

# Scheme -> component -> names as they stand in the files.
SCHEMES: dict[str, dict[str, str]] = {
    "llama": {
        "embedding": "model.embed_tokens.weight",
        "attention": "model.layers.0.self_attn.q_proj.weight model.layers.0.self_attn.o_proj.bias",
        "mlp": "model.layers.31.mlp.gate_proj.weight model.layers.31.mlp.down_proj.weight",
        "norm": "model.layers.0.input_layernorm.weight model.layers.0.post_attention_layernorm.bias model.norm.weight",
        "head": "lm_head.weight depth_decoder.lm_heads.weight",
    },
    "qwen3, bare": {
        "embedding": "embed_tokens.weight depth_decoder.embed_tokens.0.weight",
        "attention": "layers.0.self_attn.q_norm.weight layers.0.self_attn.k_norm.weight",
        "norm": "norm.weight",
    },
    "gemma2 and gemma4": {
        "embedding": "model.language_model.embed_tokens_per_layer.weight "
        "model.language_model.per_layer_model_projection.weight",
        "norm": "model.layers.0.pre_feedforward_layernorm.weight model.layers.0.post_feedforward_layernorm.weight "
        "model.language_model.layers.0.post_per_layer_input_norm.weight "
        "model.language_model.per_layer_projection_norm.weight",
        "mlp": "model.language_model.layers.0.per_layer_input_gate.weight "
        "model.language_model.layers.0.per_layer_projection.weight",
        "other": "model.language_model.layers.0.layer_scalar",
    },
    "glm4v": {
        "norm": "model.language_model.layers.0.post_mlp_layernorm.weight "
        "model.language_model.layers.0.post_self_attn_layernorm.weight",
        "projector": "model.visual.merger.proj.weight",
        "vision": "model.visual.embeddings.position_embedding.weight",
    },
    "mistral's own": {
        "embedding": "tok_embeddings.weight",
        "attention": "layers.0.attention.wq.weight",
        "mlp": "layers.0.feed_forward.w1.weight",
        "norm": "layers.0.attention_norm.weight layers.0.ffn_norm.weight",
        "head": "output.weight",
    },
    "gpt2, starcoder, qwen": {
        "embedding": "wte.weight wpe.weight transformer.wte.weight",
        "attention": "h.0.attn.c_attn.weight h.0.attn.c_attn.bias transformer.h.0.attn.c_proj.weight",
        "mlp": "h.0.mlp.c_fc.weight transformer.h.0.mlp.w1.weight",
        "norm": "h.0.ln_1.weight h.0.ln_2.bias ln_f.weight transformer.h.0.ln_1.bias",
    },
    "gpt-neox": {
        "embedding": "gpt_neox.embed_in.weight",
        "attention": "gpt_neox.layers.0.attention.query_key_value.weight gpt_neox.layers.0.attention.dense.bias",
        "mlp": "gpt_neox.layers.0.mlp.dense_h_to_4h.weight",
        "norm": "gpt_neox.layers.0.input_layernorm.bias gpt_neox.final_layer_norm.weight",
        "head": "embed_out.weight",
    },
    "falcon, bloom, chatglm": {
        "embedding": "transformer.word_embeddings.weight transformer.embedding.word_embeddings.weight",
        "attention": "transformer.h.0.self_attention.query_key_value.weight",
        "norm": "word_embeddings_layernorm.weight transformer.h.0.ln_attn.weight transformer.h.0.ln_mlp.bias",
        "head": "transformer.output_layer.weight",
    },
    "phi and opt": {
        "embedding": "model.decoder.embed_positions.weight",
        "attention": "model.layers.0.self_attn.dense.weight model.decoder.layers.0.self_attn.out_proj.weight",
        "mlp": "model.layers.0.mlp.fc1.weight model.decoder.layers.0.fc1.weight",
        "norm": "model.final_layernorm.bias model.decoder.layers.0.self_attn_layer_norm.weight",
    },
    "bert": {
        "embedding": "bert.embeddings.word_embeddings.weight bert.embeddings.token_type_embeddings.weight "
        "bert.embeddings.position_embeddings.weight",
        "attention": "bert.encoder.layer.0.attention.self.query.weight "
        "bert.encoder.layer.0.attention.output.dense.bias",
        "mlp": "bert.encoder.layer.0.intermediate.dense.weight bert.encoder.layer.0.output.dense.weight",
        "norm": "bert.embeddings.LayerNorm.gamma bert.encoder.layer.0.attention.output.LayerNorm.beta "
        "bert.encoder.layer.0.output.LayerNorm.weight roberta.embeddings.LayerNorm.bias",
        "head": "cls.predictions.transform.LayerNorm.weight cls.seq_relationship.bias pooler.dense.bias "
        "lm_head.layer_norm.weight qa_outputs.weight",
    },
    "modernbert": {
        "embedding": "model.embeddings.tok_embeddings.weight",
        "attention": "model.layers.0.attn.Wqkv.weight",
        "mlp": "model.layers.0.mlp.Wi.weight",
        "norm": "model.embeddings.norm.weight model.layers.1.attn_norm.weight model.layers.0.mlp_norm.weight "
        "model.final_norm.weight",
        "head": "head.dense.weight head.norm.weight decoder.bias",
    },
    "t5": {
        "embedding": "shared.weight",
        "attention": "encoder.block.0.layer.0.SelfAttention.q.weight decoder.block.0.layer.1.EncDecAttention.o.weight "
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "mlp": "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
        "norm": "encoder.block.0.layer.0.layer_norm.weight encoder.final_layer_norm.weight",
    },
    "bart and whisper": {
        "embedding": "model.encoder.conv1.weight model.decoder.embed_positions.weight",
        "attention": "model.decoder.layers.0.encoder_attn.k_proj.weight",
        "mlp": "model.decoder.layers.0.fc2.bias",
        "norm": "decoder.layernorm_embedding.bias model.decoder.layers.0.encoder_attn_layer_norm.weight",
        "head": "proj_out.weight",
    },
    "mixtral and minimax": {
        "router": "model.layers.0.block_sparse_moe.gate.weight model.layers.0.block_sparse_moe.e_score_correction_bias",
        "experts": "model.layers.0.block_sparse_moe.experts.7.w1.weight",
    },
    "qwen-moe, deepseek, glm": {
        "router": "model.layers.0.mlp.gate.weight model.layers.0.mlp.gate.e_score_correction_bias "
        "model.layers.0.mlp.shared_expert_gate.weight",
        "experts": "model.layers.0.mlp.experts.127.down_proj.weight model.layers.0.mlp.shared_expert.up_proj.weight "
        "model.layers.0.mlp.shared_experts.up_proj.weight",
        "attention": "model.layers.0.self_attn.kv_a_layernorm.weight",
        "mtp": "mtp.layers.0.self_attn.q_proj.weight model.layers.92.eh_proj.weight model.layers.92.enorm.weight "
        "model.layers.92.hnorm.weight model.layers.61.shared_head.norm.weight",
    },
    "llama4 and gpt-oss": {
        "router": "language_model.model.layers.0.feed_forward.router.weight model.layers.0.mlp.router.bias",
        "experts": "language_model.model.layers.0.feed_forward.experts.gate_up_proj "
        "model.layers.0.mlp.experts.gate_up_proj_blocks",
        "mlp": "language_model.model.layers.0.feed_forward.up_proj.weight",
        "attention": "model.layers.0.self_attn.sinks",
    },
    "granite-moe": {
        "router": "model.layers.0.block_sparse_moe.router.layer.weight",
        "experts": "model.layers.0.block_sparse_moe.input_linear.weight model.layers.0.shared_mlp.output_linear.weight",
        "ssm": "model.layers.0.mamba.dt_bias model.layers.0.mamba.norm.weight",
    },
    "mamba": {
        "embedding": "backbone.embeddings.weight",
        "ssm": "backbone.layers.0.mixer.in_proj.weight backbone.layers.0.mixer.A_log",
        "norm": "backbone.layers.0.norm.weight backbone.norm_f.weight",
    },
    "nemotron-h": {
        "attention": "backbone.layers.0.mixer.q_proj.weight backbone.layers.0.mixer.o_proj.weight",
        "mlp": "backbone.layers.0.mixer.up_proj.weight",
        "router": "backbone.layers.0.mixer.gate.e_score_correction_bias",
        "experts": "backbone.layers.0.mixer.experts.3.up_proj.weight "
        "backbone.layers.0.mixer.shared_experts.down_proj.weight",
    },
    "jamba, lfm2, qwen3-next, zamba2": {
        "ssm": "model.layers.0.conv.conv.weight model.layers.0.mamba.A_log model.layers.0.linear_attn.norm.weight",
        "norm": "model.layers.0.operator_norm.weight model.embedding_norm.weight model.layers.0.pre_ff_layernorm.bias",
        "attention": "model.layers.0.shared_transformer.self_attn.q_proj.weight",
        "other": "model.layers.0.linear.weight",
    },
    "rwkv and xlstm": {
        "ssm": "rwkv.blocks.0.attention.time_decay backbone.blocks.0.mlstm_layer.q.weight",
        "norm": "rwkv.blocks.0.pre_ln.weight rwkv.ln_out.bias backbone.blocks.0.norm_mlstm.weight",
        "mlp": "rwkv.blocks.0.feed_forward.key.weight",
    },
    "mllama": {
        "attention": "language_model.model.layers.3.cross_attn.k_norm.weight "
        "language_model.model.layers.3.cross_attn_attn_gate language_model.model.layers.3.cross_attn_mlp_gate",
    },
    "towers": {
        "vision": "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight visual.blocks.0.attn.qkv.weight "
        "model.visual.blocks.0.mlp.gate_proj.weight vision_model.patch_embedding.weight",
        "audio": "audio_tower.layers.0.fc1.weight model.audio_tower.layers.0.self_attn.k_proj.weight",
        "head": "language_model.output.weight language_model.lm_head.weight",
    },
    "projectors": {
        "projector": "multi_modal_projector.linear_1.weight "
        "model.multi_modal_projector.mm_input_projection_weight model.connector.modality_projection.proj.weight "
        "visual.merger.mlp.0.weight model.visual.deepstack_merger_list.0.norm.weight mlp1.0.weight "
        "model.embed_vision.embedding_projection.weight model.embed_audio.embedding_projection.weight",
    },
    "towers by other names": {
        "vision": "model.embed_tokens_extend.image_embed.img_processor.post_layernorm.bias "
        "model.vision_backbone.image_vit.patch_embedding.weight vpm.encoder.layers.0.self_attn.q_proj.weight",
        "audio": "model.embed_tokens_extend.audio_embed.encoder.embed.out.bias encoder.layers.0.ff1.up_proj.weight "
        "encoder.layers.0.conv.up_conv.weight encoder.layers.0.attn.to_q.weight encoder.out_mid.bias",
        "projector": "model.embed_tokens_extend.image_embed.img_projection_up.weight git.visual_projection.0.weight "
        "model.embed_tokens_extend.audio_embed.down_proj_for_speech.weight qformer.layernorm.weight query_tokens "
        "model.vision_backbone.image_pooling_2d.wk.bias model.image_newline model.aligner.linear1.weight",
    },
    "clip": {
        "embedding": "text_model.embeddings.token_embedding.weight text_model.embeddings.position_embedding.weight",
        "norm": "text_model.encoder.layers.0.layer_norm1.weight text_model.final_layer_norm.bias",
        "vision": "vision_model.embeddings.class_embedding vision_model.pre_layrnorm.weight",
        "projector": "text_projection.weight visual_projection.weight",
        "other": "logit_scale",
    },
    "vit": {
        "embedding": "vit.embeddings.cls_token vit.embeddings.patch_embeddings.projection.bias "
        "vit.embeddings.position_embeddings",
        "attention": "vit.encoder.layer.0.attention.attention.query.weight",
        "norm": "vit.encoder.layer.0.layernorm_before.weight vit.encoder.layer.0.layernorm_after.bias "
        "vit.layernorm.weight",
        "head": "classifier.bias",
    },
    "wav2vec2": {
        "embedding": "wav2vec2.feature_extractor.conv_layers.0.conv.weight wav2vec2.masked_spec_embed "
        "wav2vec2.feature_projection.projection.bias wav2vec2.encoder.pos_conv_embed.conv.weight_g",
        "mlp": "wav2vec2.encoder.layers.0.feed_forward.output_dense.weight",
        "norm": "wav2vec2.feature_extractor.conv_layers.0.layer_norm.weight "
        "wav2vec2.feature_projection.layer_norm.bias wav2vec2.encoder.layers.0.layer_norm.weight",
    },
    "packed": {
        "attention": "model.layers.0.self_attn.q_proj.qweight model.layers.0.self_attn.k_proj.weight_scale_inv",
        "mlp": "model.layers.0.mlp.up_proj.qzeros",
    },
    "classifiers": {"head": "score.weight"},
    "diffusion": {
        "attention": "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj.weight",
        "norm": "mid_block.attentions.0.group_norm.weight mid_block.resnets.0.norm1.bias",
        "other": "conv_in.weight time_embedding.linear_1.weight",
    },
    # No layer's norm, although the module is called one.
    "adaptive norm": {"other": "language_model.model.layers.0.ada_rms_norm.linear1.weight"},
    "unknown": {"other": "weight model.layers.0.mystery.weight"},
}
EXPECTED = [
    (name, component) for names in SCHEMES.values() for component, words in names.items() for name in words.split()
]


@pytest.mark.parametrize(("name", "component"), EXPECTED)
def test_names(name: str, component: str) -> None:
    assert component_of(name) == component


def test_no_name() -> None:
    assert component_of("") is Component.OTHER


def test_every_component_has_a_name() -> None:
    assert {component for _, component in EXPECTED} == {str(part) for part in Component}


def test_layers_and_experts_repeat_one_answer() -> None:
    names = [f"model.layers.{layer}.mlp.experts.{expert}.w1" for layer in (0, 9, 61) for expert in (7, 10, 255)]
    assert {component_of(name) for name in names} == {Component.EXPERTS}


def test_words() -> None:
    found = pattern("mlp.gate *_sconv ^head layers.0.(q|k)_norm")
    assert all(
        found.search(name) for name in ("mlp.gate", "a.mlp.gate.weight", "k_sconv.b", "head.b", "layers.00.q_norm")
    )
    assert not any(
        found.search(name) for name in ("mlp.gates", "xmlp.gate", "a.b.k_sconv0", "a.head.b", "layers.q_norm")
    )


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("bert.pooler.dense.weight", POOLER),
        ("pooler.dense.bias", POOLER),
        ("cls.seq_relationship.weight", NEXT_SENTENCE),
        ("sop_classifier.classifier.bias", NEXT_SENTENCE),
        ("cls.predictions.bias", None),
    ],
)
def test_beside_the_head(name: str, what: str | None) -> None:
    assert beside_head(name) == what


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


@pytest.mark.parametrize("name", sorted(components.USUAL))
def test_usual_names_are_as_the_rows_have_them(name: str) -> None:
    assert components.USUAL[name] is components._component_of_kind(name)
