"""What hubvram answers to a config.json: all of it, from the first byte to the JSON and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from hubvram.errors import FileMissingError, HubvramError, MalformedFileError
from hubvram.inspection import Request, inspect_as, read_model
from hubvram.reports.contract import as_json
from hubvram.reports.terminal import render
from hubvram.sources.interface import CONFIG_FILE, Beginning, Needed, OnProgress, PublicSummary, RepoFile
from tests.samples import llama_tensors, small_llama

MODEL_FILE: Final = "model.safetensors"


class MemorySource:
    """A repo of config.json and one small llama."""

    model_id = "org/model"
    revision: str | None = None
    requested_revision: str | None = None
    summary: PublicSummary | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, config: bytes, model: bytes) -> None:
        self._contents = {CONFIG_FILE: config, MODEL_FILE: model}

    @cached_property
    def files(self) -> Mapping[str, RepoFile]:
        return {path: RepoFile(path=path, size_bytes=len(data)) for path, data in self._contents.items()}

    def read(self, path: str, limit_bytes: int) -> bytes:
        if path not in self._contents:
            raise FileMissingError(self.model_id, path)
        if len(self._contents[path]) > limit_bytes:
            raise MalformedFileError(self.model_id, path, "too large")
        return self._contents[path]

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        found = {}
        for path in paths:
            data = self._contents[path]
            found[path] = Beginning(data=data[: needed(path, data[:8], len(data))], file_bytes=len(data))
        return found


def _small_model() -> bytes:
    entries: dict[str, Any] = {}
    position = 0
    for name, shape in llama_tensors(small_llama()).items():
        size = 2
        for factor in shape:
            size *= factor
        entries[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + bytes(position)


MODEL: Final = _small_model()


def answer(config: bytes) -> str | None:
    """The report and the JSON; None where it says that it cannot be read. Raises whatever else goes wrong."""
    try:
        found = inspect_as(read_model(MemorySource(config, MODEL)), Request())
        return render(found, every_layer=False) + json.dumps(as_json(found), allow_nan=False)
    except HubvramError as error:
        assert str(error)
        return None
