"""Further towers: those of Gemma 4, Kimi K2.5, Phi-4, Molmo 2, MiniCPM-V, Nemotron and of a few that hear.

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.families.decoder import ReadValues, Traits, attention, dense
from hubvram.architecture.families.towers import TOWERS as _USUAL
from hubvram.architecture.families.towers import Tower, norms, patches, positions, ratio, sides, table
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Block, Linear, Part, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

_VIT: Final = _USUAL["clip_vision_model"].traits
_BARE: Final = _USUAL["pixtral"].traits
_SIGLIP: Final = _USUAL["siglip_vision_model"]


def linear(name: str, out_features: int, in_features: int, *, bias: bool = True, count: int = 1) -> Linear:
    return Linear(name=name, out_features=out_features, in_features=in_features, bias=bias, count=count)


def _pixels(config: ConfigDocument, *, channels: int) -> int:
    height, width = sides(config, "patch_size")
    return channels * height * width


def _renamed(config: ConfigDocument, names: Mapping[str, str]) -> dict[str, Any]:
    """Usual field -> the value that older files have under another name."""
    return {usual: config.data[name] for usual, name in names.items() if config.data.get(name) is not None}


def _gemma4_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, and learned positions along both sides."""
    hidden = config.size("hidden_size")
    return (
        linear("patch embedding", hidden, _pixels(config, channels=3), bias=False),
        Tensor(name="positions", shape=(2, config.size("position_embedding_size"), hidden)),
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
    return {"num_channels": 3, **_renamed(config, _KIMI_NAMES)}


def _kimi_around(config: ConfigDocument) -> tuple[Weight, ...]:
    shape = (config.size("pos_emb_height"), config.size("pos_emb_width"), config.size("hidden_size"))
    return *patches(config), Tensor(name="positions", shape=shape), *norms(config)


def _phi4_separators(config: ConfigDocument) -> tuple[Weight, ...]:
    """Learned features between parts of an image."""
    return (Tensor(name="separator", shape=(config.size("hidden_size"),), count=2),)


def _ernie_around(config: ConfigDocument) -> tuple[Weight, ...]:
    pixels = _pixels(config, channels=config.size("in_channels"))
    return linear("patch embedding", config.size("hidden_size"), pixels, bias=False), *norms(config)


def _molmo2_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, and a position for each patch."""
    pixels = _pixels(config, channels=config.size("num_channels"))
    return (
        linear("patch embedding", config.size("hidden_size"), pixels),
        *(table(config, key="num_position_embeddings") if _has_positions(config) else positions(config)),
    )


def _has_positions(config: ConfigDocument) -> bool:
    return config.size_or_none("num_position_embeddings") is not None


def _molmo2_values(config: ConfigDocument) -> dict[str, Any]:
    """Fields as the released files call them, and the image's size where they leave it out."""
    names = {
        "image_size": "image_default_input_size",
        "patch_size": "image_patch_size",
        "num_position_embeddings": "image_num_pos",
    }
    found = _renamed(config, names)
    return found if found.get("image_size") or config.data.get("image_size") else {**found, "image_size": [378, 378]}


def _window_merger(config: ConfigDocument) -> tuple[Weight, ...]:
    """Attention within windows of patches and an MLP that makes one of each, somewhere among the layers (MiniCPM-V)."""
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    height, width = sides(config, "window_kernel_size")
    window = height * width
    return (
        linear("merger q k v o", hidden, hidden, count=4),
        *norms(config),
        vector("merger norm", window * hidden),
        vector("merger norm bias", window * hidden),
        linear("merger up", window * inner, window * hidden),
        linear("merger down", hidden, window * inner),
    )


def _radio_mlp(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """As wide as `mlp_ratio` says; two thirds of that where it is gated."""
    inner = int(config.size("hidden_size") * ratio(config, "mlp_ratio"))
    gated = config.flag("use_swiglu_ffn")
    if gated:
        inner = (inner * 2 // 3 + 7) // 8 * 8
    values = replace(config, data={**config.data, "intermediate_size": inner})
    return dense(values, replace(traits, gated=gated), index)


def _radio_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Matrices over the pixels of a patch in one frame and in several; positions, class tokens and registers."""
    hidden, frames = config.size("hidden_size"), config.size_or_none("video_temporal_patch_size")
    pixels = _pixels(config, channels=config.size("num_channels"))
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
        return attention(config, traits, index, None, make=BidirectionalAttention)
    hidden, side = config.size("hidden_size"), config.size("conv_kernel_size")
    return Block(
        kind="patch_convolution",
        component=Component.VISION,
        weights=(linear("in", 3 * hidden, hidden, bias=False), linear("out", hidden, hidden, bias=False)),
        others=(Tensor(name="convolution", shape=(hidden, 1, side, side)),),
    )


def _lfm3_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels in a few frames, and a norm."""
    pixels = _pixels(config, channels=config.size("in_channels")) * config.size("temporal_patch_size")
    return linear("patch embedding", config.size("hidden_size"), pixels, bias=False), *norms(config, bias=False)


def _step3_values(config: ConfigDocument) -> dict[str, Any]:
    """Fields as the released files call them; `mlp_ratio` decides whatever they say of the width."""
    found = _renamed(config, {"hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads"})
    config = replace(config, data={**config.data, **found})
    return {**found, "intermediate_size": int(config.size("hidden_size") * ratio(config, "mlp_ratio"))}


def _step3_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two convolutions behind the layers, each of which halves both sides and doubles the width."""
    hidden = config.size("hidden_size")
    return (
        *patches(config, bias=False),
        *positions(config),
        *norms(config),
        Tensor(name="downsample", shape=(2 * hidden, hidden, 3, 3)),
        vector("downsample bias", 2 * hidden),
        Tensor(name="downsample again", shape=(4 * hidden, 2 * hidden, 3, 3)),
        vector("downsample again bias", 4 * hidden),
    )


def _inkling2_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, positions, a class token with its own; two matrices behind the layers."""
    hidden, bias = config.size("hidden_size"), config.flag("projector_bias")
    inner, merged = config.size("projection_hidden_dim"), hidden * config.size("spatial_merge_size") ** 2
    return (
        linear("patch embedding", hidden, _pixels(config, channels=config.size("num_channels")), bias=False),
        Tensor(name="positions", shape=(config.size("posemb_grid_size") ** 2, hidden)),
        Tensor(name="class token", shape=(hidden,), count=2),
        *norms(config),
        linear("up", inner, merged, bias=bias),
        linear("down", config.size("text_hidden_size"), inner, bias=bias),
    )


def _inkling2_values(config: ConfigDocument) -> dict[str, Any]:
    inner = config.size_or_none("intermediate_size")
    return {"intermediate_size": inner or int(config.size("hidden_size") * ratio(config, "mlp_ratio"))}


def _gemma4_unified_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Nothing but a matrix over a few patches' pixels, positions along both sides, and norms."""
    width, side = config.size("mm_embed_dim"), config.size("patch_size") * config.size("pooling_kernel_size")
    return (
        *(vector(name, 3 * side * side) for name in ("norm", "norm bias")),
        linear("patch embedding", width, 3 * side * side),
        Tensor(name="positions", shape=(config.size("mm_posemb_size"), 2, width)),
        *(Tensor(name=name, shape=(width,), count=2) for name in ("norm", "norm bias")),
    )


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
        replace(linear("patch embedding", hidden, config.size("patch_embed_hidden_size")), component=place),
        Tensor(name="rows and columns", shape=(config.size("seq_len"), hidden), count=2, component=place),
        vector("norm", hidden, Component.NORM),
    )


def width_in(key: str) -> ReadValues:
    """The usual field for the width of a tower whose config says it under another name."""
    return lambda config: {"hidden_size": config.size(key)}


def _layer_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    return (Tensor(name="layer scale", shape=(config.size("hidden_size"),), count=2),)


_MINICPM: Final = replace(_SIGLIP, around=(patches, positions, norms, _window_merger))

TOWERS: Final[Mapping[str, Tower]] = {
    "gemma4_vision": Tower(
        traits=replace(_BARE, qk_norm=True, norms_per_layer=4, activation="hidden_activation"),
        around=(_gemma4_around,),
    ),
    "kimi_k25_vision": Tower(traits=replace(_VIT, fused_qkv=True), around=(_kimi_around,), values=_kimi_values),
    "phi4_multimodal_vision": replace(
        _SIGLIP, around=(*_SIGLIP.around, _phi4_separators), values=lambda config: {"vision_use_head": True}
    ),
    "ernie4_5_vl_moe_vision": Tower(traits=replace(_VIT, fused_qkv=True), around=(_ernie_around,)),
    "molmo2_vision": Tower(
        traits=replace(_VIT, qkv_bias="attention_bias", o_bias="attention_bias"),
        around=(_molmo2_around,),
        values=_molmo2_values,
    ),
    "minicpmv4_6_vision": _MINICPM,
    "minicpmv4_7_vision": _MINICPM,
    "minicpm_ocr_vision": _MINICPM,
    "radio": Tower(
        traits=replace(_VIT, read_mlp=_radio_mlp, qkv_bias="qkv_bias", layer_extras=_layer_scales),
        around=(_radio_around,),
    ),
    "lfm3_vl_vision": Tower(
        traits=replace(_BARE, read_mixer=_lfm3_mixer, qk_norm=True, kinds=("conv",)),
        around=(_lfm3_around,),
        values=lambda config: {"hidden_act": "silu"},
    ),
    "minimax_m3_vl_vision": Tower(
        traits=_VIT, around=(partial(patches, bias=False, time="temporal_patch_size"), norms)
    ),
    "step3p5_vision": Tower(
        traits=replace(_VIT, layer_extras=_layer_scales), around=(_step3_around,), values=_step3_values
    ),
    "inkling2_vision": Tower(
        traits=replace(_VIT, layer_extras=_layer_scales), around=(_inkling2_around,), values=_inkling2_values
    ),
    "gemma4_unified_vision": Tower(
        traits=_VIT, around=(_gemma4_unified_around,), depth=(), values=width_in("mm_embed_dim")
    ),
    "granite_docling_vision": _USUAL["idefics3_vision"],
    "git_vision_model": _USUAL["clip_vision_model"],
    "pix2struct_vision_model": Tower(traits=_BARE, around=(_pix2struct_around,), values=_pix2struct_values),
    "sam_vision_model": _USUAL["got_ocr2_vision"],
    "pp_chart2table_vision": _USUAL["got_ocr2_vision"],
}
