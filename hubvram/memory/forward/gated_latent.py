"""Decoders with attention through a latent whose heads are gated (bailing_hybrid)."""

from __future__ import annotations

from dataclasses import replace

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.memory.forward.decoder import is_playable


def is_gated_playable(architecture: Architecture) -> bool:
    """Whether nothing but these gates stands in the way of a decoder."""
    return is_playable(replace(architecture, layers=tuple(_ungated(layer) for layer in architecture.layers)))


def _ungated(layer: Layer) -> Layer:
    mixer = layer.mixer
    return replace(layer, mixer=replace(mixer, gates=())) if isinstance(mixer, LatentAttention) else layer
