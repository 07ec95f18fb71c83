"""Decoders of the usual shape (attention, MLP, norms around both): how a config is read, given its type's traits.

Which traits a model type has, the tables say: dense.py, and for other shapes the files that __init__.py lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import (
    BidirectionalAttention,
    ChunkedAttention,
    CrossAttention,
    FullAttention,
    OwnCacheAttention,
    SlidingAttention,
)
from hubvram.architecture.families.fields import changed, labels_of, number_of_layers, section_of
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear, Norms, Part, Weight, vector
from hubvram.config.document import ConfigDocument

ReadMixer = Callable[[ConfigDocument, "Traits", int, patterns.Window], Part | None]
"""(config, traits, index of the layer, its window) -> its token mixer."""

ReadMLP = Callable[[ConfigDocument, "Traits", int], Part | None]
"""(config, traits, index of the layer) -> its MLP."""

ReadParts = Callable[[ConfigDocument, "Traits", int], tuple[Part, ...]]
ReadWeights = Callable[[ConfigDocument], tuple[Weight, ...]]
ReadLayerWeights = Callable[[ConfigDocument, int], tuple[Weight, ...]]
ReadValues = Callable[[ConfigDocument], Mapping[str, Any]]

Switch = bool | str
"""Fixed by the model's code, or the config field that decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """In what a model type differs from llama."""

    # --- the config's fields
    names: Mapping[str, str] = field(default_factory=dict)
    """Usual field name -> this model type's, where the table of transformers' defaults does not say it."""
    values: ReadValues | None = None
    """What usual fields are where the file does not have them: fixed by the model's code, or by other fields."""
    overrides: ReadValues | None = None
    """What usual fields are whatever the file says: the class computes them, or knows none of that name."""

    # --- attention
    read_mixer: ReadMixer = field(default_factory=lambda: attention)
    windows: patterns.WindowRule = patterns.unasked
    """Which layers look at a window only."""
    kinds: tuple[str, ...] = ()
    """What `layer_types` may name beside attention over everything, a window or a chunk."""
    both_ways: str | None = None
    """The config field that makes attention reach both ways, where the config class then halves the window."""
    qkv_bias: Switch = False
    o_bias: Switch = False
    qk_norm: Switch = False
    """Whether Q and K are normed, by default head by head."""
    qk_norm_all_heads: bool = False
    """Whether that norm has a weight for each feature of each head."""
    qk_norm_bias: bool = False
    fused_qkv: bool = False
    """Whether one matrix makes Q, K and V."""
    output_gate: bool = False
    """Whether attention gates each feature of what it says (qwen3_next)."""
    own_cache: bool = False
    """Whether K and V are kept otherwise than full attention keeps them."""
    caches_nothing: bool = False
    """Whether the class has no cache, so that each token is made from all those before."""
    caches_all_heads: bool = False
    """Whether K and V are repeated for all heads before they are cached (falcon)."""
    uneven_heads: bool = False
    """Whether the class rounds hidden_size / heads down, where others insist that it divides."""
    attention_extras: ReadWeights | None = None
    """What attention holds beside its matrices and q/k norms."""

    # --- MLP
    read_mlp: ReadMLP
    gated: bool = True
    mlp_bias: Switch = False
    fused_mlp: bool = False
    """Whether one matrix makes gate and up."""
    activation: str = "hidden_act"
    """The config field that names the activation."""
    mlp_extras: ReadWeights | None = None
    """What a dense MLP holds beside its matrices."""
    parallel: Switch = False
    """Attention and MLP side by side, behind one norm."""

    # --- norms
    norms_per_layer: int = 2
    post_norms: Switch = False
    """Whether two more norms stand behind attention and MLP."""
    final_norms: int = 1
    norm_bias: Switch = False
    pre_norm: Switch = True
    """Whether norms stand before attention and MLP; else they stand behind them."""

    # --- positions
    learned_positions: str | None = None
    """The config field that says how many positions have a learned embedding."""
    position_offset: int = 0
    """Rows of that embedding beyond the positions (opt: 2)."""
    rotary: Switch = True
    rotary_key: str | None = None
    """The config field that says how many dimensions of a head rotate, where it is none that says which share."""
    partial_rotary_key: str | None = None
    """The config field that says which share of a head's dimensions rotates; all where there is no such field."""
    partial_rotary_default: float = 1.0
    rotary_tables: int = 1
    """Sets of cos and sin: more than one where kinds of layers rotate differently."""

    # --- embedding and head
    embedding_size: str | None = None
    """The config field with the width of the embedding and the head, where that is not hidden_size (opt)."""
    tied: Switch = "tie_word_embeddings"
    head_bias: Switch = False

    # --- further parts and weights, each with its component
    read_others: ReadParts | None = None
    """Further parts of a layer."""
    layer_extras: ReadLayerWeights | None = None
    """Further weights of a layer."""
    extras: ReadWeights | None = None
    """Further weights outside the layers."""


