"""What a user may write for a model: a repo id, an id at a revision, a Hub URL, or a local folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from hubvram.errors import FileMissingError, UsageError
from hubvram.sources.settings import check_endpoint, endpoint

_EXAMPLES: Final = "write org/name, org/name@revision, a https://huggingface.co/... address or a folder"
HOSTS: Final = ("huggingface.co", "www.huggingface.co", "hf.co")
_NOT_MODELS: Final = {
    "datasets": "a dataset",
    "spaces": "a space",
    "collections": "a collection",
    "papers": "a paper",
}
_WORDS: Final = r"[A-Za-z0-9]{1,20}(?:[._-][A-Za-z0-9]{1,20}){0,3}"
_PLAIN_ID: Final = re.compile(rf"(?:{_WORDS}/)?(?!.*\.git$){_WORDS}")
"""Names of words of letters and digits, with one mark between two: few are not like this."""
_IN_REPO: Final = ("tree", "blob", "resolve", "raw", "commit")


@dataclass(frozen=True, slots=True, kw_only=True)
class HubReference:
    """A repo on the Hub; `revision` None means its main branch."""

    repo_id: str
    revision: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReference:
    """A folder on this machine."""

    folder: Path


def parse_reference(text: str, revision: str | None = None) -> HubReference | LocalReference:
    """Understand MODEL. A folder that exists wins over a repo of the same name, as in transformers.

    Raises UsageError for what is none of these, FileMissingError for a path that does not exist.
    """
    if revision == "":
        raise UsageError("--revision is empty", "give a branch, tag or commit, or leave it out")
    if text.startswith(tuple(f"{host}/" for host in HOSTS)):
        text = f"https://{text}"
    if "://" in text:
        return _merge(text, *_from_url(text), revision)
    # os.path answers False or leaves the text alone where pathlib raises: names too long, homes of nobody.
    path = Path(os.path.expanduser(text))
    if text and os.path.isdir(path):
        if revision is not None:
            raise UsageError(f"{text} is a local folder, which has no revisions", "leave --revision out")
        return LocalReference(folder=path)
    if os.path.isfile(path):
        raise UsageError(f"{text} is a file, a model is a folder", f"try: hubvram {path.parent}")
    if text.startswith((".", "/", "~")):
        raise FileMissingError(text, text)
    check_endpoint()
    repo_id, _, inline = text.partition("@")
    return _merge(text, repo_id, inline or None, revision)


def _from_url(text: str) -> tuple[str, str | None]:
    try:
        parts = urlsplit(text)
    except ValueError:
        raise UsageError(f"{text} is not an address", _EXAMPLES) from None
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if segments[:2] == ["api", "models"]:
        segments = segments[2:]
    host = parts.netloc.lower()
    if (
        parts.scheme not in ("http", "https")
        or not segments
        or host not in (*HOSTS, urlsplit(endpoint()).netloc.lower())
    ):
        raise UsageError(f"{text} is not an address of a model on the Hub", _EXAMPLES)
    if segments[0] in _NOT_MODELS:
        raise UsageError(f"{text} is {_NOT_MODELS[segments[0]]}, not a model", _EXAMPLES)
    if len(segments) > 1 and segments[1] in _IN_REPO:  # a legacy id without an organisation
        return segments[0], segments[2] if len(segments) > 2 else None
    revision = segments[3] if len(segments) > 3 and segments[2] in _IN_REPO else None
    return "/".join(segments[:2]), revision


def _merge(text: str, repo_id: str, inline: str | None, revision: str | None) -> HubReference:
    if not is_repo_id(repo_id):
        raise UsageError(f"{text!r} is neither a repo id nor a folder that exists", _EXAMPLES)
    if not (inline or revision or "").isprintable():
        raise UsageError(f"{text!r}: a revision has no control characters", "give a branch, tag or commit")
    if inline and revision and inline != revision:
        raise UsageError(f"two revisions: {inline} in {text}, and --revision {revision}", "give one of them")
    return HubReference(repo_id=repo_id, revision=inline or revision)


def is_repo_id(text: str) -> bool:
    """By the rules of huggingface_hub, whose import costs more than all that is plainly one."""
    if _PLAIN_ID.fullmatch(text):
        return True
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return True
