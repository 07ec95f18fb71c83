"""A loopback Hub in a process of its own, whose processor time and memory are not those of its client."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from .messages import Origin
from .server import LoopbackHub
from .traffic import RecordedRequest

P = ParamSpec("P")
T = TypeVar("T")

_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What has gone over the wire since the start, or since `clear_requests`."""

    requests: int
    connections: int
    bytes_sent: int
    faults: Mapping[str, int]
    """Kind -> how many requests met it."""
    cpu_seconds: float
    """Of the Hub's process, since its own start: subtract an earlier figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Addresses:
    endpoint: str
    cdn_endpoint: str
    ca_file: Path | None


class RemoteHub:
    """The Hub of another process."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        addresses: _Addresses = self._received()
        self.endpoint = addresses.endpoint
        self.cdn_endpoint = addresses.cdn_endpoint
        self.ca_file = addresses.ca_file

    def call(self, work: Callable[Concatenate[LoopbackHub, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a function of some module on the Hub over there; what it takes, returns and raises comes over a pipe."""
        with self._lock:
            self._pipe.send((work, args, kwargs))
            result: T = self._received()
        return result

    def set(self, **switches: Any) -> None:
        """Sets attributes of the Hub: set(latency_seconds=0.05, quotas={"api": (500, 300)})."""
        self.call(_set, switches)

    def traffic(self, origin: Origin | None = None) -> Traffic:
        return self.call(_traffic, origin)

    @property
    def requests(self) -> list[RecordedRequest]:
        return self.call(_requests)

    def clear_requests(self) -> None:
        self.call(LoopbackHub.clear_requests)

    def _received(self) -> Any:
        try:
            fine, value = self._pipe.recv()
        except EOFError:
            raise RuntimeError("the Hub's process has ended") from None
        if not fine:
            raise value
        return value


@contextmanager
def hub_process(setup: Callable[[LoopbackHub], object], *, tls: bool = False) -> Iterator[RemoteHub]:
    """Starts a Hub elsewhere and lets `setup` fill it there: a function of a module that can be imported."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, setup, tls), daemon=True)
    child.start()
    theirs.close()
    try:
        yield RemoteHub(ours)
    finally:
        ours.close()  # which ends the other side
        child.join(_STOP_SECONDS)
        child.kill()
        child.join()
        child.close()


def _serve(pipe: Connection, setup: Callable[[LoopbackHub], object], tls: bool) -> None:
    with LoopbackHub(tls=tls) as hub:
        addresses = _Addresses(endpoint=hub.endpoint, cdn_endpoint=hub.cdn_endpoint, ca_file=hub.ca_file)
        _send_result(pipe, lambda: (setup(hub), addresses)[1])
        while True:
            try:
                work, args, kwargs = pipe.recv()
            except (EOFError, KeyboardInterrupt):  # an interrupt is for the process that started this one
                return
            _send_result(pipe, lambda: work(hub, *args, **kwargs))  # noqa: B023


def _send_result(pipe: Connection, work: Callable[[], object]) -> None:
    try:
        result = (True, work())
    except Exception as error:
        result = (False, error)
    pipe.send(result)


def _set(hub: LoopbackHub, switches: Mapping[str, Any]) -> None:
    for name, value in switches.items():
        if not hasattr(hub, name):
            raise AttributeError(f"a Hub has no {name}")
        setattr(hub, name, value)


def _requests(hub: LoopbackHub) -> list[RecordedRequest]:
    return hub.requests


def _traffic(hub: LoopbackHub, origin: Origin | None) -> Traffic:
    records = [record for record in hub.requests if origin in (None, record.origin)]
    return Traffic(
        requests=len(records),
        connections=hub.connections(origin),
        bytes_sent=sum(record.body_bytes_sent for record in records),
        faults=Counter(record.fault for record in records if record.fault),
        cpu_seconds=time.process_time(),
    )
