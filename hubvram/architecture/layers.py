"""A model: layers of parts, stacks of layers, and what stands around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from hubvram.architecture.parts import Linear, Norms, Part, Weight, by_component
from hubvram.checkpoint.components import Component
from hubvram.units import ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block: a token mixer, an MLP, the norms around them, and what else it has."""

    mixer: Part | None
    mlp: Part | None
    norms: Norms
    others: tuple[Part, ...] = ()
    """Further parts: attention to an encoder, a state space beside the attention, a second MLP."""
    extras: tuple[Weight, ...] = ()
    """Weights outside all parts, with their component: scales, norms of another width."""
    pre_norm: bool = True
    """Whether norms stand before attention and MLP; else they stand behind them."""
    is_shared: bool = False
    """Whether all its weights are those of an earlier layer (albert)."""
    shared_parts: tuple[Part, ...] = ()
    """Those of its parts whose weights are an earlier layer's (zamba's attention and MLP)."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for part in (self.mixer, self.mlp, *self.others) if part is not None)

    @property
    def own_parts(self) -> tuple[Part, ...]:
        """The parts whose weights no earlier layer has."""
        return () if self.is_shared else tuple(part for part in self.parts if part not in self.shared_parts)

    @property
    def parameters(self) -> int:
        return sum(self.parameters_by_component.values())

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        if self.is_shared:
            return {}
        found = _sum(part.parameters_by_component for part in self.own_parts)
        found = _sum((found, by_component(self.extras, Component.OTHER)))
        return _sum((found, {Component.NORM: self.norms.parameters}))

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The weights that a quantizer packs."""
        return tuple(linear for part in self.own_parts for linear in part.linears)

    @property
    def inactive_parameters(self) -> int:
        """Parameters that a token does not use."""
        return sum(part.inactive_parameters for part in self.own_parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """Equal layers; `indices` are inclusive ranges."""

    layer: Layer
    indices: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.indices)


def grouped(layers: Iterable[Layer]) -> tuple[LayerGroup, ...]:
    """The distinct layers, in the order of their first occurrence."""
    members: dict[Layer, list[int]] = {}
    for index, layer in enumerate(layers):
        members.setdefault(layer, []).append(index)
    return tuple(LayerGroup(layer=layer, indices=ranges(indices)) for layer, indices in members.items())


@dataclass(frozen=True, slots=True)
class Convolution:
    """One of those that make frames of samples."""

    width: int
    """Channels that it makes."""
    kernel: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """What a model hears, sample by sample: convolutions make frames of it, which are its tokens."""

    convolutions: tuple[Convolution, ...]
    all_normed: bool = False
    """Whether each of them has a norm of its channels; else the first has one over its frames."""
    is_labelled: bool = False
    """Whether its class gives labels to it, for which transformers keeps what every layer says."""
    adapter: tuple[Convolution, ...] = ()
    """Those behind the layers, which make fewer positions of the frames, with one of padding on both sides."""

    def frames(self, tokens: int) -> tuple[int, ...]:
        """The fewest samples that make so many tokens; and how many frames each convolution makes of them."""
        found = [tokens]
        for convolution in reversed(self.convolutions):
            found.append((found[-1] - 1) * convolution.step + convolution.kernel)
        return tuple(reversed(found))

    def adapted(self, positions: int) -> tuple[int, ...]:
        """The fewest frames of which the adapter makes so many positions; and how many each of its convolutions makes
        of them."""
        found = [positions]
        for convolution in reversed(self.adapter):
            found.append(max((found[-1] - 1) * convolution.step + convolution.kernel - 2, 1))
        return tuple(reversed(found))

    @property
    def said_size(self) -> int | None:
        """How wide the adapter makes what is said; None where there is none."""
        return self.adapter[-1].width // 2 if self.adapter else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What a model sees, in the size that its config names."""

    channels: int
    height: int
    width: int
    tokens: int
    """Its patches, and the learned tokens that stand beside them."""


