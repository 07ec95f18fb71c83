"""Attention with a bias for each distance, weighed by a gate of each token, played: wavlm's.

The bias of all heads is made by the first layer, and stays; each layer gates it, and adds it to its scores in torch's
own function for attention (torch/nn/functional.py, multi_head_attention_forward). Its class has eager attention only.
"""

from __future__ import annotations

from hubvram.architecture.attention import BidirectionalAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward.encoder_code import EncoderCode, Held, Until
from hubvram.memory.forward.relative_positions import play_position_bias
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor


def play_shared_bias(run: Run, architecture: Architecture) -> Tensor | None:
    """What the first layer makes for all, beside its input: of each distance, and that again for each sequence."""
    first = architecture.layers[0]
    mixer = first.mixer
    assert isinstance(mixer, BidirectionalAttention)
    if not any(weight.name == "relative positions" for weight in mixer.others):
        return None
    heads = mixer.num_attention_heads
    hidden = run.features("input of the first layer, normed or not", (1 + first.pre_norm) * architecture.hidden_size)
    of_all = play_position_bias(run, heads, run.tokens, both_ways=True, keeps_logarithm=True)
    bias = run.tensor("bias of positions", heads, run.tokens, run.tokens)
    del hidden, of_all
    return bias


def attend_gated(
    run: Run, architecture: Architecture, mixer: BidirectionalAttention, code: EncoderCode, held: Held
) -> Tensor:
    """Returns the probabilities' mean over the heads."""
    heads, tokens = mixer.num_attention_heads, run.tokens
    held.hold(Until.PROJECTED, run.features("gates before and behind their sigmoid, and of each head", 5 * heads))
    held.hold(Until.PROJECTED, run.tensor("bias of positions, gated", heads, tokens, tokens))
    held.hold(Until.PROJECTED, run.shared("biases of Q, K and V", 3 * mixer.q_size))
    held.hold(Until.PROJECTED, run.features("Q", mixer.q_size))
    key, value = run.features("K", mixer.q_size), run.features("V", mixer.q_size)
    masked = None
    if architecture.waveform is not None and architecture.waveform.all_normed:
        held.hold(Until.PROJECTED, run.features("mask of frames", 1, element_bytes=1))
        held.hold(Until.PROJECTED, run.features("mask of frames, for each head", heads))
        masked = run.tensor("bias of positions, gated and masked", heads, tokens, tokens)
    scaled = run.features("Q, scaled", mixer.q_size)
    scores = run.tensor("scores", heads, tokens, tokens)
    del scaled, key
    probabilities = run.tensor("probabilities", heads, tokens, tokens)
    del scores
    said = run.features("what heads say", mixer.q_size)
    del value
    held.hold(code.said, run.features("what heads say, token by token", mixer.q_size))
    del said
    mean = run.tensor("mean of the probabilities", tokens, tokens)
    del probabilities, masked
    return mean
