"""A model on the Hub: one request for the listing, then only small files and the beginnings of large ones."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final
from urllib.parse import quote

from hubvram.errors import DeadlineError, FileMissingError, ModelUnreadableError, RouteMissingError
from hubvram.sources.cache import Cache
from hubvram.sources.http import HubClient, Target
from hubvram.sources.interface import Beginning, Needed, OnProgress
from hubvram.sources.kept import KeptSource, exact, keep_listing
from hubvram.sources.listing import Listing, parse_listing
from hubvram.sources.loop import LOOP
from hubvram.sources.network import Network
from hubvram.sources.ranges import RangeReader
from hubvram.sources.shard_headers import ANSWER_LIMIT_BYTES, beginnings_in, index_of

LISTING_LIMIT_BYTES: Final = 64 * 2**20
_DEFAULT: Final = Network()


class HubSource(KeptSource):
    """A repo pinned to the commit that its listing was made at; what is not kept is asked for. `open` makes one."""

    def __init__(self, client: HubClient, cache: Cache, listing: Listing, requested_revision: str) -> None:
        super().__init__(listing, requested_revision, cache, gone=None)
        self._client = client

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
        listing, cache = parse_listing(text, repo_id), Cache(client.endpoint)
        keep_listing(cache, repo_id, revision, text)
        return cls(client, cache, listing, revision or "main")

    def _fetch_file(self, path: str, limit_bytes: int) -> bytes:
        return LOOP.run(self._small(path, limit_bytes))

    async def _small(self, path: str, limit_bytes: int) -> bytes:
        """Straight from where `/resolve` would send us; servers that do not have that are asked the usual way."""
        hub, rest = self._client.endpoint, f"{self.revision}/{quote(path)}"
        try:
            return await self._client.get(
                f"{hub}/api/resolve-cache/models/{self.model_id}/{rest}", self._target(path), limit_bytes
            )
        except (RouteMissingError, FileMissingError):
            return await self._client.get(f"{hub}/{self.model_id}/resolve/{rest}", self._target(path), limit_bytes)

    def _fetch_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None
    ) -> dict[str, Beginning]:
        return LOOP.run(self._fetch(paths, needed, on_progress))

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
        return exact({path: found.get(path) for path in paths}, needed)

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
