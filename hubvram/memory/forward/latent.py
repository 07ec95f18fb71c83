"""Attention through a latent, played: it is cached compressed, and K and V are made of all of it for all heads.

(modeling_deepseek_v3.py, DeepseekV3Attention.forward, expand_kv)
"""

from __future__ import annotations

from hubvram.architecture.attention import LatentAttention
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor
from hubvram.memory.kv_cache import held_tokens


def play_latent_attention(run: Run, mixer: LatentAttention) -> Tensor | None:
    """Q as made, its part that rotates, both joined; the latent as made; what kv_b makes, and K, which is copied
    together from that and the rotated part. Eager attention's product with V copies it into the order of heads, if
    there are several sequences; what heads say is copied into that of tokens."""
    heads = mixer.num_attention_heads
    keys = held_tokens(mixer, run.keys) if run.decodes else run.tokens
    _query_linears(run, mixer)
    rotated = mixer.q_size + heads * mixer.qk_rope_head_dim if run.code.rotates else 0
    query = run.features("Q as made and rotated", mixer.q_size + rotated)
    run.linear(mixer.hidden_size, mixer.kv_lora_rank + mixer.qk_rope_head_dim)
    latent = run.features("the latent as made", mixer.kv_lora_rank + mixer.qk_rope_head_dim)
    cached = run.sizes.cached
    update = run.packing("what the cache packs and unpacks", cached.update_bytes) if cached else None
    del update
    unpacked = run.packing("latents unpacked", cached.unpacked_bytes) if cached else None
    run.linear(mixer.kv_lora_rank, heads * (mixer.qk_nope_head_dim + mixer.v_head_dim), tokens=keys)
    made = run.tensor("K without rotation, and V", keys, heads * (mixer.qk_nope_head_dim + mixer.v_head_dim))
    joined = run.tensor("K", keys, mixer.k_size)
    probabilities = None
    if run.is_eager:
        probabilities = _eager(run, mixer, keys)
    else:
        said = run.features("what heads say, and O", mixer.v_size + mixer.hidden_size)
        del said
    if mixer.gates:
        _gate(run, mixer)
    run.linear(mixer.v_size, mixer.o_size, beside=mixer.v_size)
    del query, latent, unpacked, made, joined
    return probabilities


def _eager(run: Run, mixer: LatentAttention, keys: int) -> Tensor:
    """Returns the probabilities."""
    play_scores(run, mixer.num_attention_heads, keys)
    probabilities = run.tensor("probabilities", mixer.num_attention_heads, run.tokens, keys)
    copied = None if run.is_alone else run.tensor("V in the order of heads", keys, mixer.v_size)
    said = run.features("what heads say", mixer.v_size)
    del copied
    # Of one token both orders are the same.
    ordered = run.features("the same by tokens", mixer.v_size) if run.tokens > 1 else None
    del said, ordered
    return probabilities


def _gate(run: Run, mixer: LatentAttention) -> None:
    """One for each head, beside what heads say (modeling_bailing_hybrid.py, BailingHybridAttention.forward)."""
    said = run.features("what heads say", mixer.v_size)
    gates = sum(linear.out_features for linear in mixer.gates)
    gated = run.features("gates, and what they leave of what heads say", mixer.v_size + gates)
    del said, gated


def _query_linears(run: Run, mixer: LatentAttention) -> None:
    """One matrix, or two with what is between them."""
    rank = mixer.q_lora_rank
    if rank is None:
        run.linear(mixer.hidden_size, mixer.q_size)
        return
    run.linear(mixer.hidden_size, rank)
    run.linear(rank, mixer.q_size, beside=rank)
