"""Attention whose scores are fp32 from the start, with a sink as one more column (flint), played.

(modeling_flint.py, eager_attention_forward)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.attention import attend, cache_keys_and_values, keys_of, repeated_for_heads
from hubvram.memory.forward.rotation import Widths
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor


def play_flint_attention(run: Run, mixer: FullAttention) -> Tensor | None:
    """Q and K normed, and rotated where a layer slides; caching; softmax."""
    query = run.features("Q as made", mixer.q_size)
    copies = run.norm_copy_bytes * mixer.q_size - run.element_bytes * (mixer.k_size + mixer.v_size)
    if copies > 0:
        normed = run.features("fp32 copies of Q's norm, less K and V", copies, element_bytes=1)
        del normed
    run.code.rotation(run, Widths(mixer.q_size, mixer.k_size, mixer.q_size, mixer.k_size))
    del query
    query = run.features("Q", mixer.q_size)
    cache_keys_and_values(run, mixer)
    keys = keys_of(run, mixer)
    probabilities = _eager(run, mixer, keys) if run.is_eager else attend(run, mixer, keys)
    del query
    return probabilities


def _eager(run: Run, mixer: FullAttention, keys: int) -> Tensor:
    """Q and K in fp32 for the scores, Q of a prompt also in the order of heads; scores with the sinks' column, and the
    softmax of that. One sequence alone is in that order as it is (Run.is_alone)."""
    heads = mixer.num_attention_heads
    repeated = repeated_for_heads(run, mixer, keys)
    query = run.in_fp32("Q in fp32", run.tokens, mixer.q_size)
    has_order = run.is_alone or run.tokens == 1
    ordered = None if has_order else run.features("Q in the order of heads", mixer.q_size, element_bytes=FP32)
    key = run.in_fp32("K in fp32", keys, mixer.q_size)
    scores = run.tensor("scores", heads, run.tokens, keys, element_bytes=FP32)
    del query, ordered, key
    softmax = run.tensor("scores and sinks, and their softmax", 2, heads, run.tokens, keys + 1, element_bytes=FP32)
    del scores, softmax
    probabilities = run.tensor("probabilities", heads, run.tokens, keys)
    said = run.features("what heads say, by heads and by tokens", 2 * mixer.q_size)
    del said, repeated
    return probabilities
