"""Vision towers for images of any shape, and for films: Qwen-VL's, GLM-V's, Kimi's, Gemma 4's and others.

Positions rotate, or are learned along both sides. Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.families.decoder import Traits, both_ways, dense
from hubvram.architecture.families.fields import changed, ratio
from hubvram.architecture.families.towers import (
    BARE,
    VIT,
    Tower,
    hidden_size_from,
    layer_scales,
    norms,
    patch_pixels,
    patches,
    positions,
    renamed,
    sides,
    swiglu_width,
    table,
    widened,
)
from hubvram.architecture.families.weights import linear, norm
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block, Part, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_qwen_patches: Final = partial(patches, channels="in_channels", time="temporal_patch_size")

_QWEN2_VL: Final = Tower(
    traits=replace(VIT, fused_qkv=True),
    around=(partial(_qwen_patches, bias=False),),
    # hidden_size is here what the merger makes.
    values=lambda config: {
        "hidden_size": config.size("embed_dim"),
        "intermediate_size": int(config.size("embed_dim") * ratio(config, "mlp_ratio")),
    },
)

_QWEN2_5_VL: Final = Tower(
    traits=replace(VIT, fused_qkv=True, gated=True, norm_bias=False),
    around=(partial(_qwen_patches, bias=False),),
)

_QWEN3_VL: Final = Tower(
    traits=replace(VIT, fused_qkv=True),
    around=(_qwen_patches, partial(table, key="num_position_embeddings")),
)


def _downsample(config: ConfigDocument) -> tuple[Weight, ...]:
    """A convolution that makes one token of a square of them (glm4v)."""
    side, out = config.size("spatial_merge_size"), config.size("out_hidden_size")
    return (
        Tensor(name="downsample", shape=(out, config.size("hidden_size"), side, side)),
        vector("downsample bias", out),
    )


_GLM4V: Final = Tower(
    traits=replace(BARE, fused_qkv=True, qkv_bias="attention_bias"),
    around=(_qwen_patches, positions, partial(norms, count=2, bias=False), _downsample),
    values=lambda config: {"intermediate_size": config.size("out_hidden_size")},
)


def _gemma4_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, and learned positions along both sides."""
    hidden = config.size("hidden_size")
    return (
        linear("patch embedding", hidden, patch_pixels(config, channels=3), bias=False),
        Tensor(name="positions", shape=(2, config.size("position_embedding_size"), hidden)),
    )


def _gemma4_unified_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Nothing but a matrix over a few patches' pixels, positions along both sides, and norms."""
    width, side = config.size("mm_embed_dim"), config.size("patch_size") * config.size("pooling_kernel_size")
    return (
        *norm("norm", 3 * side * side, None),
        linear("patch embedding", width, 3 * side * side),
        Tensor(name="positions", shape=(config.size("mm_posemb_size"), 2, width)),
        *norm("norm", width, None, count=2),
    )


_KIMI_NAMES: Final = {
    "hidden_size": "vt_hidden_size",
    "intermediate_size": "vt_intermediate_size",
    "num_attention_heads": "vt_num_attention_heads",
    "num_hidden_layers": "vt_num_hidden_layers",
    "pos_emb_height": "init_pos_emb_height",
    "pos_emb_width": "init_pos_emb_width",
}
"""Usual field -> its name in the files that came with code of their own."""


def _kimi_values(config: ConfigDocument) -> dict[str, Any]:
    return {"num_channels": 3, **renamed(config, _KIMI_NAMES)}


def _kimi_around(config: ConfigDocument) -> tuple[Weight, ...]:
    shape = (config.size("pos_emb_height"), config.size("pos_emb_width"), config.size("hidden_size"))
    return *patches(config), Tensor(name="positions", shape=shape), *norms(config)


def _ernie_around(config: ConfigDocument) -> tuple[Weight, ...]:
    pixels = patch_pixels(config, channels=config.size("in_channels"))
    return linear("patch embedding", config.size("hidden_size"), pixels, bias=False), *norms(config)


def _radio_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """As wide as `mlp_ratio` says; two thirds of that where it is gated."""
    inner, gated = widened(config), config.flag("use_swiglu_ffn")
    config = changed(config, intermediate_size=swiglu_width(inner) if gated else inner)
    return dense(config, replace(traits, gated=gated), index)


