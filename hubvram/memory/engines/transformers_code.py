"""What the classes of transformers 5.23 do in their own way, model type by model type: those whose peaks are known.

A type stands here once the peaks of its class were measured and met (fixtures/measurements, tests/peaks).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from hubvram.architecture.attention import LatentAttention
from hubvram.architecture.layers import Architecture
from hubvram.memory.forward import classic
from hubvram.memory.forward.decoder import is_playable, play_decoder
from hubvram.memory.forward.falcon import play_falcon
from hubvram.memory.forward.modeling_code import LAYER_NORM, LLAMA, ModelingCode
from hubvram.memory.forward.rotation import all_in_fp32, halves_in_fp32, halves_then_rest
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.tape import Peak

_GEMMA: Final = replace(LLAMA, norm_row_bytes=4)
"""Its norm keeps no root apart (modeling_gemma.py, GemmaRMSNorm)."""
_OLMO: Final = ModelingCode(rotary_in_fp32=True, rotation=halves_in_fp32)
_COHERE: Final = replace(LLAMA, norm_bytes=12, rotation=all_in_fp32)
"""Its norm takes the mean off in fp32 (modeling_cohere.py, CohereLayerNorm)."""
_SIGMOID: Final = replace(LLAMA, routing_in_fp32=True, router_logits_in_fp32=True)
"""Routers of DeepSeek-V3's kind: logits, and the weights of chosen experts (modeling_deepseek_v3.py, TopkRouter)."""

_LIKE_LLAMA: Final = (
    *("llama", "mistral", "qwen2", "qwen3", "granite", "smollm3", "exaone4", "seed_oss", "ministral3", "internlm3"),
    *("cwm", "arcee", "qwen3_moe", "phimoe", "olmoe", "mellum"),
)

