"""What is alive at which moment of a forward pass: tensors without values, and the moment when they are the most.

A program plays what a model's `forward` does: it makes tensors by their sizes, and they die as those of the class die,
when the last variable that names them goes. So a program reads like the code that it describes, and what it holds at
its peak is a list that a reader can check.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import prod
from weakref import ReferenceType, ref


class Share(StrEnum):
    """Whose a tensor is."""

    SEQUENCE = "activations"
    """Each sequence's: as many as the batch."""
    ALL = "buffers"
    """One for all sequences."""
    OUTPUT = "outputs"
    """What a forward returns."""
    UNPACKED = "unpacked"
    """A packed matrix in the type that the model computes in, for as long as its linear runs."""


_PER_SEQUENCE = (Share.SEQUENCE, Share.OUTPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One tensor that is alive: what it is, and its sizes, of which the last is that of an element in bytes."""

    what: str
    share: Share
    factors: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        return prod(self.factors)


class Tensor:
    """A name for what is alive: when nothing names it any more, it is not."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """A moment of a forward pass, and all that is alive in it."""

    phase: str
    held: tuple[Held, ...]
    unpacking: tuple[Held, ...] = ()
    """All that is alive at the moment when what sequences hold and unpacked matrices are the most together; empty
    where nothing is unpacked."""

    def size_bytes(self, share: Share) -> int:
        return sum(held.size_bytes for held in self.held if held.share is share)

    @property
    def total_bytes(self) -> int:
        return sum(held.size_bytes for held in self.held)


class Tape:
    """Remembers the moment when what sequences hold was the most; all of it is linear in the batch.

    And the one when that and unpacked matrices, which are not, were the most together.
    """

    def __init__(self) -> None:
        self.phase = ""
        self._alive: list[tuple[ReferenceType[Tensor], Held, int]] = []
        self._most = 0
        self._at: tuple[str, tuple[Held, ...]] = ("", ())
        self._most_unpacking = 0
        self._unpacking: tuple[Held, ...] = ()

    def new(self, what: str, share: Share, *factors: int) -> Tensor:
        tensor = Tensor()
        held = Held(what=what, share=share, factors=factors)
        # Who died meanwhile is found now, when it matters, and not by a `__del__`, in which a Ctrl-C would be lost.
        alive = [one for one in self._alive if one[0]() is not None]
        alive.append((ref(tensor), held, held.size_bytes if share in _PER_SEQUENCE else 0))
        size_bytes = sum([one[2] for one in alive])
        if size_bytes >= self._most:
            self._most, self._at = size_bytes, (self.phase, tuple([one[1] for one in alive]))
        self._alive = alive
        if share is Share.UNPACKED:
            self._see_unpacked(size_bytes)
        return tensor

    def _see_unpacked(self, sequences_bytes: int) -> None:
        """A matrix is unpacked last of all that is alive with it."""
        unpacked_bytes = sum(held.size_bytes for _, held, _ in self._alive if held.share is Share.UNPACKED)
        if sequences_bytes + unpacked_bytes >= self._most_unpacking:
            self._most_unpacking = sequences_bytes + unpacked_bytes
            self._unpacking = tuple(held for _, held, _ in self._alive)

    def take(self) -> Peak:
        """The peak since the last one was taken."""
        (phase, held), unpacking = self._at, self._unpacking
        self._most, self._at = 0, ("", ())
        self._most_unpacking, self._unpacking = 0, ()
        return Peak(phase=phase, held=held, unpacking=unpacking)
