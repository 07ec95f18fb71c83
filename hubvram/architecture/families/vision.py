"""Vision transformers that stand alone, and pairs of a text and a vision encoder (clip, siglip).

What they have in common with the towers of larger models is in towers.py. Details from each model's `modeling_*.py`
in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families import tops
from hubvram.architecture.families.decoder import (
    LAYERS_LIMIT,
    ReadWeights,
    Traits,
    dense,
    labels_of,
    read_layers,
    usual_fields,
)
from hubvram.architecture.families.encoder import encode
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.tops import LABELS, WORDS, Top, Tops, linear, norm
from hubvram.architecture.families.towers import TOWERS, class_token, patches, positions, read_tower
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear, Norms, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import POOLER, Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config

_LARGEST_RATIO: Final = 1024.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vision:
    """One type of vision transformer."""

    layers: Traits
    around: tuple[ReadWeights, ...]
    """What makes patches and their positions."""
    tops: Tops
    extras: tuple[ReadWeights, ...] = ()
    final_norm: bool = True


def read_vision(config: ConfigDocument, architectures: tuple[str, ...], vision: Vision) -> Architecture:
    """The architecture of a vision transformer that stands alone. Raises ConfigError."""
    config = usual_fields(config, vision.layers)
    hidden_size = config.size("hidden_size")
    number = config.size("num_hidden_layers", largest=LAYERS_LIMIT)
    head, around = tops.read_top(config, tops.top_of(vision.tops, architectures), hidden_size)
    embedding = tuple(
        replace(weight, component=Component.EMBEDDING) for read in vision.around for weight in read(config)
    )
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=0,
        max_position_embeddings=None,
        tie_word_embeddings=False,
        layers=read_layers(config, number, vision.layers),
        final_norm=Norms(count=1 if vision.final_norm else 0, hidden_size=hidden_size, bias=True),
        head=head,
        extras=(*embedding, *(weight for read in vision.extras for weight in read(config)), *around),
    )


def _token(name: str) -> ReadWeights:
    """One learned token."""
    return lambda config: (vector(name, config.size("hidden_size")),)


def _mask_token_if_used(config: ConfigDocument) -> tuple[Weight, ...]:
    return _MASK(config) if config.flag("use_mask_token") else ()


_MASK: Final = _token("mask token")


def _registers(config: ConfigDocument) -> tuple[Weight, ...]:
    """Tokens of no meaning, where attention can rest (2309.16588)."""
    if not config.get(int, "num_register_tokens"):
        return ()
    return (Tensor(name="registers", shape=(config.size("num_register_tokens"), config.size("hidden_size"))),)


def _layer_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    """What attention and MLP say is weighed by a learned vector each."""
    return (Tensor(name="layer scale", shape=(config.size("hidden_size"),), count=2, component=Component.OTHER),)


def _pooler(config: ConfigDocument) -> tuple[Weight, ...]:
    hidden = config.size("hidden_size")
    return (linear(POOLER, config.size_or_none("pooler_output_size") or hidden, hidden),)


def _pixels(config: ConfigDocument) -> tuple[Weight, ...]:
    """A convolution that makes each patch's pixels again."""
    rows = config.size("encoder_stride") ** 2 * config.size("num_channels")
    return (linear("pixels", rows, config.size("hidden_size")), *_as_embedding(_MASK(config)))


def _as_embedding(weights: tuple[Weight, ...]) -> tuple[Weight, ...]:
    return tuple(replace(weight, component=Component.EMBEDDING) for weight in weights)


def _second_classifier(config: ConfigDocument) -> tuple[Weight, ...]:
    """What deit learned from its teacher has a classifier of its own."""
    return (linear("distillation classifier", labels_of(config), config.size("hidden_size")),)


_POOLED: Final[Tops] = {
    "Model": Top(others=_pooler),
    "ForImageClassification": Top(rows=LABELS),
    "ForMaskedImageModeling": Top(others=_pixels),
    "WithTeacher": Top(rows=LABELS, others=_second_classifier),
}
_BARE: Final[Tops] = {"Model": Top(), "ForImageClassification": Top(rows=LABELS)}
_DINO: Final[Tops] = {"Model": Top(), "ForImageClassification": Top(rows=LABELS, vectors=2)}

