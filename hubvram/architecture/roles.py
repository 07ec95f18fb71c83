"""What tensors are by the last of their names, and the sizes that they show; for model types without a family."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from hubvram.checkpoint.components import Component

Shape = tuple[int, ...]

LAYER: Final = re.compile(r"^(?P<stack>(?:.*?\.)?(?:layers?|h|blocks?))\.(?P<index>[0-9]{1,5})\.(?P<rest>.+)$")

_MLP: Final[Mapping[str, str]] = {
    "gate up": "gate_up_proj|dense_h_to_4h_gated|ff_proj",
    "gate": "gate_proj|w1|linear_v|wi_0",
    "up": "up_proj|w3|c_fc|fc1|fc_in|dense_h_to_4h|wi_1|linear_1|wi",
    "down": "down_proj|w2|c_proj|fc2|fc_out|dense_4h_to_h|wo|linear_2",
}
_NAMES: Final[Mapping[Component, Mapping[str, str]]] = {
    Component.ATTENTION: {
        "qkv": "qkv_proj|c_attn|query_key_value|qkv|Wqkv|W_pack|att_proj",
        "q": "q_proj|query|wq|q_lin|to_q|q",
        "k": "k_proj|key|wk|k_lin|to_k|k",
        "v": "v_proj|value|wv|v_lin|to_v|v",
        "q norm": "q_norm|q_layernorm|query_layernorm|q_ln",
        "k norm": "k_norm|k_layernorm|key_layernorm|k_ln",
        "o": "o_proj|out_proj|c_proj|dense|wo|out_lin|attn_out|proj|o",
    },
    Component.MLP: _MLP,
    Component.EXPERTS: _MLP,
    Component.ROUTER: {
        "shared gate": "shared_expert_gate",
        "correction": "e_score_correction_bias|expert_bias",
        "router": r"gate|router|router\.layer|router\.classifier|gate\.wg",
    },
    Component.NORM: {"norm": r"[^.]+"},
    Component.EMBEDDING: {"positions": r"[^.]*pos[^.]*|wpe", "tokens": r"[^.]+"},
    Component.HEAD: {"head": r"[^.]+"},
}
"""What a tensor is, by its last names."""
_ROLES: Final = {
    component: [(role, re.compile(rf"(?:^|\.)(?:{names})(?:\.weight|\.bias)?$")) for role, names in roles.items()]
    for component, roles in _NAMES.items()
}

AROUND: Final = frozenset((Component.EMBEDDING, Component.NORM, Component.HEAD))
INSIDE: Final = frozenset(_NAMES) - {Component.EMBEDDING, Component.HEAD}

_LONGEST: Final = 200
"""Characters of a name that is looked at, and that a note may have."""


class NotUnderstoodError(Exception):
    """Why nothing is derived, in the words of a note."""


class Found:
    """The tensors of one layer, or of what is around them: their shapes by component and role."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[Component, str], list[Shape]] = {}

    def add(self, component: Component, role: str, shape: Shape) -> None:
        self._shapes.setdefault((component, role), []).append(shape)

    def has(self, component: Component) -> bool:
        return any(key[0] is component for key in self._shapes)

    def every(self, component: Component, role: str) -> list[Shape]:
        return self._shapes.get((component, role), [])

    def one(self, component: Component, role: str) -> Shape | None:
        """The shape of the one tensor of this role; None without one."""
        shapes = self.every(component, role)
        if len(shapes) > 1:
            raise NotUnderstoodError(f"{len(shapes)} tensors look like one: {component} {role}")
        return shapes[0] if shapes else None

    def linear(self, component: Component, role: str, hidden: int) -> int | None:
        """The other side of a matrix that reads or writes the hidden states, whichever way it lies; None without."""
        shape = self.one(component, role)
        return None if shape is None else _other_side(shape, hidden, f"{component} {role}")

    def bias(self, component: Component, role: str, size: int) -> bool:
        """Whether there is one, of this size."""
        shape = self.one(component, f"{role} bias")
        if shape not in (None, (size,)):
            raise NotUnderstoodError(f"the bias of {component} {role} has another size than its matrix")
        return shape is not None


def _other_side(shape: Shape, hidden: int, what: str) -> int:
    if len(shape) != 2 or hidden not in shape or not all(shape):
        raise NotUnderstoodError(f"{what} of shape {list(shape)} does not fit the hidden states' {hidden:,}")
    return shape[0] if shape[1] == hidden else shape[1]


def role_of(component: Component, name: str) -> str | None:
    """What a tensor of `component` is; None where its name is none of the usual ones."""
    if len(name) > _LONGEST:
        return None
    role = next((role for role, pattern in _ROLES[component] if pattern.search(name)), None)
    if role is None:
        return None
    if component is Component.EXPERTS and "share" in name:
        role = f"shared {role}"
    return f"{role} bias" if name.endswith(".bias") else role


def listed(names: Iterable[str]) -> str:
    """The first three of a few kinds of names, as they can be printed."""
    shown = [repr(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}...") for name in names]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more


@dataclass(frozen=True, slots=True)
class Matrices:
    """What an MLP, or one expert, is made of."""

    inner: int
    gated: bool
    fused: bool
    bias: bool


def matrices_of(found: Found, component: Component, hidden: int, prefix: str = "", count: int = 0) -> Matrices | None:
    """Those of `component`; of one of `count` equal experts, with a tensor each or all in one. None without any."""
    sizes: dict[str, int] = {}
    biases: set[str] = set()
    for role in _MLP:
        what = f"{prefix}{role}"
        shapes = found.every(component, what)
        if count and len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][0] == count:
            shapes = [shapes[0][1:]] * count
        if shapes and (len(shapes) != (count or 1) or len(set(shapes)) != 1):
            raise NotUnderstoodError(f"there are {len(shapes)} tensors for {component} {what}, or they differ")
        if shapes:
            sizes[role] = _other_side(shapes[0], hidden, f"{component} {what}")
        expected = (hidden if role == "down" else sizes.get(role, 0),)
        if found.every(component, f"{what} bias"):
            if count or found.one(component, f"{what} bias") != expected:
                raise NotUnderstoodError(f"{component} {what} has a bias of an unusual making")
            biases.add(role)
    if not sizes and not biases:
        return None
    inner = sizes.pop("down", 0)
    expected_sizes = (
        {"gate up": 2 * inner},
        {"gate": inner, "up": inner},
        {"up": inner},
        {"gate": inner},  # the first of two, whatever it is called
    )
    if sizes not in expected_sizes or biases not in (set(), {*sizes, "down"}):
        raise NotUnderstoodError(f"{component} of an unusual making: {', '.join(sizes) or 'nothing'} and down")
    return Matrices(inner, gated=len(sizes) == 2 or "gate up" in sizes, fused="gate up" in sizes, bias=bool(biases))
