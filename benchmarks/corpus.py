"""How well config.json and the file headers agree over a whole collection of real repos, one line each.

    python -m benchmarks.corpus FOLDER

FOLDER holds `repos/<org>__<name>/{config.json,headers.json.xz}` (complete safetensors headers as
`{file: {tensor: [dtype, shape]}}`) and `manifest.json` with the totals that the Hub publishes.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hubvram.errors import ModelUnreadableError
from hubvram.inspection import read_model
from hubvram.reports.table import align
from hubvram.sources.interface import Beginning, Needed, OnProgress, PublicSummary, RepoFile
from hubvram.sources.snapshot import StoredTensor, header_bytes

Row = tuple[str, ...]
_COLUMNS: Row = ("repo", "status", "stored elements", "logical", "derived", "difference", "published")


class CorpusSource:
    """A repo of the collection: its config.json and the headers of its files, as published."""

    summary: PublicSummary | None = None
    revision: str | None = None
    requested_revision: str | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, corpus: Path, repo: str) -> None:
        self.model_id = repo
        self._folder = corpus / "repos" / repo.replace("/", "__")
        self._headers: dict[str, Beginning] = {}
        path = self._folder / "headers.json.xz"
        if path.exists():
            headers = json.loads(lzma.decompress(path.read_bytes()))
            self._headers = {file: beginning_of(tensors) for file, tensors in headers.items()}
        weights = {file: RepoFile(path=file, size_bytes=it.file_bytes) for file, it in self._headers.items()}
        others = {path.name: RepoFile(path=path.name, size_bytes=None) for path in self._folder.glob("*.json")}
        self.files = weights | others

    def read(self, path: str, limit_bytes: int) -> bytes:
        return (self._folder / path).read_bytes()

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        return {path: self._headers[path] for path in paths}


def beginning_of(tensors: Mapping[str, Any]) -> Beginning:
    """A file as published, of tensors as `[dtype, shape]`."""
    stored = [
        StoredTensor(name=name, dtype=entry[0], shape=tuple(entry[1]))
        for name, entry in tensors.items()
        if name != "__metadata__"
    ]
    data = header_bytes(stored, tensors.get("__metadata__") or {})
    return Beginning(data=data, file_bytes=len(data) + sum(tensor.data_bytes for tensor in stored))


def rows(corpus: Path) -> Iterator[Row]:
    """One row per repo; where there is nothing to compare, the reason stands in place of the status."""
    for entry in json.loads((corpus / "manifest.json").read_text(encoding="utf-8")):
        published = entry["published_params_total"]
        last = "-" if published is None else f"{published:,}"
        try:
            model = read_model(CorpusSource(corpus, entry["repo"]))
        except (ModelUnreadableError, FileNotFoundError) as error:
            yield entry["repo"], type(error).__name__, "-", "-", "-", "-", last
            continue
        found = model.reconciliation
        stored = model.checkpoint.elements if model.checkpoint else 0
        numbers = (stored, found.total, found.derived, found.difference)
        yield (
            entry["repo"],
            found.status.value,
            *("-" if number is None else f"{number:,}" for number in numbers),
            last,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    table = [_COLUMNS, *rows(parser.parse_args(arguments).corpus)]
    print("\n".join(align(table, left=2)))
    counts = Counter(row[1] for row in table[1:])
    print("\n" + ", ".join(f"{number} {status}" for status, number in counts.most_common()))


if __name__ == "__main__":
    main()
