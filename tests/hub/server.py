"""A Hugging Face Hub on the loopback interface: the Hub origin and the CDN it redirects to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from .api import HubApi
from .cdn import Cdn
from .messages import Origin, Reply, Request
from .origin import OriginServer
from .state import HubState
from .traffic import FaultQueue, RecordedRequest, TrafficLog


class LoopbackHub(HubState):
    """Serves its repositories inside `with LoopbackHub() as hub:`; they may change meanwhile.

    With `tls`, both origins are https, and speak HTTP/2 with clients that offer it.
    """

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self.ca_file: Path | None = None
        """With `tls`, what to trust: a value for `ssl.create_default_context(cafile=...)` or SSL_CERT_FILE."""
        self.faults = FaultQueue()
        self._tls = tls
        self._log = TrafficLog()
        self._cdn = Cdn(self)
        self._servers: tuple[OriginServer, ...] = ()
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        answers: dict[Origin, Callable[[Request], Reply]] = {
            "hub": HubApi(self, self._cdn).answer,
            "cdn": self._cdn.answer,
        }
        context = None
        if self._tls:
            from .tls import server_context, write_authority

            context = server_context()
            self._folder = TemporaryDirectory()
            self.ca_file = Path(self._folder.name) / "ca.pem"
            write_authority(self.ca_file)
        self._servers = tuple(
            OriginServer(
                origin, answer, self.faults, lambda: self.latency_seconds, self._log, context, lambda: self.gathers
            )
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
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, on both origins, in order of arrival."""
        return self._log.records()

    def connections(self, origin: Origin | None = None) -> int:
        """TCP connections opened so far, whether or not a request came on them."""
        return self._log.connections(origin)

    def clear_requests(self) -> None:
        """Forgets the requests, and starts counting connections again."""
        self._log.clear()

    def bytes_sent(self, origin: Origin | None = None) -> int:
        """Bytes of bodies, heads left out."""
        chosen = (origin,) if origin else ("hub", "cdn")
        return sum(record.body_bytes_sent for record in self.requests if record.origin in chosen)

    def expire_signed_urls(self) -> None:
        """Every CDN URL given out so far is answered 403 from now on."""
        self._cdn.expire_signatures()
