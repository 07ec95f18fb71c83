"""The headers of one checkpoint as one entry of the cache: each by the hash of its file.

A line of JSON, `{hash: [file_bytes, header_bytes], ...}`, then the beginnings one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from hubvram.sources.interface import Beginning, RepoFile


def headers_key(files: Mapping[str, RepoFile]) -> str | None:
    """The key of a checkpoint: a hash over those of its files; None where one of them is not known."""
    hashes = [file.content_hash for path, file in files.items() if path.endswith(".safetensors")]
    known = sorted(content_hash for content_hash in hashes if content_hash is not None)
    if not known or len(known) < len(hashes):
        return None
    return hashlib.sha256(" ".join(known).encode()).hexdigest()


def packed(beginnings: Mapping[str, Beginning]) -> bytes:
    """The entry for these, by hash."""
    directory = {key: [beginning.file_bytes, len(beginning.data)] for key, beginning in beginnings.items()}
    data = b"".join(beginning.data for beginning in beginnings.values())
    return json.dumps(directory).encode() + b"\n" + data


def kept(entry: bytes | None) -> dict[str, Beginning]:
    """Hash -> beginning; nothing where the entry is none of ours."""
    line, _, data = (entry or b"").partition(b"\n")
    try:
        found, position = {}, 0
        for key, (file_bytes, length) in json.loads(line).items():
            found[str(key)] = Beginning(data=data[position : position + length], file_bytes=file_bytes)
            position += length
    except (ValueError, TypeError, AttributeError):
        return {}
    return found if position == len(data) else {}
