"""compressed-tensors' own: integers packed into words, and matrices that are mostly zeros."""

from __future__ import annotations

from math import prod
from typing import Final

from hubvram.checkpoint.packed.layout import Checked, Held, Layout, Module, ceil_div

_WORD_BITS: Final = 32
_WHOLE: Final = range(1, _WORD_BITS + 1)
_METHOD: Final = ("compressed-tensors",)


def _packed(module: Module) -> Held | None:
    """[..., m, n x bits / 32]. The bits are declared alone; with groups, their number and size make n."""
    *first, words = module.shape
    *scaled, groups = module.shape_of(".weight_scale")
    if scaled != first or not first or not groups:
        return None
    whole = [(int(bits), it.group_size) for it in module.declared if (bits := it.bits or 0) in _WHOLE]
    fitting = {groups * size for bits, size in whole if size and words in _words(groups * size, bits)}
    if fitting:
        return Held(shape=(*first, fitting.pop())) if len(fitting) == 1 else None
    # Rows with one scale have no size of a group; where one is declared all the same, the bits alone must do.
    widths = {bits for bits, size in whole if (size is None) == (groups == 1)} or {bits for bits, _ in whole}
    if len(widths) != 1 or _WORD_BITS % max(widths):
        return None
    in_a_word = _WORD_BITS // widths.pop()
    inputs = words * in_a_word
    if groups == 1:  # the last word of a row may have room left
        return Held(shape=(*first, inputs), padding=prod(first) * (in_a_word - 1))
    return Held(shape=(*first, inputs)) if inputs % groups == 0 else None


def _words(inputs: int, bits: int) -> tuple[int, int]:
    """One weight after the other, or, up to version 0.11, none over the end of a word."""
    return ceil_div(inputs * bits, _WORD_BITS), ceil_div(inputs, _WORD_BITS // bits)


def _bitmask(module: Module) -> Held | None:
    """A bit for each weight, rounded up in each row; what is not zero stands apart."""
    rows, columns = module.shape_of(".bitmask")
    *first, stored = module.shape
    if first:  # two of every four: exactly half of a row is stored
        fits = first == [rows] and ceil_div(2 * stored, 8) == columns
        return Held(shape=(rows, 2 * stored)) if fits else None
    return Held(shape=(rows, 8 * columns), padding=7 * rows) if 0 < stored <= 8 * rows * columns else None


def _marlin_24(module: Module) -> Held | None:
    """[n / 32, m x bits / 2], of 4 or 8 bit, for a kernel that skips half of the weights."""
    tiles, columns = module.shape
    _, outputs = module.shape_of(".scale_packed")
    fits = module.shape_of(".meta") == (tiles, 2 * outputs) and columns in (2 * outputs, 4 * outputs)
    return Held(shape=(outputs, 32 * tiles)) if fits else None


LAYOUTS: Final = (
    Layout(
        name="int-packed",
        methods=(*_METHOD, "auto-round", "intel/auto-round"),
        ending=".weight_packed",
        dtypes=("I32",),
        needs=(".weight_scale",),
        extras=(".weight_shape", ".weight_zero_point", ".weight_g_idx", ".input_scale", ".input_zero_point"),
        scales=".weight_scale",
        held=_packed,
        checked=Checked.WRITER,
    ),
    Layout(
        name="marlin-24",
        methods=_METHOD,
        ending=".weight_packed",
        dtypes=("I32",),
        needs=(".scale_packed", ".meta"),
        held=_marlin_24,
        checked=Checked.WRITER,
    ),
    Layout(
        name="sparse",
        methods=_METHOD,
        ending=".compressed",
        dtypes=("BF16", "F16", "F32", "F8_E4M3", "I8"),
        needs=(".bitmask",),
        extras=(".shape", ".row_offsets", ".weight_scale", ".weight_zero_point", ".input_scale"),
        held=_bitmask,
        checked=Checked.WRITER,
        is_dense=False,
    ),
)
