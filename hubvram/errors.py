"""Everything that can go wrong, as types that carry data; the command line turns them into sentences.

HubvramError
├── UsageError                   a value that cannot be used (exit 2)
│   └── UnsupportedOptionError   a value that this model cannot run with
├── OutputError                  the answer could not be written
└── ModelUnreadableError         the model could not be read (exit 3)
    ├── RepoNotFoundError        no such repo, or a private one
    ├── RevisionNotFoundError
    ├── AccessError              the Hub knows us and says no
    │   ├── GatedRepoError
    │   ├── BadTokenError
    │   └── DisabledRepoError
    ├── UnreachableError         no answer for now: another source may know the model
    │   ├── NetworkError
    │   ├── HubBusyError         the Hub answers that it cannot (429, 5xx)
    │   ├── DeadlineError        the time for one model is over
    │   └── OfflineError
    ├── HubResponseError         an answer that is not the Hub's protocol
    │   └── RouteMissingError    a server without some of the Hub's addresses
    ├── FileMissingError         a file the source does not have
    ├── FileUnreadableError      a local file that cannot be opened
    ├── NoCheckpointError        there is no safetensors model in it
    ├── HeadersNeededError       without headers nothing can be said
    ├── UnexpectedError          a mistake of hubvram's own, met in an audit
    └── MalformedFileError       a file that breaks its own format
        ├── CheckpointError
        └── ConfigError
"""

from __future__ import annotations

from collections.abc import Sequence


class HubvramError(Exception):
    """The root: whoever catches this catches everything hubvram raises on purpose."""


class UsageError(HubvramError):
    """A value that hubvram cannot use; `hint` names what would be accepted."""

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class UnsupportedOptionError(UsageError):
    """A value that is fine by itself, but that this model's code does not support."""


class OutputError(HubvramError):
    """The answer could not be written; `reason` is the system's own."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ModelUnreadableError(HubvramError):
    """The model could not be read; `model_id` is what the user asked for."""

    def __init__(self, model_id: str, detail: str = "") -> None:
        super().__init__(f"{model_id}: {detail}" if detail else model_id)
        self.model_id = model_id
        self.detail = detail


class RepoNotFoundError(ModelUnreadableError):
    """The Hub has no such repo, or does not show it to us (a private one looks the same)."""

    def __init__(self, model_id: str, *, token_sent: bool) -> None:
        super().__init__(model_id, "not found")
        self.token_sent = token_sent


class RevisionNotFoundError(ModelUnreadableError):
    """The repo exists, the branch, tag or commit does not."""

    def __init__(self, model_id: str, revision: str) -> None:
        super().__init__(model_id, f"no revision {revision!r}")
        self.revision = revision


class AccessError(ModelUnreadableError):
    """The Hub understood the request and refuses it."""

    def __init__(self, model_id: str, detail: str = "", *, token_sent: bool = False) -> None:
        super().__init__(model_id, detail)
        self.token_sent = token_sent


class GatedRepoError(AccessError):
    """The files are behind an access request; the listing is public."""


class BadTokenError(AccessError):
    """The Hub refused the token itself."""


class DisabledRepoError(AccessError):
    """The Hub disabled the repo."""


class UnreachableError(ModelUnreadableError):
    """No answer for now: another source may still know the model."""


class NetworkError(UnreachableError):
    """The connection failed or kept failing; `origin` is the host that was asked."""

    def __init__(self, model_id: str, origin: str, detail: str) -> None:
        super().__init__(model_id, detail)
        self.origin = origin


class HubBusyError(UnreachableError):
    """The Hub keeps answering that it cannot: too many requests, or a fault of its own.

    `retry_seconds` says when its quota is renewed, where it says so.
    """

    def __init__(self, model_id: str, status: int, retry_seconds: int | None = None) -> None:
        super().__init__(model_id, f"the Hub answers {status}")
        self.status = status
        self.retry_seconds = retry_seconds


class DeadlineError(UnreachableError):
    """The answer was not complete when the time for one model was over."""

    def __init__(self, model_id: str, timeout_seconds: float) -> None:
        super().__init__(model_id, f"no complete answer within {timeout_seconds:g} s")
        self.timeout_seconds = timeout_seconds


class OfflineError(UnreachableError):
    """Offline mode is on, and no copy of the model is on this machine."""

    def __init__(self, model_id: str, revision: str | None = None) -> None:
        super().__init__(model_id, "offline mode is on")
        self.revision = revision


class HubResponseError(ModelUnreadableError):
    """The server answered, but not as the Hub does (a proxy's page, a wrong range, a 4xx of no known kind)."""


class RouteMissingError(HubResponseError):
    """The server does not know the address: a mirror may lack some of the Hub's."""


class FileMissingError(ModelUnreadableError):
    """The source has no such file."""

    def __init__(self, model_id: str, file: str) -> None:
        super().__init__(model_id, f"no file {file}")
        self.file = file


class FileUnreadableError(ModelUnreadableError):
    """A local file that is there and cannot be read."""

    def __init__(self, model_id: str, file: str, reason: str) -> None:
        super().__init__(model_id, f"{file}: {reason}")
        self.file = file
        self.reason = reason


class NoCheckpointError(ModelUnreadableError):
    """No safetensors model among the files; `found` names what is there instead, `kind` says what that is.

    `holds_model`: whether it is a whole model all the same, in a format whose headers are not read. `left_out`: what
    config.json does not say, so that it is not enough by itself.
    """

    def __init__(
        self,
        model_id: str,
        *,
        kind: str,
        found: Sequence[str],
        holds_model: bool = False,
        left_out: Sequence[str] = (),
    ) -> None:
        super().__init__(model_id, kind)
        self.left_out = tuple(left_out)
        self.kind = kind
        self.found = tuple(found)
        self.holds_model = holds_model


class HeadersNeededError(ModelUnreadableError):
    """Headers were not to be read, and neither config.json nor the Hub's totals say what is in the files."""


class SystemLimitError(ModelUnreadableError):
    """The system has no more of what it takes (open files, threads, memory); the detail is its own word."""


class UnexpectedError(ModelUnreadableError):
    """An exception that hubvram did not foresee: its type and place, not its text, which may quote anything."""

    def __init__(self, model_id: str, kind: str, place: str) -> None:
        super().__init__(model_id, f"{kind} at {place}")
        self.kind = kind
        self.place = place


class MalformedFileError(ModelUnreadableError):
    """A file that breaks its own format; `reason` says where and how."""

    def __init__(self, model_id: str, file: str, reason: str) -> None:
        super().__init__(model_id, f"{file}: {reason}")
        self.file = file
        self.reason = reason


class CheckpointError(MalformedFileError):
    """A safetensors header (or its index) that the format's own reader would refuse."""


class ConfigError(MalformedFileError):
    """A config.json that is not JSON, or holds a value of the wrong type or size."""
