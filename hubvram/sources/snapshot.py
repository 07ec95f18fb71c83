"""Bundled snapshots of well-known models: config values and the complete header layout, in a few kB each.

They answer where the Hub cannot be reached or does not open a gated repo. The layout is compact: tensors in
the order in which they were saved, templates for what repeats (layers, experts), and how many of them each
file takes. It expands to the same header bytes as the published files have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Final

from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.errors import FileMissingError
from hubvram.sources.interface import Beginning, Needed, OnProgress, PublicSummary, RepoFile

_PACKAGED: Final = Path(__file__).parent / "snapshots"  # where a wheel has them
_CHECKOUT: Final = Path(__file__).parents[2] / "fixtures" / "models"

_SHORT_COMMIT: Final = 7
_HEADER_TEXT_BYTES: Final = 64
_HEADER_TEXT_SHARE: Final = 0.02
"""Two writers' headers of the same tensors differ in spaces, order and offsets' digits, not in data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor as the layout lists it."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def data_bytes(self) -> int:
        return prod(self.shape) * SAFETENSORS_BITS[self.dtype] // 8


def expand(layout: Mapping[str, Any]) -> dict[str, tuple[StoredTensor, ...]]:
    """headers.json -> file -> its tensors, in the order of saving. `files` numbers one name from 1."""
    tensors = _expand(layout["tensors"], layout["dtype"], ())
    name, numbers = layout["files"]
    return {
        name.format(place): tuple(next(tensors) for _ in range(number)) for place, number in enumerate(numbers, start=1)
    }


def _expand(items: Sequence[Any], dtype: str, indices: tuple[int, ...]) -> Iterator[StoredTensor]:
    for item in items:
        if isinstance(item, dict):
            first = item.get("from", 0)
            for index in range(first, first + item["repeat"]):
                yield from _expand(item["tensors"], dtype, (*indices, index))
        else:
            name, shape, *own_dtype = item
            yield StoredTensor(
                name=name.format(*indices), dtype=own_dtype[0] if own_dtype else dtype, shape=tuple(shape)
            )


def header_bytes(tensors: Sequence[StoredTensor], metadata: Mapping[str, str]) -> bytes:
    """The file's first bytes, as the safetensors writer makes them: by dtype size, then by name, padded to 8."""
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    position = 0
    for tensor in sorted(tensors, key=lambda tensor: (-SAFETENSORS_BITS[tensor.dtype], tensor.name)):
        end = position + tensor.data_bytes
        entries[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def snapshot_folders() -> dict[str, Path]:
    """Repo id -> the folder of its snapshot."""
    root = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    return {folder.name.replace("--", "/", 1): folder for folder in sorted(root.iterdir())} if root.is_dir() else {}


class SnapshotSource:
    """A bundled snapshot, read like any other source."""

    summary: PublicSummary | None = None

    def __init__(self, repo_id: str, folder: Path, notes: tuple[str, ...] = ()) -> None:
        self._folder = folder
        about = self._json("expected.json")
        self.model_id = repo_id
        self.revision: str | None = about["revision"]
        self.requested_revision: str | None = "main"
        self.legacy_id: str | None = about["legacy_id"]
        self.as_of: str = about["as_of"]
        self.notes = notes

    @cached_property
    def _headers(self) -> dict[str, tuple[bytes, int]]:
        """File -> (its beginning, its size)."""
        layout = self._json("headers.json")
        headers = {}
        for file, tensors in expand(layout).items():
            data = header_bytes(tensors, layout["metadata"])
            headers[file] = (data, len(data) + sum(tensor.data_bytes for tensor in tensors))
        return headers

    @cached_property
    def files(self) -> Mapping[str, RepoFile]:
        listed = {file: RepoFile(path=file, size_bytes=size) for file, (_, size) in self._headers.items()}
        return listed | {"config.json": RepoFile(path="config.json", size_bytes=None)}

    def read(self, path: str, limit_bytes: int) -> bytes:
        if path != "config.json":
            raise FileMissingError(self.model_id, path)
        return (self._folder / path).read_bytes()

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        found = {}
        for path in paths:
            data, file_bytes = self._headers[path]
            found[path] = Beginning(data=data[: needed(path, data, file_bytes)], file_bytes=file_bytes)
        return found

    def agrees_with(self, listing: Mapping[str, RepoFile]) -> bool:
        """Whether a listing shows the same files, each as large as its tensors and a header of this size."""
        return all(
            path in listing and _same_size(listing[path].size_bytes, data, file_bytes)
            for path, (data, file_bytes) in self._headers.items()
        )

    def _json(self, name: str) -> Any:
        return json.loads((self._folder / name).read_text(encoding="utf-8"))


def _same_size(listed_bytes: int | None, header: bytes, file_bytes: int) -> bool:
    allowed = max(_HEADER_TEXT_BYTES, int(len(header) * _HEADER_TEXT_SHARE))
    return listed_bytes is not None and abs(listed_bytes - file_bytes) <= allowed


def _is_commit(revision: str, commit: str | None) -> bool:
    """Whether a revision means this commit, in full or shortened as reports show it."""
    return commit is not None and len(revision) >= _SHORT_COMMIT and commit.startswith(revision)


def _named(repo_id: str) -> SnapshotSource | None:
    folders = snapshot_folders()
    if repo_id in folders:
        return SnapshotSource(repo_id, folders[repo_id])
    if "/" in repo_id:
        return None
    sources = (SnapshotSource(name, folder) for name, folder in folders.items())
    return next((source for source in sources if source.legacy_id == repo_id), None)


def find_snapshot(repo_id: str, revision: str | None, reason: str) -> SnapshotSource | None:
    """The bundled snapshot of this repo, if it is of the revision asked for; `reason` says why it is used."""
    source = _named(repo_id)
    if source is None:
        return None
    if revision not in (None, "main") and not _is_commit(revision, source.revision):
        return None
    commit = f" of commit {source.revision[:7]}" if source.revision else ""
    source.notes = (f"{reason}; answered from the snapshot bundled with hubvram{commit} ({source.as_of})",)
    return source
