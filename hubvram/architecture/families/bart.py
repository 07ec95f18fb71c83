"""Encoder-decoders of bart's shape: an encoder beside the decoder, which attends to it; and moonshine.

A model type of bart's shape is one line in the table. Details from each model's `modeling_*.py` in transformers 5.23.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.attention_in_blocks import SparseBidirectionalAttention
from hubvram.architecture.families.decoder import (
    Switch,
    Traits,
    attention,
    both_ways,
    cross_attention,
    dense,
    read_layers,
    rotary_dim_of,
    switch,
)
from hubvram.architecture.families.fields import LAYERS_LIMIT, number_of_layers, sparse_blocks
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.seq2seq import Around, Name, Side, assemble, block_of, blockwise
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture, Convolution, Layer, Waveform
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Linear, Norms, Part, Tensor, Weight, vector
from hubvram.architecture.patterns import Window
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

ReadExtras = Callable[[ConfigDocument, Name], tuple[Weight, ...]]

ReadMLP = Callable[[ConfigDocument, Name, int], Part]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bart:
    """In what a model type differs from bart."""

    layers: str = "{}_layers"
    heads: str = "{}_attention_heads"
    width: str = "{}_ffn_dim"
    """Names of the fields, with a gap for the side."""
    vocab_sizes: tuple[str, str] = ("vocab_size", "vocab_size")
    """Fields of the encoder's and the decoder's vocabulary."""
    shares_embedding: Switch = True
    positions: tuple[str, str] = ("max_position_embeddings", "max_position_embeddings")
    """Fields that say how many positions the encoder and the decoder know."""
    position_offset: int = 2
    """Rows of their embeddings beyond the positions."""
    learned: Switch = True
    """Whether positions have weights; else the code computes them, though some files store them."""
    embedding_norm: Switch = True
    pre_norm: bool = False
    """Whether norms stand before attention and MLP, and another behind the last layer."""
    attention_bias: Switch = True
    k_bias: bool | None = None
    encoder_block: Callable[[ConfigDocument], str | None] = lambda config: None
    """What the encoder's attention is, where it is neither plain nor over a window."""
    encoder_window: Callable[[ConfigDocument, int], int | None] = lambda config, index: None
    """How many tokens that attention looks at in a layer, where it is not plain."""
    staggered: Switch = False
    """Whether its blocks begin in the middle of the others' in every second layer."""
    decoder_block: str | None = None
    encoder_weights: Callable[[int], tuple[Weight, ...]] | None = None
    """Further weights of the encoder's attention, by hidden_size."""
    decoder_weights: Callable[[ConfigDocument], tuple[Weight, ...]] | None = None
    encoder_norms: int = 2
    """Norms in a layer of the encoder."""
    cross: Switch = True
    """Whether the decoder attends to an encoder."""
    source_positions: str | None = None
    """The field that says how many positions the encoder always says something for."""
    cross_width: str | None = None
    """The field that says how wide the encoder is, where it may differ."""
    read_mlp: ReadMLP | None = None
    extras: ReadExtras | None = None


def _read_bart(config: ConfigDocument, architectures: tuple[str, ...], traits: Bart) -> Architecture:
    """A model of bart's shape. Raises ConfigError."""
    learned = switch(config, traits.learned)
    around = Around(
        tied=config.flag("tie_word_embeddings"),
        shares_embedding=switch(config, traits.shares_embedding),
        computed=() if learned else ("embed_positions.weight",),
    )
    return assemble(config, architectures, partial(_bart_side, config, traits), around)


