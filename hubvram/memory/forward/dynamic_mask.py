"""Attention behind a mask that each layer makes anew of V, for each head, played (doge).

(modeling_doge.py, DogeAttention.forward, DogeAttention.prepare_dynamic_mask)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.attention import eager, keys_of, play_attention, repeated_for_heads
from hubvram.memory.forward.run import ID_BYTES, Run
from hubvram.memory.forward.tape import Tensor


def play_dynamic_attention(run: Run, mixer: FullAttention) -> Tensor | None:
    """As in llama up to the cache; then what V keeps of each token, and a mask of that for each head, beside Q."""
    without_mask = play_attention(run, mixer)
    del without_mask
    keys = keys_of(run, mixer)
    query = run.features("Q", mixer.q_size)
    values = run.tensor("V in the order of tokens", keys, mixer.v_size)
    kept = run.tensor("what V keeps of tokens", keys, mixer.num_key_value_heads)
    del values
    mask = _mask(run, mixer, keys)
    cached = run.sizes.cached
    unpacked = run.packing("K and V unpacked", cached.unpacked_bytes) if cached else None
    probabilities = None
    if run.is_eager:
        probabilities = eager(run, mixer, keys)
    else:
        # Heads of Q that share K and V are told apart as if they were tokens, where there is one token alone.
        repeated = None if run.decodes else repeated_for_heads(run, mixer, keys)
        said = run.features("what heads say", mixer.o_in_features)
        del repeated, said
    del query, kept, mask, unpacked
    return probabilities


def _mask(run: Run, mixer: FullAttention, keys: int) -> Tensor:
    """Of each head of K and V; of tokens beyond a window those that are kept most, by their places; then, where these
    are several's, repeated for all heads. Returns what is left."""
    of_heads = (mixer.num_key_value_heads, run.tokens, keys)
    additive = None if run.is_eager else run.tensor("additive mask", run.tokens, keys)
    mask = run.tensor("mask of each head of K and V", *of_heads)
    window = mixer.keep_window
    if window is not None and keys > window:
        marks = run.tensor("marks of those kept", *of_heads)
        largest = run.tensor("the most kept", *of_heads[:2], window)
        places = run.tensor("their places", *of_heads[:2], window, element_bytes=ID_BYTES)
        del largest
        marked = run.tensor("marks of those kept, set", *of_heads)
        del marks
        others = run.tensor("where no mark is", *of_heads, element_bytes=1)
        mask = run.tensor("mask of each head of K and V", *of_heads)
        del marked, places, others
    del additive
    if mixer.num_key_value_heads in (1, mixer.num_attention_heads):
        return mask
    return run.tensor("mask of each head", mixer.num_attention_heads, run.tokens, keys)
