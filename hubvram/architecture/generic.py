"""An architecture for model types without a family, from the usual fields and what the tensors are called.

The config says how large things are; names say what there is (biases, norms, a gate, experts), and shapes
decide where the config is silent. Only layers of the usual making are understood: attention with Q, K, V and O,
an MLP or experts, norms. What comes out is right if it meets every tensor (then it is shape-matched); anything
else stays unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from hubvram.architecture import patterns
from hubvram.architecture.attention import FullAttention, SlidingAttention
from hubvram.architecture.layers import Architecture, Layer
from hubvram.architecture.mlp import DenseMLP, MoEMLP
from hubvram.architecture.parts import Linear, Norms, Part
from hubvram.checkpoint.components import Component, buffer_kind, component_of
from hubvram.checkpoint.tensors import TensorInfo
from hubvram.config.document import ConfigDocument
from hubvram.errors import ConfigError

_LAYER: Final = re.compile(r"^(?P<stack>.*?(?:layers?|h|blocks?))\.(?P<index>\d+)\.(?P<rest>.+)$")
_EXPERT: Final = re.compile(r"\.experts\.(\d+)\.")

_ROLES: Final[Mapping[str, re.Pattern[str]]] = {
    role: re.compile(pattern)
    for role, pattern in {
        "qkv": r"(qkv_proj|c_attn|query_key_value|qkv|Wqkv|W_pack|att_proj)\.(weight|bias)$",
        "q": r"(q_proj|query|wq|q_lin|to_q|q)\.(weight|bias)$",
        "k": r"(k_proj|key|wk|k_lin|to_k|k)\.(weight|bias)$",
        "v": r"(v_proj|value|wv|v_lin|to_v|v)\.(weight|bias)$",
        "q norm": r"(q_norm|q_layernorm|query_layernorm|q_ln)\.(weight|bias)$",
        "k norm": r"(k_norm|k_layernorm|key_layernorm|k_ln)\.(weight|bias)$",
        "o": r"(o_proj|out_proj|c_proj|dense|wo|out_lin|attn_out|proj|o)\.(weight|bias)$",
    }.items()
}
"""What a tensor of attention is, by its last names."""

_MLP_ROLES: Final[Mapping[str, re.Pattern[str]]] = {
    role: re.compile(pattern)
    for role, pattern in {
        "gate up": r"(gate_up_proj|dense_h_to_4h_gated|ff_proj)(\.weight|\.bias)?$",
        "gate": r"(gate_proj|w1|linear_v|wi_0)(\.weight|\.bias)?$",
        "up": r"(up_proj|w3|c_fc|fc1|fc_in|dense_h_to_4h|wi_1|linear_1|wi)(\.weight|\.bias)?$",
        "down": r"(down_proj|w2|c_proj|fc2|fc_out|dense_4h_to_h|wo|linear_2)(\.weight|\.bias)?$",
    }.items()
}


class _NotUnderstoodError(Exception):
    """A tensor, or a layer, that is not of the usual making."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The tensors of one layer by role: their shapes, and whether there is a bias."""

    shapes: Mapping[str, tuple[int, ...]]
    biases: frozenset[str]

    def has(self, *roles: str) -> bool:
        return all(role in self.shapes for role in roles)


def derive(config: ConfigDocument, tensors: Iterable[TensorInfo]) -> Architecture | None:
    """The architecture, None where a layer is not of the usual making or the config lacks its dimensions."""
    stacks: dict[str, dict[int, list[tuple[str, TensorInfo]]]] = {}
    around: list[TensorInfo] = []
    for tensor in tensors:
        if buffer_kind(tensor.name, len(tensor.shape)) is not None:
            continue
        match = _LAYER.match(tensor.name)
        if match is None:
            around.append(tensor)
        else:
            layers = stacks.setdefault(match["stack"], {})
            layers.setdefault(int(match["index"]), []).append((match["rest"], tensor))
    if len(stacks) != 1:
        return None
    (members,) = stacks.values()
    try:
        return _architecture(config, members, around)
    except (_NotUnderstoodError, ConfigError):
        return None


def _architecture(
    config: ConfigDocument, members: Mapping[int, Sequence[tuple[str, TensorInfo]]], around: Sequence[TensorInfo]
) -> Architecture:
    number = config.size("num_hidden_layers")
    if sorted(members) != list(range(number)):
        raise _NotUnderstoodError
    hidden, vocab = config.size("hidden_size"), config.size("vocab_size")
    windows = patterns.windows_of(config, number, patterns.wherever_set)
    outside = _around(around)
    norms = outside.get(Component.NORM, [])
    head = outside.get(Component.HEAD, [])
    if not set(outside) <= {Component.EMBEDDING, Component.NORM, Component.HEAD} or len(norms) > 2:
        raise _NotUnderstoodError
    tied = not head
    return Architecture(
        model_type=config.model_type or "unknown",
        hidden_size=hidden,
        vocab_size=vocab,
        max_position_embeddings=config.size_or_none("max_position_embeddings"),
        tie_word_embeddings=tied,
        layers=tuple(_layer(config, members[index], windows[index]) for index in range(number)),
        final_norm=Norms(count=min(1, len(norms)), hidden_size=hidden, bias=len(norms) == 2),
        head=Linear(name="head", out_features=vocab, in_features=hidden, bias=len(head) == 2),
        learned_positions=_positions(outside.get(Component.EMBEDDING, []), vocab, hidden),
    )


