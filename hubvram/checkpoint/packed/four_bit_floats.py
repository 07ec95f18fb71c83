"""Two 4-bit floats in a byte, scales for groups of 16 or 32; and ModelOpt's int4, which looks much like them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hubvram.checkpoint.packed.layout import EXPONENTS, FLOATS, FP8, Checked, Held, Layout, Module

_ACTIVATIONS: Final = (".input_scale", ".weight_scale_2", ".pre_quant_scale")


def _pairs(scale: str, *, group: int, dtypes: tuple[str, ...]) -> Callable[[Module], Held | None]:
    """[..., m, n / 2], and a scale in one of these types for each group."""

    def held(module: Module) -> Held | None:
        *first, columns = module.shape
        fits = module.shape_of(scale) == (*first, 2 * columns // group) and not 2 * columns % group
        return Held(shape=(*first, 2 * columns)) if first and fits and module.dtype_of(scale) in dtypes else None

    return held


def _count_of_pairs(module: Module) -> Held:
    """Experts in one tensor, of which tools turn the last two dimensions or not."""
    return Held(shape=(2 * module.weight.members[0].elements,))


def _blocks(module: Module) -> Held | None:
    """[..., out, groups, 16 bytes of two weights]"""
    *first, groups, size = module.shape
    return Held(shape=(*first, groups * size * 2)) if module.shape_of("_scales") == (*first, groups) else None


def _int4_along_outputs(module: Module) -> Held | None:
    """[m / 2, n]: ModelOpt's AWQ packs two outputs into a byte."""
    halves, inputs = module.shape
    outputs, groups = module.shape_of(".weight_scale")
    fits = module.dtype_of(".weight_scale") in FLOATS and outputs == 2 * halves and 0 < groups <= inputs
    return Held(shape=(outputs, inputs)) if fits else None


def _bitnet(module: Module) -> Held | None:
    """[m / 4, n]: weights of -1, 0, 1 in two bits, and one scale."""
    quarters, inputs = module.shape
    return Held(shape=(4 * quarters, inputs)) if module.shape_of(".weight_scale") in ((), (1,)) else None


def _fp_quant(name: str, group: int, dtypes: tuple[str, ...]) -> Layout:
    return Layout(
        name=name,
        methods=("fp_quant",),
        ending=".qweight",
        dtypes=("U8",),
        needs=(".scales",),
        extras=(
            *(".weight_global_scale", ".act_global_scale", ".dqweight"),
            *(".forward_hadamard_matrix", ".backward_hadamard_matrix"),
        ),
        held=_pairs(".scales", group=group, dtypes=dtypes),
        checked=Checked.SOURCE,
    )


LAYOUTS: Final = (
    Layout(
        name="mxfp4",
        methods=("mxfp4",),
        ending="_blocks",
        dtypes=("U8",),
        needs=("_scales",),
        held=_blocks,
        checked=Checked.SOURCE,
        plain_ending="",
    ),
    Layout(
        name="nvfp4",
        methods=("compressed-tensors", "modelopt", "auto-round", "intel/auto-round"),
        ending=".weight_packed",
        dtypes=("U8",),
        needs=(".weight_scale",),
        extras=(".weight_global_scale", ".input_global_scale"),
        held=_pairs(".weight_scale", group=16, dtypes=FP8),
        checked=Checked.WRITER,
    ),
    Layout(
        name="mxfp4",
        methods=("compressed-tensors", "auto-round", "intel/auto-round"),
        ending=".weight_packed",
        dtypes=("U8",),
        needs=(".weight_scale",),
        held=_pairs(".weight_scale", group=32, dtypes=EXPONENTS),
        checked=Checked.WRITER,
    ),
    Layout(
        name="nvfp4",
        methods=("modelopt",),
        ending=".weight",
        dtypes=("U8",),
        needs=(".weight_scale", ".weight_scale_2"),
        extras=(".input_scale", ".pre_quant_scale"),
        held=_pairs(".weight_scale", group=16, dtypes=FP8),
        checked=Checked.WRITER,
    ),
    Layout(
        name="mxfp4",
        methods=("modelopt", "quark"),
        ending=".weight",
        dtypes=("U8",),
        needs=(".weight_scale",),
        extras=_ACTIVATIONS,
        held=_pairs(".weight_scale", group=32, dtypes=EXPONENTS),
        checked=Checked.WRITER,
    ),
    Layout(
        name="int4-awq",
        methods=("modelopt",),
        ending=".weight",
        dtypes=("U8",),
        needs=(".weight_scale",),
        extras=_ACTIVATIONS,
        held=_int4_along_outputs,
        checked=Checked.WRITER,
    ),
    Layout(
        name="bitnet",
        methods=("bitnet",),
        ending=".weight",
        dtypes=("U8",),
        needs=(".weight_scale",),
        held=_bitnet,
        checked=Checked.SOURCE,
    ),
    Layout(
        name="nvfp4",
        methods=("modelopt",),
        ending="_proj",
        plain_ending="_proj",
        dtypes=("U8",),
        needs=("_proj_weight_scale", "_proj_weight_scale_2"),
        extras=("_proj_input_scale",),
        held=_count_of_pairs,
        checked=Checked.UNCHECKED,
    ),
    _fp_quant("mxfp4", 32, ("U8", "F8_E8M0")),
    _fp_quant("nvfp4", 16, ("U8", *FP8)),
)
