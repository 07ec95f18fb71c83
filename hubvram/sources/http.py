"""HTTP towards the Hub: capped reads, redirects by hand, retries, a deadline; errors told apart by the Hub's codes."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar
from urllib.parse import urljoin, urlsplit

from hubvram._version import __version__
from hubvram.errors import (
    AccessError,
    BadTokenError,
    DeadlineError,
    DisabledRepoError,
    FileMissingError,
    GatedRepoError,
    HubBusyError,
    HubResponseError,
    ModelUnreadableError,
    NetworkError,
    OfflineError,
    RepoNotFoundError,
    RevisionNotFoundError,
    RouteMissingError,
    UsageError,
)
from hubvram.sources.connections import CONNECTIONS, origin_of
from hubvram.sources.network import Network
from hubvram.sources.quota import QUOTA
from hubvram.sources.settings import endpoint, host_of, is_offline, shown_endpoint

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0
_RETRY_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
_RETRY_WAITS_SECONDS: Final = (0.5, 1.0, 2.0)
"""Each is made longer or shorter by up to half, so that many requests do not come back together."""

_LONGEST_DIGITS: Final = 6
_REDIRECTS: Final = 5
_WORDS_BYTES: Final = 64 * 2**10

_answered: Final[set[str]] = set()
"""Origins that have answered this process: where one of them cannot be reached, that will pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is about: what an error has to name."""

    model_id: str
    requested_revision: str | None
    file: str | None = None


class Deadline:
    """The end of the time for one model; waits for the quota do not count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds
        self._excused_until = 0.0

    def remaining_seconds(self) -> float:
        """What is left; never less than 0."""
        return max(0.0, self._ends - time.monotonic())

    def excuse(self, since: float) -> None:
        """Do not count the time from then until now; requests that waited at the same time count once."""
        now = time.monotonic()
        self._ends += now - max(since, self._excused_until)
        self._excused_until = now


