"""All headers of a sharded checkpoint in one request: the Hub's `safetensors-metadata` endpoint.

It answers for `main` alone, with the headers as parsed JSON. What it says is believed where it agrees with the
listing: a shard's data ends where its header says, and what is left of the listed size is room for that header.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hubvram.sources.interface import PREFIX_BYTES, Beginning, RepoFile

ANSWER_LIMIT_BYTES: Final = 256 * 2**20
INDEX_SUFFIX: Final = ".safetensors.index.json"

_PADDING_BYTES: Final = 4096
"""How much larger than compact JSON a header may be, beyond twice its size: writers pad with spaces."""


def index_of(files: Iterable[str], shard: str) -> str | None:
    """The index that lists a shard: `model.safetensors.index.json` beside `model-00001-of-00002.safetensors`."""
    return next((name for name in files if name.endswith(INDEX_SUFFIX) and _lists(name, shard)), None)


def _lists(index: str, shard: str) -> bool:
    return shard.startswith((f"{index.removesuffix(INDEX_SUFFIX)}-", f"{index.removesuffix(INDEX_SUFFIX)}_"))


def beginnings_in(answer: Mapping[str, Any], index: str, files: Mapping[str, RepoFile]) -> dict[str, Beginning]:
    """File -> the beginning that its header makes, for all shards whose header agrees with the listing."""
    headers = answer.get("headers")
    if not isinstance(headers, dict):
        return {}
    folder = index[: index.rfind("/") + 1]
    found = {}
    for name, header in headers.items():
        listed = files.get(folder + name)
        beginning = None if listed is None or listed.size_bytes is None else _beginning(header, listed.size_bytes)
        if beginning is not None:
            found[folder + name] = beginning
    return found


def _beginning(header: Any, file_bytes: int) -> Beginning | None:
    """The first bytes of a file of this size with this header; None where that cannot be."""
    try:
        end = max(
            (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"),
            default=0,
        )
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        room = file_bytes - PREFIX_BYTES - end
        if not len(text) <= room <= 2 * len(text) + _PADDING_BYTES:
            return None
    except (AttributeError, KeyError, IndexError, TypeError, UnicodeEncodeError):
        return None
    return Beginning(data=room.to_bytes(PREFIX_BYTES, "little") + text.ljust(room), file_bytes=file_bytes)
