"""The parts of a model, each with its dimensions and its exact parameter count.

Field names are config.json's own. How an engine keeps the cache of a layer is the engine's business: a
mixer only knows what it is made of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from hubvram.checkpoint.components import Component
from hubvram.units import ranges


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
class FullAttention:
    """Softmax attention over all earlier tokens; grouped where K and V have fewer heads than Q."""

    kind: ClassVar[str] = "full_attention"

    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    """Whether Q and K are normalized, by default head by head, with one weight of head_dim each."""
    qk_norm_all_heads: bool = False
    """Whether the norms have a weight for each feature of each head instead."""
    qk_norm_bias: bool = False
    fused_qkv: bool = False
    """Whether one matrix makes Q, K and V: the same parameters, other activations."""

    @property
    def q_size(self) -> int:
        return self.num_attention_heads * self.head_dim

    @property
    def k_size(self) -> int:
        return self.num_key_value_heads * self.head_dim

    @property
    def v_size(self) -> int:
        return self.num_key_value_heads * self.head_dim

    @property
    def o_size(self) -> int:
        return self.hidden_size

    @property
    def linears(self) -> tuple[Linear, ...]:
        hidden = self.hidden_size
        return (
            Linear(name="q", out_features=self.q_size, in_features=hidden, bias=self.qkv_bias),
            Linear(name="k", out_features=self.k_size, in_features=hidden, bias=self.qkv_bias),
            Linear(name="v", out_features=self.v_size, in_features=hidden, bias=self.qkv_bias),
            Linear(name="o", out_features=hidden, in_features=self.q_size, bias=self.o_bias),
        )

    @property
    def norm_parameters(self) -> int:
        """Weights of the q/k norms: attention, as its other parameters are."""
        if not self.qk_norm:
            return 0
        weights = self.q_size + self.k_size if self.qk_norm_all_heads else 2 * self.head_dim
        return weights * (2 if self.qk_norm_bias else 1)

    @property
    def parameters(self) -> int:
        return sum(linear.parameters for linear in self.linears) + self.norm_parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingAttention(FullAttention):
    """The same over the last `sliding_window` tokens only."""

    kind: ClassVar[str] = "sliding_attention"

    sliding_window: int


TokenMixer = FullAttention | SlidingAttention


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseMLP:
    """Up (and gate, where gated) to intermediate_size, and down again."""

    kind: ClassVar[str] = "dense"

    hidden_size: int
    intermediate_size: int
    hidden_act: str
    gated: bool = True
    bias: bool = False
    fused: bool = False
    """Whether gate and up are computed as one matrix: the same parameters, more activations."""

    @property
    def linears(self) -> tuple[Linear, ...]:
        up = ("gate", "up") if self.gated else ("up",)
        hidden, inner = self.hidden_size, self.intermediate_size
        return (
            *(Linear(name=name, out_features=inner, in_features=hidden, bias=self.bias) for name in up),
            Linear(name="down", out_features=hidden, in_features=inner, bias=self.bias),
        )

    @property
    def parameters(self) -> int:
        return sum(linear.parameters for linear in self.linears)

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        return {Component.MLP: self.parameters}

    @property
    def inactive_parameters(self) -> int:
        """Parameters that a token does not use."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MoEMLP:
    """num_experts gated MLPs, of which a router picks num_experts_per_tok for each token."""

    kind: ClassVar[str] = "moe"

    hidden_size: int
    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    hidden_act: str
    shared_expert_intermediate_size: int = 0
    """Width of an expert that every token takes; 0 where there is none."""
    shared_expert_gate: bool = False
    """Whether a row of its own weighs what the shared expert says."""
    correction_bias: bool = False
    """Whether the router keeps a learned bias per expert, which balances their load (DeepSeek-V3)."""

    @property
    def router(self) -> Linear:
        return Linear(name="router", out_features=self.num_experts, in_features=self.hidden_size)

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The experts' weights; the router is apart, since quantizers leave it alone."""
        hidden, inner, count = self.hidden_size, self.moe_intermediate_size, self.num_experts
        return (
            Linear(name="gate", out_features=inner, in_features=hidden, count=count),
            Linear(name="up", out_features=inner, in_features=hidden, count=count),
            Linear(name="down", out_features=hidden, in_features=inner, count=count),
            *self._shared_linears,
        )

    @property
    def _shared_linears(self) -> tuple[Linear, ...]:
        hidden, inner = self.hidden_size, self.shared_expert_intermediate_size
        if not inner:
            return ()
        return (
            Linear(name="shared gate", out_features=inner, in_features=hidden),
            Linear(name="shared up", out_features=inner, in_features=hidden),
            Linear(name="shared down", out_features=hidden, in_features=inner),
        )

    @property
    def expert_parameters(self) -> int:
        """All experts, the shared one included."""
        return sum(linear.parameters for linear in self.linears)

    @property
    def router_parameters(self) -> int:
        """What decides: the router, its correction, and the gate of the shared expert."""
        gate = self.hidden_size if self.shared_expert_gate else 0
        return self.router.parameters + gate + (self.num_experts if self.correction_bias else 0)

    @property
    def parameters(self) -> int:
        return self.expert_parameters + self.router_parameters

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        return {Component.EXPERTS: self.expert_parameters, Component.ROUTER: self.router_parameters}

    @property
    def inactive_parameters(self) -> int:
        """Parameters of the experts that a token does not select."""
        one_expert = 3 * self.hidden_size * self.moe_intermediate_size
        return one_expert * (self.num_experts - self.num_experts_per_tok)


