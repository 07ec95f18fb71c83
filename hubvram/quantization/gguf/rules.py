"""The type that llama-quantize gives each tensor: llama_tensor_get_type of src/llama-quant.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.quantization.gguf import names
from hubvram.quantization.gguf.conditions import At, Rules
from hubvram.quantization.gguf.layout import GgufLayout, GgufTensor
from hubvram.quantization.gguf.mixtures import Mixture
from hubvram.quantization.gguf.types import dimensions, fits, stand_in

_NEVER_QUANTIZED: Final = frozenset(
    (
        *(names.NORM, "ffn_gate_inp", "ffn_gate_inp_shexp", "exp_probs_b", "attn_sinks"),
        *("position_embd", "token_types", "rope_freqs", "rope_factors"),
    )
)
_LIKE_ATTN_V: Final = ("attn_v", "attn_qkv", "attn_kv_b")
_FAMILIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(_LIKE_ATTN_V, "attn_v"),
    **{role: role for role in ("attn_k", "attn_q", "attn_output")},
    **{f"ffn_{way}{of}": "ffn_gate_up" for way in ("gate", "up") for of in ("", "_exps", "_shexp")},
    **{f"ffn_down{of}": "ffn_down" for of in ("", "_exps", "_shexp")},
}
"""Role -> the field of `Mixture` that has its rules; other matrices get the base type."""
_LAYERS_OF_70B: Final[Mapping[str, int]] = {"llama": 80, "qwen2": 80, "deci": 80}
"""Architecture -> the depth that llama.cpp takes for a model of 70 B."""
_EIGHT: Final = 8
"""As many experts as Mixtral has: its rules."""


def types_of(layout: GgufLayout, mixture: Mixture, *, imatrix: bool, before_2026: bool = False) -> list[str]:
    """The type of each tensor of the layout, in its order, were every row a whole number of blocks."""
    choosing = _Choosing(layout, mixture, imatrix=imatrix, before_2026=before_2026)
    return [choosing.type_of(tensor) for tensor in layout.tensors]


def fitting(kind: str, tensor: GgufTensor) -> str:
    """That type, or what stands in for it. Raises NotPossibleError."""
    columns = tensor.shape[-1] if tensor.shape else 1
    return kind if fits(kind, columns) else stand_in(kind, columns)


class _Choosing:
    """The rules read the tensors in order, and count those of some families."""

    def __init__(self, layout: GgufLayout, mixture: Mixture, *, imatrix: bool, before_2026: bool) -> None:
        self._layout = layout
        self._mixture = mixture
        self._imatrix = imatrix
        self._before_2026 = before_2026
        self._experts = layout.facts.num_experts
        weights = [tensor for tensor in layout.tensors if _is_matrix(tensor)]
        self._is_tied = all(tensor.role != "output" for tensor in weights)
        self._attn_v = sum(tensor.role in _LIKE_ATTN_V for tensor in weights)
        self._seen = {"attn_v": 0, "ffn_down": 0, "ffn_gate": 0, "ffn_up": 0}
        self._is_falcon = layout.architecture == "falcon"
        self._is_70b = _is_70b(layout)

    def type_of(self, tensor: GgufTensor) -> str:
        mixture, role = self._mixture, tensor.role
        if not _is_matrix(tensor):
            return "f32"
        if mixture.plain:
            return mixture.base
        if role == "output" or (self._is_tied and role == "token_embd"):
            return "q8_0" if self._is_falcon or not fits(mixture.base, tensor.shape[-1]) else mixture.head
        if mixture.base == "mxfp4":
            return "mxfp4" if len(tensor.shape) > 2 and tensor.shape[-3] > 1 else "q8_0"
        if role == "token_embd":
            return mixture.token_embd or mixture.base
        family = _FAMILIES.get(role)
        if family is None:
            return mixture.base
        if family == "attn_v":
            return self._type_of_v(role)
        rules: Rules = getattr(mixture, family)
        if self._is_falcon and not mixture.tiny:
            rules = mixture.falcon.get(family, () if family == "attn_output" else rules)
        elif self._experts == _EIGHT and family in ("attn_k", "attn_output"):
            return self._type_for_eight_experts(family)
        return self._pick(rules, self._at(tensor, family)) or mixture.base

    def _type_of_v(self, role: str) -> str:
        mixture = self._mixture
        if self._before_2026 and role != "attn_v":
            rules = mixture.fused_before_2026 if role == "attn_qkv" else ()
            return self._pick(rules, self._place(0, 1)) or mixture.base
        kind = self._pick(mixture.attn_v, self._place(self._next("attn_v"), self._attn_v)) or mixture.base
        if mixture.tiny:
            return kind
        if self._experts == _EIGHT:
            return "q8_0"
        return "q5_k" if self._is_70b and kind in ("q3_k", "q4_k") else kind

    def _type_for_eight_experts(self, family: str) -> str:
        if family == "attn_k":
            return "q4_k" if self._mixture.tiny else "q8_0"
        return self._mixture.eight_experts_output or self._mixture.base

    def _at(self, tensor: GgufTensor, family: str) -> At:
        """Where it stands among its kind: by its block in models with experts, which have several in one."""
        if not family.startswith("ffn"):
            return self._place(0, 1)
        index = self._next("_".join(tensor.role.split("_")[:2]))
        by_block = self._experts > 1 and not self._mixture.tiny
        return self._place(tensor.block if by_block else index, self._layout.blocks)

    def _next(self, counted: str) -> int:
        self._seen[counted] += 1
        return self._seen[counted] - 1

    def _place(self, index: int, count: int) -> At:
        return At(
            index=index,
            count=count,
            grouping=self._layout.grouping,
            experts=self._experts,
            imatrix=self._imatrix,
        )

    @staticmethod
    def _pick(rules: Rules, at: At) -> str | None:
        return next((kind for kind, holds in rules if holds(at)), None)


def _is_matrix(tensor: GgufTensor) -> bool:
    return tensor.role not in _NEVER_QUANTIZED and not tensor.name.endswith(".bias") and dimensions(tensor.shape) > 1


def _is_70b(layout: GgufLayout) -> bool:
    facts = layout.facts
    if facts.num_hidden_layers != _LAYERS_OF_70B.get(layout.architecture):
        return False
    is_llama = layout.architecture == "llama"
    return not is_llama or (layout.grouping != 1 and facts.num_experts != _EIGHT)
