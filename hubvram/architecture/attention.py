"""Attention in its kinds: over everything, a window or a chunk, both ways, across, and through a latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hubvram.architecture.parts import Linear, Part, Tensor, Weight, vector
from hubvram.checkpoint.components import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class FullAttention(Part):
    """Softmax attention over all earlier tokens; grouped where K and V have fewer heads than Q."""

    kind: ClassVar[str] = "full_attention"
    component: ClassVar[Component] = Component.ATTENTION

    hidden_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    v_head_dim: int | None = None
    """Where a head of V has another size than one of K."""
    qkv_bias: bool = False
    k_bias: bool | None = None
    """Where K differs from Q and V (whisper has none)."""
    o_bias: bool = False
    qk_norm: bool = False
    """Whether Q and K are normalized, by default head by head, with one weight of head_dim each."""
    qk_norm_all_heads: bool = False
    """Whether the norms have a weight for each feature of each head instead."""
    qk_norm_bias: bool = False
    output_gate: bool = False
    """Whether Q's matrix also makes a gate for each of its features (qwen3_next)."""
    gate_size: int | None = None
    """Rows of a matrix that makes gates: one for each head, or for each of its features (laguna, afmoe)."""
    o_features: int | None = None
    """Width of what O makes, where that is not hidden_size (zamba reads two hidden states side by side)."""
    fused_qkv: bool = False
    """Whether one matrix makes Q, K and V: the same parameters, other activations."""
    v_from_k: bool = False
    """Whether V is what K's matrix makes, before norm and rotation (gemma4): cached apart, no matrix of its own."""
    cached_heads: int | None = None
    """Heads of K and V that are cached, where their matrices make others: fewer (falcon), or any (openai-gpt)."""
    cached_tokens: int | None = None
    """How many tokens the cache keeps, where the config names a window that attention itself does not know."""
    cached_before: int | None = None
    """How many positions that are no tokens of the text the cache keeps before them."""
    keep_window: int | None = None
    """Up to how many tokens all are looked at; of more, as many as V says matter most (doge)."""
    padded_head_dim: int | None = None
    """What heads of Q, K and V are filled up to with zeros before attention (moonshine)."""
    masks_later: bool = False
    """Whether a mask of each sequence hides what comes later; else nothing does (xlm, by its `causal`)."""
    others: tuple[Weight, ...] = ()
    """What else it holds: sinks, a table of relative positions, a gate of its own."""

    @property
    def q_size(self) -> int:
        return self.num_attention_heads * self.head_dim

    @property
    def k_size(self) -> int:
        return self.num_key_value_heads * self.head_dim

    @property
    def v_size(self) -> int:
        return self.num_key_value_heads * (self.v_head_dim or self.head_dim)

    @property
    def o_size(self) -> int:
        return self.o_features or self.hidden_size

    @property
    def o_in_features(self) -> int:
        """Width of what heads say, from which O is made."""
        return self.num_attention_heads * (self.v_head_dim or self.head_dim)

    @property
    def kv_in_features(self) -> int:
        """Width of what K and V are made from."""
        return self.hidden_size

    @property
    def linears(self) -> tuple[Linear, ...]:
        hidden, source, bias = self.hidden_size, self.kv_in_features, self.qkv_bias
        q_size = self.q_size * (2 if self.output_gate else 1)
        k_bias = bias if self.k_bias is None else self.k_bias
        v = Linear(name="v", out_features=self.v_size, in_features=source, bias=bias)
        return (
            Linear(name="q", out_features=q_size, in_features=hidden, bias=bias),
            Linear(name="k", out_features=self.k_size, in_features=source, bias=k_bias),
            *(() if self.v_from_k else (v,)),
            Linear(name="o", out_features=self.o_size, in_features=self.o_in_features, bias=self.o_bias),
            *((Linear(name="gate", out_features=self.gate_size, in_features=hidden),) if self.gate_size else ()),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        return (*self._norms, *self.others)

    @property
    def _norms(self) -> tuple[Tensor, ...]:
        """The q/k norms: attention, as its other parameters are."""
        if not self.qk_norm:
            return ()
        sizes = (self.q_size, self.k_size) if self.qk_norm_all_heads else (self.head_dim, self.head_dim)
        kinds = ("norm", "norm bias") if self.qk_norm_bias else ("norm",)
        return tuple(vector(f"{name} {kind}", size) for kind in kinds for name, size in zip("qk", sizes, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingAttention(FullAttention):
    """The same over the last `sliding_window` tokens only."""

    kind: ClassVar[str] = "sliding_attention"

    sliding_window: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkedAttention(FullAttention):
    """The same within chunks of `attention_chunk_size` tokens (llama4)."""

    kind: ClassVar[str] = "chunked_attention"

    attention_chunk_size: int


class HiddenStatesAttention(FullAttention):
    """Attention that keeps the hidden states of earlier tokens, and makes K and V of them anew (xlnet)."""

    __slots__ = ()


class OwnCacheAttention(FullAttention):
    """Full attention whose K and V transformers keeps in a way of its own, or not at all."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BidirectionalAttention(FullAttention):
    """An encoder's: every token sees all others, or those within `sliding_window`. Nothing is cached."""

    kind: ClassVar[str] = "bidirectional_attention"

    sliding_window: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossAttention(FullAttention):
    """A decoder's over what an encoder or a tower said, of width `encoder_hidden_size`."""

    kind: ClassVar[str] = "cross_attention"

    encoder_hidden_size: int

    @property
    def kv_in_features(self) -> int:
        return self.encoder_hidden_size


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedKVAttention(FullAttention):
    """Attention with the K and V of an earlier layer (gemma3n). Only Q and O are its own."""

    kind: ClassVar[str] = "shared_kv_attention"

    sliding_window: int | None = None

    @property
    def linears(self) -> tuple[Linear, ...]:
        return tuple(linear for linear in super(SharedKVAttention, self).linears if linear.name in "qo")

    @property
    def _norms(self) -> tuple[Tensor, ...]:
        return tuple(norm for norm in super(SharedKVAttention, self)._norms if norm.name.startswith("q"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentAttention(Part):
    """Multi-head latent attention: K and V are made from a latent of kv_lora_rank (DeepSeek-V2, 2405.04434)."""

    kind: ClassVar[str] = "latent_attention"
    component: ClassVar[Component] = Component.ATTENTION

    hidden_size: int
    num_attention_heads: int
    q_lora_rank: int | None
    """None where Q is made by one matrix."""
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    attention_bias: bool = False
    """Of the matrices that read and write the hidden states: q_a, kv_a, o."""
    index_n_heads: int = 0
    """Heads of the indexer that chooses which tokens are looked at (DeepSeek-V3.2); 0 without one."""
    index_head_dim: int = 0
    index_topk: int = 0
    """How many tokens are looked at; an earlier layer's indexer may have chosen them."""
    index_dtype: str | None = None
    """Of the indexer's keys, where that is not the model's (dots3_note)."""
    cached_tokens: int | None = None
    """How many tokens the cache keeps, where the config names a window that attention itself does not know."""
    gated_query: bool = False
    """Whether one matrix makes Q and a gate for each feature of V, from twice the rank (axk2)."""
    gates: tuple[Linear, ...] = ()
    """Matrices that weigh what each head says, and others that a quantizer packs."""
    others: tuple[Weight, ...] = ()

    @property
    def qk_head_dim(self) -> int:
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def q_size(self) -> int:
        return self.num_attention_heads * self.qk_head_dim

    @property
    def k_size(self) -> int:
        return self.num_attention_heads * self.qk_head_dim

    @property
    def v_size(self) -> int:
        return self.num_attention_heads * self.v_head_dim

    @property
    def o_size(self) -> int:
        return self.hidden_size

    @property
    def linears(self) -> tuple[Linear, ...]:
        latent, bias = self.kv_lora_rank + self.qk_rope_head_dim, self.attention_bias
        expanded = self.num_attention_heads * (self.qk_nope_head_dim + self.v_head_dim)
        return (
            *self._query,
            Linear(name="kv_a", out_features=latent, in_features=self.hidden_size, bias=bias),
            Linear(name="kv_b", out_features=expanded, in_features=self.kv_lora_rank),
            Linear(name="o", out_features=self.hidden_size, in_features=self.v_size, bias=bias),
            *self._indexer,
            *self.gates,
        )

    @property
    def _query(self) -> tuple[Linear, ...]:
        rank = self.q_lora_rank
        if rank is None:
            return (Linear(name="q", out_features=self.q_size, in_features=self.hidden_size),)
        return (
            Linear(name="q_a", out_features=rank, in_features=self.hidden_size, bias=self.attention_bias),
            Linear(name="q_b and gate", out_features=self.q_size + self.v_size, in_features=2 * rank)
            if self.gated_query
            else Linear(name="q_b", out_features=self.q_size, in_features=rank),
        )

    @property
    def _indexer(self) -> tuple[Linear, ...]:
        heads, hidden = self.index_n_heads, self.hidden_size
        if not heads:
            return ()
        return (
            Linear(name="index q", out_features=heads * self.index_head_dim, in_features=self.q_lora_rank or hidden),
            Linear(name="index k", out_features=self.index_head_dim, in_features=hidden),
            Linear(name="index weights", out_features=heads, in_features=hidden),
        )

    @property
    def tensors(self) -> tuple[Weight, ...]:
        norms = [vector("kv_a norm", self.kv_lora_rank)]
        if self.q_lora_rank is not None:
            norms.append(vector("q_a norm", self.q_lora_rank))
        if self.index_n_heads:
            norms += [vector("index k norm", self.index_head_dim), vector("index k norm bias", self.index_head_dim)]
        return (*norms, *self.others)
