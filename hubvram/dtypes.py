"""Storage types: how many bits an element takes, and the names a user may write for a precision."""

from __future__ import annotations

from typing import Final

SAFETENSORS_BITS: Final = {
    # The 22 variants of safetensors 0.8 (safetensors/src/tensor.rs, `Dtype`).
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits per element of every dtype a safetensors header may name."""

COMPUTE_DTYPES: Final = {"F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16"}
"""Storage types that a model can compute in as stored, with the name users write."""

COMPUTE_BYTES: Final = {"fp64": 8, "fp32": 4, "fp16": 2, "bf16": 2}
"""Bytes per element of activations and, by default, of the KV cache."""

TORCH_NAMES: Final = {"float64": "fp64", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
"""config.json's `dtype` (formerly `torch_dtype`) -> the name users write."""

KV_CACHE_BYTES: Final = {"fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1}
"""What `--kv-dtype` accepts -> bytes per element."""

CACHES: Final = {
    "dynamic": None,
    "static": None,
    "fp8": "fp8",
    "quanto-int4": "int4",
    "quanto-int2": "int2",
    "hqq-int8": "int8",
    "hqq-int4": "int4",
    "hqq-int3": "int3",
    "hqq-int2": "int2",
    "hqq-int1": "int1",
}
"""What `--cache` accepts -> what K and V are packed in; None: they are not packed."""

PRECISION_BITS: Final = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4}
"""What `--dtype` accepts -> nominal bits per parameter."""


def nominal_weight_bytes(parameters: int, bits: int) -> int:
    """Parameters x bytes, rounded up: the figure everyone starts from (70 B in int4: 32.6 GiB)."""
    return (parameters * bits + 7) // 8


def rule_of_thumb_bytes(nominal_bytes: int) -> int:
    """The usual estimate of the whole: nominal weights x 1.2."""
    return nominal_bytes * 6 // 5
