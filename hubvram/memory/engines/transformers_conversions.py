"""Which tensors of a file transformers 5.23 makes into others while it loads them (conversion_mapping.py).

Most are only renamed, and those that are cut along their first dimension stay where they are: a part is a view of the
whole (`Chunk`, `Split` in core_model_loading.py). What is listed here is made anew, beside what it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hubvram.checkpoint.tensors import Kind
from hubvram.config.defaults import is_known


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Tensors whose names differ outside the groups of a pattern alone become one. Sizes are in units of what is read
    for it."""

    pattern: str
    within: str
    """What is in each of these names, with 0 for every digit."""
    on_device: float = 2
    """The most that is alive of it, with what it is made of."""
    beside_file: float = 1
    """The same where what it is made of lies in a mapped file."""
    kept: float = 1
    kept_beside_file: float = 1
    lies: Callable[[tuple[int, ...], int], bool] | None = None
    """(shape, hidden size) -> whether a tensor lies the other way than the class wants it; None: all are made anew."""

    def may_apply(self, kind: Kind, hidden_size: int) -> bool:
        """Whether some tensors of a kind may be meant, whose name has 0 for every digit."""
        return self.within in kind.name and (self.lies is None or self.lies(kind.shape, hidden_size))

    def key(self, name: str) -> str | None:
        """What the names of the tensors that become one have in common; None for a tensor that is left alone."""
        match = re.fullmatch(self.pattern, name)  # compiled by need: most models have nothing of it
        return "*".join(match.groups()) if match else None


def _of(pattern: str, within: str, *, beside_file: float = 1) -> Conversion:
    return Conversion(pattern=pattern, within=within, beside_file=beside_file)


_EXPERT: Final = "experts.0"
_STACKED: Final = _of(r"(.*\bexperts\.)\d++(\.(?:down_proj|w2|fc2)\..+)", _EXPERT)
_STACKED_AND_JOINED: Final = _of(
    r"(.*\bexperts\.)\d++\.(?:gate_proj|w1|fc1|up_proj|w3|fc3)(\..+)", _EXPERT, beside_file=2
)
"""Gates and ups are stacked each (`MergeModulelist`); both stacks lie beside what they are joined to
(`Concatenate`)."""
_EXPERTS: Final = (_STACKED, _STACKED_AND_JOINED)
"""A matrix for each expert: every class of 5.23 that meets such names makes one tensor of all experts of a layer."""

_CONVOLUTIONS: Final = (_of(r"(.*\.)[qkv](_conv1d\.weight)", "_conv0d"), *_EXPERTS)
_ROTATED: Final = Conversion(
    pattern=r"(.*\.(?:wqkv|attn\.in_proj|self_attn\.in_proj)[._](?:weight|bias))",
    within="",
    on_device=5 / 3,
    beside_file=2 / 3,
    kept=5 / 3,
    kept_beside_file=2 / 3,
)
"""Q, K and V are views of one tensor, of which Q and K are then copied in another order (`PermuteForRope`): V keeps
all of it."""
_OUT_OF_TURNS: Final = (_of(r"(.*\b(?:w13_weight|shared_w13_weight|w13_dn\.weight|w13_weight_scale))", "w00_"),)

_OWN: Final[Mapping[str, tuple[Conversion, ...]]] = {
    **dict.fromkeys(("olmo_hybrid", "kimi_linear", "bailing_hybrid", "glm5_next", "glm5_next_text"), _CONVOLUTIONS),
    **dict.fromkeys(("inkling_mm_model", "inkling2", "inkling2_text"), _OUT_OF_TURNS),
    # Only ups: nothing to join.
    **dict.fromkeys(("nemotron_h", "nemotron_h_omni"), (_of(r"(.*\bexperts\.)\d++(\.(?:up|down)_proj\..+)", _EXPERT),)),
    # What is read stays until experts for text and for images are stacked, and one of them joined.
    "ernie4_5_vl_moe": (
        *(replace(conversion, on_device=5 / 2, beside_file=3 / 2) for conversion in _EXPERTS),
        _of(r"(.*\.mlp\.gate\.weight(?:_1)?)", "mlp.gate.weight"),
    ),
    "qwen3_vl_moe": (
        replace(
            _of(r"(.*\.experts\.gate_up_proj)", "experts.gate_up_proj"),
            lies=lambda shape, hidden_size: shape[-1] != hidden_size,
        ),
        replace(
            _of(r"(.*\.experts\.down_proj)", "experts.down_proj"),
            lies=lambda shape, hidden_size: shape[-1] == hidden_size,
        ),
    ),
    "minimax_m3_vl": (*_EXPERTS, _of(r"(.*)\.(?:gate|up)_proj(\.weight)", "_proj.")),
    "step3p7": (_of(r"(.*\bmoe\.)(?:gate|up)_proj(\.weight)", "moe."), _ROTATED),
    "kimi_k25": (*_EXPERTS, _ROTATED),
    "gradium_phonon_tts": (_ROTATED,),
    "molmo2": (_of(r"(.*\bwte\.)(?:new_)?embedding()", "wte."),),
    "mistral_large4": (*_EXPERTS, _of(r"(.*vision_encoder\..*attention\.w[qk]\.weight)", "vision_encoder.")),
    "nemo_speechlm": (_of(r"(.*\.mixer\.experts\.(?:gate_and_up|down)_projs)", "mixer.experts."),),
}
"""Model type -> what its class does in its place."""
UNDESCRIBED: Final = frozenset({"qwen4_exp", "qwen4_exp_text"})
"""Types with tensors so large that their classes join them on the CPU first (`force_cpu`)."""


def conversions_of(model_types: tuple[str | None, ...]) -> tuple[Conversion, ...]:
    """By the model type and that of the text model in it; code that comes with a repo converts nothing."""
    named = [model_type for model_type in model_types if model_type is not None]
    own = next((_OWN[model_type] for model_type in named if model_type in _OWN), None)
    return own if own is not None else _EXPERTS if any(map(is_known, named)) else ()