class HubClient:
    """Requests about one model, to one Hub endpoint. The token goes to that origin alone."""

    def __init__(self, network: Network = Network()) -> None:  # noqa: B008  # immutable
        self.endpoint = endpoint()
        self.network = network
        self.deadline = Deadline(network.timeout_seconds)
        self._is_offline = network.offline or is_offline()
        # gzip alone: what other encodings make of a few bytes has no bound.
        self._headers = {"user-agent": f"hubvram/{__version__}", "accept-encoding": "gzip"}
        token = _read_token()
        self.has_token = token is not None
        self._authorization = {} if token is None else {"authorization": f"Bearer {token}"}

    async def get(self, url: str, target: Target, limit_bytes: int) -> bytes:
        """A whole small body. Raises HubResponseError above the limit, and as `stream` does."""

        async def read(response: httpx2.Response) -> bytes:
            return await capped(response, limit_bytes, target.model_id, urlsplit(url).path)

        return await self.stream(url, target, read)

    async def stream(
        self,
        url: str,
        target: Target,
        read: Callable[[httpx2.Response], Awaitable[T]],
        headers: dict[str, str] | None = None,
    ) -> T:
        """Open `url`, give the answer to `read`, close it, whether or not all of it was read.

        What may pass (429, 5xx, timeouts, resets, short bodies) is tried again; a host that was never reached
        is not, so that another source can answer soon.
        """
        if self._is_offline:
            raise OfflineError(target.model_id, target.requested_revision)
        if not host_of(url):
            raise HubResponseError(target.model_id, f"{shown_endpoint()} is no address of a Hub")
        waits = iter(_RETRY_WAITS_SECONDS)
        patience = _Patience(self.network.quota_wait_seconds)
        while True:
            await self._quota(url, target, patience)
            try:
                async with asyncio.timeout(self.deadline.remaining_seconds()):
                    return await self._attempt(url, target, read, headers or {})
            except TimeoutError:
                raise DeadlineError(target.model_id, self.deadline.seconds) from None
            except _Transient as failure:
                if QUOTA.wait_seconds(url) and patience.times > 0:
                    continue  # That the quota is used up is no fault
                pause_seconds = next(waits, None)
                if pause_seconds is None or failure.after_seconds > self.network.quota_wait_seconds:
                    raise failure.final from None
                asked_to_wait = failure.after_seconds
            since = time.monotonic()
            await asyncio.sleep(max(asked_to_wait, pause_seconds * random.uniform(0.5, 1.5)))
            if asked_to_wait:
                self.deadline.excuse(since)

    async def _attempt(
        self, url: str, target: Target, read: Callable[[httpx2.Response], Awaitable[T]], headers: dict[str, str]
    ) -> T:
        async with self._following(url, target, headers) as response:
            if response.status_code >= 400:
                await _drain(response)
                self._raise_for_status(response, target)
            return await read(response)

    async def _quota(self, url: str, target: Target, patience: _Patience) -> None:
        """Wait until the Hub takes requests again, if it does not now."""
        wait_seconds = QUOTA.wait_seconds(url)
        if not wait_seconds:
            return
        if wait_seconds > patience.seconds:
            raise HubBusyError(target.model_id, 429, math.ceil(wait_seconds))
        since = time.monotonic()
        if self.network.on_wait is not None:
            self.network.on_wait(wait_seconds)
        await QUOTA.renewed(url, wait_seconds)
        self.deadline.excuse(since)
        patience.seconds -= time.monotonic() - since
        patience.times -= 1

    @asynccontextmanager
    async def _following(self, url: str, target: Target, headers: dict[str, str]) -> AsyncIterator[httpx2.Response]:
        """The answer behind the redirects. The token goes to the endpoint's own origin only."""
        asked = url
        for _ in range(_REDIRECTS + 1):
            is_ours = origin_of(url) == origin_of(self.endpoint)
            token = self._authorization if is_ours else {}
            async with self._open(url, target, {**self._headers, **headers, **token}) as response:
                _answered.add(origin_of(url))
                if is_ours:
                    QUOTA.note(url, response.headers)
                if not response.has_redirect_location:
                    yield response
                    return
                location = response.headers["location"]
                await _drain(response)
            url = _joined(url, location, target)
        raise HubResponseError(target.model_id, f"{host_of(asked)} redirects {_REDIRECTS} times and more")

    @asynccontextmanager
    async def _open(self, url: str, target: Target, headers: dict[str, str]) -> AsyncIterator[httpx2.Response]:
        import httpx2

        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS, pool=None)
        try:
            client = await CONNECTIONS.client(url)
            async with client.stream("GET", url, headers=headers, timeout=timeout) as response:
                try:
                    yield response
                finally:
                    if not response.is_closed and response.http_version == "HTTP/2":
                        await CONNECTIONS.drop(url)  # The server would go on sending: nothing tells it to stop.
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            final = NetworkError(target.model_id, host_of(url), str(error) or "no connection")
            raise _Transient(final) if origin_of(url) in _answered else final from None
        except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            detail = "no answer in time" if isinstance(error, httpx2.TimeoutException) else "the connection broke"
            raise _Transient(NetworkError(target.model_id, host_of(url), detail)) from None
        except (UnicodeEncodeError, httpx2.LocalProtocolError):  # whose text quotes the header
            raise BadTokenError(target.model_id, "your token is not plain text") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise HubResponseError(target.model_id, f"{host_of(url)}: {error}") from None

    def _raise_for_status(self, response: httpx2.Response, target: Target) -> NoReturn:
        status = response.status_code
        code = response.headers.get("x-error-code", "")
        message = response.headers.get("x-error-message", "")
        if make := _BY_CODE.get(code) or _by_message(message):
            raise make(target, self.has_token)
        if status in _RETRY_STATUSES:
            after = response.headers.get("retry-after", "")
            after_seconds = int(after) if after.isdecimal() and len(after) < _LONGEST_DIGITS else 0
            raise _Transient(HubBusyError(target.model_id, status, after_seconds or None), after_seconds)
        refused = AccessError(target.model_id, message, token_sent=self.has_token)
        if status in (401, 403):
            if origin_of(str(response.url)) != origin_of(self.endpoint):
                raise _Transient(refused)  # A signed address that is over; the next attempt gets another.
            raise refused
        if status == 404:  # a mirror without the Hub's codes
            raise _file_or_repo_missing(target, self.has_token)
        raise RouteMissingError(target.model_id, f"the Hub answered {status} {message}".rstrip())


