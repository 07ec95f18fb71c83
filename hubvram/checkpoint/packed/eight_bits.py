"""A byte for each weight, and scales: FP8 of every tool, int8 of bitsandbytes, compressed-tensors, EETQ."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Final

from hubvram.checkpoint.packed.layout import EXPONENTS, FLOATS, FP8, Checked, Held, Layout, Module, Shape, as_stored

_FP8_METHODS: Final = (
    *("fp8", "compressed-tensors", "modelopt", "fbgemm_fp8", "auto-round", "quark"),
    *("finegrained_fp8", "intel/auto-round"),
)
_ACTIVATIONS: Final = (
    *(".activation_scale", ".input_scale", ".act_scale", ".input_scale_ub", ".qscale_act"),
    *(".input_zero_point", ".weight_zero_point", ".weight_scale_2"),
)

Fits = Callable[[Shape, Shape], bool]
"""(shape of the weights, of their scales)"""


def _in_blocks(weights: Shape, scales: Shape) -> bool:
    """A scale for each block of the matrix; ModelOpt writes [rows, 1, columns, 1]."""
    if len(scales) == 2 * len(weights):
        scales = scales[::2] if set(scales[1::2]) == {1} else ()
    if len(scales) != len(weights) or len(scales) < 2:
        return False
    small = all(0 < some <= size for some, size in zip(scales, weights, strict=True))
    return small and (scales[-1] > 1 or scales[-2] < weights[-2])


def _by_row(weights: Shape, scales: Shape) -> bool:
    """A scale for each row, with or without a dimension that says so; of experts also for each column."""
    *first, rows, columns = weights
    return scales in ((*first, rows), (*first, rows, 1), (*first, 1, columns))


def _of_all(weights: Shape, scales: Shape) -> bool:
    """One scale, or one for each expert."""
    return prod(scales) == 1 or (len(weights) > 2 and scales[:1] == weights[:1] and prod(scales) == scales[0])


def _grains(
    *, scale: str, ending: str = ".weight", scale_dtypes: tuple[str, ...] = (*FLOATS, "F8_E8M0", "U8")
) -> tuple[Layout, ...]:
    """FP8 with a scale under this name, whatever it is the scale of."""

    def layout(name: str, fits: Fits, checked: Checked) -> Layout:
        def held(module: Module) -> Held | None:
            scaled = module.dtype_of(scale) in scale_dtypes and fits(module.shape, module.shape_of(scale))
            return as_stored(module) if scaled else None

        return Layout(
            name=name,
            methods=_FP8_METHODS,
            ending=ending,
            plain_ending=ending,
            dtypes=FP8,
            needs=(scale,),
            extras=_ACTIVATIONS,
            held=held,
            checked=checked if scale in _WRITTEN else Checked.SOURCE,
        )

    return (
        layout("fp8", _of_all, Checked.WRITER),
        layout("mxfp8", _in_groups_of_32, Checked.WRITER),
        layout("fp8-channel", _by_row, Checked.WRITER),
        layout("fp8-block", _in_blocks, Checked.WRITER),
    )


_WRITTEN: Final = (".weight_scale_inv", ".weight_scale")


def _in_groups_of_32(weights: Shape, scales: Shape) -> bool:
    *rows, inputs = weights
    return scales == (*rows, inputs // 32) and not inputs % 32 and inputs > 32


def _beside(ending: str, dtypes: tuple[str, ...]) -> Callable[[Module], Held | None]:
    """An element for each weight, where what stands beside it has one of these types."""
    return lambda module: as_stored(module) if module.dtype_of(ending) in dtypes else None


def _eetq(module: Module) -> Held | None:
    """[n, m]: turned."""
    inputs, outputs = module.shape
    return Held(shape=(outputs, inputs)) if module.shape_of(".weight_scales") == (outputs,) else None


def _fp4_pairs(module: Module) -> Held | None:
    """[m, n / 2] of bytes that hold two weights, an exponent for each 32 (experts of DeepSeek-V4)."""
    *first, columns = module.shape
    inputs = 2 * columns
    if module.dtype_of(".scale") not in EXPONENTS or module.shape_of(".scale") != (*first, inputs // 32):
        return None
    return Held(shape=(*first, inputs))


LAYOUTS: Final = (
    *_grains(scale=".weight_scale_inv"),
    *_grains(scale=".weight_scale"),
    *_grains(scale=".scale"),
    *_grains(scale=".qscale_weight"),
    # Experts in one tensor have no `.weight` in their names: a scale of the same name (transformers), or one more word.
    *_grains(scale="_proj_scale_inv", ending="_proj"),
    *_grains(scale="_proj_scale", ending="_proj"),
    *_grains(scale="_proj_weight_scale", ending="_proj"),
    # Eight bits of a float are a weight, scaled or not.
    *(
        Layout(
            name="fp8",
            methods=_FP8_METHODS,
            ending=ending,
            plain_ending=ending,
            dtypes=FP8,
            extras=_ACTIVATIONS,
            held=as_stored,
            checked=checked,
        )
        for ending, checked in ((".weight", Checked.WRITER), ("_proj", Checked.SOURCE))
    ),
    Layout(
        name="int8-bnb",
        methods=("bitsandbytes",),
        ending=".weight",
        dtypes=("I8",),
        needs=(".SCB",),
        extras=(".weight_format",),
        held=as_stored,
        checked=Checked.WRITER,
    ),
    Layout(
        name="int8",
        methods=("compressed-tensors", "quark", "modelopt"),
        ending=".weight",
        dtypes=("I8",),
        needs=(".weight_scale",),
        extras=_ACTIVATIONS,
        held=_beside(".weight_scale", FLOATS),
        checked=Checked.WRITER,
    ),
    Layout(
        name="eetq",
        methods=("eetq",),
        ending=".weight",
        dtypes=("I8",),
        needs=(".weight_scales",),
        held=_eetq,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="fp4",
        methods=("fp8",),
        ending=".weight",
        dtypes=("I8", "U8"),
        needs=(".scale",),
        held=_fp4_pairs,
        checked=Checked.SOURCE,
    ),
)