ChannelMixer = DenseMLP | MoEMLP


@dataclass(frozen=True, slots=True, kw_only=True)
class Norms:
    """`count` norms over hidden_size, with a bias (LayerNorm) or without (RMSNorm)."""

    count: int
    hidden_size: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.count * self.hidden_size * (2 if self.bias else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One block: a token mixer, an MLP, the norms around them."""

    mixer: TokenMixer
    mlp: ChannelMixer
    norms: Norms
    pre_norm: bool = True
    """Whether norms stand before attention and MLP; else they stand behind them."""

    @property
    def parameters(self) -> int:
        return self.mixer.parameters + self.mlp.parameters + self.norms.parameters

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        return {
            Component.ATTENTION: self.mixer.parameters,
            **self.mlp.parameters_by_component,
            Component.NORM: self.norms.parameters,
        }

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The weights that a quantizer packs."""
        return self.mixer.linears + self.mlp.linears


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGroup:
    """Equal layers; `indices` are inclusive ranges."""

    layer: Layer
    indices: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last in self.indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A decoder: embedding, layers, final norm, head."""

    model_type: str
    hidden_size: int
    vocab_size: int
    max_position_embeddings: int | None
    tie_word_embeddings: bool
    layers: tuple[Layer, ...]
    final_norm: Norms
    head: Linear | None
    """None where the model class has none; a tied head is here, but has no parameters of its own."""
    learned_positions: int = 0
    """Rows of a learned position embedding; 0 for rotary positions."""
    rotary_dim: int = 0
    """How many of a head's dimensions rotate."""
    rotary_tables: int = 1
    """Sets of cos and sin: more than one where kinds of layers rotate differently."""

    @property
    def num_hidden_layers(self) -> int:
        return len(self.layers)

    @property
    def embedding_parameters(self) -> int:
        return (self.vocab_size + self.learned_positions) * self.hidden_size

    @property
    def has_tied_head(self) -> bool:
        """Whether the head is the embedding, used a second time."""
        return self.head is not None and self.tie_word_embeddings and self.head.out_features == self.vocab_size

    @property
    def head_parameters(self) -> int:
        return 0 if self.head is None or self.has_tied_head else self.head.parameters

    @property
    def parameters_by_component(self) -> dict[Component, int]:
        """Component -> parameters, without those that have none."""
        found = {
            Component.EMBEDDING: self.embedding_parameters,
            Component.NORM: self.final_norm.parameters,
            Component.HEAD: self.head_parameters,
        }
        for group in self.groups():
            for component, parameters in group.layer.parameters_by_component.items():
                found[component] = found.get(component, 0) + group.count * parameters
        return {component: parameters for component, parameters in found.items() if parameters}

    @property
    def parameters(self) -> int:
        return sum(self.parameters_by_component.values())

    @property
    def inactive_parameters(self) -> int:
        """Parameters that a token does not use: the experts it does not select."""
        return sum(group.count * group.layer.mlp.inactive_parameters for group in self.groups())

    def groups(self) -> tuple[LayerGroup, ...]:
        """The distinct layers, in the order of their first occurrence."""
        members: dict[Layer, list[int]] = {}
        for index, layer in enumerate(self.layers):
            members.setdefault(layer, []).append(index)
        return tuple(LayerGroup(layer=layer, indices=ranges(indices)) for layer, indices in members.items())

    def counted_linears(self) -> Iterator[tuple[int, Linear]]:
        """(how many layers, a weight that a quantizer packs)."""
        for group in self.groups():
            for linear in group.layer.linears:
                yield group.count, linear