@dataclass(slots=True)
class _Patience:
    """What is left of a request's: others may take what was renewed, but not for ever."""

    seconds: float
    times: int = 20


class _Transient(Exception):
    """A failure that another attempt may not meet; `final` is what it is when none is left.

    `after_seconds`: how long the server asks to wait before the next one.
    """

    def __init__(self, final: ModelUnreadableError, after_seconds: int = 0) -> None:
        super().__init__(str(final))
        self.final = final
        self.after_seconds = after_seconds


async def capped(response: httpx2.Response, limit_bytes: int, model_id: str, what: str) -> bytes:
    """A whole body, decompressed. Raises HubResponseError above the limit, which names `what` it is."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > limit_bytes:
            raise HubResponseError(model_id, f"{what} is larger than {limit_bytes:,} bytes")
    return bytes(body)


async def _drain(response: httpx2.Response) -> None:
    """Read the few words of a redirect or a refusal: the connection is then good for the next request."""
    read_bytes = 0
    async for chunk in response.aiter_raw():
        read_bytes += len(chunk)
        if read_bytes > _WORDS_BYTES:
            return


def _joined(url: str, location: str, target: Target) -> str:
    """Where a redirect leads: to an address as safe as the one that it comes from, or not at all."""
    try:
        joined = urljoin(url, location)
        scheme, host = urlsplit(joined).scheme, host_of(joined)
    except ValueError:
        joined, scheme, host = "", "", ""
    if not host or scheme not in ("https", urlsplit(url).scheme):
        where = f"{scheme}://{host}" if scheme else "no address"
        raise HubResponseError(target.model_id, f"{host_of(url)} redirects to {where}, where hubvram does not follow")
    return joined


def _read_token() -> str | None:
    """The user's token. A home without one, or that is no folder, is no error; a token that is no text is."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN:
        return None
    try:
        return get_token()
    except UnicodeDecodeError:
        raise UsageError(f"the token in {constants.HF_TOKEN_PATH} is not plain text", "try: hf auth login") from None
    except OSError:
        return None


def _file_or_repo_missing(target: Target, token_sent: bool) -> ModelUnreadableError:
    if target.file is not None:
        return FileMissingError(target.model_id, target.file)
    return RepoNotFoundError(target.model_id, token_sent=token_sent)


_Make = Callable[[Target, bool], ModelUnreadableError]

_BY_CODE: Final[dict[str, _Make]] = {
    "RepoNotFound": lambda target, token: RepoNotFoundError(target.model_id, token_sent=token),
    "GatedRepo": lambda target, token: GatedRepoError(target.model_id, token_sent=token),
    "RevisionNotFound": lambda target, token: RevisionNotFoundError(
        target.model_id, target.requested_revision or "main"
    ),
    "EntryNotFound": _file_or_repo_missing,
}
"""X-Error-Code -> error. The code decides before the status does: 401 alone means four different things."""

_BY_MESSAGE: Final[tuple[tuple[str, _Make], ...]] = (
    # An anonymous request for a missing or private repo carries no code; these words are all there is.
    (
        "Invalid username or password",
        lambda target, token: RepoNotFoundError(target.model_id, token_sent=token),
    ),
    ("Invalid credentials", lambda target, token: BadTokenError(target.model_id, token_sent=token)),
    ("Access to this resource is disabled", lambda target, token: DisabledRepoError(target.model_id)),
)


def _by_message(message: str) -> _Make | None:
    return next((make for start, make in _BY_MESSAGE if message.startswith(start)), None)
