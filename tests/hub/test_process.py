"""A Hub in another process."""

from __future__ import annotations

import os
from functools import partial

import httpx2
import pytest

from tests.hub import Fault, LoopbackHub, hub_process


def fill(hub: LoopbackHub, names: tuple[str, ...]) -> None:
    files = {"config.json": b"{}"}
    for name in names:
        hub.add_repo(name, files)


def fail(hub: LoopbackHub) -> None:
    raise ValueError("no repositories today")


def pid(hub: LoopbackHub) -> int:
    return os.getpid()


def break_next(hub: LoopbackHub, kind: str) -> None:
    hub.faults.append(Fault(kind))


def test_it_is_filled_asked_and_counted_from_here() -> None:
    with hub_process(partial(fill, names=("org/a", "org/b"))) as hub:
        assert hub.call(pid) != os.getpid()
        hub.set(latency_seconds=0.01, search_page_size=1)
        hub.call(break_next, "status:503")
        with httpx2.Client(base_url=hub.endpoint) as client:
            assert [client.get("/api/models/org/a").status_code for _ in range(2)] == [503, 200]
            body = client.get("/api/models").content
        traffic = hub.traffic("hub")
        assert (traffic.requests, traffic.connections, dict(traffic.faults)) == (3, 1, {"status:503": 1})
        assert hub.requests[-1].body_bytes_sent == len(body)
        assert traffic.bytes_sent > len(body) and traffic.cpu_seconds > 0
        hub.clear_requests()
        assert hub.traffic().requests == 0
        with pytest.raises(AttributeError, match="patience"):
            hub.set(patience=1)


def test_a_mistake_in_the_setup_is_told() -> None:
    with pytest.raises(ValueError, match="no repositories today"), hub_process(fail):
        pass
