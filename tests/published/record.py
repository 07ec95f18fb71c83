"""The published figures, fixtures/measurements/published-transformers.json, and what hubvram says for each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.architecture.reconcile import Status
from hubvram.dtypes import COMPUTE_BYTES
from hubvram.inspection.config_only import derived
from hubvram.memory.estimate import MemoryEstimate
from hubvram.memory.estimator import estimate_memory
from hubvram.memory.kv_cache import kv_cache_bytes
from hubvram.memory.runtime import (
    CONTEXT_HIGH_BYTES,
    CONTEXT_LOW_BYTES,
    CUBLAS_WORKSPACE_BYTES,
    CUBLAS_WORKSPACE_HOPPER_BYTES,
)
from hubvram.memory.weights import Weights, deployed_weights
from hubvram.memory.workload import Attention
from tests.published.allocator import Unsplit, unsplit
from tests.samples import NAMES, architecture_of, fixture_architecture, workload_of

FILE: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "published-transformers.json"

UNITS: Final[Mapping[str, int]] = {"B": 1, "KB": 1000, "MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}

_HOPPER: Final = ("H20", "H100", "H200")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a figure stands, and how it was measured."""

    address: str
    about: str
    gpu: str | None
    transformers: str | None
    torch: str | None
    warmed: bool = False
    """Whether loading goes into one block that is allocated before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published figure; the fields are those that the file describes."""

    model: str
    source: Source
    quoted: str
    unit: str
    figure: str
    precision: str
    batch: int
    input: int
    new: int
    of: tuple[str, ...]
    attention: Attention = Attention.AUTO
    compute: str = "bf16"
    plus: tuple[tuple[str, str], ...] = field(default=())
    differs: str = ""
    explanation: str = ""
    unsaid: str = ""

    @property
    def name(self) -> str:
        run = f" {self.batch}x{self.input}+{self.new}" if self.input else ""
        return f"{self.model} {self.precision}{run} {self.figure} {self.quoted} {self.unit}"

    @property
    def published_bytes(self) -> float:
        return float(self.quoted) * UNITS[self.unit]

    @property
    def rounding_bytes(self) -> float:
        """How far the printed digits may be off: one in the last, since some sources cut off."""
        return UNITS[self.unit] / 10.0 ** len(self.quoted.partition(".")[2])

    @property
    def plus_bytes(self) -> int:
        return sum(product(terms) for _, terms in self.plus)


def product(terms: str) -> int:
    """`2 x 3` -> 6"""
    return prod(int(term) for term in terms.split(" x "))


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What hubvram says: low and high differ where a part is assumed; None where a part is not known."""

    weight_bytes: int
    low_bytes: int | None
    high_bytes: int | None
    blocks: Unsplit
    """What the allocator counts beyond that for weights that leave a small rest of their block."""


@cache
def rows() -> tuple[Row, ...]:
    found = json.loads(FILE.read_text(encoding="utf-8"))
    sources = {name: Source(**values) for name, values in found["sources"].items()}
    return tuple(_row(values, sources) for values in found["rows"])


def _row(values: Mapping[str, Any], sources: Mapping[str, Source]) -> Row:
    return Row(
        **{
            **values,
            "source": sources[values["source"]],
            "of": tuple(values["of"]),
            "attention": Attention(values.get("attention", Attention.AUTO)),
            "plus": tuple((what, terms) for what, terms in values.get("plus", ())),
        }
    )


@cache
def model_of(model: str) -> Architecture:
    """By a bundled model's name, or its config in the file."""
    bundled = model.replace("/", "--")
    if bundled in NAMES:
        return fixture_architecture(bundled)
    return architecture_of(json.loads(FILE.read_text(encoding="utf-8"))["models"][model])


def said(row: Row) -> Said:
    """What hubvram says for the parts that the row is about."""
    estimate = _estimate(row)
    found = [_PARTS[part](row, estimate) for part in row.of]
    known = [part for part in found if part is not None]
    is_known = len(known) == len(found)
    return Said(
        weight_bytes=estimate.size_of("weights") if "weights" in row.of else 0,
        low_bytes=sum(low for low, _ in known) if is_known else None,
        high_bytes=sum(high for _, high in known) if is_known else None,
        blocks=_blocks(row),
    )


def _blocks(row: Row) -> Unsplit:
    """What is known of them: nothing is added where all weights were cut from one block."""
    if "weights" not in row.of or row.figure == "footprint":
        return Unsplit()
    if not row.source.warmed:
        return unsplit(model_of(row.model), row.precision)
    if row.precision in COMPUTE_BYTES:
        return Unsplit()
    return Unsplit(high_bytes=unsplit(model_of(row.model), row.precision).high_bytes)


def _estimate(row: Row) -> MemoryEstimate:
    architecture = model_of(row.model)
    weights = deployed_weights(row.precision, derived(Status.DERIVED, architecture), None, row.compute)
    assert isinstance(weights, Weights)
    prompt = max(row.input, 1)
    # The last token is not read again, so that it is not cached.
    context = prompt + max(row.new - 1, 0)
    workload = workload_of(context, input_tokens=prompt, batch_size=row.batch, attention=row.attention)
    return estimate_memory(replace(weights, compute_dtype=_compute(row)), architecture, workload)


def _compute(row: Row) -> str:
    return row.precision if row.precision in COMPUTE_BYTES else row.compute


_Range = tuple[int, int]


def _weights(row: Row, estimate: MemoryEstimate) -> _Range:
    size = estimate.size_of("weights")
    return size, size


def _cache(row: Row, estimate: MemoryEstimate) -> _Range:
    size = kv_cache_bytes(
        model_of(row.model),
        tokens=row.input + max(row.new - 1, 0),
        batch_size=row.batch,
        element_bytes=COMPUTE_BYTES[_compute(row)],
    )
    return size, size


def _peak(row: Row, estimate: MemoryEstimate) -> _Range | None:
    if not estimate.is_complete:
        return None
    size = sum(estimate.size_of(name) for name in ("kv_cache", "activations", "outputs", "buffers"))
    return size, size


def _workspace(row: Row, estimate: MemoryEstimate) -> _Range:
    if row.source.gpu is None:
        return CUBLAS_WORKSPACE_BYTES, CUBLAS_WORKSPACE_HOPPER_BYTES
    size = CUBLAS_WORKSPACE_HOPPER_BYTES if row.source.gpu.startswith(_HOPPER) else CUBLAS_WORKSPACE_BYTES
    return size, size


def _context(row: Row, estimate: MemoryEstimate) -> _Range:
    return CONTEXT_LOW_BYTES, CONTEXT_HIGH_BYTES


_PARTS: Final[Mapping[str, Callable[[Row, MemoryEstimate], _Range | None]]] = {
    "weights": _weights,
    "cache": _cache,
    "peak": _peak,
    "workspace": _workspace,
    "context": _context,
}