def read_decoder(config: ConfigDocument, architectures: tuple[str, ...], traits: Traits) -> Architecture:
    """The architecture of one model of this shape. Raises ConfigError."""
    config = usual_fields(config, traits)
    hidden_size = config.size("hidden_size")
    width = (config.size_or_none(traits.embedding_size) if traits.embedding_size else None) or hidden_size
    number = number_of_layers(config)
    vocab_size = config.size("vocab_size")
    layers = read_layers(config, number, traits)
    rows = config.size(traits.learned_positions) + traits.position_offset if traits.learned_positions else 0
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=vocab_size,
        max_position_embeddings=config.size_or_none("max_position_embeddings"),
        tie_word_embeddings=switch(config, traits.tied),
        layers=layers,
        final_norm=Norms(count=traits.final_norms, hidden_size=hidden_size, bias=switch(config, traits.norm_bias)),
        head=read_head(config, architectures, width, vocab_size, bias=switch(config, traits.head_bias)),
        embedding_size=None if width == hidden_size else width,
        learned_positions=rows,
        rotary_dim=rotary_dim_of(config, traits, layers) if switch(config, traits.rotary) and not rows else 0,
        rotary_tables=min(traits.rotary_tables, len({type(layer.mixer) for layer in layers})),
        caps_logits=config.get(float, "final_logit_softcapping") is not None,
        extras=traits.extras(config) if traits.extras else (),
    )


def read_layers(config: ConfigDocument, number: int, traits: Traits) -> tuple[Layer, ...]:
    """The layers of a model of this shape. Raises ConfigError."""
    number_of_norms = 1 if switch(config, traits.parallel) else traits.norms_per_layer
    number_of_norms += 2 * switch(config, traits.post_norms)
    norms = Norms(count=number_of_norms, hidden_size=config.size("hidden_size"), bias=switch(config, traits.norm_bias))
    windows = patterns.windows_of(config, number, traits.windows, traits.kinds)
    if traits.both_ways is not None and config.flag(traits.both_ways):
        windows = patterns.halved(windows)
    return tuple(
        Layer(
            mixer=traits.read_mixer(config, traits, index, window),
            mlp=traits.read_mlp(config, traits, index),
            norms=norms,
            others=traits.read_others(config, traits, index) if traits.read_others else (),
            extras=traits.layer_extras(config, index) if traits.layer_extras else (),
            pre_norm=switch(config, traits.pre_norm),
        )
        for index, window in enumerate(windows)
    )


def attention(
    config: ConfigDocument,
    traits: Traits,
    index: int,
    window: patterns.Window,
    make: Callable[..., FullAttention] | None = None,
) -> FullAttention:
    """Attention from the usual fields: of the class `make`, or over a window, a chunk or everything."""
    hidden_size, heads = config.size("hidden_size"), config.size("num_attention_heads")
    head_dim = config.size_or_none("head_dim")
    if head_dim is None:
        if hidden_size % heads and not traits.uneven_heads:
            raise config.error("num_attention_heads", f"{heads} heads do not divide hidden_size {hidden_size}")
        head_dim = hidden_size // heads
    key_value_heads = config.size_or_none("num_key_value_heads") or heads
    if heads % key_value_heads:
        raise config.error("num_key_value_heads", f"{key_value_heads} does not divide the {heads} attention heads")
    return (make or _attention_over(window, traits))(
        hidden_size=hidden_size,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        head_dim=head_dim,
        qkv_bias=switch(config, traits.qkv_bias),
        o_bias=switch(config, traits.o_bias),
        qk_norm=switch(config, traits.qk_norm),
        qk_norm_all_heads=traits.qk_norm_all_heads,
        qk_norm_bias=traits.qk_norm_bias,
        output_gate=traits.output_gate,
        fused_qkv=traits.fused_qkv,
        cached_heads=0 if traits.caches_nothing else heads if traits.caches_all_heads else None,
        others=traits.attention_extras(config) if traits.attention_extras else (),
    )


def both_ways(config: ConfigDocument, traits: Traits, index: int, window: patterns.Window) -> FullAttention:
    """Attention to all other tokens, or to those within a window."""
    within = window if isinstance(window, int) else None
    return attention(config, traits, index, None, make=partial(BidirectionalAttention, sliding_window=within))


