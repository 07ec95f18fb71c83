"""dots3_note, played: latent attention to what an indexer chose, and latent attention within a window, both gated.

The first has fp32 tables of positions, by which its indexer's Q and K become fp32 (modeling_dots3_note.py,
Dots3NoteTextModel.forward, Dots3NoteTextAttention.forward).
"""

from __future__ import annotations

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Block, Part
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor
from hubvram.memory.kv_cache import held_tokens

SLIDING = "sliding_latent_attention"


def is_dots3_playable(architecture: Architecture) -> bool:
    """Whether all attention is of these two kinds, with an MLP behind it."""
    return all(
        _latent(group.layer.mixer) is not None and type(group.layer.mlp) in (DenseMLP, MoEMLP)
        for group in architecture.groups()
    )


def positions(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Position ids; cos and sin of each kind, of its own width."""
    tables = [
        run.along("cos and sin", 2 * mixer.qk_rope_head_dim, element_bytes=FP32 if slides is None else None)
        for mixer, slides in _kinds(architecture)
    ]
    return run.position_ids(), *tables


def masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """One for each kind; sdpa's are shared, that of an indexer is always made."""
    found = []
    for mixer, window in _kinds(architecture):
        keys = held_tokens(mixer, run.keys) if run.decodes else run.keys
        if run.is_eager:
            found.append(run.tensor("additive mask", run.tokens, keys))
        elif window is None or run.tokens >= window or run.sizes.padded:
            found.append(run.mask("mask", run.tokens, keys))
    return tuple(found)


def _latent(mixer: Part | None) -> LatentAttention | None:
    if isinstance(mixer, Block) and mixer.kind == SLIDING and isinstance(mixer.keeps[0], LatentAttention):
        return mixer.keeps[0]
    return mixer if isinstance(mixer, LatentAttention) and mixer.index_n_heads else None


def _kinds(architecture: Architecture) -> list[tuple[LatentAttention, int | None]]:
    """Each kind of attention once, with its window."""
    mixers = [_latent(group.layer.mixer) for group in architecture.groups()]
    return list({mixer.cached_tokens: (mixer, mixer.cached_tokens) for mixer in mixers if mixer is not None}.values())


def play_sliding_latent_attention(run: Run, block: Block) -> Tensor | None:
    """As through a latent, with a mask of the window. Returns the probabilities."""
    mixer = block.keeps[0]
    if not isinstance(mixer, LatentAttention):
        raise TypeError(f"no program for {mixer!r}")
    heads, keys = mixer.num_attention_heads, held_tokens(mixer, run.keys) if run.decodes else run.tokens
    query = run.features("Q as made and rotated", 2 * mixer.q_size + heads * mixer.qk_rope_head_dim)
    latent = run.features("latents of Q and KV", (mixer.q_lora_rank or 0) + mixer.kv_lora_rank + mixer.qk_rope_head_dim)
    made = run.tensor("K without rotation, and V", keys, heads * (mixer.qk_nope_head_dim + mixer.v_head_dim))
    joined = run.tensor("K", keys, mixer.k_size)
    probabilities = copied = None
    if run.is_eager:
        play_scores(run, heads, keys)
        probabilities = run.tensor("probabilities", heads, run.tokens, keys)
        copied = run.tensor("V in the order of heads", keys, mixer.v_size)
    elif mixer.cached_tokens is not None and 1 < run.tokens >= mixer.cached_tokens:
        copied = run.tensor("additive mask", run.tokens, keys)
    said = run.features("what heads say", mixer.v_size)
    del copied, said
    play_gates(run, mixer)
    del query, latent, made, joined
    return probabilities


def play_gates(run: Run, mixer: LatentAttention) -> None:
    """What heads say by gates in (0, 1), one for each of them; then O of it."""
    width = sum(gate.out_features for gate in mixer.gates)
    said = run.features("what heads say", mixer.v_size)
    gates = run.features("gates", width)
    gated = run.features("gates in (0, 1), and what they leave", width + mixer.v_size)
    del said, gated
    gated = run.features("what gates leave, and O", mixer.v_size + mixer.hidden_size)
    del gates, gated
