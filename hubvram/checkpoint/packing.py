"""Quantized files whose weights can be counted by name: which tensors are packed weights, which are their scales."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from hubvram.checkpoint.tensors import Kind
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

    parameters: list[Kind]
    """Packed ones in the shape of the weights that they hold; their bytes are the stored ones."""
    scales: list[Kind]


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

METHODS: Final = tuple(_RULES)
"""Methods whose tensors are counted."""


def unpack(kinds: Iterable[Kind], method: str | None) -> Unpacked | None:
    """The weights and the scales among `kinds`; None where one is packed in a way that is not known."""
    rules = _RULES.get(method or "", ())
    found = Unpacked(parameters=[], scales=[])
    for kind in kinds:
        rule = next((rule for rule in rules if kind.dtype in rule.dtypes and kind.name.endswith(rule.endings)), None)
        if rule is None and kind.dtype not in COMPUTE_DTYPES:
            return None
        if rule is None:
            found.parameters.append(kind)
        elif rule.weights_per_element:
            found.parameters.append(_as_weights(kind, rule.weights_per_element))
        else:
            found.scales.append(kind)
    return found


def _as_weights(kind: Kind, weights_per_element: int) -> Kind:
    if weights_per_element == 1 or not kind.shape:
        return kind
    return replace(kind, shape=(*kind.shape[:-1], kind.shape[-1] * weights_per_element))
