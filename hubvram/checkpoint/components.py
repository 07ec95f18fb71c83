"""Tensor names -> what a parameter is for, by a table of the names in use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache, lru_cache
from typing import Final

from hubvram.checkpoint.names import parameters_of, pattern, without_numbers


class Component(StrEnum):
    """Parts of a model that a parameter belongs to."""

    EMBEDDING = "embedding"
    ATTENTION = "attention"
    MLP = "mlp"
    EXPERTS = "experts"
    ROUTER = "router"
    SSM = "ssm"
    """State spaces, convolutions, linear attention."""
    NORM = "norm"
    HEAD = "head"
    VISION = "vision"
    AUDIO = "audio"
    PROJECTOR = "projector"
    MTP = "mtp"
    """Multi-token prediction: blocks that draft further tokens, beside the model proper."""
    OTHER = "other"


# The first row with a word in the name decides, so what contains stands above what it contains: a tower above the
# layers in it, a head above its norms, attention above its norms of queries and keys. The exceptions stand before
# the row that they are exceptions of. `pattern` says how words are read.
_ROWS: Final[Sequence[tuple[Component, str]]] = (
    # ---- Multi-token prediction: layers like any other.
    (Component.MTP, "mtp mtp_* eh_proj enorm hnorm shared_head"),
    # ---- Towers and what joins them to the text model, which may stand inside the tower.
    (
        Component.PROJECTOR,
        """
        projector multi_modal_projector mm_projector vision_projector vit_large_projector image_projector
        vision_projection language_projection image_to_text_projection visual_projection text_projection
        sound_projection img_projection_* (up|down)_proj_for_* enc_to_dec_proj vision_final_layernorm
        connector aligner qformer query_tokens ^resampler resampler_model image_pooling_0d patch_merge_mlp
        (visual|vision_model).merger ^merger ^model.merger merger_list deepstack_merger_list
        ^mlp0 mlp_AR density_router adapter.(layers|proj|proj_layer_norm)
        embed_vision embed_audio image_newline visual_embeddings_table vision_embed_tokens img_temp*
        """,
    ),
    (
        Component.VISION,
        """
        visual vision_tower vision_model vision_encoder vision_backbone vision_embedder image_tower video_tower
        vqmodel generation_(embeddings|aligner|head) high_res_vision_* ^vpm ^transformer.vision
        embed_tokens_extend.image_embed
        """,
    ),
    (
        Component.AUDIO,
        """
        audio_tower audio_model audio_encoder sound_encoder embed_tokens_extend.audio_embed
        ^encoder.(input_linear|out|out_mid) ^encoder.layers.0.(ff0|conv|post_norm)
        ^encoder.layers.0.attn.(pre_norm|rel_pos_emb|to_q|to_kv|to_out)
        """,
    ),
    # ---- What makes frames of sound, or patches of an image, an encoder's input.
    (Component.NORM, "(feature_extractor.conv_layers.0|feature_projection).layer_norm pos_conv_embed.batch_norm"),
    (
        Component.EMBEDDING,
        """
        feature_extractor feature_projection pos_conv_embed masked_spec_embed encoder.(conv0|conv.conv_layers)
        ^patch_embed.proj embed_patches.proj embeddings.(patch_embedding|patch_embeddings|patch_projection)
        embeddings.(row_embedder|column_embedder|position_embeddings|class_embedding)
        embeddings.(cls_token|mask_token|distillation_token|register_tokens)
        """,
    ),
    # ---- Heads, and what else is on top: norms and matrices of their own. Short words only where a name begins.
    (
        Component.HEAD,
        """
        lm_head lm_heads ^generator_lm_head embed_out unembed output_layer output_projection proj_out lm_loss pred_layer
        ^output ^language_model.output ^model.transformer.ff_out ^decoder.(weight|bias) ^decoder.0.(weight|bias)
        cls ^*predictions ^vocab_(transform|layer_norm|projector) ^head text_model.head contact_head
        pooler sequence_summary ^dense ^score ^classifier classification_head pre_classifier sop_classifier
        ^(cls|distillation)_classifier qa_outputs qa_classifier ^quantizer ^project_(hid|q) layer_weights
        """,
    ),
    # ---- Norms of the layer that stand in a module named for something else.
    (
        Component.NORM,
        """
        (attention|crossattention|conv).(LayerNorm|ln|self_attn_layer_norm) output.LayerNorm
        (self_attention|attention|mlp|feed_forward).layer_norm layernorm_before_(attention|ffn)
        """,
    ),
    # ---- Routers and experts.
    (
        Component.ROUTER,
        """
        router mlp.router_gate moe.router_bias e_score_correction_bias expert_bias
        (mlp|moe|block_sparse_moe|feed_forward|ffn|mixer).(gate|shared_expert_gate)
        """,
    ),
    (
        Component.EXPERTS,
        """
        experts shared_experts shared_expert share_expert shared_mlp moe.(up|gate|down)_proj
        (block_sparse_moe|mlp).(input|output)_linear mlp.(up|down)_embed mixer.fc0_latent_proj
        """,
    ),
    # ---- State spaces, convolutions, linear attention. A hybrid's mixer is told by what it holds.
    (
        Component.ATTENTION,
        "(mixer|temporal_block).(q|k|v|o)_proj encoder.layers.0.mixer.(Wqkv|out_proj) self_attn.linear_attn",
    ),
    (Component.MLP, "mixer.(up|gate|down)_proj"),
    (
        Component.SSM,
        "mixer mamba linear_attn conv *_sconv temporal_block mlstm_layer ^(blocks|rwkv.blocks).0.attention",
    ),
    # ---- Attention, with the norms and biases inside.
    (
        Component.ATTENTION,
        """
        attn attention self_attn self_attention *SelfAttention multi_head_attention
        cross_attn crossattention cross_attention encoder_attn EncDecAttention cross_attn_(attn|mlp)_gate
        relative_(attention|position)_bias blocks.0.(att_proj|attn_out|q_norm|k_norm)
        """,
    ),
    # ---- MLP.
    (
        Component.MLP,
        """
        mlp mlp_block feed_forward ffn ffn_output fc0 DenseReluDense (intermediate|output).dense
        blocks.0.(ff_proj|ff_out) adapter_modules adapter_layer.linear_0
        per_layer_input_gate per_layer_projection laurel.linear_(left|right)
        """,
    ),
    # ---- Norms. Where they have modules inside (an adaptive norm), those are something else.
    (
        Component.NORM,
        parameters_of(
            """
            *norm *norm0 *norm_0 LayerNorm norm_f ln *_ln ln0 ln_0 ln_f ln_(attn|cross_attn|mlp|out)
            norm_(mlstm|ffn) layernorm_(before|after|embedding) layer_norm_emb emb_layer_norm_after layer_norm0.0
            *layernorm.(0|W_up|W_down)
            """
        ),
    ),
    # ---- Attention and MLP again, where the norms inside are norms of the layer.
    (Component.ATTENTION, "rel_attn attentions position_bias"),
    (Component.MLP, "ff ffns mlps block_sparse_moe"),
    # ---- Embeddings.
    (
        Component.EMBEDDING,
        """
        wte wpe shared ^w transformer.w project_in project_out position_embeddings.weights mask_emb eoi_embedding
        embeddings_project embedding_hidden_mapping_in embed_proj map_inputs_layer per_layer_model_projection
        embed_tokens.0
        """,
    ),
    (
        Component.EMBEDDING,
        parameters_of("*embed *embedding *embeddings *embed_(tokens|in|positions|global) embed_tokens_per_layer"),
    ),
)

POOLER: Final = "pooler"
NEXT_SENTENCE: Final = "next-sentence head"
_TOPS: Final[Mapping[str, str]] = {POOLER: "pooler", NEXT_SENTENCE: "seq_relationship sop_classifier"}
"""What an encoder's class may have on top beside the head proper, or leave out."""

