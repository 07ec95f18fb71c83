"""Further towers: those of Gemma 4, Kimi K2.5, Phi-4, Molmo 2, MiniCPM-V, Nemotron and of a few that hear.

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import BidirectionalAttention, FullAttention
from hubvram.architecture.families.decoder import LAYERS_LIMIT, ReadValues, Traits, attention, dense
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


def _bidirectional(config: ConfigDocument, traits: Traits, index: int, *others: Weight) -> FullAttention:
    return replace(attention(config, traits, index, None, make=BidirectionalAttention), others=others)


def _pixels(config: ConfigDocument, *, channels: int) -> int:
    height, width = sides(config, "patch_size")
    return channels * height * width


def _renamed(config: ConfigDocument, names: Mapping[str, str]) -> dict[str, Any]:
    """Usual field -> the value that older files have under another name."""
    return {usual: config.data[name] for usual, name in names.items() if config.data.get(name) is not None}


# -------------------------------------------------------------------------------------------- vision


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


def _width_in(key: str) -> ReadValues:
    """The usual field for the width of a tower whose config says it under another name."""
    return lambda config: {"hidden_size": config.size(key)}


def _layer_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    return (Tensor(name="layer scale", shape=(config.size("hidden_size"),), count=2),)


# --------------------------------------------------------------------------------------------- audio


def _convolution(*weights: Linear, others: tuple[Weight, ...]) -> Block:
    """The convolution in a conformer's layer (2005.08100), with the matrices around it."""
    return Block(kind="conformer_convolution", component=Component.AUDIO, weights=weights, others=others)


