"""What a precision does to a model's weights: bits per weight, scales and zeros, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Linear
from hubvram.dtypes import PRECISION_BITS
from hubvram.errors import UsageError

KEPT_BITS: Final = 16
"""Embeddings, head, norms, routers and biases beside quantized weights."""


_KEPT: Final = "embedding, head and norms stay 16 bit"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationScheme:
    """Bytes of one weight matrix; `group_size` None means one group per output channel."""

    name: str
    weight_bits: int
    description: str
    group_size: int | None = None
    scale_bits: int = 0
    zero_bits: int = 0
    everything: bool = False
    """Whether all parameters take `weight_bits`, the embedding and the norms too."""

    def matrix_bytes(self, out_features: int, in_features: int) -> int:
        """Bytes of one weight matrix: packed weights, scales, zeros."""
        groups = out_features
        if self.group_size is not None:
            groups *= -(-in_features // self.group_size)
        weights = _bytes(out_features * in_features * self.weight_bits)
        return weights + _bytes(groups * self.scale_bits) + _bytes(groups * self.zero_bits)

    def linear_bytes(self, linear: Linear) -> int:
        """Bytes of all weights of a Linear, biases apart."""
        return linear.count * self.matrix_bytes(linear.out_features, linear.in_features)

    def weight_bytes(self, architecture: Architecture, parameters: int) -> int:
        """Bytes of a whole model of `parameters`: its layers' matrices packed, the rest at 16 bit."""
        if self.everything:
            return _bytes(parameters * self.weight_bits)
        packed = [(count, linear) for count, linear in architecture.counted_linears()]
        packed_parameters = sum(count * linear.weight_parameters for count, linear in packed)
        packed_bytes = sum(count * self.linear_bytes(linear) for count, linear in packed)
        return packed_bytes + _bytes((parameters - packed_parameters) * KEPT_BITS)


def _bytes(bits: int) -> int:
    return -(-bits // 8)


def _plain(name: str) -> QuantizationScheme:
    return QuantizationScheme(
        name=name, weight_bits=PRECISION_BITS[name], everything=True, description=f"every parameter in {name}"
    )


def _per_channel(name: str) -> QuantizationScheme:
    return QuantizationScheme(
        name=f"{name}-channel",
        weight_bits=8,
        scale_bits=32,
        description=f"{name} with a 4-byte scale per output channel in the layers; {_KEPT}",
    )


SCHEMES: Final[Mapping[str, QuantizationScheme]] = {
    "fp32": _plain("fp32"),
    "fp16": _plain("fp16"),
    "bf16": _plain("bf16"),
    "fp8": _per_channel("fp8"),
    "int8": _per_channel("int8"),
    # AWQ's layout: 4-bit weights, a 16-bit scale and a 4-bit zero per group of 128 inputs.
    "int4": QuantizationScheme(
        name="int4-g128",
        weight_bits=4,
        group_size=128,
        scale_bits=16,
        zero_bits=4,
        description=f"int4 in groups of 128 in the layers; {_KEPT}",
    ),
}
"""What `--dtype` accepts -> what it does."""


def scheme_of(precision: str) -> QuantizationScheme:
    """The scheme of a `--dtype`. Raises UsageError."""
    scheme = SCHEMES.get(precision.lower())
    if scheme is None:
        raise UsageError(f"{precision!r} is no precision that hubvram knows", f"choose from {', '.join(SCHEMES)}")
    return scheme
