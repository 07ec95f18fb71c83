"""What transformers 5.23 does with packed weights while it loads: what it packs or unpacks, what it takes as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Kind
from hubvram.memory.loading import Step
from hubvram.quantization.formulas import up

_BLOCK: Final = 64
_NESTED_BLOCK: Final = 256
_TABLE_BYTES: Final = 16 * 4
_NESTED_TABLE_BYTES: Final = 256 * 4
_MEAN_BYTES: Final = 4


def _nf4(m: int, n: int) -> int:
    """bitsandbytes 0.50 (functional.py, quantize_4bit): 4 bit each, a 32-bit scale for 64 of them, the 16 values."""
    return up(m * n, 2) + 4 * up(m * n, _BLOCK) + _TABLE_BYTES


def _nf4_nested(m: int, n: int) -> int:
    """The same with scales in 8 bit around their mean, which have scales and a table of their own."""
    scales = up(m * n, _BLOCK)
    nested = scales + 4 * up(scales, _NESTED_BLOCK) + _NESTED_TABLE_BYTES + _MEAN_BYTES
    return up(m * n, 2) + nested + _TABLE_BYTES


def _int8(m: int, n: int) -> int:
    """bitsandbytes 0.50 (nn/modules.py, Int8Params): a byte each, a 32-bit scale for each output."""
    return m * n + 4 * m


@dataclass(frozen=True, slots=True, kw_only=True)
class OnLoad:
    """How a 16-bit matrix is packed on the GPU, one after the other (integrations/bitsandbytes.py)."""

    settings: str
    """What `from_pretrained` is told; `{dtype}` is the type that the model computes in, as torch calls it."""
    held: Callable[[int, int], int]
    """(out_features, in_features) -> bytes on the GPU: what a file holds, less what only the file needs."""
    copies: int
    """Of the matrix in 16 bit, beside what becomes of it."""
    scale_bytes: int = 0
    """Beside both, for each 64 weights: scales in 32 bit that are packed themselves."""
    table_bytes: int = 0
    """Beside both, where no scales are packed: what the table of values is divided by."""
    crosses_host: bool = False
    """Whether the matrix goes back to the host in between, and is made fp16 there."""

    def pack(self, kind: Kind, *, lie: bool = False) -> Step | None:
        """None for what stays. `lie`: matrices are stored with their inputs first, and turned by a copy (Conv1D)."""
        if kind.component not in _PACKED or len(kind.shape) != 2 or not kind.name.endswith(".weight"):
            return None
        m, n = reversed(kind.shape) if lie else kind.shape
        held_bytes = self.held(m, n)
        copies = self.copies + (lie and not self.crosses_host)
        beside = self.scale_bytes * up(m * n, _BLOCK) + self.table_bytes
        return Step(2 * m * n, held_bytes, held_bytes + copies * 2 * m * n + beside)

    def host_copies(self, dtype: str | None) -> int:
        """Copies of a matrix of that type on the CPU."""
        return (1 + (dtype != "fp16")) if self.crosses_host else 0


_PACKED: Final = frozenset({Component.ATTENTION, Component.MLP, Component.EXPERTS, Component.SSM})
_4_BIT: Final = (
    'quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", '
    'bnb_4bit_compute_dtype="{dtype}"'
)

ON_LOAD: Final[Mapping[str, OnLoad]] = {
    "nf4-onload": OnLoad(settings=_4_BIT + ")", held=_nf4, copies=1, table_bytes=_TABLE_BYTES + 4),
    # Both the scales and their distances from the mean are alive while these are packed.
    "nf4-dq-onload": OnLoad(
        settings=_4_BIT + ", bnb_4bit_use_double_quant=True)", held=_nf4_nested, copies=1, scale_bytes=2 * 4
    ),
    # To the CPU, and from there a second copy in fp16 to the GPU (Bnb8bitQuantize; Int8Params._quantize).
    "int8-bnb-onload": OnLoad(
        settings="quantization_config=BitsAndBytesConfig(load_in_8bit=True)", held=_int8, copies=2, crosses_host=True
    ),
}
LIE: Final = frozenset({"gpt2", "openai-gpt"})
"""Types whose layers are Conv1D: their matrices are stored with inputs first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacking:
    """How packed tensors become plain ones on the GPU."""

    settings: str
    step: Callable[[int, Kind], Step | None]
    """(bytes of an element of what they become, tensors) -> what is done to each; None for those that are plain."""


_ROWS_AT_ONCE: Final = 32_768 * 1024
_MXFP4_TABLE: Final = 16


def _unpack_mxfp4(element_bytes: int, kind: Kind) -> Step | None:
    """`_convert_moe_packed_tensors` (integrations/mxfp4.py): rows of 16 bytes with an exponent become 32 weights each.

    Rows are taken a part at a time; the halves of a part's bytes become indices of 32 bit, then of 64 (torch's
    TensorAdvancedIndexing.cpp), then weights. The whole is then transposed into a second one.
    """
    if kind.name.endswith("_scales"):
        return Step(0, 0, 0)  # counted with their blocks
    if not kind.name.endswith("_blocks"):
        return None
    rows = prod(kind.shape[:-1])
    part = min(rows, _ROWS_AT_ONCE)
    read, whole = (16 + 1) * rows, 32 * element_bytes * rows
    in_parts = 16 * part * (4 + 8 + element_bytes) + _MXFP4_TABLE * element_bytes
    exponents = 4 * rows
    return Step(read, whole, read + exponents + whole + max(in_parts, whole))


UNPACKED: Final[Mapping[str, Unpacking]] = {
    "mxfp4": Unpacking(settings="quantization_config=Mxfp4Config(dequantize=True)", step=_unpack_mxfp4),
}
"""quant_method -> what is done where a plain precision is asked for, or where its kernels are missing."""


def is_packed_expert(kind: Kind) -> bool:
    """Whether it belongs to a matrix of one expert that bitsandbytes packed: experts are one tensor in transformers."""
    return ".experts.0" in kind.name and kind.name.endswith((".absmax", ".SCB"))


_AS_STORED: Final = frozenset({"bitsandbytes", "fp8"})
_REASONS: Final[Mapping[str, str]] = {
    "mxfp4": "its kernels arrange the packed experts anew, which takes what is not known here; without them "
    "(no triton 3.4, no `kernels` package) experts become bf16 while they are loaded (--dtype bf16)",
    "hqq": "transformers 5.23 loads no HQQ files",
    **dict.fromkeys(("gptq", "awq"), "gptqmodel arranges the packed weights anew for its kernels behind the loading"),
    "compressed-tensors": "compressed-tensors unpacks the weights at the first forward",
}


def why_not_known(method: str) -> str | None:
    """Why the peak of files packed by a method is not known; None where they are taken as they are."""
    if method in _AS_STORED:
        return None
    return _REASONS.get(method, f"what {method} does with its weights while they are loaded is not known here")
