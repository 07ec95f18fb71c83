"""All headers of a sharded checkpoint in one request: the Hub's `safetensors-metadata` endpoint.

It answers for `main` alone: `{"index": {...}, "headers": {shard: header}}`. What it says is believed where it agrees
with the listing: a shard's data ends where its header says, and what is left of the listed size is room for that
header. Its own words are taken over, so that the header parser judges them as it does those of a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from hubvram.sources.interface import PREFIX_BYTES, Beginning, RepoFile

ANSWER_LIMIT_BYTES: Final = 256 * 2**20
INDEX_SUFFIX: Final = ".safetensors.index.json"

_PADDING_BYTES: Final = 4096
"""How much larger than its JSON a header may be, beyond twice its size: writers pad with spaces."""

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = json.JSONDecoder()


def index_of(files: Iterable[str], shard: str) -> str | None:
    """The index that lists a shard: `model.safetensors.index.json` beside `model-00001-of-00002.safetensors`."""
    return next((name for name in files if name.endswith(INDEX_SUFFIX) and _lists(name, shard)), None)


def _lists(index: str, shard: str) -> bool:
    return shard.startswith((f"{index.removesuffix(INDEX_SUFFIX)}-", f"{index.removesuffix(INDEX_SUFFIX)}_"))


def beginnings_in(answer: bytes, index: str, files: Mapping[str, RepoFile]) -> dict[str, Beginning]:
    """File -> the beginning that its header makes, for all shards whose header agrees with the listing."""
    folder = index[: index.rfind("/") + 1]
    found: dict[str, Beginning] = {}

    def read_member(key: str, place: int) -> int:
        return _each_member(text, place, read_shard) if key == "headers" else _decoded(text, place)[1]

    def read_shard(name: str, place: int) -> int:
        header, end = _decoded(text, place)
        listed = files.get(folder + name)
        if listed is not None and listed.size_bytes is not None:
            beginning = _beginning(header, text[place:end], listed.size_bytes)
            if beginning is not None:
                found[folder + name] = beginning
        return end

    try:
        text = answer.decode()
        _each_member(text, _skip(text, 0), read_member)
    except (ValueError, IndexError, RecursionError):
        pass  # No answer of a Hub from here on; what is missing is read in ranges.
    return found


def _each_member(text: str, start: int, read: Callable[[str, int], int]) -> int:
    """Go through the object that begins at `start`; `read` gets (key, where its value begins) and says where that ends.

    Where the object ends. Raises ValueError or IndexError where there is none.
    """
    place = _skip(text, _after(text, start, "{"))
    while text[place] != "}":
        key, place = _decoded(text, place)
        place = _skip(text, read(str(key), _skip(text, _after(text, _skip(text, place), ":"))))
        if text[place] != "}":
            place = _skip(text, _after(text, place, ","))
    return place + 1


def _decoded(text: str, place: int) -> tuple[Any, int]:
    """(the value that begins here, where it ends)."""
    value, end = _DECODER.raw_decode(text, place)
    return value, end


def _after(text: str, place: int, character: str) -> int:
    if text[place] != character:
        raise ValueError(f"no {character} at {place}")
    return place + 1


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _beginning(header: Any, text: str, file_bytes: int) -> Beginning | None:
    """The first bytes of a file of this size with this header; None where that cannot be."""
    try:
        end = max(
            (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"),
            default=0,
        )
        room = file_bytes - PREFIX_BYTES - end
        data = text.encode()
        if len(data) > room:  # written with more spaces than the file has
            data = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if not len(data) <= room <= 2 * len(data) + _PADDING_BYTES:
            return None
    except (AttributeError, KeyError, IndexError, TypeError, UnicodeEncodeError):
        return None
    return Beginning(data=room.to_bytes(PREFIX_BYTES, "little") + data.ljust(room), file_bytes=file_bytes)
