"""The committed record, fixtures/measurements/packed-linears.json, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from hubvram.memory.engines.transformers_linears import code_of
from hubvram.memory.forward.run import Run, Sizes
from hubvram.memory.forward.tape import Share
from hubvram.memory.packed_matrices import Packing
from hubvram.memory.workload import Attention

FILE: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "packed-linears.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One linear's forward pass over one sequence."""

    scheme: str
    tool: str
    """With its version."""
    dtype: str
    tokens: int
    in_features: int
    out_features: int
    peak_bytes: int
    """By torch's profiler: all that is allocated at once, the output included."""


def recorded() -> tuple[Row, ...]:
    return tuple(Row(**row) for row in json.loads(FILE.read_text(encoding="utf-8")))


def write(rows: Iterable[Row]) -> None:
    lines = ",\n".join(json.dumps(asdict(row)) for row in rows)
    FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def said_bytes(row: Row) -> int:
    """The same by the table."""
    linears = code_of(Packing(linears=(row.scheme,)), row.dtype)
    sizes = Sizes(batch_size=1, tokens=row.tokens, element_bytes=2, attention=Attention.SDPA, linears=linears)
    run = Run(sizes)
    run.linear(row.in_features, row.out_features)
    output = run.features("what comes out", row.out_features)
    del output
    peak = run.tape.take()
    unpacking = sum(held.size_bytes for held in peak.unpacking)
    return max(peak.size_bytes(Share.SEQUENCE), unpacking)
