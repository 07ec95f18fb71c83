"""A connection to an origin: TLS first where the origin has it, then the protocol that the client wants."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Protocol

from .messages import Reply, Request
from .traffic import Exchange

_NO_LINGER = struct.pack("ii", 1, 0)


class Channel(Protocol):
    """What one answer is written to: an HTTP/1.1 connection, or a stream of an HTTP/2 one."""

    def head(self, reply: Reply, size: int | None, *, bodiless: bool) -> None:
        """Queues the head, to leave together with what comes next."""

    async def drip(self) -> None:
        """Sends what is queued byte by byte."""

    async def write(self, chunk: memoryview, exchange: Exchange) -> None:
        """Counts before it sends: whoever has read an answer must find it counted."""

    def end(self) -> None: ...

    def break_off(self) -> None: ...

    def reset(self) -> None: ...


Respond = Callable[[Request, Channel], "asyncio.Task[None]"]


class Connection(asyncio.Protocol):
    """What the two versions of HTTP have in common: a transport that may be full, and the end of it."""

    version: str
    transport: asyncio.Transport

    def __init__(self, respond: Respond, lost: Callable[[], None]) -> None:
        self._respond = respond
        self._lost = lost
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self.cancel()
        self._lost()

    def cancel(self) -> None:
        """Ends the answers under way."""
        raise NotImplementedError

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def drained(self) -> None:
        if self.transport.is_closing():
            # The client has left: `connection_lost` is about to cancel this answer.
            await asyncio.get_running_loop().create_future()
        if not self._writable.is_set():
            await self._writable.wait()


class Accepted(asyncio.Protocol):
    """A new connection, until it is known what it speaks."""

    def __init__(self, respond: Respond, connections: set[asyncio.Transport], tls: ssl.SSLContext | None) -> None:
        self._respond = respond
        self._connections = connections
        self._tls = tls
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(transport)
        if self._tls is None:
            self._speak(transport, "http/1.1")
        else:
            self._task = asyncio.get_running_loop().create_task(self._handshake(self._tls))

    def data_received(self, data: bytes) -> None:
        self._early += data

    def connection_lost(self, error: Exception | None) -> None:
        self._left()

    def _left(self) -> None:
        self._connections.discard(self._transport)

    async def _handshake(self, tls: ssl.SSLContext) -> None:
        try:
            secured = await asyncio.get_running_loop().start_tls(self._transport, self, tls, server_side=True)
        except OSError:  # such as a client that does not trust the certificate
            secured = None
        if secured is None or secured.is_closing():
            self._transport.abort()
            self._left()
        else:
            chosen = secured.get_extra_info("ssl_object").selected_alpn_protocol()
            self._speak(secured, chosen)

    def _speak(self, transport: asyncio.Transport, protocol: str | None) -> None:
        connection: Connection
        if protocol == "h2":
            from .http2 import Http2

            connection = Http2(self._respond, self._left)
        else:
            from .http1 import Http1

            connection = Http1(self._respond, self._left)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._early:
            connection.data_received(self._early)


def reset(transport: asyncio.Transport) -> None:
    """Closes it so that the other side sees a reset, not the end of the stream."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()