CODE: Final[Mapping[str, ModelingCode]] = {
    **dict.fromkeys(_LIKE_LLAMA, LLAMA),
    **dict.fromkeys(("gemma", "gemma2", "vaultgemma"), _GEMMA),
    **dict.fromkeys(("glm", "glm4"), replace(LLAMA, rotation=halves_then_rest)),
    **dict.fromkeys(("cohere", "cohere2"), _COHERE),
    **dict.fromkeys(("olmo2", "olmo3", "flex_olmo"), _OLMO),
    **dict.fromkeys(("starcoder2", "gpt_neox", "nemotron", "jais2"), LAYER_NORM),
    **dict.fromkeys(("granitemoe", "granitemoeshared"), replace(LLAMA, router_logits_in_fp32=True)),
    **dict.fromkeys(("mixtral", "minimax_m2"), replace(LLAMA, routing_in_fp32=True)),
    **dict.fromkeys(("dots1", "solar_open", "exaone_moe"), _SIGMOID),
    "gemma3_text": replace(_GEMMA, norms_projections=True),
    "olmo": replace(_OLMO, norm_row_bytes=0),
    "phi3": replace(LLAMA, joins_rotated=True),
    "gpt2": replace(LAYER_NORM, softmax_in_fp32=False, hidden_beside_mlp=1, keeps_normed=True),
    "helium": replace(LLAMA, norm_bytes=10, norm_row_bytes=4),
    "hunyuan_v1_dense": replace(LLAMA, norms_projections=True),
    "hunyuan_v1_moe": replace(LLAMA, norms_projections=True, shared_expert_first=True, routing_in_fp32=True),
    "iquestcoder": LLAMA,
    "hyperclovax": LLAMA,
    "youtu": LLAMA,
    "minicpm3": LLAMA,
    "opt": replace(LAYER_NORM, positions_per_sequence=True, hidden_beside_mlp=-1),
    "stablelm": replace(LAYER_NORM, keeps_unrotated=True, hidden_beside_mlp=2),
    "phi": replace(LAYER_NORM, keeps_unrotated=True),
    **dict.fromkeys(("deepseek_v3", "deepseek_v2", "glm4_moe_lite"), _SIGMOID),
    "qwen2_moe": replace(LLAMA, shared_expert_first=True, makes_window_mask=True),
    "hy_v3": replace(_SIGMOID, norms_projections=True),
    "glm4_moe": replace(_SIGMOID, rotation=halves_then_rest),
    "gpt_oss": replace(
        LLAMA, softmax_in_fp32=False, score_copies=3, sink_columns=1, gate_copies=5, halves_of_tables=True
    ),
    # Decoders from before llama.
    "falcon": LAYER_NORM,
    "gptj": replace(LAYER_NORM, positions=classic.position_ids, attention=classic.play_gptj, keeps_probabilities=True),
    "codegen": replace(
        LAYER_NORM, positions=classic.position_ids, attention=classic.play_codegen, keeps_probabilities=True
    ),
    "gpt_neo": replace(
        LAYER_NORM, attention=classic.play_gpt_neo, keeps_probabilities=True, keeps_normed=True, hidden_beside_mlp=1
    ),
    "bloom": replace(
        LAYER_NORM,
        positions=classic.bloom_biases,
        attention=classic.play_bloom,
        keeps_probabilities=True,
        activated_copies=4,
    ),
    "mpt": replace(
        LAYER_NORM,
        positions=classic.mpt_biases,
        masks=classic.mpt_masks,
        attention=classic.play_mpt,
        keeps_probabilities=True,
        hidden_beside_mlp=1,
    ),
    "xglm": replace(LAYER_NORM, positions=classic.position_ids, attention=classic.play_xglm),
    "gpt_bigcode": replace(LAYER_NORM, hidden_beside_mlp=1, keeps_normed=True),
    "aria_text": LLAMA,
    "cohere2_moe": _COHERE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How the classes of some model types are played."""

    play: Callable[[Run, Architecture, bool], tuple[Peak, Peak]]
    """(run, architecture, whether logits are copied to fp32) -> the peak before the head, and that at it."""
    is_playable: Callable[[Architecture], bool]
    """Whether all parts of an architecture are of kinds that it plays."""


_DECODER: Final = Program(play=play_decoder, is_playable=is_playable)
_PROGRAMS: Final[Mapping[str, Program]] = {
    "falcon": Program(play=play_falcon, is_playable=is_playable),
}
"""Model type -> its program, where that is not a decoder's."""


def _program(architecture: Architecture) -> Program:
    return _PROGRAMS.get(architecture.model_type, _DECODER)


def knows(architecture: Architecture) -> bool:
    """Whether a program was found to meet the peaks of this model type."""
    return architecture.model_type in CODE and _program(architecture).is_playable(architecture)


def play(architecture: Architecture, sizes: Sizes, *, copies_logits: bool = True) -> tuple[Peak, Peak]:
    """A forward pass: (its peak before the head, and that at it).

    `generate()` copies logits to fp32, a forward alone does not.
    """
    return _played(_Same(architecture), sizes, copies_logits)


class _Same:
    """An architecture as a key: itself, not its equals, which would take long to compare."""

    __slots__ = ("architecture",)

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def __hash__(self) -> int:
        return id(self.architecture)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.architecture is self.architecture


@lru_cache(maxsize=16)
def _played(same: _Same, sizes: Sizes, copies_logits: bool) -> tuple[Peak, Peak]:
    """Once for all precisions that are computed in the same type."""
    architecture = same.architecture
    run = Run(
        sizes,
        CODE.get(architecture.model_type, LLAMA),
        rotary_dim=_rotary_dim(architecture),
        max_positions=architecture.max_position_embeddings,
    )
    return _program(architecture).play(run, architecture, copies_logits)


def _rotary_dim(architecture: Architecture) -> int:
    """How many dimensions of a head rotate; through a latent, those that are kept apart for it."""
    mixers = (group.layer.mixer for group in architecture.groups())
    latent = max((mixer.qk_rope_head_dim for mixer in mixers if isinstance(mixer, LatentAttention)), default=0)
    return architecture.rotary_dim or latent
