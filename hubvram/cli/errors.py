"""Errors -> one sentence, the next command to try, and the exit code: one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from hubvram import errors

EXIT_DOES_NOT_FIT: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREADABLE: Final = 3
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141
"""128 + SIGINT and 128 + SIGPIPE, as shells have it."""

Explain = Callable[[Any], tuple[str, str]]
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
        f"give it more time: hubvram {error.model_id} --timeout {2 * error.timeout_seconds:g}",
    )


def _offline(error: errors.OfflineError) -> tuple[str, str]:
    at = f"@{error.revision}" if error.revision else ""
    return (
        f"{error.model_id}{at}: offline mode is on (HF_HUB_OFFLINE), and there is no copy of it on this machine",
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
    return (
        f"{error.model_id}: no safetensors model in it; what is there: {error.kind}{files}",
        "look for a version of it with safetensors (on the Hub: also as a revision, such as refs/pr/1)",
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
    return f"the answer could not be written: {error.reason}", "check where standard output goes"


def _usage(error: errors.UsageError) -> tuple[str, str]:
    return error.problem, error.hint or "try: hubvram --help"


_EXPLANATIONS: Final[Sequence[tuple[type[errors.HubvramError], int, Explain]]] = (
    # The first type that matches decides, so that a subclass stands before its base.
    (errors.UsageError, EXIT_USAGE, _usage),
    (errors.OutputError, EXIT_UNREADABLE, _output),
    (errors.RepoNotFoundError, EXIT_UNREADABLE, _repo_not_found),
    (errors.RevisionNotFoundError, EXIT_UNREADABLE, _revision_not_found),
    (errors.GatedRepoError, EXIT_UNREADABLE, _gated),
    (errors.BadTokenError, EXIT_UNREADABLE, _bad_token),
    (errors.DisabledRepoError, EXIT_UNREADABLE, _disabled),
    (errors.AccessError, EXIT_UNREADABLE, _access),
    (errors.NetworkError, EXIT_UNREADABLE, _network),
    (errors.HubBusyError, EXIT_UNREADABLE, _busy),
    (errors.DeadlineError, EXIT_UNREADABLE, _deadline),
    (errors.OfflineError, EXIT_UNREADABLE, _offline),
    (errors.HubResponseError, EXIT_UNREADABLE, _response),
    (errors.FileMissingError, EXIT_UNREADABLE, _file_missing),
    (errors.FileUnreadableError, EXIT_UNREADABLE, _file_unreadable),
    (errors.NoCheckpointError, EXIT_UNREADABLE, _no_checkpoint),
    (errors.MalformedFileError, EXIT_UNREADABLE, _malformed),
)


def explain(error: errors.HubvramError) -> tuple[str, str, int]:
    """(what is the matter, what to try, exit code)."""
    for kind, exit_code, words in _EXPLANATIONS:
        if isinstance(error, kind):
            return (*words(error), exit_code)
    return str(error), "try: hubvram --help", EXIT_UNREADABLE
