"""What the Hub's listing of a repo says: its commit, its files, the Hub's own summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubvram.errors import HubResponseError
from hubvram.sources.interface import PublicSummary, RepoFile
from hubvram.sources.settings import shown_endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A repo at a commit, in the Hub's spelling of its name."""

    model_id: str
    commit: str
    files: Mapping[str, RepoFile]
    summary: PublicSummary


def parse_listing(text: bytes, repo_id: str) -> Listing:
    """The answer to `/api/models/...?blobs=true`. Raises HubResponseError."""
    try:
        listing = json.loads(text)
        return Listing(
            model_id=_text(listing, "id"),
            commit=_text(listing, "sha"),
            files=_files(listing),
            summary=_summary(listing),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise not_a_hub(repo_id) from None


def not_a_hub(model_id: str) -> HubResponseError:
    """The error for an answer that makes no sense from a Hub."""
    return HubResponseError(model_id, f"{shown_endpoint()} did not answer like a Hugging Face Hub")


def _text(listing: Mapping[str, Any], key: str) -> str:
    value = listing[key]
    if not isinstance(value, str) or not value:
        raise ValueError(key)
    return value


def _files(listing: Mapping[str, Any]) -> dict[str, RepoFile]:
    found = {}
    for sibling in listing["siblings"]:
        path = _text(sibling, "rfilename")
        lfs = sibling.get("lfs") or {}
        found[path] = RepoFile(
            path=path,
            size_bytes=_size(sibling.get("size")),
            content_hash=lfs.get("sha256") or sibling.get("blobId"),
        )
    return found


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None


def _summary(listing: Mapping[str, Any]) -> PublicSummary:
    config = listing.get("config") or {}
    totals = (listing.get("safetensors") or {}).get("parameters") or {}
    sizes = {str(dtype): _size(elements) for dtype, elements in totals.items()}
    return PublicSummary(
        gated=bool(listing.get("gated")),
        model_type=config.get("model_type"),
        architectures=tuple(config.get("architectures") or ()),
        library=listing.get("library_name"),
        # All of them make sense, or none is believed.
        elements_by_dtype={} if None in sizes.values() else {dtype: size or 0 for dtype, size in sizes.items()},
    )
