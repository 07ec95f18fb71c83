"""Attention that is part of a block of its own kind: its masks and its cache are those of the K and V it keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.parts import Block
from hubvram.memory.forward.decoder import usual_masks
from hubvram.memory.forward.run import Run
from hubvram.memory.forward.tape import Tensor


def attention_of(layer: Layer) -> FullAttention:
    """As attention with the K and V that it keeps."""
    kept = layer.mixer.keeps[0] if isinstance(layer.mixer, Block) else None
    if not isinstance(kept, FullAttention):
        raise TypeError(f"no program for {layer.mixer!r}")
    return kept


def masks_of(run: Run, architecture: Architecture) -> tuple[Tensor, ...]:
    """As of a decoder of usual layers."""
    usual = tuple(replace(layer, mixer=attention_of(layer)) for layer in architecture.layers)
    return usual_masks(run, replace(architecture, layers=usual))


def later_caches(run: Run, layers: Iterable[Layer]) -> Tensor | None:
    """What these will cache, and do not yet; of a decoded token K and V, since states are written over."""
    if run.decodes:
        return run.not_yet_cached(attention_of(layer) for layer in layers)
    return run.prompt_not_yet_cached(layers)
