"""What one sequence alone reads where it is, and several have copied for a product (ATen, matmul and reshape).

The programs are linear in the batch and describe several, so that they say too much for one, by at most this.
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention, LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Block, Part
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.windows import stages
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.workload import Attention


def spared_bytes(architecture: Architecture, run: Sizes) -> int:
    """Of a batch of one, in 16 bits: V through a latent; the one head of K or V for all of Q, beside Q, or all of them
    in fp32 where sdpa is composed; Q in bloom, and in flint in fp32; in griffin what was convolved; the mask of
    swin's windows. 0 for several sequences."""
    eager, mixers = run.attention is Attention.EAGER, [layer.mixer for layer in architecture.layers]
    mixer = next((mixer for mixer in mixers if isinstance(mixer, LatentAttention)), mixers[0])
    if run.batch_size > 1:
        return 0
    if architecture.model_type == "swin":
        moved = (place for stage in stages(architecture) for place, _ in stage if place.is_moved)
        return max((2 * place.windows * place.pairs for place in moved), default=0)
    if isinstance(mixer, LatentAttention):
        return 2 * _keys(mixer, run) * mixer.v_size if eager else 0
    if architecture.model_type == "deepseek_v4":
        return _of_entries(architecture, run)
    if isinstance(mixer, Block):
        return _of_recurrences(architecture, run)
    if not isinstance(mixer, FullAttention):
        return 0
    if architecture.model_type == "bloom":
        return 2 * run.tokens * mixer.q_size
    if architecture.model_type == "flint":
        return 4 * run.tokens * mixer.q_size * (eager and not run.decodes)
    composed = architecture.model_type == "falcon" and run.attention is Attention.SDPA
    return (2 * eager + 4 * composed) * _of_single_head(mixer, run)


def _of_single_head(mixer: FullAttention, run: Sizes) -> int:
    """Elements of the head of K or V, for all of Q, and Q."""
    return (
        (_keys(mixer, run) + run.tokens) * mixer.q_size
        if mixer.num_key_value_heads == 1 < mixer.num_attention_heads
        else 0
    )


def _of_recurrences(architecture: Architecture, run: Sizes) -> int:
    """What griffin convolved over a prompt, in the order of tokens; or what attention between recurrences spares."""
    mixers = [layer.mixer for layer in architecture.layers]
    heads = [_of_single_head(mixer, run) for mixer in mixers if isinstance(mixer, FullAttention)]
    eager = max(heads, default=0) if run.attention is Attention.EAGER else 0
    widths = [mixer.states[0].shape[0] for mixer in mixers if isinstance(mixer, Block) and mixer.kind == "rg_lru"]
    return 2 * max(eager, 0 if run.decodes else run.tokens * max(widths, default=0))


def _of_entries(architecture: Architecture, run: Sizes) -> int:
    """K that is V, of window and entries, for all heads of any layer."""
    found = 0
    for block in (layer.mixer for layer in architecture.layers if isinstance(layer.mixer, Block)):
        query = next(linear.out_features for linear in block.weights if linear.name == "q b")
        tokens = run.past_tokens + run.tokens
        entries = tokens // block.pools[0].tokens_per_entry if block.pools else 0
        found = max(found, 2 * query * (held_tokens(block.keeps[0], tokens) + entries))
    return found


def _keys(mixer: Part, run: Sizes) -> int:
    return held_tokens(mixer, run.past_tokens + run.tokens)


def step_of(run: Sizes, past_tokens: int) -> Sizes:
    """One decoded token behind so many, which the run's were the first of."""
    return replace(run, tokens=1, past_tokens=past_tokens, decodes=True, prompt_tokens=run.tokens)
