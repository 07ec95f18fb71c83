"""Attention to blocks of tokens: of few model types, and read by those who have one."""

from __future__ import annotations

from dataclasses import dataclass

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.parts import Block, Chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSparseAttention(Block):
    """Attention to the blocks of tokens that an indexer chose; what it keeps first is attention of the usual kind."""

    index_block_size: int
    index_topk_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseBidirectionalAttention(BidirectionalAttention):
    """The same over a short input; of a longer one, each block sees the first and the last one, those beside it, and
    `random_blocks` more (big_bird)."""

    block_size: int
    random_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionInChunks(Block):
    """A decoder's that sees a token's chunk and those before it; with hashes, chunks of tokens that are sorted by their
    buckets (reformer). It keeps hidden states, and makes K and V of them anew."""

    chunks: Chunks
    hidden_size: int
    num_attention_heads: int
    head_dim: int
    num_chunks_before: int
    num_hashes: int = 0
    num_buckets: tuple[int, ...] = ()
    """Of a hash, in factors; none where the first long prompt decides."""

    @property
    def inner_size(self) -> int:
        """Width of Q, of K, of V, and of what heads say."""
        return self.num_attention_heads * self.head_dim


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockwiseAttention(Block):
    """An encoder's that looks at blocks of its tokens in a way of its own, which `kind` names."""

    attention: BidirectionalAttention
    """What it makes Q, K and V by, and its window."""
    staggered: bool = False
    """Whether its blocks begin in the middle of those of other layers (pegasus_x)."""
    summed_tokens: int = 0
    """Of blocks whose sums all tokens see (longt5)."""