def _radio_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Matrices over the pixels of a patch in one frame and in several; positions, class tokens and registers."""
    hidden, frames = config.size("hidden_size"), config.size_or_none("video_temporal_patch_size")
    pixels = patch_pixels(config, channels=config.size("num_channels"))
    side = config.size("max_img_size") // sides(config, "patch_size")[0]
    tokens = config.size("num_cls_tokens") + (config.get(int, "num_registers") or 0)
    return (
        linear("patch embedding", hidden, pixels, bias=False),
        *((linear("video patch embedding", hidden, frames * pixels, bias=False),) if frames else ()),
        Tensor(name="positions", shape=(side * side, hidden)),
        Tensor(name="class tokens and registers", shape=(max(tokens, 0), hidden)),
    )


def _lfm3_mixer(config: ConfigDocument, traits: Traits, index: int, window: Window) -> Part:
    """Attention, or a gated convolution over neighbouring patches."""
    kinds = config.strings("layer_types")  # as many as there are layers: read_layers saw to that
    is_conv = kinds[index] == "conv" if kinds else index < 2 or index % 2 == 1
    if not is_conv:
        return both_ways(config, traits, index, None)
    hidden, side = config.size("hidden_size"), config.size("conv_kernel_size")
    return Block(
        kind="patch_convolution",
        component=Component.VISION,
        weights=(linear("in", 3 * hidden, hidden, bias=False), linear("out", hidden, hidden, bias=False)),
        others=(Tensor(name="convolution", shape=(hidden, 1, side, side)),),
    )


def _lfm3_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels in a few frames, and a norm."""
    pixels = patch_pixels(config, channels=config.size("in_channels")) * config.size("temporal_patch_size")
    return linear("patch embedding", config.size("hidden_size"), pixels, bias=False), *norms(config, bias=False)


def _inkling2_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, positions, a class token with its own; two matrices behind the layers."""
    hidden, bias = config.size("hidden_size"), config.flag("projector_bias")
    inner, merged = config.size("projection_hidden_dim"), hidden * config.size("spatial_merge_size") ** 2
    return (
        linear("patch embedding", hidden, patch_pixels(config, channels=config.size("num_channels")), bias=False),
        Tensor(name="positions", shape=(config.size("posemb_grid_size") ** 2, hidden)),
        Tensor(name="class token", shape=(hidden,), count=2),
        *norms(config),
        linear("up", inner, merged, bias=bias),
        linear("down", config.size("text_hidden_size"), inner, bias=bias),
    )


def _inkling2_values(config: ConfigDocument) -> dict[str, Any]:
    return {"intermediate_size": config.size_or_none("intermediate_size") or widened(config)}


def _pix2struct_values(config: ConfigDocument) -> dict[str, Any]:
    """T5's names for what is around the layers' widths."""
    return {
        "head_dim": config.size("d_kv"),
        "intermediate_size": config.size("d_ff"),
        "hidden_act": config.require(str, "dense_act_fn"),
    }


def _pix2struct_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, positions of rows and columns, a norm."""
    hidden, place = config.size("hidden_size"), Component.EMBEDDING
    return (
        linear("patch embedding", hidden, config.size("patch_embed_hidden_size"), component=place),
        Tensor(name="rows and columns", shape=(config.size("seq_len"), hidden), count=2, component=place),
        vector("norm", hidden, Component.NORM),
    )


TOWERS: Final[Mapping[str, Tower]] = {
    "pixtral": Tower(traits=BARE, around=(partial(patches, bias=False), partial(norms, bias=False))),
    "video_llama_3_vision": Tower(traits=VIT, around=(patches, norms)),
    "qwen2_vl_vision": _QWEN2_VL,
    "qwen2_5_vl_vision": _QWEN2_5_VL,
    "exaone4_5_vision": _QWEN2_5_VL,
    "qwen2_5_omni_vision_encoder": _QWEN2_5_VL,
    "qwen3_vl_vision": _QWEN3_VL,
    "qwen3_omni_moe_vision_encoder": _QWEN3_VL,
    "qwen3_vl_moe_vision": _QWEN3_VL,
    "qwen3_5_vision": _QWEN3_VL,
    "qwen3_5_moe_vision": _QWEN3_VL,
    "glm4v_vision": _GLM4V,
    "glm4v_moe_vision": _GLM4V,
    "glm_ocr_vision": Tower(
        traits=replace(_GLM4V.traits, o_bias="attention_bias", mlp_bias="attention_bias", qk_norm=True),
        around=(_qwen_patches, partial(norms, bias=False), _downsample),
    ),
    "gemma4_vision": Tower(
        traits=replace(BARE, qk_norm=True, norms_per_layer=4, activation="hidden_activation"),
        around=(_gemma4_around,),
    ),
    "gemma4_unified_vision": Tower(
        traits=VIT, around=(_gemma4_unified_around,), depth=(), values=hidden_size_from("mm_embed_dim")
    ),
    "kimi_k25_vision": Tower(traits=replace(VIT, fused_qkv=True), around=(_kimi_around,), values=_kimi_values),
    "ernie4_5_vl_moe_vision": Tower(traits=replace(VIT, fused_qkv=True), around=(_ernie_around,)),
    "radio": Tower(
        traits=replace(VIT, read_mlp=_radio_mlp, qkv_bias="qkv_bias", layer_extras=layer_scales),
        around=(_radio_around,),
    ),
    "lfm3_vl_vision": Tower(
        traits=replace(BARE, read_mixer=_lfm3_mixer, qk_norm=True, kinds=("conv",)),
        around=(_lfm3_around,),
        values=lambda config: {"hidden_act": "silu"},
    ),
    "minimax_m3_vl_vision": Tower(traits=VIT, around=(partial(patches, bias=False, time="temporal_patch_size"), norms)),
    "inkling2_vision": Tower(
        traits=replace(VIT, layer_extras=layer_scales), around=(_inkling2_around,), values=_inkling2_values
    ),
    "pix2struct_vision_model": Tower(traits=BARE, around=(_pix2struct_around,), values=_pix2struct_values),
}
