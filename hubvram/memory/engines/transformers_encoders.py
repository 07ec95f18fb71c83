"""What the encoders of transformers 5.23 do in their own way: those whose peaks are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.disentangled import attend_by_head, attend_joined, looks_at_distances
from hubvram.memory.forward.encoder_code import EncoderCode, Pixels, Types, Until
from hubvram.memory.forward.later import later
from hubvram.memory.forward.modeling_code import LAYER_NORM, LLAMA, ModelingCode, with_traits
from hubvram.memory.forward.rotation import halves_through_fp32, pairs
from hubvram.memory.forward.spoken import joins_sounds_and_shapes

_OWN_TYPE: Final = with_traits(LAYER_NORM, softmax_in_fp32=False)
"""Softmax in the model's own type (modeling_bert.py, eager_attention_forward)."""
_ROBERTA: Final = with_traits(_OWN_TYPE, positions_per_sequence=True)
_THROUGH_FP32: Final = with_traits(LAYER_NORM, rotation=halves_through_fp32)

_BERT: Final = EncoderCode(types=Types.TOKENIZER)
_RESIDUAL: Final = EncoderCode(qkv=Until.PROJECTED, said=Until.PROJECTED, projected=Until.LAYER, inner=Until.PROJECTED)
"""Attention makes O itself, and one variable is residual, sum and normed in turn (modeling_nomic_bert.py)."""
_PRE_NORM: Final = replace(_RESIDUAL, normed=Until.PROJECTED, mlp_normed=Until.PROJECTED)
_VIT: Final = replace(_PRE_NORM, projected=Until.ADDED)
_TUPLES: Final = EncoderCode(probabilities=Until.NEXT_LAYER, scores=Until.SAID)
"""Layers give their probabilities to the loop over them, asked for or not (modeling_megatron_bert.py)."""
_CLIP_TEXT: Final = replace(_VIT, around=later("encoder", "causal_mask"))
_TOWER: Final = later("tower", "play_tower")
_DEBERTA: Final = EncoderCode(
    types=Types.TOKENIZER,
    attend=attend_by_head,
    keeps_all_layers=True,
    masks_scores=True,
    is_playable=looks_at_distances,
)

_BIG_BIRD: Final = EncoderCode(
    types=Types.NOBODY, adds_in_place=True, scores=Until.SAID, attend=later("big_bird", "attend_blocks")
)

