"""Decoders whose layers across are left out while there is no image, played (mllama).

`MllamaTextModel.forward` passes by a layer that would attend to an image where neither one is given nor anything of
one is cached (modeling_mllama.py).
"""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import CrossAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward import decoder
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Peak


def is_text_playable(architecture: Architecture) -> bool:
    """Whether the layers that run are a decoder's, and there are any."""
    running = _running(architecture)
    return bool(running.layers) and decoder.is_playable(running)


def play_text_only(run: Run, architecture: Architecture, copies_logits: bool) -> tuple[Peak, Peak]:
    """A decoder of the layers that run."""
    return decoder.play_decoder(run, _running(architecture), copies_logits)


def _running(architecture: Architecture) -> Architecture:
    layers = tuple([layer for layer in architecture.layers if type(layer.mixer) is not CrossAttention])
    return replace(architecture, layers=layers)
