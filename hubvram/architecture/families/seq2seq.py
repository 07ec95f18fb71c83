"""What encoder-decoders have in common: two sides, and what their class puts around them.

What `architectures` names decides what there is: both sides, the decoder alone (ForCausalLM), or the encoder alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.attention_in_blocks import BlockwiseAttention
from hubvram.architecture.families.encoder_tops import linear
from hubvram.architecture.families.fields import labels_of
from hubvram.architecture.families.weights import norm
from hubvram.architecture.layers import Architecture, Image, Layer, Stack, Waveform
from hubvram.architecture.parts import Block, Linear, Norms, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component
from hubvram.config.document import ConfigDocument

Name = Literal["encoder", "decoder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An encoder or a decoder, with what stands around its layers."""

    hidden_size: int
    vocab_size: int
    """Rows of its token embedding; 0 for one that reads no tokens."""
    layers: tuple[Layer, ...]
    final_norm: Norms
    learned_positions: int = 0
    max_position_embeddings: int | None = None
    rotary_dim: int = 0
    rotary_tables: int = 1
    extras: tuple[Weight, ...] = ()
    source_tokens: int | None = None
    waveform: Waveform | None = None
    image: Image | None = None
    """All three as in Stack."""


ReadSide = Callable[[Name], Side]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a model type has around both sides."""

    tied: bool
    shares_embedding: bool = True
    """Whether both sides have one token embedding."""
    unused: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    """Both as in Architecture."""
    dense_classifier: bool = True
    """Whether a head over the labels of a whole text has a matrix of its own before it."""
    encodes_only: bool | None = None
    """Whether there is no decoder; None where the name of the class says it."""


def assemble(
    config: ConfigDocument, architectures: tuple[str, ...], read_side: ReadSide, around: Around
) -> Architecture:
    """A model of the sides that its class has."""
    name = architectures[0] if architectures else ""
    encodes_only = name.endswith(_ENCODERS) if around.encodes_only is None else around.encodes_only
    encoder = None if name.endswith("ForCausalLM") else read_side("encoder")
    main = encoder if encodes_only and encoder is not None else read_side("decoder")
    head, on_top = _top(config, name, main, around)
    return Architecture(
        model_type=config.model_type or config.require(str, "model_type"),
        hidden_size=main.hidden_size,
        vocab_size=main.vocab_size,
        max_position_embeddings=main.max_position_embeddings,
        tie_word_embeddings=around.tied,
        layers=main.layers,
        final_norm=main.final_norm,
        head=head,
        learned_positions=main.learned_positions,
        rotary_dim=main.rotary_dim,
        rotary_tables=main.rotary_tables,
        extras=(*main.extras, *on_top),
        stacks=() if encoder in (None, main) else (_stack(encoder, shares_embedding=around.shares_embedding),),
        shares_embedding=around.shares_embedding,
        unused=around.unused,
        computed=around.computed,
    )


_ENCODERS: Final = ("EncoderModel", "ForTokenClassification", "ForAudioClassification")
"""Ends of the names of classes that hold the encoder alone."""


def stack_of(encoder: Architecture, *, source_tokens: int | None) -> Stack:
    """A whole model, as the encoder beside another."""
    return _stack(
        Side(
            hidden_size=encoder.hidden_size,
            vocab_size=encoder.vocab_size,
            layers=encoder.layers,
            final_norm=encoder.final_norm,
            learned_positions=encoder.learned_positions,
            max_position_embeddings=encoder.max_position_embeddings,
            extras=encoder.extras,
            source_tokens=source_tokens,
            waveform=encoder.waveform,
        ),
        shares_embedding=False,
        embedding_size=encoder.embedding_size,
        position_size=encoder.position_size,
    )


def _stack(
    side: Side, *, shares_embedding: bool, embedding_size: int | None = None, position_size: int | None = None
) -> Stack:
    """An encoder beside the decoder."""
    final, hidden_size = side.final_norm, side.hidden_size
    tables = (
        ("positions", side.learned_positions, position_size),
        ("embedding", 0 if shares_embedding else side.vocab_size, embedding_size),
    )
    return Stack(
        name="encoder",
        hidden_size=hidden_size,
        layers=side.layers,
        extras=(
            *(
                Tensor(name=name, shape=(rows, width or hidden_size), component=Component.EMBEDDING)
                for name, rows, width in tables
                if rows
            ),
            *side.extras,
            *(norm("final norm", hidden_size, bias=final.bias) if final.count else ()),
        ),
        learned_positions=side.learned_positions,
        max_position_embeddings=side.max_position_embeddings,
        source_tokens=side.source_tokens,
        waveform=side.waveform,
        image=side.image,
    )


def _top(config: ConfigDocument, name: str, side: Side, around: Around) -> tuple[Linear | None, tuple[Weight, ...]]:
    """(the head that the model class has, what else stands on top)."""
    hidden_size = side.hidden_size
    if name.endswith("Model") and not name.endswith(("LMHeadModel", "MTModel")):
        return None, ()
    if not name.endswith(_CLASSIFIERS):
        return Linear(name="head", out_features=side.vocab_size, in_features=hidden_size), ()
    head = Linear(name="head", out_features=labels_of(config), in_features=hidden_size, bias=True)
    if name.endswith("ForAudioClassification"):
        width = config.size("classifier_proj_size")
        projector = replace(linear("projector", width, hidden_size), component=Component.PROJECTOR)
        sums = (
            (vector("layer weights", len(side.layers) + 1, Component.HEAD),)
            if config.flag("use_weighted_layer_sum")
            else ()
        )
        return replace(head, in_features=width), (projector, *sums)
    if name.endswith("ForSequenceClassification") and around.dense_classifier:
        return head, (linear("dense", hidden_size, hidden_size),)
    return head, ()


_CLASSIFIERS: Final = (
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForAudioClassification",
)


def block_of(kind: str, mixer: Part, keeps: tuple[Part, ...] = ()) -> Block:
    """A mixer of known weights and an arrangement of its own."""
    return Block(kind=kind, component=mixer.component, weights=mixer.linears, others=mixer.tensors, keeps=keeps)


def blockwise(
    kind: str, attention: BidirectionalAttention, *, staggered: bool = False, summed_tokens: int = 0
) -> BlockwiseAttention:
    """The same of an encoder's attention over blocks of its tokens."""
    return BlockwiseAttention(
        kind=kind,
        component=attention.component,
        weights=attention.linears,
        others=attention.tensors,
        attention=attention,
        staggered=staggered,
        summed_tokens=summed_tokens,
    )
