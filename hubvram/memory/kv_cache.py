"""What transformers' caches hold of each sequence, part by part (transformers 5.23, cache_utils.py).

K and V of tokens (DynamicCache), of what an encoder said (EncoderDecoderCache), and the states of recurrences and
convolutions, which do not grow. A model of both sides reads its input with the encoder: the decoder's own cache
holds the rest of the context, and at least the token that it starts from. Where the encoder hears or sees, its
input is counted in the positions that it says something for, which are always the same number for some (whisper).
A tower for images beside a text model adds nothing while there is no image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, Protocol

from hubvram.architecture.attention import (
    BidirectionalAttention,
    ChunkedAttention,
    CrossAttention,
    FullAttention,
    HiddenStatesAttention,
    LatentAttention,
    SharedKVAttention,
    SlidingAttention,
)
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Chunks, Part, Pool, Recurrence, State
from hubvram.dtypes import COMPUTE_BYTES
from hubvram.memory.chunked_cache import bucket_bytes, padding_bytes

# ------------------------------------------------------------------------------------- of one token


def _keys_and_values(part: FullAttention) -> tuple[int, int]:
    heads = part.num_key_value_heads if part.cached_heads is None else part.cached_heads
    return heads * part.head_dim, heads * (part.v_head_dim or part.head_dim)


def _latent(part: LatentAttention) -> tuple[int, int]:
    return part.kv_lora_rank, part.qk_rope_head_dim


def _nothing(part: Part) -> tuple[int, int]:
    return 0, 0


_FEATURES: Final[Mapping[type, Callable[..., tuple[int, int]]]] = {
    FullAttention: _keys_and_values,
    SlidingAttention: _keys_and_values,
    ChunkedAttention: _keys_and_values,
    CrossAttention: _keys_and_values,
    HiddenStatesAttention: lambda part: (part.hidden_size, 0),
    LatentAttention: _latent,
    BidirectionalAttention: _nothing,
    SharedKVAttention: _nothing,
    DenseMLP: _nothing,
    MoEMLP: _nothing,
}
"""Kind of part -> features of the two tensors that its cache holds of a token. Parts that are not here have a cache
that is not known yet; a recurrence keeps nothing of tokens, a Block says itself what it keeps."""


def _has_features(part: Part) -> bool:
    return isinstance(part, Recurrence) or type(part) in _FEATURES


def features_of(part: Part) -> tuple[int, int]:
    """Features that one token of one sequence adds in one layer: of K and V of all KV heads, or of a latent and the
    part of K that rotates."""
    return _nothing(part) if isinstance(part, Recurrence) else _FEATURES[type(part)](part)


def token_bytes(part: Part, element_bytes: int) -> int:
    """Bytes that one token of one sequence adds in one layer; with the indexer's keys, where it has one."""
    found = sum(features_of(part)) * element_bytes
    if isinstance(part, LatentAttention):
        # DynamicIndexedLayer keeps them beside the latent (index_head_dim is 0 without an indexer).
        found += part.index_head_dim * (COMPUTE_BYTES[part.index_dtype] if part.index_dtype else element_bytes)
    return found


# ----------------------------------------------------------------------------- how many tokens stay


_WINDOWS: Final[Mapping[type, Callable[..., int | None]]] = {
    FullAttention: lambda part: part.cached_tokens,
    HiddenStatesAttention: lambda part: part.cached_tokens,
    LatentAttention: lambda part: part.cached_tokens,
    SlidingAttention: lambda part: part.sliding_window,
    ChunkedAttention: lambda part: part.attention_chunk_size,
}
"""Kind of part -> how many of a sequence's tokens it holds at most, where that is not all."""


def window_of(part: Part) -> int | None:
    """How many tokens of a sequence a layer holds at most; None: all."""
    return _WINDOWS[type(part)](part) if type(part) in _WINDOWS else None


def held_tokens(part: Part, tokens: int, *, step: int = 1) -> int:
    """How many of `tokens` a layer keeps once decoding runs, with `step` of them at once (DynamicSlidingWindowLayer).

    Its slice, `[-sliding_window + 1 :]`, is everything where the window is 1.
    """
    window = window_of(part)
    before = (part.cached_before or 0) if isinstance(part, FullAttention) else 0
    return before + (tokens if window is None or window == 1 else min(tokens, window - 1 + step))


