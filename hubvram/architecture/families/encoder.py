"""Text encoders: every token sees all others. Some of them can be turned into decoders (`is_decoder`).

The details were read from each model's `modeling_*.py` in transformers 5.23; what stands on top is in tops.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final, TypeVar

from hubvram.architecture import patterns
from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.architecture.families import tops
from hubvram.architecture.families.decoder import (
    LAYERS_LIMIT,
    Switch,
    Traits,
    attention,
    dense,
    read_layers,
    switch,
    usual_fields,
)
from hubvram.architecture.families.interface import Read
from hubvram.architecture.families.tops import norm
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.parts import Block, Linear, Norms, Part, Tensor, Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.errors import ConfigError

Kind = TypeVar("Kind", bound=FullAttention)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """In what a text encoder differs from bert, beside the traits of its layers."""

    layers: Traits
    tops: tops.Tops = tops.BERT
    token_types: bool = True
    embedding_norm: bool = True
    norm_behind_projection: bool = False
    """Whether that norm stands behind the projection to hidden_size."""
    projection: bool | None = None
    """Whether a matrix leads from the embedding to hidden_size; None where it does if the two differ."""
    projection_bias: bool = True
    final_norm: Switch = False


def read_encoder(config: ConfigDocument, architectures: tuple[str, ...], encoder: Encoder) -> Architecture:
    """The architecture of a text encoder. Raises ConfigError."""
    traits = encoder.layers
    config = usual_fields(config, traits)
    hidden_size = config.size("hidden_size")
    width = (config.size_or_none(traits.embedding_size) if traits.embedding_size else None) or hidden_size
    head, around = tops.read_top(config, tops.top_of(encoder.tops, architectures), hidden_size)
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=hidden_size,
        vocab_size=config.size("vocab_size"),
        max_position_embeddings=config.size_or_none("max_position_embeddings"),
        tie_word_embeddings=config.flag("tie_word_embeddings"),
        layers=_layers(config, traits),
        final_norm=Norms(
            count=1 if switch(config, encoder.final_norm) else 0,
            hidden_size=hidden_size,
            bias=switch(config, traits.norm_bias),
        ),
        head=head,
        embedding_size=None if width == hidden_size else width,
        extras=(
            *_embedding(config, encoder, width, hidden_size),
            *(traits.extras(config) if traits.extras else ()),
            *around,
        ),
    )


def _layers(config: ConfigDocument, traits: Traits) -> tuple[Layer, ...]:
    """All layers; those of albert are a few groups, each of which stands for a stretch of the model."""
    number = config.size("num_hidden_layers", largest=LAYERS_LIMIT)
    if config.get(int, "num_hidden_groups") is None:
        return read_layers(config, number, traits)
    groups = config.size("num_hidden_groups", largest=number)
    inner = config.size("inner_group_num", largest=LAYERS_LIMIT // number)
    first = read_layers(config, 1, traits)[0]
    own = [number * index // groups != number * (index - 1) // groups for index in range(number)]
    return tuple(replace(first, is_shared=not own[index]) for index in range(number) for _ in range(inner))
