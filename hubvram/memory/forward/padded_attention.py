"""Attention whose heads are filled up with zeros, on both sides of an encoder-decoder, played: moonshine's
(modeling_moonshine.py, MoonshineAttention.forward).
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import BidirectionalAttention, CrossAttention, FullAttention
from hubvram.memory.forward.attention import eager, keys_of
from hubvram.memory.forward.rotation import Widths, halves_then_rest
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor


def mix_padded(run: Run, mixer: FullAttention) -> Tensor | None:
    """Q, K and V, rotated but across; each is copied where it is filled up."""
    query = run.features("Q", mixer.q_size)
    keys, made = _keys_and_values(run, mixer)
    padded = replace(mixer, head_dim=mixer.padded_head_dim or mixer.head_dim)
    copies = []
    if padded is not mixer and mixer.padded_head_dim:
        query = run.features("Q, filled up", padded.q_size)
        copies.append(run.tensor("K, filled up", keys, padded.k_size))
        if made is not None:
            made = run.features("V", mixer.v_size)
        copies.append(run.tensor("V, filled up", keys, padded.v_size))
        made = None
    if run.is_eager:
        probabilities = eager(run, padded, keys)
        del query, made, copies
        return probabilities
    said = run.features("what heads say", padded.q_size)
    cut = run.features("the same, as wide as it was", mixer.q_size) if mixer.padded_head_dim else None
    del said, cut
    said = run.features("what heads say, and O", mixer.q_size + mixer.o_size)
    del said, query, made, copies
    return None


def _keys_and_values(run: Run, mixer: FullAttention) -> tuple[int, Tensor | None]:
    """(how many tokens are seen, K and V where they are not the cache's). Beside the cache while it takes them."""
    width = mixer.k_size + mixer.v_size
    if isinstance(mixer, CrossAttention):
        source = run.sizes.source_tokens
        made = None if run.decodes else run.tensor("K and V of what the encoder says, as made", source, width)
        del made
        return source, None
    made = run.features("K and V", width)
    tables = run.shared("cos and sin, repeated", 2, run.tokens, run.rotary_dim)
    rotated = run.rotary_dim * mixer.num_attention_heads, run.rotary_dim * mixer.num_key_value_heads
    halves_then_rest(run, Widths(mixer.q_size, mixer.k_size, *rotated))
    del tables
    if isinstance(mixer, BidirectionalAttention):
        return run.tokens, made
    old = run.tensor("K before this token", run.past_tokens, mixer.k_size) if run.decodes else None
    del made, old
    return keys_of(run, mixer), None
