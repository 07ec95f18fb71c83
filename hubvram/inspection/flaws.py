"""Packed weights without their scales, or with others than the configuration says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Final

from hubvram.architecture.reconcile import Reconciliation, Status
from hubvram.checkpoint.packed.unpack import Packed, Unpacked
from hubvram.checkpoint.tensors import Kind
from hubvram.config.quantization import QuantizationSettings


def flaws_in(declared: QuantizationSettings | None, compared: Reconciliation, unpacked: Unpacked) -> Iterator[str]:
    """In words."""
    bare = list(_bare(unpacked))
    if bare:
        yield f"{_tensors(bare)} packed without all the scales that such files have"
    empty = [kind for kind in unpacked.scales if not prod(kind.shape) and not kind.name.endswith("g_idx")]
    if empty and unpacked.packed:
        yield f"{_tensors(empty)} empty, where scales or zeros of packed weights should be"
    if declared is not None:
        yield from _group_sizes(declared, unpacked.packed)
        yield from _other_bits(declared, compared, unpacked.packed)


def _bare(unpacked: Unpacked) -> Iterator[Kind]:
    """Packed weights without something that the tool always writes."""
    names = {kind.name for kind in unpacked.scales}
    claimed = {_beside(it, ending) for it in unpacked.packed for ending in (*it.layout.needs, *it.layout.extras)}
    # Experts that were joined may have their scales in one tensor, and the weights in many.
    joined = {kind.component for kind in unpacked.scales if kind.name not in claimed}
    for it in unpacked.packed:
        is_scaled = it.layout.needs or it.weights.component in joined
        missing = any(_beside(it, ending) not in names for ending in it.layout.always)
        if it.weights.parameters and (missing or not is_scaled):
            yield it.weights


def _beside(packed: Packed, ending: str) -> str:
    return packed.weights.name.removesuffix(packed.layout.plain_ending) + ending


def _tensors(kinds: Sequence[Kind]) -> str:
    """`3 tensors (model.layers.0.x, ...) are`"""
    number = sum(len(kind.members) for kind in kinds)
    name = kinds[0].members[0].name
    return f"1 tensor ({name}) is" if number == 1 else f"{number:,} tensors ({name}, ...) are"


def _group_sizes(declared: QuantizationSettings, packed: Sequence[Packed]) -> Iterator[str]:
    """Where all that is declared has a size, and some scales are of groups of none of them."""
    sizes = {group.group_size for group in declared.groups}
    if not sizes or None in sizes:
        return
    stated = sorted(size for size in sizes if size is not None)
    for it in packed:
        if not it.groups:
            continue
        inputs = it.weights.shape[-1]
        if it.groups not in {-(-inputs // size) for size in stated}:
            yield (
                f"{declared.file} declares groups of {' or '.join(map(str, stated[:3]))}, the files have {it.groups:,} "
                f"for {inputs:,} inputs ({it.weights.members[0].name}): the tensors decide"
            )
            return


_USUAL_BITS: Final = (2, 3, 4, 5, 6, 8)
_BY_DECLARED_BITS: Final = "int-packed"
"""The layout whose shapes alone do not tell the bits."""


def _other_bits(declared: QuantizationSettings, compared: Reconciliation, packed: Sequence[Packed]) -> Iterator[str]:
    """Where every component would be as large as config.json says if a weight had other bits than declared."""
    bits, own = declared.bits, compared.packed_by_component
    if compared.status is not Status.UNRECONCILED or not bits or not compared.differences:
        return
    if any(it.layout.name != _BY_DECLARED_BITS for it in packed):
        return
    for other in _USUAL_BITS:
        if all(own.get(it, 0) * (bits - other) == -missing * other for it, missing in compared.differences.items()):
            yield (
                f"{declared.file} declares {bits:g} bits a weight: with {other} the files would hold what config.json "
                "derives, so that the declared bits may be wrong"
            )
