"""A checkpoint's tensors as the model that was not quantized has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from hubvram.checkpoint.buffers import buffer_kind
from hubvram.checkpoint.packed.layout import Declared
from hubvram.checkpoint.packed.unpack import unpack
from hubvram.checkpoint.tensors import Checkpoint


class LogicalTensor(NamedTuple):
    """A tensor of a model that is not quantized."""

    name: str
    shape: tuple[int, ...] | None
    """None where the files do not show it (bitsandbytes in 4 bit, HQQ), or where it is packed in an unknown way."""


def logical_tensors(checkpoint: Checkpoint, declared: Declared | None = None) -> Iterator[LogicalTensor]:
    """Names and shapes, without scales. `declared`: what the configuration says of packed weights."""
    weights = []
    for kind in checkpoint.kinds:
        if buffer_kind(kind.name, len(kind.shape)) is None:
            weights.append(kind)
        else:
            yield from (LogicalTensor(tensor.name, kind.shape) for tensor in kind.members)
    unpacked = unpack(weights, declared)
    unknown = {id(kind) for kind in unpacked.unknown}
    for kind in unpacked.parameters:
        if kind.layout is None:
            shape = None if id(kind) in unknown else kind.shape
            yield from (LogicalTensor(tensor.name, shape) for tensor in kind.members)
    for packed in unpacked.packed:
        layout, shape = packed.layout, packed.shape
        for tensor in packed.weights.members:
            yield LogicalTensor(tensor.name[: len(tensor.name) - len(layout.ending)] + layout.plain_ending, shape)
