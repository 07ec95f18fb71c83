"""gemma3n, played: hidden states in several copies, of which one goes through attention and MLP, and all are corrected.

A layer keeps nearly all that it makes under names of their own until it is done (modeling_gemma3n.py,
Gemma3nTextDecoderLayer.forward; AltUp, 2301.13310; LAuReL, 2411.07501).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP
from hubvram.architecture.parts import Linear
from hubvram.memory.forward.decoder import play_decoder
from hubvram.memory.forward.gemma4 import embed_for_layers, play_gemma4_attention
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak, Tensor

_BEFORE_MLP: Final = 6
"""What attention reads, LAuReL's answer; attention's, with the residual, with LAuReL's; the same normed."""
_BEHIND_MLP: Final = 9
"""And the MLP's answer, the same normed, and with the residual."""

play_gemma3n_attention: Final = partial(play_gemma4_attention, makes_v_last=True)


def play_gemma3n(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of several hidden states; what is before the first layer stays."""
    return play_decoder(run, architecture, copies_logits, embed=_embed, play_layer=_play_layer)


def _embed(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """Copies of the embeddings, each by a matrix of its own and scaled, which the last one was not; two magnitudes."""
    copies = run.features("copies of the embeddings", _copies(architecture.layers[0]) * architecture.hidden_size)
    return (*embed_for_layers(run, architecture), copies, run.features("magnitudes", 2))


def _copies(layer: Layer) -> int:
    return next(
        weight.out_features
        for weight in layer.extras
        if isinstance(weight, Linear) and weight.name == "altup correction"
    )


def _play_layer(run: Run, layer: Layer, hidden_size: int) -> None:
    """All copies are predicted; one is taken through; all are corrected; and the embedding for this layer is added."""
    copies = _copies(layer)
    run.phase("prediction")
    # All of the layer's input, of which the caller holds one copy.
    hidden = run.features("inputs of the layer", (copies - 1) * hidden_size)
    ordered = run.features("the same in another order, and predictions in it", 2 * copies * hidden_size)
    del ordered
    predictions = run.features("predictions", copies * hidden_size)
    run.phase("attention")
    beside = run.features("normed, and LAuReL's answer", 2 * hidden_size)
    assert isinstance(layer.mixer, FullAttention)
    probabilities = play_gemma3n_attention(run, layer.mixer)
    del beside
    run.phase("mlp")
    assert isinstance(layer.mlp, DenseMLP)
    beside = run.features("what a layer keeps before its MLP", _BEFORE_MLP * hidden_size)
    inner = run.features("gate, act(gate), up and their product", 4 * layer.mlp.intermediate_size)
    said = run.features("what the MLP says", hidden_size)
    del beside, inner, said
    run.phase("correction")
    beside = run.features("what a layer keeps behind its MLP", _BEHIND_MLP * hidden_size)
    corrected = run.features("corrected, and by how much", 2 * copies * hidden_size)
    coefficients = run.features("modalities, and how much of each", 2 * copies)
    del corrected, coefficients
    corrected = run.features("corrected", copies * hidden_size)
    added = run.features("the embedding for this layer", hidden_size)
    normed = run.norm(hidden_size)
    del hidden, predictions, probabilities, beside, corrected, added, normed
