"""Vision towers for images of one size, or for tiles of it: the kin of CLIP and SigLIP.

Most make patches by a convolution, and have a learned position for each. Details from each model's `modeling_*.py`
in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.families.towers import (
    BARE,
    VIT,
    Tower,
    class_token,
    grid,
    layer_scales,
    norms,
    patch_pixels,
    patches,
    positions,
    renamed,
    sides,
    table,
    widened,
)
from hubvram.architecture.families.weights import linear, norm
from hubvram.architecture.parts import Linear, Tensor, Weight, vector
from hubvram.config.document import ConfigDocument

_CLIP: Final = Tower(
    traits=VIT,
    around=(partial(patches, bias=False), class_token, partial(positions, more=1), partial(norms, count=2)),
)

_SIGLIP_WITHOUT_HEAD: Final = Tower(traits=VIT, around=(patches, positions, norms))


def _pooling_head(config: ConfigDocument) -> tuple[Weight, ...]:
    """Attention of one learned query over all patches, and an MLP (siglip)."""
    if not config.flag("vision_use_head"):
        return ()
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    return (
        vector("probe", hidden),
        linear("head q k v", 3 * hidden, hidden),
        linear("head o", hidden, hidden),
        linear("head up", inner, hidden),
        linear("head down", hidden, inner),
        *norms(config),
    )


def _flat_patches(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, for images of any shape (siglip2)."""
    pixels, hidden = config.size("num_channels") * config.size("patch_size") ** 2, config.size("hidden_size")
    return (linear("patch embedding", hidden, pixels),)


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
        VIT,
        qkv_bias="attention_bias",
        qk_norm="use_qk_norm",
        qk_norm_all_heads=True,
        norm_bias="layer_norms",
        layer_extras=layer_scales,
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


def _llama4_adapter(config: ConfigDocument) -> tuple[Weight, ...]:
    """An MLP over shuffled pixels, which come as wide as the layers' own MLP."""
    inner, out = config.size("projector_input_dim"), config.size("projector_output_dim")
    return (
        Linear(name="adapter up", out_features=inner, in_features=config.size("intermediate_size")),
        linear("adapter down", out, out, bias=False),
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
        *norm("neck norm", out, None, count=2),
    )


def _ovis2_vocabulary(config: ConfigDocument) -> tuple[Weight, ...]:
    """A head over visual words, with a norm: all but the indicators, which only the table behind it has."""
    words = config.size("vocab_size") - config.require(int, "num_visual_indicator_tokens")
    if words <= 0:
        raise config.error("vocab_size", "it leaves no visual words beside the indicators")
    into = config.size("hidden_size") * config.size("hidden_stride") ** 2
    head = linear("head", words, into, bias=False)
    return head, *norm("head norm", words, None)


_BLIP: Final = Tower(
    traits=replace(VIT, fused_qkv=True),
    around=(patches, class_token, partial(positions, more=1), norms),
    values=lambda config: {"num_channels": 3},
)

_BLIP_2: Final = replace(_BLIP, traits=replace(_BLIP.traits, qkv_bias="qkv_bias"))


def _phi4_separators(config: ConfigDocument) -> tuple[Weight, ...]:
    """Learned features between parts of an image."""
    return (Tensor(name="separator", shape=(config.size("hidden_size"),), count=2),)


def _molmo2_around(config: ConfigDocument) -> tuple[Weight, ...]:
    """A matrix over a patch's pixels, and a position for each patch."""
    pixels = patch_pixels(config, channels=config.size("num_channels"))
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
    found = renamed(config, names)
    return found if found.get("image_size") or config.data.get("image_size") else {**found, "image_size": [378, 378]}


