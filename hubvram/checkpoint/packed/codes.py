"""Codes into tables, trellises, mixed bits: AQLM, HIGGS, exl2, exl3; and MLX's words."""

from __future__ import annotations

from typing import Final

from hubvram.checkpoint.packed.layout import Checked, Held, Layout, Module, groups_fit


def _aqlm(module: Module) -> Held | None:
    """[m / group, n / group, codebooks]: a code stands for a vector, whose sides the codebooks have."""
    rows, columns, number = module.shape
    books, _, outputs, inputs = module.shape_of(".codebooks")
    return Held(shape=(rows * outputs, columns * inputs)) if books == number else None


def _higgs(module: Module) -> Held | None:
    """[m x bits / 16, n], of 2 to 4 bit"""
    rows, inputs = module.shape
    outputs, groups = module.shape_of(".scales")
    held = any(rows == outputs * bits // 16 for bits in (2, 3, 4))
    return Held(shape=(outputs, inputs)) if held and groups_fit(groups, inputs) else None


def _exl2(module: Module) -> Held | None:
    """Rows of several bit widths, 2 to 8; outputs are padded to 32."""
    rows, outputs = module.shape
    (inputs,), (_, scaled) = module.shape_of(".q_invperm"), module.shape_of(".q_scale")
    if not 2 * inputs <= 32 * rows <= 8 * inputs or 8 * scaled != outputs:
        return None
    return Held(shape=(outputs, inputs), padding=min(31, outputs) * inputs)


_EXL3_WORDS: Final = range(16, 16 * 8 + 1, 16)
"""Of a tile of 16 x 16 weights: 1 to 8 bits of each."""


def _exl3(module: Module) -> Held | None:
    """[n / 16, m / 16, 16 x bits]"""
    inputs, outputs, words = module.shape
    signs, flips = module.shape_of(".suh"), module.shape_of(".svh")
    fits = signs == (16 * inputs,) and flips == (16 * outputs,) and words in _EXL3_WORDS
    return Held(shape=(16 * outputs, 16 * inputs)) if fits else None


def _exl3_signs_in_bits(module: Module) -> Held | None:
    """The first files have a bit for each sign."""
    inputs, outputs, words = module.shape
    fits = module.shape_of(".su") == (inputs,) and module.shape_of(".sv") == (outputs,) and words in _EXL3_WORDS
    return Held(shape=(16 * outputs, 16 * inputs)) if fits else None


def _words(module: Module) -> Held | None:
    """[m, n x bits / 32]; groups and their declared size make n."""
    *first, words = module.shape
    *scaled, groups = module.shape_of(".scales")
    if scaled != first or not first:
        return None
    inputs = (
        groups * it.group_size
        for it in module.declared
        if it.bits and it.group_size and words * 32 == groups * it.group_size * it.bits
    )
    return next((Held(shape=(*first, number)) for number in inputs), None)


_EXL3_EXTRAS: Final = (".mcg", ".mul1")

LAYOUTS: Final = (
    Layout(
        name="aqlm",
        methods=("aqlm",),
        ending=".codes",
        dtypes=("I8", "I16", "I32"),
        needs=(".codebooks", ".scales"),
        held=_aqlm,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="higgs",
        methods=("higgs",),
        ending=".weight",
        dtypes=("I16",),
        needs=(".scales", ".tables", ".tables2"),
        held=_higgs,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="exl2",
        methods=("exl2",),
        ending=".q_weight",
        dtypes=("I32",),
        needs=(".q_scale", ".q_invperm"),
        extras=(".q_scale_max", ".q_groups", ".q_perm"),
        held=_exl2,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="exl3",
        methods=("exl3",),
        ending=".trellis",
        dtypes=("I16",),
        needs=(".suh", ".svh"),
        extras=_EXL3_EXTRAS,
        held=_exl3,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="exl3",
        methods=("exl3",),
        ending=".trellis",
        dtypes=("I16",),
        needs=(".su", ".sv"),
        extras=_EXL3_EXTRAS,
        held=_exl3_signs_in_bits,
        checked=Checked.SOURCE,
    ),
    *(
        Layout(
            name="mlx",
            methods=("metal", "mlx"),
            ending=".weight",
            dtypes=("U32",),
            needs=(".scales", offsets),
            held=_words,
            checked=checked,
        )
        for offsets, checked in ((".qbiases", Checked.SOURCE), (".biases", Checked.UNCHECKED))
    ),
)
