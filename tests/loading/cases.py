"""Small models, saved and loaded in the ways that make a difference: by the name that the record has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

HEAD_REPEATED: Final = "the tied head is written as well"
EXPERTS_PACKED: Final = "experts are in MXFP4"
EXPERTS_TURNED: Final = "experts lie with their inputs first"
IN_FP8: Final = "matrices of the layers are in FP8, with a scale for 128 x 128"
REWRITTEN: Final = (HEAD_REPEATED, EXPERTS_PACKED, EXPERTS_TURNED, IN_FP8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model type, how its files are written, and at which precision they are loaded."""

    model_type: str
    precision: str = "stored"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """To the small config of the type."""
    saved: str = "bf16"
    shard_bytes: int | None = None
    packed: str = ""
    """By which of bitsandbytes' schemes it is packed before it is written."""
    rewritten: str = ""
    """How what transformers writes is changed to what is published: one of REWRITTEN."""


_PLAIN: Final = (
    *(
        "llama",
        "qwen2",
        "gemma2",
        "gpt2",
        "opt",
        "phi3",
        "gpt_neox",
        "falcon",
        "bloom",
        "t5",
        "bart",
        "whisper",
        "bert",
    ),
    *("granitemoe", "gpt_oss", "llama4_text", "dbrx", "mamba", "switch_transformers"),
)
_CONVERTED: Final = (
    *("mixtral", "qwen3_moe", "qwen2_moe", "olmoe", "phimoe", "minimax_m2", "deepseek_v2", "deepseek_v3", "glm4_moe"),
    *(
        "deepseek_v32",
        "deepseek_v4",
        "dots1",
        "ernie4_5_moe",
        "flex_olmo",
        "hunyuan_v1_moe",
        "exaone_moe",
        "cohere2_moe",
    ),
    *("afmoe", "axk1", "axk2", "beam", "flint", "hy_v3", "kolibri1", "laguna", "longcat_flash", "mellum", "solar_open"),
    *("mimo_v2_flash", "qwen3_next", "qwen3_5_moe_text", "minimax", "jamba", "lfm2_moe", "bailing_hybrid"),
    *("nemotron_h", "olmo_hybrid", "kimi_linear", "inkling2_text", "molmo2", "ernie4_5_vl_moe", "minimax_m3_vl"),
    *("step3p7", "kimi_k25", "qwen3_vl_moe"),
)
_BLOCKS: Final = {"hidden_size": 128, "intermediate_size": 256, "moe_intermediate_size": 128}
_TIED: Final = {"tie_word_embeddings": True}

CASES: Final[Mapping[str, Case]] = {
    **{name: Case(model_type=name) for name in (*_PLAIN, *_CONVERTED)},
    "gpt_oss, MXFP4 to bf16": Case(model_type="gpt_oss", rewritten=EXPERTS_PACKED, precision="bf16"),
    **{
        f"{name} in FP8": Case(model_type=name, rewritten=IN_FP8, changes=_BLOCKS)
        for name in ("llama", "qwen3_moe", "deepseek_v3")
    },
    **{
        f"{model_type}, file in {precision}": Case(model_type=model_type, packed=precision)
        for model_type in ("llama", "qwen3_moe")
        for precision in ("nf4-onload", "nf4-dq-onload", "int8-bnb-onload")
    },
    "qwen3_vl_moe, as published": Case(model_type="qwen3_vl_moe", rewritten=EXPERTS_TURNED),
    "llama in shards": Case(model_type="llama", shard_bytes=100_000),
    "qwen3_moe in shards": Case(model_type="qwen3_moe", shard_bytes=100_000),
    "llama, tied": Case(model_type="llama", changes=_TIED),
    "llama, tied head stored again": Case(model_type="llama", changes=_TIED, rewritten=HEAD_REPEATED),
    "mixtral, tied head stored again": Case(model_type="mixtral", changes=_TIED, rewritten=HEAD_REPEATED),
    **{
        f"{model_type}, {saved} to {precision}": Case(model_type=model_type, saved=saved, precision=precision)
        for model_type in ("llama", "qwen3_moe", "mixtral", "olmo_hybrid")
        for saved, precision in (("fp32", "bf16"), ("bf16", "fp32"))
    },
    **{
        f"{model_type}, {precision}": Case(model_type=model_type, precision=precision)
        for model_type in ("llama", "gpt2", "qwen3_moe", "mixtral")
        for precision in ("nf4-onload", "nf4-dq-onload", "int8-bnb-onload")
        # Turned on the host: a CPU cannot stand for both.
        if (model_type, precision) != ("gpt2", "int8-bnb-onload")
    },
}
"""Those that are packed while they are loaded need bitsandbytes and accelerate."""
