"""Attention and an MLP that several layers share, before a state space of the layer's own (zamba, zamba2), played.

(modeling_zamba2.py, Zamba2HybridLayer.forward, Zamba2AttentionDecoderLayer.forward, Zamba2MLP.forward;
modeling_zamba.py, whose MLP has no adapters)
"""

from __future__ import annotations

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.recurrent import Mamba, Mamba2
from hubvram.memory.forward.attention import play_attention
from hubvram.memory.forward.mlp import play_mlp
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.state_space import play_mamba, play_mamba2
from hubvram.memory.kv_cache import part_state_bytes


def play_shared_block(run: Run, layer: Layer, hidden_size: int) -> None:
    """Attention reads the layer's input and the embeddings side by side; the state space what the MLP says of that,
    through a matrix, with the layer's input."""
    if not (isinstance(layer.mixer, FullAttention) and isinstance(layer.mlp, DenseMLP)):
        raise TypeError(f"no program for {layer!r}")
    run.phase("norms")
    kept = 0 if run.decodes else sum(part_state_bytes(part, run.element_bytes) for part in layer.others)
    not_yet = run.tensor("less the state, which comes later", -kept, element_bytes=1)
    joined = run.features("hidden states and embeddings, side by side", 2 * hidden_size)
    normed = run.norm(2 * hidden_size)
    del joined
    run.phase("attention")
    probabilities = play_attention(run, layer.mixer)
    del normed
    said = run.features("what attention says", hidden_size)
    normed = run.norm(hidden_size)
    del said
    _play_mlp(run, layer)
    del normed, probabilities
    run.phase("norms")
    said = run.features("what the MLP says, through a matrix", hidden_size)
    summed = run.features("that and the input of the layer", hidden_size)
    normed = run.norm(hidden_size)
    del summed, not_yet
    for part in layer.others:
        if isinstance(part, Mamba2):
            play_mamba2(run, part)
        elif isinstance(part, Mamba):
            play_mamba(run, part)
    del said, normed


def _play_mlp(run: Run, layer: Layer) -> None:
    """What an adapter makes, where there is one, is added to gate and up."""
    run.phase("mlp")
    if isinstance(layer.mlp, DenseMLP) and any(part.kind == "adapter" for part in layer.others):
        adapted = run.features("gate and up, the adapter's, and their sum", 6 * layer.mlp.intermediate_size)
        del adapted
    else:
        play_mlp(run, layer.mlp)
