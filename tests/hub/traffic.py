"""What went over the wire, and what is to go wrong there."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote

from .messages import Reply, Request, json_reply

Origin = Literal["hub", "cdn"]

_CLOSED_WINDOW = {
    "RateLimit": '"api";r=0;t=1',
    "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
}
_KINDS = ("reset", "truncate", "stall", "stall-body")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to go wrong with the next `times` requests that it matches.

    - "status:503" (any status): that status, instead of the answer; 429 says to wait 1 s;
    - "reset": the connection is reset, unanswered;
    - "truncate": the whole length is promised, half of it sent, the connection closed;
    - "stall": no answer, the connection stays open; "stall-body": the same after half the body.
    """

    kind: str
    times: int = 1
    path_contains: str = ""
    """Looked for in the decoded path; on the CDN in the whole URL, which has the file's name."""
    origin: Origin | None = None

    def __post_init__(self) -> None:
        name, _, status = self.kind.partition(":")
        if self.kind not in _KINDS and not (name == "status" and status.isdecimal()):
            raise ValueError(f"no such fault: {self.kind!r}")

    def matches(self, origin: Origin, request: Request) -> bool:
        # Only on the CDN: the query of a Hub URL may hold the URL that it was redirected from.
        where = request.target if origin == "cdn" else request.path
        return self.origin in (None, origin) and self.path_contains in unquote(where)

    def reply(self, origin: Origin) -> Reply | None:
        name, _, status = self.kind.partition(":")
        if name != "status":
            return None
        headers = _CLOSED_WINDOW if status == "429" and origin == "hub" else {}
        return json_reply({"error": f"Fault: {status}"}, int(status), headers)


class FaultQueue(list[Fault]):
    """The faults still to come; append to it, clear it."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def take(self, origin: Origin, request: Request) -> Fault | None:
        with self._lock:
            for place, fault in enumerate(self):
                if fault.matches(origin, request):
                    self[place : place + 1] = [replace(fault, times=fault.times - 1)] * (fault.times > 1)
                    return fault
        return None


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    origin: Origin
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    status: int
    """0 where no status was sent: the connection was reset or stalled."""
    body_bytes_sent: int


class Exchange:
    """The record of a request while it is being answered."""

    def __init__(self, origin: Origin, request: Request) -> None:
        self._origin = origin
        self._request = request
        self.status = 0
        self.body_bytes_sent = 0

    def record(self) -> RecordedRequest:
        request = self._request
        return RecordedRequest(
            self._origin,
            request.method,
            request.path,
            request.query,
            request.headers,
            self.status,
            self.body_bytes_sent,
        )


class TrafficLog:
    """Requests in order of arrival, listed from the moment that they arrive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []

    def open(self, origin: Origin, request: Request) -> Exchange:
        exchange = Exchange(origin, request)
        with self._lock:
            self._exchanges.append(exchange)
        return exchange

    def records(self) -> list[RecordedRequest]:
        with self._lock:
            exchanges = list(self._exchanges)
        return [exchange.record() for exchange in exchanges]

    def clear(self) -> None:
        with self._lock:
            self._exchanges.clear()
