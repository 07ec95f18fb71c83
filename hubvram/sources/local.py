"""A model in a local folder: a download, a `save_pretrained`, a snapshot in the Hub cache."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, Final

from hubvram.errors import FileMissingError, FileUnreadableError, MalformedFileError
from hubvram.sources.interface import PREFIX_BYTES, Beginning, Needed, OnProgress, PublicSummary, RepoFile

_LISTED_LEVELS: Final = 2  # a diffusers pipeline keeps its models one level down
_LISTED_FILES: Final = 10_000  # enough to say what a folder is; a home directory given by mistake is larger
_LISTED_FIRST: Final = (".safetensors", ".json")  # what a model is told by, however much else is there
_OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe that nobody writes to would keep a blocking `open` waiting."""


class LocalSource:
    """Files of one folder.

    Links are followed wherever they lead: the Hub cache is made of them, the folder is the user's own, and what is
    neither a config nor a header is not shown. Only regular files are read, no devices or pipes.
    """

    summary: PublicSummary | None = None

    def __init__(
        self,
        folder: Path,
        *,
        model_id: str | None = None,
        revision: str | None = None,
        requested_revision: str | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._folder = folder
        self.model_id = model_id or str(folder)
        self.revision = revision
        self.requested_revision = requested_revision
        self.notes = notes

    @cached_property
    def files(self) -> Mapping[str, RepoFile]:
        found: dict[str, RepoFile] = {}
        for path, size_bytes in self._walk(self._folder, _LISTED_LEVELS):
            name = path.relative_to(self._folder).as_posix()
            found[name] = RepoFile(path=name, size_bytes=size_bytes)
            if len(found) >= _LISTED_FILES:
                break
        return found

    def _walk(self, folder: Path, levels: int) -> Iterator[tuple[Path, int]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: (not entry.name.endswith(_LISTED_FIRST), entry.name))
        except OSError as error:
            raise self._unreadable(str(folder), error) from None
        folders = []
        for entry in entries:
            try:
                if entry.is_file():
                    yield Path(entry.path), entry.stat().st_size
                elif entry.is_dir() and not entry.name.startswith("."):
                    folders.append(Path(entry.path))
            except OSError:
                continue  # a dangling link, or a file that vanished: it is not there
        if levels > 1:
            for inner in folders:
                yield from self._walk(inner, levels - 1)

    def read(self, path: str, limit_bytes: int) -> bytes:
        with self._open(path) as stream:
            data = self._take(stream, path, limit_bytes + 1)
        if len(data) > limit_bytes:
            raise MalformedFileError(self.model_id, path, f"it is larger than {limit_bytes:,} bytes")
        return data

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        found = {}
        for done, path in enumerate(paths, start=1):
            with self._open(path) as stream:
                file_bytes = os.fstat(stream.fileno()).st_size
                data = self._take(stream, path, PREFIX_BYTES)
                needed_bytes = needed(path, data, file_bytes)
                data += self._take(stream, path, needed_bytes - len(data))
            if len(data) < min(needed_bytes, file_bytes):
                raise FileUnreadableError(self.model_id, path, "it became shorter while it was read")
            found[path] = Beginning(data=data, file_bytes=file_bytes)
            if on_progress is not None:
                on_progress(done, len(paths))
        return found

    def _open(self, path: str) -> BinaryIO:
        try:
            stream = open(self._folder / path, "rb", opener=lambda name, _: os.open(name, _OPEN_FLAGS))  # noqa: SIM115
        except (FileNotFoundError, NotADirectoryError):
            raise FileMissingError(self.model_id, path) from None
        except OSError as error:
            raise self._unreadable(path, error) from None
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            stream.close()
            raise FileUnreadableError(self.model_id, path, "it is a pipe or a device, not a file")
        return stream

    def _take(self, stream: BinaryIO, path: str, number: int) -> bytes:
        try:
            return stream.read(number)
        except OSError as error:
            raise self._unreadable(path, error) from None

    def _unreadable(self, path: str, error: OSError) -> FileUnreadableError:
        return FileUnreadableError(self.model_id, path, error.strerror or type(error).__name__)
