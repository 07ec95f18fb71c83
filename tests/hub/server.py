"""A Hugging Face Hub on the loopback interface: the Hub origin and the CDN it redirects to."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from .api import HubApi
from .cdn import Cdn
from .messages import Reply, Request
from .origin import OriginServer
from .state import HubState
from .traffic import FaultQueue, Origin, RecordedRequest, TrafficLog


class LoopbackHub(HubState):
    """Serves its repositories inside `with LoopbackHub() as hub:`; they may change meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = FaultQueue()
        self._log = TrafficLog()
        self._cdn = Cdn(self)
        self._servers: tuple[OriginServer, ...] = ()

    def __enter__(self) -> Self:
        answers: dict[Origin, Callable[[Request], Reply]] = {
            "hub": HubApi(self, self._cdn).answer,
            "cdn": self._cdn.answer,
        }
        self._servers = tuple(
            OriginServer(origin, answer, self.faults, lambda: self.latency_seconds, self._log)
            for origin, answer in answers.items()
        )
        self.endpoint, self.cdn_endpoint = (server.url for server in self._servers)
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.stop()

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, on both origins, in order of arrival."""
        return self._log.records()

    def clear_requests(self) -> None:
        self._log.clear()

    def bytes_sent(self, origin: Origin | None = None) -> int:
        """Bytes of bodies, heads left out."""
        chosen = (origin,) if origin else ("hub", "cdn")
        return sum(record.body_bytes_sent for record in self.requests if record.origin in chosen)

    def expire_signed_urls(self) -> None:
        """Every CDN URL given out so far is answered 403 from now on."""
        self._cdn.expire_signatures()
