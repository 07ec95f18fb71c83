"""What follows attention in a layer: one MLP for all tokens, or experts of which each token takes a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubvram.architecture.parts import Linear, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseMLP(Part):
    """Up (and gate, where gated) to intermediate_size, and down again."""

    kind: ClassVar[str] = "dense"
    component: ClassVar[Component] = Component.MLP

    hidden_size: int
    intermediate_size: int
    hidden_act: str
    gated: bool = True
    bias: bool = False
    fused: bool = False
    """Whether gate and up are computed as one matrix: the same parameters, more activations."""
    others: tuple[Weight, ...] = ()
    """What else it holds: a norm of its own, the learned parameters of its activation."""

    @property
    def linears(self) -> tuple[Linear, ...]:
        return _mlp(self.hidden_size, self.intermediate_size, gated=self.gated, bias=self.bias)

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return self.others


def _mlp(hidden: int, inner: int, *, gated: bool, bias: bool, count: int = 1, prefix: str = "") -> tuple[Linear, ...]:
    up = ("gate", "up") if gated else ("up",)
    return (
        *(Linear(name=prefix + name, out_features=inner, in_features=hidden, bias=bias, count=count) for name in up),
        Linear(name=prefix + "down", out_features=hidden, in_features=inner, bias=bias, count=count),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MoEMLP(Part):
    """num_experts MLPs, of which a router picks num_experts_per_tok for each token."""

    kind: ClassVar[str] = "moe"
    component: ClassVar[Component] = Component.EXPERTS

    hidden_size: int
    num_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    hidden_act: str
    gated: bool = True
    moe_latent_size: int | None = None
    """Width of what the experts read and write, where that is a latent of the hidden states (nemotron_h)."""
    latent_bias: bool = False
    expert_bias: bool = False
    shared_expert_intermediate_size: int = 0
    """Width of an expert that every token takes; 0 where there is none."""
    shared_expert_bias: bool = False
    shared_expert_gate: bool = False
    """Whether a row of its own weighs what the shared expert says."""
    router_bias: bool = False
    correction_bias: bool = False
    """Whether the router keeps a learned bias per expert, which balances their load (DeepSeek-V3)."""
    capacity: int | None = None
    """How many tokens of a sequence an expert takes at most; others go on without one (switch_transformers)."""
    others: tuple[Weight, ...] = ()
    """What else it holds."""

    @property
    def router(self) -> Linear:
        return Linear(
            name="router",
            out_features=self.num_experts,
            in_features=self.hidden_size,
            bias=self.router_bias,
            component=Component.ROUTER,
        )

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The experts' weights; the router is apart, since quantizers leave it alone."""
        return (
            *_mlp(
                self.moe_latent_size or self.hidden_size,
                self.moe_intermediate_size,
                gated=self.gated,
                bias=self.expert_bias,
                count=self.num_experts,
            ),
            *self._shared_linears,
            *self._latent_linears,
        )

    @property
    def _latent_linears(self) -> tuple[Linear, ...]:
        hidden, latent, bias = self.hidden_size, self.moe_latent_size, self.latent_bias
        if latent is None:
            return ()
        return (
            Linear(name="latent in", out_features=latent, in_features=hidden, bias=bias),
            Linear(name="latent out", out_features=hidden, in_features=latent, bias=bias),
        )

    @property
    def _shared_linears(self) -> tuple[Linear, ...]:
        inner = self.shared_expert_intermediate_size
        if not inner:
            return ()
        return _mlp(self.hidden_size, inner, gated=self.gated, bias=self.shared_expert_bias, prefix="shared ")

    @property
    def tensors(self) -> tuple[Weight, ...]:
        """What decides (the router, its correction, the gate of the shared expert), and the rest."""
        decide: list[Weight] = [self.router]
        if self.shared_expert_gate:
            decide.append(Tensor(name="shared gate", shape=(1, self.hidden_size), component=Component.ROUTER))
        if self.correction_bias:
            decide.append(vector("correction bias", self.num_experts, Component.ROUTER))
        return (*decide, *self.others)

    @property
    def expert_parameters(self) -> int:
        """All experts, the shared one included."""
        return self.parameters_by_component[Component.EXPERTS]

    @property
    def router_parameters(self) -> int:
        return self.parameters_by_component[Component.ROUTER]

    @property
    def inactive_parameters(self) -> int:
        """Parameters of the experts that a token does not select."""
        experts = self.linears[: 3 if self.gated else 2]
        return (
            sum(linear.parameters for linear in experts)
            // self.num_experts
            * (self.num_experts - self.num_experts_per_tok)
        )
