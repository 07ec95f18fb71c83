"""What PyTorch's CUDA allocator counts for weights beyond their bytes (c10/cuda/CUDACachingAllocator.cpp).

A tensor of 10 MiB or more gets a segment of its own, rounded up to 2 MiB; one of 1 to 10 MiB comes from segments of
20 MiB (get_allocation_size, kMinLargeAlloc, kRoundLarge, kLargeBuffer). What remains of a block is split off only
if it is more than 1 MiB (should_split, kSmallSize); otherwise the tensor keeps it, and max_memory_allocated() counts
the whole block. That is up to 1 MiB for each matrix: 1 MiB for one of 135 MiB, nothing for one of 270 or 130.5.
Since transformers 4.50 a model that is loaded onto the GPU (device_map) is cut from one block that is allocated before
(caching_allocator_warmup in modeling_utils.py), where nothing remains; the block was too small for quantized files in
4.51. A model that is moved there by `.to("cuda")` has its tensors in blocks of their own in any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from hubvram.architecture.attention import FullAttention
from hubvram.architecture.layers import Architecture
from hubvram.quantization.scheme import KEPT_BITS
from hubvram.quantization.schemes import SCHEMES

MIB: Final = 2**20
_OWN_SEGMENT: Final = 10 * MIB
_ROUND: Final = 2 * MIB
_SHARED_SEGMENT: Final = 20 * MIB

_BITS: Final[Mapping[str, int]] = {"int8-bnb-onload": 8, "fp8-block": 8, "nf4-onload": 4, "gptq": 4, "awq": 4}
"""Of a weight in a layer's matrix; what scales take is in other tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsplit:
    """Bytes that blocks have beyond those of their tensors; low counts only those that have a segment of their own."""

    low_bytes: int = 0
    high_bytes: int = 0


def unsplit_rest(tensor_bytes: int) -> int:
    """What a tensor keeps of its segment beyond its own bytes; of a shared one, if others there are as large."""
    if tensor_bytes < MIB:
        return 0
    if tensor_bytes >= _OWN_SEGMENT:
        rest = -tensor_bytes % _ROUND
        return rest if rest <= MIB else 0
    together, rest = divmod(_SHARED_SEGMENT, tensor_bytes)
    return rest // together if rest <= MIB else 0


def unsplit(architecture: Architecture, precision: str) -> Unsplit:
    """Of all matrices."""
    found = [(count, size, unsplit_rest(size)) for count, size in _matrices(architecture, precision)]
    return Unsplit(
        low_bytes=sum(count * rest for count, size, rest in found if size >= _OWN_SEGMENT),
        high_bytes=sum(count * rest for count, _, rest in found),
    )


def _matrices(architecture: Architecture, precision: str) -> Iterator[tuple[int, int]]:
    """(how many, bytes of one) as they are stored: Q, K and V together where they are one matrix."""
    scheme = SCHEMES[precision]
    bits, kept_bits = _BITS.get(precision, scheme.bits), scheme.bits if scheme.everything else KEPT_BITS
    for group in architecture.groups():
        mixer = group.layer.mixer
        fused = isinstance(mixer, FullAttention) and mixer.fused_qkv
        together = 0
        for linear in group.layer.linears:
            if fused and linear.name in ("q", "k", "v"):
                together += linear.weight_parameters
            else:
                yield group.count * linear.count, linear.out_features * linear.in_features * bits // 8
        yield group.count, together * bits // 8
    yield 1, architecture.vocab_size * (architecture.embedding_size or architecture.hidden_size) * kept_bits // 8
    if architecture.head is not None and not architecture.has_tied_head:
        yield 1, architecture.head.weight_parameters * kept_bits // 8