def cross_attention(
    config: ConfigDocument, traits: Traits, index: int, encoder_hidden_size: int | None = None
) -> FullAttention:
    """Attention to what an encoder said, which is as wide as the decoder where nothing else is said."""
    width = encoder_hidden_size or config.size("hidden_size")
    return attention(config, traits, index, None, make=partial(CrossAttention, encoder_hidden_size=width))


def _attention_over(window: patterns.Window, traits: Traits) -> Callable[..., FullAttention]:
    if isinstance(window, patterns.Chunk):
        return partial(ChunkedAttention, attention_chunk_size=window.tokens)
    if isinstance(window, patterns.Kept):
        return partial(OwnCacheAttention if traits.own_cache else FullAttention, cached_tokens=window.tokens)
    if window is not None:
        return partial(SlidingAttention, sliding_window=window)
    return OwnCacheAttention if traits.own_cache else FullAttention


def sinks(config: ConfigDocument) -> tuple[Weight, ...]:
    """A learned score for each head, for attending to nothing (gpt_oss)."""
    return (vector("sinks", config.size("num_attention_heads")),)


def usual_fields(config: ConfigDocument, traits: Traits) -> ConfigDocument:
    """The config under the usual names, with what its model type fixes behind what the file says."""
    config = replace(config, attribute_map={**config.attribute_map, **traits.names})
    if traits.values is not None:
        config = replace(config, defaults={**config.defaults, **traits.values(config)})
    return config if traits.overrides is None else changed(config, **traits.overrides(config))


def fixed(**values: Any) -> ReadValues:
    """Fields that are the same in every model of a type."""
    return lambda config: values


NO_GROUPS: Final = fixed(num_key_value_heads=None, head_dim=None)
"""For classes whose heads all have K and V of their own, and are hidden_size / heads wide."""


def switch(config: ConfigDocument, trait: Switch) -> bool:
    """What a trait says for this config."""
    return config.flag(trait) if isinstance(trait, str) else trait


def rotary_dim_of(config: ConfigDocument, traits: Traits, layers: tuple[Layer, ...]) -> int:
    """How many of a head's dimensions rotate."""
    head_dim = next((layer.mixer.head_dim for layer in layers if isinstance(layer.mixer, FullAttention)), 0)
    if traits.rotary_key is not None:
        return config.size_or_none(traits.rotary_key) or head_dim
    if traits.partial_rotary_key is None:
        return head_dim
    # transformers 5 writes it into rope_parameters, under one name for all; everything older beside the rest.
    rope = section_of(config, "rope_parameters")
    for document, key in ((rope, "partial_rotary_factor"), (config, traits.partial_rotary_key)):
        share = document.get(float, key)
        if share is not None:
            if not 0 <= share <= 1:
                raise document.error(key, f"{share} is not between 0 and 1")
            return int(head_dim * share)
    return int(head_dim * traits.partial_rotary_default)


def read_head(
    config: ConfigDocument, architectures: tuple[str, ...], hidden_size: int, vocab_size: int, *, bias: bool = False
) -> Linear | None:
    """What the model class puts on top: by the end of its name, a language-model head where nothing is said."""
    name = architectures[0] if architectures else ""
    if name.endswith("Model") and not name.endswith("LMHeadModel"):
        return None
    for ending, label_bias in _CLASSIFIERS.items():
        if name.endswith(ending):
            return Linear(name="head", out_features=labels_of(config), in_features=hidden_size, bias=label_bias)
    return Linear(name="head", out_features=vocab_size, in_features=hidden_size, bias=bias)


_CLASSIFIERS: Final[Mapping[str, bool]] = {"ForSequenceClassification": False, "ForTokenClassification": True}
"""Ends of class names -> whether their head over labels has a bias (modeling_layers.py; gpt2's and gpt_neox's own)."""


def dense(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """The same MLP in every layer."""
    return _dense(config, traits, config.size("intermediate_size"))


def four_times_hidden(config: ConfigDocument, traits: Traits, index: int) -> DenseMLP:
    """`n_inner`, or four times the hidden size where that is null (gpt2)."""
    return _dense(config, traits, config.size_or_none("n_inner") or 4 * config.size("hidden_size"))


def _dense(config: ConfigDocument, traits: Traits, intermediate_size: int) -> DenseMLP:
    return DenseMLP(
        hidden_size=config.size("hidden_size"),
        intermediate_size=intermediate_size,
        hidden_act=config.require(str, traits.activation),
        gated=traits.gated,
        bias=switch(config, traits.mlp_bias),
        fused=traits.fused_mlp,
        others=traits.mlp_extras(config) if traits.mlp_extras else (),
    )
