"""What transformers' caches hold of each sequence, part by part (transformers 5.23, cache_utils.py).

K and V of tokens (DynamicCache), of what an encoder said (EncoderDecoderCache), and the states of recurrences and
convolutions, which do not grow. A model of both sides reads its input with the encoder: the decoder's own cache
holds the rest of the context, and at least the token that it starts from. Where the encoder hears or sees, its
input is counted in the positions that it says something for, which are always the same number for some (whisper).
A tower for images beside a text model adds nothing while there is no image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from hubvram.architecture.attention import (
    BidirectionalAttention,
    ChunkedAttention,
    CrossAttention,
    FullAttention,
    LatentAttention,
    SharedKVAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture, Stack
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Part, Pool
from hubvram.architecture.recurrent import GatedDeltaNet, Mamba, Mamba2, ShortConv
from hubvram.dtypes import COMPUTE_BYTES

# ------------------------------------------------------------------------------------- of one token


def _keys_and_values(part: FullAttention, element_bytes: int) -> int:
    heads = part.num_key_value_heads if part.cached_heads is None else part.cached_heads
    return heads * (part.head_dim + (part.v_head_dim or part.head_dim)) * element_bytes


def _latent(part: LatentAttention, element_bytes: int) -> int:
    # DynamicIndexedLayer keeps the indexer's keys beside the latent (index_head_dim is 0 without one).
    index_bytes = COMPUTE_BYTES[part.index_dtype] if part.index_dtype else element_bytes
    return (part.kv_lora_rank + part.qk_rope_head_dim) * element_bytes + part.index_head_dim * index_bytes


def _nothing(part: Part, element_bytes: int) -> int:
    return 0


_TOKEN_BYTES: Final[Mapping[type, Callable[..., int]]] = {
    FullAttention: _keys_and_values,
    SlidingAttention: _keys_and_values,
    ChunkedAttention: _keys_and_values,
    CrossAttention: _keys_and_values,
    LatentAttention: _latent,
    BidirectionalAttention: _nothing,
    SharedKVAttention: _nothing,
    DenseMLP: _nothing,
    MoEMLP: _nothing,
    Mamba: _nothing,
    Mamba2: _nothing,
    GatedDeltaNet: _nothing,
    ShortConv: _nothing,
}
"""Kind of part -> bytes that one token of one sequence adds to its cache. Parts that are not here have a cache that
is not known yet; a Block says itself what it keeps."""


# ----------------------------------------------------------------------------- how many tokens stay


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


# ------------------------------------------------------------------------------------ what is known

_MORE: Final = frozenset({"voxtral_realtime_text"})
"""Model types that keep more than their layers do: this one's audio tower has a cache too."""


def knows_cache(architecture: Architecture) -> bool:
    """Whether every part of every layer has a cache that is known."""
    encoder = _encoder(architecture)
    if architecture.model_type in _MORE or (encoder is not None and encoder.source_tokens == 0):
        return False
    return all(_is_known(part) for group in architecture.groups() for part in group.layer.parts)


def _is_known(part: Part) -> bool:
    if isinstance(part, Block):
        return part.is_known_to_keep and all(_is_known(inner) for inner in part.keeps)
    return type(part) in _TOKEN_BYTES


def token_bytes(part: Part, element_bytes: int) -> int:
    """Bytes that one token of one sequence adds in one layer: K and V of all KV heads, or a latent."""
    return _TOKEN_BYTES[type(part)](part, element_bytes)


def held_tokens(part: Part, tokens: int) -> int:
    """How many of `tokens` a layer keeps once decoding runs."""
    return _TOKENS_HELD.get(type(part), _all)(part, tokens)


def kv_cache_bytes(
    architecture: Architecture,
    *,
    tokens: int,
    batch_size: int,
    element_bytes: int,
    input_tokens: int | None = None,
    computed_bytes: int | None = None,
) -> int:
    """Bytes of all layers' caches once decoding runs; exactly linear in the batch.

    Of the `tokens`, `input_tokens` are those of the input: all where nothing is said. `element_bytes` are those of
    the cache of tokens, `computed_bytes` those that the model computes in, where these are others.
    """
    decoded, source = _lengths(architecture, tokens, input_tokens)
    of_tokens = sum(
        count
        * token_bytes(part, element_bytes)
        * (source if type(part) is CrossAttention else held_tokens(part, decoded))
        for count, part in _kept_parts(architecture)
    )
    pooled = _pooled_bytes(architecture, decoded, element_bytes)
    return batch_size * (of_tokens + pooled + _state_bytes(architecture, computed_bytes or element_bytes))


def prefill_excess_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """What sliding layers hold after prefill beyond their window, and pools beyond what waits.

    The window kept is a view of the whole prompt's K and V, so that their storage stays until the first
    decode step (cache_utils.py, DynamicSlidingWindowLayer.update).
    """
    decoded, _ = _lengths(architecture, tokens, None)
    of_tokens = sum(
        count * (decoded - held_tokens(part, decoded)) * token_bytes(part, element_bytes)
        for count, part in _kept_parts(architecture)
    )
    waiting = sum(
        count * max(decoded - pool.tokens_per_entry, 0) * pool.waiting_size for count, pool in _pools(architecture)
    )
    return batch_size * (of_tokens + waiting * element_bytes)


def _encoder(architecture: Architecture) -> Stack | None:
    return next((stack for stack in architecture.stacks if stack.name == "encoder"), None)


def _lengths(architecture: Architecture, tokens: int, input_tokens: int | None) -> tuple[int, int]:
    """(tokens in the decoder's own cache, positions that it attends to across)"""
    encoder = _encoder(architecture)
    if encoder is None:
        return tokens, 0
    if encoder.source_tokens is not None:
        return tokens, encoder.source_tokens
    source = tokens if input_tokens is None else input_tokens
    return max(tokens - source, 1), source


def _kept_parts(architecture: Architecture) -> Iterator[tuple[int, Part]]:
    """(layers, what keeps K and V in each of them)"""
    for group in architecture.groups():
        for part in group.layer.parts:
            for inner in part.keeps if isinstance(part, Block) else (part,):
                yield group.count, inner


def _pools(architecture: Architecture) -> Iterator[tuple[int, Pool]]:
    for group in architecture.groups():
        for part in group.layer.parts:
            for pool in part.pools if isinstance(part, Block) else ():
                yield group.count, pool


def _pooled_bytes(architecture: Architecture, tokens: int, element_bytes: int) -> int:
    """Entries, what is carried into the next one, and tokens that wait: as many as an entry takes, of which there are
    fewer at most steps (deepseek_v4, DeepseekV4CSACache)."""
    found = 0
    for count, pool in _pools(architecture):
        entries, waiting = tokens // pool.tokens_per_entry, min(tokens, pool.tokens_per_entry)
        of_tokens = (entries * pool.entry_size + waiting * pool.waiting_size) * element_bytes
        carried = pool.carried_size * (element_bytes + COMPUTE_BYTES["fp32"]) if entries else 0
        found += count * (of_tokens + carried)
    return found


def _state_bytes(architecture: Architecture, element_bytes: int) -> int:
    """Bytes of what all layers keep of one sequence, however long it is."""
    return sum(
        group.count * state.elements * (COMPUTE_BYTES[state.dtype] if state.dtype else element_bytes)
        for group in architecture.groups()
        for part in group.layer.parts
        for state in part.states
    )
