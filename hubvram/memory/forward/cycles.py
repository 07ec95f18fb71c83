"""Two stacks of layers that run in turns (hrm_text), played (modeling_hrm_text.py)."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor


def play_cycles(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """As a decoder whose matrices are apart, whatever its files hold as one, with norms that have no weights."""
    layers = tuple(_as_it_runs(layer) for layer in architecture.layers)
    return play_decoder(run, replace(architecture, layers=layers), copies_logits, embed=_embed)


def _as_it_runs(layer: Layer) -> Layer:
    if not (isinstance(layer.mixer, FullAttention) and isinstance(layer.mlp, DenseMLP)):
        raise TypeError(f"no program for {layer!r}")
    mixer = replace(layer.mixer, fused_qkv=False, output_gate=False)
    return replace(layer, mixer=mixer, mlp=replace(layer.mlp, fused=False), norms=replace(layer.norms, count=2))


def _embed(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """The embeddings, scaled, are the high state at first; once its stack has run, and will again, it has its own."""
    runs_again = architecture.layers[-1].is_shared
    return (run.features("embeddings, states, and their sum", (3 + runs_again) * architecture.hidden_size),)


def play_gated_attention(run: Run, mixer: FullAttention) -> Tensor | None:
    """The gate for what heads say is made with Q, K and V."""
    gate = run.features("gate", mixer.q_size)
    probabilities = play_attention(run, mixer)
    gated = run.features("Q, what heads say, the gate activated, and both", 4 * mixer.q_size)
    del gate, gated
    return probabilities
