"""The KV cache as transformers' DynamicCache holds it, layer by layer (transformers 5.23, cache_utils.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hubvram.architecture.layers import Architecture, FullAttention, SlidingAttention, TokenMixer


def token_bytes(mixer: TokenMixer, element_bytes: int) -> int:
    """Bytes that one token of one sequence adds in one layer: K and V of all KV heads."""
    return (mixer.k_size + mixer.v_size) * element_bytes


def _all(mixer: FullAttention, tokens: int) -> int:
    return tokens


def _window(mixer: SlidingAttention, tokens: int) -> int:
    return min(tokens, mixer.sliding_window)


_TOKENS_HELD: Final[Mapping[type, Callable[..., int]]] = {FullAttention: _all, SlidingAttention: _window}
"""Kind of layer -> how many of a sequence's tokens it holds (DynamicLayer, DynamicSlidingWindowLayer)."""


def held_tokens(mixer: TokenMixer, tokens: int) -> int:
    """How many of `tokens` a layer keeps once decoding runs."""
    return _TOKENS_HELD[type(mixer)](mixer, tokens)


def kv_cache_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """Bytes of all layers' caches once decoding runs; exactly linear in the batch."""
    return batch_size * sum(
        group.count * held_tokens(group.layer.mixer, tokens) * token_bytes(group.layer.mixer, element_bytes)
        for group in architecture.groups()
    )


def prefill_excess_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """What sliding layers hold after prefill beyond their window.

    The window kept is a view of the whole prompt's K and V, so that their storage stays until the first
    decode step (cache_utils.py, DynamicSlidingWindowLayer.update).
    """
    return batch_size * sum(
        group.count * (tokens - held_tokens(group.layer.mixer, tokens)) * token_bytes(group.layer.mixer, element_bytes)
        for group in architecture.groups()
    )
