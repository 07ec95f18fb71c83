"""Components with tensors that are packed in a way that is not known: whether they may hold what the config says."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Kind
from hubvram.dtypes import COMPUTE_DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class InDoubt:
    """What the files have of a component."""

    known_parameters: int
    """Not in those tensors; their scales may be among them."""
    packed_bytes: int

    def may_hold(self, parameters: int) -> bool:
        """Whether nothing is too much, and every weight that is missing may have a bit."""
        return 0 <= parameters - self.known_parameters <= 8 * self.packed_bytes


def in_unknown_packing(
    groups: Mapping[Component, Sequence[Kind]], derived: Container[Component]
) -> dict[Component, InDoubt]:
    """Those of the architecture's components that have such tensors."""
    found = {}
    for component, kinds in groups.items():
        packed = [kind for kind in kinds if kind.layout is None and kind.dtype not in COMPUTE_DTYPES]
        if packed and component in derived:
            known = sum(kind.parameters for kind in kinds) - sum(kind.parameters for kind in packed)
            packed_bytes = sum(kind.stored_bytes for kind in packed)
            found[component] = InDoubt(known_parameters=known, packed_bytes=packed_bytes)
    return found
