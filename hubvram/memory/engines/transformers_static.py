"""Whose peaks beside a static cache are known (transformers 5.23).

A type stands here once whole runs of its class with one were measured and met
(fixtures/measurements/transformers-5.23-generate-static.json, tests/generation). They ran without `torch.compile`.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.workload import Attention, Logits, Workload

_TYPES: Final = """
    afmoe arcee aria_text bitnet codegen cohere cohere2 cohere2_moe ctrl cwm dots1 ernie4_5 ernie4_5_moe
    exaone4 exaone_moe falcon_mamba flex_olmo gemma gemma2 gemma3_text glm glm4 glm4_moe gpt2 gpt_bigcode
    gpt_neox gpt_oss gptj granite granite_swa granitemoe granitemoe_swa granitemoeshared helium
    hunyuan_v1_dense hy_v3 hyperclovax internlm3 iquestcoder jais2 jamba kolibri1 laguna lfm2 lfm2_moe llama
    mamba mellum minimax_m2 ministral ministral3 mistral mixtral nanochat nemotron olmo olmoe persimmon phi
    phi3 phi4_multimodal phimoe qwen2 qwen2_moe qwen3 qwen3_moe seed_oss smollm3 solar_open stablelm
    starcoder2 vaultgemma
"""
MEASURED: Final = frozenset(_TYPES.split())


def is_measured(architecture: Architecture, workload: Workload) -> bool:
    """Of a text model alone, by eager attention or sdpa: flash attention was not run."""
    is_run = workload.attention is not Attention.FLASH and workload.logits is Logits.LAST
    return is_run and architecture.whole_type is None and architecture.model_type in MEASURED
