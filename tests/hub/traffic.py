"""What went over the wire, and what is to go wrong there."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from urllib.parse import unquote

from .fault_kinds import CHANGES, INSTEAD, KIND, SENDINGS, SOUND, Sending
from .messages import Origin, Reply, Request


@dataclass(frozen=True, slots=True)
class Fault:
    """Something to go wrong with the next `times` requests that it matches.

    Instead of the answer:
    - "status:503" (any status): that status; 429 says to wait 1 s;
    - "redirect:URL": 302 to there, where "{target}" stands for the path and query of the request: "redirect:{target}"
      is a loop, "redirect:http://127.0.0.1:1{target}" the same path elsewhere;
    - "garbage": 200 with a page of HTML, as a captive portal answers;
    - "bomb": 1 MB of gzip that is 1 GiB of spaces.

    The answer, changed:
    - "gzip": compressed, whatever the client accepts (of a huge body the first 16 MiB);
    - "content-range": 206 with a Content-Range one byte further on than the bytes sent.

    The answer, sent badly (over HTTP/2 a reset is one of the stream, and so is the end of a truncated one):
    - "reset": the connection is reset, unanswered;
    - "truncate": the whole length is promised, half of it sent, the connection closed;
    - "stall": no answer, the connection stays open; "stall-body": the same after half the body;
    - "drip-head": the head byte by byte, one each 0.05 s (over HTTP/2 all other streams wait meanwhile);
    - "drip": a whole head, then the body byte by byte;
    - "missing-length": no Content-Length (over HTTP/1.1 chunked).
    """

    kind: str
    times: int = 1
    path_contains: str = ""
    """Looked for in the decoded path; on the CDN in the whole URL, which has the file's name."""
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if not KIND.fullmatch(self.kind):
            raise ValueError(f"no such fault: {self.kind!r}")

    def matches(self, origin: Origin, request: Request) -> bool:
        # Only on the CDN: the query of a Hub URL may hold the URL that it was redirected from.
        where = request.target if origin == "cdn" else request.path
        return self.origin in (None, origin) and self.path_contains in unquote(where)

    def reply(self, origin: Origin, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """What is sent where `answer` would have been."""
        name, _, argument = self.kind.partition(":")
        if name in INSTEAD:
            return INSTEAD[name](argument, origin, request)
        reply = answer(request)
        return CHANGES[name](reply) if name in CHANGES else reply

    @property
    def sending(self) -> Sending:
        return SENDINGS.get(self.kind, SOUND)


class FaultQueue(list[Fault]):
    """The faults still to come; append to it, clear it."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._random: Callable[[Origin, Request], Fault | None] = lambda origin, request: None

    def rate(self, fraction: float, kinds: Sequence[str], seed: int = 0) -> None:
        """One of `kinds` for this share of all requests, besides the faults in the queue; 0.0 switches it off.

        Which requests is decided by `seed` and by what is asked for and how often it was asked before, so that
        it does not depend on the order of concurrent requests, and an attempt again meets another fate.
        """
        faults = [Fault(kind) for kind in kinds]
        asked: Counter[tuple[Origin, str, str]] = Counter()

        def drawn(origin: Origin, request: Request) -> Fault | None:
            what = (origin, request.method, request.path)
            asked[what] += 1
            digest = blake2b(f"{seed} {what} {asked[what]}".encode(), digest_size=16).digest()
            chance, choice = (int.from_bytes(part, "big") for part in (digest[:8], digest[8:]))
            return faults[choice % len(faults)] if chance < fraction * 2**64 else None

        with self._lock:
            self._random = drawn

    def take(self, origin: Origin, request: Request) -> Fault | None:
        with self._lock:
            for place, fault in enumerate(self):
                if fault.matches(origin, request):
                    self[place : place + 1] = [replace(fault, times=fault.times - 1)] * (fault.times > 1)
                    return fault
            return self._random(origin, request)


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
    http_version: str
    """HTTP/1.1 or HTTP/2."""
    fault: str
    """The kind of the fault that it met; empty for none."""


class Exchange:
    """The record of a request while it is being answered."""

    __slots__ = ("body_bytes_sent", "fault", "origin", "request", "status")

    def __init__(self, origin: Origin, request: Request) -> None:
        self.origin = origin
        self.request = request
        self.status = 0
        self.body_bytes_sent = 0
        self.fault = ""

    def record(self) -> RecordedRequest:
        request = self.request
        return RecordedRequest(
            self.origin,
            request.method,
            request.path,
            request.query,
            request.headers,
            self.status,
            self.body_bytes_sent,
            request.http_version,
            self.fault,
        )


class TrafficLog:
    """Requests in order of arrival, listed from the moment that they arrive; connections by origin."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []
        self._connections: Counter[Origin] = Counter()

    def connected(self, origin: Origin) -> None:
        with self._lock:
            self._connections[origin] += 1

    def open(self, origin: Origin, request: Request) -> Exchange:
        exchange = Exchange(origin, request)
        with self._lock:
            self._exchanges.append(exchange)
        return exchange

    def records(self) -> list[RecordedRequest]:
        with self._lock:
            exchanges = list(self._exchanges)
        return [exchange.record() for exchange in exchanges]

    def connections(self, origin: Origin | None) -> int:
        with self._lock:
            return self._connections[origin] if origin else self._connections.total()

    def clear(self) -> None:
        with self._lock:
            self._exchanges.clear()
            self._connections.clear()
