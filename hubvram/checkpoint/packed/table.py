"""All layouts, those that are told by more first, found by the last part of a tensor's name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hubvram.checkpoint.packed import (
    codes,
    compressed_tensors,
    eight_bits,
    four_bit_floats,
    gptq_awq,
    tensor_subclasses,
)
from hubvram.checkpoint.packed.layout import Layout

LAYOUTS: Final = tuple(
    layout.in_names_of_kinds()
    for layouts in (
        gptq_awq.LAYOUTS,
        tensor_subclasses.LAYOUTS,
        four_bit_floats.LAYOUTS,
        compressed_tensors.LAYOUTS,
        codes.LAYOUTS,
        eight_bits.LAYOUTS,
    )
    for layout in layouts
)


def _by_last_part() -> dict[str, list[Layout]]:
    """Those whose ending is no whole part of a name are under ""."""
    found: dict[str, list[Layout]] = {}
    for layout in LAYOUTS:
        found.setdefault(layout.ending.rpartition(".")[2] if "." in layout.ending else "", []).append(layout)
    return found


_BY_LAST_PART: Final = _by_last_part()


def candidates(name: str, dtype: str) -> Iterator[Layout]:
    """The layouts that a kind of this name and dtype may have."""
    for last in (name.rpartition(".")[2], ""):
        for layout in _BY_LAST_PART.get(last, ()):
            if dtype in layout.dtypes and name.endswith(layout.ending):
                yield layout
