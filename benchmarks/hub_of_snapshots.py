"""What the benchmarks' loopback Hub holds: the bundled snapshots, as repos of whole files whose data is made up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache

from hubvram.sources.snapshot import SnapshotSource, snapshot_folders
from tests.hub import HubFile, LoopbackHub


def add_snapshots(hub: LoopbackHub, repos: Iterable[str]) -> None:
    """Each under its own name, with the totals that the Hub would publish, and a branch `other` of the same files."""
    for repo in repos:
        files, elements = snapshot_files(repo)
        hub.add_repo(repo, files, safetensors_summary={"parameters": elements, "total": sum(elements.values())})
        hub.add_revision(repo, "other", files)


@cache
def snapshot_files(repo: str) -> tuple[dict[str, HubFile], dict[str, int]]:
    """(path -> file, elements of each dtype)."""
    source = SnapshotSource(repo, snapshot_folders()[repo])
    beginnings = source.read_beginnings(
        [path for path in source.files if path.endswith(".safetensors")],
        lambda _, prefix, __: 8 + int.from_bytes(prefix[:8], "little"),
    )
    files = {"config.json": HubFile(source.read("config.json", 2**24))}
    elements: dict[str, int] = {}
    weight_map = {}
    total_bytes = 0
    for path, beginning in beginnings.items():
        header = json.loads(beginning.data[8:])
        header.pop("__metadata__", None)
        files[path] = HubFile(beginning.data, size_bytes=beginning.file_bytes)
        for name, tensor in header.items():
            weight_map[name] = path
            number = 1
            for size in tensor["shape"]:
                number *= size
            elements[tensor["dtype"]] = elements.get(tensor["dtype"], 0) + number
        total_bytes += files[path].size - len(beginning.data)
    if len(beginnings) > 1:
        index = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
        files["model.safetensors.index.json"] = HubFile(json.dumps(index, indent=2).encode())
    return files, elements
