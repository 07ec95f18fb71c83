"""How transformers 5.23 computes with packed weights on a CUDA GPU, by the tool that packed them.

Read in the tools' sources; what bitsandbytes and HQQ allocate was also measured (tests/linears).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from hubvram.dtypes import COMPUTE_BYTES
from hubvram.memory.forward.linears import LinearCode, Moment
from hubvram.memory.packed_matrices import Packing
from hubvram.units import size

_LINEAR: Final = "what a linear makes"


def _bnb_4bit(dtype: str, computed: str, *, nested: bool = False) -> LinearCode:
    """bitsandbytes 0.50: beyond a few tokens the matrix is unpacked, and with nested scales these in fp32, twice
    (backends/cuda/ops.py, _dequant_linear_fallback). Where the matrix computes in a type of its own, what it reads is
    cast to that first, and what comes out is cast back (nn/modules.py, Linear4bit.forward).

    Up to 4 tokens never, and in fp32 up to 7; up to 1,536 it depends on shape and GPU, in fp32 on neither
    (_gemm_4bit_use_custom_cuda), and is counted.
    """
    width, own = COMPUTE_BYTES[computed], COMPUTE_BYTES[dtype]
    is_cast = computed != dtype
    cast = width if is_cast else 0
    multiplying = Moment(
        what="input cast, and what a linear makes" if is_cast else _LINEAR,
        input_bytes=cast,
        output_bytes=width,
        holds_output=not is_cast,
        weight_bytes=width,
        block_bytes=8 if nested else 0,
    )
    casting = Moment(what="what a linear makes, cast", input_bytes=cast, output_bytes=width + own, holds_output=True)
    few_tokens = 7 if computed == "fp32" else 4
    return LinearCode(
        moments=(multiplying, casting) if is_cast else (multiplying,),
        few_tokens=few_tokens,
        source=f"bitsandbytes 0.50, computing in {computed}: more than {few_tokens} tokens have each matrix unpacked",
    )


def _bnb_nested(dtype: str, computed: str) -> LinearCode:
    return _bnb_4bit(dtype, computed, nested=True)


def _bnb_8bit(dtype: str, computed: str) -> LinearCode:
    """bitsandbytes 0.50, LLM.int8 with a threshold (autograd/_functions.py, MatMul8bitLt.forward).

    Quantizing: the input in fp16, its absolute values, a byte that says which are outliers, and one of int8, with a
    scale for each token. Then sums in int32, and what they make in fp16 and, where that is another type, in the
    model's. Columns of outliers, as many as a prompt happens to have, are not counted.
    """
    is_fp16 = dtype == "fp16"
    cast = 0 if is_fp16 else 2
    width = COMPUTE_BYTES[dtype]
    quantizing = Moment(what="the input, quantized to int8", input_bytes=cast + 2 + 1 + 1, token_bytes=4)
    multiplying = Moment(
        what="input in int8, sums in int32, and outputs",
        input_bytes=1,
        token_bytes=4,
        output_bytes=4 + 2 + (0 if is_fp16 else width),
        holds_output=True,
    )
    source = "bitsandbytes 0.50: inputs in int8, sums in int32; without the columns of outliers"
    return LinearCode(moments=(quantizing, multiplying), source=source)


def _hqq(dtype: str, computed: str) -> LinearCode:
    """hqq 0.2.8 with its PyTorch backend, whatever the number of tokens (core/quantize.py, Quantizer.dequantize):
    weights as unpacked, less their zeros, and times their scales; then one matrix of them."""
    width = COMPUTE_BYTES[dtype]
    unpacking = Moment(what=_LINEAR, weight_bytes=3 * width)
    multiplying = Moment(what=_LINEAR, output_bytes=width, holds_output=True, weight_bytes=width)
    return LinearCode(moments=(unpacking, multiplying), source="hqq 0.2.8, PyTorch backend: each matrix is unpacked")


def _in_the_kernel(dtype: str, computed: str) -> LinearCode:
    """gptqmodel 7.7 with Marlin: beside the output some MiB to sum up in, as the GPU has multiprocessors (at most
    64 KiB for each, marlin_scratch.cuh), which belong to the libraries' workspaces."""
    return LinearCode(source="gptqmodel 7.7 with Marlin, which reads weights as they are packed; its fallback does not")


