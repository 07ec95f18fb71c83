"""A repo on the Hub as far as it was read before: its listing, small files and headers, from this machine's cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hubvram.errors import FileMissingError, HubResponseError, UnreachableError
from hubvram.sources.cache import Cache
from hubvram.sources.interface import Beginning, Needed, OnProgress, PublicSummary, RepoFile
from hubvram.sources.kept_headers import headers_key, kept, packed
from hubvram.sources.listing import Listing, parse_listing
from hubvram.sources.settings import endpoint

_LISTINGS: Final = "listings"
_SMALL_FILES: Final = "files"
_HEADERS: Final = "headers"


class KeptSource:
    """Answers from what is kept, by the hash of its content, and asks `_fetch...` for the rest: here, in vain.

    `gone` says why the Hub cannot be asked; `remembered` makes one.
    """

    def __init__(
        self, listing: Listing, requested_revision: str, cache: Cache, gone: UnreachableError | None, reason: str = ""
    ) -> None:
        self.model_id = listing.model_id
        self.revision: str | None = listing.commit
        self.requested_revision: str | None = requested_revision
        self.files: Mapping[str, RepoFile] = listing.files
        self.summary: PublicSummary | None = listing.summary
        self._cache = cache
        self._gone = gone
        self._reason = reason

    @classmethod
    def remembered(cls, repo_id: str, revision: str | None, gone: UnreachableError, reason: str) -> KeptSource | None:
        """The repo as it was when the Hub was last asked; `reason` says why it cannot be now.

        What was not read then raises `gone`.
        """
        cache = Cache(endpoint())
        text = cache.get(_LISTINGS, _listing_key(repo_id, revision))
        try:
            return None if text is None else cls(parse_listing(text, repo_id), revision or "main", cache, gone, reason)
        except HubResponseError:
            return None

    @property
    def holds_headers(self) -> bool:
        """Whether headers were read before, so that no request is needed for them."""
        return bool(self._kept_headers())

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the answer comes from, if not from the Hub, and whether it could be kept."""
        found = []
        if self._gone is not None:
            found.append(f"{self._reason}; answered from what was kept of commit {(self.revision or '')[:7]}")
        if self._cache.trouble is not None:
            found.append(self._cache.trouble)
        return tuple(found)

    def read(self, path: str, limit_bytes: int) -> bytes:
        if path not in self.files:
            raise FileMissingError(self.model_id, path)  # The listing knows: nothing has to be asked.
        content_hash = self.files[path].content_hash
        content = self._cache.get(_SMALL_FILES, content_hash) if content_hash else None
        if content is None:
            content = self._fetch_file(path, limit_bytes)
            if content_hash:
                self._cache.put(_SMALL_FILES, content_hash, content)
        if len(content) > limit_bytes:
            raise HubResponseError(self.model_id, f"{path} is larger than {limit_bytes:,} bytes")
        return content

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        kept_headers = self._kept_headers()
        found = exact({path: kept_headers.get(self._hash(path)) for path in paths}, needed)
        if len(found) < len(paths):
            found |= self._fetch_beginnings([path for path in paths if path not in found], needed, on_progress)
            self._keep_headers(kept_headers | {self._hash(path): beginning for path, beginning in found.items()})
        return found

    def _fetch_file(self, path: str, limit_bytes: int) -> bytes:
        raise self._why()

    def _fetch_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None
    ) -> dict[str, Beginning]:
        raise self._why()

    def _why(self) -> UnreachableError:
        assert self._gone is not None
        return self._gone

    def _kept_headers(self) -> dict[str, Beginning]:
        key = headers_key(self.files)
        return kept(self._cache.get(_HEADERS, key)) if key else {}

    def _keep_headers(self, beginnings: Mapping[str, Beginning]) -> None:
        key = headers_key(self.files)
        if key:
            self._cache.put(_HEADERS, key, packed(beginnings))

    def _hash(self, path: str) -> str:
        return self.files[path].content_hash or ""


def exact(found: Mapping[str, Beginning | None], needed: Needed) -> dict[str, Beginning]:
    """Those that are what is needed, to the byte."""
    return {
        path: beginning
        for path, beginning in found.items()
        if beginning is not None and needed(path, beginning.data, beginning.file_bytes) == len(beginning.data)
    }


def keep_listing(cache: Cache, repo_id: str, revision: str | None, text: bytes) -> None:
    """For `remembered`."""
    key = _listing_key(repo_id, revision)
    if cache.get(_LISTINGS, key) != text:
        cache.put(_LISTINGS, key, text)


def _listing_key(repo_id: str, revision: str | None) -> str:
    return f"{repo_id}@{revision or 'main'}"
