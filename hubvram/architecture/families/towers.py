"""Vision and audio towers: what stands beside a text model, by the type of the tower's own config.

A tower is layers of attention both ways and an MLP, read as a decoder's are, and what is around them: patches,
positions, norms. All of it counts as vision or audio. Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention, FullAttention
from hubvram.architecture.families.decoder import (
    LAYERS_LIMIT,
    ReadValues,
    ReadWeights,
    Traits,
    attention,
    dense,
    read_layers,
)
from hubvram.architecture.layers import Stack
from hubvram.architecture.parts import Linear, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """One type of tower."""

    traits: Traits
    around: tuple[ReadWeights, ...] = ()
    """What stands around the layers."""
    values: ReadValues | None = None
    """What usual fields are, whatever the file says under their name."""
    depth: tuple[str, ...] = ("num_hidden_layers",)
    """The config fields that add up to the number of layers."""
    component: Component = Component.VISION


def read_tower(config: ConfigDocument, towers: Mapping[str, Tower] | None = None) -> Stack | None:
    """The tower that a config describes; None for a type that nobody reads. Raises ConfigError."""
    tower = (TOWERS if towers is None else towers).get(config.model_type or "")
    if tower is None:
        return None
    if tower.values is not None:
        config = replace(config, data={**config.data, **tower.values(config)})
    number = sum(config.size(key, largest=LAYERS_LIMIT) for key in tower.depth)
    return Stack(
        name=tower.component.value,
        hidden_size=config.size("hidden_size"),
        layers=read_layers(config, number, tower.traits),
        extras=tuple(weight for read in tower.around for weight in read(config)),
        component=tower.component,
        model_type=config.model_type,
    )


def sides(config: ConfigDocument, key: str) -> tuple[int, int]:
    """Height and width, where the field has both or one number for both."""
    values = config.one_or_more(key)
    if len(values) not in (1, 2) or not all(0 < value <= _LARGEST_SIDE for value in values):
        raise config.error(key, f"expected one or two sizes from 1 to {_LARGEST_SIDE:,}, found {list(values)[:4]}")
    return values[0], values[-1]


_LARGEST_SIDE: Final = 2**20


def ratio(config: ConfigDocument, key: str) -> float:
    """How many times wider something is, where the field says that."""
    value = config.require(float, key)
    if not 0 < value <= _LARGEST_SIDE:
        raise config.error(key, f"{value} is not between 0 and {_LARGEST_SIDE:,}")
    return value


def grid(config: ConfigDocument) -> int:
    """How many patches an image has."""
    (height, width), (patch_height, patch_width) = sides(config, "image_size"), sides(config, "patch_size")
    return (height // patch_height) * (width // patch_width)


def patches(
    config: ConfigDocument, *, bias: bool = True, channels: str = "num_channels", time: str | None = None
) -> tuple[Weight, ...]:
    """The convolution that makes a token of a patch, or of the same patch in `time` frames."""
    hidden = config.size("hidden_size")
    frames = (config.size(time),) if time else ()
    shape = (hidden, config.size(channels), *frames, *sides(config, "patch_size"))
    return Tensor(name="patch embedding", shape=shape), *((vector("patch embedding bias", hidden),) if bias else ())


def positions(config: ConfigDocument, *, more: int = 0) -> tuple[Weight, ...]:
    """A learned position for each patch, and for `more` tokens beside them."""
    return (Tensor(name="positions", shape=(grid(config) + more, config.size("hidden_size"))),)


def table(config: ConfigDocument, *, key: str) -> tuple[Weight, ...]:
    """As many learned positions as a field says."""
    return (Tensor(name="positions", shape=(config.size(key), config.size("hidden_size"))),)


def class_token(config: ConfigDocument) -> tuple[Weight, ...]:
    return (vector("class token", config.size("hidden_size")),)


def norms(config: ConfigDocument, *, count: int = 1, bias: bool = True) -> tuple[Weight, ...]:
    """Norms before or behind the layers."""
    kinds = ("norm", "norm bias") if bias else ("norm",)
    return tuple(Tensor(name=name, shape=(config.size("hidden_size"),), count=count) for name in kinds)


def _both_ways(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return attention(config, traits, index, None, make=BidirectionalAttention)


def _without_k_bias(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return replace(_both_ways(config, traits, index, window), k_bias=False)


_VIT: Final = Traits(
    read_mlp=dense,
    read_mixer=_both_ways,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    norm_bias=True,
    gated=False,
    uneven_heads=True,
)
"""Pre-norm layers with biases everywhere, as ViT has them."""

_BARE: Final = replace(_VIT, qkv_bias=False, o_bias=False, mlp_bias=False, norm_bias=False, gated=True)
"""A llama's layers, both ways."""

