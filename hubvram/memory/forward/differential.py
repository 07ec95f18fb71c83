"""Attention whose heads come in pairs, of which the second's is taken from the first's, played (diffllama).

Each half of V's heads stands for all of them in a pass of attention of its own (modeling_diffllama.py,
DiffLlamaAttention.forward).
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.memory.forward.attention import attend, cache_keys_and_values, keys_of
from hubvram.memory.forward.rotation import Widths
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor


def play_differential_attention(run: Run, mixer: FullAttention) -> Tensor | None:
    """What both passes say is put side by side, and stays until attention is done, as do the probabilities of both;
    those of the first are returned."""
    width, keys = mixer.o_in_features, keys_of(run, mixer)
    query = run.features("Q as made", mixer.q_size)
    run.code.rotation(run, Widths(mixer.q_size, mixer.k_size, mixer.q_size, mixer.k_size))
    del query
    query = run.features("Q", mixer.q_size)
    cache_keys_and_values(run, mixer)
    values = run.tensor("halves of V, each for all heads", keys, 2 * mixer.v_size)
    first = attend(run, mixer, keys)
    said = run.features("what the first pass says", width)
    second = attend(run, mixer, keys)
    both = run.features("what the second says, and both side by side", 3 * width)
    del said, both
    both = run.features("what both say", 2 * width)
    difference = run.features("their difference, normed, and that by a factor", 3 * width)
    del query, values, second, both, difference
    return first