_OF_LAYERS: Final = {
    **{
        f"self_attn.{matrix}_proj.{kind}": Component.ATTENTION
        for matrix in ("q", "k", "v", "o")
        for kind in ("weight", "bias")
    },
    **{f"mlp.{matrix}_proj.weight": Component.MLP for matrix in ("gate", "up", "down")},
    "input_layernorm.weight": Component.NORM,
    "post_attention_layernorm.weight": Component.NORM,
}
USUAL: Final[Mapping[str, Component]] = {
    "model.embed_tokens.weight": Component.EMBEDDING,
    **{f"model.layers.{layer}.{name}": part for name, part in _OF_LAYERS.items() for layer in ("0", "00")},
    "model.norm.weight": Component.NORM,
    "lm_head.weight": Component.HEAD,
}
"""What the rows say of the names that most models have, `without_numbers`: to make the rows' patterns takes longer than
all else that is done with names."""

_KINDS_REMEMBERED: Final = 4096


def component_of(name: str) -> Component:
    """The component a parameter belongs to, OTHER where no row knows its name."""
    kind = without_numbers(name)
    return USUAL.get(kind) or _component_of_kind(kind)


@lru_cache(_KINDS_REMEMBERED)
def _component_of_kind(name: str) -> Component:
    return next((component for component, found in _patterns() if found.search(name)), Component.OTHER)


@cache  # and not when this file is imported: it takes longer than all the rest
def _patterns() -> tuple[tuple[Component, re.Pattern[str]], ...]:
    return tuple((component, pattern(words)) for component, words in _ROWS)


def beside_head(name: str) -> str | None:
    """Which of `POOLER` and `NEXT_SENTENCE` a tensor belongs to, if any."""
    return next((what for what, words in _TOPS.items() if pattern(words).search(name)), None)