def _bart_side(config: ConfigDocument, traits: Bart, name: Name) -> Side:
    hidden_size = config.size("hidden_size")
    number = config.size(traits.layers.format(name), largest=LAYERS_LIMIT)
    encodes = name == "encoder"
    vocabulary = traits.vocab_sizes[0 if encodes or switch(config, traits.shares_embedding) else 1]
    rows = config.size(traits.positions[0 if encodes else 1])
    before = norm("embedding norm", hidden_size) if switch(config, traits.embedding_norm) else ()
    read_layer = _encoder_layer if encodes else _decoder_layer
    return Side(
        hidden_size=hidden_size,
        vocab_size=_vocab_size(config, vocabulary) if vocabulary else 0,
        layers=tuple(read_layer(config, traits, index) for index in range(number)),
        final_norm=Norms(count=int(traits.pre_norm), hidden_size=hidden_size, bias=True),
        learned_positions=rows + traits.position_offset if switch(config, traits.learned) else 0,
        max_position_embeddings=rows,
        extras=(*before, *(traits.extras(config, name) if traits.extras else ())),
        source_tokens=config.size(traits.source_positions) if traits.source_positions else None,
    )


def _vocab_size(config: ConfigDocument, field: str) -> int:
    """A vocabulary; the decoder's own may be null, for the encoder's (marian)."""
    return config.size_or_none(field) or config.size("vocab_size")


def _encoder_layer(config: ConfigDocument, traits: Bart, index: int) -> Layer:
    mixer = BidirectionalAttention(
        **_attention(config, traits, "encoder"),
        sliding_window=traits.encoder_window(config, index),
        others=traits.encoder_weights(config.size("hidden_size")) if traits.encoder_weights else (),
    )
    kind = traits.encoder_block(config)
    if kind == "block_sparse_attention":
        mixer = SparseBidirectionalAttention(**_attention(config, traits, "encoder"), **sparse_blocks(config))
    staggered = index % 2 == 1 and switch(config, traits.staggered)
    return Layer(
        mixer=mixer if kind is None else blockwise(kind, mixer, staggered=staggered),
        mlp=_mlp(config, traits, "encoder", index),
        norms=Norms(count=traits.encoder_norms, hidden_size=config.size("hidden_size"), bias=True),
        pre_norm=traits.pre_norm,
    )


def _decoder_layer(config: ConfigDocument, traits: Bart, index: int) -> Layer:
    hidden_size = config.size("hidden_size")
    usual = _attention(config, traits, "decoder")
    mixer: Part = FullAttention(**usual, others=traits.decoder_weights(config) if traits.decoder_weights else ())
    width = config.size_or_none(traits.cross_width) if traits.cross_width else None
    cross = (CrossAttention(**usual, encoder_hidden_size=width or hidden_size),) if switch(config, traits.cross) else ()
    return Layer(
        mixer=mixer if traits.decoder_block is None else block_of(traits.decoder_block, mixer, keeps=(mixer,)),
        mlp=_mlp(config, traits, "decoder", index),
        norms=Norms(count=2 + len(cross), hidden_size=hidden_size, bias=True),
        others=cross,
        pre_norm=traits.pre_norm,
    )


def _attention(config: ConfigDocument, traits: Bart, name: Name) -> dict[str, Any]:
    """What all attention of one side has in common."""
    hidden_size, field = config.size("hidden_size"), traits.heads.format(name)
    heads = config.size(field)
    if hidden_size % heads:
        raise config.error(field, f"{heads} heads do not divide hidden_size {hidden_size}")
    bias = switch(config, traits.attention_bias)
    return {
        "hidden_size": hidden_size,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": hidden_size // heads,
        "qkv_bias": bias,
        "k_bias": traits.k_bias,
        "o_bias": bias,
    }


def _mlp(config: ConfigDocument, traits: Bart, name: Name, index: int) -> Part:
    if traits.read_mlp is not None:
        return traits.read_mlp(config, name, index)
    return _ungated(config, name)


def _ungated(config: ConfigDocument, name: Name) -> DenseMLP:
    return DenseMLP(
        hidden_size=config.size("hidden_size"),
        intermediate_size=config.size(f"{name}_ffn_dim"),
        hidden_act=config.require(str, "activation_function"),
        gated=False,
        bias=True,
    )


