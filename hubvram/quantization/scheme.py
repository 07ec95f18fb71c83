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
    method: str | None = None
    """The tool that loads what it packs, as configurations name it (`quant_method`), where that decides how it is
    computed with."""

    def weigh(self, architecture: Architecture, parameters: int) -> Weighed:
        """A whole model of `parameters`: its layers' matrices packed, the rest at 16 bit."""
        if self.everything:
            return Weighed(kept=parameters, kept_bits=self.bits)
        refused = 0
        matrices = []
        for number, linear in self._matrices(architecture):
            matrix_bytes = self.matrix(linear.out_features, linear.in_features)
            if matrix_bytes is None:
                refused += number * linear.count
            else:
                matrices.append(Packed(linear.name, number * linear.count, linear.shape, matrix_bytes))
        packed = sum(each.parameters for each in matrices)
        return Weighed(matrices=tuple(matrices), kept=parameters - packed, refused=refused)

    def _matrices(self, architecture: Architecture) -> Iterator[tuple[int, Linear]]:
        """(how many layers, the matrices of one)."""
        for number, linear in architecture.counted_linears():
            if linear.count == 1 or self.packs_experts:
                yield number, linear
        if self.packs_routers:
            yield from architecture.counted_routers()


@dataclass(frozen=True, slots=True)
class Packed:
    """`count` equal matrices, packed."""

    name: str
    count: int
    shape: tuple[int, int]
    matrix_bytes: int
    """Of one of them."""

    @property
    def parameters(self) -> int:
        return self.count * self.shape[0] * self.shape[1]

    @property
    def size_bytes(self) -> int:
        return self.count * self.matrix_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A model's weights: matrices that are packed, and the parameters beside them."""

    matrices: tuple[Packed, ...] = ()
    kept: int
    """Parameters that are not packed, of `kept_bits` each."""
    kept_bits: int = KEPT_BITS
    refused: int = 0
    """Matrices among those that the tool could not have packed."""

    @property
    def kept_bytes(self) -> int:
        return up(self.kept * self.kept_bits, 8)

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.matrices) + self.kept_bytes


def has_fused_experts(architecture: Architecture) -> bool:
    """Whether experts are one tensor in transformers, and not a module each."""
    return any(linear.count > 1 for _, linear in architecture.counted_linears())
