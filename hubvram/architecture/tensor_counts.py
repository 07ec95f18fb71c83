"""How many tensors an architecture may be stored in, and so how long the headers of its files may be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hubvram.architecture.layers import Architecture, Layer, LayerGroup
from hubvram.architecture.parts import Linear, Norms, Weight

_FUSED: Final = 2
"""Files have at most one tensor for this many unlike weights: those of Qwen-72B, which have Q, K and V in one and so do
most in this direction, have 643 for 963 weights."""

_FEWEST_ENTRY_BYTES: Final = 64
_MOST_ENTRY_BYTES: Final = 192
"""Of a tensor in a header. Over the sharded and single files of 101 published repos whose every element is a parameter
the mean is 103 (ModernBERT-base) to 135 (gemma-3-4b-it); gpt2, with its short names, has 89."""

_LENGTH_BYTES: Final = 8
_MOST_METADATA_BYTES: Final = 1024
"""Of a file: `{"format": "pt"}`, padding to 8 bytes, and what some tools add about themselves."""


def plausible_header_bytes(architecture: Architecture, files: int) -> range:
    """What `files` files hold beside the data. Whoever stores the weights otherwise is outside, though not wrong."""
    kinds, each = (_tensors(architecture, apart=apart) for apart in (False, True))
    fewest = files * _LENGTH_BYTES + kinds // _FUSED * _FEWEST_ENTRY_BYTES
    most = files * (_LENGTH_BYTES + _MOST_METADATA_BYTES) + each * _MOST_ENTRY_BYTES
    return range(fewest, most + 1)


def _tensors(architecture: Architecture, *, apart: bool) -> int:
    """Weights and biases; equal ones of a layer (its experts) `apart`, or all in one tensor."""
    around = bool(architecture.vocab_size) + bool(architecture.learned_positions) + _norms(architecture.final_norm)
    if architecture.head is not None:
        around += architecture.head.bias + (not architecture.has_tied_head)
    stacks = ((architecture.groups(), architecture.extras), *((it.groups(), it.extras) for it in architecture.stacks))
    return around + sum(_layers(groups, apart) + _weights(extras, apart) for groups, extras in stacks)


def _layers(groups: Iterable[LayerGroup], apart: bool) -> int:
    return sum(group.count * _layer(group.layer, apart) for group in groups if not group.layer.is_shared)


def _layer(layer: Layer, apart: bool) -> int:
    parts = sum(_weights((*part.linears, *part.tensors), apart) for part in layer.own_parts)
    return parts + _weights(layer.extras, apart) + _norms(layer.norms)


def _weights(weights: Iterable[Weight], apart: bool) -> int:
    return sum((weight.count if apart else 1) * (1 + _has_bias(weight)) for weight in weights)


def _has_bias(weight: Weight) -> bool:
    return isinstance(weight, Linear) and weight.bias


def _norms(norms: Norms) -> int:
    return norms.count * (1 + norms.bias)