ENCODERS: Final[Mapping[str, tuple[ModelingCode, EncoderCode]]] = {
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "data2vec-text"), (_ROBERTA, EncoderCode())),
    **dict.fromkeys(("bert", "electra", "ernie"), (_OWN_TYPE, _BERT)),
    "distilbert": (_OWN_TYPE, replace(_RESIDUAL, projected=Until.NORMED)),
    "albert": (
        _OWN_TYPE,
        replace(_RESIDUAL, qkv=Until.NORMED, projected=Until.NORMED, keeps_narrow_embedding=True),
    ),
    "megatron-bert": (_OWN_TYPE, replace(_TUPLES, types=Types.TOKENIZER, adds_in_place=True)),
    "rembert": (
        _OWN_TYPE,
        replace(_TUPLES, types=Types.MODEL, adds_in_place=True, keeps_narrow_embedding=True),
    ),
    "roformer": (
        with_traits(_OWN_TYPE, rotation=pairs, halves_of_tables=True),
        replace(_TUPLES, types=Types.MODEL, keeps_positions=False),
    ),
    "xmod": (
        _ROBERTA,
        EncoderCode(
            said=Until.ADDED,
            projected=Until.ADDED,
            mlp_normed=Until.LAYER,
            mlp_said=Until.ADDED,
            around=later("adapters", "languages"),
            adapt=later("adapters", "adapt"),
            is_playable=later("adapters", "knows_language"),
        ),
    ),
    "roberta-prelayernorm": (_ROBERTA, EncoderCode(mlp_normed=Until.READ)),
    "xlm-roberta-xl": (_ROBERTA, EncoderCode(mlp_normed=Until.SAID)),
    "esm": (
        with_traits(_THROUGH_FP32, softmax_in_fp32=False, positions_per_sequence=True),
        EncoderCode(probabilities=Until.NORMED, logit_copies=2),
    ),
    "mpnet": (
        _ROBERTA,
        EncoderCode(
            qkv=Until.PROJECTED,
            scores=Until.PROJECTED,
            probabilities=Until.PROJECTED,
            said=Until.PROJECTED,
            around=later("encoder", "bias_of_sequences"),
        ),
    ),
    "deberta-v2": (_OWN_TYPE, _DEBERTA),
    "deberta": (
        with_traits(_OWN_TYPE, norm_bytes=12, norm_fp32_bytes=12, norm_row_bytes=12, norm_fp32_row_bytes=8),
        replace(_DEBERTA, attend=attend_joined),
    ),
    "modernbert": (_THROUGH_FP32, _PRE_NORM),
    **dict.fromkeys(("gte", "jina_embeddings_v3"), (_OWN_TYPE, _RESIDUAL)),
    "nomic_bert": (_OWN_TYPE, replace(_RESIDUAL, types=Types.TOKENIZER)),
    "eurobert": (LLAMA, _VIT),
    **dict.fromkeys(("vit", "deit", "vit_msn", "ijepa"), (LAYER_NORM, replace(_VIT, pixels=Pixels.MODEL))),
    **dict.fromkeys(("dinov2", "dinov2_with_registers"), (_OWN_TYPE, _VIT)),
    "dinov3_vit": (
        _OWN_TYPE,
        replace(
            _VIT,
            pixels=Pixels.MODEL,
            around=later("patch_rotation", "patch_tables"),
            attend=later("patch_rotation", "attend_turned"),
        ),
    ),
    "big_bird": (
        _OWN_TYPE,
        replace(_BIG_BIRD, play=partial(later("big_bird", "play_big_bird"), code=_BIG_BIRD)),
    ),
    "bert-generation": (_OWN_TYPE, EncoderCode()),
    "swin": (
        LAYER_NORM,
        EncoderCode(
            pixels=Pixels.CALLER,
            play=later("windows", "play_swin"),
            is_playable=later("windows", "is_swin_playable"),
        ),
    ),
    "donut-swin": (
        LAYER_NORM,
        EncoderCode(
            pixels=Pixels.CALLER,
            play=later("donut", "play_donut"),
            is_playable=later("donut", "is_donut_playable"),
        ),
    ),
    "roc_bert": (
        _OWN_TYPE,
        EncoderCode(inputs=4, embed=later("spoken", "embed_spoken"), is_playable=joins_sounds_and_shapes),
    ),
    "clip_text_model": (LAYER_NORM, _CLIP_TEXT),
    "clip": (LAYER_NORM, replace(_CLIP_TEXT, tower=_TOWER)),
    **dict.fromkeys(("siglip", "siglip2"), (LAYER_NORM, replace(_VIT, tower=_TOWER))),
    **dict.fromkeys(("siglip_text_model", "siglip2_text_model"), (LAYER_NORM, _VIT)),
    "beit": (
        LAYER_NORM,
        replace(
            _VIT,
            pixels=Pixels.CALLER,
            around=later("patch_biases", "shared_bias"),
            begins=later("patch_biases", "bias_of_layer"),
        ),
    ),
    "data2vec-vision": (
        _OWN_TYPE,
        replace(
            _VIT,
            mlp_normed=Until.SAID,
            qkv=Until.SAID,
            scores=Until.SAID,
            probabilities=Until.SAID,
            projected=Until.LAYER,
            keeps_unscaled=True,
            begins=later("patch_biases", "shared_bias_again"),
            bias=later("patch_biases", "own_bias"),
        ),
    ),
}
"""Model type -> how it computes, and how long its variables keep what a layer makes."""


def is_known_encoder(architecture: Architecture, code: EncoderCode) -> bool:
    """Whether its program plays all that an architecture has."""
    return code.is_playable is None or code.is_playable(architecture)