_CLIP: Final = Tower(
    traits=_VIT,
    around=(partial(patches, bias=False), class_token, partial(positions, more=1), partial(norms, count=2)),
)
_SIGLIP_WITHOUT_HEAD: Final = Tower(traits=_VIT, around=(patches, positions, norms))


def _pooling_head(config: ConfigDocument) -> tuple[Weight, ...]:
    """Attention of one learned query over all patches, and an MLP (siglip)."""
    if not config.flag("vision_use_head"):
        return ()
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    return (
        vector("probe", hidden),
        Linear(name="head q k v", out_features=3 * hidden, in_features=hidden, bias=True),
        Linear(name="head o", out_features=hidden, in_features=hidden, bias=True),
        Linear(name="head up", out_features=inner, in_features=hidden, bias=True),
        Linear(name="head down", out_features=hidden, in_features=inner, bias=True),
        *norms(config),
    )


def _flat_patches(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, for images of any shape (siglip2)."""
    pixels, hidden = config.size("num_channels") * config.size("patch_size") ** 2, config.size("hidden_size")
    return (Linear(name="patch embedding", out_features=hidden, in_features=pixels, bias=True),)


def _layer_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What attention and MLP say is weighed by a learned vector each (InternViT)."""
    return (Tensor(name="layer scale", shape=(config.size("hidden_size"),), count=2),)


def _internvl_around(config: ConfigDocument) -> tuple[Weight, ...]:
    return (
        *patches(config),
        *class_token(config),
        *(positions(config, more=1) if config.flag("use_absolute_position_embeddings") else ()),
        *((vector("mask token", config.size("hidden_size")),) if config.flag("use_mask_token") else ()),
        *(() if config.flag("use_mean_pooling") else norms(config)),
    )


_INTERNVL: Final = Tower(
    traits=replace(
        _VIT,
        qkv_bias="attention_bias",
        qk_norm="use_qk_norm",
        qk_norm_all_heads=True,
        norm_bias="layer_norms",
        layer_extras=_layer_scales,
    ),
    around=(_internvl_around,),
    values=lambda config: {"layer_norms": config.get(str, "norm_type") != "rms_norm"},
)
_INTERN_VIT: Final = Tower(
    traits=replace(_INTERNVL.traits, qkv_bias="qkv_bias", qk_norm="qk_normalization"),
    around=(patches, class_token, partial(positions, more=1)),
    # What the class of OpenGVLab's own files has where the config leaves a field out.
    values=lambda config: {
        "layer_norms": config.get(str, "norm_type") == "layer_norm",
        "num_channels": config.size_or_none("num_channels") or 3,
    },
)

_qwen_patches: Final = partial(patches, channels="in_channels", time="temporal_patch_size")

_QWEN2_VL: Final = Tower(
    traits=replace(_VIT, fused_qkv=True),
    around=(partial(_qwen_patches, bias=False),),
    # hidden_size is here what the merger makes.
    values=lambda config: {
        "hidden_size": config.size("embed_dim"),
        "intermediate_size": int(config.size("embed_dim") * ratio(config, "mlp_ratio")),
    },
)
_QWEN2_5_VL: Final = Tower(
    traits=replace(_VIT, fused_qkv=True, gated=True, norm_bias=False),
    around=(partial(_qwen_patches, bias=False),),
)
_QWEN3_VL: Final = Tower(
    traits=replace(_VIT, fused_qkv=True),
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
    traits=replace(_BARE, fused_qkv=True, qkv_bias="attention_bias"),
    around=(_qwen_patches, positions, partial(norms, count=2, bias=False), _downsample),
    values=lambda config: {"intermediate_size": config.size("out_hidden_size")},
)


def _llama4_adapter(config: ConfigDocument) -> tuple[Weight, ...]:
    """An MLP over shuffled pixels, which come as wide as the layers' own MLP."""
    inner, out = config.size("projector_input_dim"), config.size("projector_output_dim")
    return (
        Linear(name="adapter up", out_features=inner, in_features=config.size("intermediate_size")),
        Linear(name="adapter down", out_features=out, in_features=out),
    )


def _mllama_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Patches, and positions of patches and tiles; the latter are learned for each way to arrange the tiles."""
    hidden, tiles, rows = config.size("hidden_size"), config.size("max_num_tiles"), grid(config) + 1
    ratios = config.get(list, "supported_aspect_ratios")
    arrangements = 1 + (_MLLAMA_ARRANGEMENTS if ratios is None else len(ratios))
    return (
        *patches(config, bias=False),
        *class_token(config),
        *positions(config, more=1),
        Tensor(name="tile positions", shape=(arrangements, tiles * rows * hidden)),
        Tensor(name="tiles", shape=(arrangements, tiles * hidden), count=2),
        Tensor(name="gate", shape=(1,), count=3),
        *norms(config, count=2),
    )


_MLLAMA_ARRANGEMENTS: Final = 8  # MllamaVisionConfig.__post_init__


def _mllama_gates(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """The global layers, which stand last, weigh what their attention and MLP say."""
    is_global = index >= config.size("num_hidden_layers")
    return (Tensor(name="gate", shape=(1,), count=2),) if is_global else ()


def _whisper_convolutions(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two convolutions over three frames of the spectrogram."""
    hidden, mels = config.size("hidden_size"), config.size("num_mel_bins")
    return (
        Tensor(name="conv1", shape=(hidden, mels, 3)),
        Tensor(name="conv2", shape=(hidden, hidden, 3)),
        Tensor(name="conv bias", shape=(hidden,), count=2),
    )


def _sam_positions(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """Relative positions along both sides of what a layer looks at: a window, or all patches (SAM)."""
    if not config.flag("use_rel_pos"):
        return ()
    head_dim = config.size("hidden_size") // config.size("num_attention_heads")
    (height, width), (patch_height, patch_width) = sides(config, "image_size"), sides(config, "patch_size")
    seen = (height // patch_height, width // patch_width)
    if index not in config.integers("global_attn_indexes"):
        seen = (config.size("window_size"),) * 2
    names = ("relative rows", "relative columns")
    return tuple(
        Tensor(name=name, shape=(2 * side - 1, head_dim)) for name, side in zip(names, seen, strict=True) if side
    )


def _sam_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """Patches, positions, and two convolutions behind the layers."""
    hidden, out = config.size("hidden_size"), config.size("output_channels")
    return (
        *patches(config),
        *(positions(config) if config.flag("use_abs_pos") else ()),
        Tensor(name="neck conv1", shape=(out, hidden, 1, 1)),
        Tensor(name="neck conv2", shape=(out, out, 3, 3)),
        Tensor(name="neck norm", shape=(out,), count=2),
        Tensor(name="neck norm bias", shape=(out,), count=2),
    )


def _ovis2_vocabulary(config: ConfigDocument) -> tuple[Weight, ...]:
    """A head over visual words, with a norm: all but the indicators, which only the table behind it has."""
    words = config.size("vocab_size") - config.require(int, "num_visual_indicator_tokens")
    if words <= 0:
        raise config.error("vocab_size", "it leaves no visual words beside the indicators")
    into = config.size("hidden_size") * config.size("hidden_stride") ** 2
    head = Linear(name="head", out_features=words, in_features=into)
    return head, vector("head norm", words), vector("head norm bias", words)


_BLIP: Final = Tower(
    traits=replace(_VIT, fused_qkv=True),
    around=(patches, class_token, partial(positions, more=1), norms),
    values=lambda config: {"num_channels": 3},
)
_BLIP_2: Final = replace(_BLIP, traits=replace(_BLIP.traits, qkv_bias="qkv_bias"))


def _omni_end(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two tokens around what is heard, and a matrix (qwen2_5_omni)."""
    hidden, out = config.size("hidden_size"), config.size("output_dim")
    matrix = Linear(name="projection", out_features=out, in_features=hidden, bias=True)
    return Tensor(name="begin and end", shape=(2, out)), matrix


def _halving_convolutions(config: ConfigDocument) -> tuple[Weight, ...]:
    """Three convolutions, each of which halves time and frequency, and a matrix over what is left."""
    hidden, channels = config.size("hidden_size"), config.size("downsample_hidden_size")
    left = -(-config.size("num_mel_bins") // 8)
    return (
        Tensor(name="conv1", shape=(channels, 1, 3, 3)),
        Tensor(name="conv2 and conv3", shape=(channels, channels, 3, 3), count=2),
        Tensor(name="conv bias", shape=(channels,), count=3),
        Linear(name="conv out", out_features=hidden, in_features=channels * left),
    )


def _omni_moe_end(config: ConfigDocument) -> tuple[Weight, ...]:
    """An MLP behind the layers (qwen3_omni_moe)."""
    hidden, out = config.size("hidden_size"), config.size("output_dim")
    return (
        Linear(name="up", out_features=hidden, in_features=hidden, bias=True),
        Linear(name="down", out_features=out, in_features=hidden, bias=True),
    )


_WHISPER: Final = Tower(
    traits=replace(_VIT, read_mixer=_without_k_bias, activation="activation_function"),
    around=(_whisper_convolutions, partial(table, key="max_source_positions"), norms),
    component=Component.AUDIO,
)

TOWERS: Final[Mapping[str, Tower]] = {
    "clip_vision_model": _CLIP,
    "siglip_vision_model": replace(_SIGLIP_WITHOUT_HEAD, around=(patches, positions, norms, _pooling_head)),
    "siglip2_vision_model": Tower(
        traits=_VIT, around=(_flat_patches, partial(table, key="num_patches"), norms, _pooling_head)
    ),
    "paddleocr_vl_vision": _SIGLIP_WITHOUT_HEAD,
    "video_llama_3_vision": Tower(traits=_VIT, around=(patches, norms)),
    "idefics2_vision": _SIGLIP_WITHOUT_HEAD,
    "idefics3_vision": _SIGLIP_WITHOUT_HEAD,
    "smolvlm_vision": _SIGLIP_WITHOUT_HEAD,
    "pixtral": Tower(traits=_BARE, around=(partial(patches, bias=False), partial(norms, bias=False))),
    "got_ocr2_vision": Tower(
        traits=replace(_VIT, fused_qkv=True, qkv_bias="qkv_bias", layer_extras=_sam_positions),
        around=(_sam_around,),
        values=lambda config: {"intermediate_size": config.size("mlp_dim")},
    ),
    "ovis2_vision": Tower(
        traits=replace(_BARE, qkv_bias="qkv_bias", o_bias="qkv_bias", mlp_bias="mlp_bias"),
        around=(patches, positions, partial(norms, count=2, bias=False), _ovis2_vocabulary),
    ),
    "blip_vision_model": _BLIP,
    "blip_2_vision_model": _BLIP_2,
    "instructblip_vision_model": _BLIP_2,
    "instructblipvideo_vision_model": _BLIP_2,
    "kosmos_2_vision_model": _CLIP,
    "internvl_vision": _INTERNVL,
    "qianfan_ocr_vision": _INTERNVL,
    "intern_vit_6b": _INTERN_VIT,
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
    "llama4_vision_model": replace(_CLIP, around=(*_CLIP.around, _llama4_adapter)),
    "mllama_vision_model": Tower(
        traits=replace(_VIT, qkv_bias=False, o_bias=False, layer_extras=_mllama_gates),
        around=(_mllama_around,),
        depth=("num_hidden_layers", "num_global_layers"),
    ),
    "qwen2_audio_encoder": _WHISPER,
    "qwen2_5_omni_audio_encoder": replace(_WHISPER, around=(_whisper_convolutions, norms, _omni_end)),
    "qwen3_omni_moe_audio_encoder": replace(
        _WHISPER,
        traits=replace(_VIT, activation="activation_function"),
        around=(_halving_convolutions, norms, _omni_moe_end),
    ),
    "qwen3_asr_encoder": replace(
        _WHISPER, traits=replace(_VIT, activation="activation_function"), around=(_halving_convolutions, norms)
    ),
    "moss_transcribe_diarize_audio": _WHISPER,
    "voxtral_encoder": _WHISPER,
    "audioflamingo3_encoder": _WHISPER,
    "glmasr_encoder": replace(
        _WHISPER, traits=replace(_WHISPER.traits, activation="hidden_act"), around=(_whisper_convolutions, norms)
    ),
}
