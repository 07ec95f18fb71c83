"""What libraries of tensor subclasses write, the parts of each under a name of its own: bitsandbytes, HQQ, torchao,
quanto."""

from __future__ import annotations

from math import prod
from typing import Final

from hubvram.checkpoint.packed.layout import Checked, Held, Layout, Module, as_stored, ceil_div
from hubvram.dtypes import SAFETENSORS_BITS


def _bnb_4bit(module: Module) -> Held | None:
    """[bytes, 1]: rows and columns are in the data of `quant_state`, which headers do not show."""
    if module.shape_of(".weight.quant_map") != (16,):
        return None
    weight_bytes = prod(module.shape) * SAFETENSORS_BITS[module.weight.dtype] // 8
    return Held(shape=(2 * weight_bytes,), padding=min(1, weight_bytes))


def _hqq_rows(module: Module, weights: int) -> bool:
    """Whether the rows hold so many: a byte has one to eight of them, a word ten of 3 bit."""
    rows = module.shape[0]
    if module.weight.dtype == "I32":
        return rows == ceil_div(weights, 10)
    return weights in (rows, 2 * rows, 4 * rows, 8 * rows)


def _hqq(module: Module) -> Held | None:
    """Rows of groups; a scale for each. Rows and columns of the matrix are in the data of `shape`."""
    (groups, one), (_, group_size) = module.shape_of(".scale"), module.shape
    return Held(shape=(groups * group_size,)) if one == 1 and _hqq_rows(module, groups) else None


def _hqq_columns(module: Module) -> Held | None:
    """Columns of groups (axis 0), whose size only the configuration names."""
    (one, groups), (_, columns) = module.shape_of(".scale"), module.shape
    sizes = {it.group_size for it in module.declared if it.group_size and _hqq_rows(module, it.group_size)}
    return Held(shape=(groups * sizes.pop(),)) if one == 1 and columns == groups and len(sizes) == 1 else None


def _quanto_groups(module: Module) -> Held | None:
    """[groups x bits / 8, group size], a scale for each group."""
    (rows, group_size), (groups, one) = module.shape, module.shape_of(".weight._scale")
    return Held(shape=(groups * group_size,)) if one == 1 and groups in (2 * rows, 4 * rows) else None


_STATES: Final = {
    "nf4": (".weight.quant_state.bitsandbytes__nf4",),
    "fp4-bnb": (".weight.quant_state.bitsandbytes__fp4",),
    "bnb-4bit": (),
}
"""Layout -> what tells it: the name of a tensor says which 16 values the weights have."""


def _bnb(name: str, state: tuple[str, ...], nested: bool) -> Layout:
    """`nested`: with scales that are themselves bytes, and have scales."""
    return Layout(
        name=f"{name}-dq" if nested else name,
        methods=("bitsandbytes",),
        ending=".weight",
        dtypes=("U8", "I8", "BF16", "F16", "F32"),  # `bnb_4bit_quant_storage`
        needs=(".weight.absmax", ".weight.quant_map", *state, *((".weight.nested_absmax",) if nested else ())),
        extras=(".weight.nested_quant_map",),
        held=_bnb_4bit,
        checked=Checked.WRITER if state else Checked.UNCHECKED,
    )


_HQQ: Final = (
    *(".zero", ".nbits", ".group_size", ".axis", ".shape", ".compute_dtype", ".packing", ".unpack_view_dtype"),
    *(".view_as_float", ".quant_scale", ".quant_zero", ".offload_meta", ".optimize", ".round_zero", ".channel_wise"),
    *(".stores_quant_config", ".encoded_state_dict", ".meta", ".scale_q", ".meta_scale", ".meta_zero"),
)
_TORCHAO: Final = ("._weight_zero_point", "._weight_act_scale", "._weight_act_pre_scale")
_QUANTO: Final = (".weight._shift", ".input_scale", ".output_scale")


LAYOUTS: Final = (
    *(_bnb(name, state, nested) for nested in (True, False) for name, state in _STATES.items()),
    *(
        Layout(
            name="hqq",
            methods=("hqq",),
            ending=".W_q",
            dtypes=("U8", "I32"),
            needs=(".scale",),
            extras=_HQQ,
            held=held,
            checked=Checked.WRITER,
        )
        for held in (_hqq, _hqq_columns)
    ),
    Layout(
        name="torchao",
        methods=("torchao",),
        ending="._weight_qdata",
        dtypes=("I8", "F8_E4M3", "F8_E5M2"),
        needs=("._weight_scale",),
        extras=_TORCHAO,
        held=as_stored,
        checked=Checked.WRITER,
    ),
    Layout(
        name="quanto",
        methods=("quanto",),
        ending=".weight._data",
        dtypes=("I8", "F8_E4M3", "F8_E5M2"),
        needs=(".weight._scale",),
        extras=_QUANTO,
        held=as_stored,
        checked=Checked.WRITER,
    ),
    Layout(
        name="quanto",
        methods=("quanto",),
        ending=".weight._data._data",
        dtypes=("U8",),
        needs=(".weight._scale",),
        extras=_QUANTO,
        always=(".weight._shift",),
        held=_quanto_groups,
        checked=Checked.WRITER,
    ),
)
