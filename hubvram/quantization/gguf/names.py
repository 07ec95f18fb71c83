"""Hugging Face's names of tensors -> what they are in a GGUF file, by a table of the names in use.

A role is llama.cpp's name of a tensor, without block and suffix. Roles in angle brackets are tensors that become
several others (`layout.py`). Checked against the converter's own plan for the model types of `ARCHITECTURES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

ARCHITECTURES: Final[Mapping[str, str]] = {
    "bert": "bert",
    "bloom": "bloom",
    "chatglm": "chatglm",
    "cohere": "command-r",
    "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2",
    "exaone": "exaone",
    "falcon": "falcon",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "glm4_moe": "glm4moe",
    "glm4v_text": "glm4",
    "gpt2": "gpt2",
    "gpt_bigcode": "starcoder",
    "gpt_oss": "gpt-oss",
    "granite": "granite",
    "granitemoe": "granitemoe",
    "internlm2": "internlm2",
    "kimi_k2": "deepseek2",
    "llama": "llama",
    "llama4_text": "llama4",
    "minicpm3": "minicpm3",
    "minimax_m2": "minimax-m2",
    "mistral": "llama",
    "mixtral": "llama",
    "nemotron-nas": "deci",
    "olmo2": "olmo2",
    "phi": "phi2",
    "phi3": "phi3",
    "phimoe": "phimoe",
    "qwen": "qwen",
    "qwen2": "qwen2",
    "qwen2_5_vl_text": "qwen2vl",
    "qwen2_moe": "qwen2moe",
    "qwen2_vl_text": "qwen2vl",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "qwen3_vl_moe_text": "qwen3vlmoe",
    "qwen3_vl_text": "qwen3vl",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
}
"""Model type of a text model -> llama.cpp's architecture: those whose every tensor was checked."""

AROUND: Final = frozenset(
    (
        *("gemma3", "glm4v", "internvl_chat", "llama4", "llava", "qwen2_5_vl", "qwen2_audio", "qwen2_vl"),
        *("qwen3_vl", "qwen3_vl_moe"),
    )
)
"""Model types with towers beside such a text model, which the converter takes; the towers are a file of their own."""

GATE_UP: Final = "<gate and up of all experts>"
DOWN: Final = "<down of all experts>"
KV_B: Final = "<k_b and v_b>"
QKV: Final = "<q, k and v>"
NORM: Final = "norm"
"""Whatever its name: one dimension, 32 bit, the same bytes."""

