"""Projectors: what makes tokens of the text model out of what a tower says, and what such projectors are made of.

All of it counts as projector. The types are in projectors_vision.py and projectors_audio.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention
from hubvram.architecture.families import weights
from hubvram.architecture.families.decoder import Traits, attention, dense, switch
from hubvram.architecture.families.fields import number_of_layers
from hubvram.architecture.families.weights import linear
from hubvram.architecture.layers import Layer, Stack
from hubvram.architecture.parts import Linear, Norms, Tensor, Weight
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument
from hubvram.config.reader import inner_config


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """The configs that a projector is between, and the one around both."""

    whole: ConfigDocument
    text: ConfigDocument
    tower: ConfigDocument

    @property
    def text_size(self) -> int:
        return self.text.size("hidden_size")

    @property
    def tower_size(self) -> int:
        return self.tower.size("hidden_size")


ReadProjector = Callable[[Ends], Stack]


def projector(ends: Ends, *weights: Weight, layers: tuple[Layer, ...] = ()) -> Stack:
    """A projector of these weights."""
    return Stack(
        name=Component.PROJECTOR.value,
        hidden_size=ends.text_size,
        layers=layers,
        extras=weights,
        component=Component.PROJECTOR,
    )


def norm(size: int, *, bias: bool = True) -> tuple[Weight, ...]:
    """A norm of what comes from the tower."""
    return weights.norm("norm", size, None, bias=bias)


def two_linears(inner: int, into: int, out: int, *, bias: bool = True) -> tuple[Linear, ...]:
    """A small MLP."""
    return (
        linear("up", inner, into, bias=bias),
        linear("down", out, inner, bias=bias),
    )


def gated_mlp(inner: int, into: int, out: int) -> tuple[Linear, ...]:
    """A small MLP with a gate, without biases."""
    return (
        linear("gate", inner, into, bias=False),
        linear("up", inner, into, bias=False),
        linear("down", out, inner, bias=False),
    )


def one_linear(ends: Ends, *, bias: bool = True, out: str | None = None, into: str = "hidden_size") -> Stack:
    """One matrix, from the tower's field `into` to the text model's width or the whole config's field `out`."""
    size = ends.whole.size(out) if out else ends.text_size
    return projector(ends, linear("projection", size, ends.tower.size(into), bias=bias))


def mlp(ends: Ends, *, bias: bool | str = True) -> Stack:
    """An MLP (deepseek_vl)."""
    bias = switch(ends.whole, bias)
    return projector(ends, *two_linears(ends.text_size, ends.tower_size, ends.text_size, bias=bias))


_QFORMER: Final = Traits(read_mlp=dense, qkv_bias=True, o_bias=True, mlp_bias=True, norm_bias=True, gated=False)


def qformer(ends: Ends, *, embeds: bool = False, field: str = "qformer_config") -> Stack:
    """BERT's layers over learned queries, every few of which look at the patches too, and a matrix (BLIP-2).

    Where it reads the instruction too, each layer has one MLP for the text and one for the queries, and it may have
    embeddings of its own (InstructBLIP).
    """
    config = inner_config(ends.whole, field)
    hidden, text = config.size("hidden_size"), embeds or config.flag("use_qformer_text_input")
    every = config.size("cross_attention_frequency")
    looks = partial(CrossAttention, encoder_hidden_size=config.size("encoder_hidden_size"))

    def layer(index: int) -> Layer:
        crosses = index % every == 0
        parts = (attention(config, _QFORMER, index, None, make=looks),) if crosses else ()
        return Layer(
            mixer=attention(config, _QFORMER, index, None, make=BidirectionalAttention),
            mlp=dense(config, _QFORMER, index),
            norms=Norms(count=2 + crosses + text, hidden_size=hidden, bias=True),
            others=(*parts, *((dense(config, _QFORMER, index),) if text else ())),
            pre_norm=False,
        )

    rows = (config.size("vocab_size"), config.size("max_position_embeddings")) if embeds else ()
    return projector(
        ends,
        Tensor(name="queries", shape=(ends.whole.size("num_query_tokens"), hidden)),
        *(Tensor(name="embedding", shape=(number, hidden)) for number in rows),
        *norm(hidden),
        linear("projection", ends.text_size, hidden),
        layers=tuple(layer(index) for index in range(number_of_layers(config))),
    )
