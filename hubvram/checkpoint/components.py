"""Tensor names -> what the tensor is for, by tables of the naming schemes in use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final


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


_COMPONENTS: Final[Sequence[tuple[Component, re.Pattern[str]]]] = tuple(
    (component, re.compile(pattern))
    for component, pattern in (
        # The first match decides.
        (Component.MTP, r"(^|\.)mtp[._]|\.(eh_proj|enorm|hnorm|shared_head)\."),
        # A tower has layers like a text model's, so it is told apart first.
        (Component.PROJECTOR, r"(^|\.)(multi_modal_projector|mm_projector|projector|connector|embed_(vision|audio))\."),
        (Component.PROJECTOR, r"(^|\.)(visual|vision_model)\.(merger|(deepstack_)?merger_list)\."),
        (Component.PROJECTOR, r"^(mlp\d|enc_to_dec_proj|(model\.)?merger)\.|(^|\.)(visual_embeddings_table|mlp_AR)\."),
        (Component.PROJECTOR, r"(^|\.)(image_newline|query_tokens)$|(^|\.)(qformer|language_projection|aligner)\."),
        (Component.PROJECTOR, r"(^|\.)(vision_projection|vision_projector|image_to_text_projection)\."),
        (
            Component.VISION,
            r"(^|\.)(image_tower|video_tower|vqmodel|generation_(embeddings|aligner|head)|high_res_vision_\w+)\b",
        ),
        (Component.PROJECTOR, r"(^|\.)(resampler_model|patch_merge_mlp|vit_large_projector|vision_embed_tokens)\."),
        (Component.PROJECTOR, r"(^|\.)vision_backbone\.image_(pooling_\dd|projector)\.|^resampler\."),
        (Component.PROJECTOR, r"^(sound_projection|vision_final_layernorm|model\.density_router)\."),
        (Component.PROJECTOR, r"^git\.(visual_projection|img_temp\w+)\."),
        (Component.VISION, r"(^|\.)(visual|vision_(tower|model|encoder|backbone|embedder))\.|^vpm\."),
        (Component.AUDIO, r"^encoder\.(input_linear|out|out_mid|layers\.\d+\.(ff\d|conv|post_norm))\."),
        (Component.AUDIO, r"^encoder\.layers\.\d+\.attn\.(pre_norm|rel_pos_emb|to_(q|kv|out))\."),
        (Component.PROJECTOR, r"\.embed_tokens_extend\.\w+\.(img_projection|up_proj_for|down_proj_for)_\w+\."),
        (Component.VISION, r"^transformer\.vision\.|\.embed_tokens_extend\.image_embed\."),
        (Component.AUDIO, r"\.embed_tokens_extend\.audio_embed\."),
        (Component.AUDIO, r"(^|\.)(audio_tower|audio_model|audio_encoder|sound_encoder)\."),
        # What makes frames of sound an encoder's input.
        (Component.EMBEDDING, r"(^|\.)encoder\.conv(\d|\.conv_layers\.\d)\."),
        (Component.NORM, r"(^|\.)feature_(extractor|projection)\.(.*\.)?layer_norm\.|\.pos_conv_embed\.batch_norm\."),
        (Component.HEAD, r"^(quantizer|project_hid|project_q)\.|^layer_weights$"),
        (
            Component.EMBEDDING,
            r"(^|\.)(feature_extractor|feature_projection|pos_conv_embed)\.|(^|\.)masked_spec_embed$",
        ),
        # What makes an image's patches an encoder's input.
        (
            Component.EMBEDDING,
            r"(^|\.)embeddings\.((cls|mask|distillation|register)_tokens?|position_embeddings|class_embedding)$",
        ),
        (Component.EMBEDDING, r"(^|\.)embeddings\.(patch_embeddings?|patch_projection|row_embedder|column_embedder)\."),
        (Component.NORM, r"^decoder\.layer\.\d+\.(self_attention|mlp)\.layer_norm\."),
        (Component.EMBEDDING, r"^(patch_embed|decoder\.embed_patches)\.proj\."),
        (Component.PROJECTOR, r"^(text|visual)_projection\.|(^|\.)adapter\.(layers|proj|proj_layer_norm)\."),
        (Component.HEAD, r"^model\.transformer\.ff_out\."),
        (Component.ATTENTION, r"\.blocks\.\d+\.(att_proj|attn_out|[qk]_norm)\."),
        (Component.MLP, r"\.blocks\.\d+\.ff_(proj|out)\."),
        # A head may hold norms and matrices of its own.
        (Component.HEAD, r"(^|\.)text_model\.head\.|^(cls|distillation)_classifier\.|^decoder\.0\.(weight|bias)$"),
        (
            Component.HEAD,
            r"(^|\.)(lm_head|embed_out|unembed|cls|output_layer|qa_outputs)\.|^(score|classifier|output|head)\.",
        ),
        (Component.HEAD, r"(^|\.)(lm_loss|pred_layer|output_projection|proj_out|classification_head)\."),
        (Component.HEAD, r"^decoder\.(weight|bias)$|^language_model\.output\."),
        (
            Component.HEAD,
            r"(^|\.)(pooler|contact_head|pre_classifier|qa_classifier|sop_classifier|sequence_summary)\.|^dense\.",
        ),
        (Component.HEAD, r"^(\w+_)?predictions\.|^generator_lm_head\.|^vocab_(transform|layer_norm|projector)\."),
        # Norms of the layer that stand inside a module named for its attention.
        (
            Component.NORM,
            r"\.(attention|conv|crossattention)\.(LayerNorm|ln|self_attn_layer_norm)\.|LayerNorm\.(beta|gamma)$|\.layernorm_(before|after)\.|\.emb_layer_norm_after\.",
        ),
        (Component.NORM, r"\.output\.LayerNorm\.|\.layernorm_before_(attention|ffn)\.|^reformer\..*\.layer_norm\."),
        (Component.ROUTER, r"\.(mlp|moe|block_sparse_moe|feed_forward|ffn|mixer)\.(gate|shared_expert_gate)\."),
        (Component.ROUTER, r"\.mlp\.router_gate\.|\.moe\.router_bias$"),
        (Component.EXPERTS, r"\.(moe\.(up|gate|down)_proj|share_expert\.\w+)\.weight$"),
        (Component.ROUTER, r"\.router\.|\.(e_score_correction_bias|expert_bias)$"),
        (
            Component.EXPERTS,
            r"\.(experts|shared_experts?|shared_mlp)\.|\.mlp\.(up|down)_embed\.|\.(block_sparse_moe|mlp)\.(input|output)_linear\.",
        ),
        # q/k norms and biases belong to the attention that holds them; a hybrid's mixers are told by what they hold.
        (
            Component.ATTENTION,
            r"(^|\.)encoder\.layers\.\d+\.mixer\.(Wqkv|out_proj)\.|\.relative_(attention|position)_bias\.",
        ),
        (Component.EXPERTS, r"\.mixer\.fc\d_latent_proj\."),
        (Component.ATTENTION, r"\.(mixer|temporal_block)\.[qkvo]_proj\.|\.self_attn\.linear_attn\."),
        (Component.MLP, r"\.mixer\.(up|gate|down)_proj\."),
        (
            Component.SSM,
            r"\.(mixer|mamba|linear_attn|conv|\w+_sconv|temporal_block|mlstm_layer)\.|^(rwkv\.)?blocks\.\d+\.attention\.",
        ),
        (
            Component.ATTENTION,
            r"\.(self_attn|attn|attention|self_attention|encoder_attn|cross_attn|multi_head_attention)\.",
        ),
        (Component.ATTENTION, r"\.(crossattention|cross_attention|\w*SelfAttention|EncDecAttention)\."),
        (Component.ATTENTION, r"\.cross_attn_(attn|mlp)_gate$"),
        (Component.MLP, r"\.(per_layer_input_gate|per_layer_projection|laurel\.linear_(left|right))\."),
        (Component.EMBEDDING, r"\.(embed_tokens_per_layer|per_layer_model_projection)\.weight$"),
        (Component.MLP, r"\.(ffn_output|adapter_modules|mlp_block)\.|\.adapter_layer\.linear_"),
        (Component.EMBEDDING, r"(^|\.)(embeddings_project|embedding_hidden_mapping_in|embed_proj|map_inputs_layer)\."),
        (Component.MLP, r"\.(mlp|feed_forward|ffn|fc\d|DenseReluDense)\.|\.(intermediate|output)\.dense\."),
        (Component.NORM, r"(^|[._])(layer_?norm\d?|norm_?\d?|ln_([\df]|attn|mlp)|ln|norm_f|LayerNorm)\.(weight|bias)$"),
        (Component.NORM, r"\.ln_cross_attn\."),
        (Component.NORM, r"(layernorm(_\d)?|_norm|layernorm_embedding|groupnorm)\.(weight|bias)$"),
        (
            Component.NORM,
            r"\.layer_norm(\d\.\d+|_emb)\.(weight|bias)$|\.(ln\d|ln_out|norm_mlstm|norm_ffn)\.(weight|bias)$",
        ),
        (Component.ATTENTION, r"\.(rel_attn|attentions|position_bias)\."),
        (Component.MLP, r"\.(ff|ffns|mlps|block_sparse_moe)\."),
        (Component.NORM, r"layernorm\.(\d|W_up|W_down)\.weight$"),
        (
            Component.EMBEDDING,
            r"(^|transformer\.)w\.weight$|\.mask_emb$|\.project_(in|out)\.|\.position_embeddings\.weights\.",
        ),
        (
            Component.EMBEDDING,
            r"(^|\.)(wte|wpe|shared)\.|embed(ding|dings|_tokens|_in|_positions|_global)?\.weight$|\.eoi_embedding$",
        ),
    )
)

POOLER: Final = "pooler"
NEXT_SENTENCE: Final = "next-sentence head"
_TOPS: Final[Mapping[str, re.Pattern[str]]] = {
    POOLER: re.compile(r"(^|\.)pooler\."),
    NEXT_SENTENCE: re.compile(r"(^|\.)(seq_relationship|sop_classifier)\."),
}
"""What an encoder's class may have on top beside the head proper, or leave out."""

