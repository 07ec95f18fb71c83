"""The KV cache as transformers' DynamicCache holds it, part by part (transformers 5.23, cache_utils.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from hubvram.architecture.attention import (
    BidirectionalAttention,
    ChunkedAttention,
    FullAttention,
    LatentAttention,
    SharedKVAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Part


def _keys_and_values(part: FullAttention) -> int:
    heads = part.num_key_value_heads if part.cached_heads is None else part.cached_heads
    return heads * (part.head_dim + (part.v_head_dim or part.head_dim))


def _latent(part: LatentAttention) -> int:
    # DynamicIndexedLayer keeps the indexer's keys beside the latent (index_head_dim is 0 without one).
    return part.kv_lora_rank + part.qk_rope_head_dim + part.index_head_dim


def _nothing(part: Part) -> int:
    return 0


_TOKEN_ELEMENTS: Final[Mapping[type, Callable[..., int]]] = {
    FullAttention: _keys_and_values,
    SlidingAttention: _keys_and_values,
    ChunkedAttention: _keys_and_values,
    LatentAttention: _latent,
    BidirectionalAttention: _nothing,
    SharedKVAttention: _nothing,
    DenseMLP: _nothing,
    MoEMLP: _nothing,
    Block: _nothing,  # of those, only stateless ones are known
}
"""Kind of part -> elements that one token of one sequence adds to its cache. Parts that are not here have a cache
that is not known yet."""


def _last(window: int, tokens: int) -> int:
    # A layer's slice, `[-sliding_window + 1 :]`, is everything where the window is 1.
    return tokens if window == 1 else min(tokens, window)


def _all(part: Part, tokens: int) -> int:
    return tokens


def _kept(part: FullAttention | LatentAttention, tokens: int) -> int:
    return tokens if part.cached_tokens is None else _last(part.cached_tokens, tokens)


def _window(part: SlidingAttention, tokens: int) -> int:
    return _last(part.sliding_window, tokens)


def _chunk(part: ChunkedAttention, tokens: int) -> int:
    return _last(part.attention_chunk_size, tokens)


_TOKENS_HELD: Final[Mapping[type, Callable[..., int]]] = {
    FullAttention: _kept,
    LatentAttention: _kept,
    SlidingAttention: _window,
    ChunkedAttention: _chunk,
}
"""Kind of part -> how many of a sequence's tokens it holds, where that is not all (DynamicSlidingWindowLayer)."""


def knows_cache(architecture: Architecture) -> bool:
    """Whether every part of every layer has a cache that is known."""
    if any(stack.name == "encoder" for stack in architecture.stacks):
        return False
    return all(_is_known(part) for group in architecture.groups() for part in group.layer.parts)


def _is_known(part: Part) -> bool:
    return part.stateless if isinstance(part, Block) else type(part) in _TOKEN_ELEMENTS


def token_bytes(part: Part, element_bytes: int) -> int:
    """Bytes that one token of one sequence adds in one layer: K and V of all KV heads, or a latent."""
    return _TOKEN_ELEMENTS[type(part)](part) * element_bytes


def held_tokens(part: Part, tokens: int) -> int:
    """How many of `tokens` a layer keeps once decoding runs."""
    return _TOKENS_HELD.get(type(part), _all)(part, tokens)


def _parts(architecture: Architecture) -> Iterator[tuple[int, Part]]:
    for group in architecture.groups():
        for part in group.layer.parts:
            yield group.count, part


def kv_cache_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """Bytes of all layers' caches once decoding runs; exactly linear in the batch."""
    return batch_size * sum(
        count * held_tokens(part, tokens) * token_bytes(part, element_bytes) for count, part in _parts(architecture)
    )


def prefill_excess_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """What sliding layers hold after prefill beyond their window.

    The window kept is a view of the whole prompt's K and V, so that their storage stays until the first
    decode step (cache_utils.py, DynamicSlidingWindowLayer.update).
    """
    return batch_size * sum(
        count * (tokens - held_tokens(part, tokens)) * token_bytes(part, element_bytes)
        for count, part in _parts(architecture)
    )
