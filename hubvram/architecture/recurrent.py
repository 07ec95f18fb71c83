"""Token mixers that keep a state of fixed size instead of a cache that grows.

Recurrent states are what the scan leaves behind, which is fp32 whatever the model computes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubvram.architecture.parts import Linear, Recurrence, State, Tensor, Weight, vector
from hubvram.checkpoint.components import Component


def conv_state(channels: int, kernel: int) -> State:
    """As many inputs as the kernel is long: transformers keeps the one that leaves it too."""
    return State(name="conv", shape=(channels, kernel))


def recurrent_state(*shape: int) -> State:
    """What the recurrence carries on."""
    return State(name="recurrent", shape=shape, dtype="fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba(Recurrence):
    """A selective state space (2312.00752): intermediate_size channels, each with state_size states."""

    kind: ClassVar[str] = "mamba"
    component: ClassVar[Component] = Component.SSM

    hidden_size: int
    intermediate_size: int
    state_size: int
    conv_kernel: int
    time_step_rank: int
    num_heads: int = 1
    """Heads that are scanned one by one (zamba)."""
    use_bias: bool = False
    use_conv_bias: bool = True
    others: tuple[Weight, ...] = ()
    """What else it holds: jamba norms its time step, B and C."""

    @property
    def linears(self) -> tuple[Linear, ...]:
        hidden, inner, rank = self.hidden_size, self.intermediate_size, self.time_step_rank
        return (
            Linear(name="in", out_features=2 * inner, in_features=hidden, bias=self.use_bias),
            Linear(name="x", out_features=rank + 2 * self.state_size, in_features=inner),
            Linear(name="dt", out_features=inner, in_features=rank, bias=True),
            Linear(name="out", out_features=hidden, in_features=inner, bias=self.use_bias),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        inner = self.intermediate_size
        return (
            Tensor(name="conv1d", shape=(inner, 1, self.conv_kernel)),
            *((vector("conv1d bias", inner),) if self.use_conv_bias else ()),
            Tensor(name="A_log", shape=(inner, self.state_size)),
            vector("D", inner),
            *self.others,
        )

    @property
    def states(self) -> tuple[State, ...]:
        inner = self.intermediate_size
        return conv_state(inner, self.conv_kernel), recurrent_state(inner, self.state_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mamba2(Recurrence):
    """A state space with heads (2405.21060): num_heads of head_dim channels, B and C shared by n_groups."""

    kind: ClassVar[str] = "mamba2"
    component: ClassVar[Component] = Component.SSM

    hidden_size: int
    num_heads: int
    head_dim: int
    state_size: int
    n_groups: int
    conv_kernel: int
    chunk_size: int
    """How many tokens are scanned at once."""
    use_bias: bool = False
    out_bias: bool | None = None
    """Where what comes out differs from what goes in (falcon_h1)."""
    use_conv_bias: bool = True
    gated_norm: bool = True
    """Whether what comes out is normed, with a weight for each channel."""
    others: tuple[Weight, ...] = ()

    @property
    def intermediate_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def conv_dim(self) -> int:
        """Channels that the convolution sees: x, B and C."""
        return self.intermediate_size + 2 * self.n_groups * self.state_size

    @property
    def linears(self) -> tuple[Linear, ...]:
        inner = self.intermediate_size
        projected = inner + self.conv_dim + self.num_heads
        out_bias = self.use_bias if self.out_bias is None else self.out_bias
        return (
            Linear(name="in", out_features=projected, in_features=self.hidden_size, bias=self.use_bias),
            Linear(name="out", out_features=self.hidden_size, in_features=inner, bias=out_bias),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return (
            Tensor(name="conv1d", shape=(self.conv_dim, 1, self.conv_kernel)),
            *((vector("conv1d bias", self.conv_dim),) if self.use_conv_bias else ()),
            *(vector(name, self.num_heads) for name in ("A_log", "D", "dt_bias")),
            *((vector("norm", self.intermediate_size),) if self.gated_norm else ()),
            *self.others,
        )

    @property
    def states(self) -> tuple[State, ...]:
        return (
            conv_state(self.conv_dim, self.conv_kernel),
            recurrent_state(self.num_heads, self.head_dim, self.state_size),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatedDeltaNet(Recurrence):
    """Linear attention with a gated delta rule (2412.06464), as Qwen3-Next has it."""

    kind: ClassVar[str] = "gated_delta_net"
    component: ClassVar[Component] = Component.SSM

    hidden_size: int
    linear_num_key_heads: int
    linear_num_value_heads: int
    linear_key_head_dim: int
    linear_value_head_dim: int
    linear_conv_kernel_dim: int
    others: tuple[Weight, ...] = ()

    @property
    def key_size(self) -> int:
        return self.linear_num_key_heads * self.linear_key_head_dim

    @property
    def value_size(self) -> int:
        return self.linear_num_value_heads * self.linear_value_head_dim

    @property
    def conv_dim(self) -> int:
        """Channels that the convolution sees: Q, K and V."""
        return 2 * self.key_size + self.value_size

    @property
    def linears(self) -> tuple[Linear, ...]:
        hidden, heads = self.hidden_size, self.linear_num_value_heads
        return (
            Linear(name="q k v", out_features=self.conv_dim, in_features=hidden),
            Linear(name="z", out_features=self.value_size, in_features=hidden),
            Linear(name="b a", out_features=2 * heads, in_features=hidden),
            Linear(name="out", out_features=hidden, in_features=self.value_size),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return (
            Tensor(name="conv1d", shape=(self.conv_dim, 1, self.linear_conv_kernel_dim)),
            vector("A_log", self.linear_num_value_heads),
            vector("dt_bias", self.linear_num_value_heads),
            vector("norm", self.linear_value_head_dim),
            *self.others,
        )

    @property
    def states(self) -> tuple[State, ...]:
        return (
            conv_state(self.conv_dim, self.linear_conv_kernel_dim),
            recurrent_state(self.linear_num_value_heads, self.linear_key_head_dim, self.linear_value_head_dim),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortConv(Recurrence):
    """A gated convolution over the last few tokens (LFM2)."""

    kind: ClassVar[str] = "short_conv"
    component: ClassVar[Component] = Component.SSM

    hidden_size: int
    conv_L_cache: int
    conv_bias: bool = False

    @property
    def linears(self) -> tuple[Linear, ...]:
        hidden = self.hidden_size
        return (
            Linear(name="in", out_features=3 * hidden, in_features=hidden, bias=self.conv_bias),
            Linear(name="out", out_features=hidden, in_features=hidden, bias=self.conv_bias),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return (
            Tensor(name="conv", shape=(self.hidden_size, 1, self.conv_L_cache)),
            *((vector("conv bias", self.hidden_size),) if self.conv_bias else ()),
        )

    @property
    def states(self) -> tuple[State, ...]:
        return (conv_state(self.hidden_size, self.conv_L_cache),)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightningAttention(Recurrence):
    """Linear attention in blocks, with a decay for each head (MiniMax-01, 2501.08313)."""

    kind: ClassVar[str] = "lightning_attention"
    component: ClassVar[Component] = Component.ATTENTION
    """As its tensors are named."""

    hidden_size: int
    num_attention_heads: int
    head_dim: int
    block_size: int
    """How many tokens are looked at as attention does."""

    @property
    def size(self) -> int:
        return self.num_attention_heads * self.head_dim

    @property
    def linears(self) -> tuple[Linear, ...]:
        hidden = self.hidden_size
        return (
            Linear(name="qkv", out_features=3 * self.size, in_features=hidden),
            Linear(name="gate", out_features=self.size, in_features=hidden),
            Linear(name="o", out_features=hidden, in_features=self.size),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return (vector("norm", self.size),)

    @property
    def states(self) -> tuple[State, ...]:
        """MiniMaxCache keeps it as it was computed."""
        return (State(name="recurrent", shape=(self.num_attention_heads, self.head_dim, self.head_dim)),)
