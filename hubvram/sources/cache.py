"""What was read from a Hub, kept by the hash of its content, where huggingface_hub keeps assets.

An entry is the SHA-256 of the rest, then the rest: compressed. One that was damaged is dropped and read again. Entries
appear whole (written beside, then renamed), so that processes do not get into each other's way. Each endpoint has a
folder of its own: what a server says a hash is of is only believed for that server.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hubvram.sources.settings import assets_cache

LIBRARY: Final = "hubvram"

_DIGEST_BYTES: Final = 32
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.@-]")
_NAME_CHARACTERS: Final = 100
_PART: Final = ".part"
_KINDS: Final = ("files", "headers", "listings")
_OURS: Final = re.compile(r".*-[0-9a-f]{16}(?:\.\d+\.\d+\.part)?", re.DOTALL)
_ENTRY_LIMIT_BYTES: Final = 2**29
"""A kept set of headers has a dozen MB at most, compressed one; nothing larger is read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file of the cache."""

    path: Path
    size_bytes: int
    unused_seconds: float
    is_sound: bool


class Cache:
    """The entries of one endpoint. It never fails: what cannot be kept is `trouble`, for a note."""

    def __init__(self, endpoint: str) -> None:
        self._folder = cache_folder() / _UNSAFE.sub("_", endpoint.partition("://")[2].rpartition("@")[2])
        self.trouble: str | None = None

    def get(self, kind: str, key: str) -> bytes | None:
        """What was put; None where nothing was, or where it was damaged."""
        path = self._path(kind, key)
        try:
            content = _content(path.read_bytes())
            os.utime(path)
        except OSError:
            return None
        if content is None:
            with suppress(OSError):
                path.unlink()
        return content

    def put(self, kind: str, key: str, content: bytes) -> None:
        """Keep it, if that is possible."""
        packed = zlib.compress(content, level=1)
        path = self._path(kind, key)
        part = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}{_PART}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                part.write_bytes(hashlib.sha256(packed).digest() + packed)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            self.trouble = f"what was read could not be kept in {self._folder}: {error.strerror or error}"

    def _path(self, kind: str, key: str) -> Path:
        # The hash tells keys apart; the name before it is for people, and for `hubvram cache`.
        name = f"{_UNSAFE.sub('_', key)[:_NAME_CHARACTERS]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        return self._folder / kind / name


def cache_folder() -> Path:
    """Where all entries are: beside huggingface_hub's other assets."""
    return assets_cache() / LIBRARY


def entries() -> Iterator[Entry]:
    """Everything that is kept, with what is left over from writers that were killed. Raises OSError.

    What has another name or place than an entry has is none of ours, wherever HF_ASSETS_CACHE leads.
    """
    now = time.time()
    for kind in _KINDS:
        for path in sorted(cache_folder().glob(f"*/{kind}/*")):
            with suppress(FileNotFoundError):  # somebody else prunes
                status = path.lstat()
                if not (stat.S_ISREG(status.st_mode) and _OURS.fullmatch(path.name)):
                    continue
                yield Entry(
                    path=path,
                    size_bytes=status.st_size,
                    unused_seconds=max(0.0, now - status.st_mtime),
                    is_sound=not path.name.endswith(_PART) and _content(path.read_bytes()) is not None,
                )


def _content(stored: bytes) -> bytes | None:
    """What an entry holds; None where it is damaged."""
    digest, packed = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    if hashlib.sha256(packed).digest() != digest:
        return None
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(packed, _ENTRY_LIMIT_BYTES)
    except zlib.error:
        return None
    return content if inflater.eof else None
