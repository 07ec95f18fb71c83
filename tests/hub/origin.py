"""One HTTP origin on a loopback port: delays, broken answers and quick shutdown, on an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator

from .connection import Accepted, Channel
from .content import Span
from .fault_kinds import DRIP_SECONDS, SOUND, Sending
from .messages import Origin, Reply, Request, text_reply
from .traffic import Exchange, FaultQueue, TrafficLog

_TURNS = 5
"""Of the loop: a connection that was accepted just now is known a few turns later."""
_BACKLOG = 512
GATHERING_SECONDS = 10
"""Well beyond the slowest machine, for a test that fails."""


class OriginServer:
    def __init__(
        self,
        origin: Origin,
        answer: Callable[[Request], Reply],
        faults: FaultQueue,
        latency: Callable[[], float],
        log: TrafficLog,
        tls: ssl.SSLContext | None = None,
        gathers: Callable[[], int] = lambda: 0,
    ) -> None:
        self._origin = origin
        self._answer = answer
        self._faults = faults
        self._latency = latency
        self._gathers = gathers
        self._waiting = 0
        self._gathered = asyncio.Event()
        self._log = log
        self._tls = tls
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._connections: set[asyncio.Transport] = set()
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Ends answers under way, whatever they wait for."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(self._accept, sock=self._socket, backlog=_BACKLOG)
        self._started.set()
        await self._closing.wait()
        # What was accepted just now is about to be attached to the server, which has to be open for that: closed first,
        # it would leave their sockets to the garbage collector.
        self._loop.remove_reader(self._socket)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        server.close()
        quiet_turns = 0
        while quiet_turns < _TURNS:
            for connection in self._connections:
                connection.abort()
            quiet_turns = 0 if self._connections else quiet_turns + 1
            await asyncio.sleep(0)

    def _accept(self) -> Accepted:
        self._log.connected(self._origin)
        return Accepted(self._respond, self._connections, self._tls)

    def _respond(self, request: Request, channel: Channel) -> asyncio.Task[None]:
        return self._loop.create_task(self._exchange(request, channel))

    async def _exchange(self, request: Request, channel: Channel) -> None:
        exchange = self._log.open(self._origin, request)
        if latency_seconds := self._latency():
            await asyncio.sleep(latency_seconds)
        if (count := self._gathers()) and "range" in request.headers:
            await self._gather(count)
        fault = self._faults.take(self._origin, request)
        sending = fault.sending if fault else SOUND
        exchange.fault = fault.kind if fault else ""
        try:
            if sending.answered:
                answer = self._answer if request.method in ("GET", "HEAD") else _not_implemented
                reply = fault.reply(self._origin, request, answer) if fault else answer(request)
                await _send(reply, sending, exchange, channel)
            await _ENDINGS[sending.ending](channel)
        except Exception:  # a mistake in here, or in a test's own answer
            traceback.print_exc()
            channel.reset()

    async def _gather(self, count: int) -> None:
        """Once `count` requests were here at one time, nothing waits any more."""
        self._waiting += 1
        if self._waiting >= count:
            self._gathered.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gathered.wait(), GATHERING_SECONDS)
        self._waiting -= 1


async def _send(reply: Reply, sending: Sending, exchange: Exchange, channel: Channel) -> None:
    exchange.status = reply.status
    size = len(reply.body)
    bodiless = exchange.request.method == "HEAD" or not size
    channel.head(reply, size if sending.sized else None, bodiless=bodiless)
    if sending.drips == "head":
        await channel.drip()
    if not bodiless:
        body = reply.body.head(size // 2) if sending.half else reply.body
        for chunk in _drops(body) if sending.drips == "body" else body.chunks():
            await channel.write(chunk, exchange)
            if sending.drips == "body":
                await asyncio.sleep(DRIP_SECONDS)


def _drops(body: Span) -> Iterator[memoryview]:
    return (chunk[place : place + 1] for chunk in body.chunks() for place in range(len(chunk)))


def _not_implemented(request: Request) -> Reply:
    return text_reply(f"{request.method} is not served here", 501)


async def _end(channel: Channel) -> None:
    channel.end()


async def _break_off(channel: Channel) -> None:
    channel.break_off()


async def _reset(channel: Channel) -> None:
    channel.reset()


async def _stall(channel: Channel) -> None:
    """Until the client leaves or the server stops."""
    await asyncio.get_running_loop().create_future()


_ENDINGS = {"end": _end, "break off": _break_off, "reset": _reset, "stall": _stall}
