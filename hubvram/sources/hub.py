"""A model on the Hub: one request for the listing, then only small files and the beginnings of large ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

from hubvram.errors import (
    DeadlineError,
    FileMissingError,
    HubResponseError,
    ModelUnreadableError,
    RouteMissingError,
    UnreachableError,
)
from hubvram.sources.cache import Cache
from hubvram.sources.http import HubClient, Target
from hubvram.sources.interface import Beginning, Needed, OnProgress, PublicSummary, RepoFile
from hubvram.sources.kept_headers import headers_key, kept, packed
from hubvram.sources.loop import LOOP
from hubvram.sources.network import Network
from hubvram.sources.ranges import RangeReader
from hubvram.sources.shard_headers import ANSWER_LIMIT_BYTES, beginnings_in, index_of

T = TypeVar("T")

LISTING_LIMIT_BYTES: Final = 64 * 2**20
_LISTINGS: Final = "listings"
_SMALL_FILES: Final = "files"
_HEADERS: Final = "headers"
_DEFAULT: Final = Network()


class HubSource:
    """A repo pinned to the commit that its listing was made at. `open` and `remembered` make one.

    What was read once is kept, by the hash of its content, and not asked for again.
    """

    def __init__(
        self,
        client: HubClient,
        cache: Cache,
        listing: Mapping[str, Any],
        requested_revision: str,
        gone: UnreachableError | None = None,
        reason: str = "",
    ) -> None:
        self._client = client
        self._cache = cache
        self._gone = gone
        self._reason = reason
        self.model_id = _text(listing, "id")
        self.revision: str | None = _text(listing, "sha")
        self.requested_revision: str | None = requested_revision
        self.files: Mapping[str, RepoFile] = _files(listing)
        self.summary: PublicSummary | None = _summary(listing)

    @classmethod
    def open(cls, repo_id: str, revision: str | None, network: Network = _DEFAULT) -> HubSource:
        """Ask the Hub for the listing.

        Raises RepoNotFoundError, RevisionNotFoundError, an AccessError, an UnreachableError, HubResponseError.
        """
        client = HubClient(network)
        url = f"{client.endpoint}/api/models/{repo_id}"
        if revision is not None:
            url += f"/revision/{quote(revision, safe='')}"
        target = Target(model_id=repo_id, requested_revision=revision)
        text = LOOP.run(client.get(f"{url}?blobs=true", target, LISTING_LIMIT_BYTES))
        cache = Cache(client.endpoint)
        try:
            source = cls(client, cache, client.parse(text, repo_id), revision or "main")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise client.not_a_hub(repo_id) from None
        key = _listing_key(repo_id, revision)
        if cache.get(_LISTINGS, key) != text:
            cache.put(_LISTINGS, key, text)
        return source

    @classmethod
    def remembered(cls, repo_id: str, revision: str | None, gone: UnreachableError, reason: str) -> HubSource | None:
        """The repo as it was when the Hub was last asked; `reason` says why it cannot be now.

        What was not read then raises `gone`.
        """
        client = HubClient(Network(offline=True))
        cache = Cache(client.endpoint)
        text = cache.get(_LISTINGS, _listing_key(repo_id, revision))
        if text is None:
            return None
        try:
            return cls(client, cache, client.parse(text, repo_id), revision or "main", gone, reason)
        except (KeyError, TypeError, ValueError, AttributeError, HubResponseError):
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
            content = self._run(self._small(path, limit_bytes))
            if content_hash:
                self._cache.put(_SMALL_FILES, content_hash, content)
        if len(content) > limit_bytes:
            raise HubResponseError(self.model_id, f"{path} is larger than {limit_bytes:,} bytes")
        return content

    async def _small(self, path: str, limit_bytes: int) -> bytes:
        """Straight from where `/resolve` would send us; servers that do not have that are asked the usual way."""
        endpoint, rest = self._client.endpoint, f"{self.revision}/{quote(path)}"
        try:
            return await self._client.get(
                f"{endpoint}/api/resolve-cache/models/{self.model_id}/{rest}", self._target(path), limit_bytes
            )
        except (RouteMissingError, FileMissingError):
            return await self._client.get(f"{endpoint}/{self.model_id}/resolve/{rest}", self._target(path), limit_bytes)

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        kept_headers = self._kept_headers()
        found = self._checked({path: kept_headers.get(self._hash(path)) for path in paths}, needed)
        if len(found) < len(paths):
            found |= self._run(self._fetch([path for path in paths if path not in found], needed, on_progress))
            self._keep_headers(kept_headers | {self._hash(path): beginning for path, beginning in found.items()})
        return found

    async def _fetch(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None
    ) -> dict[str, Beginning]:
        found = await self._in_one_request(paths, needed)
        if found and on_progress is not None:
            on_progress(len(found), len(paths))
        reader = RangeReader(
            client=self._client,
            model_id=self.model_id,
            revision=self.revision,
            files=self.files,
            # The Hub counts main; another revision may be anything.
            summary=self.summary if self.requested_revision == "main" else None,
        )
        in_flight = asyncio.Semaphore(self._client.network.requests_in_flight)

        async def fetch(path: str) -> None:
            async with in_flight:
                found[path] = await reader.beginning(path, self._target(path), needed)
            if on_progress is not None:
                on_progress(len(found), len(paths))

        await _all([fetch(path) for path in paths if path not in found])
        return found

    async def _in_one_request(self, paths: Sequence[str], needed: Needed) -> dict[str, Beginning]:
        """What the Hub knows of the shards of main; nothing where it does not, so that ranges are read."""
        index = index_of(self.files, paths[0]) if len(paths) > 1 and self.requested_revision == "main" else None
        if index is None:
            return {}
        url = f"{self._client.endpoint}/api/models/{self.model_id}/safetensors-metadata/{quote(index)}"
        try:
            answer = await self._client.get(url, self._target(index), ANSWER_LIMIT_BYTES)
        except DeadlineError:
            raise
        except ModelUnreadableError:
            return {}  # Few servers have it. Reading ranges tells what is wrong, if anything is.
        found = beginnings_in(answer, index, self.files)
        return self._checked({path: found.get(path) for path in paths}, needed)

    def _checked(self, found: Mapping[str, Beginning | None], needed: Needed) -> dict[str, Beginning]:
        """Those that are what is needed, exactly."""
        return {
            path: beginning
            for path, beginning in found.items()
            if beginning is not None and needed(path, beginning.data, beginning.file_bytes) == len(beginning.data)
        }

    def _kept_headers(self) -> dict[str, Beginning]:
        key = headers_key(self.files)
        return kept(self._cache.get(_HEADERS, key)) if key else {}

    def _keep_headers(self, beginnings: Mapping[str, Beginning]) -> None:
        key = headers_key(self.files)
        if key:
            self._cache.put(_HEADERS, key, packed(beginnings))

    def _hash(self, path: str) -> str:
        return self.files[path].content_hash or ""

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._gone is not None:
            work.close()
            raise self._gone
        return LOOP.run(work)

    def _target(self, path: str) -> Target:
        return Target(model_id=self.model_id, requested_revision=self.requested_revision, file=path)


async def _all(works: Sequence[Coroutine[Any, Any, None]]) -> None:
    """All of them at once; the first failure, or an interrupt, ends the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION) if tasks else (set(), set())
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listing_key(repo_id: str, revision: str | None) -> str:
    return f"{repo_id}@{revision or 'main'}"


def _text(listing: Mapping[str, Any], key: str) -> str:
    value = listing[key]
    if not isinstance(value, str) or not value:
        raise ValueError(key)
    return value


def _files(listing: Mapping[str, Any]) -> dict[str, RepoFile]:
    found = {}
    for sibling in listing["siblings"]:
        path = _text(sibling, "rfilename")
        size_bytes = sibling.get("size")
        lfs = sibling.get("lfs") or {}
        found[path] = RepoFile(
            path=path,
            size_bytes=size_bytes if isinstance(size_bytes, int) else None,
            content_hash=lfs.get("sha256") or sibling.get("blobId"),
        )
    return found


def _summary(listing: Mapping[str, Any]) -> PublicSummary:
    config = listing.get("config") or {}
    totals = (listing.get("safetensors") or {}).get("parameters") or {}
    return PublicSummary(
        gated=bool(listing.get("gated")),
        model_type=config.get("model_type"),
        architectures=tuple(config.get("architectures") or ()),
        library=listing.get("library_name"),
        elements_by_dtype={str(dtype): int(elements) for dtype, elements in totals.items()},
    )
