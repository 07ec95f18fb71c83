"""Quantized files whose weights can be counted by name: which tensors are packed weights, which are their scales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hubvram.checkpoint.tensors import TensorInfo
from hubvram.dtypes import COMPUTE_DTYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What tensors are whose names end so, in one of these types."""

    endings: tuple[str, ...]
    dtypes: tuple[str, ...]
    weights_per_element: int
    """0 for scales, which are no parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """Stored tensors, told apart."""

    parameters: list[TensorInfo]
    """Packed ones in the shape of the weights that they hold; their bytes are the stored ones."""
    scales: list[TensorInfo]


_RULES: Final[Mapping[str, Sequence[Rule]]] = MappingProxyType(
    {
        # One 8-bit float per weight, and a scale for each block of them (DeepSeek-V3) or for the whole matrix; the
        # other scale is that of static activations. Experts may be in one tensor, which then has no `.weight`.
        "fp8": (
            Rule(endings=(".weight", "_proj"), dtypes=("F8_E4M3", "F8_E5M2"), weights_per_element=1),
            Rule(
                endings=("_scale_inv", ".activation_scale"),
                dtypes=("F32", "BF16", "F16", "F8_E8M0"),
                weights_per_element=0,
            ),
        ),
        # OCP microscaling: bytes of two 4-bit floats, [experts, out, groups, 16], and an exponent per group (gpt_oss).
        "mxfp4": (
            Rule(endings=("_blocks",), dtypes=("U8",), weights_per_element=2),
            Rule(endings=("_scales",), dtypes=("U8",), weights_per_element=0),
        ),
    }
)
"""`quant_method` of config.json -> its tensors beside ordinary ones. Methods that are not here stay packed: what an
element of theirs holds depends on further settings."""


def unpack(tensors: Iterable[TensorInfo], method: str | None) -> Unpacked | None:
    """The weights and the scales among `tensors`; None where the method, or the type of a tensor, is not known."""
    if method is not None and method not in _RULES:
        return None
    rules = _RULES[method] if method else ()
    found = Unpacked(parameters=[], scales=[])
    for tensor in tensors:
        rule = next(
            (rule for rule in rules if tensor.dtype in rule.dtypes and tensor.name.endswith(rule.endings)), None
        )
        if rule is None and tensor.dtype not in COMPUTE_DTYPES:
            return None
        if rule is None:
            found.parameters.append(tensor)
        elif rule.weights_per_element:
            found.parameters.append(_as_weights(tensor, rule.weights_per_element))
        else:
            found.scales.append(tensor)
    return found


def _as_weights(tensor: TensorInfo, weights_per_element: int) -> TensorInfo:
    if weights_per_element == 1 or not tensor.shape:
        return tensor
    return tensor._replace(shape=(*tensor.shape[:-1], tensor.shape[-1] * weights_per_element))