def slots(part: Part, tokens: int, *, step: int = 1) -> int:
    """How many tokens a static layer has room for, in a cache for `tokens` (StaticSlidingWindowLayer); what is heard
    with them has one for its window."""
    window = window_of(part)
    return tokens if window is None else window if step > 1 else min(tokens, window)


# ------------------------------------------------------------------------------------ what is known


def knows_cache(architecture: Architecture) -> bool:
    """Whether every part of every layer has a cache that is known."""
    encoder = architecture.encoder
    if encoder is not None and encoder.source_tokens == 0:
        return False
    return all(_is_known(part) for group in architecture.groups() for part in group.layer.parts)


def _is_known(part: Part) -> bool:
    if isinstance(part, Block):
        return part.is_known_to_keep and all(_is_known(inner) for inner in part.keeps)
    return _has_features(part)


class Rule(Protocol):
    """How many tokens a layer keeps."""

    def __call__(self, part: Part, tokens: int, *, step: int = 1) -> int: ...


class Entry(NamedTuple):
    """What equal layers keep of tokens: `layers` x `tokens` of each sequence x `token_bytes`."""

    kind: str
    layers: int
    tokens: int
    token_bytes: int

    @property
    def sequence_bytes(self) -> int:
        return self.layers * self.tokens * self.token_bytes


def added_bytes(parts: Iterable[Part], element_bytes: int, *, tokens: int, past_tokens: int) -> int:
    """What a pass over `tokens` of one sequence adds to the caches of these parts.

    A prompt's window is all of it until decoding runs.
    """
    return sum(
        token_bytes(part, element_bytes)
        * (held_tokens(part, past_tokens + tokens) - held_tokens(part, past_tokens) if past_tokens else tokens)
        for part in parts
        if _has_features(part)
    )


def kept_entries(
    architecture: Architecture,
    *,
    tokens: int,
    element_bytes: int,
    input_tokens: int | None = None,
    rule: Rule = held_tokens,
) -> Iterator[Entry]:
    """What layers keep of each token, and towers that hear along. Of the `tokens`, `input_tokens` are those of the
    input: all where nothing is said. `rule` says how many of them a layer keeps."""
    decoded, source = lengths(architecture, tokens, input_tokens)
    for count, part in kept_parts(architecture):
        kept = source if type(part) is CrossAttention else rule(part, decoded)
        yield Entry(kind=part.kind, layers=count, tokens=kept, token_bytes=token_bytes(part, element_bytes))
    for count, chunks, _ in chunks_of(architecture):
        of_buckets = bucket_bytes(chunks, decoded, decoded if input_tokens is None else input_tokens)
        yield Entry(kind="buckets of hashes", layers=count, tokens=decoded, token_bytes=of_buckets)
    for step, count, part in _heard(architecture):
        kept = rule(part, step * decoded, step=step)
        yield Entry(kind=part.kind, layers=count, tokens=kept, token_bytes=token_bytes(part, element_bytes))


def kv_cache_bytes(
    architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int, input_tokens: int | None = None
) -> int:
    """Bytes that all layers keep of tokens once decoding runs; exactly linear in the batch."""
    decoded, _ = lengths(architecture, tokens, input_tokens)
    entries = kept_entries(architecture, tokens=tokens, element_bytes=element_bytes, input_tokens=input_tokens)
    pooled = pooled_bytes(architecture, decoded, element_bytes)
    return batch_size * (sum(entry.sequence_bytes for entry in entries) + pooled)


def state_entries(architecture: Architecture) -> Iterator[tuple[int, Part, State]]:
    """(layers, the part, what it keeps of a sequence however long it is): of recurrences and convolutions."""
    for group in architecture.groups():
        for part in group.layer.parts:
            for state in part.states:
                yield group.count, part, state


def state_element_bytes(state: State, element_bytes: int) -> int:
    return COMPUTE_BYTES[state.dtype] if state.dtype else element_bytes


def state_bytes(architecture: Architecture, *, batch_size: int, element_bytes: int) -> int:
    """Bytes of all states."""
    return batch_size * sum(
        count * state.elements * state_element_bytes(state, element_bytes)
        for count, _, state in state_entries(architecture)
    )


