"""GPTQ and AWQ: integers packed into words, scales and zeros for groups of inputs."""

from __future__ import annotations

from typing import Final

from hubvram.checkpoint.packed.layout import Checked, Held, Layout, Module, ceil_div, groups_fit

_WORD_BITS: Final = 32
_GPTQ: Final = ("gptq", "auto-round", "gptqmodel", "intel/auto-round")
_AWQ: Final = ("awq", "auto-round", "intel/auto-round")
_BITS: Final = (2, 3, 4, 5, 6, 8)
"""Of the integers that these tools write."""


def _gptq(module: Module) -> Held | None:
    """[n x bits / 32, m]: packed along the inputs. `g_idx` has a group for each of them, whatever the bits."""
    rows, outputs = module.shape
    (inputs,), (groups, scaled) = module.shape_of(".g_idx"), module.shape_of(".scales")
    held = any(rows == ceil_div(inputs * bits, _WORD_BITS) for bits in _BITS)
    return Held(shape=(outputs, inputs)) if scaled == outputs and held and groups_fit(groups, inputs) else None


def _gptq_without_index(module: Module) -> Held | None:
    """Without `g_idx` the zeros, [groups, m x bits / 32], tell the bits."""
    rows, outputs = module.shape
    (groups, zeros), (_, scaled) = module.shape_of(".qzeros"), module.shape_of(".scales")
    # 3-bit zeros of 37 outputs fill 4 words and not 3.47: rounded, the bits are those of the tools all the same.
    bits = next((b for b in _BITS if ceil_div(outputs * b, _WORD_BITS) == zeros), None)
    if scaled != outputs or bits is None or not groups_fit(groups, rows * _WORD_BITS // bits):
        return None
    return Held(shape=(outputs, rows * _WORD_BITS // bits))


def _awq_gemm(module: Module) -> Held | None:
    """[n, m x bits / 32]: packed along the outputs, of which there is a scale each."""
    inputs, columns = module.shape
    (groups, zeros), (scaled_groups, outputs) = module.shape_of(".qzeros"), module.shape_of(".scales")
    if zeros != columns or groups != scaled_groups or not groups_fit(groups, inputs):
        return None
    held = any(columns * _WORD_BITS == outputs * bits for bits in (2, 4, 8))
    return Held(shape=(outputs, inputs)) if held else None


def _awq_gemv(module: Module) -> Held | None:
    """[m, n / 8], always 4 bit; scales and zeros are padded to whole words."""
    outputs, columns = module.shape
    (zero_rows, zeros), (scaled, groups) = module.shape_of(".qzeros"), module.shape_of(".scales")
    if not outputs == zero_rows == scaled or groups != 8 * zeros:
        return None
    return Held(shape=(outputs, 8 * columns))


def _awq_gemv_fast(module: Module) -> Held | None:
    """[m / 4, n] of 16 bit, four outputs' weights in each."""
    quarters, inputs = module.shape
    (groups, outputs), zeros = module.shape_of(".scales"), module.shape_of(".qzeros")
    return Held(shape=(outputs, inputs)) if zeros == (groups, outputs) and outputs == 4 * quarters else None


def _marlin(scales: str) -> Layout:
    """[n / 16, 2 m]: tiles of 16 x 16 weights of 4 bit, in the order in which a kernel reads them."""

    def held(module: Module) -> Held | None:
        tiles, columns = module.shape
        groups, outputs = module.shape_of(scales)
        if columns != 2 * outputs or not groups_fit(groups, 16 * tiles):
            return None
        return Held(shape=(outputs, 16 * tiles))

    is_gptq = scales == ".s"
    return Layout(
        name="gptq-marlin" if is_gptq else "awq-marlin",
        methods=("gptq", "marlin") if is_gptq else (*_AWQ, "gptq", "marlin"),
        ending=".B" if is_gptq else ".qweight",
        dtypes=("I32",),
        needs=(scales,),
        extras=(".workspace",),
        held=held,
        checked=Checked.SOURCE if is_gptq else Checked.WRITER,
    )


LAYOUTS: Final = (
    Layout(
        name="gptq",
        methods=_GPTQ,
        ending=".qweight",
        dtypes=("I32",),
        needs=(".scales", ".g_idx"),
        extras=(".qzeros",),
        scales=".scales",
        held=_gptq,
        checked=Checked.WRITER,
    ),
    Layout(
        name="awq",
        methods=_AWQ,
        ending=".qweight",
        dtypes=("I32",),
        needs=(".scales", ".qzeros"),
        scales=".scales",
        held=_awq_gemm,
        checked=Checked.WRITER,
    ),
    Layout(
        name="gptq",
        methods=_GPTQ,
        ending=".qweight",
        dtypes=("I32",),
        needs=(".scales", ".qzeros"),
        scales=".scales",
        held=_gptq_without_index,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="awq-gemv",
        methods=_AWQ,
        ending=".qweight",
        dtypes=("I32",),
        needs=(".scales", ".qzeros"),
        held=_awq_gemv,
        checked=Checked.WRITER,
    ),
    Layout(
        name="awq-gemv-fast",
        methods=_AWQ,
        ending=".qweight",
        dtypes=("I16",),
        needs=(".scales", ".qzeros"),
        held=_awq_gemv_fast,
        checked=Checked.WRITER,
    ),
    _marlin(".scales"),
    _marlin(".s"),
)
