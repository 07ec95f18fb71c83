"""Headers of all files together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hubvram.checkpoint.reader import fetch_headers, parse_checkpoint, read_checkpoint
from hubvram.errors import CheckpointError, FileUnreadableError, NoCheckpointError
from hubvram.sources.interface import Beginning, Needed, OnProgress, RepoFile
from hubvram.sources.local import LocalSource
from tests.hub import HubFile, Tensors, safetensors_file, sharded_checkpoint

SHARDS: list[Tensors] = [
    {"embed.weight": ("BF16", (1000, 64)), "norm.weight": ("F32", (64,))},
    {"head.weight": ("BF16", (1000, 64)), "scale": ("F8_E8M0", ())},
]


def write(folder: Path, files: Mapping[str, HubFile]) -> LocalSource:
    for name, file in files.items():
        with (folder / name).open("wb") as stream:
            stream.write(file.data)
            stream.truncate(file.size)
    return LocalSource(folder, model_id="org/model")


def test_shards(tmp_path: Path) -> None:
    files = sharded_checkpoint(SHARDS)
    checkpoint = read_checkpoint(write(tmp_path, files))
    first, second = names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    assert checkpoint.files == names
    assert {tensor.name: (tensor.dtype, tensor.shape, tensor.file) for tensor in checkpoint.tensors} == {
        "embed.weight": ("BF16", (1000, 64), first),
        "norm.weight": ("F32", (64,), first),
        "head.weight": ("BF16", (1000, 64), second),
        "scale": ("F8_E8M0", (), second),
    }
    assert checkpoint.stored_bytes == 2 * 128_000 + 256 + 1
    assert checkpoint.file_bytes == sum(files[name].size for name in names)
    assert checkpoint.notes == ()


def test_a_file_of_a_hundred_gigabytes_is_read_at_once(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write(tmp_path, {"model.safetensors": safetensors_file({"w": ("U8", (10**11,))})}))
    assert checkpoint.stored_bytes == 10**11


def test_a_name_in_two_shards_is_the_later_one_s(tmp_path: Path) -> None:
    twice: list[Tensors] = [{"a": ("F32", (1,)), "b": ("F32", (1,))}, {"a": ("F32", (2,))}]
    checkpoint = read_checkpoint(write(tmp_path, sharded_checkpoint(twice)))
    assert {tensor.name: tensor.shape for tensor in checkpoint.tensors} == {"a": (2,), "b": (1,)}


def test_progress_counts_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_checkpoint(write(tmp_path, sharded_checkpoint(SHARDS)), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_notes_name_their_file(tmp_path: Path) -> None:
    text = b'{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}'
    files = sharded_checkpoint(SHARDS)
    files["model-00002-of-00002.safetensors"] = HubFile(len(text).to_bytes(8, "little") + text + b"\0")
    (note,) = read_checkpoint(write(tmp_path, files)).notes
    assert note.startswith("model-00002-of-00002.safetensors: tensor a is declared more than once")


def test_the_error_names_the_shard(tmp_path: Path) -> None:
    files = sharded_checkpoint(SHARDS)
    source = write(tmp_path, files)
    with (tmp_path / "model-00002-of-00002.safetensors").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(CheckpointError, match="the tensors take 128,001 bytes, the file holds 128,002") as caught:
        read_checkpoint(source)
    assert (caught.value.model_id, caught.value.file) == ("org/model", "model-00002-of-00002.safetensors")


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NoCheckpointError):
        read_checkpoint(LocalSource(tmp_path))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    source = write(tmp_path, {"model.safetensors": safetensors_file({})})
    assert source.files
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(FileUnreadableError, match=r"model\.safetensors: Is a directory"):
        read_checkpoint(source)


class Sizeless:
    """A source that knows no sizes, as a server without Content-Length."""

    model_id = "org/model"
    revision = requested_revision = summary = None
    notes = ()
    files: Mapping[str, RepoFile]

    def __init__(self, content: Mapping[str, bytes]) -> None:
        self._content = content
        self.files = {name: RepoFile(path=name, size_bytes=None) for name in content}

    def read(self, path: str, limit_bytes: int) -> bytes:
        return self._content[path]

    def read_beginnings(
        self, paths: Sequence[str], needed: Needed, on_progress: OnProgress | None = None
    ) -> Mapping[str, Beginning]:
        return {
            path: Beginning(data=self._content[path][: needed(path, self._content[path][:8], None)], file_bytes=None)
            for path in paths
        }


def test_sizes_may_be_unknown() -> None:
    text = json.dumps({"a": {"dtype": "U8", "shape": [5], "data_offsets": [0, 5]}}).encode()
    checkpoint = read_checkpoint(Sizeless({"model.safetensors": len(text).to_bytes(8, "little") + text}))
    assert checkpoint.file_bytes is None
    assert checkpoint.stored_bytes == 5


def test_raw_headers_are_let_go_as_they_are_parsed(tmp_path: Path) -> None:
    source = write(tmp_path, sharded_checkpoint(SHARDS))
    beginnings = fetch_headers(source)
    assert tuple(beginnings) == ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    checkpoint = parse_checkpoint(source, beginnings)
    assert not beginnings
    assert checkpoint == read_checkpoint(source)
