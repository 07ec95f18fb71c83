"""HTTP/1.1: one request after the other on a connection that stays open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http.client import responses

from .connection import Connection, Respond, reset
from .fault_kinds import DRIP_SECONDS
from .messages import Reply, Request
from .traffic import Exchange


class Http1(Connection):
    version = "HTTP/1.1"

    def __init__(self, respond: Respond, lost: Callable[[], None]) -> None:
        super().__init__(respond, lost)
        self._received = bytearray()
        self._queued = b""
        self._answering: asyncio.Task[None] | None = None
        self._chunked = False
        self._stays = True

    def cancel(self) -> None:
        if self._answering is not None:
            self._answering.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answering is None:
            self._next()

    def _next(self) -> None:
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        self._received = rest
        try:
            request = _parsed(head.decode("latin-1"))
        except ValueError:
            self.transport.abort()
            return
        # The body of a POST is not read, so nothing can follow it.
        stays = request.headers.get("connection", "").lower() != "close"
        self._stays = stays and request.method in ("GET", "HEAD")
        self._answering = self._respond(request, self)

    def head(self, reply: Reply, size: int | None, *, bodiless: bool) -> None:
        self._chunked = size is None and not bodiless
        framing = "Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}"
        lines = [f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}", _date(int(time.time())), framing]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        self._queued = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def drip(self) -> None:
        queued, self._queued = self._queued, b""
        for place in range(len(queued)):
            self.transport.write(queued[place : place + 1])
            await asyncio.sleep(DRIP_SECONDS)

    async def write(self, chunk: memoryview, exchange: Exchange) -> None:
        exchange.body_bytes_sent += len(chunk)
        if self._chunked:
            self._queued += b"%x\r\n%b\r\n" % (len(chunk), bytes(chunk))
            self._flush()
        elif self._queued:
            # One packet for the head of an answer and its first bytes: as servers do.
            self._queued += chunk
            self._flush()
        else:
            self.transport.write(chunk)
        await self.drained()

    def end(self) -> None:
        if self._chunked:
            self._queued += b"0\r\n\r\n"
        self._flush()
        self._answering = None
        if not self._stays:
            self.transport.close()
        elif self._received:
            self._next()

    def break_off(self) -> None:
        self._flush()
        self.transport.close()

    def reset(self) -> None:
        reset(self.transport)

    def _flush(self) -> None:
        if self._queued:
            self.transport.write(self._queued)
            self._queued = b""


def _parsed(head: str) -> Request:
    first, *lines = head.split("\r\n")
    method, target, version = first.split(" ")
    path, _, query = target.partition("?")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise ValueError(f"not a header: {line!r}")
        headers[name.lower()] = value.strip()
    return Request(method, path, query, headers, version)


@lru_cache(maxsize=1)
def _date(seconds: int) -> str:
    return f"Date: {formatdate(seconds, usegmt=True)}"