def _window_merger(config: ConfigDocument) -> tuple[Weight, ...]:
    """Attention within windows of patches and an MLP that makes one of each, somewhere among the layers (MiniCPM-V)."""
    hidden, inner = config.size("hidden_size"), config.size("intermediate_size")
    height, width = sides(config, "window_kernel_size")
    window = height * width
    return (
        linear("merger q k v o", hidden, hidden, count=4),
        *norms(config),
        *norm("merger norm", window * hidden, None),
        linear("merger up", window * inner, window * hidden),
        linear("merger down", hidden, window * inner),
    )


def _step3_values(config: ConfigDocument) -> dict[str, Any]:
    """Fields as the released files call them; `mlp_ratio` decides whatever they say of the width."""
    found = renamed(config, {"hidden_size": "width", "num_hidden_layers": "layers", "num_attention_heads": "heads"})
    config = replace(config, data={**config.data, **found})
    return {**found, "intermediate_size": widened(config)}


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


_SAM: Final = Tower(
    traits=replace(VIT, fused_qkv=True, qkv_bias="qkv_bias", layer_extras=_sam_positions),
    around=(_sam_around,),
    values=lambda config: {"intermediate_size": config.size("mlp_dim")},
)
_SIGLIP: Final = replace(_SIGLIP_WITHOUT_HEAD, around=(*_SIGLIP_WITHOUT_HEAD.around, _pooling_head))

_MINICPM: Final = replace(_SIGLIP, around=(patches, positions, norms, _window_merger))

TOWERS: Final[Mapping[str, Tower]] = {
    "clip_vision_model": _CLIP,
    "git_vision_model": _CLIP,
    "kosmos_2_vision_model": _CLIP,
    "llama4_vision_model": replace(_CLIP, around=(*_CLIP.around, _llama4_adapter)),
    "siglip_vision_model": _SIGLIP,
    "siglip2_vision_model": Tower(
        traits=VIT, around=(_flat_patches, partial(table, key="num_patches"), norms, _pooling_head)
    ),
    "phi4_multimodal_vision": replace(
        _SIGLIP, around=(*_SIGLIP.around, _phi4_separators), values=lambda config: {"vision_use_head": True}
    ),
    "paddleocr_vl_vision": _SIGLIP_WITHOUT_HEAD,
    "idefics2_vision": _SIGLIP_WITHOUT_HEAD,
    "idefics3_vision": _SIGLIP_WITHOUT_HEAD,
    "smolvlm_vision": _SIGLIP_WITHOUT_HEAD,
    "granite_docling_vision": _SIGLIP_WITHOUT_HEAD,
    "minicpmv4_6_vision": _MINICPM,
    "minicpmv4_7_vision": _MINICPM,
    "minicpm_ocr_vision": _MINICPM,
    "sam_vision_model": _SAM,
    "got_ocr2_vision": _SAM,
    "pp_chart2table_vision": _SAM,
    "ovis2_vision": Tower(
        traits=replace(BARE, qkv_bias="qkv_bias", o_bias="qkv_bias", mlp_bias="mlp_bias"),
        around=(patches, positions, partial(norms, count=2, bias=False), _ovis2_vocabulary),
    ),
    "blip_vision_model": _BLIP,
    "blip_2_vision_model": _BLIP_2,
    "instructblip_vision_model": _BLIP_2,
    "instructblipvideo_vision_model": _BLIP_2,
    "internvl_vision": _INTERNVL,
    "qianfan_ocr_vision": _INTERNVL,
    "intern_vit_6b": _INTERN_VIT,
    "mllama_vision_model": Tower(
        traits=replace(VIT, qkv_bias=False, o_bias=False, layer_extras=_mllama_gates),
        around=(_mllama_around,),
        depth=("num_hidden_layers", "num_global_layers"),
    ),
    "molmo2_vision": Tower(
        traits=replace(VIT, qkv_bias="attention_bias", o_bias="attention_bias"),
        around=(_molmo2_around,),
        values=_molmo2_values,
    ),
    "step3p5_vision": Tower(
        traits=replace(VIT, layer_extras=layer_scales), around=(_step3_around,), values=_step3_values
    ),
}
