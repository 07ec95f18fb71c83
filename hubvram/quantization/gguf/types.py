"""ggml's types: blocks of a row's elements, their bytes, and what stands in where a row is not made of whole ones."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Final

from hubvram.quantization.gguf.reasons import NotPossibleError

Shape = tuple[int, ...]

BLOCKS: Final[Mapping[str, tuple[int, int]]] = {
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q1_0": (128, 18),
    "q2_0": (64, 18),
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "q5_0": (32, 22),
    "q5_1": (32, 24),
    "q8_0": (32, 34),
    "q2_k": (256, 84),
    "q3_k": (256, 110),
    "q4_k": (256, 144),
    "q5_k": (256, 176),
    "q6_k": (256, 210),
    "iq1_s": (256, 50),
    "iq1_m": (256, 56),
    "iq2_xxs": (256, 66),
    "iq2_xs": (256, 74),
    "iq2_s": (256, 82),
    "iq3_xxs": (256, 98),
    "iq3_s": (256, 110),
    "iq4_nl": (32, 18),
    "iq4_xs": (256, 136),
    "tq1_0": (256, 54),
    "tq2_0": (256, 66),
    "mxfp4": (32, 17),
}
"""Type -> (elements of a block, its bytes with scales): gguf-py/gguf/constants.py, GGML_QUANT_SIZES."""

ALIGNMENT: Final = 32
"""Every tensor of a file begins at a multiple of this."""

_SMALL_BLOCK: Final = 32
"""Where rows do not fit, types of such blocks become f16, larger ones what the next table says."""
_STAND_INS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq4_xs"), "iq4_nl"),
    **dict.fromkeys(("q2_0", "q2_k", "q3_k", "tq1_0", "tq2_0"), "q4_0"),
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
}
"""tensor_type_fallback of src/llama-quant.cpp."""


def bits_per_weight(kind: str) -> float:
    """Scales included."""
    elements, block_bytes = BLOCKS[kind]
    return block_bytes * 8 / elements


def fits(kind: str, columns: int) -> bool:
    """Whether a row is a whole number of blocks."""
    return columns % BLOCKS[kind][0] == 0


def stand_in(kind: str, columns: int) -> str:
    """The type of a tensor whose rows do not fit `kind`. Raises NotPossibleError."""
    if BLOCKS[kind][0] > _SMALL_BLOCK and kind not in _STAND_INS:
        raise NotPossibleError(f"llama.cpp has nothing that stands in for {kind} in rows of {columns:,}")
    other = _STAND_INS.get(kind, kind)
    return other if fits(other, columns) else "f16"


def tensor_bytes(kind: str, shape: Shape) -> int:
    """Bytes of a tensor whose rows (the last dimension) are whole blocks, padded as in a file."""
    elements, block_bytes = BLOCKS[kind]
    size_bytes = prod(shape) // elements * block_bytes
    return -(-size_bytes // ALIGNMENT) * ALIGNMENT


def dimensions(shape: Shape) -> int:
    """As ggml counts: leading ones are none."""
    return next((len(shape) - index for index, size in enumerate(shape) if size > 1), 1)