def _two_experts(config: ConfigDocument, name: Name, index: int) -> Part:
    """Experts in each `*_sparse_step`-th layer, none with a step of 0; a token takes two (nllb-moe)."""
    step = config.require(int, f"{name}_sparse_step")
    if step <= 0 or (index + 1) % step:
        return _ungated(config, name)
    experts = config.size("num_experts")
    return MoEMLP(
        hidden_size=config.size("hidden_size"),
        num_experts=experts,
        num_experts_per_tok=min(2, experts),
        moe_intermediate_size=config.size(f"{name}_ffn_dim"),
        hidden_act=config.require(str, "activation_function"),
        gated=False,
        expert_bias=True,
        router_bias=config.flag("router_bias"),
    )


def _block_sparse(config: ConfigDocument) -> str | None:
    """bigbird_pegasus: block sparse, or plain."""
    return None if config.require(str, "attention_type") == "original_full" else "block_sparse_attention"


def _attention_window(config: ConfigDocument, index: int) -> int:
    """led: one for all layers, or one for each."""
    windows = config.one_or_more("attention_window")
    window = windows[min(index, len(windows) - 1)] if windows else 0
    if window <= 0 or window % 2:
        raise config.error("attention_window", f"{window} is no size of a window that has two halves")
    return window


def _global_qkv(hidden_size: int) -> tuple[Weight, ...]:
    """led: matrices of their own for the tokens that see everything."""
    return tuple(
        Linear(name=f"{name} global", out_features=hidden_size, in_features=hidden_size, bias=True) for name in "qkv"
    )


