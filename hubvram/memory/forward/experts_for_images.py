"""A decoder in which images have experts of their own, played where it runs on text alone (ernie4_5_vl_moe)."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import MoEMLP
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak


def is_playable_alone(architecture: Architecture) -> bool:
    """Whether nothing but experts that a token of text does not take stands in the way."""
    return is_playable(_of_text(architecture))


def play_text_alone(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """As if experts for images were not there, which do not run (Ernie4_5_VLMoeMoeBlock.forward)."""
    return play_decoder(run, _of_text(architecture), copies_logits)


def _of_text(architecture: Architecture) -> Architecture:
    return replace(architecture, layers=tuple(_layer_of_text(layer) for layer in architecture.layers))


def _layer_of_text(layer: Layer) -> Layer:
    others = tuple(part for part in layer.others if not (isinstance(part, MoEMLP) and not part.num_experts_per_tok))
    return replace(layer, others=others)
