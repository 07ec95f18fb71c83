"""HTTP/2: any number of streams on a connection, each with a task of its own and a window for its data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from .connection import Connection, Respond
from .fault_kinds import DRIP_SECONDS
from .messages import Reply, Request
from .traffic import Exchange

_STREAMS = 128
_CONFIGURATION = H2Configuration(
    client_side=False,
    header_encoding="utf-8",
    # What is sent is made here, in lower case.
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class Http2(Connection):
    version = "HTTP/2"

    def __init__(self, respond: Respond, lost: Callable[[], None]) -> None:
        super().__init__(respond, lost)
        self.h2 = H2Connection(_CONFIGURATION)
        self.streams: dict[int, Stream] = {}
        self._held: bytearray | None = None
        """What has to wait for a dripping head: a frame cannot be interrupted."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.h2.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS})
        self.h2.initiate_connection()
        self.flush()

    def cancel(self) -> None:
        for stream in self.streams.values():
            stream.answering.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except ProtocolError:
            self.flush()
            self.transport.close()
            return
        for event in events:
            if handler := _HANDLERS.get(type(event)):
                handler(self, event)
        self.flush()

    def flush(self) -> None:
        data = self.h2.data_to_send()
        if self._held is not None:
            self._held += data
        elif data:
            self.transport.write(data)

    async def drip(self) -> None:
        """Sends what is queued byte by byte."""
        if self._held is not None:
            return
        queued, sent = self.h2.data_to_send(), 0
        self._held = bytearray()
        try:
            while sent < len(queued):
                self.transport.write(queued[sent : sent + 1])
                sent += 1
                await asyncio.sleep(DRIP_SECONDS)
        finally:
            held, self._held = self._held, None
            self.transport.write(queued[sent:] + held)

    def _asked(self, event: RequestReceived) -> None:
        headers: dict[str, str] = {str(name): str(value) for name, value in event.headers}
        path, _, query = headers.pop(":path").partition("?")
        method = headers.pop(":method")
        shown = {name: value for name, value in headers.items() if not name.startswith(":")}
        stream = Stream(self, event.stream_id)
        self.streams[event.stream_id] = stream
        stream.answering = self._respond(Request(method, path, query, shown, self.version), stream)

    def _abandoned(self, event: StreamReset) -> None:
        if stream := self.streams.pop(event.stream_id, None):
            stream.answering.cancel()

    def _room(self, event: WindowUpdated) -> None:
        if event.stream_id == 0:
            self._resized(event)
        elif stream := self.streams.get(event.stream_id):
            stream.room.set()

    def _resized(self, event: object) -> None:
        for stream in self.streams.values():
            stream.room.set()

    def _uploaded(self, event: DataReceived) -> None:
        self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)

    def _terminated(self, event: ConnectionTerminated) -> None:
        self.transport.close()


class Stream:
    """Where one answer goes."""

    answering: asyncio.Task[None]

    def __init__(self, connection: Http2, stream_id: int) -> None:
        self._connection = connection
        self._id = stream_id
        self._ended = False
        self.room = asyncio.Event()

    def head(self, reply: Reply, size: int | None, *, bodiless: bool) -> None:
        headers = [(":status", str(reply.status))]
        if size is not None:
            headers.append(("content-length", str(size)))
        headers += [(name.lower(), value) for name, value in reply.headers.items()]
        self._ended = bodiless
        self._connection.h2.send_headers(self._id, headers, end_stream=bodiless)

    async def drip(self) -> None:
        await self._connection.drip()

    async def write(self, chunk: memoryview, exchange: Exchange) -> None:
        h2 = self._connection.h2
        while chunk:
            size = min(len(chunk), h2.local_flow_control_window(self._id), h2.max_outbound_frame_size)
            if size > 0:
                exchange.body_bytes_sent += size
                h2.send_data(self._id, bytes(chunk[:size]))
                chunk = chunk[size:]
            else:
                self._connection.flush()
                self.room.clear()
                await self.room.wait()
        self._connection.flush()
        await self._connection.drained()

    def end(self) -> None:
        if not self._ended:
            self._connection.h2.end_stream(self._id)
        self._close()

    def break_off(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._connection.h2.reset_stream(self._id, ErrorCodes.INTERNAL_ERROR)
        self._close()

    def _close(self) -> None:
        self._connection.streams.pop(self._id, None)
        self._connection.flush()


_HANDLERS: dict[type, Callable[[Http2, Any], None]] = {
    RequestReceived: Http2._asked,
    StreamReset: Http2._abandoned,
    WindowUpdated: Http2._room,
    RemoteSettingsChanged: Http2._resized,
    DataReceived: Http2._uploaded,
    ConnectionTerminated: Http2._terminated,
}
