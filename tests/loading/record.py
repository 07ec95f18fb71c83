"""The committed record, fixtures/measurements/transformers-5.23-loading.json, and what is said of each case.

A measured size is what was alive beside what the loaded model keeps: on the GPU at the peak, on the CPU in all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Final

from hubvram.inspection import Inspection, inspect_model, read_model
from hubvram.inspection.loading import loadings_of
from hubvram.memory.loading import Loading, Way
from tests.loading.cases import CASES
from tests.quantized import Sample, SampleSource, expanded
from tests.samples import FIXTURES, workload_of

FILE: Final = FIXTURES / "measurements" / "transformers-5.23-loading.json"

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of one case. None: not measured, since it cannot be loaded so."""

    kept_bytes: int
    """Storages of the loaded model's parameters and persistent buffers."""
    gpu_one_by_one_bytes: int
    """At the peak, beside what is kept: read when their turn has come."""
    gpu_read_ahead_bytes: int | None
    """The same where all was read before the first parameter was made."""
    gpu_by_threads_bytes: int | None
    """And by the threads of transformers."""
    host_one_by_one_bytes: int | None
    """On a CPU, in all, beside the mapped files."""
    host_read_ahead_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The files of a case, as far as headers and config go, and what was measured."""

    config: Mapping[str, Any]
    tensors: Tensors
    measured: Measured


def recorded() -> dict[str, Record]:
    """Name of a case -> its record."""
    if not FILE.exists():
        return {}
    return {
        name: Record(
            config=entry["config"],
            tensors=dict(expanded(entry["tensors"])),
            measured=Measured(**dict(zip(Measured.__dataclass_fields__, entry["measured"], strict=True))),
        )
        for name, entry in json.loads(FILE.read_text(encoding="utf-8"))["cases"].items()
    }


def write(records: Mapping[str, Record], versions: Mapping[str, str]) -> None:
    """A line for each kind of tensors."""
    about = {
        **versions,
        "measured": "storages alive while from_pretrained loads random models on the CPU (tests/loading)",
        "columns": list(Measured.__dataclass_fields__),
    }
    cases = []
    for name, record in records.items():
        tensors = ",\n  ".join(map(json.dumps, compressed(record.tensors)))
        measured = json.dumps(list(asdict(record.measured).values()))
        cases.append(
            f'{json.dumps(name)}: {{\n "config": {json.dumps(record.config)},\n "measured": {measured},\n'
            f' "tensors": [\n  {tensors}]}}'
        )
    text = ",\n".join(cases)
    FILE.write_text(f'{{"about": {json.dumps(about)},\n"cases": {{\n{text}\n}}}}\n', encoding="utf-8")


def compressed(tensors: Tensors) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Layers and experts that are alike as one line, `layers.{2}` for layers.0 and layers.1."""
    kinds: dict[tuple[str, str, tuple[int, ...]], list[tuple[int, ...]]] = {}
    for name, (dtype, shape) in tensors.items():
        parts = name.split(".")
        numbers = tuple(int(part) for part in parts if part.isdigit())
        template = ".".join("{}" if part.isdigit() else part for part in parts)
        kinds.setdefault((template, dtype, shape), []).append(numbers)
    for (template, dtype, shape), found in kinds.items():
        for filled in _products(found):
            yield template.format(*filled), dtype, shape


def _products(found: list[tuple[int, ...]]) -> Iterator[tuple[str, ...]]:
    """`{n}` for all from 0 to n; where some are missing, the first of the numbers one by one."""
    if not found[0]:
        yield ()
        return
    sizes = [max(numbers) + 1 for numbers in zip(*found, strict=True)]
    if sorted(found) == list(product(*map(range, sizes))):
        yield tuple(f"{{{size}}}" for size in sizes)
        return
    for first in sorted({numbers[0] for numbers in found}):
        for rest in _products([numbers[1:] for numbers in found if numbers[0] == first]):
            yield str(first), *rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What is said of a case."""

    weight_bytes: int
    file_bytes: int
    loading: Loading

    def way(self, name: str) -> Way:
        return next(way for way in self.loading.ways if way.name == name)


def said(name: str, record: Record) -> Said:
    """By the headers and the config of its files."""
    found = inspected(name, record)
    (estimate,) = found.estimates
    return Said(
        weight_bytes=estimate.size_of("weights"),
        file_bytes=found.model.fetched.weight_bytes or 0,
        loading=next(loadings_of(found.model, "transformers", (estimate,))),
    )


def inspected(name: str, record: Record) -> Inspection:
    sample = Sample(
        name=name,
        writer="transformers",
        parameters=0,
        kept=(),
        files={"config.json": record.config},
        tensors=record.tensors,
    )
    return inspect_model(read_model(SampleSource(sample)), workload_of(8), (CASES[name].precision,))
