"""Which tensors stand beside which: by the names of kinds, and one by one where a name is not enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from hubvram.checkpoint.tensors import Kind, TensorInfo

Lot = tuple[Kind, Sequence[Kind]]
"""Tensors of a kind that have the same beside them, and what that is."""


class Siblings:
    """Mostly a name has one kind, and that settles it.

    Layers may differ though in what is packed, in groups, in shapes: then the tensors are looked up one by one, which
    is done once for all layouts that need the same.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds: dict[str, list[Kind]] = {}
        for kind in kinds:
            self._kinds.setdefault(kind.name, []).append(kind)
        self._modules: dict[str, Mapping[str, Kind]] = {}
        self._lots: dict[tuple[int, tuple[str, ...]], tuple[Kind, Sequence[Lot]]] = {}

    def of(self, kind: Kind, stem: str, needs: tuple[str, ...]) -> Sequence[Lot]:
        """Those of a kind that have everything in `needs` beside them; `stem` is what their names begin with."""
        key = (id(kind), needs)
        if key not in self._lots:
            # The kind is kept with them, so that its id stays its own.
            self._lots[key] = kind, self._found(kind, stem, needs)
        return self._lots[key][1]

    def _found(self, kind: Kind, stem: str, needs: tuple[str, ...]) -> Sequence[Lot]:
        candidates = [self._kinds.get(stem + ending, []) for ending in needs]
        if not all(candidates):
            return ()
        if len(self._kinds[kind.name]) == 1 and all(len(found) == 1 for found in candidates):
            firsts = [found[0] for found in candidates]
            if all(len(found.members) == len(kind.members) for found in firsts):
                return [(kind, firsts)]
        return self._one_by_one(kind, stem, needs)

    def _one_by_one(self, kind: Kind, stem: str, needs: tuple[str, ...]) -> Sequence[Lot]:
        own_ending = len(kind.name) - len(stem)
        beside = [self._by_module(stem, ending) for ending in needs]
        lots: dict[tuple[int, ...], tuple[list[TensorInfo], list[Kind]]] = {}
        for tensor in kind.members:
            module = tensor.name[:-own_ending]
            found = [other for others in beside if (other := others.get(module)) is not None]
            if len(found) == len(needs):
                lots.setdefault(tuple(map(id, found)), ([], found))[0].append(tensor)
        return [
            (kind if len(members) == len(kind.members) else replace(kind, members=members), others)
            for members, others in lots.values()
        ]

    def _by_module(self, stem: str, ending: str) -> Mapping[str, Kind]:
        """What stands beside each module under this ending."""
        name = stem + ending
        if name not in self._modules:
            end = -len(ending)
            self._modules[name] = {tensor.name[:end]: kind for kind in self._kinds[name] for tensor in kind.members}
        return self._modules[name]


def without(kind: Kind, lots: Sequence[Kind]) -> Kind | None:
    """What is left of a kind."""
    if not lots:
        return kind
    if sum(len(lot.members) for lot in lots) == len(kind.members):
        return None
    taken = {tensor.name for lot in lots for tensor in lot.members}
    return replace(kind, members=[tensor for tensor in kind.members if tensor.name not in taken])
