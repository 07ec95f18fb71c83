"""Connections: one client per origin, kept alive for all models, HTTP/2 where the server speaks it.

A pool that several hosts share closes connections to one to make room for the other, again and again: the Hub
redirects every large file to another host.
"""

from __future__ import annotations

import asyncio
import atexit
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hubvram.sources.forking import in_every_child
from hubvram.sources.loop import LOOP
from hubvram.sources.network import REQUESTS_IN_FLIGHT

if TYPE_CHECKING:
    import ssl

    import httpx2

_ORIGINS: Final = 8
"""The Hub, its storage, a mirror of each: more of them mean that somebody sends us around."""

_KEPT_SECONDS: Final = 60.0


def origin_of(url: str) -> str:
    """Scheme, host and port of an address, as written, without a user name or password; "" of what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()


class Connections:
    """Used in the loop of sources/loop.py alone."""

    def __init__(self) -> None:
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._inherited: list[object] = []
        self._tls: ssl.SSLContext | None = None

    def forget(self) -> None:
        """In a forked child: what is open is the parent's, and is neither used nor closed here."""
        self._inherited.append(self._clients)
        self._clients = {}

    async def client(self, url: str) -> httpx2.AsyncClient:
        """The client for the origin of an address."""
        origin = origin_of(url)
        if origin not in self._clients:
            while len(self._clients) >= _ORIGINS:
                await self._clients.pop(next(iter(self._clients))).aclose()
            self._clients[origin] = self._new(is_encrypted=origin.startswith("https://"))
        return self._clients[origin]

    async def drop(self, url: str) -> None:
        """Close what leads to one origin."""
        if client := self._clients.pop(origin_of(url), None):
            await client.aclose()

    async def close(self) -> None:
        """End what is under way, and close all; the next request opens what it needs."""
        # A connection that is still being made would belong to nobody afterwards.
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        self._tls = None
        while self._clients:
            await self._clients.popitem()[1].aclose()

    def _new(self, *, is_encrypted: bool) -> httpx2.AsyncClient:
        import httpx2

        if is_encrypted and self._tls is None:
            self._tls = httpx2.create_ssl_context()  # reading the authorities' certificates takes a while: once
        return httpx2.AsyncClient(
            verify=self._tls if is_encrypted and self._tls else False,  # a plain connection has nothing to verify
            http2=is_encrypted,  # which is where the two sides agree on it
            limits=httpx2.Limits(
                max_connections=REQUESTS_IN_FLIGHT,
                max_keepalive_connections=REQUESTS_IN_FLIGHT,
                keepalive_expiry=_KEPT_SECONDS,
            ),
        )


CONNECTIONS: Final = Connections()
in_every_child(CONNECTIONS.forget)


def close_connections() -> None:
    """Close every connection of this process, whoever waits for an answer."""
    if LOOP.is_running:
        LOOP.run(CONNECTIONS.close())


@atexit.register
def _at_exit() -> None:
    with suppress(Exception, KeyboardInterrupt):  # whatever the interpreter has taken down already
        close_connections()
