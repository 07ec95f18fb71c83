"""Audio towers: whisper's encoder and its kin, and conformers (2005.08100).

Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention
from hubvram.architecture.families.decoder import Traits, attention, both_ways, dense
from hubvram.architecture.families.fields import LAYERS_LIMIT
from hubvram.architecture.families.towers import BARE, VIT, Tower, hidden_size_from, norms, table
from hubvram.architecture.families.weights import linear
from hubvram.architecture.parts import Block, Linear, Part, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

# ------------------------------------------------------------------------------------------ whisper


def _without_k_bias(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return replace(both_ways(config, traits, index, window), k_bias=False)


def _whisper_convolutions(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two convolutions over three frames of the spectrogram."""
    hidden, mels = config.size("hidden_size"), config.size("num_mel_bins")
    return (
        Tensor(name="conv1", shape=(hidden, mels, 3)),
        Tensor(name="conv2", shape=(hidden, hidden, 3)),
        Tensor(name="conv bias", shape=(hidden,), count=2),
    )


_WHISPER: Final = Tower(
    traits=replace(VIT, read_mixer=_without_k_bias, activation="activation_function"),
    around=(_whisper_convolutions, partial(table, key="max_source_positions"), norms),
    component=Component.AUDIO,
)


def _omni_end(config: ConfigDocument) -> tuple[Weight, ...]:
    """Two tokens around what is heard, and a matrix (qwen2_5_omni)."""
    hidden, out = config.size("hidden_size"), config.size("output_dim")
    matrix = linear("projection", out, hidden)
    return Tensor(name="begin and end", shape=(2, out)), matrix


def _halving_convolutions(config: ConfigDocument) -> tuple[Weight, ...]:
    """Three convolutions, each of which halves time and frequency, and a matrix over what is left."""
    hidden, channels = config.size("hidden_size"), config.size("downsample_hidden_size")
    left = -(-config.size("num_mel_bins") // 8)
    return (
        Tensor(name="conv1", shape=(channels, 1, 3, 3)),
        Tensor(name="conv2 and conv3", shape=(channels, channels, 3, 3), count=2),
        Tensor(name="conv bias", shape=(channels,), count=3),
        linear("conv out", hidden, channels * left, bias=False),
    )


def _omni_moe_end(config: ConfigDocument) -> tuple[Weight, ...]:
    """An MLP behind the layers (qwen3_omni_moe)."""
    hidden, out = config.size("hidden_size"), config.size("output_dim")
    return (
        linear("up", hidden, hidden),
        linear("down", out, hidden),
    )


def _voxtral_mixer(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Over a window of what was heard so far."""
    return replace(attention(config, traits, index, window), k_bias=False)


# --------------------------------------------------------------------------------------- conformers


def _convolution(*weights: Linear, others: tuple[Weight, ...]) -> Block:
    """The convolution in a conformer's layer (2005.08100), with the matrices around it."""
    return Block(kind="conformer_convolution", component=Component.AUDIO, weights=weights, others=others)


def _gemma4_audio_attention(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    """Attention within a chunk, to distances too, with a learned scale for each feature of a head."""
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    distances = linear("distances", hidden // heads * heads, hidden, bias=False)
    mixer = both_ways(config, traits, index, None)
    return replace(mixer, others=(distances, vector("scale", hidden // heads)))


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
    mixer = both_ways(config, traits, index, None)
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
    mixer = both_ways(config, traits, index, None)
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
        VIT,
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


# ---------------------------------------------------------------------------------------- the table


TOWERS: Final[Mapping[str, Tower]] = {
    "qwen2_audio_encoder": _WHISPER,
    "moss_transcribe_diarize_audio": _WHISPER,
    "voxtral_encoder": _WHISPER,
    "audioflamingo3_encoder": _WHISPER,
    "glmasr_encoder": replace(
        _WHISPER, traits=replace(_WHISPER.traits, activation="hidden_act"), around=(_whisper_convolutions, norms)
    ),
    "qwen2_5_omni_audio_encoder": replace(_WHISPER, around=(_whisper_convolutions, norms, _omni_end)),
    "qwen3_omni_moe_audio_encoder": replace(
        _WHISPER,
        traits=replace(VIT, activation="activation_function"),
        around=(_halving_convolutions, norms, _omni_moe_end),
    ),
    "qwen3_asr_encoder": replace(
        _WHISPER, traits=replace(VIT, activation="activation_function"), around=(_halving_convolutions, norms)
    ),
    "voxtral_realtime_encoder": Tower(
        traits=replace(
            BARE,
            read_mixer=_voxtral_mixer,
            windows=patterns.wherever_set,
            qkv_bias=True,
            o_bias=True,
            mlp_extras=lambda config: (vector("down bias", config.size("hidden_size")),),
        ),
        around=(_whisper_convolutions, partial(norms, bias=False)),
        component=Component.AUDIO,
    ),
    "gemma4_audio": Tower(
        traits=replace(
            BARE,
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
            VIT, read_others=_phi4_audio_others, norms_per_layer=5, gated=True, fused_mlp=True, activation="activation"
        ),
        around=(_phi4_audio_around,),
        depth=("num_blocks",),
        component=Component.AUDIO,
    ),
    "gemma4_unified_audio": Tower(
        traits=VIT, depth=(), values=hidden_size_from("audio_embed_dim"), component=Component.AUDIO
    ),
    "parakeet_encoder": Tower(
        traits=replace(
            VIT,
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
