"""Measures packed linears of bitsandbytes and hqq: allocations of their code for CUDA, on a CPU."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import bitsandbytes
import hqq
import torch
from bitsandbytes import _ops, cextension, functional
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
from torch.profiler import ProfilerActivity, profile

from tests.linears.record import Row

DTYPES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
SHAPES: Final = ((256, 512), (512, 64), (1024, 1024))
"""(in, out)"""
TOKENS: Final = (1, 4, 40, 2000)
_CUSTOM_KERNELS: Final = range(5, 1537)
"""Numbers of tokens for which bitsandbytes chooses by shape and GPU."""


class _Kernels:
    """The compiled library: everything is there, and does nothing."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        def kernel(*arguments: object) -> int:
            return 0

        setattr(self, name, kernel)
        return kernel


class _Context:
    @staticmethod
    def get_instance() -> _Context:
        return _Context()

    def get_context(self, device: object) -> int:
        return 0


def _use_cuda_code() -> torch.library.Library:
    """bitsandbytes' operations as they are for CUDA, for tensors of a CPU. They last as long as what is returned."""
    torch._C._cuda_getCurrentRawStream = lambda index: 0
    cextension.lib = _Kernels()
    functional._cuda_device_of = lambda tensor: contextlib.nullcontext()
    functional.CUBLAS_Context = _Context
    found: dict[str, Any] = {}

    def register(name: str, device: str) -> Callable[[Any], Any]:
        return lambda function: found.setdefault(name, function)

    register_kernel, _ops.register_kernel = _ops.register_kernel, register
    name = "bitsandbytes.backends.cuda.ops"
    sys.modules.pop(name, None)
    importlib.import_module(name)
    _ops.register_kernel = register_kernel
    library = torch.library.Library("bitsandbytes", "IMPL")
    for operation in ("int8_linear_matmul", "int8_mm_dequant", "int8_vectorwise_quant", "gemm_4bit"):
        library.impl(operation, found[f"bitsandbytes::{operation}"], "CPU", allow_override=True)
    return library


def peak_bytes(function: Callable[[], object]) -> int:
    """Of what is allocated within it, by the allocator's own events."""
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False):
        function()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            result = function()
            del result
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    total = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        most = max(most, total)
    assert not total, "all of it is gone"
    return most


def _bnb_4bit(x: Any, width: int, *, nested: bool) -> int:
    weights = width * x.shape[-1]
    blocks = weights // 64
    scales = None
    if nested:
        scales = functional.QuantState(absmax=torch.zeros(-(-blocks // 256)), code=torch.zeros(256), blocksize=256)
    state = functional.QuantState(
        absmax=torch.zeros(blocks, dtype=torch.uint8 if nested else torch.float32),
        shape=torch.Size((width, x.shape[-1])),
        code=torch.zeros(16),
        blocksize=64,
        quant_type="nf4",
        dtype=x.dtype,
        offset=torch.zeros(()) if nested else None,
        state2=scales,
    )
    packed = torch.zeros(weights // 2, 1, dtype=torch.uint8)
    return peak_bytes(lambda: bitsandbytes.matmul_4bit(x, packed, state))


def _bnb_8bit(x: Any, width: int) -> int:
    """As transformers makes it: a threshold of 6."""
    linear = bitsandbytes.nn.Linear8bitLt(x.shape[-1], width, bias=False, has_fp16_weights=False, threshold=6.0)
    weight = torch.zeros(width, x.shape[-1], dtype=torch.int8)
    linear.weight = bitsandbytes.nn.Int8Params(
        weight, requires_grad=False, has_fp16_weights=False, CB=weight, SCB=torch.ones(width)
    )
    linear.eval()
    return peak_bytes(lambda: linear(x))


def _hqq(x: Any, width: int) -> int:
    linear = torch.nn.Linear(x.shape[-1], width, bias=False)
    settings = BaseQuantizeConfig(nbits=4, group_size=64, axis=1)
    packed = HQQLinear(linear, settings, compute_dtype=x.dtype, device="cpu")
    return peak_bytes(lambda: packed(x))


def measured() -> Iterator[Row]:
    """All of them."""
    torch.set_num_threads(1)
    library = _use_cuda_code()
    bnb, own = f"bitsandbytes {bitsandbytes.__version__}", f"hqq {hqq.__version__}"
    ways: tuple[tuple[str, str, Callable[[Any, int], int]], ...] = (
        ("nf4", bnb, lambda x, width: _bnb_4bit(x, width, nested=False)),
        ("nf4-dq", bnb, lambda x, width: _bnb_4bit(x, width, nested=True)),
        ("int8-bnb", bnb, _bnb_8bit),
        ("hqq4", own, _hqq),
    )
    for scheme, tool, measure in ways:
        for dtype, torch_dtype in DTYPES.items():
            for tokens in TOKENS:
                if tokens in _CUSTOM_KERNELS and scheme.startswith("nf4"):
                    continue
                for inputs, outputs in SHAPES:
                    x = torch.zeros(1, tokens, inputs, dtype=torch_dtype)
                    yield Row(
                        scheme=scheme,
                        tool=tool,
                        dtype=dtype,
                        tokens=tokens,
                        in_features=inputs,
                        out_features=outputs,
                        peak_bytes=measure(x, outputs),
                    )
    del library
