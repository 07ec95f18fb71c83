"""What the GPU loses before the model has a byte: the CUDA context and the libraries' workspaces.

Assumed, not derived: it depends on driver, GPU and the kernels that get loaded. The range is what was published:

- 287,047,680 B after one operation with lazy loading (pytorch/pytorch pull 86509)
- 426 MiB, context only, RTX 6000 Ada (unslothai/unsloth-zoo pull 1053); "around 400MB" (pytorch issue 109888)
- 666,632,192 B with eager loading of all kernels (pytorch/pytorch pull 86509)

The cuBLAS workspace comes through PyTorch's allocator, once per handle and stream: 8,519,680 B
(":4096:2:16:8"), 32 MiB on Hopper and later (pytorch/pytorch pull 89027, CublasHandlePool.cpp).
"""

from __future__ import annotations

from functools import cache
from typing import Final

from hubvram.memory.estimate import Basis, MemoryComponent
from hubvram.memory.terms import Term, product
from hubvram.units import MIB

CONTEXT_LOW_BYTES: Final = 287_047_680
CONTEXT_TYPICAL_BYTES: Final = 426 * MIB
CONTEXT_HIGH_BYTES: Final = 666_632_192
CUBLAS_WORKSPACE_BYTES: Final = 8_519_680
CUBLAS_WORKSPACE_HOPPER_BYTES: Final = 32 * MIB


@cache
def runtime_component(*, workspace_bytes: int | None = None) -> MemoryComponent:
    """Context and workspace; without a GPU in mind the workspace is a range too."""
    low = CUBLAS_WORKSPACE_BYTES if workspace_bytes is None else workspace_bytes
    high = CUBLAS_WORKSPACE_HOPPER_BYTES if workspace_bytes is None else workspace_bytes
    return MemoryComponent(
        name="runtime",
        size_bytes=CONTEXT_TYPICAL_BYTES + high,
        basis=Basis.ASSUMED,
        low_bytes=CONTEXT_LOW_BYTES + low,
        high_bytes=CONTEXT_HIGH_BYTES + high,
        terms=(
            Term("CUDA context, typical", product(CONTEXT_TYPICAL_BYTES), CONTEXT_TYPICAL_BYTES),
            Term("cuBLAS workspace", product(high), high),
        ),
        source="published figures: pytorch/pytorch pulls 86509 and 89027, unslothai/unsloth-zoo pull 1053",
        note="CUDA context 0.27 to 0.62 GiB as published, and a cuBLAS workspace of 8 or 32 MiB",
    )
