"""HTTP towards the Hub: one shared client, capped reads, a few retries, and errors told apart by the Hub's codes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from hubvram._version import __version__
from hubvram.errors import (
    AccessError,
    BadTokenError,
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
    UsageError,
)
from hubvram.sources.settings import host_of, shown_endpoint

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 15.0
_RETRY_STATUSES: Final = frozenset({429, 500, 502, 503, 504})
_RETRY_WAITS_SECONDS: Final = (0.5, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is about: what an error has to name."""

    model_id: str
    requested_revision: str | None
    file: str | None = None


class HubClient:
    """Requests to one Hub endpoint. The token goes to that origin alone: a redirect elsewhere loses it."""

    def __init__(self) -> None:
        from huggingface_hub import constants
        from huggingface_hub.utils import get_session

        self.endpoint: str = constants.ENDPOINT
        self._session: httpx2.Client = get_session()
        self._headers = {"user-agent": f"hubvram/{__version__}"}
        token = _read_token()
        self.has_token = token is not None
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def get(self, url: str, target: Target, limit_bytes: int) -> bytes:
        """A whole small body. Raises HubResponseError above the limit, and as `stream` does."""

        def read(response: httpx2.Response) -> bytes:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > limit_bytes:
                    raise HubResponseError(
                        target.model_id, f"{urlsplit(url).path} is larger than {limit_bytes:,} bytes"
                    )
            return bytes(body)

        return self.stream(url, target, read)

    def get_json(self, url: str, target: Target, limit_bytes: int) -> dict[str, Any]:
        """A JSON object. Raises HubResponseError where the answer is something else."""
        try:
            answer = json.loads(self.get(url, target, limit_bytes))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise self.not_a_hub(target.model_id)
        return answer

    def not_a_hub(self, model_id: str) -> HubResponseError:
        """The error for an answer that makes no sense from a Hub."""
        return HubResponseError(model_id, f"{shown_endpoint()} did not answer like a Hugging Face Hub")

    def stream(
        self,
        url: str,
        target: Target,
        read: Callable[[httpx2.Response], T],
        headers: dict[str, str] | None = None,
    ) -> T:
        """Open `url`, give the answer to `read`, close it, whether or not all of it was read.

        What may pass (429, 5xx, timeouts, resets, short bodies) is tried again; a host that cannot be reached
        at all is not, so that another source can answer soon.
        """
        for wait in (*_RETRY_WAITS_SECONDS, None):
            try:
                with self._open(url, target, headers or {}) as response:
                    if response.status_code not in _RETRY_STATUSES or wait is None:
                        self._raise_for_status(response, target)
                        return read(response)
            except _Transient as failure:
                if wait is None:
                    raise NetworkError(target.model_id, failure.origin, failure.detail) from None
            time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def _open(self, url: str, target: Target, headers: dict[str, str]) -> Iterator[httpx2.Response]:
        import httpx2
        from huggingface_hub.errors import OfflineModeIsEnabled

        timeout = httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        try:
            with self._session.stream(
                "GET", url, headers={**self._headers, **headers}, follow_redirects=True, timeout=timeout
            ) as response:
                yield response
        except OfflineModeIsEnabled:
            raise OfflineError(target.model_id, target.requested_revision) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise NetworkError(target.model_id, _asked(error, url), str(error) or "no connection") from None
        except (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            detail = "no answer in time" if isinstance(error, httpx2.TimeoutException) else "the connection broke"
            raise _Transient(_asked(error, url), detail) from None
        except (UnicodeEncodeError, httpx2.LocalProtocolError):  # whose text quotes the header
            raise BadTokenError(target.model_id, "your token is not plain text") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise HubResponseError(target.model_id, f"{host_of(url)}: {error}") from None

    def _raise_for_status(self, response: httpx2.Response, target: Target) -> None:
        if response.status_code < 400:
            return
        code = response.headers.get("x-error-code", "")
        message = response.headers.get("x-error-message", "")
        if make := _BY_CODE.get(code) or _by_message(message):
            raise make(target, self.has_token)
        if response.status_code in _RETRY_STATUSES:
            raise HubBusyError(target.model_id, response.status_code, _retry_seconds(response))
        if response.status_code in (401, 403):
            raise AccessError(target.model_id, message, token_sent=self.has_token)
        if response.status_code == 404:  # a mirror without the Hub's codes
            raise _file_or_repo_missing(target, self.has_token)
        raise HubResponseError(target.model_id, f"the Hub answered {response.status_code} {message}".rstrip())


class _Transient(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, origin: str, detail: str) -> None:
        super().__init__(detail)
        self.origin = origin
        self.detail = detail


def _asked(error: httpx2.RequestError, url: str) -> str:
    """The host that failed: after a redirect another one than that of `url`."""
    try:
        return host_of(str(error.request.url))
    except RuntimeError:  # httpx2 raised it before there was a request
        return host_of(url)


def _retry_seconds(response: httpx2.Response) -> int | None:
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(response.headers)
    return limit.reset_in_seconds if limit is not None else None


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
