"""ggml's blocks, against gguf-py's own table."""

from __future__ import annotations

import pytest

from hubvram.errors import HubvramError
from hubvram.quantization.gguf.types import BLOCKS, bits_per_weight, dimensions, stand_in, tensor_bytes

# GGML_QUANT_SIZES of gguf 0.19.0 (gguf/constants.py); Q1_0 and Q2_0 of gguf-py in llama.cpp 0c1e57098.
GGML_QUANT_SIZES = {
    "F32": (1, 4),
    "F16": (1, 2),
    "Q4_0": (32, 2 + 16),
    "Q4_1": (32, 2 + 2 + 16),
    "Q5_0": (32, 2 + 4 + 16),
    "Q5_1": (32, 2 + 2 + 4 + 16),
    "Q8_0": (32, 2 + 32),
    "Q2_K": (256, 2 + 2 + 256 // 16 + 256 // 4),
    "Q3_K": (256, 2 + 256 // 4 + 256 // 8 + 12),
    "Q4_K": (256, 2 + 2 + 256 // 2 + 12),
    "Q5_K": (256, 2 + 2 + 256 // 2 + 256 // 8 + 12),
    "Q6_K": (256, 2 + 256 // 2 + 256 // 4 + 256 // 16),
    "IQ2_XXS": (256, 2 + 256 // 4),
    "IQ2_XS": (256, 2 + 256 // 4 + 256 // 32),
    "IQ3_XXS": (256, 2 + 256 // 4 + 256 // 8),
    "IQ1_S": (256, 2 + 256 // 8 + 256 // 16),
    "IQ4_NL": (32, 2 + 16),
    "IQ3_S": (256, 2 + 256 // 4 + 256 // 8 + 256 // 32 + 4),
    "IQ2_S": (256, 2 + 256 // 4 + 256 // 16),
    "IQ4_XS": (256, 2 + 2 + 256 // 2 + 256 // 64),
    "IQ1_M": (256, 256 // 8 + 256 // 16 + 256 // 32),
    "BF16": (1, 2),
    "TQ1_0": (256, 2 + 4 * 13),
    "TQ2_0": (256, 2 + 64),
    "MXFP4": (32, 1 + 16),
    "Q1_0": (128, 2 + 16),
    "Q2_0": (64, 2 + 16),
}


def test_blocks_are_those_of_gguf_py() -> None:
    assert {kind.upper(): block for kind, block in BLOCKS.items()} == GGML_QUANT_SIZES


@pytest.mark.parametrize(
    ("kind", "shape", "size_bytes"),
    [
        ("q4_k", (7, 768), 7 * 3 * 144 + 16),  # 7 rows of 3 blocks, padded
        ("q6_k", (2, 256), 448),  # 420, padded
        ("q8_0", (1, 32), 64),  # 34, padded
        ("f32", (), 32),  # 4, padded
        ("mxfp4", (32, 2880, 2880), 32 * 2880 * 90 * 17),
    ],
)
def test_bytes_of_a_tensor(kind: str, shape: tuple[int, ...], size_bytes: int) -> None:
    assert tensor_bytes(kind, shape) == size_bytes


def test_bits_count_the_scales() -> None:
    assert bits_per_weight("q4_k") == 4.5
    assert bits_per_weight("q6_k") == 6.5625


@pytest.mark.parametrize(
    ("kind", "columns", "other"),
    [
        ("q4_k", 896, "q5_0"),
        ("q6_k", 896, "q8_0"),
        ("iq4_xs", 896, "iq4_nl"),
        ("q2_k", 896, "q4_0"),
        ("q4_k", 100, "f16"),
        ("q4_0", 100, "f16"),
    ],
)
def test_what_stands_in(kind: str, columns: int, other: str) -> None:
    assert stand_in(kind, columns) == other


def test_nothing_stands_in_for_one_bit() -> None:
    with pytest.raises(HubvramError, match="q1_0"):
        stand_in("q1_0", 896)


def test_dimensions_are_counted_as_ggml_does() -> None:
    assert [dimensions(shape) for shape in ((), (5,), (1, 5), (5, 1), (1, 1), (2, 1, 3))] == [1, 1, 1, 2, 1, 3]
