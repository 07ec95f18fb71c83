"""Attention, played: over a prompt, or of one token to what is cached; K and V, as they are made, count as cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hubvram.architecture.attention import ChunkedAttention, FullAttention, SharedKVAttention, SlidingAttention
from hubvram.memory.forward.later import later
from hubvram.memory.forward.rotation import Widths
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor
from hubvram.memory.kv_cache import held_tokens
from hubvram.memory.workload import Attention

_no_room_yet, _seen_tokens, _play_update, _masks_room = (
    later("static_cache", name) for name in ("no_room_yet", "seen_tokens", "play_update", "masks_room")
)


def play_attention(
    run: Run, mixer: FullAttention, choose: Callable[[], tuple[Tensor, ...]] | None = None
) -> Tensor | None:
    """Q, K and V; norms and rotation; caching; softmax. Returns the probabilities, where attention is eager.

    What chooses tokens of all that are cached makes an additive mask of its own.
    """
    _query_linear(run, mixer)
    output_gate = run.features("gate of what heads say", mixer.q_size) if mixer.output_gate else None
    query = run.features("Q", mixer.q_size * (2 if mixer.output_gate else 1))
    gate = None if run.code.gates_behind or not mixer.gate_size else run.features("gates", mixer.gate_size)
    cached = run.sizes.cached
    early = None
    if cached:
        early = run.packing("K and V as made, less those packed", cached.unpacked_bytes - cached.packed_bytes)
    elif run.sizes.room:
        early = _no_room_yet(run, mixer)
    if not mixer.fused_qkv:
        for width in (mixer.k_size, mixer.v_size):
            run.linear(mixer.kv_in_features, width, is_cached=True)
    _norm(run, mixer)
    if mixer.output_gate:
        del query  # Q and the gate as one matrix made them.
        query = run.features("Q", mixer.q_size)
    if run.rotary_dim:
        run.code.rotation(run, _widths(run, mixer))
    del query, early
    query = run.features("Q", run.code.query_width(mixer, run.rotary_dim))
    long_prompt = cache_keys_and_values(run, mixer)
    unpacked = run.packing("K and V unpacked", cached.unpacked_bytes) if cached else None
    chosen = choose() if choose else None
    probabilities = attend(run, mixer, keys_of(run, mixer), has_mask=choose is not None)
    if output_gate is not None:
        gated = run.features("what heads say, the gate activated, and both", 3 * mixer.q_size)
        del gated
    if mixer.gate_size:
        _gate(run, mixer, mixer.gate_size)
    if run.code.norms_inside:
        said = run.features("what heads say", mixer.q_size)
        normed = run.norm(mixer.q_size)
        del said, normed
    run.linear(mixer.o_in_features, mixer.o_size, beside=mixer.o_in_features)
    del query, gate, output_gate, unpacked, chosen, long_prompt
    return probabilities


def _gate(run: Run, mixer: FullAttention, gate_size: int) -> None:
    """What heads say, the gates in (0, 1), and the product of both; before, a softplus in fp32."""
    said = run.features("what heads say", mixer.q_size)
    if run.code.gates_behind:
        gate = run.features("gates in fp32, and their softplus", 2 * gate_size, element_bytes=FP32)
        del gate
    gated = run.features("gates in (0, 1), and what they leave", gate_size + mixer.q_size)
    del said, gated


def attend(run: Run, mixer: FullAttention, keys: int, *, has_mask: bool = False) -> Tensor | None:
    """Softmax and V, in parts or by one kernel. Returns the probabilities, where there are any.

    `has_mask`: an additive one, whatever kind of attention it is.
    """
    if run.is_eager:
        return eager(run, mixer, keys)
    _fused(run, mixer, keys, has_mask=has_mask)
    return None


def _query_linear(run: Run, mixer: FullAttention) -> None:
    """Q's, or that of all three."""
    behind = mixer.k_size + mixer.v_size if mixer.fused_qkv else 0
    run.linear(mixer.hidden_size, mixer.q_size + behind)


def keys_of(run: Run, mixer: FullAttention) -> int:
    """How many tokens one sees: all of the prompt; once decoding runs, those that the layer keeps, or has room for."""
    if run.sizes.room:
        found: int = _seen_tokens(run, mixer)
        return found
    return held_tokens(mixer, run.keys) if run.decodes else run.tokens


def _widths(run: Run, mixer: FullAttention) -> Widths:
    rotated = min(run.rotary_dim, mixer.head_dim)
    return Widths(mixer.q_size, mixer.k_size, rotated * mixer.num_attention_heads, rotated * mixer.num_key_value_heads)


