"""The bundled snapshots: what they expand to, and that it is what was published."""

from __future__ import annotations

import json
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.errors import FileMissingError
from hubvram.sources.interface import RepoFile
from hubvram.sources.snapshot import (
    SnapshotSource,
    StoredTensor,
    expand,
    find_snapshot,
    header_bytes,
    snapshot_folders,
)

FOLDERS = snapshot_folders()
Published = dict[str, Any]


@cache
def source_of(repo_id: str) -> SnapshotSource:
    return SnapshotSource(repo_id, FOLDERS[repo_id])


@cache
def published(repo_id: str) -> Published:
    about: Published = json.loads((FOLDERS[repo_id] / "expected.json").read_text())
    return about


# 24 layers of 32 experts hold 5760 x 2880 and 2880 x 2880 weights each, two in a byte, with a scale for 32.
_PACKED = 24 * 32 * 3 * 2880 * 2880
NOT_AS_PUBLISHED = {"openai/gpt-oss-20b": -_PACKED // 2 + _PACKED // 32}


def stored_elements(repo_id: str) -> int:
    """What the Hub counts, or stores where its total counts weights."""
    total: int = published(repo_id)["published_total"]
    return total + NOT_AS_PUBLISHED.get(repo_id, 0)


def beginnings(source: SnapshotSource) -> dict[str, bytes]:
    """File -> 8 + N bytes."""
    paths = [path for path in source.files if path.endswith(".safetensors")]
    found = source.read_beginnings(paths, lambda path, prefix, file_bytes: 8 + int.from_bytes(prefix[:8], "little"))
    return {path: found[path].data for path in paths}


LAYOUT = {
    "metadata": {"format": "pt"},
    "dtype": "BF16",
    "files": ["w-{}.safetensors", [3, 4, 0]],
    "tensors": [
        ["embed.weight", [10, 4]],
        {
            "repeat": 2,
            "tensors": [
                ["layers.{0}.norm", [4], "F32"],
                {"repeat": 2, "tensors": [["layers.{0}.experts.{1}.w", [4, 3]]]},
            ],
        },
    ],
}


class TestLayout:
    def test_expands_in_the_order_of_saving(self) -> None:
        def expert(layer: int, number: int) -> StoredTensor:
            return StoredTensor(name=f"layers.{layer}.experts.{number}.w", dtype="BF16", shape=(4, 3))

        assert expand(LAYOUT) == {
            "w-1.safetensors": (
                StoredTensor(name="embed.weight", dtype="BF16", shape=(10, 4)),
                StoredTensor(name="layers.0.norm", dtype="F32", shape=(4,)),
                expert(0, 0),
            ),
            "w-2.safetensors": (
                expert(0, 1),
                StoredTensor(name="layers.1.norm", dtype="F32", shape=(4,)),
                expert(1, 0),
                expert(1, 1),
            ),
            "w-3.safetensors": (),
        }

    @pytest.mark.parametrize(
        ("dtype", "shape", "size"), [("F32", (), 4), ("BF16", (3, 5), 30), ("F4", (6,), 3), ("U8", (0, 7), 0)]
    )
    def test_data_bytes(self, dtype: str, shape: tuple[int, ...], size: int) -> None:
        assert StoredTensor(name="x", dtype=dtype, shape=shape).data_bytes == size

    @pytest.mark.parametrize("metadata", [{}, {"format": "pt"}], ids=["no metadata", "metadata"])
    @pytest.mark.parametrize("last", ["x", "xy", "xyz", "xyz1234", "größe"])
    def test_header_is_the_one_that_the_format_s_writer_makes(self, metadata: dict[str, str], last: str) -> None:
        shapes = {"b": (2, 3), "a.10": (), "a.9": (5,), "Z": (0, 4), last: (1,)}
        kinds = {"F32": np.float32, "F16": np.float16, "U8": np.uint8}
        tensors = [
            StoredTensor(name=f"{name}.{dtype}", dtype=dtype, shape=shape)
            for name, shape in shapes.items()
            for dtype in kinds
        ]
        arrays = {tensor.name: np.zeros(tensor.shape, kinds[tensor.dtype]) for tensor in tensors}
        expected = save(arrays, metadata=metadata or None)
        # The writer leaves letters beyond ASCII alone; here they are escaped, which says the same.
        header = header_bytes(tensors, metadata)
        length = int.from_bytes(expected[:8], "little")
        if last.isascii():
            assert header == expected[: 8 + length]
        assert json.loads(header[8:]) == json.loads(expected[8 : 8 + length])
        assert len(header) % 8 == 0


@pytest.mark.parametrize("repo_id", FOLDERS)
class TestEveryModel:
    def test_the_format_s_own_reader_accepts_every_file(self, repo_id: str, tmp_path: Path) -> None:
        source = source_of(repo_id)
        elements = 0
        for path, data in beginnings(source).items():
            size = source.files[path].size_bytes
            assert size is not None
            with (tmp_path / path).open("wb") as stream:
                stream.write(data)
                stream.truncate(size)
            with safe_open(tmp_path / path, framework="numpy") as reader:
                names = reader.keys()
                parts = [reader.get_slice(name) for name in names]
                elements += sum(prod(part.get_shape()) for part in parts)
                assert reader.metadata() == {"format": "pt"}
            (tmp_path / path).unlink()
        assert elements == stored_elements(repo_id)

    def test_hubvram_reads_the_same(self, repo_id: str) -> None:
        source = source_of(repo_id)
        checkpoint = read_checkpoint(source)
        assert checkpoint.elements == stored_elements(repo_id)
        assert set(checkpoint.files) == set(source.files) - {"config.json"}
        assert checkpoint.notes == ()

    def test_the_config_is_there(self, repo_id: str) -> None:
        source = source_of(repo_id)
        assert json.loads(source.read("config.json", 2**20))["model_type"]
        with pytest.raises(FileMissingError):
            source.read("tokenizer.json", 2**20)

    def test_agrees_with_its_own_listing(self, repo_id: str) -> None:
        source = source_of(repo_id)
        assert source.agrees_with(source.files)


WITH_SIZES = [repo_id for repo_id in FOLDERS if published(repo_id)["published_file_bytes"] is not None]


@pytest.mark.parametrize("repo_id", WITH_SIZES)
def test_files_are_as_large_as_the_published_ones(repo_id: str) -> None:
    """But for the text of the headers: 64 bytes or 2 % of each."""
    source, expected = source_of(repo_id), published(repo_id)["published_file_bytes"]
    headers = beginnings(source)
    allowed = sum(max(64, len(header) // 50) for header in headers.values())
    file_bytes = read_checkpoint(source).file_bytes
    assert file_bytes is not None
    assert abs(file_bytes - expected) <= allowed
    if len(headers) == 1:
        (path,) = headers
        assert source.agrees_with({path: RepoFile(path=path, size_bytes=expected)})


def test_many_sizes_are_published() -> None:
    assert len(WITH_SIZES) >= 9


class TestAgreement:
    REPO = "google/gemma-7b"

    def listing(self, **changes: int | None) -> dict[str, RepoFile]:
        files = dict(source_of(self.REPO).files)
        path = "model-00002-of-00004.safetensors"
        size = files[path].size_bytes
        assert size is not None
        change = changes.get("by", 0)
        files[path] = RepoFile(path=path, size_bytes=None if change is None else size + change)
        return files

    @pytest.mark.parametrize("by", [0, 1, 64, -64])
    def test_the_text_of_a_header_may_differ(self, by: int) -> None:
        assert source_of(self.REPO).agrees_with(self.listing(by=by))

    @pytest.mark.parametrize("by", [3072 * 2, -3072 * 2, 1000, None])
    def test_a_tensor_may_not(self, by: int | None) -> None:
        """Its smallest is a norm of 3,072 weights in 16 bits."""
        assert not source_of(self.REPO).agrees_with(self.listing(by=by))

    def test_other_files_do_not_matter(self) -> None:
        listing = self.listing() | {"README.md": RepoFile(path="README.md", size_bytes=5)}
        del listing["config.json"]
        assert source_of(self.REPO).agrees_with(listing)

    def test_a_file_less(self) -> None:
        listing = self.listing()
        del listing["model-00004-of-00004.safetensors"]
        assert not source_of(self.REPO).agrees_with(listing)
        assert not source_of(self.REPO).agrees_with({})


class TestFind:
    REPO = "meta-llama/Llama-3.1-8B"
    SHA = "d04e592bb4f6aa9cfee91e2e20afa771667e1d4b"

    @pytest.mark.parametrize("revision", [None, "main", SHA, "d04e592"])
    def test_by_revision(self, revision: str | None) -> None:
        source = find_snapshot(self.REPO, revision, "the Hub sleeps")
        assert source is not None
        assert (source.model_id, source.revision) == (self.REPO, self.SHA)
        (note,) = source.notes
        assert note == "the Hub sleeps; answered from the snapshot bundled with hubvram of commit d04e592 (2026-10)"

    @pytest.mark.parametrize("revision", ["v1", "0" * 40, "d04e59", "refs/pr/1"])
    def test_of_another_revision(self, revision: str) -> None:
        assert find_snapshot(self.REPO, revision, "x") is None

    def test_whose_commit_is_not_known(self) -> None:
        source = find_snapshot("Qwen/Qwen2.5-0.5B", None, "x")
        assert source is not None and source.revision is None
        assert source.notes == ("x; answered from the snapshot bundled with hubvram (2026-10)",)
        assert find_snapshot("Qwen/Qwen2.5-0.5B", "0" * 40, "x") is None

    def test_by_the_id_of_old(self) -> None:
        source = find_snapshot("gpt2", None, "x")
        assert source is not None and source.model_id == "openai-community/gpt2"

    @pytest.mark.parametrize("repo_id", ["org/none", "Llama-3.1-8B", "meta-llama--Llama-3.1-8B", "", ".."])
    def test_unknown(self, repo_id: str) -> None:
        assert find_snapshot(repo_id, None, "x") is None

    def test_every_fixture_is_one(self, fixtures: Path) -> None:
        expected = {json.loads((folder / "expected.json").read_text())["repo"] for folder in fixtures.iterdir()}
        assert set(FOLDERS) == expected
