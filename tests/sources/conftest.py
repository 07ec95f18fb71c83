"""Servers that are not quite a Hub, and retries that do not make a test wait."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import hubvram.sources.http
from hubvram.sources.cache import cache_folder
from hubvram.sources.connections import close_connections
from tests.hub import LoopbackHub
from tests.hub.messages import Reply, Request
from tests.hub.origin import OriginServer
from tests.hub.traffic import FaultQueue, RecordedRequest, TrafficLog

Answer = Callable[[Request], Reply]


def forget() -> None:
    """Empty the cache, so that everything is read anew."""
    shutil.rmtree(cache_folder(), ignore_errors=True)


class Server:
    """Any HTTP server: what it answers is a function of the request."""

    def __init__(self, answer: Answer) -> None:
        self._log = TrafficLog()
        self._origin = OriginServer("hub", answer, FaultQueue(), lambda: 0.0, self._log)
        self.url = self._origin.url

    def __enter__(self) -> Server:
        self._origin.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._origin.stop()

    @property
    def requests(self) -> list[RecordedRequest]:
        return self._log.records()


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Server]]:
    """Start a server and make it the Hub."""
    from huggingface_hub import constants

    with ExitStack() as stack:

        def start(answer: Answer) -> Server:
            server = stack.enter_context(Server(answer))
            monkeypatch.setattr(constants, "ENDPOINT", server.url)
            return server

        yield start
        close_connections()


@pytest.fixture
def downloads(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let huggingface_hub itself download from the loopback Hub: it keeps its endpoint in a template too."""
    from huggingface_hub import constants

    template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubvram.sources.http, "_RETRY_WAITS_SECONDS", (0.01, 0.01, 0.01))
