"""Which Linears of an architecture have a bias: tools that pack weights may write one for each of them, of zeros."""

from __future__ import annotations

from collections.abc import Iterator

from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Linear
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Kind


def has_bias(architecture: Architecture, bias: Kind) -> bool:
    """Whether a stored bias of a Linear may be a parameter: nothing of its component may have one, or it itself not."""
    linears = [linear for component, linear in _linears(architecture) if component is bias.component]
    with_bias = {linear.name for linear in linears if linear.bias}
    name = bias.name.removesuffix(".bias").rpartition(".")[2].removesuffix("_proj")
    return bool(with_bias) and (name in with_bias or name not in {linear.name for linear in linears})


def _linears(architecture: Architecture) -> Iterator[tuple[Component, Linear]]:
    """Of the layers, and the head."""
    stacks = (architecture.groups(), *(stack.groups() for stack in architecture.stacks))
    for part in (part for groups in stacks for group in groups for part in group.layer.own_parts):
        for weight in (*part.linears, *part.tensors):
            if isinstance(weight, Linear):
                yield weight.component or part.component, weight
    if architecture.head is not None:
        yield Component.HEAD, architecture.head