DEPTH_DECODER: Final = "depth decoder"
"""The stack that writes the codes of a frame of sound one by one, for each token of the decoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What stands beside the decoder: an encoder, a vision or audio tower, a projector (which has no layers)."""

    name: str
    hidden_size: int
    layers: tuple[Layer, ...] = ()
    extras: tuple[Weight, ...] = ()
    """Weights outside the layers: patch embedding, positions, norms, a projector's matrices."""
    component: Component | None = None
    """What all its parameters are counted as; None where each counts as what it is."""
    model_type: str | None = None
    learned_positions: int = 0
    max_position_embeddings: int | None = None
    """Both of an encoder, as in Architecture."""
    source_tokens: int | None = None
    """Positions that an encoder says something for whatever its input (whisper); None: as many as its input has; 0:
    always the same, and not known."""
    image: Image | None = None
    """What a tower sees of one size, where it stands beside a text encoder; or a text encoder itself, whose patches
    are positions behind those of the text (udop)."""
    waveform: Waveform | None = None
    """What an encoder hears, where it makes its positions of samples."""
    alone: Architecture | None = None
    """The encoder as the model that it is by itself, where any one can stand beside any decoder."""
    cached_per_token: int = 0
    """Positions that its own cache gets with each token of the text (voxtral_realtime, which hears while it writes)."""

    @property
    def parameters(self) -> int:
        return sum(self.parameters_by_component.values())

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        found = _sum((_of_layers(self.layers), by_component(self.extras, Component.OTHER)))
        return found if self.component is None else {self.component: sum(found.values())}

    @property
    def longest(self) -> int | None:
        """How many tokens it was made for, as in Architecture."""
        return self.alone.longest if self.alone is not None else self.max_position_embeddings

    def groups(self) -> tuple[LayerGroup, ...]:
        """The distinct layers."""
        return grouped(self.layers)


