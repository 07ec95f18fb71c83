"""Attention through a latent to what an indexer chose of all tokens, played (deepseek_v32, glm_moe_dsa, axk2).

The code described is transformers' own: scores of all heads of the indexer with all tokens, in fp32, and a mask of
what it chose; kernels that look at the chosen tokens alone are the repos' (modeling_deepseek_v32.py).
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.decoder import is_playable, play_decoder, play_embedding
from hubvram.memory.forward.dots3 import play_gates
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import held_tokens

_PLACE: int = 8
_CHOICE: int = 4
"""Of a token, as `topk` says it, and as it is kept."""


def play_handing_on(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder in which each layer is handed what the one before chose (modeling_glm_moe_dsa.py)."""
    return play_decoder(run, architecture, copies_logits, embed=embed_and_hand_on)


def embed_and_hand_on(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """The embeddings; and what the layer before chose, which each layer is handed."""
    before = next((_chosen(run, mixer) for mixer in _indexed(architecture)), None)
    return (*play_embedding(run, architecture), *((before,) if before else ()))


def _indexed(architecture: Architecture) -> list[LatentAttention]:
    mixers = [group.layer.mixer for group in architecture.groups()]
    return [mixer for mixer in mixers if isinstance(mixer, LatentAttention) and mixer.index_n_heads]


def _chosen(run: Run, mixer: LatentAttention) -> Tensor:
    return run.features("tokens that an indexer chose", min(mixer.index_topk, run.keys), element_bytes=_CHOICE)


def play_handed_on_attention(run: Run, mixer: LatentAttention) -> Kept:
    """The same; the layer hands on what was chosen, which it keeps. Gates of their own are made first (hy_v4)."""
    gates = sum(linear.out_features for linear in mixer.gates)
    made = run.features("gates as made", gates) if gates else None
    kept = play_indexed_attention(run, mixer)
    del made
    return kept, _chosen(run, mixer)


def play_attention_with_gated_query(run: Run, mixer: LatentAttention) -> Kept:
    """One matrix makes Q and gates, of Q's latent before its norm and behind; the gates are copied, and weigh what
    heads say in fp32 (modeling_axk2.py, AXK2Attention.forward)."""
    width = (mixer.q_lora_rank or 0) + 2 * mixer.v_size
    gates = run.features("Q's latent before its norm, and gates as made and copied", width)
    kept = play_indexed_attention(run, mixer)
    del gates
    return kept


def _weigh(run: Run, mixer: LatentAttention) -> None:
    """What heads say, by gates: in fp32 where Q's matrix made them (axk2)."""
    said = run.features("what heads say", mixer.v_size)
    gate_bytes = FP32 if mixer.gated_query else None
    gated = run.features("gates in (0, 1), and what they leave", 2 * mixer.v_size, element_bytes=gate_bytes)
    del said, gated


def is_gated_query_playable(architecture: Architecture) -> bool:
    """Whether nothing but gates of Q's matrix stands in the way of a decoder."""
    return is_playable(replace(architecture, layers=tuple(_ungated(layer) for layer in architecture.layers)))


def _ungated(layer: Layer) -> Layer:
    mixer = layer.mixer
    return replace(layer, mixer=replace(mixer, gated_query=False)) if isinstance(mixer, LatentAttention) else layer


def play_indexed_attention(run: Run, mixer: LatentAttention) -> Kept:
    """As through a latent alone; and between K and the softmax the indexer and its mask. Returns the probabilities."""
    heads, keys = mixer.num_attention_heads, held_tokens(mixer, run.keys) if run.decodes else run.tokens
    query = run.features("Q as made and rotated", 2 * mixer.q_size + heads * mixer.qk_rope_head_dim)
    latent = run.features("latents of Q and KV", (mixer.q_lora_rank or 0) + mixer.kv_lora_rank + mixer.qk_rope_head_dim)
    made = run.tensor("K without rotation, and V", keys, heads * (mixer.qk_nope_head_dim + mixer.v_head_dim))
    joined = run.tensor("K", keys, mixer.k_size)
    if mixer.index_n_heads:
        _play_indexer(run, mixer, keys)
    chosen = _chosen(run, mixer)
    places = run.features("their places", min(mixer.index_topk, keys), element_bytes=_PLACE)
    masks = run.tensor("what is not chosen, twice", 2, run.tokens, keys, element_bytes=1)
    del places
    if not run.is_eager:
        additive = run.tensor("additive mask", run.tokens, keys)
        said = run.features("what heads say, and O", mixer.v_size + mixer.hidden_size)
        del said, additive
        _play_gates(run, mixer)
        del query, latent, made, joined, chosen, masks
        return None
    more = run.tensor("the mask, and what is not chosen", run.tokens, keys, element_bytes=run.element_bytes - 1)
    columns = run.code.sink_columns
    play_scores(run, heads, keys, columns)
    probabilities = run.tensor("probabilities", heads, run.tokens, keys + columns)
    before = run.tensor("scores before", heads, run.tokens, keys + columns) if columns else None
    copied = run.tensor("V once more", keys, mixer.v_size) if run.decodes and not run.is_alone else None
    said = run.features("what heads say", mixer.v_size)
    del before, copied, said
    _play_gates(run, mixer)
    del query, latent, made, joined, chosen, masks, more
    return probabilities


def _play_gates(run: Run, mixer: LatentAttention) -> None:
    if mixer.gated_query:
        _weigh(run, mixer)
    if mixer.gates:
        play_gates(run, mixer)


def _play_indexer(run: Run, mixer: LatentAttention, keys: int) -> None:
    """Its Q and K, rotated in part and joined; both in fp32, scores by `matmul`, scaled; and the largest of their sums.

    Q's tokens are a dimension of the batch to that `matmul`, for which K is copied once for each of them: but not
    where there is one sequence, of which a view does.
    """
    width, heads, rotated = mixer.index_head_dim, mixer.index_n_heads, mixer.qk_rope_head_dim
    # By fp32 tables all that rotates becomes fp32, and what it is joined to; else all is turned to fp32 for scores.
    joined_bytes = FP32 if run.code.rotary_in_fp32 else run.element_bytes
    query = run.features("the indexer's Q, as made", heads * width)
    joined = run.features("its Q, joined", heads * width, element_bytes=joined_bytes)
    # K, which the cache counts, has been made before.
    parts = run.features("its K as made", width)
    turned = run.features("parts that rotate", (heads + 1) * rotated, element_bytes=joined_bytes)
    if run.decodes:
        old = run.tensor("its K joined, and K before this token", keys, width, element_bytes=joined_bytes)
        del old
    in_fp32 = keys_in_fp32 = None
    if joined_bytes < FP32:
        in_fp32 = run.features("its Q in fp32", heads * width, element_bytes=FP32)
        keys_in_fp32 = run.tensor("its K in fp32", keys, width, element_bytes=FP32)
    several = run.tokens > 1 and not run.is_alone
    copied = (
        run.tensor("the same for each token of Q", run.tokens, width, keys, element_bytes=FP32) if several else None
    )
    scores = run.tensor("its scores", run.tokens, heads, keys, element_bytes=FP32)
    del in_fp32, keys_in_fp32, copied
    scaled = run.tensor("the same, scaled", run.tokens, heads, keys, element_bytes=FP32)
    del scaled
    weights = run.features("weights of its heads", heads, element_bytes=FP32)
    sums = run.tensor("sums of its scores", run.tokens, keys, element_bytes=FP32)
    not_mask = 0 if run.is_eager else 1
    masked = run.tensor("the same, masked", run.tokens, keys, element_bytes=FP32 + not_mask)
    del masked
    largest = run.features("the largest, and their places", min(mixer.index_topk, keys), element_bytes=FP32 + _PLACE)
    del query, joined, parts, turned, scores, weights, sums, largest
