"""What layers are made of: matrices, other tensors, and parts that hold some of both.

Field names are config.json's own. How an engine keeps the cache of a part is the engine's business: a part
only knows what it is made of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from hubvram.checkpoint.components import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """`count` equal weights of (out_features, in_features), with or without a bias each.

    Named by what they are (Q, K, gate), also where a checkpoint stores several of them in one tensor.
    """

    name: str
    out_features: int
    in_features: int
    bias: bool = False
    count: int = 1
    component: Component | None = None
    """None for the component of the part that holds it."""

    @property
    def shape(self) -> tuple[int, int]:
        """Of one of its weights."""
        return self.out_features, self.in_features

    @property
    def weight_parameters(self) -> int:
        return self.count * self.out_features * self.in_features

    @property
    def bias_parameters(self) -> int:
        return self.count * self.out_features if self.bias else 0

    @property
    def parameters(self) -> int:
        return self.weight_parameters + self.bias_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """`count` equal tensors that are no matrix of a linear: norms, convolutions, states, tables."""

    name: str
    shape: tuple[int, ...]
    count: int = 1
    component: Component | None = None
    """None for the component of the part that holds it."""

    @property
    def parameters(self) -> int:
        return self.count * prod(self.shape)


Weight = Linear | Tensor


def vector(name: str, size: int, component: Component | None = None) -> Tensor:
    """A tensor of one dimension."""
    return Tensor(name=name, shape=(size,), component=component)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a part keeps of each sequence, however long that is: the last inputs of a convolution, a recurrent state."""

    name: str
    shape: tuple[int, ...]
    dtype: str | None = None
    """None: as the model computes."""

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What a part makes of several tokens: one entry, of which it keeps all. Until there are enough, tokens wait."""

    tokens_per_entry: int
    entry_size: int
    overlap: int
    """Over how many entries a token is spread; what it puts into the next one is kept, its weights in fp32."""

    @property
    def waiting_size(self) -> int:
        """Features of a token that waits: its values and their weights, for each of its entries."""
        return 2 * self.overlap * self.entry_size

    @property
    def carried_size(self) -> int:
        """Values of all tokens of an entry for the next one alone; as many weights are kept with them."""
        return self.tokens_per_entry * self.entry_size if self.overlap > 1 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """Of tokens, for attention within them: a prompt is filled up, so that all layers have whole ones."""

    chunk_length: int
    whole_tokens: int
    """To a multiple of these a prompt is filled up; but not one of no more than `short_tokens`."""
    short_tokens: int
    bucket_rows: int = 0
    """Buckets that are kept of each token, one for each head and hash, where tokens are sorted by these."""


class Part:
    """Something in a layer that has weights: a token mixer, an MLP."""

    __slots__ = ()

    @property
    def kind(self) -> str:
        """What it is, in the JSON contract's words."""
        raise NotImplementedError

    @property
    def component(self) -> Component:
        """What its weights are counted as, where they do not say otherwise."""
        raise NotImplementedError

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The matrices that a quantizer packs."""
        return ()

    @property
    def tensors(self) -> tuple[Weight, ...]:
        """All the rest: what a quantizer leaves alone."""
        return ()

    @property
    def parameters(self) -> int:
        return sum(weight.parameters for weight in (*self.linears, *self.tensors))

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        return by_component((*self.linears, *self.tensors), self.component)

    @property
    def inactive_parameters(self) -> int:
        """Parameters that a token does not use."""
        return 0

    @property
    def states(self) -> tuple[State, ...]:
        """What it keeps of a sequence beside what it keeps of each token."""
        return ()


class Recurrence(Part):
    """A token mixer that keeps states of fixed size, and nothing of each token."""

    __slots__ = ()


def by_component(weights: Iterable[Weight], default: Component) -> dict[Component, int]:
    """Component -> parameters of these weights."""
    found: dict[Component, int] = {}
    for weight in weights:
        component = weight.component or default
        found[component] = found.get(component, 0) + weight.parameters
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Block(Part):
    """A part that is known by its weights alone: exact dimensions, no formula for its activations."""

    kind: str
    component: Component
    weights: tuple[Linear, ...] = ()
    others: tuple[Weight, ...] = ()
    inactive: int = 0
    """Parameters that a token does not use."""
    stateless: bool = False
    """Whether it keeps nothing of the tokens before."""
    keeps: tuple[Part, ...] = ()
    """Attention of the usual kinds that keeps the K and V that it keeps."""
    kept_states: tuple[State, ...] = ()
    """What it keeps of a sequence, however long that is."""
    pools: tuple[Pool, ...] = ()
    """What it keeps of several tokens at once."""
    chunks: Chunks | None = None
    """What its tokens are divided into, where that decides what it keeps."""

    @property
    def is_known_to_keep(self) -> bool:
        """Whether what it keeps of the tokens before is known."""
        return self.stateless or bool(self.keeps or self.kept_states)

    @property
    def states(self) -> tuple[State, ...]:
        return self.kept_states

    @property
    def linears(self) -> tuple[Linear, ...]:
        return self.weights

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return self.others

    @property
    def inactive_parameters(self) -> int:
        return self.inactive


@dataclass(frozen=True, slots=True, kw_only=True)
class Norms:
    """`count` norms over hidden_size, with a bias (LayerNorm) or without (RMSNorm)."""

    count: int
    hidden_size: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.count * self.hidden_size * (2 if self.bias else 1)
