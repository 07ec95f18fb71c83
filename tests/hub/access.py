"""Who may see what: the Hub's refusals, word for word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .content import Commit, StoredFile
from .messages import Refusal, json_reply, text_reply
from .repos import Repo, RepoStore

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="Authentication required", charset="UTF-8"'}
_BAD_TOKEN = "Invalid credentials in Authorization header"
_LOG_IN = (
    "Access to model {id} is restricted. You must have access to it and be authenticated to access it. Please log in."
)
_ASK = (
    "Access to model {id} is restricted and you are not in the authorized list. "
    "Visit https://huggingface.co/{id} to ask for access."
)


@dataclass(frozen=True, slots=True)
class Caller:
    kind: Literal["anonymous", "bad", "known"]
    grants: frozenset[str] = frozenset()

    @classmethod
    def of(cls, store: RepoStore, authorization: str | None) -> Caller:
        if authorization is None:
            return cls("anonymous")
        grants = store.tokens.get(authorization.removeprefix("Bearer "))
        return cls("bad") if grants is None else cls("known", frozenset(grants))


def not_found(caller: Caller) -> Refusal:
    """A private repository looks just as one that does not exist."""
    status, message, headers = {
        # No X-Error-Code here: a client cannot tell a missing repository from a missing token.
        "anonymous": (401, "Invalid username or password.", _CHALLENGE),
        "bad": (401, _BAD_TOKEN, _CHALLENGE),
        "known": (404, "Repository not found", {"X-Error-Code": "RepoNotFound"}),
    }[caller.kind]
    return Refusal(json_reply({"error": message}, status, headers | {"X-Error-Message": message}))


def check_metadata(repo: Repo, caller: Caller) -> None:
    """Metadata of a gated repository is public."""
    if repo.disabled:
        message = "Access to this resource is disabled."
        raise Refusal(json_reply({"error": message}, 403, {"X-Error-Message": message}))
    if caller.kind == "bad":
        raise not_found(caller)


def check_contents(repo: Repo, caller: Caller) -> None:
    if not repo.gated or repo.disabled:
        check_metadata(repo, caller)
    elif repo.id not in caller.grants:
        # A bad token gets the answer of no token, not the one about bad credentials.
        status, text = (403, _ASK) if caller.kind == "known" else (401, _LOG_IN)
        message = text.format(id=repo.id)
        headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": message}
        raise Refusal(text_reply(message, status, headers))


def commit_of(repo: Repo, revision: str) -> Commit:
    commit = repo.commit(revision)
    if commit is None:
        message = f"Invalid rev id: {revision}"
        headers = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": message}
        raise Refusal(json_reply({"error": message}, 404, headers))
    return commit


def entry_not_found(commit: Commit) -> Refusal:
    message = "Entry not found"
    headers = {
        "X-Error-Code": "EntryNotFound",
        "X-Error-Message": message,
        "X-Repo-Commit": commit.sha,
    }
    return Refusal(text_reply(message, 404, headers))


def file_of(commit: Commit, path: str) -> StoredFile:
    file = commit.files.get(path)
    if file is None:
        raise entry_not_found(commit)
    return file
