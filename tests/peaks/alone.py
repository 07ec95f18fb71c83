"""What one sequence alone reads where it is, and several have copied for a product (ATen, matmul and reshape).

The programs are linear in the batch and describe several, so that they say too much for one, by at most this.
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention, LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Part
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.windows import stages
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.workload import Attention


def spared_bytes(architecture: Architecture, run: Sizes) -> int:
    """Of a batch of one, in 16 bits: V through a latent; the one head of K or V for all of Q, beside Q, or all of them
    in fp32 where sdpa is composed; Q in bloom; the mask of swin's windows. 0 for several sequences."""
    eager, mixers = run.attention is Attention.EAGER, [layer.mixer for layer in architecture.layers]
    mixer = next((mixer for mixer in mixers if isinstance(mixer, LatentAttention)), mixers[0])
    if run.batch_size > 1:
        return 0
    if architecture.model_type == "swin":
        moved = (place for stage in stages(architecture) for place, _ in stage if place.is_moved)
        return max((2 * place.windows * place.pairs for place in moved), default=0)
    if isinstance(mixer, LatentAttention):
        return 2 * _keys(mixer, run) * mixer.v_size if eager else 0
    if not isinstance(mixer, FullAttention):
        return 0
    if architecture.model_type == "bloom":
        return 2 * run.tokens * mixer.q_size
    if mixer.num_key_value_heads == 1 < mixer.num_attention_heads:
        composed = architecture.model_type == "falcon" and run.attention is Attention.SDPA
        return (2 * eager + 4 * composed) * (_keys(mixer, run) + run.tokens) * mixer.q_size
    return 0


def _keys(mixer: Part, run: Sizes) -> int:
    return held_tokens(mixer, run.past_tokens + run.tokens)


def step_of(run: Sizes, past_tokens: int) -> Sizes:
    """One decoded token behind so many."""
    return replace(run, tokens=1, past_tokens=past_tokens, decodes=True)