def _global_tokens(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """pegasus_x: an embedding of the encoder's global tokens."""
    if name == "decoder":
        return ()
    shape = (config.size("num_global_tokens"), config.size("hidden_size"))
    return (Tensor(name="global tokens", shape=shape, component=Component.EMBEDDING),)


def _ngram_positions(config: ConfigDocument) -> tuple[Weight, ...]:
    """prophetnet: relative positions from the hidden states."""
    size = config.size("num_buckets") * config.size("num_decoder_attention_heads")
    return (Linear(name="relative positions", out_features=size, in_features=config.size("hidden_size"), bias=True),)


def _ngrams(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """prophetnet: an embedding of the tokens to predict."""
    if name == "encoder":
        return ()
    shape = (config.size("ngram"), config.size("hidden_size"))
    return (Tensor(name="ngrams", shape=shape, component=Component.EMBEDDING),)


def _convolution(name: str, channels: int, inputs: int, kernel: int) -> tuple[Tensor, ...]:
    """A convolution that makes an encoder's input, with its bias."""
    return (
        Tensor(name=name, shape=(channels, inputs, kernel), component=Component.EMBEDDING),
        vector(f"{name} bias", channels, Component.EMBEDDING),
    )


def _mel_frames(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """whisper: two convolutions over mel frames."""
    if name == "decoder":
        return ()
    hidden_size = config.size("hidden_size")
    return (
        *_convolution("conv1", hidden_size, config.size("num_mel_bins"), 3),
        *_convolution("conv2", hidden_size, hidden_size, 3),
    )


def _subsampler(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """speech_to_text: convolutions that halve their channels with a gate."""
    if name == "decoder":
        return ()
    kernels, middle = config.integers("conv_kernel_sizes"), config.size("conv_channels")
    weights: list[Weight] = []
    inputs = config.size("input_feat_per_channel") * config.size("input_channels")
    for index, kernel in enumerate(kernels):
        last = index == len(kernels) - 1
        channels = 2 * config.size("hidden_size") if last else middle
        if kernel <= 0:
            raise config.error("conv_kernel_sizes", f"{kernel} is no size of a kernel")
        weights += _convolution(f"conv {index}", channels, inputs, kernel)
        inputs = channels // 2
    return tuple(weights)


def _prompts(config: ConfigDocument, name: Name) -> tuple[Weight, ...]:
    """mvp: what makes K and V of tokens in front, for each kind of attention."""
    if not config.flag("use_prompt"):
        return ()
    hidden_size, middle, kinds = config.size("hidden_size"), config.size("prompt_mid_dim"), 1 + (name == "decoder")
    made = 2 * config.size(f"{name}_layers") * hidden_size
    shape = (config.size("prompt_length"), hidden_size)
    return (
        Tensor(name="prompts", shape=shape, count=kinds, component=Component.EMBEDDING),
        Linear(name="prompts up", out_features=middle, in_features=hidden_size, bias=True, count=kinds),
        Linear(name="prompts out", out_features=made, in_features=middle, bias=True, count=kinds),
    )


_PEGASUS: Final = Bart(learned=False, embedding_norm=False, pre_norm=True)

_BART: Final[Mapping[str, Bart]] = {
    "bart": Bart(),
    "plbart": Bart(),
    "mvp": Bart(extras=_prompts),
    "mbart": Bart(pre_norm=True),
    "blenderbot": Bart(position_offset=0, embedding_norm=False, pre_norm=True),
    "blenderbot-small": Bart(position_offset=0),
    "pegasus": _PEGASUS,
    "m2m_100": _PEGASUS,
    "nllb-moe": replace(_PEGASUS, read_mlp=_two_experts),
    "marian": Bart(
        learned=False,
        embedding_norm=False,
        vocab_sizes=("vocab_size", "decoder_vocab_size"),
        shares_embedding="share_encoder_decoder_embeddings",
    ),
    "fsmt": Bart(
        learned=False,
        embedding_norm=False,
        vocab_sizes=("src_vocab_size", "tgt_vocab_size"),
        shares_embedding="tie_word_embeddings",
    ),
    "bigbird_pegasus": Bart(
        position_offset=0,
        embedding_norm=False,
        pre_norm=True,
        attention_bias="use_bias",
        encoder_block=_block_sparse,
    ),
    "pegasus_x": replace(
        _PEGASUS,
        attention_bias=False,
        encoder_block=lambda config: "global_local_attention",
        encoder_window=lambda config, index: config.size("block_size"),
        staggered="stagger_local_blocks",
        encoder_norms=3,
        extras=_global_tokens,
    ),
    "led": Bart(
        positions=("max_encoder_position_embeddings", "max_decoder_position_embeddings"),
        position_offset=0,
        encoder_block=lambda config: "longformer_attention",
        encoder_window=_attention_window,
        encoder_weights=_global_qkv,
    ),
    "prophetnet": Bart(
        layers="num_{}_layers",
        heads="num_{}_attention_heads",
        position_offset=0,
        decoder_block="ngram_attention",
        decoder_weights=_ngram_positions,
        cross="add_cross_attention",
        extras=_ngrams,
    ),
    "trocr": Bart(
        learned="use_learned_position_embeddings",
        embedding_norm="layernorm_embedding",
        cross_width="cross_attention_hidden_size",
    ),
    "whisper": Bart(
        vocab_sizes=("", "vocab_size"),
        shares_embedding=False,
        positions=("max_source_positions", "max_target_positions"),
        position_offset=0,
        embedding_norm=False,
        pre_norm=True,
        k_bias=False,
        source_positions="max_source_positions",
        extras=_mel_frames,
    ),
    "speech_to_text": Bart(
        vocab_sizes=("", "vocab_size"),
        shares_embedding=False,
        positions=("max_source_positions", "max_target_positions"),
        learned=False,
        embedding_norm=False,
        pre_norm=True,
        extras=_subsampler,
    ),
}


# ------------------------------------------------------------- seamless: what makes text of text


def _read_seamless(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Text encoder and decoder. They are what runs where text is all that the class reads and writes, and in the class
    for everything while it does that (SeamlessM4TModel.generate with `generate_speech=False`), which has a head too.
    In those that always hear or speak they are but a part, beside what is not derived."""
    name = architectures[0] if architectures else ""
    found = _read_bart(config, (), _PEGASUS)
    return replace(found, whole_type=found.model_type) if "Speech" in name else found


def _read_trocr(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    """Its one class is a decoder (modeling_trocr.py)."""
    return _read_bart(config, ("TrOCRForCausalLM",), _BART["trocr"])


# ------------------------------------------------------ moonshine: rotary positions, sound as it is


_MOONSHINE: Final[Mapping[Name, Traits]] = {
    "encoder": Traits(read_mlp=dense, qkv_bias="attention_bias", mlp_bias=True, gated=False),
    "decoder": Traits(read_mlp=dense, qkv_bias="attention_bias", mlp_bias=True, fused_mlp=True, norms_per_layer=3),
}


def _read_moonshine(config: ConfigDocument, architectures: tuple[str, ...]) -> Architecture:
    around = Around(tied=config.flag("tie_word_embeddings"), shares_embedding=False)
    return assemble(config, architectures, partial(_moonshine_side, config), around)


def _moonshine_side(whole: ConfigDocument, name: Name) -> Side:
    fields = ("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_act")
    config = replace(whole, attribute_map={field: f"{name}_{field}" for field in fields})
    hidden_size, encodes = config.size("hidden_size"), name == "encoder"
    traits = replace(
        _MOONSHINE[name],
        read_mixer=_padded_both_ways if encodes else _padded,
        read_others=None if encodes else _moonshine_cross,
        partial_rotary_key="partial_rotary_factor",
        partial_rotary_default=0.9,
    )
    layers = read_layers(config, number_of_layers(config), traits)
    return Side(
        hidden_size=hidden_size,
        vocab_size=0 if encodes else config.size("vocab_size"),
        layers=layers,
        final_norm=Norms(count=1, hidden_size=hidden_size),
        max_position_embeddings=config.size_or_none("max_position_embeddings"),
        rotary_dim=rotary_dim_of(config, traits, layers),
        extras=_moonshine_sound(hidden_size) if encodes else (),
        waveform=_moonshine_waveform(hidden_size) if encodes else None,
    )


def _moonshine_cross(config: ConfigDocument, traits: Traits, index: int) -> tuple[Part, ...]:
    return (_with_padding(config, cross_attention(config, traits, index)),)


def _padded(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return _with_padding(config, attention(config, traits, index, window))


def _padded_both_ways(config: ConfigDocument, traits: Traits, index: int, window: Window) -> FullAttention:
    return _with_padding(config, both_ways(config, traits, index, window))


def _with_padding(config: ConfigDocument, mixer: FullAttention) -> FullAttention:
    """Heads are filled up to a multiple of so many dimensions."""
    multiple = config.size_or_none("pad_head_dim_to_multiple_of")
    if multiple is None or mixer.head_dim % multiple == 0:
        return mixer
    return replace(mixer, padded_head_dim=-(-mixer.head_dim // multiple) * multiple)


def _moonshine_waveform(hidden_size: int) -> Waveform:
    """MoonshineEncoder.__init__"""
    sizes = ((hidden_size, 127, 64), (2 * hidden_size, 7, 3), (hidden_size, 3, 2))
    return Waveform(convolutions=tuple(Convolution(*size) for size in sizes))


def _moonshine_sound(hidden_size: int) -> tuple[Weight, ...]:
    return (
        _convolution("conv1", hidden_size, 1, 127)[0],
        *_convolution("conv2", 2 * hidden_size, hidden_size, 7),
        *_convolution("conv3", hidden_size, 2 * hidden_size, 3),
        *norm("norm of the sound", hidden_size),
    )


FAMILIES: Final[Mapping[str, Read]] = {
    **{model_type: partial(_read_bart, traits=traits) for model_type, traits in _BART.items()},
    "moonshine": _read_moonshine,
    "trocr": _read_trocr,
    **dict.fromkeys(("seamless_m4t", "seamless_m4t_v2"), _read_seamless),
}
