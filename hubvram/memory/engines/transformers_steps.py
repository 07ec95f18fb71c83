"""What transformers 5.23 reads and makes while it loads, in its order (core_model_loading.py): one step for each
parameter of the model.

Tensors are read in the order of their names, numbers by their value, by up to four threads that run ahead of the one
that makes parameters of them; a parameter is made in the turn of the first tensor that it is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Final, NamedTuple

from hubvram.checkpoint.components import Component
from hubvram.checkpoint.tensors import Kind, TensorInfo
from hubvram.dtypes import COMPUTE_BYTES, COMPUTE_DTYPES
from hubvram.memory.engines.transformers_conversions import Conversion
from hubvram.memory.loading import Step

THREADS: Final = 4
"""`GLOBAL_WORKERS`; none where it quantizes."""


@dataclass(slots=True)
class Turn:
    """The tensors that one parameter of the model is made of."""

    first: str
    """The name that decides when its turn is."""
    parts: list[tuple[Kind, int]]
    """Kinds of tensors, and how many of each."""
    conversion: Conversion | None = None


def turns_of(
    kinds: Iterable[Kind], conversions: Sequence[Conversion], *, hidden_size: int, left_out: tuple[str, ...]
) -> list[Turn]:
    """In their order. `left_out`: beginnings of names that the model has no use for."""
    alone: list[Turn] = []
    made: dict[str, Turn] = {}
    for kind in kinds:
        if kind.component is Component.MTP:
            continue
        possible = [conversion for conversion in conversions if conversion.may_apply(kind, hidden_size)]
        tensors, number = _firsts(kind) if possible else (kind.members, 1)
        for name in (tensor.name for tensor in tensors if not tensor.name.startswith(left_out)):
            found = next(((key, each) for each in possible if (key := each.key(name)) is not None), None)
            if found is None:  # as it is: there are no experts that are left alone
                alone.append(Turn(name, [(kind, number)]))
                continue
            key, conversion = found
            whole = made.setdefault(key, Turn(name, [], conversion))
            whole.parts.append((kind, number))
            whole.first = min(whole.first, name, key=natural)
    return sorted((*alone, *made.values()), key=lambda turn: natural(turn.first))


class Parameter(NamedTuple):
    """One parameter of the model, at a precision. A tuple, since there are thousands."""

    first: str
    size_bytes: int
    """Of all that is read for it, in the type that it is turned to."""
    is_cast: bool
    """Whether it is turned to another type: by the CPU, before it goes to the GPU."""
    conversion: Conversion | None
    packed: Step | None
    """Where it is quantized, or was."""

    @property
    def wanted_bytes(self) -> int:
        """What has to stay of it."""
        return self.size_bytes if self.packed is None else self.packed.kept_bytes

    def on_device(self) -> Step:
        if self.packed is not None:
            return self.packed
        made, size_bytes = self.conversion, self.size_bytes
        if made is None:
            return Step(size_bytes, size_bytes, size_bytes)
        return Step(size_bytes, round(size_bytes * made.kept), round(size_bytes * made.on_device))

    def in_host_memory(self) -> Step:
        """Beside the mapped files: what is neither cast nor made anew stays in them."""
        if self.is_cast:
            return self.on_device()
        made, size_bytes = self.conversion, self.size_bytes
        if made is None:
            return Step(0, 0, 0)
        return Step(0, round(size_bytes * made.kept_beside_file), round(size_bytes * made.beside_file))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How the tensors of a file become those of a model at a precision."""

    dtype: str | None
    """What they are turned to; None: as stored."""
    pack: Callable[[Kind], Step | None] | None = None
    """What is done to a tensor that is quantized, or was; None for one that stays."""

    def parameters(self, turns: Iterable[Turn]) -> list[Parameter]:
        return [self._parameter(turn) for turn in turns]

    def _parameter(self, turn: Turn) -> Parameter:
        (kind, number), *others = turn.parts
        size_bytes, is_cast = number * self.bytes_each(kind), self.casts(kind)
        for other, count in others:
            size_bytes += count * self.bytes_each(other)
            is_cast |= self.casts(other)
        packed = self.pack(kind) if self.pack is not None and turn.conversion is None else None
        return Parameter(turn.first, size_bytes, is_cast, turn.conversion, packed)

    def bytes_each(self, kind: Kind) -> int:
        if self.dtype is None or kind.dtype not in COMPUTE_DTYPES:
            return kind.members[0].stored_bytes
        return prod(kind.shape) * COMPUTE_BYTES[self.dtype]

    def bytes_of(self, elements: int, stored_bytes: int) -> int:
        """Of tensors in a type that can be computed in."""
        return stored_bytes if self.dtype is None else elements * COMPUTE_BYTES[self.dtype]

    def casts(self, kind: Kind) -> bool:
        return self.dtype is not None and COMPUTE_DTYPES.get(kind.dtype, self.dtype) != self.dtype

    def largest_cast(self, kinds: Iterable[Kind], number: int) -> list[int]:
        """Sizes of the largest tensors that are turned to another type, the largest first."""
        cast = sorted(((self.bytes_each(kind), len(kind.members)) for kind in kinds if self.casts(kind)), reverse=True)
        return [size_bytes for size_bytes, members in cast for _ in range(min(members, number))][:number]

    def cast_bytes(self, kinds: Iterable[Kind]) -> int:
        """Of all that is turned to another type."""
        return sum(self.bytes_each(kind) * len(kind.members) for kind in kinds if self.casts(kind))


_EXPERTS: Final = "experts."


def _firsts(kind: Kind) -> tuple[Sequence[TensorInfo], int]:
    """Tensors of a kind, and for how many each stands: of experts there are thousands, all alike.

    Those of the first expert stand for all whose numbers have as many digits, which make a kind.
    """
    digits = len(kind.name.partition(_EXPERTS)[2].partition(".")[0])
    first = f"{_EXPERTS}{10 ** (digits - 1) if digits > 1 else 0}."
    firsts = [tensor for tensor in kind.members if first in tensor[0]] if digits < _LONGEST_NUMBER else []
    if not firsts or len(kind.members) % len(firsts):  # not as many in every layer
        return kind.members, 1
    return firsts, len(kind.members) // len(firsts)


def natural(name: str) -> tuple[tuple[int, int | str, int], ...]:
    """`dot_natural_key`: numbers by their value, before words; digits at the end of a word likewise."""
    return tuple(map(_part, name.split(".")))


@lru_cache(4096)  # the same words again and again
def _part(part: str) -> tuple[int, int | str, int]:
    word = part.rstrip("0123456789")
    digits = part[len(word) :][:_LONGEST_NUMBER]
    return (0, int(digits), 0) if digits and not word else (1, word, int(digits) if digits else -1)


_LONGEST_NUMBER: Final = 18  # in a name that somebody made up
