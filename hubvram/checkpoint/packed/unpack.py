"""Files with packed weights: which tensors hold them, in what shape, and which belong to those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hubvram.checkpoint.tensors import Kind
from hubvram.dtypes import COMPUTE_DTYPES

if TYPE_CHECKING:
    from hubvram.checkpoint.packed.layout import Declared, Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Tensors of one layout."""

    weights: Kind
    """In the name and the shape of what they hold; the members are the tensors as stored, and so are their bytes."""
    layout: Layout
    groups: int | None = None
    """Of the inputs of each row, by its scales; None where the layout has no such scales."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of each, where the files show it to the last row."""
        shape = self.weights.shape
        return shape if len(shape) > 1 and not self.weights.padding else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """Stored tensors, told apart. Their order is that of the files."""

    parameters: Sequence[Kind]
    """Those that stand as they are, and packed ones as the weights that they hold."""
    packed: Sequence[Packed] = ()
    scales: Sequence[Kind] = ()
    """Scales, zeros, indices: they belong to packed weights, and are no parameters."""
    cache_scales: Sequence[Kind] = ()
    """Scales of a KV cache."""
    unknown: Sequence[Kind] = ()
    """Those of the parameters that are packed in a way that is not known."""

    @property
    def packed_bytes(self) -> int:
        """What packed weights take, with all that belongs to them."""
        return sum(it.weights.stored_bytes for it in self.packed) + sum(kind.stored_bytes for kind in self.scales)


_CACHE: Final = (
    *(".k_scale", ".v_scale", ".q_scale", ".kv_scale", ".prob_scale"),
    *("k_proj.output_scale", "v_proj.output_scale"),
)
_ALWAYS: Final = ("_scale_inv", ".input_scale", ".output_scale", ".activation_scale", ".weight_scale")
"""Scales without a packed tensor of the same module: of experts that were joined, of modules left alone after all."""


def unpack(kinds: Sequence[Kind], declared: Declared | None) -> Unpacked:
    """Tell them apart by names, dtypes and shapes, whatever the configuration calls them."""
    if declared is None and all(kind.dtype in COMPUTE_DTYPES for kind in kinds):
        return Unpacked(parameters=kinds)
    # Imported by need: most files have nothing packed.
    from hubvram.checkpoint.packed.search import Search
    from hubvram.checkpoint.packed.siblings import Siblings

    search = Search(siblings=Siblings(kinds), declared=declared.groups if declared else ())
    rest = [left for kind in kinds if (left := search.packed_in(kind)) is not None]
    scales: list[Kind] = []
    cache_scales: list[Kind] = []
    plain: list[Kind] = []
    is_quantized = bool(search.found) or declared is not None
    for kind in rest:
        if kind.name in search.claimed:
            scales.append(kind)
        elif is_quantized and kind.name.endswith(_CACHE):
            cache_scales.append(kind)
        elif is_quantized and kind.name.endswith(_ALWAYS):
            scales.append(kind)
        else:
            plain.append(kind)
    return Unpacked(
        parameters=[*plain, *(it.weights for it in search.found)],
        packed=search.found,
        scales=scales,
        cache_scales=cache_scales,
        unknown=[kind for kind in plain if kind.dtype not in COMPUTE_DTYPES],
    )
