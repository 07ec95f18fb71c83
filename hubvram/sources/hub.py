"""A model on the Hub: one request for the listing, then only small files and the beginnings of large ones."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from hubvram.errors import FileMissingError, HubResponseError, ModelUnreadableError
from hubvram.sources.http import HubClient, Target
from hubvram.sources.interface import PREFIX_BYTES, Beginning, Needed, OnProgress, PublicSummary, RepoFile
from hubvram.sources.shard_headers import ANSWER_LIMIT_BYTES, INDEX_SUFFIX, beginnings_in, index_of

if TYPE_CHECKING:
    import httpx2

REQUESTS_IN_FLIGHT: Final = 32
"""Bound by the network, so it does not depend on the number of cores."""

_LISTING_LIMIT_BYTES: Final = 64 * 2**20
_GUESS_BYTES: Final = 64 * 2**10  # the headers of most single files fit
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class HubSource:
    """A repo pinned to the commit that its listing was made at. `open` makes one."""

    notes: tuple[str, ...] = ()

    def __init__(self, client: HubClient, listing: Mapping[str, Any], requested_revision: str) -> None:
        self._client = client
        self.model_id = _text(listing, "id")
        self.revision: str | None = _text(listing, "sha")
        self.requested_revision: str | None = requested_revision
        self.files: Mapping[str, RepoFile] = _files(listing)
        self.summary: PublicSummary | None = _summary(listing)
        self._read: dict[str, bytes] = {}

    @classmethod
    def open(cls, repo_id: str, revision: str | None) -> HubSource:
        """Ask the Hub for the listing.

        Raises RepoNotFoundError, RevisionNotFoundError, an AccessError, an UnreachableError, HubResponseError.
        """
        client = HubClient()
        url = f"{client.endpoint}/api/models/{repo_id}"
        if revision is not None:
            url += f"/revision/{quote(revision, safe='')}"
        target = Target(model_id=repo_id, requested_revision=revision)
        listing = client.get_json(f"{url}?blobs=true", target, _LISTING_LIMIT_BYTES)
        try:
            return cls(client, listing, revision or "main")
        except (KeyError, TypeError, ValueError, AttributeError):
            raise client.not_a_hub(repo_id) from None

    def read(self, path: str, limit_bytes: int) -> bytes:
        if path not in self.files:
            raise FileMissingError(self.model_id, path)  # The listing knows: nothing has to be asked.
        if path not in self._read:
            self._read[path] = self._small(path, limit_bytes)
        return self._read[path]

    def _small(self, path: str, limit_bytes: int) -> bytes:
        """Straight from where `/resolve` would send us; servers that do not have that are asked the usual way."""
        cached = f"{self._client.endpoint}/api/resolve-cache/models/{self.model_id}/{self.revision}/{quote(path)}"
        try:
            return self._client.get(cached, self._target(path), limit_bytes)
        except (HubResponseError, FileMissingError):
            return self._client.get(self._url(path), self._target(path), limit_bytes)

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        found = self._in_one_request(paths, needed)
        if found and on_progress is not None:
            on_progress(len(found), len(paths))
        left = [path for path in paths if path not in found]
        lock = threading.Lock()

        def fetch(path: str) -> None:
            beginning = self._beginning(path, needed)
            with lock:
                found[path] = beginning
                if on_progress is not None:
                    on_progress(len(found), len(paths))

        with ThreadPoolExecutor(max_workers=max(1, min(REQUESTS_IN_FLIGHT, len(left)))) as executor:
            done, _ = wait([executor.submit(fetch, path) for path in left], return_when=FIRST_EXCEPTION)
            executor.shutdown(wait=False, cancel_futures=True)
            for future in done:
                future.result()
        return found

    def _in_one_request(self, paths: Sequence[str], needed: Needed) -> dict[str, Beginning]:
        """What the Hub knows of the shards of main; nothing where it does not, so that ranges are read."""
        index = index_of(self.files, paths[0]) if len(paths) > 1 and self.requested_revision == "main" else None
        if index is None:
            return {}
        url = f"{self._client.endpoint}/api/models/{self.model_id}/safetensors-metadata/{quote(index)}"
        try:
            answer = self._client.get_json(url, self._target(index), ANSWER_LIMIT_BYTES)
        except ModelUnreadableError:
            return {}  # Few servers have it. Reading ranges tells what is wrong, if anything is.
        found = beginnings_in(answer, index, self.files)
        return {
            path: replace(found[path], data=found[path].data[: needed(path, found[path].data, found[path].file_bytes)])
            for path in paths
            if path in found
        }

    def _beginning(self, path: str, needed: Needed) -> Beginning:
        listed_bytes = self.files[path].size_bytes
        if listed_bytes is not None and listed_bytes < PREFIX_BYTES:
            needed(path, b"", listed_bytes)  # refuses it; a range of nothing cannot be asked for
        guess = self._first_guess(path)
        data, file_bytes, total = self._read_range(path, 0, guess, needed)
        while len(data) < total:
            # One more request brings the rest; a server that keeps answering short makes no progress and fails.
            rest, _, _ = self._read_range(path, len(data), total, needed)
            if not rest:
                raise HubResponseError(self.model_id, f"{path}: the server sends fewer bytes than it announces")
            data += rest
        return Beginning(data=data[:total], file_bytes=file_bytes)

    def _read_range(self, path: str, start: int, stop: int, needed: Needed) -> tuple[bytes, int | None, int]:
        """Bytes [start, stop) or less, the file's size, and how many bytes are needed in all.

        A server that ignores Range sends the whole file: reading stops at what is needed.
        """
        known_bytes = self.files[path].size_bytes

        def read(response: httpx2.Response) -> tuple[bytes, int | None, int]:
            if response.headers.get("content-encoding", "identity") != "identity":
                raise HubResponseError(self.model_id, f"{path}: the server compresses ranges")
            skip, file_bytes = self._range_of(path, response, start)
            if file_bytes is None:
                file_bytes = known_bytes
            body, total = bytearray(), stop
            for chunk in response.iter_raw():
                body += chunk
                if start == 0 and len(body) >= PREFIX_BYTES:
                    total = needed(path, bytes(body[:PREFIX_BYTES]), file_bytes)
                if len(body) - skip >= total - start:
                    break
            if start == 0 and len(body) < PREFIX_BYTES:
                total = needed(path, bytes(body), file_bytes)  # refuses what is too short to be a file
            return bytes(body[skip:]), file_bytes, total

        headers = {"range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
        return self._client.stream(self._url(path), self._target(path), read, headers)

    def _range_of(self, path: str, response: httpx2.Response, start: int) -> tuple[int, int | None]:
        """(bytes of the body before `start`, size of the file), from the answer's own headers."""
        if response.status_code == 200:
            length = response.headers.get("content-length", "")
            return start, int(length) if length.isdecimal() else None
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code != 206 or match is None or int(match[1]) != start:
            raise HubResponseError(self.model_id, f"{path}: the server answers with another range than was asked for")
        return 0, None if match[2] == "*" else int(match[2])

    def _first_guess(self, path: str) -> int:
        """How much to ask for first. An index and the headers it describes grow together.

        Over the sharded repos of a survey, headers take 1.2 to 1.5 times the bytes of their index.
        """
        shards = sum(1 for name in self.files if name.endswith(".safetensors"))
        index = next((file for name, file in self.files.items() if name.endswith(INDEX_SUFFIX)), None)
        guess = _GUESS_BYTES
        if index is not None and index.size_bytes and shards > 1:
            guess = index.size_bytes * 3 // (2 * shards) + 4096
        return min(guess, self.files[path].size_bytes or guess)

    def _url(self, path: str) -> str:
        return f"{self._client.endpoint}/{self.model_id}/resolve/{self.revision}/{quote(path)}"

    def _target(self, path: str) -> Target:
        return Target(model_id=self.model_id, requested_revision=self.requested_revision, file=path)


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
