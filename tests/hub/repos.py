"""The repositories of a loopback Hub, under all their names, and the tokens that open them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from .content import Commit, HubFile, StoredFile
from .messages import Reply

Gated = Literal[False, "auto", "manual"]


@dataclass(kw_only=True)
class Repo:
    id: str
    gated: Gated
    private: bool
    disabled: bool
    info: Mapping[str, Any]
    """What the API shows besides what follows from the files."""
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    infos: dict[object, Reply] = field(default_factory=dict)
    """What the API has told about it before: told again without being made again."""

    @cached_property
    def oid(self) -> str:
        return hashlib.sha1(self.id.encode()).hexdigest()[:24]

    def commit(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))


class RepoStore:
    """Repositories by id; a former id, and one in the wrong case, lead to the present one."""

    def __init__(self) -> None:
        self.tokens: dict[str, set[str]] = {}
        """token -> ids of the gated and private repositories that it opens."""
        self._repos: dict[str, Repo] = {}
        self._ids: dict[str, str] = {}
        self._objects: dict[tuple[str, str], StoredFile] = {}
        self._collections: dict[str, Sequence[tuple[str, str]]] = {}

    def add_repo(
        self,
        repo_id: str,
        files: Mapping[str, HubFile | bytes],
        *,
        sha: str | None = None,
        gated: Gated = False,
        private: bool = False,
        disabled: bool = False,
        safetensors_summary: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
        info: Mapping[str, Any] | None = None,
        renamed_from: Iterable[str] = (),
    ) -> str:
        """Adds a repository with `files` on main, `info` as further API keys; returns the sha."""
        shown = {"config": config, "safetensors": safetensors_summary} | dict(info or {})
        repo = Repo(
            id=repo_id,
            gated=gated,
            private=private,
            disabled=disabled,
            info={key: value for key, value in shown.items() if value is not None},
        )
        self._repos[repo_id] = repo
        self._ids |= {name.lower(): repo_id for name in (repo_id, *renamed_from)}
        return self.add_revision(repo_id, "main", files, sha=sha)

    def add_revision(
        self,
        repo_id: str,
        name: str,
        files: Mapping[str, HubFile | bytes],
        *,
        sha: str | None = None,
    ) -> str:
        """Points branch or tag `name` at a new commit; earlier ones stay reachable by sha."""
        repo = self._repos[repo_id]
        commit = Commit.of(repo_id, files, sha)
        repo.commits[commit.sha] = commit
        repo.refs[name] = commit.sha
        self._objects |= {(repo.oid, file.xet_hash): file for file in commit.files.values()}
        return commit.sha

    def add_collection(self, slug: str, items: Iterable[str | tuple[str, str]]) -> None:
        """`slug` as in its URL: owner/title-0123456789abcdef01234567. An item is a model's id, or (type, id)."""
        self._collections[slug] = [("model", item) if isinstance(item, str) else item for item in items]

    def repos(self) -> list[Repo]:
        """In the order in which they were added."""
        return list(self._repos.values())

    def collection(self, slug: str) -> Sequence[tuple[str, str]] | None:
        """The type and the id of each item."""
        return self._collections.get(slug)

    def repo(self, any_id: str) -> Repo | None:
        return self._repos.get(self._ids.get(any_id.lower(), ""))

    def stored_object(self, repo_oid: str, xet_hash: str) -> StoredFile | None:
        return self._objects.get((repo_oid, xet_hash))
