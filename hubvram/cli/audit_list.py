"""The models of an audit: what was named, listed, searched for or found in the cache, each once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hubvram.errors import UsageError

if TYPE_CHECKING:
    from hubvram.sources.network import Network

_STDIN: Final = "-"
_COMMENT: Final = re.compile(r"(^|\s)#.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Where the models of an audit come from; everything that is given adds to the list."""

    models: Sequence[str]
    file: str | None
    author: str | None
    search: str | None
    collection: str | None
    limit: int | None
    cached: bool


def gather(wanted: Wanted, network: Network) -> list[str]:
    """The whole list, before anything is read: what it costs and how far it is can be said. Raises UsageError."""
    for option in ("author", "search", "collection", "file"):
        if getattr(wanted, option) == "":
            raise UsageError(f"--{option} is empty", "is a variable not set? Give a value, or leave it out")
    if wanted.limit is not None and not (wanted.author or wanted.search or wanted.collection):
        raise UsageError("--limit is for a search", "add --author, --search or --collection")
    found = list(dict.fromkeys(_all(wanted, network)))
    if not found:
        raise UsageError("nothing to audit: no model is named, listed or found", "try: hubvram audit --help")
    return found


def _all(wanted: Wanted, network: Network) -> Iterator[str]:
    for model in wanted.models:
        yield from [model] if model != _STDIN else _listed(_STDIN)
    if wanted.file is not None:
        yield from _listed(wanted.file)
    if wanted.author is not None or wanted.search is not None:
        yield from _found(wanted, network, author=wanted.author, search=wanted.search)
    if wanted.collection is not None:
        yield from _found(wanted, network, collection=wanted.collection)
    if wanted.cached:
        from hubvram.sources.cached import cached_models

        yield from cached_models()


def _found(wanted: Wanted, network: Network, **where: str | None) -> Iterable[str]:
    from hubvram.sources.search import find_models

    return map(_on_the_hub, find_models(**where, limit=wanted.limit, network=network))


def _on_the_hub(repo_id: str) -> str:
    """A repo that a search found, and not the folder here that has its name."""
    if not os.path.exists(repo_id):
        return repo_id
    from hubvram.sources.settings import endpoint

    return f"{endpoint()}/{repo_id}"


def _listed(file: str) -> Iterator[str]:
    try:
        if file != _STDIN:
            with open(file, "rb") as stream:
                content = stream.read()
        else:
            content = b"" if sys.stdin is None else sys.stdin.buffer.read()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "--file takes a list of models") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not plain text", "--file takes a list of models, one a line") from None
    for line in text.splitlines():
        if model := _COMMENT.sub("", line).strip():
            yield model
