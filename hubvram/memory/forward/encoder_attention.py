"""Attention both ways, played: Q, K and V of all tokens, none of which is cached."""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Part
from hubvram.memory.forward.attention import play_scores, repeated_for_heads
from hubvram.memory.forward.encoder_code import EncoderCode, Held
from hubvram.memory.forward.rotation import Widths
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Tensor
from hubvram.memory.workload import Attention


def attend(
    run: Run, architecture: Architecture, mixer: BidirectionalAttention, code: EncoderCode, held: Held
) -> Tensor | None:
    """Q, K and V; rotation; softmax, or the kernel for all of it."""
    made = run.features("Q, K and V", mixer.q_size + mixer.k_size + mixer.v_size)
    if run.rotary_dim:
        rotated = min(run.rotary_dim, mixer.head_dim)
        heads, key_heads = mixer.num_attention_heads, mixer.num_key_value_heads
        run.code.rotation(run, Widths(mixer.q_size, mixer.k_size, rotated * heads, rotated * key_heads))
        if mixer.fused_qkv:  # they are views of one tensor, which stays for V
            held.hold(code.qkv, run.features("Q and K rotated", mixer.q_size + mixer.k_size))
    held.hold(code.qkv, made)
    del made
    return say(run, mixer, code, held)


def say(run: Run, mixer: BidirectionalAttention, code: EncoderCode, held: Held) -> Tensor | None:
    """Softmax, or the kernel for all of it, of Q, K and V that are held."""
    if run.is_eager:
        return _softmax(run, mixer, code, held)
    _fused(run, mixer, code, held)
    return None


def _softmax(run: Run, mixer: BidirectionalAttention, code: EncoderCode, held: Held) -> Tensor:
    """Scores of Q and K, which are copied into the order of heads; their softmax; of V, copied too, what heads say."""
    heads, tokens = mixer.num_attention_heads, run.tokens
    grouped = repeated_for_heads(run, mixer, tokens)
    copied = run.features("Q and K in the order of heads", 2 * mixer.q_size)
    scores = run.tensor("scores", heads, tokens, tokens)
    del copied, scores
    if code.bias is not None:
        scaled = run.tensor("scores, scaled", heads, tokens, tokens)
        bias = code.bias(run, mixer)
        summed = run.tensor("scores with their bias", heads, tokens, tokens) if bias else None
        del scaled, bias, summed
    play_scores(run, heads, tokens)
    probabilities = run.tensor("probabilities", heads, tokens, tokens)
    if code.scores is not None:
        held.hold(code.scores, run.tensor("scores", heads, tokens, tokens))
    said = run.features("V in the order of heads, or what heads say in it", mixer.q_size)
    held.hold(code.said, run.features("what heads say", mixer.q_size))
    del grouped, said
    return probabilities


def _fused(run: Run, mixer: BidirectionalAttention, code: EncoderCode, held: Held) -> None:
    """One kernel, which says of each row the logarithm of its sum too, but beside a mask, or a bias that is one, where
    nothing is to be learnt (ATen, attention.cu: compute_logsumexp); a mask is made an additive one for it.

    Flash attention takes the padding out of Q, K and V, and puts it back into what heads say.
    """
    bias = code.bias(run, mixer) if code.bias is not None else None
    padded = run.sizes.padded
    masked = run.attention is Attention.SDPA and (padded or is_cut(mixer, run.tokens))
    mask = run.tensor("additive mask", run.tokens, run.tokens) if masked else None
    repeated = repeated_for_heads(run, mixer, run.tokens) if masked else None
    if padded and not masked:
        width = mixer.q_size + mixer.k_size + mixer.v_size + mixer.q_size
        mask = run.features("Q, K, V and what heads say, without padding", width)
    sums = 0 if masked or bias or held.has_bias else mixer.num_attention_heads
    rows = run.features("the kernel's sums", sums, element_bytes=FP32)
    held.hold(code.said, run.features("what heads say", mixer.q_size))
    del rows, mask, repeated, bias


def is_cut(mixer: Part | None, tokens: int) -> bool:
    """Whether a window, half of which is behind a token, cuts into the sequence."""
    window = mixer.sliding_window if isinstance(mixer, BidirectionalAttention) else None
    return window is not None and tokens >= window // 2