def _around(tensors: Sequence[TensorInfo]) -> dict[Component, list[TensorInfo]]:
    found: dict[Component, list[TensorInfo]] = {}
    for tensor in tensors:
        found.setdefault(component_of(tensor.name), []).append(tensor)
    return found


def _positions(embeddings: Sequence[TensorInfo], vocab: int, hidden: int) -> int:
    """Rows of a learned position embedding: the one other table of the hidden width."""
    others = [tensor.shape for tensor in embeddings if tensor.shape != (vocab, hidden)]
    if len(others) > 1 or len(embeddings) - len(others) != 1 or any(shape[1:] != (hidden,) for shape in others):
        raise _NotUnderstoodError
    return others[0][0] if others else 0


def _layer(config: ConfigDocument, members: Sequence[tuple[str, TensorInfo]], window: patterns.Window) -> Layer:
    groups: dict[Component, list[tuple[str, tuple[int, ...]]]] = {}
    for rest, tensor in members:
        groups.setdefault(component_of(tensor.name), []).append((rest, tensor.shape))
    known = {Component.ATTENTION, Component.MLP, Component.EXPERTS, Component.ROUTER, Component.NORM}
    if not set(groups) <= known or Component.ATTENTION not in groups:
        raise _NotUnderstoodError
    hidden = config.size("hidden_size")
    norms = [(rest, shape) for rest, shape in groups.get(Component.NORM, []) if shape == (hidden,)]
    biases = sum(rest.endswith(".bias") for rest, _ in norms)
    if len(norms) != len(groups.get(Component.NORM, [])) or biases not in (0, len(norms) // 2):
        raise _NotUnderstoodError
    return Layer(
        mixer=_attention(config, _roles(groups[Component.ATTENTION], _ROLES), window),
        mlp=_mlp(config, groups),
        norms=Norms(count=len(norms) - biases, hidden_size=hidden, bias=bool(biases)),
    )


def _roles(
    members: Sequence[tuple[str, tuple[int, ...]]], roles: Mapping[str, re.Pattern[str]], *, repeated: bool = False
) -> _Found:
    """By role; `repeated` where several equal tensors have the same one (experts)."""
    shapes: dict[str, tuple[int, ...]] = {}
    biases: set[str] = set()
    for rest, shape in members:
        role = next((role for role, pattern in roles.items() if pattern.search(rest)), None)
        if role is None:
            raise _NotUnderstoodError
        if rest.endswith(".bias"):
            biases.add(role)
        elif role in shapes and (not repeated or shapes[role] != shape):
            raise _NotUnderstoodError
        else:
            shapes[role] = shape
    return _Found(shapes, frozenset(biases))


def _attention(config: ConfigDocument, found: _Found, window: patterns.Window) -> FullAttention:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    groups = config.size_or_none("num_key_value_heads") or heads
    fused = found.has("qkv", "o")
    if not fused and not found.has("q", "k", "v", "o"):
        raise _NotUnderstoodError
    rows = found.shapes["qkv"][0] if fused else found.shapes["q"][0]
    head_dim = config.size_or_none("head_dim") or rows // (heads + 2 * groups if fused else heads)
    if isinstance(window, patterns.Chunk) or not head_dim:
        raise _NotUnderstoodError
    norm = found.shapes.get("q norm")
    make: Callable[..., FullAttention] = FullAttention
    if window is not None:
        make = partial(SlidingAttention, sliding_window=window)
    return make(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=head_dim,
        qkv_bias=bool(found.biases & {"q", "qkv"}),
        k_bias=bool(found.biases & {"k", "qkv"}),
        o_bias="o" in found.biases,
        qk_norm=norm is not None,
        qk_norm_all_heads=norm is not None and norm != (head_dim,),
        qk_norm_bias="q norm" in found.biases,
        fused_qkv=fused,
    )


def _mlp(config: ConfigDocument, groups: Mapping[Component, Sequence[tuple[str, tuple[int, ...]]]]) -> Part | None:
    if Component.EXPERTS in groups:
        return _experts(config, groups)
    if Component.MLP not in groups:
        return None
    found = _roles(groups[Component.MLP], _MLP_ROLES)
    inner = config.size_or_none("intermediate_size") or found.shapes["down"][-1]
    return DenseMLP(
        hidden_size=config.size("hidden_size"),
        intermediate_size=inner,
        hidden_act=config.get(str, "hidden_act") or "unknown",
        gated=found.has("gate") or found.has("gate up"),
        bias=bool(found.biases),
        fused=found.has("gate up"),
    )


def _experts(config: ConfigDocument, groups: Mapping[Component, Sequence[tuple[str, tuple[int, ...]]]]) -> MoEMLP:
    """Experts with a tensor each, or all of them in one; without a shared one or anything else beside them."""
    members = groups[Component.EXPERTS]
    if Component.MLP in groups or len(groups.get(Component.ROUTER, [])) != 1:
        raise _NotUnderstoodError
    found = _roles([(_EXPERT.sub(".experts.", rest), shape) for rest, shape in members], _MLP_ROLES, repeated=True)
    shape = found.shapes["down"]
    return MoEMLP(
        hidden_size=config.size("hidden_size"),
        num_experts=config.size("num_experts"),
        num_experts_per_tok=config.size("num_experts_per_tok"),
        moe_intermediate_size=config.size_or_none("moe_intermediate_size") or shape[-1],
        hidden_act=config.get(str, "hidden_act") or "unknown",
        gated=found.has("gate") or found.has("gate up"),
    )
