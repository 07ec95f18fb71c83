"""The Hub origin: a table of routes to the handlers that answer them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from .access import (
    Caller,
    check_contents,
    check_metadata,
    commit_of,
    entry_not_found,
    file_of,
    not_found,
)
from .cdn import Cdn
from .content import Commit, StoredFile
from .messages import Refusal, Reply, Request, file_reply, json_reply, redirect
from .model_info import model_info, tree_items
from .quotas import Quotas
from .repos import Repo
from .search import collection, search_models
from .state import HubState


@dataclass(frozen=True)
class Call:
    """A request that matched a route."""

    request: Request
    match: re.Match[str]
    caller: Caller

    def __getitem__(self, group: str) -> str:
        return unquote(self.match[group] or "")

    @cached_property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.request.query)

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1")

    def renamed(self, repo_id: str) -> str:
        start, stop = self.match.span("id")
        target = self.request.target
        return f"{target[:start]}{repo_id}{target[stop:]}"


class HubApi:
    def __init__(self, state: HubState, cdn: Cdn) -> None:
        self._state = state
        self._cdn = cdn
        self._quotas = Quotas(state)
        self._shard_headers: dict[tuple[str, str], Reply] = {}

    def answer(self, request: Request) -> Reply:
        headers, refused = self._quotas.spend(request.path)
        try:
            reply = refused or self._routed(request)
        except Refusal as refusal:
            reply = refusal.reply
        return replace(reply, headers={**headers, **reply.headers})

    def _routed(self, request: Request) -> Reply:
        caller = Caller.of(self._state, request.headers.get("authorization"))
        for pattern, handler in _ROUTES:
            match = pattern.fullmatch(request.path)
            if match is not None:
                return handler(self, Call(request, match, caller))
        return _no_such_page()

    def _repo(self, call: Call, check: Callable[[Repo, Caller], None]) -> Repo:
        repo = self._state.repo(call["id"])
        if repo is None or (repo.private and repo.id not in call.caller.grants):
            raise not_found(call.caller)
        if repo.id != call["id"]:
            raise Refusal(redirect(307, call.renamed(repo.id)))
        check(repo, call.caller)
        return repo

    def _model(self, call: Call) -> Reply:
        repo = self._repo(call, check_metadata)
        commit = commit_of(repo, call["rev"] if "rev" in call.match.groupdict() else "main")
        blobs = call.flag("blobs")
        expand = [key for name in ("expand", "expand[]") for key in call.query.get(name, [])]
        if blobs and expand:
            return json_reply({"error": "`expand` and `blobs` exclude each other"}, 400)
        key = (commit.sha, blobs, *expand)
        if key not in repo.infos:
            info = model_info(repo, commit, blobs=blobs)
            if expand:
                info = {name: info[name] for name in ("_id", "id", *expand) if name in info}
            repo.infos[key] = json_reply(info)
        return repo.infos[key]

    def _tree(self, call: Call) -> Reply:
        repo = self._repo(call, check_metadata)
        commit = commit_of(repo, call["rev"])
        items = tree_items(commit, call["path"], recursive=call.flag("recursive"))
        if not items and call["path"]:
            raise entry_not_found(commit)
        size, start = self._state.tree_page_size, int(call.query.get("cursor", ["0"])[-1])
        headers = {}
        if start + size < len(items):
            recursive = str(call.flag("recursive")).lower()
            following = f"{call.request.path}?recursive={recursive}&cursor={start + size}"
            headers["Link"] = f'<{self._state.endpoint}{following}>; rel="next"'
        return json_reply(items[start : start + size], headers=headers)

    def _resolve(self, call: Call) -> Reply:
        repo = self._repo(call, check_contents)
        commit = commit_of(repo, call["rev"])
        file = file_of(commit, call["path"])
        if file.is_lfs:
            return self._to_cdn(repo, commit, file)
        etag = f'"{file.git_oid}"'
        # The old URL is the name of an empty parameter, so the new one differs between branches.
        location = (
            f"/api/resolve-cache/models/{repo.id}/{commit.sha}/{quote(file.path)}"
            f"?{quote(call.request.path, safe='')}=&etag={quote(etag)}"
        )
        return redirect(307, location, {"X-Repo-Commit": commit.sha, "X-Linked-Etag": etag})

    def _to_cdn(self, repo: Repo, commit: Commit, file: StoredFile) -> Reply:
        headers = {
            "X-Repo-Commit": commit.sha,
            "X-Linked-Size": str(file.size),
            "X-Linked-Etag": f'"{file.sha256}"',
            # Without the Link to a token for it: clients keep to plain HTTP.
            "X-Xet-Hash": file.xet_hash,
        }
        return redirect(302, self._cdn.signed_url(repo, file), headers)

    def _resolve_cache(self, call: Call) -> Reply:
        repo = self._repo(call, check_contents)
        commit = commit_of(repo, call["rev"])
        file = file_of(commit, call["path"])
        if file.is_lfs:
            return self._to_cdn(repo, commit, file)
        headers = {
            "X-Repo-Commit": commit.sha,
            "ETag": f'"{file.git_oid}"',
            "Content-Type": "text/plain; charset=utf-8",
        }
        return file_reply(file.content, call.request, headers)

    def _resolve_cache_by_name(self, call: Call) -> Reply:
        return json_reply({"error": "Invalid commit id"}, 400)

    def _safetensors_metadata(self, call: Call) -> Reply:
        if not self._state.serve_safetensors_metadata:
            return _no_such_page()
        repo = self._repo(call, check_contents)
        commit = commit_of(repo, "main")
        key = (commit.tree, call["path"])
        if key not in self._shard_headers:
            # Large repositories are asked for again and again by benchmarks, under many names.
            self._shard_headers[key] = json_reply(_shard_headers(commit, call["path"]))
        return self._shard_headers[key]

    def _search(self, call: Call) -> Reply:
        if call.caller.kind == "bad":
            raise not_found(call.caller)
        return search_models(self._state, call.caller, call.request.path, call.query)

    def _collection(self, call: Call) -> Reply:
        return collection(self._state, call["slug"])


def _no_such_page() -> Reply:
    return json_reply({"error": "Sorry, we can't find the page you are looking for."}, 404)


def _shard_headers(commit: Commit, index_path: str) -> dict[str, Any]:
    folder = index_path.rpartition("/")[0]
    try:
        index = json.loads(file_of(commit, index_path).content.data)
        shards = sorted(set(index.pop("weight_map").values()))
        files = {shard: file_of(commit, f"{folder}/{shard}".lstrip("/")) for shard in shards}
        return {"index": index, "headers": {shard: _header(file) for shard, file in files.items()}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(json_reply({"error": f"Not a sharded checkpoint: {error}"}, 400)) from error


def _header(file: StoredFile) -> Any:
    data = file.content.data
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


_ID = r"(?P<id>[^/]+(?:/[^/]+)?)"
_REV = r"(?P<rev>[^/]+)"
_PATH = r"(?P<path>.+)"

_ROUTES: tuple[tuple[re.Pattern[str], Callable[[HubApi, Call], Reply]], ...] = tuple(
    (re.compile(pattern), handler)
    # The first match wins: an id of one part must not swallow the word that follows it.
    for pattern, handler in (
        (r"/api/models", HubApi._search),
        (r"/api/collections/(?P<slug>[^/]+/[^/]+)", HubApi._collection),
        (rf"/api/models/{_ID}/revision/{_REV}", HubApi._model),
        (rf"/api/models/{_ID}/tree/{_REV}(?:/(?P<path>.*))?", HubApi._tree),
        (rf"/api/models/{_ID}/safetensors-metadata/{_PATH}", HubApi._safetensors_metadata),
        (rf"/api/models/{_ID}", HubApi._model),
        (
            rf"/api/resolve-cache/models/{_ID}/(?P<rev>[0-9a-f]{{40}})/{_PATH}",
            HubApi._resolve_cache,
        ),
        (rf"/api/resolve-cache/models/{_ID}/{_REV}/{_PATH}", HubApi._resolve_cache_by_name),
        (rf"/{_ID}/resolve/{_REV}/{_PATH}", HubApi._resolve),
    )
)
