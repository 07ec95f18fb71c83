"""The search for packed weights: the first layout decides whose names, dtypes and shapes all fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod

from hubvram.checkpoint.components import component_of
from hubvram.checkpoint.packed.layout import Group, Held, Layout, Module
from hubvram.checkpoint.packed.siblings import Siblings, without
from hubvram.checkpoint.packed.table import candidates
from hubvram.checkpoint.packed.unpack import Packed
from hubvram.checkpoint.tensors import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """One pass over the kinds of a checkpoint."""

    siblings: Siblings
    declared: Sequence[Group]
    found: list[Packed] = field(default_factory=list)
    claimed: set[str] = field(default_factory=set)
    """Names of kinds that belong to packed weights."""

    def packed_in(self, kind: Kind) -> Kind | None:
        """Note what is packed among a kind; what is left is returned."""
        left: Kind | None = kind
        for layout in candidates(kind.name, kind.dtype):
            if left is None:
                break
            lots = [
                (lot, held, beside)
                for lot, beside in self.siblings.of(left, kind.name.removesuffix(layout.ending), layout.needs)
                if (held := self._held(lot, beside, layout)) is not None
            ]
            for lot, held, beside in lots:
                self._note(lot, layout, held, beside)
            left = without(left, [lot for lot, _, _ in lots])
        return left

    def _held(self, lot: Kind, beside: Sequence[Kind], layout: Layout) -> Held | None:
        module = Module(weight=lot, beside=dict(zip(layout.needs, beside, strict=True)), declared=self.declared)
        try:
            return layout.held(module)
        except ValueError:  # a shape of another rank
            return None

    def _note(self, lot: Kind, layout: Layout, held: Held, beside: Sequence[Kind]) -> None:
        stem = lot.name.removesuffix(layout.ending)
        name = stem + layout.plain_ending
        self.claimed.update(stem + ending for ending in (*layout.needs, *layout.extras))
        weights = replace(
            lot,
            name=name,
            shape=held.shape,
            component=lot.component if name == lot.name else component_of(name),
            layout=layout.name,
            padding=held.padding,
        )
        self.found.append(Packed(weights=weights, layout=layout, groups=_groups(layout, held, beside)))


def _groups(layout: Layout, held: Held, beside: Sequence[Kind]) -> int | None:
    """Of the inputs of each row."""
    rows = prod(held.shape[:-1])
    if layout.scales is None or not rows:
        return None
    return prod(beside[layout.needs.index(layout.scales)].shape) // rows
