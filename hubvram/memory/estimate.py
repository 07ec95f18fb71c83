"""The answer: named components, each with its ground, that add up to what is alive at the largest instant."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from hubvram.dtypes import rule_of_thumb_bytes
from hubvram.memory.cached import Cached
from hubvram.memory.forward.tape import Held, Share
from hubvram.memory.terms import Term


class Basis(StrEnum):
    """Where a figure comes from."""

    READ = "read"
    """In the files' headers."""
    DERIVED = "derived"
    """From config.json and the workload, by a formula."""
    ASSUMED = "assumed"
    """Depends on the machine: a sourced range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryComponent:
    """One part of the whole; low and high differ only where the figure is assumed."""

    name: str
    size_bytes: int
    basis: Basis
    low_bytes: int
    high_bytes: int
    note: str = ""
    terms: tuple[Term, ...] = ()
    """They add up to `size_bytes`."""
    source: str = ""
    """Where the formulas are from, or the figures."""


def exact(
    name: str, size_bytes: int, basis: Basis, note: str = "", *, terms: Iterable[Term] = (), source: str = ""
) -> MemoryComponent:
    """A component without a range."""
    return MemoryComponent(
        name=name,
        size_bytes=size_bytes,
        basis=basis,
        low_bytes=size_bytes,
        high_bytes=size_bytes,
        note=note,
        terms=tuple(terms),
        source=source,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """What is alive at one moment of a generation beside the weights."""

    name: str
    cached: Cached
    held: tuple[Held, ...]
    """What is alive beside weights and caches."""
    unpacking: tuple[Held, ...] = ()
    """The same at the moment nearby when unpacked matrices make it the most; empty where nothing is unpacked."""
    explanation: str
    spread_bytes: int = 0
    """By how much less sequences hold where it is the tokens that decide, at least."""

    @property
    def kv_cache_bytes(self) -> int:
        """What is cached of tokens."""
        return self.cached.kv_cache_bytes

    @property
    def state_bytes(self) -> int:
        """States of recurrences and convolutions, which do not grow."""
        return self.cached.state_bytes

    @property
    def activations_bytes(self) -> int:
        return self._of(Share.SEQUENCE)

    @property
    def outputs_bytes(self) -> int:
        return self._of(Share.OUTPUT)

    @property
    def buffers_bytes(self) -> int:
        """What all sequences share."""
        return self._of(Share.ALL)

    @property
    def unpacked_bytes(self) -> int:
        """By how much matrices that are unpacked raise what sequences hold."""
        return max(0, sum(held.size_bytes for held in self.unpacking if held.share is not Share.ALL) - self._held_bytes)

    @property
    def unpacking_bytes(self) -> int:
        """All that is alive beside the weights while a matrix is unpacked; 0 where none is."""
        if not self.unpacking:
            return 0
        return self.kv_cache_bytes + self.state_bytes + sum(held.size_bytes for held in self.unpacking)

    @property
    def _held_bytes(self) -> int:
        return self.activations_bytes + self.outputs_bytes

    def _of(self, share: Share) -> int:
        return sum(held.size_bytes for held in self.held if held.share is share)

    @property
    def total_bytes(self) -> int:
        """What the sequences hold, which is linear in the batch: without buffers."""
        return self.kv_cache_bytes + self.state_bytes + self._held_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """One precision's memory. Without `instants` activations are unknown and the total is a lower bound."""

    precision: str
    scheme: str
    scheme_description: str
    compute_dtype: str | None
    kv_cache_dtype: str | None
    nominal_weight_bytes: int | None
    components: tuple[MemoryComponent, ...]
    is_grounded: bool = True
    """Whether the files agree with the architecture that caches and activations come from."""
    instants: tuple[Instant, ...] = ()
    peak: str | None = None
    """Name of the instant at which most is alive: what the components add up to."""
    notes: tuple[str, ...] = ()
    """What is not in the figures, in words."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left out: caches and activations are known."""
        return bool(self.instants)

    @property
    def rule_of_thumb_bytes(self) -> int | None:
        """Nominal weights x 1.2: what people usually calculate."""
        return None if self.nominal_weight_bytes is None else rule_of_thumb_bytes(self.nominal_weight_bytes)

    @property
    def total_bytes(self) -> int:
        return sum(component.size_bytes for component in self.components)

    @property
    def total_low_bytes(self) -> int:
        return sum(component.low_bytes for component in self.components)

    @property
    def total_high_bytes(self) -> int:
        return sum(component.high_bytes for component in self.components)

    def size_of(self, name: str) -> int:
        """Bytes of a component, 0 where it has none."""
        return sum(component.size_bytes for component in self.components if component.name == name)
