"""Whether the matrices in the files are those of the architecture: equal counts alone do not say so.

Twenty heads with as many for K and V have the parameters of 32 heads with eight of them; their matrices have not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import prod
from typing import Final, NamedTuple

from hubvram.architecture.layers import Architecture, Layer
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
    counts: Mapping[Component, set[int]] | None = None
    found: list[Kind] = []
    for component in CHECKED:
        for kind in groups.get(component, ()):
            if kind.layout is not None and len(kind.shape) == 1:
                counts = counts or _counts(architecture)
                if kind.shape[0] not in counts.get(component, ()):
                    found.append(kind)
            elif _is_matrix(kind) and known.isdisjoint(_readings(kind.shape)):
                found.append(kind)
    return found


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
    layers = list(_layers(architecture))
    for layer in layers:
        for part in layer.parts:
            for stack in _stacks(part):
                yield stack.shape
                yield stack.number * stack.shape[0], stack.shape[1]  # all experts in one
            yield from _of_tensors(part.tensors)
    yield from _of_tensors(weight for layer in layers for weight in layer.extras)
    yield from _of_tensors(architecture.extras)


def _counts(architecture: Architecture) -> Mapping[Component, set[int]]:
    """Component -> elements of the same matrices: all that is known of packed ones whose rows no header shows."""
    found: dict[Component, set[int]] = {}
    for part in (part for layer in _layers(architecture) for part in layer.parts):
        for stack in _stacks(part):
            each = prod(stack.shape)
            found.setdefault(stack.component, set()).update((each, stack.number * each))
        for weight in part.tensors:
            found.setdefault(weight.component or part.component, set()).add(prod(weight.shape))
    return found


def _layers(architecture: Architecture) -> Iterator[Layer]:
    """Unlike ones, of the model and of the encoder beside it."""
    stacks = [stack for stack in architecture.stacks if stack.component is None]
    for group in (*architecture.groups(), *(group for stack in stacks for group in stack.groups())):
        yield group.layer


class _Stack(NamedTuple):
    """Matrices of one shape, that may be stored in one tensor (experts)."""

    component: Component
    shape: Shape
    number: int


def _stacks(part: Part) -> Iterator[_Stack]:
    """Its matrices, and those with the same input joined: Q, K and V, or gate and up, are often stored as one."""
    linears = [*part.linears, *(weight for weight in part.tensors if isinstance(weight, Linear))]
    by_input: dict[int, list[Linear]] = {}
    for linear in linears:
        by_input.setdefault(linear.in_features, []).append(linear)
        yield _Stack(linear.component or part.component, linear.shape, linear.count)
    for into, alike in by_input.items():
        for number in range(2, min(len(alike), _FUSED_LIMIT) + 1):
            for joined in combinations(alike[:_FUSED_LIMIT], number):
                stacked = min(linear.count for linear in joined)
                shape = sum(linear.out_features for linear in joined), into
                yield _Stack(joined[0].component or part.component, shape, stacked)


def _of_tensors(weights: Iterable[Weight]) -> Iterator[Shape]:
    for weight in weights:
        if len(weight.shape) > 1:
            yield from _readings(weight.shape)
