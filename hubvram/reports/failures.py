"""Why a model has no answer: errors -> a kind that scripts rely on, one sentence, and the next thing to try."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hubvram import errors
from hubvram.reports import SCHEMA_VERSION

Words = Callable[[Any], tuple[str, str]]
"""(the error) -> (what is the matter, what to try)."""

_NAMED_FILES: Final = 3


def _repo_not_found(error: errors.RepoNotFoundError) -> tuple[str, str]:
    if error.token_sent:
        return (
            f"{error.model_id}: no such model on the Hub, or your token may not see it",
            "check the spelling",
        )
    return (
        f"{error.model_id}: no such model on the Hub, or it is private",
        "check the spelling; for a private model: hf auth login",
    )


def _revision_not_found(error: errors.RevisionNotFoundError) -> tuple[str, str]:
    return f"{error.model_id} has no revision {error.revision}", f"try: hubvram {error.model_id}"


def _gated(error: errors.GatedRepoError) -> tuple[str, str]:
    from hubvram.sources.settings import shown_endpoint

    page = f"{shown_endpoint()}/{error.model_id}"
    if error.token_sent:
        return f"{error.model_id} is gated and your token has no access to it", f"ask for access at {page}"
    return (
        f"{error.model_id} is gated and no token was given",
        f"ask for access at {page}, then: hf auth login",
    )


def _access(error: errors.AccessError) -> tuple[str, str]:
    return (
        f"{error.model_id}: the Hub refuses access ({error.detail or 'no reason given'})",
        "try: hf auth whoami",
    )


def _bad_token(error: errors.BadTokenError) -> tuple[str, str]:
    return (
        f"{error.model_id}: {error.detail or 'the Hub refuses your token'}",
        "try: hf auth login, or unset HF_TOKEN for public models",
    )


def _network(error: errors.NetworkError) -> tuple[str, str]:
    return (
        f"{error.model_id}: {error.origin} could not be reached ({error.detail})",
        "check the connection (and HF_ENDPOINT, HTTPS_PROXY), or give a local folder",
    )


def _busy(error: errors.HubBusyError) -> tuple[str, str]:
    if error.status == 429:
        wait = "a while" if error.retry_seconds is None else f"{error.retry_seconds} s"
        return (
            f"{error.model_id}: the Hub answers that these are too many requests for now (429)",
            f"wait {wait}, or log in for a larger quota: hf auth login",
        )
    return f"{error.model_id}: the Hub keeps answering {error.status}, a fault of its own", "try again in a while"


def _deadline(error: errors.DeadlineError) -> tuple[str, str]:
    return (
        f"{error.model_id}: no complete answer within {error.timeout_seconds:g} s",
        f"give it more time: --timeout {2 * error.timeout_seconds:g}",
    )


def _offline(error: errors.OfflineError) -> tuple[str, str]:
    at = f"@{error.revision}" if error.revision else ""
    return (
        f"{error.model_id}{at}: offline mode is on (--offline or HF_HUB_OFFLINE), and there is no copy of it on this "
        "machine",
        f"try: HF_HUB_OFFLINE=0 hubvram {error.model_id}{at}",
    )


def _file_missing(error: errors.FileMissingError) -> tuple[str, str]:
    if error.file == error.model_id:
        return f"{error.model_id}: no such folder", "check the path"
    return (
        f"{error.model_id}: there is no file {error.file} in it",
        "check the revision, or whether the download or upload is complete",
    )


def _file_unreadable(error: errors.FileUnreadableError) -> tuple[str, str]:
    return f"{error.model_id}: {error.file} cannot be read: {error.reason}", "check what it is, and its permissions"


def _no_checkpoint(error: errors.NoCheckpointError) -> tuple[str, str]:
    found = ", ".join(error.found[:_NAMED_FILES])
    more = f" and {len(error.found) - _NAMED_FILES} more" if len(error.found) > _NAMED_FILES else ""
    files = f" ({found}{more})" if found else ""
    alone = f", and config.json leaves out {', '.join(error.left_out)}" if error.left_out else ""
    return (
        f"{error.model_id}: no safetensors model in it; what is there: {error.kind}{files}{alone}",
        "look for a version of it with safetensors (on the Hub: also as a revision, such as refs/pr/1)",
    )


def _headers_needed(error: errors.HeadersNeededError) -> tuple[str, str]:
    return (
        f"{error.model_id}: without its headers nothing can be said of it: config.json does not say enough, and there "
        "are no totals of the Hub for this revision",
        f"try: hubvram {error.model_id} --headers always",
    )


def _system_limit(error: errors.SystemLimitError) -> tuple[str, str]:
    return (
        f"{error.model_id}: the system has no more for it: {error.detail}",
        "try --concurrency 4, or raise the limit (ulimit -n)",
    )


def _unexpected(error: errors.UnexpectedError) -> tuple[str, str]:
    return (
        f"{error.model_id}: hubvram failed on it ({error.detail}), which is a mistake of its own",
        "please report it, with the name of the model",
    )


def _malformed(error: errors.MalformedFileError) -> tuple[str, str]:
    return (
        f"{error.model_id}: {error.file} is malformed: {error.reason}",
        "check that it is complete, try another revision, or tell its author",
    )


def _response(error: errors.HubResponseError) -> tuple[str, str]:
    return f"{error.model_id}: {error.detail}", "check HF_ENDPOINT and any proxy, then try again"


def _disabled(error: errors.DisabledRepoError) -> tuple[str, str]:
    return f"{error.model_id} was disabled by the Hub", "look for another copy of it"


def _output(error: errors.OutputError) -> tuple[str, str]:
    return f"the answer could not be written: {error.reason}", "check where the output goes, and the room there"


def _usage(error: errors.UsageError) -> tuple[str, str]:
    return error.problem, error.hint or "try: hubvram --help"


def _other(error: errors.HubvramError) -> tuple[str, str]:
    return str(error), "try: hubvram --help"


_KINDS: Final[Sequence[tuple[type[errors.HubvramError], str, Words]]] = (
    # The first type that matches decides, so that a subclass stands before its base.
    (errors.UnsupportedOptionError, "unsupported_option", _usage),
    (errors.UsageError, "usage", _usage),
    (errors.OutputError, "output", _output),
    (errors.RepoNotFoundError, "repo_not_found", _repo_not_found),
    (errors.RevisionNotFoundError, "revision_not_found", _revision_not_found),
    (errors.GatedRepoError, "gated_repo", _gated),
    (errors.BadTokenError, "bad_token", _bad_token),
    (errors.DisabledRepoError, "disabled_repo", _disabled),
    (errors.AccessError, "access_refused", _access),
    (errors.NetworkError, "network", _network),
    (errors.HubBusyError, "hub_busy", _busy),
    (errors.DeadlineError, "deadline", _deadline),
    (errors.OfflineError, "offline", _offline),
    (errors.HubResponseError, "hub_response", _response),
    (errors.FileMissingError, "file_missing", _file_missing),
    (errors.FileUnreadableError, "file_unreadable", _file_unreadable),
    (errors.NoCheckpointError, "no_checkpoint", _no_checkpoint),
    (errors.HeadersNeededError, "headers_needed", _headers_needed),
    (errors.SystemLimitError, "system_limit", _system_limit),
    (errors.UnexpectedError, "unexpected", _unexpected),
    (errors.CheckpointError, "malformed_checkpoint", _malformed),
    (errors.ConfigError, "malformed_config", _malformed),
    (errors.MalformedFileError, "malformed_file", _malformed),
    (errors.HubvramError, "other", _other),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error in words."""

    kind: str
    message: str
    hint: str


def failure_of(error: errors.HubvramError) -> Failure:
    """The words for an error."""
    kind, words = next((kind, words) for cls, kind, words in _KINDS if isinstance(error, cls))
    message, hint = words(error)
    return Failure(kind=kind, message=message, hint=hint)


def failure_as_json(model_id: str, error: errors.HubvramError) -> dict[str, Any]:
    """What stands in the place of an answer: the other object of the JSON contract."""
    failure = failure_of(error)
    return {
        "schema_version": SCHEMA_VERSION,
        "model_id": model_id,
        "error": {"kind": failure.kind, "message": failure.message, "hint": failure.hint},
    }
