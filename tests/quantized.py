"""Files of the real quantizers, as far as headers and settings go (see fixtures/quantized/README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, Final

from benchmarks.corpus import beginning_of
from hubvram.inspection import Model, read_model
from hubvram.sources.interface import Beginning, Needed, OnProgress, PublicSummary, RepoFile
from tests.samples import FIXTURES

_FILE: Final = "model.safetensors"
_RANGE: Final = re.compile(r"\{([0-9]+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a tool wrote, and what is true of it."""

    name: str
    writer: str
    parameters: int
    """Of the model before it was quantized, counted by torch."""
    kept: tuple[str, ...]
    """Modules with a matrix in 16 or 32 bit."""
    files: Mapping[str, Any]
    """config.json, and what the tool wrote beside it."""
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]


class SampleSource:
    """A sample, read like any other repo."""

    summary: PublicSummary | None = None
    revision: str | None = None
    requested_revision: str | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, sample: Sample) -> None:
        self.model_id = f"quantized/{sample.name}"
        self._contents = {name: json.dumps(content).encode() for name, content in sample.files.items()}
        self._beginning = beginning_of(sample.tensors)
        self.files = {name: RepoFile(path=name, size_bytes=len(data)) for name, data in self._contents.items()}
        self.files[_FILE] = RepoFile(path=_FILE, size_bytes=self._beginning.file_bytes)

    def read(self, path: str, limit_bytes: int) -> bytes:
        return self._contents[path]

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        return dict.fromkeys(paths, self._beginning)


def expanded(tensors: Sequence[Any]) -> Iterator[tuple[str, tuple[str, tuple[int, ...]]]]:
    """`layers.{2}` stands for layers.0 and layers.1."""
    for template, dtype, shape in tensors:
        ranges = [range(int(size)) for size in _RANGE.findall(template)]
        for indices in product(*ranges):
            numbers = map(str, indices)
            yield "".join(_filled(template, numbers)), (dtype, tuple(shape))


def _filled(template: str, numbers: Iterator[str]) -> Iterator[str]:
    for place, piece in enumerate(_RANGE.split(template)):
        yield next(numbers) if place % 2 else piece


@cache
def samples() -> Mapping[str, Sample]:
    data = json.loads((FIXTURES / "quantized" / "samples.json").read_text(encoding="utf-8"))
    return {
        name: Sample(
            name=name,
            writer=entry["writer"],
            parameters=entry["parameters"],
            kept=tuple(entry["kept"]),
            files={"config.json": entry["config"], **entry["side_files"]},
            tensors=dict(expanded(entry["tensors"])),
        )
        for name, entry in data.items()
    }


@cache
def sample_model(name: str) -> Model:
    return read_model(SampleSource(samples()[name]))
