"""A model that was downloaded before: its snapshot in the Hub cache, for when the Hub cannot be asked."""

from __future__ import annotations

from pathlib import Path

from hubvram.sources.local import LocalSource
from hubvram.sources.settings import hub_cache


def find_cached(repo_id: str, revision: str | None, reason: str) -> LocalSource | None:
    """The cached snapshot of this revision, if its weights are there; `reason` says why it is used."""
    if not (hub_cache() / f"models--{repo_id.replace('/', '--')}").is_dir():
        return None  # Most often there is none: no reason to import what reads one.
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(repo_id, "config.json", revision=revision or "main")
        if not isinstance(config, str):
            return None
        folder = Path(config).parent
        if not any(path.suffix == ".safetensors" for path in folder.iterdir()):
            return None
    except (OSError, ValueError):  # a damaged cache, or a home that is no folder: as good as none
        return None
    return LocalSource(
        folder,
        model_id=repo_id,
        revision=folder.name,
        requested_revision=revision or "main",
        notes=(f"{reason}; read from the copy in this machine's Hub cache",),
    )


def cached_models() -> list[str]:
    """What this machine's Hub cache holds weights of: repo ids, with a revision where it is not main."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(hub_cache()).repos
    except (CacheNotFound, OSError, ValueError):  # none, or one that cannot be read: as good as none
        return []
    return sorted(
        repo.repo_id + ("" if "main" in revision.refs else f"@{revision.commit_hash}")
        for repo in repos
        if repo.repo_type == "model"
        for revision in repo.revisions
        if any(file.file_name.endswith(".safetensors") for file in revision.files)
    )