def prefill_excess_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """What sliding layers hold after prefill beyond their window, and pools beyond what waits.

    The window kept is a view of the whole prompt's K and V, so that their storage stays until the first
    decode step (cache_utils.py, DynamicSlidingWindowLayer.update).
    """
    decoded, _ = lengths(architecture, tokens, None)
    kept = ((1, count, part) for count, part in kept_parts(architecture))
    of_tokens = 0
    for step, count, part in (*kept, *_heard(architecture)):
        tokens_made = step * decoded
        excess = held_tokens(part, tokens_made, step=tokens_made) - held_tokens(part, tokens_made, step=step)
        of_tokens += count * excess * token_bytes(part, element_bytes)
    waiting = sum(
        count * max(decoded - pool.tokens_per_entry, 0) * pool.waiting_size for count, pool in pools_of(architecture)
    )
    return batch_size * (of_tokens + waiting * element_bytes)


def part_state_bytes(part: Part, element_bytes: int) -> int:
    """Bytes of one part's states of one sequence."""
    return sum(state.elements * state_element_bytes(state, element_bytes) for state in part.states)


def prompt_bytes(layer: Layer, *, tokens: int, element_bytes: int, computed_bytes: int) -> int:
    """What a decoder's layer keeps of one sequence's prompt while prefill runs, be it more than its window."""
    of_tokens = sum(tokens * token_bytes(inner, element_bytes) for part in layer.parts for inner in _keeping(part))
    return of_tokens + sum(part_state_bytes(part, computed_bytes) for part in layer.parts)


def lengths(architecture: Architecture, tokens: int, input_tokens: int | None) -> tuple[int, int]:
    """(tokens in the decoder's own cache, positions that it attends to across)"""
    encoder = architecture.encoder
    if encoder is None:
        return tokens, 0
    if encoder.source_tokens is not None:
        return tokens, encoder.source_tokens
    given = tokens if input_tokens is None else input_tokens
    seen = encoder.image.tokens if encoder.image is not None else 0
    return max(tokens - given, 1), given + seen


def kept_parts(architecture: Architecture) -> Iterator[tuple[int, Part]]:
    """(layers, what keeps K and V in each of them)"""
    for group in architecture.groups():
        for part in group.layer.parts:
            for inner in _keeping(part):
                yield group.count, inner


def _keeping(part: Part) -> tuple[Part, ...]:
    """What keeps K and V in it."""
    return part.keeps if isinstance(part, Block) else (part,)


def _heard(architecture: Architecture) -> Iterator[tuple[int, int, Part]]:
    """(positions with each token, layers, what keeps K and V in each of them) of towers that hear along."""
    for stack in architecture.stacks:
        if stack.cached_per_token:
            for group in stack.groups():
                for part in group.layer.parts:
                    yield stack.cached_per_token, group.count, part


def pools_of(architecture: Architecture) -> Iterator[tuple[int, Pool]]:
    for group in architecture.groups():
        for part in group.layer.parts:
            for pool in part.pools if isinstance(part, Block) else ():
                yield group.count, pool


def chunks_of(architecture: Architecture) -> Iterator[tuple[int, Chunks, Part]]:
    """(layers, chunks, what keeps hidden states in each of them)"""
    for group in architecture.groups():
        for part in group.layer.parts:
            if isinstance(part, Block) and part.chunks is not None:
                for inner in part.keeps:
                    yield group.count, part.chunks, inner


def prompt_padding_bytes(architecture: Architecture, *, tokens: int, batch_size: int, element_bytes: int) -> int:
    """What layers hold after prefill of the padding that fills its last chunk: a longer prompt may have less of it."""
    return batch_size * sum(
        count * padding_bytes(chunks, tokens, token_bytes(kept, element_bytes))
        for count, chunks, kept in chunks_of(architecture)
    )


def pooled_bytes(architecture: Architecture, tokens: int, element_bytes: int) -> int:
    """Entries, what is carried into the next one, and tokens that wait: as many as an entry takes, of which there are
    fewer at most steps (deepseek_v4, DeepseekV4CSACache)."""
    found = 0
    for count, pool in pools_of(architecture):
        entries, waiting = tokens // pool.tokens_per_entry, min(tokens, pool.tokens_per_entry)
        of_tokens = (entries * pool.entry_size + waiting * pool.waiting_size) * element_bytes
        carried = pool.carried_size * (element_bytes + COMPUTE_BYTES["fp32"]) if entries else 0
        found += count * (of_tokens + carried)
    return found
