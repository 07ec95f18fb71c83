"""A small model that every audit of the tests reads."""

from __future__ import annotations

import json
from typing import Final

from tests.hub import HubFile, LoopbackHub, safetensors_file
from tests.samples import SMALL_LLAMA, llama_tensors, small_llama

PARAMETERS: Final = 74_560
"""Two layers of 30,848 (attention 12,288, mlp 18,432, norms 128), embedding and head 6,400 each, a norm of 64."""

WEIGHT_BYTES: Final = 149_120
"""In bf16."""


def llama_files() -> dict[str, HubFile | bytes]:
    tensors = llama_tensors(small_llama())
    return {
        "config.json": json.dumps({**SMALL_LLAMA, "dtype": "bfloat16"}).encode(),
        "model.safetensors": safetensors_file({name: ("BF16", shape) for name, shape in tensors.items()}),
    }


def add_llamas(hub: LoopbackHub, *repo_ids: str) -> None:
    for repo_id in repo_ids:
        hub.add_repo(repo_id, llama_files())
