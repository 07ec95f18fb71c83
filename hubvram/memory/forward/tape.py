"""What is alive at which moment of a forward pass: tensors without values, and the moment when they are the most.

A program plays what a model's `forward` does: it makes tensors by their sizes, and they die as those of the class die,
when the last variable that names them goes. So a program reads like the code that it describes, and what it holds at
its peak is a list that a reader can check.
"""

from __future__ import annotations

from enum import StrEnum
from math import prod
from typing import NamedTuple
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


class Held(NamedTuple):
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


class Peak(NamedTuple):
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

    And moments at which they held less, and what they share was more: which of these is the peak, the batch decides.
    And the one when that and unpacked matrices, which are not linear, were the most together.
    """

    def __init__(self) -> None:
        self.phase = ""
        self._alive: list[tuple[ReferenceType[Tensor], Held, int, int]] = []
        """(whether it lives, what it is, bytes of it that are sequences', shared bytes)"""
        self._highest: list[tuple[int, int, Peak]] = []
        """(bytes of sequences, shared bytes, what is alive), falling in the first and rising in the second."""
        self._most_unpacking = 0
        self._unpacking: tuple[Held, ...] = ()

    def new(self, what: str, share: Share, *factors: int) -> Tensor:
        tensor = Tensor()
        held = Held(what=what, share=share, factors=factors)
        size_bytes = held.size_bytes
        # Who died meanwhile is found now, when it matters, and not by a `__del__`, in which a Ctrl-C would be lost.
        alive = [one for one in self._alive if one[0]() is not None]
        alive.append((ref(tensor), held, size_bytes * (share in _PER_SEQUENCE), size_bytes * (share is Share.ALL)))
        self._alive = alive
        sequences_bytes = sum([one[2] for one in alive])
        self._remember(sequences_bytes, sum([one[3] for one in alive]))
        if share is Share.UNPACKED:
            self._see_unpacked(sequences_bytes)
        return tensor

    def _remember(self, sequences_bytes: int, shared_bytes: int) -> None:
        """Unless both were as much before."""
        now = sequences_bytes, shared_bytes
        for most, shared, _ in self._highest:
            if most >= sequences_bytes and shared >= shared_bytes and (most, shared) != now:
                return
        peak = Peak(phase=self.phase, held=tuple([one[1] for one in self._alive]))
        others = [moment for moment in self._highest if moment[0] > sequences_bytes or moment[1] > shared_bytes]
        self._highest = sorted([*others, (*now, peak)], key=lambda moment: -moment[0])

    def _see_unpacked(self, sequences_bytes: int) -> None:
        """A matrix is unpacked last of all that is alive with it."""
        held = tuple([one[1] for one in self._alive])
        unpacked_bytes = sum(one.size_bytes for one in held if one.share is Share.UNPACKED)
        if sequences_bytes + unpacked_bytes >= self._most_unpacking:
            self._most_unpacking, self._unpacking = sequences_bytes + unpacked_bytes, held

    def take(self) -> Peak:
        """The peak of what sequences hold since the last one was taken."""
        moments = self.take_all()
        return moments[0] if moments else Peak(phase="", held=())

    def take_all(self) -> tuple[Peak, ...]:
        """The same, and then the moments before or behind it at which more was shared."""
        moments, unpacking = [peak for _, _, peak in self._highest], self._unpacking
        self._highest, self._most_unpacking, self._unpacking = [], 0, ()
        return tuple([peak._replace(unpacking=unpacking) for peak in moments] if unpacking else moments)

    def take_larger(self) -> tuple[Peak, ...]:
        """The same, but of these moments only those at which so much more was shared that all of it was more."""
        before, *others = self.take_all()
        return before, *(moment for moment in others if moment.total_bytes > before.total_bytes)

    def take_largest(self) -> Peak:
        """The one moment at which all that is alive was the most: which it is, the batch decides."""
        return max(self.take_larger(), key=lambda moment: moment.total_bytes)