@dataclass(frozen=True, kw_only=True)
class Architecture:  # without slots, for the sake of what is cached
    """A whole model: embedding, layers, final norm, head; and the stacks beside them."""

    model_type: str
    hidden_size: int
    vocab_size: int
    """Rows of the token embedding; 0 for a model without one."""
    max_position_embeddings: int | None
    tie_word_embeddings: bool
    layers: tuple[Layer, ...]
    final_norm: Norms
    head: Linear | None
    """None where the model class has none; a tied head is here, but has no matrix of its own."""
    head_reads_all: bool = True
    """Whether the head says something of every token; else of a sequence, or an image, as a whole."""
    embedding_size: int | None = None
    """Width of the token embedding where that is not hidden_size."""
    learned_positions: int = 0
    """Rows of a learned position embedding; 0 for rotary positions."""
    position_size: int | None = None
    """Their width where that is not hidden_size."""
    first_position: int = 0
    """The row of a sequence's first token, where those before it stand for padding (roberta)."""
    rotary_dim: int = 0
    """How many of a head's dimensions rotate."""
    rotary_tables: int = 1
    """Sets of cos and sin: more than one where kinds of layers rotate differently."""
    caps_logits: bool = False
    """Whether logits are kept within bounds by a tanh (`final_logit_softcapping`)."""
    rotary_dims: tuple[int, ...] = ()
    """How many dimensions rotate in each of these sets, where they differ in that too."""
    layers_per_block: int = 0
    """How many layers' outputs are summed up before their sum is a source of later layers' inputs (inkling2)."""
    extras: tuple[Weight, ...] = ()
    """Weights outside the layers, with their component: a norm of the embedding, a pooler."""
    image: Image | None = None
    """What it sees, where that is all it reads."""
    waveform: Waveform | None = None
    """What it hears, where that is all it reads."""
    stacks: tuple[Stack, ...] = ()
    shares_embedding: bool = False
    """Whether encoder and decoder have one token embedding, which files may store for each of them."""
    unused: tuple[str, ...] = ()
    """Ends of names of tensors that some files store, though the code ties them to others or has no use for them."""
    whole_type: str | None = None
    """The model type of the whole that this is the text model of; None where it is a model by itself."""
    decoder_type: str | None = None
    """The decoder's own model type, where any one can stand beside any encoder."""
    computed: tuple[str, ...] = ()
    """Ends of names of parameters that the code computes, so that only some files store them (sinusoids)."""

    @property
    def num_hidden_layers(self) -> int:
        return len(self.layers)

    @property
    def encoder(self) -> Stack | None:
        """The stack that the decoder attends to."""
        return next((stack for stack in self.stacks if stack.name == "encoder"), None)

    @property
    def image_beside(self) -> Image | None:
        """What is seen beside the text: by the tower of a pair of encoders, or by the text's own encoder."""
        return next((stack.image for stack in self.stacks if stack.image is not None), None)

    @property
    def class_type(self) -> str:
        """Type of the class that is loaded: of the whole around a text model, where there is one."""
        return self.whole_type or self.model_type

    @property
    def longest(self) -> int | None:
        """How many tokens the model was made for; None where its config does not say it."""
        if self.image is not None:
            return self.image.tokens
        longest = self.max_position_embeddings
        return None if longest is None else longest - self.first_position

    @property
    def embedding_parameters(self) -> int:
        """Tokens and learned positions."""
        tokens = self.vocab_size * (self.embedding_size or self.hidden_size)
        return tokens + self.learned_positions * (self.position_size or self.hidden_size)

    @property
    def has_tied_head(self) -> bool:
        """Whether the head is the embedding, used a second time."""
        return self.head is not None and self.tie_word_embeddings and self.head.out_features == self.vocab_size

    @property
    def head_parameters(self) -> int:
        if self.head is None:
            return 0
        return self.head.bias_parameters if self.has_tied_head else self.head.parameters

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        """Component -> parameters, without those that have none."""
        around = {
            Component.EMBEDDING: self.embedding_parameters,
            Component.NORM: self.final_norm.parameters,
            Component.HEAD: self.head_parameters,
        }
        found = _sum(
            (
                around,
                _of_layers(self.layers),
                by_component(self.extras, Component.OTHER),
                *(stack.parameters_by_component for stack in self.stacks),
            )
        )
        return {component: parameters for component, parameters in found.items() if parameters}

    @property
    def parameters(self) -> int:
        return sum(self.parameters_by_component.values())

    @property
    def inactive_parameters(self) -> int:
        """Parameters that a token does not use: the experts it does not select."""
        stacks = (self.groups(), *(stack.groups() for stack in self.stacks))
        return sum(group.count * group.layer.inactive_parameters for groups in stacks for group in groups)

    def groups(self) -> tuple[LayerGroup, ...]:
        """The distinct layers, in the order of their first occurrence."""
        return self._groups

    @cached_property
    def _groups(self) -> tuple[LayerGroup, ...]:
        return grouped(self.layers)

    def counted_linears(self) -> Iterator[tuple[int, Linear]]:
        """(how many layers, a weight that a quantizer packs): not those of towers, which quantizers leave alone."""
        for group in self._text_groups():
            for linear in group.layer.linears:
                yield group.count, linear

    def counted_routers(self) -> Iterator[tuple[int, Linear]]:
        """(how many layers, a matrix that picks experts): few quantizers pack those."""
        for group in self._text_groups():
            for weight in (weight for part in group.layer.own_parts for weight in part.tensors):
                if isinstance(weight, Linear) and weight.component is Component.ROUTER:
                    yield group.count, weight

    def _text_groups(self) -> Iterator[LayerGroup]:
        yield from self.groups()
        for stack in self.stacks:
            if stack.component is None:
                yield from stack.groups()


def _sum(parts: Iterable[dict[Component, int]]) -> dict[Component, int]:
    found: dict[Component, int] = {}
    for part in parts:
        for component, parameters in part.items():
            found[component] = found.get(component, 0) + parameters
    return found


def _of_layers(layers: Iterable[Layer]) -> dict[Component, int]:
    return _sum(
        {component: group.count * number for component, number in group.layer.parameters_by_component.items()}
        for group in grouped(layers)
    )