def _norm(run: Run, mixer: FullAttention) -> None:
    """Of Q and K. Mostly each is normed as soon as it is made: K and V, which the cache counts, come after Q's."""
    code = run.code
    if not (mixer.qk_norm or code.norms_without_weight):
        return
    early = 0 if code.norms_projections else run.element_bytes * (mixer.k_size + mixer.v_size)
    rows = 1 if mixer.qk_norm_all_heads else mixer.num_attention_heads
    bytes_each = FP32 if code.norms_without_weight and run.element_bytes == FP32 else run.norm_copy_bytes
    copies = bytes_each * mixer.q_size + run.norm_row_bytes * rows
    if copies > early:
        normed = run.features("fp32 copies of Q's norm, less K and V", copies - early, element_bytes=1)
        del normed


def cache_keys_and_values(run: Run, mixer: FullAttention) -> Tensor | None:
    """Beside the cache while it takes V: K as it was made or rotated, and V where it is a tensor of its own. Returns
    what of these attention sees in place of what is cached.

    While decoding, `torch.cat` makes K anew and drops the old one before V; a sliding layer makes both first, beside
    the old ones with the token that they no longer show.
    """
    key = mixer.k_size if run.rotary_dim or not mixer.fused_qkv else 0  # Else a view of what the matrix made.
    made_width = key + (0 if mixer.fused_qkv else mixer.v_size)
    if run.sizes.room:
        kept: Tensor | None = _play_update(run, mixer, made_width)
        return kept
    both = isinstance(mixer, SlidingAttention | ChunkedAttention)
    width = mixer.k_size + mixer.v_size if both else max(mixer.k_size, mixer.v_size)
    keys = keys_of(run, mixer)
    cache(run, made_width, width, keys + (held_tokens(mixer, run.past_tokens) == keys))
    return None


def cache(run: Run, made_width: int, old_width: int, keys: int) -> None:
    """What was made for the cache, beside it; while decoding, also what is copied of the old one, at its widest."""
    made = run.features("K and V as made", made_width) if made_width else None
    old = None
    if run.sizes.cached:
        run.phase("cache")
        old = run.packing("what the cache packs and unpacks", run.sizes.cached.update_bytes)
    elif run.decodes:
        old = run.tensor("K before this token, or K and V", keys - 1, old_width)
    del made, old
    run.phase("attention")


def repeated_for_heads(run: Run, mixer: FullAttention, keys: int) -> Tensor | None:
    """K and V repeated for all heads. A single KV head is only expanded: a view, no copy yet."""
    if mixer.num_key_value_heads in (1, mixer.num_attention_heads):
        return None
    return run.tensor("K and V repeated for all heads", keys, mixer.q_size + mixer.o_in_features)


def eager(run: Run, mixer: FullAttention, keys: int) -> Tensor:
    """Scores, and their softmax, most often in fp32; then what heads say, in two layouts."""
    repeated = repeated_for_heads(run, mixer, keys)
    heads = mixer.num_attention_heads
    # The log of the sum of each row's exponents, and the fp32 weight that it gets by it.
    row_bytes = run.element_bytes + FP32
    sinks = run.features("weights of sinks", heads, element_bytes=row_bytes) if run.code.weighs_by_sinks else None
    columns = run.code.sink_columns if any(weight.name == "sinks" for weight in mixer.others) else 0
    multiply_expanded(run, mixer, keys)
    play_scores(run, heads, keys, columns)
    rows = (heads, run.tokens, keys + columns)
    # What is left of them, one of which the layer keeps until its MLP is done.
    probabilities = run.tensor("probabilities", *rows)
    more = 0 if run.code.softmax_in_fp32 else run.code.score_copies - 2
    others = run.tensor("scores before", more, *rows) if more else None
    # Of one token both orders are the same.
    said = run.features("what heads say, by heads and by tokens", (2 if run.tokens > 1 else 1) * mixer.o_in_features)
    del said, others, repeated, sinks
    return probabilities


def multiply_expanded(run: Run, mixer: FullAttention, keys: int) -> None:
    """A single head of K, and one of V, is copied for all heads by its product, and Q into the order of heads beside
    the one, what heads say beside the other; but not those of one sequence alone (Run.is_alone)."""
    if run.is_alone or mixer.num_key_value_heads > 1 or mixer.num_attention_heads == 1:
        return
    copied = run.tensor("K or V, copied for all heads", keys, mixer.q_size)
    query = run.features("Q in the order of heads, or what they say", mixer.q_size)
    scores = run.tensor("scores", mixer.num_attention_heads, run.tokens, keys)
    del copied, query, scores


