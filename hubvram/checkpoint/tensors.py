"""Tensors as the files declare them: name, dtype, shape, place; and all of a model's together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple


class TensorInfo(NamedTuple):
    """One stored tensor; `stored_bytes` comes from its data offsets. A tuple, since there are up to a million."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stored_bytes: int
    file: str

    @property
    def elements(self) -> int:
        """Stored elements: a scalar (shape `()`) has one. A packed tensor counts its packed elements."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeTotal:
    """What is stored in one dtype."""

    elements: int
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Every tensor of a model, over all its files."""

    tensors: Sequence[TensorInfo]
    files: tuple[str, ...]
    file_bytes: int | None = None
    """Size of the files themselves: what a download fetches."""
    notes: tuple[str, ...] = field(default=())

    @property
    def stored_bytes(self) -> int:
        """Bytes of tensor data."""
        return sum(tensor.stored_bytes for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """Stored elements, whatever they mean."""
        return sum(tensor.elements for tensor in self.tensors)

    def by_dtype(self) -> dict[str, DtypeTotal]:
        """Dtype -> what is stored in it, largest first."""
        elements: dict[str, int] = {}
        stored: dict[str, int] = {}
        for tensor in self.tensors:
            elements[tensor.dtype] = elements.get(tensor.dtype, 0) + tensor.elements
            stored[tensor.dtype] = stored.get(tensor.dtype, 0) + tensor.stored_bytes
        return {
            dtype: DtypeTotal(elements=elements[dtype], stored_bytes=stored[dtype])
            for dtype in sorted(stored, key=lambda dtype: (-stored[dtype], dtype))
        }