# ---------------------------------------------------------------- dinov2, dinov3


def _times_hidden(config: ConfigDocument) -> Mapping[str, Any]:
    """`mlp_ratio` times the hidden size; of a gated MLP two thirds of that, in steps of eight."""
    ratio = config.require(float, "mlp_ratio")
    if not 0 < ratio <= _LARGEST_RATIO:
        raise config.error("mlp_ratio", f"{ratio} is not between 0 and {_LARGEST_RATIO:.0f}")
    inner = int(config.size("hidden_size") * ratio)
    return {"intermediate_size": (int(inner * 2 / 3) + 7) // 8 * 8 if config.flag("use_swiglu_ffn") else inner}


def _gated_if(config: ConfigDocument, traits: Traits, index: int, *, key: str) -> DenseMLP:
    gated = config.flag(key)
    return replace(dense(config, traits, index), gated=gated)


def _k_bias(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return replace(encode(config, traits, index, None), k_bias=config.flag("key_bias"))


# ---------------------------------------------------------------- beit


def _beit_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    own = _distances(config) if config.flag("use_relative_position_bias") else ()
    return replace(encode(config, traits, index, None), k_bias=False, others=own)


def _distances(config: ConfigDocument) -> tuple[Weight, ...]:
    """A bias for each offset between two patches, and for what involves the class token."""
    side = config.size("image_size") // config.size("patch_size")
    shape = ((2 * side - 1) ** 2 + 3, config.size("num_attention_heads"))
    return (Tensor(name="relative positions", shape=shape, component=Component.ATTENTION),)


def _shared_distances(config: ConfigDocument) -> tuple[Weight, ...]:
    return _distances(config) if config.flag("use_shared_relative_position_bias") else ()


def _positions_if_absolute(config: ConfigDocument) -> tuple[Weight, ...]:
    return positions(config, more=1) if config.flag("use_absolute_position_embeddings") else ()


def _beit_norm(config: ConfigDocument) -> tuple[Weight, ...]:
    """The last norm: in the pooler, where it takes the mean of all patches."""
    hidden = config.size("hidden_size")
    return norm(POOLER, hidden, Component.HEAD) if config.flag("use_mean_pooling") else norm("final norm", hidden)


def _last_norm(config: ConfigDocument) -> tuple[Weight, ...]:
    return norm("final norm", config.size("hidden_size"))


def _beit_scales(config: ConfigDocument, index: int) -> tuple[Weight, ...]:
    return _layer_scales(config, index) if (config.get(float, "layer_scale_init_value") or 0) > 0 else ()


# ---------------------------------------------------------------- clip, siglip


def _read_pair(config: ConfigDocument, architectures: tuple[str, ...], *, between: ReadWeights) -> Architecture:
    """A text encoder with a vision tower beside it, and what is `between`; or the tower alone, below a classifier."""
    vision = inner_config(config, "vision_config")
    stack = read_tower(vision)
    if stack is None:
        raise config.error("vision_config", f"{vision.model_type!r} is no type of tower that is known")
    model_type = config.model_type or config.require(str, "model_type")
    if any(name.endswith("ForImageClassification") for name in architectures):
        width = stack.hidden_size
        return Architecture(
            model_type=model_type,
            hidden_size=width,
            vocab_size=0,
            max_position_embeddings=None,
            tie_word_embeddings=False,
            layers=(),
            final_norm=Norms(count=0, hidden_size=width),
            head=Linear(name="head", out_features=labels_of(config), in_features=width, bias=True),
            stacks=(stack,),
        )
    text = _read_text(inner_config(config, "text_config"), ())
    return replace(text, model_type=model_type, stacks=(stack,), extras=(*text.extras, *between(config)))


def _read_text(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """The text encoder of such a pair."""
    hidden_size = config.size("hidden_size")
    number = config.size("num_hidden_layers", largest=LAYERS_LIMIT)
    positions = config.size("max_position_embeddings")
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=positions,
        tie_word_embeddings=False,
        layers=read_layers(config, number, _VIT),
        final_norm=Norms(count=1, hidden_size=hidden_size, bias=True),
        head=None,
        learned_positions=positions,
        extras=_projections(config, architectures),
    )


def _projections(config: ConfigDocument, architectures: tuple[str, ...]) -> tuple[Weight, ...]:
    """What makes the last token's vector the text's: siglip has it in the encoder, clip behind it."""
    hidden = config.size("hidden_size")
    if "siglip" in (config.model_type or ""):
        return (linear("text head", config.size_or_none("projection_size") or hidden, hidden),)
    if any(name.endswith("WithProjection") for name in architectures):
        return (_projection("text projection", config.size("projection_dim"), hidden),)
    return ()


def _projection(name: str, rows: int, columns: int) -> Linear:
    return Linear(name=name, out_features=rows, in_features=columns, component=Component.PROJECTOR)


def _clip_between(config: ConfigDocument) -> tuple[Weight, ...]:
    width = config.size("projection_dim")
    sides = (("text projection", "text_config"), ("visual projection", "vision_config"))
    return (
        *(_projection(name, width, inner_config(config, key).size("hidden_size")) for name, key in sides),
        vector("logit scale", 1, Component.OTHER),
    )


def _siglip_between(config: ConfigDocument) -> tuple[Weight, ...]:
    return vector("logit scale", 1, Component.OTHER), vector("logit bias", 1, Component.OTHER)


_SIGLIP: Final = partial(_read_pair, between=_siglip_between)
_VIT: Final = TOWERS["clip_vision_model"].traits
_QKV_BIAS: Final = replace(_VIT, qkv_bias="qkv_bias")
_AROUND: Final = (patches, class_token, partial(positions, more=1))
_DINOV2: Final = replace(
    _QKV_BIAS, values=_times_hidden, read_mlp=partial(_gated_if, key="use_swiglu_ffn"), layer_extras=_layer_scales
)
_BEIT: Final = Vision(
    layers=replace(_VIT, read_mixer=_beit_attention, layer_extras=_beit_scales),
    around=(patches, class_token, _positions_if_absolute, _mask_token_if_used),
    tops={
        "Model": Top(others=_beit_norm),
        "ForImageClassification": Top(rows=LABELS, others=_beit_norm),
        "ForMaskedImageModeling": Top(rows=WORDS, others=_last_norm),
    },
    extras=(_shared_distances,),
    final_norm=False,
)

_VISION: Final[Mapping[str, Vision]] = {
    "vit": Vision(layers=_QKV_BIAS, around=_AROUND, tops=_POOLED),
    "deit": Vision(
        layers=_QKV_BIAS,
        around=(patches, class_token, partial(positions, more=2), _token("distillation token")),
        tops=_POOLED,
    ),
    "vit_msn": Vision(layers=_QKV_BIAS, around=_AROUND, tops=_BARE),
    "ijepa": Vision(layers=_QKV_BIAS, around=(patches, positions), tops=_BARE),
    "dinov2": Vision(layers=_DINOV2, around=(*_AROUND, _mask_token_if_used), tops=_DINO),
    "dinov2_with_registers": Vision(layers=_DINOV2, around=(*_AROUND, _MASK, _registers), tops=_DINO),
    "dinov3_vit": Vision(
        layers=replace(
            _VIT,
            read_mixer=_k_bias,
            read_mlp=partial(_gated_if, key="use_gated_mlp"),
            qkv_bias="query_bias",
            o_bias="proj_bias",
            mlp_bias="mlp_bias",
            layer_extras=_layer_scales,
        ),
        around=(patches, class_token, _MASK, _registers),
        tops=_BARE,
    ),
    "beit": _BEIT,
    "data2vec-vision": _BEIT,
}

FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(read_vision, vision=vision) for model_type, vision in _VISION.items()},
    "clip": partial(_read_pair, between=_clip_between),
    "clip_text_model": _read_text,
    "siglip": _SIGLIP,
    "siglip_text_model": _read_text,
    "siglip2": _SIGLIP,
    "siglip2_text_model": _read_text,
}
