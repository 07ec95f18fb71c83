"""beam, played: gates with a bias behind attention, Q scaled by its position where it does not rotate, and residuals
that are weighed by depth.

(modeling_beam.py, BeamModel.forward, BeamAttention.forward, depth_scaled_residual_add)
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.decoder import play_decoder, play_embedding, play_layer
from hubvram.memory.forward.modeling_code import Kept
from hubvram.memory.forward.run import FP32, Run
from hubvram.memory.forward.tape import Peak, Tensor


def play_beam(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of such layers."""
    return play_decoder(run, architecture, copies_logits, embed=_embed, play_layer=_play_layer)


def _embed(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """With a scale for each position."""
    return *play_embedding(run, architecture), run.along("scales of Q by positions", 1, element_bytes=FP32)


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> Kept:
    """Behind its MLP the residual and what that says, normed; both weighed, and their sum."""
    play_layer(run, layer, hidden_size)
    summed = run.features("residual, what the MLP says, both weighed, their sum", 5 * hidden_size)
    del summed
    return None


def play_beam_attention(run: Run, mixer: FullAttention) -> Kept:
    """As in llama, but that full attention scales Q where a window rotates it; then a gate, with its bias, and in
    (0, 1)."""
    if isinstance(mixer, SlidingAttention):
        probabilities = play_attention(run, replace(mixer, gate_size=None))
    else:
        _scale(run, mixer)
        unrotated = copy(run)
        unrotated.rotary_dim = 0
        probabilities = play_attention(unrotated, replace(mixer, gate_size=None))
    query = run.features("Q", mixer.q_size)
    gated = run.features("what heads say, the gate, that in (0, 1), and what it leaves", 4 * mixer.q_size)
    del query, gated
    return probabilities


def _scale(run: Run, mixer: FullAttention) -> None:
    """In fp32: Q, and that by its scale; then in the model's type."""
    query = run.features("Q", mixer.q_size)
    copies = 1 + (run.element_bytes < FP32)
    scaled = run.features("Q in fp32, and scaled", copies * mixer.q_size, element_bytes=FP32)
    del query, scaled
