"""The beginnings of large files by Range requests: a guess that is nearly always enough, else one request more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from hubvram.dtypes import SAFETENSORS_BITS
from hubvram.errors import DeadlineError, HubResponseError, ModelUnreadableError
from hubvram.sources.http import HubClient, Target
from hubvram.sources.interface import PREFIX_BYTES, Beginning, Needed, PublicSummary, RepoFile
from hubvram.sources.shard_headers import INDEX_SUFFIX

if TYPE_CHECKING:
    import httpx2

_GUESS_BYTES: Final = 64 * 2**10  # the headers of most single files fit
_LARGEST_GUESS_BYTES: Final = 2**20
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


def first_guess(path: str, files: Mapping[str, RepoFile], summary: PublicSummary | None) -> int:
    """How much to ask for first, in bytes.

    Of a single file whose tensors the Hub has counted by type, the rest is the header. Of shards: an index and the
    headers that it describes grow together; over the sharded repos of a survey, headers take 1.2 to 1.5 times the
    bytes of their index.
    """
    size_bytes = files[path].size_bytes
    shards = sum(1 for name in files if name.endswith(".safetensors"))
    index = next((file for name, file in files.items() if name.endswith(INDEX_SUFFIX)), None)
    guess = _GUESS_BYTES
    if shards == 1 and size_bytes is not None and summary is not None:
        header_bytes = size_bytes - _data_bytes(summary.elements_by_dtype)
        if PREFIX_BYTES < header_bytes <= _LARGEST_GUESS_BYTES:
            guess = header_bytes
    elif index is not None and index.size_bytes and shards > 1:
        guess = min(index.size_bytes * 3 // (2 * shards) + 4096, _LARGEST_GUESS_BYTES)
    return min(guess, size_bytes or guess)


def _data_bytes(elements_by_dtype: Mapping[str, int]) -> int:
    """Of a type that is not known nothing follows: the difference is then no header's size."""
    return sum(elements * SAFETENSORS_BITS.get(dtype, 0) for dtype, elements in elements_by_dtype.items()) // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeReader:
    """Reads the files of one repo, pinned to a commit."""

    client: HubClient
    model_id: str
    revision: str | None
    files: Mapping[str, RepoFile]
    summary: PublicSummary | None

    async def beginning(self, path: str, target: Target, needed: Needed) -> Beginning:
        """What is needed of a file. Raises what `needed` does, and as HubClient.stream."""
        listed_bytes = self.files[path].size_bytes
        if listed_bytes is not None and listed_bytes < PREFIX_BYTES:
            needed(path, b"", listed_bytes)  # refuses it; a range of nothing cannot be asked for
        url = f"{self.client.endpoint}/{self.model_id}/resolve/{self.revision}/{quote(path)}"
        asked = _Asked(path, 0, first_guess(path, self.files, self.summary))
        answer = await self._read(url, asked, target, needed)
        data, total = answer.data, answer.total_bytes
        while len(data) < total:
            # One more request, straight to where the file is, brings the rest; a server that keeps answering
            # short makes no progress and fails.
            asked = _Asked(path, len(data), total)
            try:
                more = await self._read(answer.url, asked, target, needed)
            except DeadlineError:
                raise
            except ModelUnreadableError:  # an address that was good for one request
                more = await self._read(url, asked, target, needed)
            if not more.data:
                raise HubResponseError(self.model_id, f"{path}: the server sends fewer bytes than it announces")
            data += more.data
        return Beginning(data=data[:total], file_bytes=answer.file_bytes)

    async def _read(self, url: str, asked: _Asked, target: Target, needed: Needed) -> _Answer:
        async def read(response: httpx2.Response) -> _Answer:
            return await self._body(response, asked, needed)

        headers = {"range": f"bytes={asked.start}-{asked.stop - 1}", "accept-encoding": "identity"}
        return await self.client.stream(url, target, read, headers)

    async def _body(self, response: httpx2.Response, asked: _Asked, needed: Needed) -> _Answer:
        """A server that ignores Range sends the whole file: reading stops at what is needed."""
        path = asked.path
        if response.headers.get("content-encoding", "identity") != "identity":
            raise HubResponseError(self.model_id, f"{path}: the server compresses ranges")
        skip, file_bytes = self._place(response, asked)
        if file_bytes is None:
            file_bytes = self.files[path].size_bytes
        body, total = bytearray(), asked.stop
        async for chunk in response.aiter_raw():
            body += chunk
            if asked.start == 0 and len(body) >= PREFIX_BYTES:
                total = needed(path, bytes(body[:PREFIX_BYTES]), file_bytes)
            read_bytes = len(body) - skip
            # A range is read to its end, needed or not: the connection is then good for the next request.
            if (
                read_bytes >= total - asked.start
                if response.status_code == 200
                else read_bytes > asked.stop - asked.start
            ):
                break
        if asked.start == 0 and len(body) < PREFIX_BYTES:
            total = needed(path, bytes(body), file_bytes)  # refuses what is too short to be a file
        return _Answer(bytes(body[skip:]), file_bytes, total, str(response.url))

    def _place(self, response: httpx2.Response, asked: _Asked) -> tuple[int, int | None]:
        """(bytes of the body before what was asked for, size of the file), from the answer's own headers."""
        if response.status_code == 200:
            length = response.headers.get("content-length", "")
            return asked.start, int(length) if length.isdecimal() else None
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code != 206 or match is None or int(match[1]) != asked.start:
            raise HubResponseError(
                self.model_id, f"{asked.path}: the server answers with another range than was asked for"
            )
        return 0, None if match[2] == "*" else int(match[2])


@dataclass(frozen=True, slots=True)
class _Asked:
    """Bytes [start, stop) of a file."""

    path: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """The bytes from `start` on, or less; the file's size; how many are needed from its beginning; where it is."""

    data: bytes
    file_bytes: int | None
    total_bytes: int
    url: str
