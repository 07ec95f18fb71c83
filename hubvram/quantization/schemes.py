"""What `--dtype` accepts beside GGUF's names, and what each does.

A bare int4, int8 or fp8 is what a tool would deploy if nobody said more; other names are tools' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hubvram.dtypes import PRECISION_BITS
from hubvram.quantization import formulas
from hubvram.quantization.formulas import MatrixBytes
from hubvram.quantization.scheme import QuantizationScheme

_KEPT: Final = "embedding, head and norms stay 16 bit"
ON_LOAD: Final = "-onload"
"""Ends the name of a scheme that does something else on load than for a file."""

_COMPRESSED_TENSORS: Final = "compressed-tensors"
_ON_LOAD: Final = "when transformers 5 loads a 16-bit model: experts stay 16 bit, since they are no Linear there"


def _plain(name: str) -> QuantizationScheme:
    bits = PRECISION_BITS[name]
    return QuantizationScheme(
        name=name, bits=bits, everything=True, matrix=formulas.plain(bits), description=f"every parameter in {name}"
    )


def _layers(
    name: str,
    bits: int,
    matrix: MatrixBytes,
    what: str,
    *,
    experts: bool = True,
    routers: bool = False,
    method: str | None = None,
) -> QuantizationScheme:
    return QuantizationScheme(
        name=name,
        bits=bits,
        matrix=matrix,
        description=what,
        packs_experts=experts,
        packs_routers=routers,
        method=method,
    )


_CHANNEL: Final = f"with a 4-byte scale per output channel in the layers; {_KEPT}"
_INT4: Final = f"int4 in groups of {{}} in the layers; {_KEPT}"

SCHEMES: Final[Mapping[str, QuantizationScheme]] = {
    "fp32": _plain("fp32"),
    "fp16": _plain("fp16"),
    "bf16": _plain("bf16"),
    "fp8": _layers("fp8-channel", 8, formulas.per_channel(4), f"fp8 {_CHANNEL}"),
    "int8": _layers("int8-channel", 8, formulas.per_channel(4), f"int8 {_CHANNEL}"),
    # AWQ's layout: 4-bit weights, a 16-bit scale and a 4-bit zero for each group.
    "int4": _layers("int4-g128", 4, formulas.in_groups(4, 128, zero_bits=4), _INT4.format(128)),
    "int4-g128": _layers("int4-g128", 4, formulas.in_groups(4, 128, zero_bits=4), _INT4.format(128)),
    "int4-g32": _layers("int4-g32", 4, formulas.in_groups(4, 32, zero_bits=4), _INT4.format(32)),
    "awq": _layers("awq", 4, formulas.awq(128), f"AWQ (autoawq, gemm), 4 bit in groups of 128; {_KEPT}"),
    "gptq": _layers("gptq", 4, formulas.gptq, f"GPTQ, 4 bit in groups of 128, with g_idx; {_KEPT}"),
    "w4a16": _layers(
        "w4a16",
        4,
        formulas.w4a16,
        f"compressed-tensors, symmetric int4 in groups of 128; {_KEPT}",
        method=_COMPRESSED_TENSORS,
    ),
    "nf4": _layers("nf4", 4, formulas.nf4, f"bitsandbytes NF4, as in published files; {_KEPT}", routers=True),
    "nf4-dq": _layers(
        "nf4-dq", 4, formulas.nf4_nested, f"bitsandbytes NF4, scales quantized again; {_KEPT}", routers=True
    ),
    "nf4-onload": _layers("nf4-onload", 4, formulas.nf4_loaded, f"bitsandbytes NF4 {_ON_LOAD}", experts=False),
    "nf4-dq-onload": _layers(
        "nf4-dq-onload",
        4,
        formulas.nf4_nested_loaded,
        f"bitsandbytes NF4, scales quantized again, {_ON_LOAD}",
        experts=False,
    ),
    "int8-bnb": _layers("int8-bnb", 8, formulas.int8_bnb, f"bitsandbytes LLM.int8, as in files; {_KEPT}", routers=True),
    "int8-bnb-onload": _layers(
        "int8-bnb-onload", 8, formulas.int8_bnb_loaded, f"bitsandbytes LLM.int8 {_ON_LOAD}", experts=False
    ),
    "fp8-block": _layers(
        "fp8-block", 8, formulas.fp8_block, f"fp8 with a scale per 128 x 128, rounded up; {_KEPT}", method="fp8"
    ),
    "fp8-channel": _layers(
        "fp8-channel",
        8,
        formulas.per_channel(2),
        f"fp8 with a 2-byte scale per output (compressed-tensors); {_KEPT}",
        method=_COMPRESSED_TENSORS,
    ),
    "nvfp4": _layers("nvfp4", 4, formulas.nvfp4, f"NVFP4 (ModelOpt), a scale per 16 weights; {_KEPT}"),
    "mxfp4": _layers("mxfp4", 4, formulas.mxfp4, f"MXFP4, an exponent per 32 weights; {_KEPT}"),
    "hqq4": _layers("hqq4", 4, formulas.hqq4, f"HQQ, 4 bit in groups of 64, 16-bit scales; {_KEPT}", routers=True),
}
"""Name -> scheme."""
