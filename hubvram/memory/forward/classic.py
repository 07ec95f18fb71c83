"""Attention of the decoders from before sdpa, played: each class multiplies by itself, and in its own order.

gptj, codegen and gpt_neo turn Q, and K of all tokens, to fp32 first; bloom and mpt add biases by distance (ALiBi).
(modeling_gptj.py, modeling_codegen.py, modeling_gpt_neo.py, modeling_bloom.py, modeling_mpt.py, modeling_xglm.py)
"""

from __future__ import annotations

from copy import copy
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.attention import cache, keys_of
from hubvram.memory.forward.decoder import play_decoder, play_tokens
from hubvram.memory.forward.rotation import Widths, halves
from hubvram.memory.forward.run import FP32, ID_BYTES, Run
from hubvram.memory.forward.tape import Peak, Tensor


def position_ids(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Alone: what Q and K are rotated by, each layer makes itself."""
    return (run.position_ids(),)


def _scores(run: Run, mixer: FullAttention, bytes_each: int) -> Tensor:
    """(B, heads, S, K) of what a softmax has around it; the probabilities are left."""
    sizes = (mixer.num_attention_heads, run.tokens, keys_of(run, mixer))
    scores = run.tensor("scores, and what is made of them", *sizes, element_bytes=bytes_each)
    del scores
    return run.tensor("probabilities", *sizes)


def _say(run: Run, mixer: FullAttention) -> None:
    """What heads say, in the order of heads, and in that of tokens; then O."""
    said = run.features("what heads say, in two layouts", 2 * mixer.q_size)
    del said
    said = run.features("what heads say, and O", mixer.q_size + mixer.o_size)
    del said


# ------------------------------------------------------------------------------ Q and K in fp32


def play_gptj(run: Run, mixer: FullAttention) -> Tensor:
    """What rotates of K, then of Q, is joined to the rest: a view, by which both live on as they were made.

    Sines come from a table that is copied whole, by places that are repeated for each feature; flash attention wants
    K and V in the order of tokens, copied, and returns what it says in the probabilities' place. (GPTJAttention,
    GPTJFlashAttention2.)
    """
    query = run.features("Q as made", mixer.q_size)
    tables = (
        run.along("table of sines", run.rotary_dim, rows=run.max_positions, element_bytes=FP32),
        run.along("sines, and places", run.rotary_dim, element_bytes=run.element_bytes + ID_BYTES),
    )
    rotated = _rotate_pairs(run, mixer, run.element_bytes)
    key = run.features("K as made", mixer.k_size)
    cache(run, mixer.k_size + mixer.v_size, mixer.k_size, keys_of(run, mixer))
    if run.is_eager:
        return _in_fp32(run, mixer)
    copies = run.tensor("K and V in the order of tokens", keys_of(run, mixer), mixer.k_size + mixer.v_size)
    said = run.features("what heads say", mixer.q_size)
    projected = run.features("O", mixer.o_size)
    del query, tables, rotated, key, copies, projected
    return said


def play_codegen(run: Run, mixer: FullAttention) -> Tensor:
    """The same from one matrix, by fp32 sines, so that what they rotate is fp32 too (CodeGenAttention).

    The matrix' rows are in four parts, each with some heads of Q, V and K: more than one of each are copied together.
    """
    copies = mixer.num_attention_heads > _PARTS
    fused = run.features("Q, or copies of Q, V and K", mixer.q_size * (4 if copies else 1))
    sines = run.along("sines", run.rotary_dim, element_bytes=FP32)
    rotated = _rotate_pairs(run, mixer, FP32)
    del fused
    fused = run.features("Q, V and K, and copies of Q and K", mixer.q_size * (5 if copies else 3))
    joined = run.in_fp32("K joined", run.tokens, mixer.k_size)
    cache(run, mixer.k_size + (mixer.v_size if copies else 0), mixer.k_size, keys_of(run, mixer))
    del joined
    probabilities = _in_fp32(run, mixer, has_query=True)
    del fused, sines, rotated
    return probabilities


_PARTS: Final = 4
"""`mp_num` of codegen."""


def play_gpt_neo(run: Run, mixer: FullAttention) -> Tensor:
    """Without rotation; flash attention reads the cache as it is (GPTNeoSelfAttention, GPTNeoFlashAttention2)."""
    query = run.features("Q", mixer.q_size)
    cache(run, mixer.k_size + mixer.v_size, mixer.k_size, keys_of(run, mixer))
    if run.is_eager:
        return _in_fp32(run, mixer)
    said = run.features("what heads say", mixer.q_size)
    projected = run.features("O", mixer.o_size)
    del query, projected
    return said


def _rotate_pairs(run: Run, mixer: FullAttention, element_bytes: int) -> Tensor:
    """Each feature with its neighbour, by sines that are repeated for both: three more of what rotates of K, then of Q
    beside K. Then each is joined to its rest; what is left of K is cached (apply_rotary_pos_emb)."""
    query, key = (run.rotary_dim * heads for heads in (mixer.num_attention_heads, mixer.num_key_value_heads))
    repeated = run.along("sines, repeated", 2 * run.rotary_dim, element_bytes=element_bytes)
    turned = run.features("K by cosines, turned, and by sines", 3 * key, element_bytes=element_bytes)
    del turned
    rotated = run.features("K rotated", key, element_bytes=element_bytes)
    turned = run.features("Q by cosines, turned, and by sines", 3 * query, element_bytes=element_bytes)
    del turned, rotated, repeated
    joined = run.features("K joined", mixer.k_size, element_bytes=element_bytes)
    rotated = run.features("Q and K rotated, and Q joined", key + query + mixer.q_size, element_bytes=element_bytes)
    del joined
    return rotated


def _in_fp32(run: Run, mixer: FullAttention, *, has_query: bool = False) -> Tensor:
    """Q, unless rotation made it fp32, and K of all tokens; scores before and behind each step."""
    query = None if has_query else run.in_fp32("Q in fp32", run.tokens, mixer.q_size)
    key = run.in_fp32("K in fp32", keys_of(run, mixer), mixer.k_size)
    probabilities = _scores(run, mixer, 2 * FP32)
    del query, key
    _say(run, mixer)
    return probabilities


def play_gpt_neox_japanese(run: Run, mixer: FullAttention) -> Tensor:
    """Q and K joined to their rest, be it empty; scores are added to zeros that stay, as do those before the mask,
    in the model's own type (GPTNeoXJapaneseAttention)."""
    query = run.features("Q as made", mixer.q_size)
    rotated = run.rotary_dim * mixer.num_attention_heads
    halves(run, Widths(mixer.q_size, mixer.k_size, rotated, rotated))
    del query
    fused = run.features("Q, K and V as made", mixer.q_size + mixer.k_size + mixer.v_size)
    query = run.features("Q", mixer.q_size)
    cache(run, mixer.k_size, mixer.k_size, keys_of(run, mixer))
    probabilities = _scores(run, mixer, 3 * run.element_bytes)
    left = run.tensor("scores before", 2, mixer.num_attention_heads, run.tokens, keys_of(run, mixer))
    said = run.features("what heads say", mixer.q_size)
    del fused, query, left, said
    _say(run, mixer)
    return probabilities


