"""Which files from_pretrained fetches, over the layouts that repos have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubvram.checkpoint.fetched import Fetched, fetched_from
from hubvram.sources.interface import RepoFile
from hubvram.sources.local import LocalSource

SAFETENSORS = {"model-00001-of-00002.safetensors": 5_000, "model-00002-of-00002.safetensors": 3_000}
INDEX = "model.safetensors.index.json"
SMALL = {"config.json": 7, "generation_config.json": 5, "tokenizer.json": 400, "tokenizer_config.json": 30}
ELSEWHERE = {
    # Other formats of the same weights, other models, and what nobody loads.
    "pytorch_model.bin": 8_000,
    "tf_model.h5": 8_000,
    "model.gguf": 2_000,
    "consolidated.safetensors": 8_000,
    "onnx/model.onnx": 8_000,
    "original/tokenizer.model": 10,
    "README.md": 50,
}


def fetched(folder: Path, sizes: dict[str, int], weights: tuple[str, ...] = ()) -> Fetched:
    for name, size_bytes in sizes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        os.truncate(folder / name, size_bytes)
    return fetched_from(LocalSource(folder), weights)


def test_shards_their_index_and_what_is_small(tmp_path: Path) -> None:
    found = fetched(tmp_path, {**SAFETENSORS, INDEX: 90, **SMALL, **ELSEWHERE}, tuple(SAFETENSORS))
    assert (found.weight_files, found.weight_bytes) == (2, 8_000)
    assert (found.other_files, found.other_bytes) == (5, 90 + 7 + 5 + 400 + 30)
    assert (found.is_here, found.is_found, found.are_pickled) == (True, True, False)


def test_a_single_file_needs_no_index(tmp_path: Path) -> None:
    found = fetched(tmp_path, {"model.safetensors": 8_000, **SAFETENSORS, INDEX: 90}, ("model.safetensors",))
    assert (found.weight_files, found.weight_bytes, found.other_files) == (1, 8_000, 0)


@pytest.mark.parametrize(("beside", "is_found"), [({}, False), ({INDEX: 90}, True), ({"config.json": 1}, False)])
def test_a_name_that_transformers_does_not_look_for(tmp_path: Path, beside: dict[str, int], *, is_found: bool) -> None:
    assert fetched(tmp_path, {"weights.safetensors": 10, **beside}, ("weights.safetensors",)).is_found == is_found


@pytest.mark.parametrize(
    ("sizes", "weight_bytes"),
    [
        ({"pytorch_model.bin": 40, "pytorch_model.bin.index.json": 9}, 40),
        ({"pytorch_model-00001-of-00002.bin": 40, "pytorch_model-00002-of-00002.bin": 2}, 42),
        ({"pytorch_model.bin": 40, "training_args.bin": 3, "pytorch_model.fp16.bin": 20}, 40),
    ],
)
def test_pickles_where_there_is_nothing_else(tmp_path: Path, sizes: dict[str, int], weight_bytes: int) -> None:
    found = fetched(tmp_path, sizes)
    assert (found.are_pickled, found.is_found, found.weight_bytes) == (True, True, weight_bytes)


def test_nothing_to_load(tmp_path: Path) -> None:
    assert fetched(tmp_path, {"model.gguf": 5}).weight_bytes is None


def test_sizes_that_are_not_listed(tmp_path: Path) -> None:
    source = LocalSource(tmp_path)
    source.__dict__["files"] = {
        name: RepoFile(path=name, size_bytes=None) for name in ("model.safetensors", "config.json")
    }
    found = fetched_from(source, ("model.safetensors",))
    assert (found.weight_bytes, found.other_files, found.other_bytes) == (None, 0, 0)
