"""Bytes of one weight matrix of (out, in) = (m, n), as each tool writes it; biases apart.

Each was compared with what the tool itself wrote for small models (fixtures/quantized).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MatrixBytes = Callable[[int, int], int | None]
"""(out_features, in_features) -> bytes; None where the tool cannot pack a matrix of this shape."""

_BLOCK: Final = 128
_BNB_BLOCK: Final = 64
_BNB_NESTED_BLOCK: Final = 256
_BNB_TABLE_BYTES: Final = 16 * 4
_BNB_NESTED_TABLE_BYTES: Final = 256 * 4


def up(number: int, to: int) -> int:
    """How many groups of `to` it takes."""
    return -(-number // to)


def plain(bits: int) -> MatrixBytes:
    """Every weight alone."""
    return lambda m, n: up(m * n * bits, 8)


def per_channel(scale_bytes: int) -> MatrixBytes:
    """A byte a weight, and a scale for each output."""
    return lambda m, n: m * n + scale_bytes * m


def in_groups(bits: int, group: int, *, scale_bits: int = 16, zero_bits: int = 0) -> MatrixBytes:
    """Groups of inputs with a scale and a zero each, all of them packed without gaps; the last group may be short."""

    def matrix_bytes(m: int, n: int) -> int:
        groups = m * up(n, group)
        return up(m * n * bits, 8) + up(groups * scale_bits, 8) + up(groups * zero_bits, 8)

    return matrix_bytes


def awq(group: int) -> MatrixBytes:
    """autoawq 0.2.9, gemm: qweight and qzeros of eight weights an I32, scales F16. It asserts that groups are whole."""
    packed = in_groups(4, group, zero_bits=4)
    return lambda m, n: packed(m, n) if n % group == 0 and m % 8 == 0 else None


def gptq(m: int, n: int) -> int:
    """gptqmodel 7.7: qweight, qzeros, scales F16, and the group of each input (g_idx, I32)."""
    groups = up(n, _BLOCK)
    return 4 * up(4 * n, 32) * m + 4 * groups * up(4 * m, 32) + 2 * groups * m + 4 * n


def w4a16(m: int, n: int) -> int | None:
    """compressed-tensors 0.20, pack-quantized, symmetric: weight_packed, weight_scale BF16, weight_shape (two I64)."""
    return 4 * m * up(4 * n, 32) + 2 * m * (n // _BLOCK) + 16 if n % _BLOCK == 0 else None


def nf4(m: int, n: int) -> int:
    """bitsandbytes 0.50 in transformers: a 32-bit scale for each 64 weights, the table of 16 values, and the state as
    JSON, whose length depends on the shape's digits."""
    return nf4_loaded(m, n) + 74 + len(str(m)) + len(str(n))


def nf4_loaded(m: int, n: int) -> int:
    """The same in memory, where the state is no tensor."""
    return up(m * n, 2) + 4 * up(m * n, _BNB_BLOCK) + _BNB_TABLE_BYTES


def nf4_nested(m: int, n: int) -> int:
    """The same with the scales in 8 bit, each 256 of them with a scale of their own.

    The state's JSON also holds a float of 16 to 21 digits; 19 is the most frequent length, so that a matrix is exact
    to 3 bytes.
    """
    return _nested(m, n) + 145 + len(str(m)) + len(str(n)) + 19


def nf4_nested_loaded(m: int, n: int) -> int:
    """The same in memory, where the float of the state is a tensor of 32 bit, and the rest of it is none."""
    return _nested(m, n) + 4


def _nested(m: int, n: int) -> int:
    scales = up(m * n, _BNB_BLOCK)
    nested = scales + 4 * up(scales, _BNB_NESTED_BLOCK) + _BNB_NESTED_TABLE_BYTES
    return up(m * n, 2) + nested + _BNB_TABLE_BYTES


def int8_bnb(m: int, n: int) -> int:
    """bitsandbytes 0.50, LLM.int8: SCB F32 for each output, and a byte that names the format."""
    return int8_bnb_loaded(m, n) + 1


def int8_bnb_loaded(m: int, n: int) -> int:
    """The same in memory, where no byte names the format."""
    return m * n + 4 * m


def fp8_block(m: int, n: int) -> int:
    """DeepSeek-V3's layout, transformers' FineGrainedFP8: a 32-bit scale for each 128 x 128."""
    return m * n + 4 * up(m, _BLOCK) * up(n, _BLOCK)


def nvfp4(m: int, n: int) -> int | None:
    """ModelOpt, compressed-tensors: an 8-bit scale for each 16 inputs; two 32-bit scales of weights and of inputs."""
    return up(m * n, 2) + m * n // 16 + 8 if n % 16 == 0 else None


def mxfp4(m: int, n: int) -> int | None:
    """OCP microscaling, as in gpt-oss and compressed-tensors: an 8-bit exponent for each 32 inputs."""
    return up(m * n, 2) + m * n // 32 if n % 32 == 0 else None


def hqq4(m: int, n: int) -> int | None:
    """hqq 0.2.8 in transformers 4: scale and zero F16 for each 64 weights, 68 bytes of settings."""
    return up(m * n, 2) + 2 * 2 * (m * n // 64) + 68 if m * n % 64 == 0 else None
