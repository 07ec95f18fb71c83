"""One HTTP origin on a loopback port: connections, delays, broken answers and quick shutdown."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import struct
import sys
import threading
import time
from collections.abc import Callable
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .content import Span
from .messages import Reply, Request
from .traffic import Exchange, Fault, FaultQueue, Origin, TrafficLog

_POLL_SECONDS = 0.02
_DRAIN_SECONDS = 0.2


class OriginServer(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        origin: Origin,
        answer: Callable[[Request], Reply],
        faults: FaultQueue,
        latency: Callable[[], float],
        log: TrafficLog,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.origin = origin
        self.answer = answer
        self.faults = faults
        self.latency = latency
        self.log = log
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._open: set[Any] = set()
        self._resets: set[Any] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, daemon=True)

    def server_bind(self) -> None:
        # The base class looks up the host's full name, which can take seconds without a network.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends answers under way, whatever they wait for."""
        self.closing.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, _DRAIN_SECONDS)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def reset(self, connection: Any) -> None:
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._resets.add(connection)

    def shutdown_request(self, request: Any) -> None:
        # An orderly shutdown first would make a reset look like the end of the stream.
        if request in self._resets:
            self._resets.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is business as usual; anything else is a mistake in here.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: OriginServer

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, query, headers)
        exchange = self.server.log.open(self.server.origin, request)
        self.server.closing.wait(self.server.latency())
        fault = self.server.faults.take(self.server.origin, request)
        kind = fault.kind if fault else ""
        _DELIVERIES.get(kind, _Handler._deliver)(self, request, exchange, fault)

    do_HEAD = do_GET

    def _reply(self, request: Request, fault: Fault | None) -> Reply:
        instead = fault.reply(self.server.origin) if fault else None
        return instead or self.server.answer(request)

    def _deliver(self, request: Request, exchange: Exchange, fault: Fault | None) -> None:
        reply = self._reply(request, fault)
        self._send(exchange, reply, reply.body)

    def _truncate(self, request: Request, exchange: Exchange, fault: Fault | None) -> None:
        reply = self._reply(request, fault)
        self._send(exchange, reply, reply.body.head(len(reply.body) // 2))
        self.close_connection = True

    def _reset(self, request: Request, exchange: Exchange, fault: Fault | None) -> None:
        self.server.reset(self.connection)
        self.close_connection = True

    def _stall(self, request: Request, exchange: Exchange, fault: Fault | None) -> None:
        self.close_connection = True
        while not self.server.closing.wait(_POLL_SECONDS) and not self._client_left():
            pass

    def _stall_body(self, request: Request, exchange: Exchange, fault: Fault | None) -> None:
        self._truncate(request, exchange, fault)
        self._stall(request, exchange, fault)

    def _client_left(self) -> bool:
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)

    def _send(self, exchange: Exchange, reply: Reply, body: Span) -> None:
        exchange.status = reply.status
        try:
            # One packet for the head of an answer and its first bytes: as servers do.
            pending = memoryview(self._head(reply))
            head_size = len(pending)
            if self.command != "HEAD":
                for chunk in body.chunks():
                    joined = memoryview(bytes(pending) + bytes(chunk)) if pending else chunk
                    self._push(exchange, joined, head_size)
                    pending, head_size = memoryview(b""), 0
            self._push(exchange, pending, head_size)
        except OSError:
            self.close_connection = True

    def _push(self, exchange: Exchange, data: memoryview, head_size: int) -> None:
        """Counts before it sends: whoever has read an answer must find it counted."""
        exchange.body_bytes_sent += len(data) - head_size
        sent = 0
        try:
            while sent < len(data):
                sent += self.connection.send(data[sent:])
        finally:
            exchange.body_bytes_sent -= len(data) - max(sent, head_size)

    def _head(self, reply: Reply) -> bytes:
        phrase = responses.get(reply.status, "Unknown")
        headers = {
            "Date": self.date_time_string(time.time()),
            "Content-Length": str(len(reply.body)),
            **reply.headers,
        }
        lines = (
            f"HTTP/1.1 {reply.status} {phrase}",
            *(f"{name}: {headers[name]}" for name in headers),
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def log_message(self, format: str, *args: Any) -> None:
        pass


_DELIVERIES: dict[str, Callable[[_Handler, Request, Exchange, Fault | None], None]] = {
    "truncate": _Handler._truncate,
    "reset": _Handler._reset,
    "stall": _Handler._stall,
    "stall-body": _Handler._stall_body,
}
