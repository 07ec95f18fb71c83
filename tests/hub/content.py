"""Repository content: files whose zeros are made on the wire, and the commits that hold them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

CHUNK_BYTES = 256 * 1024
_ZEROS = memoryview(bytes(CHUNK_BYTES))
_LFS_SUFFIXES = (".safetensors", ".bin", ".gguf")
_SHA = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubFile:
    """A file: `data`, then zeros up to `size_bytes` that never exist in memory.

    It keeps its digests: any number of repositories may share it at no cost.
    """

    data: bytes
    size_bytes: int | None = None
    lfs: bool | None = None
    """None decides by the suffix, as a repository's .gitattributes does."""

    def __post_init__(self) -> None:
        if self.size_bytes is not None and self.size_bytes < len(self.data):
            raise ValueError(f"size_bytes={self.size_bytes} is less than the data, {len(self.data)}")

    @property
    def size(self) -> int:
        return len(self.data) if self.size_bytes is None else self.size_bytes

    @cached_property
    def sha256(self) -> str:
        """The true digest, unless there are zeros: 100 GB of them take minutes to hash."""
        digest = hashlib.sha256(self.data)
        if self.size > len(self.data):
            digest.update(f"zeros up to {self.size}".encode())
        return digest.hexdigest()

    @cached_property
    def xet_hash(self) -> str:
        return hashlib.sha256(f"xet {self.sha256}".encode()).hexdigest()

    @cached_property
    def pointer(self) -> bytes:
        """What git holds in place of a large file."""
        lines = ("version https://git-lfs.github.com/spec/v1", f"oid sha256:{self.sha256}")
        return "\n".join((*lines, f"size {self.size}\n")).encode()

    @cached_property
    def data_oid(self) -> str:
        return _git_oid(self.data)

    @cached_property
    def pointer_oid(self) -> str:
        return _git_oid(self.pointer)


def _git_oid(blob: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%b" % (len(blob), blob)).hexdigest()


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `stop` (exclusive) of a file."""

    file: HubFile
    start: int
    stop: int

    @classmethod
    def whole(cls, file: HubFile | bytes) -> Span:
        file = HubFile(file) if isinstance(file, bytes) else file
        return cls(file, 0, file.size)

    def __len__(self) -> int:
        return self.stop - self.start

    def head(self, size: int) -> Span:
        return Span(self.file, self.start, min(self.stop, self.start + size))

    def chunks(self) -> Iterator[memoryview]:
        """At most CHUNK_BYTES each, however large the file is."""
        data, position = memoryview(self.file.data), self.start
        while position < self.stop:
            end = min(self.stop, position + CHUNK_BYTES)
            if position < len(data):
                end = min(end, len(data))
                yield data[position:end]
            else:
                yield _ZEROS[: end - position]
            position = end


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file at its path, with the identities that the Hub gives it."""

    path: str
    content: HubFile

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def is_lfs(self) -> bool:
        lfs = self.content.lfs
        return self.path.endswith(_LFS_SUFFIXES) if lfs is None else lfs

    @property
    def sha256(self) -> str:
        return self.content.sha256

    @property
    def xet_hash(self) -> str:
        return self.content.xet_hash

    @property
    def pointer(self) -> bytes:
        return self.content.pointer

    @property
    def git_oid(self) -> str:
        return self.content.pointer_oid if self.is_lfs else self.content.data_oid


@dataclass(frozen=True, slots=True)
class Commit:
    sha: str
    files: Mapping[str, StoredFile]
    tree: str
    """The same for the same files, in whatever repository."""

    @classmethod
    def of(cls, repo_id: str, files: Mapping[str, HubFile | bytes], sha: str | None) -> Commit:
        """With no `sha`, one that depends on nothing but the repository's name and content."""
        stored = {
            path: StoredFile(path, HubFile(file) if isinstance(file, bytes) else file)
            for path, file in sorted(files.items())
        }
        tree = "".join(f"{file.git_oid} {file.size} {path}\n" for path, file in stored.items())
        sha = sha or hashlib.sha1(f"{repo_id}\n{tree}".encode()).hexdigest()
        if not _SHA.fullmatch(sha):
            raise ValueError(f"not a commit id of 40 lower-case hex digits: {sha!r}")
        return cls(sha, stored, hashlib.sha1(tree.encode()).hexdigest())
