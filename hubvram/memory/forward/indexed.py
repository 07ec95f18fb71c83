"""Attention through a latent to what an indexer chose of all tokens, played (deepseek_v32, glm_moe_dsa).

The code described is transformers' own: scores of all heads of the indexer with all tokens, in fp32, and a mask of
what it chose; kernels that look at the chosen tokens alone are the repos' (modeling_deepseek_v32.py).
"""

from __future__ import annotations

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.attention import play_scores
from hubvram.memory.forward.decoder import play_decoder, play_embedding
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor
from hubvram.memory.kv_cache import held_tokens

_PLACE: int = 8
_CHOICE: int = 4
"""Of a token, as `topk` says it, and as it is kept."""


def play_handing_on(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder in which each layer is handed what the one before chose (modeling_glm_moe_dsa.py)."""
    return play_decoder(run, architecture, copies_logits, embed=_embed)


def _embed(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    before = next((_chosen(run, mixer) for mixer in _indexed(architecture)), None)
    return (*play_embedding(run, architecture), *((before,) if before else ()))


def _indexed(architecture: Architecture) -> list[LatentAttention]:
    mixers = [group.layer.mixer for group in architecture.groups()]
    return [mixer for mixer in mixers if isinstance(mixer, LatentAttention) and mixer.index_n_heads]


def _chosen(run: Run, mixer: LatentAttention) -> Tensor:
    return run.features("tokens that an indexer chose", min(mixer.index_topk, run.keys), element_bytes=_CHOICE)


def play_handed_on_attention(run: Run, mixer: LatentAttention) -> Kept:
    """The same; the layer hands on what was chosen, which it keeps."""
    return play_indexed_attention(run, mixer), _chosen(run, mixer)


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
        del said, query, latent, made, joined, chosen, masks, additive
        return None
    more = run.tensor("the mask, and what is not chosen", run.tokens, keys, element_bytes=run.element_bytes - 1)
    play_scores(run, heads, keys)
    probabilities = run.tensor("probabilities", heads, run.tokens, keys)
    copied = run.tensor("V once more", keys, mixer.v_size) if run.decodes and not run.is_alone else None
    del query, latent, made, joined, chosen, masks, more, copied
    return probabilities


def _play_indexer(run: Run, mixer: LatentAttention, keys: int) -> None:
    """Its Q and K, rotated in part and joined; both in fp32, scores by `matmul`, scaled; and the largest of their sums.

    Q's tokens are a dimension of the batch to that `matmul`, for which K is copied once for each of them: but not
    where there is one sequence, of which a view does.
    """
    width, heads, rotated = mixer.index_head_dim, mixer.index_n_heads, mixer.qk_rope_head_dim
    query = run.features("the indexer's Q, as made and joined", 2 * heads * width)
    # K, which the cache counts, has been made before.
    parts = run.features("its K as made, and parts that rotate", width + (heads + 1) * rotated)
    old = run.tensor("its K joined, and K before this token", keys, width) if run.decodes else None
    del old
    in_fp32 = run.in_fp32("its Q in fp32", run.tokens, heads * width)
    keys_in_fp32 = run.in_fp32("its K in fp32", keys, width)
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
    del query, parts, scores, weights, sums, largest
