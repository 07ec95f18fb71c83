"""What every source of model files offers, and nothing more: a listing, small files, beginnings of large ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

CONFIG_FILE: Final = "config.json"
CONFIG_LIMIT_BYTES: Final = 16 * 2**20

PREFIX_BYTES: Final = 8
"""How much of a file's beginning `Needed` has to see."""

OnProgress = Callable[[int, int], None]
"""Called with (files done, files in all), from one thread at a time."""

Needed = Callable[[str, bytes, int | None], int]
"""(file, its first bytes, its size) -> how many bytes are needed from its beginning; raises to refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoFile:
    """A file in the listing; the hash is of its content, None where the source knows none."""

    path: str
    size_bytes: int | None
    content_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Exactly the bytes that were needed from the beginning of a file, and the file's size."""

    data: bytes
    file_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicSummary:
    """What the Hub tells everybody about a repo, gated or not; its totals are of main, by its own count."""

    gated: bool
    model_type: str | None
    architectures: tuple[str, ...]
    library: str | None
    elements_by_dtype: Mapping[str, int]


class ModelSource(Protocol):
    """One model's files at one revision."""

    @property
    def model_id(self) -> str:
        """What the user asked for, in its canonical spelling."""

    @property
    def revision(self) -> str | None:
        """The commit everything is read at; None where there is none (a local folder)."""

    @property
    def requested_revision(self) -> str | None:
        """The branch, tag or commit that was asked for; None where that means nothing."""

    @property
    def files(self) -> Mapping[str, RepoFile]:
        """Path -> file."""

    @property
    def summary(self) -> PublicSummary | None:
        """The Hub's own summary, where the source is the Hub."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the result must know about where it comes from."""

    def read(self, path: str, limit_bytes: int) -> bytes:
        """A small file, whole. Raises FileMissingError, MalformedFileError above the limit, or as the source does."""

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        """The beginnings of large files, concurrently where that helps; never more than `needed` says."""
