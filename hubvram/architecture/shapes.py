"""Whether the matrices in the files are those of the architecture: equal counts alone do not say so.

Twenty heads with as many for K and V have the parameters of 32 heads with eight of them; their matrices have not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.parts import Linear, Part, Weight
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Kind

Shape = tuple[int, int]
"""(out_features, in_features)"""

CHECKED: Final = (Component.ATTENTION, Component.MLP, Component.EXPERTS)
_FUSED_LIMIT: Final = 8
"""How many of a part's matrices with the same input are joined: 255 ways are enough."""


def strangers(groups: Mapping[Component, Sequence[Kind]], architecture: Architecture) -> list[Kind]:
    """Stored matrices of layers, in a shape that no part of the architecture has, alone or joined with others."""
    known = set(matrix_shapes(architecture))
    return [
        kind
        for component in CHECKED
        for kind in groups.get(component, ())
        if _is_matrix(kind) and known.isdisjoint(_readings(kind.shape))
    ]


def _is_matrix(kind: Kind) -> bool:
    """Biases and norms may be stored by head or by expert."""
    return sum(size != 1 for size in kind.shape) > 1 and not kind.name.endswith("bias") and "norm" not in kind.name


def _readings(shape: tuple[int, ...]) -> Iterator[Shape]:
    """As a matrix of (out, in) or of (in, out); beyond two dimensions experts or heads come first."""
    for cut in range(1, len(shape)):
        for first in range(cut):
            out, into = prod(shape[first:cut]), prod(shape[cut:])
            yield out, into
            yield into, out


def matrix_shapes(architecture: Architecture) -> Iterator[Shape]:
    """Of the matrices of layers, alone and joined."""
    stacks = [stack for stack in architecture.stacks if stack.component is None]
    groups = [*architecture.groups(), *(group for stack in stacks for group in stack.groups())]
    layers = [group.layer for group in groups]
    for layer in layers:
        for part in layer.parts:
            yield from _of_part(part)
    yield from _of_tensors(weight for layer in layers for weight in layer.extras)
    yield from _of_tensors(architecture.extras)


def _of_part(part: Part) -> Iterator[Shape]:
    """Its matrices, and those with the same input joined: Q, K and V, or gate and up, are often stored as one."""
    linears = [*part.linears, *(weight for weight in part.tensors if isinstance(weight, Linear))]
    by_input: dict[int, list[int]] = {}
    for linear in linears:
        by_input.setdefault(linear.in_features, []).append(linear.out_features)
        yield linear.count * linear.out_features, linear.in_features  # all experts in one
    for into, outs in by_input.items():
        for number in range(1, min(len(outs), _FUSED_LIMIT) + 1):
            yield from ((sum(joined), into) for joined in combinations(outs[:_FUSED_LIMIT], number))
    yield from _of_tensors(part.tensors)


def _of_tensors(weights: Iterable[Weight]) -> Iterator[Shape]:
    for weight in weights:
        if len(weight.shape) > 1:
            yield from _readings(weight.shape)