def _fp8(dtype: str, computed: str) -> LinearCode:
    """transformers' finegrained-fp8 kernel (kernels-community), where weights have scales for blocks: it quantizes what
    it reads on the way, and reads experts where they are (integrations/finegrained_fp8.py)."""
    return LinearCode(copies_experts=False, source=_FP8_SOURCE)


def _fp8_of_one_scale(dtype: str, computed: str) -> LinearCode:
    """The same kernel, where a matrix has one scale: what it reads is quantized first, with a scale for each token."""
    moment = Moment(
        what="input in fp8, and what a linear makes",
        input_bytes=1,
        token_bytes=4,
        output_bytes=COMPUTE_BYTES[dtype],
        holds_output=True,
    )
    return LinearCode(moments=(moment,), copies_experts=False, source=_FP8_SOURCE)


_FP8_SOURCE: Final = (
    "transformers' finegrained-fp8 kernel; DeepGEMM, which takes its place on Hopper with CUDA's compiler, copies "
    "inputs first, at 8 bytes a feature"
)

_Code = Callable[[str, str], LinearCode]
"""For the type that the model computes in, and that which its tool does, where this is a setting of the tool's."""

_CODES: Final[Mapping[str, _Code]] = {
    **dict.fromkeys(("nf4", "nf4-onload", "fp4-bnb", "bnb-4bit"), _bnb_4bit),
    **dict.fromkeys(("nf4-dq", "nf4-dq-onload", "fp4-bnb-dq", "bnb-4bit-dq"), _bnb_nested),
    **dict.fromkeys(("int8-bnb", "int8-bnb-onload"), _bnb_8bit),
    **dict.fromkeys(("awq", "gptq", "awq-marlin", "gptq-marlin", "int4-g128", "int4-g32"), _in_the_kernel),
    **dict.fromkeys(("hqq", "hqq4"), _hqq),
}
"""Scheme or layout -> its code, where that is one tool's."""

_CODES_OF: Final[Mapping[tuple[str, str], _Code]] = {
    ("fp8", "fp8-block"): _fp8,
    ("fp8", "mxfp8"): _fp8,
    ("mxfp8", "mxfp8"): _fp8,
    ("fp8", "fp8"): _fp8_of_one_scale,
}
"""(method, scheme or layout) -> its code, where several tools pack so."""

_UNPACKS: Final = "compressed-tensors"
"""Loads packed weights, and unpacks all of them before the first forward (ModelCompressor.add_decompress_hook)."""


def _code(packing: Packing, name: str) -> _Code | None:
    return _CODES.get(name) or _CODES_OF.get((packing.method or "", name))


def _known(packing: Packing, names: Iterable[str], dtype: str) -> list[LinearCode]:
    computed = packing.compute_dtype or dtype
    return [code(dtype, computed) for name in names if (code := _code(packing, name)) is not None]


def code_of(packing: Packing, dtype: str) -> LinearCode | None:
    """None where nothing is packed, or nobody knows how it is computed. Of several ways what each makes counts."""
    if unpacks(packing):
        return None
    linears, experts = _known(packing, packing.linears, dtype), _known(packing, packing.experts, dtype)
    if not linears and not experts:
        return None
    return LinearCode(
        moments=tuple(moment for code in linears for moment in code.moments),
        few_tokens=min((code.few_tokens for code in linears), default=0),
        copies_experts=not experts or any(code.copies_experts for code in experts),
        source="; ".join(dict.fromkeys(code.source for code in (*linears, *experts))),
    )


def unpacks(packing: Packing) -> bool:
    """Whether nothing stays packed."""
    return packing.method == _UNPACKS and bool(packing.names)


def unpacking_note(packing: Packing) -> str:
    """Of what `unpacks`: how much that is."""
    return (
        f"transformers unpacks what {_UNPACKS} packed before the first forward: {size(packing.unpacking_bytes)} of the "
        "rest, which an engine spares that computes with packed weights, such as vLLM"
    )


def notes_of(packing: Packing, dtype: str) -> Iterator[str]:
    """What is not in the figures."""
    unknown = [name for name in packing.names if _code(packing, name) is None]
    if unknown:
        yield (
            f"what transformers makes beside while it computes with weights packed as {' and '.join(unknown)} is not "
            "known, and not counted"
        )
    elif any(code.copies_experts for code in _known(packing, packing.experts, dtype)):
        yield "how transformers computes with packed experts is not known: activations are those of 16-bit experts"
