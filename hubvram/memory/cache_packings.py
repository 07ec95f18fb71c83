"""How the backends of transformers' QuantizedCache pack a tensor: what it takes then, and what is alive meanwhile.

Read in optimum-quanto 0.2.7 (tensor/packed.py, library/quantize.py), HQQ 0.2.8 (core/bitpack.py, core/optimize.py) and
cache_utils.py of transformers 5.23, all with the defaults: groups of 64 elements along axis 0, each with a scale and a
zero in the type that the model computes in. "Alive meanwhile" counts the tensors of their Python code; kernels that
quanto compiles for a GPU need less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

GROUP_ELEMENTS: Final = 64
"""`q_group_size`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elements:
    """Of one layer's K and V, or of the two parts of a latent."""

    keys: int
    values: int

    @property
    def both(self) -> int:
        return self.keys + self.values


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """So many `groups` share a row of so many bytes. Tokens behind the prompt wait until there are 128."""

    row_bytes: int
    groups: int = 1
    work: Callable[[int], float]
    """(bytes of an element) -> bytes for each element while a tensor is packed, the tensor itself not among them."""
    per_sequence: bool = False
    """Whether a group has to be of one sequence."""
    unpacking_copies: float
    """Of a tensor, unpacked, while that is done."""

    def packed_bytes(self, elements: int, element_bytes: int) -> int:
        """Of one tensor, scales and zeros included. Groups that are left over take a row too."""
        groups = -(-elements // GROUP_ELEMENTS)
        return -(-groups // self.groups) * self.row_bytes + 2 * groups * element_bytes

    def first_bytes(self, prompt: Elements, element_bytes: int) -> int:
        """While a prompt is packed, V behind K, each from a copy in the order of heads; beside a cache of both."""
        each = element_bytes + self.work(element_bytes)
        keys, values = (self.packed_bytes(elements, element_bytes) for elements in (prompt.keys, prompt.values))
        return int(max(each * prompt.keys - keys, each * prompt.values)) - values

    def next_bytes(self, packed: Elements, tokens: Elements, element_bytes: int, *, anew: bool) -> int:
        """In a step behind it, at the end of which all are packed `anew` or not: K and V unpacked, and joined to what
        waits."""
        joined = element_bytes * (packed.both + tokens.both)
        if anew:
            # K first; then V, beside what K takes more than before.
            of_keys = self.packed_bytes(tokens.keys, element_bytes) - self.packed_bytes(packed.keys, element_bytes)
            work = self.work(element_bytes)
            return joined + int(max(work * tokens.keys, of_keys + work * tokens.values))
        copies = self.unpacking_copies
        unpacking = element_bytes * max(copies * packed.keys, packed.keys + copies * packed.values)
        return max(joined, int(unpacking))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp8:
    """A byte for each element, and one scale for a tensor: 4 bytes, left out as counters are. No token waits."""

    def packed_bytes(self, elements: int, element_bytes: int) -> int:
        """Of one tensor."""
        return elements

    def first_bytes(self, prompt: Elements, element_bytes: int) -> int:
        """While a prompt is packed: in fp32, and divided by the scale."""
        each = 8 if element_bytes < _FP32 else 5  # where it is fp32 already, the result stands beside it
        return max((each - 1) * prompt.keys, each * prompt.values) - prompt.values

    def next_bytes(self, packed: Elements, tokens: Elements, element_bytes: int, *, anew: bool) -> int:
        """In a step behind it: new tensors beside the old; and of K, then V, fp32 and its product with the scale."""
        each = 2 * _FP32
        return tokens.both + max(each * tokens.keys, element_bytes * tokens.keys + each * tokens.values)


_FP32: Final = 4


def _quanto_work(element_bytes: int) -> float:
    # Rounded, and clamped; then in 8 bit. Scales and zeros of the groups.
    return 2 * element_bytes + 1 + 2 * element_bytes / GROUP_ELEMENTS


def _hqq_work(element_bytes: int) -> float:
    # In fp32, where it is not already. On a GPU in fp16 from there: a copy, and eight more while zeros are improved,
    # those of the step before among them. 30 bytes for each group.
    return (_FP32 if element_bytes < _FP32 else 0) + 2 + 8 * 2 + 30 / GROUP_ELEMENTS


def _quanto(groups: int) -> Grouped:
    return Grouped(row_bytes=GROUP_ELEMENTS, groups=groups, work=_quanto_work, per_sequence=True, unpacking_copies=0)


def _hqq(row_bytes: int, unpacked: float = 1) -> Grouped:
    # What is unpacked; less its zeros; and times its scales.
    return Grouped(row_bytes=row_bytes, work=_hqq_work, unpacking_copies=unpacked + 2)


Packing = Grouped | Fp8

PACKINGS: Final[Mapping[str, Packing]] = {
    "fp8": Fp8(),
    "quanto-int4": _quanto(2),
    "quanto-int2": _quanto(4),
    "hqq-int8": _hqq(64),
    "hqq-int4": _hqq(32),
    "hqq-int3": _hqq(7 * 4, 70 / GROUP_ELEMENTS),  # ten to a word of 32 bit: seven words, of room for seventy
    "hqq-int2": _hqq(16),
    "hqq-int1": _hqq(8),
}
"""`--cache` -> how it packs."""
