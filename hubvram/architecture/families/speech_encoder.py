"""Speech encoders: convolutions over the waveform, then layers that see everything (wav2vec2 and its kin).

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families import encoder_tops as tops
from hubvram.architecture.families.decoder import ReadWeights, Switch, Traits, both_ways, read_layers, switch
from hubvram.architecture.families.encoder_tops import LABELS, WORDS, Top, Tops, linear
from hubvram.architecture.families.fields import LAYERS_LIMIT, number_of_layers
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.towers import VIT
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture, Convolution, Waveform
from hubvram.architecture.parts import Block, Linear, Norms, Part, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """One type of speech encoder."""

    layers: Traits
    tops: Tops
    positions: ReadWeights
    projection_norm: Switch = True
    """Whether a norm stands before the matrix that leads from the convolutions to the layers."""
    all_normed: bool = False
    """Whether each convolution has a norm, whatever `feat_extract_norm` says."""


def read_speech(config: ConfigDocument, architectures: tuple[str, ...], speech: Speech) -> Architecture:
    """The architecture of a speech encoder. Raises ConfigError."""
    hidden_size = config.size("hidden_size")
    number = number_of_layers(config)
    adapts = config.flag("add_adapter")
    out = (config.size_or_none("output_hidden_size") if adapts else None) or hidden_size
    head, around = tops.read_top(config, tops.top_of(speech.tops, architectures), out)
    every = speech.all_normed or config.get(str, "feat_extract_norm") == "layer"
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=0,
        max_position_embeddings=None,
        tie_word_embeddings=False,
        layers=read_layers(config, number, replace(speech.layers, pre_norm=config.flag("do_stable_layer_norm"))),
        final_norm=Norms(count=1, hidden_size=hidden_size, bias=True),
        head=head,
        head_reads_all=tops.reads_all(architectures),
        waveform=replace(
            _waveform(config, architectures, every=every), adapter=_adapting(config, out) if adapts else ()
        ),
        extras=(
            *_convolutions(config, every=every),
            *_frames(config, normed=switch(config, speech.projection_norm)),
            *speech.positions(config),
            *(_adapter(config, hidden_size, out) if adapts else ()),
            *around,
        ),
    )


def _convolutions(config: ConfigDocument, *, every: bool) -> tuple[Weight, ...]:
    """What makes frames of the waveform; a norm behind the first of them, or behind every one."""
    widths, kernels = _sizes(config, "conv_dim"), _sizes(config, "conv_kernel")
    for key in ("conv_kernel", "conv_stride"):
        if len(widths) != (number := len(_sizes(config, key))):
            raise config.error("conv_dim", f"it has {len(widths)} convolutions, {key} {number}")
    found: list[Weight] = []
    for index, (inputs, width, kernel) in enumerate(zip((1, *widths), widths, kernels, strict=False)):
        found.append(_embedding("convolution", width, inputs, kernel))
        if config.flag("conv_bias"):
            found.append(_embedding("convolution bias", width))
        if every or index == 0:
            found += norm("convolution norm", width)
    return tuple(found)


def _waveform(config: ConfigDocument, architectures: tuple[str, ...], *, every: bool) -> Waveform:
    """What the convolutions hear."""
    keys = ("conv_dim", "conv_kernel", "conv_stride")
    convolutions = (Convolution(*sizes) for sizes in zip(*(_sizes(config, key) for key in keys), strict=False))
    is_labelled = any(name.endswith("Classification") for name in architectures[:1])
    return Waveform(convolutions=tuple(convolutions), all_normed=every, is_labelled=is_labelled)


def _sizes(config: ConfigDocument, key: str) -> tuple[int, ...]:
    """One size for each convolution."""
    sizes = config.integers(key)
    if not sizes or not all(0 < size <= _LARGEST for size in sizes):
        raise config.error(key, f"expected sizes from 1 to {_LARGEST:,}, found {list(sizes)[:4]}")
    return sizes


_LARGEST: Final = 2**20


def _embedding(name: str, *shape: int) -> Tensor:
    return Tensor(name=name, shape=shape, component=Component.EMBEDDING)


def _frames(config: ConfigDocument, *, normed: bool) -> tuple[Weight, ...]:
    """From the convolutions to the layers; frames can be masked in training by a learned one."""
    hidden, width = config.size("hidden_size"), _sizes(config, "conv_dim")[-1]
    projection = Linear(
        name="projection", out_features=hidden, in_features=width, bias=True, component=Component.EMBEDDING
    )
    masks = any((config.get(float, key) or 0) > 0 for key in ("mask_time_prob", "mask_feature_prob"))
    return (
        *(norm("frame norm", width) if normed else ()),
        projection,
        *((_embedding("mask", hidden),) if masks else ()),
    )


def _position_convolution(config: ConfigDocument) -> tuple[Weight, ...]:
    """Positions by a convolution over a hundred frames, its weight as direction and length."""
    hidden, kernel = config.size("hidden_size"), config.size("num_conv_pos_embeddings")
    shape = (hidden, hidden // config.size("num_conv_pos_embedding_groups"), kernel)
    beside = norm("position norm", hidden) if config.flag("conv_pos_batch_norm") else (_embedding("length", kernel),)
    return _embedding("positions", *shape), _embedding("positions bias", hidden), *beside


def _position_convolutions(config: ConfigDocument) -> tuple[Weight, ...]:
    """The same by a few smaller ones (data2vec-audio)."""
    hidden, kernel = config.size("hidden_size"), config.size("conv_pos_kernel_size")
    count = config.size("num_conv_pos_embeddings", largest=LAYERS_LIMIT)
    shape = (hidden, hidden // config.size("num_conv_pos_embedding_groups"), kernel)
    shapes = (("positions", shape), ("positions bias", (hidden,)))
    return tuple(Tensor(name=name, shape=each, count=count, component=Component.EMBEDDING) for name, each in shapes)


def _adapter(config: ConfigDocument, hidden_size: int, out: int) -> tuple[Weight, ...]:
    """Convolutions behind the layers that make the sequence shorter, and a projection where it gets another width."""
    count, kernel, part = config.size("num_adapter_layers"), config.size("adapter_kernel_size"), Component.PROJECTOR
    projection: tuple[Weight, ...] = ()
    if out != hidden_size:
        matrix = Linear(name="projection", out_features=out, in_features=hidden_size, bias=True, component=part)
        projection = (matrix, *norm("projection norm", out, part))
    return (
        *projection,
        Tensor(name="adapter", shape=(2 * out, out, kernel), count=count, component=part),
        Tensor(name="adapter bias", shape=(2 * out,), count=count, component=part),
    )


def _adapting(config: ConfigDocument, out: int) -> tuple[Convolution, ...]:
    """Each makes twice the width, half of which is a gate."""
    one = Convolution(2 * out, config.size("adapter_kernel_size"), config.size("adapter_stride"))
    return (one,) * config.size("num_adapter_layers")


def _language_adapter(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    """A small MLP for the language, in each layer (MMS)."""
    inner, hidden = config.size_or_none("adapter_attn_dim"), config.size("hidden_size")
    if inner is None or not config.flag("do_stable_layer_norm"):
        return ()
    up = Linear(name="down", out_features=inner, in_features=hidden, bias=True)
    down = Linear(name="up", out_features=hidden, in_features=inner, bias=True)
    others = norm("adapter norm", hidden)
    return (Block(kind="language_adapter", component=Component.MLP, weights=(up, down), others=others),)


def _gated_positions(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Attention with a bias for each distance, which a gate weighs (WavLM, 2110.13900)."""
    whole, heads = both_ways(config, traits, index, None), config.size("num_attention_heads")
    own: list[Weight] = [
        vector("gate", heads),
        Linear(name="gates", out_features=8, in_features=whole.head_dim, bias=True),
    ]
    if index == 0:
        own.append(Tensor(name="relative positions", shape=(config.size("num_buckets"), heads)))
    return replace(whole, others=tuple(own))


