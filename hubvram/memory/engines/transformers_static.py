"""Whose peaks beside a static cache are known (transformers 5.23).

A type stands here once whole runs of its class with one were measured and met
(fixtures/measurements/transformers-5.23-generate-static.json, tests/generation). They ran without `torch.compile`.
"""

from __future__ import annotations

from typing import Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.workload import Attention, Logits, Workload

_TYPES: Final = "arcee exaone4 gemma gemma2 gemma3_text llama ministral3 mistral qwen2 qwen3 seed_oss smollm3"
MEASURED: Final = frozenset(_TYPES.split())


def is_measured(architecture: Architecture, workload: Workload) -> bool:
    """Of a text model alone, by eager attention or sdpa: flash attention was not run."""
    is_run = workload.attention is not Attention.FLASH and workload.logits is Logits.LAST
    return is_run and architecture.whole_type is None and architecture.model_type in MEASURED