def _gemma4_audio_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Attention within a chunk, to distances too, with a learned scale for each feature of a head."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    distances = linear("distances", hidden // heads * heads, hidden, bias=False)
    return _bidirectional(config, traits, index, distances, vector("scale", hidden // heads))


def _gemma4_audio_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A second MLP, and a convolution over a few frames."""
    hidden = config.size("hidden_size")
    frames = Tensor(name="convolution", shape=(hidden, 1, config.size("conv_kernel_size")))
    matrices = (linear("start", 2 * hidden, hidden, bias=False), linear("end", hidden, hidden, bias=False))
    return dense(config, traits, index), _convolution(*matrices, others=(frames,))


def _gemma4_audio_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two convolutions, each of which halves time and frequency, a matrix, and one behind the layers."""
    hidden, channels = config.size("hidden_size"), config.integers("subsampling_conv_channels")
    if len(channels) != 2 or not all(0 < width <= LAYERS_LIMIT for width in channels):
        raise config.error("subsampling_conv_channels", f"expected two sizes, found {list(channels)[:4]}")
    first, second = channels
    return (
        Tensor(name="conv1", shape=(first, 1, 3, 3)),
        vector("norm1", first),
        Tensor(name="conv2", shape=(second, first, 3, 3)),
        vector("norm2", second),
        linear("frame embedding", hidden, first // 4 * second, bias=False),
        linear("end", config.size("output_proj_dims"), hidden),
    )


def _phi4_audio_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A second MLP, and a gated convolution."""
    hidden, inner = config.size("hidden_size"), config.size("ext_pw_out_channel")
    channels, out = hidden * config.size("depthwise_multiplier"), config.size("depthwise_separable_out_channel")
    return dense(config, traits, index), _convolution(
        linear("start", 2 * inner, hidden),
        linear("middle", out, channels),
        linear("end", inner, hidden),
        others=(
            Tensor(name="gate bias", shape=(inner,), count=2),
            Tensor(name="convolution", shape=(channels, 1, config.size("kernel_size"))),
            vector("convolution bias", channels),
        ),
    )


def _separable_convolutions(channels: int, side: int, number: int) -> tuple[Weight, ...]:
    """Convolutions over time and frequency, all but the first of them in two steps."""
    further = max(number - 1, 0)
    return (
        Tensor(name="convolution", shape=(channels, 1, side, side), count=1 + further),
        Tensor(name="pointwise convolution", shape=(channels, channels, 1, 1), count=further),
        Tensor(name="convolution bias", shape=(channels,), count=1 + 2 * further),
    )


def _phi4_audio_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Convolutions that each halve time and frequency, a matrix, and a bias for each distance."""
    hidden, channels = config.size("hidden_size"), config.size("nemo_conv_channels")
    halvings = config.size("time_reduction", largest=LAYERS_LIMIT).bit_length() - 1
    bins = config.size("input_size")
    for _ in range(halvings):
        bins = (bins - 1) // 2 + 1
    buckets = config.size("bias_max_distance") * (1 if config.flag("bias_symmetric") else 2)
    return (
        *_separable_convolutions(channels, 3, halvings),
        linear("frame embedding", hidden, channels * bins),
        Tensor(name="distances", shape=(buckets, config.size("num_attention_heads"))),
    )


def _parakeet_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Attention to distances too, with a bias for each feature of the query (Transformer-XL's)."""
    mixer = attention(config, traits, index, None, make=BidirectionalAttention)
    distances = linear("distances", mixer.q_size, mixer.hidden_size, bias=False)
    return replace(mixer, others=(distances, Tensor(name="query bias", shape=(mixer.q_size,), count=2)))


def _parakeet_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A second MLP, and a gated convolution with the statistics of a batch."""
    hidden, bias = config.size("hidden_size"), config.flag("convolution_bias")
    return dense(config, traits, index), _convolution(
        linear("start", 2 * hidden, hidden, bias=bias),
        linear("end", hidden, hidden, bias=bias),
        others=(
            Tensor(name="convolution", shape=(hidden, 1, config.size("conv_kernel_size"))),
            Tensor(name="batch norm", shape=(hidden,), count=2),
            *((vector("convolution bias", hidden),) if bias else ()),
        ),
    )


def _parakeet_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Convolutions that make frames fewer, and a matrix over the frequencies that are left."""
    channels, steps = config.size("subsampling_conv_channels"), config.size("subsampling_factor").bit_length() - 1
    left = config.size("num_mel_bins") // config.size("subsampling_conv_stride", largest=LAYERS_LIMIT) ** steps
    return (
        *_separable_convolutions(channels, config.size("subsampling_conv_kernel_size"), steps),
        linear("frame embedding", config.size("hidden_size"), channels * left),
    )


def _granite_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Attention within a block, with a learned vector for each distance."""
    mixer = attention(config, traits, index, None, make=BidirectionalAttention)
    distances = Tensor(name="distances", shape=(2 * config.size("max_pos_emb") + 1, mixer.head_dim))
    return replace(mixer, others=(distances,))


def _granite_others(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A second MLP, and a gated convolution with the statistics of a batch."""
    hidden = config.size("hidden_size")
    inner = hidden * config.size("conv_expansion_factor")
    return dense(config, traits, index), _convolution(
        linear("start", 2 * inner, hidden),
        linear("end", hidden, inner),
        others=(
            Tensor(name="convolution", shape=(inner, 1, config.size("conv_kernel_size"))),
            vector("batch norm", inner),
            vector("batch norm bias", inner),
        ),
    )


def _granite_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix before the layers, and two in the middle of them: to characters, and back."""
    hidden, characters = config.size("hidden_size"), config.size("output_dim")
    return (
        linear("frame embedding", hidden, config.size("num_mel_bins")),
        linear("characters", characters, hidden),
        linear("characters back", hidden, characters),
    )


_GRANITE_SPEECH: Final = Tower(
    traits=replace(
        _VIT,
        read_mixer=_granite_attention,
        read_others=_granite_others,
        qkv_bias=False,
        norms_per_layer=5,
    ),
    around=(_granite_around,),
    values=lambda config: {
        "intermediate_size": config.size("hidden_size") * config.size("feedforward_mult"),
        "hidden_act": "silu",
        "head_dim": config.size_or_none("dim_head"),
    },
    component=Component.AUDIO,
)


def _voxtral_mixer(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Over a window of what was heard so far."""
    return replace(attention(config, traits, index, window), k_bias=False)


def _frame_convolutions(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two convolutions over three frames of the spectrogram."""
    hidden = config.size("hidden_size")
    return (
        Tensor(name="conv1", shape=(hidden, config.size("num_mel_bins"), 3)),
        Tensor(name="conv2", shape=(hidden, hidden, 3)),
        Tensor(name="conv bias", shape=(hidden,), count=2),
        *norms(config, bias=False),
    )


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
    "gemma4_audio": Tower(
        traits=replace(
            _BARE,
            read_mixer=_gemma4_audio_attention,
            read_others=_gemma4_audio_others,
            norms_per_layer=9,
            gated=False,
        ),
        around=(_gemma4_audio_around,),
        values=lambda config: {"intermediate_size": 4 * config.size("hidden_size")},
        component=Component.AUDIO,
    ),
    "phi4_multimodal_audio": Tower(
        traits=replace(
            _VIT, read_others=_phi4_audio_others, norms_per_layer=5, gated=True, fused_mlp=True, activation="activation"
        ),
        around=(_phi4_audio_around,),
        depth=("num_blocks",),
        component=Component.AUDIO,
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
        traits=_VIT, around=(_gemma4_unified_around,), depth=(), values=_width_in("mm_embed_dim")
    ),
    "gemma4_unified_audio": Tower(
        traits=_VIT, depth=(), values=_width_in("audio_embed_dim"), component=Component.AUDIO
    ),
    "git_vision_model": _USUAL["clip_vision_model"],
    "pix2struct_vision_model": Tower(traits=_BARE, around=(_pix2struct_around,), values=_pix2struct_values),
    "sam_vision_model": _USUAL["got_ocr2_vision"],
    "pp_chart2table_vision": _USUAL["got_ocr2_vision"],
    "voxtral_realtime_encoder": Tower(
        traits=replace(
            _BARE,
            read_mixer=_voxtral_mixer,
            windows=patterns.wherever_set,
            qkv_bias=True,
            o_bias=True,
            mlp_extras=lambda config: (vector("down bias", config.size("hidden_size")),),
        ),
        around=(_frame_convolutions,),
        component=Component.AUDIO,
    ),
    "parakeet_encoder": Tower(
        traits=replace(
            _VIT,
            read_mixer=_parakeet_attention,
            read_others=_parakeet_others,
            qkv_bias="attention_bias",
            o_bias="attention_bias",
            mlp_bias="attention_bias",
            norms_per_layer=5,
        ),
        around=(_parakeet_around,),
        component=Component.AUDIO,
    ),
    "granite_speech_encoder": _GRANITE_SPEECH,
    "granite_speech_plus_encoder": _GRANITE_SPEECH,
}
