"""Packed weights that are rounded up to whole bytes or words: how many of them are weights, by the architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.shapes import CHECKED, Shape, matrix_shapes
from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Kind

_AROUND: Final = (Component.EMBEDDING, Component.HEAD)


def without_padding(kinds: Iterable[Kind], architecture: Architecture) -> tuple[list[Kind], dict[Component, int]]:
    """(the kinds, in the shape that the architecture has within the padding; component -> what was left off).

    Where it has none, they stay as they are, and are a difference.
    """
    known: Mapping[Component, set[Shape]] | None = None
    found: list[Kind] = []
    left_off: dict[Component, int] = {}
    for kind in kinds:
        if kind.padding:
            known = known or _known(architecture)
            exact = _exact(kind, known.get(kind.component, set()))
            if exact.parameters < kind.parameters:
                left_off[kind.component] = left_off.get(kind.component, 0) + kind.parameters - exact.parameters
            found.append(exact)
        else:
            found.append(kind)
    return found, left_off


def _known(architecture: Architecture) -> Mapping[Component, set[Shape]]:
    of_layers = set(matrix_shapes(architecture))
    tokens = {(architecture.vocab_size, architecture.embedding_size or architecture.hidden_size)}
    return {component: of_layers if component in CHECKED else tokens for component in (*CHECKED, *_AROUND)}


def _exact(kind: Kind, known: Iterable[Shape]) -> Kind:
    """In the largest shape that fits."""
    count = prod(kind.shape)
    fitting = [shape for shape in known if 0 <= count - prod(shape) <= kind.padding and _is_within(shape, kind.shape)]
    if not fitting:
        return kind
    shape = max(fitting, key=prod)
    return replace(kind, shape=shape if len(kind.shape) == 2 else (prod(shape),), padding=0)


def _is_within(shape: Shape, stored: tuple[int, ...]) -> bool:
    """Counts and stacks of matrices have no sides to compare."""
    return len(stored) != 2 or all(side <= room for side, room in zip(shape, stored, strict=True))
