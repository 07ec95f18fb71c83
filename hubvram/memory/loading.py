"""What it takes to get a model into GPU memory: bytes to fetch, room on disk and in host memory, the peak on the way.

How a model gets there is an engine's own business: each fills in a `Loading` (engines/transformers_loading.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hubvram.architecture.reconcile import Reconciliation
from hubvram.checkpoint.fetched import Fetched
from hubvram.checkpoint.tensors import Checkpoint, Kind
from hubvram.memory.estimate import Basis


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """So many bytes, at least and at most; both None where it is not known."""

    low_bytes: int | None
    high_bytes: int | None
    basis: Basis | None
    note: str
    """How it comes about, with its numbers; or why it is not known."""


def known(low_bytes: int, basis: Basis, note: str, *, high_bytes: int | None = None) -> Figure:
    """A figure, exact where no high end is given."""
    return Figure(low_bytes=low_bytes, high_bytes=high_bytes or low_bytes, basis=basis, note=note)


def not_known(reason: str) -> Figure:
    return Figure(low_bytes=None, high_bytes=None, basis=None, note=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to load a model."""

    name: str
    call: str
    """What a user writes for it."""
    host: Figure
    """Low: what cannot be given back while it loads. High: with the pages of the files that were read, which the
    system gives back when memory is short. Python, torch and CUDA themselves come on top."""
    gpu_peak: Figure
    """Allocated at once, without the CUDA context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """From the Hub to the GPU, at one precision."""

    download: Figure
    disk: Figure
    ways: tuple[Way, ...]


class Step(NamedTuple):
    """What is read for one parameter of the model, what stays of it, and the most that is alive while it is made."""

    read_bytes: int
    kept_bytes: int
    working_bytes: int


def peak_one_by_one(steps: Sequence[Step]) -> int:
    """Where each tensor is read when its turn has come."""
    held = peak = 0
    for step in steps:
        peak = max(peak, held + step.working_bytes)
        held += step.kept_bytes
    return max(peak, held)


def peak_read_ahead(steps: Sequence[Step]) -> int:
    """Where everything has been read before the first parameter is made: no thread can be further ahead."""
    held = sum(step.read_bytes for step in steps)
    peak = held
    for step in steps:
        peak = max(peak, held - step.read_bytes + step.working_bytes)
        held += step.kept_bytes - step.read_bytes
    return max(peak, held)


def kept_bytes(steps: Sequence[Step]) -> int:
    return sum(step.kept_bytes for step in steps)


@dataclass(frozen=True, kw_only=True)
class Loadable:  # without slots, for the sake of what an engine caches
    """What there is to load."""

    fetched: Fetched
    checkpoint: Checkpoint | None
    """None where no header was read."""
    reconciliation: Reconciliation
    model_types: tuple[str | None, ...]
    """Of the model, and of the text model in it."""
    method: str | None
    """By which the files are packed."""
    declared_dtype: str | None = None
    """By config.json: what weights are turned to where nothing else is asked for."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return self.checkpoint.kinds if self.checkpoint else ()