def play_scores(run: Run, num_attention_heads: int, keys: int, sink_columns: int = 0) -> None:
    """(B, heads, S, K): with an fp32 softmax of 16-bit scores, the masked scores, their fp32 copy, the fp32 result
    (ATen, SoftMax.cpp, softmax: fp16 is not copied on a GPU).

    Otherwise copies in the model's own type. Sinks are a column beside the scores, and the largest of each row.
    """
    code, sizes = run.code, (num_attention_heads, run.tokens, keys)
    if code.softmax_in_fp32 and run.element_bytes < FP32:
        scores = run.tensor("scores", *sizes)
        # Beside the result a copy of the scores; in fp16 one kernel makes it of them, and then it is turned back.
        beside = run.element_bytes if run.sizes.in_fp16 else FP32
        softmax = run.tensor("scores in fp32, and their softmax", *sizes, element_bytes=FP32 + beside)
    else:
        scores = run.tensor("scores", *sizes)
        softmax = run.tensor("scores masked, scaled, exponentiated", code.score_copies - 1, *sizes)
    columns = sink_columns * code.score_copies + code.subtracts_largest
    sinks = run.tensor("columns of sinks, and the largest", *sizes[:2], columns) if columns else None
    del scores, softmax, sinks


def _fused(run: Run, mixer: FullAttention, keys: int, *, has_mask: bool) -> None:
    """One kernel for scores, softmax and V; with a mask, or for wide heads, sdpa repeats K and V, and makes the mask an
    additive one. Then what heads say is copied into the order of tokens, where it is not in it; and O.

    Flash attention takes the padding out of Q, K and V, and puts it back into what heads say.
    """
    is_sdpa = run.attention is Attention.SDPA
    is_masked = is_sdpa and (has_mask or masks_sequences(run) or is_cut(run, mixer))
    is_wide = is_sdpa and mixer.head_dim > _WIDEST_GROUPED
    # One token's heads of Q are put together instead (sdpa_attention.py, pack_gqa).
    repeated = repeated_for_heads(run, mixer, keys) if run.tokens > 1 and (is_masked or is_wide) else None
    if is_masked:
        mask = None if has_mask else run.tensor("additive mask", run.tokens, keys)
        said = run.features("what heads say", mixer.o_in_features)
        del mask, said
    elif run.sizes.padded:
        take_padding_out(run, mixer, keys)
    said = run.features("what heads say", mixer.o_in_features)
    copies = run.code.copies_output(mixer, run.rotary_dim)
    copied = run.features("the same in the order of tokens", mixer.o_in_features) if copies else None
    del copied, repeated
    projected = run.features("O", mixer.o_size)
    del said, projected


def take_padding_out(run: Run, mixer: FullAttention, keys: int) -> None:
    """All tokens but those of the padding, which may be few (modeling_flash_attention_utils.py, _upad_input)."""
    query = run.features("Q without padding", mixer.q_size) if run.tokens > 1 else None
    copied = run.tensor("K and V without padding", keys, mixer.k_size + mixer.v_size)
    said = run.features("what heads say, without padding and with it", 2 * mixer.o_in_features)
    del query, copied, said


def masks_sequences(run: Run) -> bool:
    """Whether each sequence has a mask of its own in sdpa: for its padding, or for the sake of the whole around."""
    of_whole = run.code.whole is not None and run.code.whole.masks_sequences
    return run.attention is Attention.SDPA and (run.sizes.padded or of_whole)


_WIDEST_GROUPED: Final = 256
"""Features of a head beyond which sdpa repeats K and V (integrations/sdpa_attention.py, use_gqa_in_sdpa)."""


def is_cut(run: Run, mixer: FullAttention) -> bool:
    """Whether sdpa has a mask without any padding."""
    return bool(_masks_room(run, mixer)) if run.sizes.room else has_window_mask(mixer, run.tokens)


def has_window_mask(mixer: object, tokens: int) -> bool:
    """Whether a window or a chunk cuts into the sequence, so that a mask has to be made (masking_utils.py)."""
    if isinstance(mixer, ChunkedAttention):
        return tokens >= mixer.attention_chunk_size
    window = mixer.sliding_window if isinstance(mixer, SlidingAttention | SharedKVAttention) else None
    return window is not None and tokens >= window