# --------------------------------------------------------------------------------- tables, no cache


def ctrl_positions(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Places, and their rows of a table of sines that the model keeps (CTRLModel.forward)."""
    return (
        run.position_ids(),
        run.along("embedded positions", architecture.hidden_size),
    )


def embedded_positions(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Places in the table, unless `generate()` counts them, are a buffer's (OpenAIGPTModel.forward)."""
    embedded = run.along("embedded positions", architecture.hidden_size)
    return (embedded, run.position_ids()) if run.sizes.by_generate else (embedded,)


def play_without_cache(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A step of `generate()` is a forward over all tokens, of which none is cached."""
    return play_decoder(run, architecture, copies_logits, play_model=_play_all_tokens)


def _play_all_tokens(run: Run, architecture: Architecture) -> Tensor | None:
    whole = with_all_tokens(run)
    play_tokens(whole, architecture)
    return other_tokens(run, whole, architecture.hidden_size)


def with_all_tokens(run: Run, *, more: int = 0) -> Run:
    """The same run, as a forward over all tokens, and more behind them."""
    whole = copy(run)
    whole.tokens, whole.past_tokens, whole.decodes = run.keys + more, 0, False
    return whole


def other_tokens(run: Run, whole: Run, hidden_size: int) -> Tensor | None:
    """Hidden states beside those that a step of a class with a cache would have."""
    others = whole.tokens - run.tokens
    return run.tensor("hidden states of other tokens", others, hidden_size) if others else None


def no_masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Where layers have a mask of their own."""
    return ()


def play_openai_gpt(run: Run, mixer: FullAttention) -> None:
    """One matrix makes Q, K and V. Scores before and behind what the mask takes from them, and the first of these
    steps' result; for all sequences, what is added where the mask is (openai, Attention._attn)."""
    fused = run.features("Q, K and V as made", mixer.q_size + mixer.k_size + mixer.v_size)
    mask = run.shared("what the mask adds", run.tokens, run.tokens)
    probabilities = _scores(run, mixer, 3 * run.element_bytes)
    del mask
    _say(run, mixer)
    del fused, probabilities


# ------------------------------------------------------------------------------------ ALiBi


def bloom_biases(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Slopes of heads, and a bias for each head and key, repeated for each sequence (BloomModel.forward)."""
    heads = _heads(architecture)
    return (
        run.shared("slopes", heads, element_bytes=FP32),
        run.tensor("biases by distance", heads, run.keys),
    )


def mpt_biases(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """A bias for each head and each position that there can be (build_mpt_alibi_tensor)."""
    return (run.shared("biases by distance", _heads(architecture), run.max_positions, element_bytes=FP32),)


def mpt_masks(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """The additive mask, turned to a boolean one (MptModel.forward)."""
    mask = run.tensor("boolean mask", run.tokens, run.keys, element_bytes=1)
    additive = run.tensor("additive mask", run.tokens, run.keys)
    del additive
    return (mask,)


def _heads(architecture: Architecture) -> int:
    mixer = architecture.layers[0].mixer
    return mixer.num_attention_heads if isinstance(mixer, FullAttention) else 0


def play_bloom(run: Run, mixer: FullAttention) -> Tensor:
    """Q in the order of heads, where there are several sequences. Scores with biases stay beside those with the mask,
    their fp32 copy and its softmax (BloomAttention.forward)."""
    fused = _cache_fused(run, mixer)
    query = None if run.is_alone else run.features("Q in the order of heads", mixer.q_size)
    beside = 0 if run.element_bytes == FP32 else run.element_bytes if run.sizes.in_fp16 else FP32  # as in play_scores
    probabilities = _scores(run, mixer, 2 * run.element_bytes + FP32 + beside)
    left = run.tensor("scores before", 2, mixer.num_attention_heads, run.tokens, keys_of(run, mixer))
    _say(run, mixer)
    del fused, query, left
    return probabilities


def play_mpt(run: Run, mixer: FullAttention) -> Tensor:
    """fp32 biases make fp32 scores, which stay beside their softmax, and that beside what it is in the model's type
    (MptAttention.forward)."""
    fused = _cache_fused(run, mixer)
    probabilities = _scores(run, mixer, 2 * FP32 + (run.element_bytes if run.element_bytes < FP32 else 0))
    sizes = (mixer.num_attention_heads, run.tokens, keys_of(run, mixer))
    left = run.tensor("scores before", *sizes, element_bytes=FP32)
    _say(run, mixer)
    del fused, left
    return probabilities


def _cache_fused(run: Run, mixer: FullAttention) -> Tensor:
    """One matrix makes Q, K and V, of which K and V are views until they are cached."""
    fused = run.features("Q, K and V as made", mixer.q_size + mixer.k_size + mixer.v_size)
    cache(run, 0, mixer.k_size, keys_of(run, mixer))
    return fused


# ----------------------------------------------------------------------------------------- xglm


def play_xglm(run: Run, mixer: FullAttention) -> None:
    """Q scaled, and in the order of heads; scores before and behind each step. In fp16, and in no other type, their
    softmax is fp32, beside them and what it is turned back to (XGLMAttention.forward)."""
    query = run.features("Q scaled", mixer.q_size)
    cache(run, mixer.k_size + mixer.v_size, mixer.k_size, keys_of(run, mixer))
    copied = run.features("Q in the order of heads", mixer.q_size)
    del query
    probabilities = _scores(run, mixer, 2 * run.element_bytes + (FP32 if run.sizes.in_fp16 else 0))
    _say(run, mixer)
    del copied, probabilities