def _layer_weights(config: ConfigDocument) -> tuple[Weight, ...]:
    """How much each layer's hidden states count."""
    if not config.flag("use_weighted_layer_sum"):
        return ()
    return (vector("layer weights", number_of_layers(config) + 1, Component.HEAD),)


def _quantizer(config: ConfigDocument) -> tuple[Weight, ...]:
    """What wav2vec2 was pretrained to tell apart."""
    groups, each = config.size("num_codevector_groups"), config.size("num_codevectors_per_group")
    width, shared = config.size("codevector_dim"), config.size("proj_codevector_dim")
    return (
        Tensor(name="codevectors", shape=(groups * each, width // groups), component=Component.HEAD),
        linear("quantizer", groups * each, _sizes(config, "conv_dim")[-1]),
        linear("hidden projection", shared, config.size("hidden_size")),
        linear("code projection", shared, width),
    )


_LAYERS: Final = replace(VIT, read_others=_language_adapter)
_TOPS: Final[Tops] = {
    "Model": Top(),
    "ForCTC": Top(rows=WORDS),
    "ForSequenceClassification": Top(
        rows=LABELS,
        dense=True,
        width="classifier_proj_size",
        dense_component=Component.PROJECTOR,
        others=_layer_weights,
    ),
    "ForAudioFrameClassification": Top(rows=LABELS, others=_layer_weights),
    "ForPreTraining": Top(others=_quantizer),
}
_WAV2VEC2: Final = Speech(layers=_LAYERS, tops=_TOPS, positions=_position_convolution)

FAMILIES: Final[Mapping[str, Read]] = {
    model_type: partial(read_speech, speech=speech)
    for model_type, speech in {
        "wav2vec2": _WAV2VEC2,
        "hubert": replace(_WAV2VEC2, projection_norm="feat_proj_layer_norm"),
        "wavlm": replace(_WAV2VEC2, layers=replace(_LAYERS, read_mixer=_gated_positions)),
        "data2vec-audio": replace(_WAV2VEC2, positions=_position_convolutions, all_normed=True),
        "unispeech": _WAV2VEC2,
        "unispeech-sat": _WAV2VEC2,
    }.items()
}
