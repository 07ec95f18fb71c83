"""Vision transformers that stand alone: vit, dinov2, beit and others.

What they share with the towers of larger models is in towers.py. Details from each model's `modeling_*.py`
in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families import encoder_tops as tops
from hubvram.architecture.families.decoder import ReadWeights, Traits, both_ways, dense, read_layers, usual_fields
from hubvram.architecture.families.encoder_tops import LABELS, WORDS, Top, Tops, linear
from hubvram.architecture.families.fields import labels_of, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.towers import (
    VIT,
    class_token,
    grid,
    layer_scales,
    patches,
    positions,
    sides,
    swiglu_width,
    widened,
)
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture, Image
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Norms, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import POOLER, Component
from hubvram.config.document import ConfigDocument


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
    number = number_of_layers(config)
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
        head_reads_all=tops.reads_all(architectures),
        image=_image(config, embedding),
        extras=(*embedding, *(weight for read in vision.extras for weight in read(config)), *around),
    )


def _image(config: ConfigDocument, embedding: tuple[Weight, ...]) -> Image:
    """Its tokens are those of its patches, and the learned ones that are put before them."""
    height, width = sides(config, "image_size")
    before = {"class token": 1, "distillation token": 1}
    learned = sum(before.get(it.name, it.shape[0] if it.name == "registers" else 0) for it in embedding)
    return Image(channels=config.size("num_channels"), height=height, width=width, tokens=grid(config) + learned)


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
    return tuple(replace(scale, component=Component.OTHER) for scale in layer_scales(config, index))


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


def _times_hidden(config: ConfigDocument) -> Mapping[str, Any]:
    """`mlp_ratio` times the hidden size; of a gated MLP two thirds of that, in steps of eight."""
    inner = widened(config)
    return {"intermediate_size": swiglu_width(inner) if config.flag("use_swiglu_ffn") else inner}


def _gated_if(config: ConfigDocument, traits: Traits, index: int, *, key: str) -> DenseMLP:
    return replace(dense(config, traits, index), gated=config.flag(key))


def _k_bias(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return replace(both_ways(config, traits, index, None), k_bias=config.flag("key_bias"))


def _beit_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    own = _distances(config) if config.flag("use_relative_position_bias") else ()
    return replace(both_ways(config, traits, index, None), k_bias=False, others=own)


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


_QKV_BIAS: Final = replace(VIT, qkv_bias="qkv_bias")

_AROUND: Final = (patches, class_token, partial(positions, more=1))

_DINOV2: Final = replace(
    _QKV_BIAS, values=_times_hidden, read_mlp=partial(_gated_if, key="use_swiglu_ffn"), layer_extras=_layer_scales
)

_BEIT: Final = Vision(
    layers=replace(VIT, read_mixer=_beit_attention, layer_extras=_beit_scales),
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
            VIT,
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
    model_type: partial(read_vision, vision=vision) for model_type, vision in _VISION.items()
}
