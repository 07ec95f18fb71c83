"""What a scheme does to a model's weights: how it packs a matrix, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Linear
from hubvram.quantization.formulas import MatrixBytes, up

KEPT_BITS: Final = 16
"""Embeddings, head, norms, routers and biases beside quantized weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationScheme:
    """A tool's way to write weights."""

    name: str
    bits: int
    """Nominal, of a weight: what the rule of thumb multiplies by."""
    description: str
    matrix: MatrixBytes
    everything: bool = False
    """Whether all parameters take `bits`, the embedding and the norms too."""
    packs_experts: bool = True
    """Whether it packs what is one tensor for all experts."""
    packs_routers: bool = False

    def weigh(self, architecture: Architecture, parameters: int) -> Weighed:
        """A whole model of `parameters`: its layers' matrices packed, the rest at 16 bit."""
        if self.everything:
            return Weighed(size_bytes=up(parameters * self.bits, 8))
        packed_bytes = packed = refused = 0
        for number, linear in self._matrices(architecture):
            matrix_bytes = self.matrix(linear.out_features, linear.in_features)
            if matrix_bytes is None:
                refused += number * linear.count
            else:
                packed_bytes += number * linear.count * matrix_bytes
                packed += number * linear.weight_parameters
        kept_bytes = up((parameters - packed) * KEPT_BITS, 8)
        return Weighed(size_bytes=packed_bytes + kept_bytes, refused=refused)

    def _matrices(self, architecture: Architecture) -> Iterator[tuple[int, Linear]]:
        """(how many layers, the matrices of one)."""
        for number, linear in architecture.counted_linears():
            if linear.count == 1 or self.packs_experts:
                yield number, linear
        if self.packs_routers:
            yield from architecture.counted_routers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Bytes of a model's weights, and how many matrices the tool could not have packed: they stay 16 bit."""

    size_bytes: int
    refused: int = 0


def has_fused_experts(architecture: Architecture) -> bool:
    """Whether experts are one tensor in transformers, and not a module each."""
    return any(linear.count > 1 for _, linear in architecture.counted_linears())
