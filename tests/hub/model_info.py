"""The JSON that the Hub's API shows of a repository: model info and file trees."""

from __future__ import annotations

import hashlib
from typing import Any

from .content import Commit, StoredFile
from .repos import Repo


def model_info(repo: Repo, commit: Commit, *, blobs: bool) -> dict[str, Any]:
    library = "transformers"
    return {
        "_id": repo.oid,
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": commit.sha,
        "lastModified": "2026-01-02T03:04:05.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z",
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        "downloads": 0,
        "likes": 0,
        "library_name": library,
        "pipeline_tag": "text-generation",
        "tags": [library, "safetensors"],
        "siblings": [_sibling(file, blobs=blobs) for file in commit.files.values()],
        "usedStorage": sum(file.size for file in commit.files.values()),
        **repo.info,
    }


def _sibling(file: StoredFile, *, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": file.path}
    if blobs:
        sibling |= {"blobId": file.git_oid, "size": file.size}
        if file.is_lfs:
            sibling["lfs"] = _lfs(file, digest_key="sha256")
    return sibling


def _lfs(file: StoredFile, *, digest_key: str) -> dict[str, Any]:
    """The digest has one name among the siblings and another in a tree."""
    return {digest_key: file.sha256, "size": file.size, "pointerSize": len(file.pointer)}


def tree_items(commit: Commit, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{folder}/" if folder else ""
    items: dict[str, dict[str, Any]] = {}
    for path, file in commit.files.items():
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        parents = [prefix + "/".join(parts[:depth]) for depth in range(1, len(parts))]
        shown = parents if recursive else parents[:1]
        items |= {parent: _folder_item(parent) for parent in shown if parent not in items}
        if recursive or not parents:
            items[path] = _file_item(file)
    return [items[path] for path in sorted(items)]


def _folder_item(path: str) -> dict[str, Any]:
    oid = hashlib.sha1(path.encode()).hexdigest()
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def _file_item(file: StoredFile) -> dict[str, Any]:
    item = {"type": "file", "oid": file.git_oid, "size": file.size, "path": file.path}
    if file.is_lfs:
        item |= {"lfs": _lfs(file, digest_key="oid"), "xetHash": file.xet_hash}
    return item