_BUFFERS: Final[Sequence[tuple[str, re.Pattern[str], int | None]]] = tuple(
    (kind, re.compile(pattern), dimensions)
    for kind, pattern, dimensions in (
        # GPT-2 and GPT-NeoX files of old keep each layer's mask, (1, 1, n, n), beside real biases.
        ("causal masks", r"\.(attn|attention)\.bias$", 4),
        ("causal masks", r"\.attn\.causal_mask$", 4),
        ("masked values", r"\.(attn|attention)\.masked_bias$", None),
        ("constants of an activation", r"\.act_fn\.(beta|eps)$", None),
        ("rotary frequencies", r"\brotary(_pos)?_emb(eddings)?\.(inv_freq|cos_cached|sin_cached)$", None),
        ("computed positions", r"\.embed_positions\.(weights|_float_tensor)$", None),
        ("bias of the logits", r"(^|\.)final_logits_bias$", None),
        ("version numbers", r"(^|\.)(en|de)coder\.version$", None),
        ("decay factors", r"\.self_attn\.(slope_rate|(query|key|diagonal)_decay)$", None),
        ("experts of each token", r"\.gate\.tid0eid$", None),
        ("indices of offsets", r"\.relative_position_index$", None),
        ("position ids", r"\bposition_ids$", None),
        ("bounds of activations", r"_tower\..*\.(in|out)put_(min|max)$", 0),
        ("statistics of images and sound", r"\.(std_(bias|scale)|norm_(mean|std)|global_(mean|invstd))$", None),
        ("indices of tokens", r"\.summary_idxs$", None),
        ("batch statistics", r"\.(running_mean|running_var|num_batches_tracked)$", None),
    )
)
_DIGITS: Final = str.maketrans("123456789", "000000000")
_KINDS_REMEMBERED: Final = 4096


def component_of(name: str) -> Component:
    """The component a parameter belongs to, OTHER where no table knows its name."""
    return _component_of_kind(name.translate(_DIGITS))


@lru_cache(_KINDS_REMEMBERED)
def _component_of_kind(name: str) -> Component:
    # Layers and experts repeat the same few names: each is matched once, with its digits made equal.
    return next((component for component, pattern in _COMPONENTS if pattern.search(name)), Component.OTHER)


def beside_head(name: str) -> str | None:
    """Which of `POOLER` and `NEXT_SENTENCE` a tensor belongs to, if any."""
    return next((what for what, pattern in _TOPS.items() if pattern.search(name)), None)


def buffer_kind(name: str, dimensions: int) -> str | None:
    """What a stored tensor is when it is no parameter (a mask, rotary frequencies), else None."""
    return _buffer_of_kind(name.translate(_DIGITS), dimensions)


@lru_cache(_KINDS_REMEMBERED)
def _buffer_of_kind(name: str, dimensions: int) -> str | None:
    return next(
        (kind for kind, pattern, expected in _BUFFERS if expected in (None, dimensions) and pattern.search(name)),
        None,
    )