_ATTENTION: Final = r"(?:self_attn|attn|attention|self_attention|attention\.self|attn\.attention)\."
_MLP: Final = r"(?:mlp|block_sparse_moe|feed_forward)\."
_OUTSIDE: Final = (
    (
        r"(?:embed_tokens|wte|(?:embedding\.|embeddings\.)?word_embeddings|tok_embeddings)",
        "token_embd",
    ),
    (r"(?:lm_head|output_layer|output)", "output"),
    (r"(?:norm|ln_f|final_layernorm|encoder\.final_layernorm)", NORM),
    (r"(?:word_embeddings_layernorm|embeddings\.LayerNorm)", NORM),
    (r"(?:wpe|embeddings\.position_embeddings)", "position_embd"),
    (r"embeddings\.token_type_embeddings", "token_types"),
)
_INSIDE: Final = (
    (rf"{_ATTENTION}(?:q_proj|query)", "attn_q"),
    (rf"{_ATTENTION}(?:k_proj|key)", "attn_k"),
    (rf"{_ATTENTION}(?:v_proj|value)", "attn_v"),
    (rf"{_ATTENTION}(?:qkv_proj|c_attn|query_key_value)", "attn_qkv"),
    (rf"{_ATTENTION}(?:o_proj|c_proj|dense|wo|out_proj)|attention\.output\.dense", "attn_output"),
    (rf"{_ATTENTION}wqkv", QKV),
    (rf"{_ATTENTION}q_a_proj", "attn_q_a"),
    (rf"{_ATTENTION}q_b_proj", "attn_q_b"),
    (rf"{_ATTENTION}kv_a_proj_with_mqa", "attn_kv_a_mqa"),
    (rf"{_ATTENTION}kv_b_proj", KV_B),
    (rf"{_ATTENTION}sinks", "attn_sinks"),
    (rf"{_ATTENTION}(?:[qk]_(?:layer)?norm|(?:q|kv)_a_layernorm)", NORM),
    (rf"{_MLP}(?:gate_proj|w1|c_fc_0)", "ffn_gate"),
    (rf"{_MLP}(?:up_proj|w3|gate_up_proj|c_fc|c_fc_1|dense_h_to_4h|fc1)|intermediate\.dense", "ffn_up"),
    (rf"{_MLP}(?:down_proj|w2|c_proj|dense_4h_to_h|fc2)|output\.dense", "ffn_down"),
    (rf"{_MLP}(?:gate|router|router\.layer)", "ffn_gate_inp"),
    (rf"{_MLP}(?:gate\.)?e_score_correction_bias", "exp_probs_b"),
    (rf"{_MLP}shared_experts?\.gate_proj", "ffn_gate_shexp"),
    (rf"{_MLP}shared_experts?\.up_proj", "ffn_up_shexp"),
    (rf"{_MLP}shared_experts?\.down_proj", "ffn_down_shexp"),
    (rf"{_MLP}shared_expert_gate", "ffn_gate_inp_shexp"),
    (rf"{_MLP}(?:experts\.gate_up_proj(?:_bias)?|input_linear)", GATE_UP),
    (rf"{_MLP}(?:experts\.down_proj(?:_bias)?|output_linear)", DOWN),
    (
        r"(?:(?:input|(?:pre|post)_attention|(?:pre|post)_feedforward|post_(?:mlp|self_attn))_layernorm"
        r"|(?:attention|ffn)_norm|ln_(?:0|1|2|attn|mlp)|(?:attention\.)?output\.LayerNorm)",
        NORM,
    ),
    (r"eh_proj", "nextn.eh_proj"),
    (r"[eh]norm|shared_head\.norm", NORM),
    (r"embed_tokens", "nextn.embed_tokens"),
    (r"shared_head\.head", "nextn.shared_head_head"),
)
_EXPERT: Final = (
    (r"(?:gate_proj|w1)", "ffn_gate_exps"),
    (r"(?:up_proj|w3)", "ffn_up_exps"),
    (r"(?:down_proj|w2)", "ffn_down_exps"),
)
_OTHERWISE: Final[Mapping[str, Mapping[str, str]]] = {
    "qwen": {"mlp.w1": "ffn_up", "mlp.w2": "ffn_gate"},  # what is gated is the other one there
    "minicpm3": {"self_attn.kv_b_proj": "attn_kv_b"},  # stays whole
}
"""Model type -> what a name means there and nowhere else."""

_NUMBER: Final = re.compile(r"\.([0-9]{1,6})\.")
_BEFORE: Final = re.compile(r"^(?:(?:model|language_model|transformer|bert)\.)*")
_LAYERS: Final = re.compile(r"(?:encoder\.)?(?:layers?|h)")
_EXPERTS: Final = re.compile(rf"{_MLP}experts")


class Known(NamedTuple):
    """What a tensor is."""

    role: str
    suffix: str
    stem: str
    """Its own name within the layer."""


Kind = tuple[str, ...]
"""The parts of a name between its numbers."""


def parted(name: str) -> tuple[Kind, tuple[int, ...]]:
    """(what a name says, the numbers in it): of its layer, and of its expert."""
    parts = _NUMBER.split(name)
    return tuple(parts[::2]), tuple(map(int, parts[1::2]))


def known(kind: Kind, model_type: str) -> Known | None:
    """What tensors with such a name are, None where the table does not know them."""
    front = _BEFORE.sub("", kind[0])
    stem, _, suffix = kind[-1].rpartition(".")
    if suffix not in ("weight", "bias"):
        stem, suffix = kind[-1], "bias" if kind[-1].endswith("proj_bias") else "weight"
    if len(kind) == 1:
        stem = _BEFORE.sub("", stem)
        role = _role(_OUTSIDE, stem)
    elif not _LAYERS.fullmatch(front):
        return None
    elif len(kind) == 2:
        role = _OTHERWISE.get(model_type, {}).get(stem) or _role(_INSIDE, stem)
    else:
        is_expert = len(kind) == 3 and _EXPERTS.fullmatch(kind[1]) and suffix == "weight"
        role = _role(_EXPERT, stem) if is_expert else None
    return None if role is None else Known(role, suffix, stem)


def _role(rows: tuple[tuple[str, str], ...], stem: str) -> str | None:
    return next((role for found, role in _compiled(rows) if found.fullmatch(stem)), None)


@cache  # and not when this file is imported
def _compiled(rows: tuple[tuple[str, str], ...]) -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), role) for pattern, role in rows)
