"""All headers of a sharded checkpoint in one request, and what is done where they cannot be believed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.checkpoint.tensors import Checkpoint
from hubvram.sources.hub import HubSource
from hubvram.sources.interface import RepoFile
from hubvram.sources.shard_headers import beginnings_in, index_of
from tests.hub import Fault, LoopbackHub
from tests.hub.checkpoints import sharded_checkpoint

from .conftest import forget

MODEL = "org/model"
INDEX = "model.safetensors.index.json"
FILES = sharded_checkpoint(
    [{f"layers.{layer}.{name}.weight": ("BF16", (8, 16)) for name in "abc"} for layer in range(5)]
)


def read(hub: LoopbackHub, revision: str | None = None) -> Checkpoint:
    return read_checkpoint(HubSource.open(MODEL, revision))


def paths(hub: LoopbackHub) -> list[str]:
    return [request.path for request in hub.requests if request.origin == "hub"]


def test_two_requests_for_a_sharded_model(hub: LoopbackHub) -> None:
    hub.add_repo(MODEL, FILES)
    checkpoint = read(hub)
    assert (len(checkpoint.tensors), len(checkpoint.files)) == (15, 5)
    assert paths(hub) == [f"/api/models/{MODEL}", f"/api/models/{MODEL}/safetensors-metadata/{INDEX}"]
    assert hub.bytes_sent("cdn") == 0


def test_it_is_what_ranges_say(hub: LoopbackHub) -> None:
    hub.add_repo(MODEL, FILES)
    at_once = read(hub)
    forget()
    hub.serve_safetensors_metadata = False
    assert read(hub) == at_once


def test_another_revision_is_read_by_ranges(hub: LoopbackHub) -> None:
    repo = hub.add_repo(MODEL, FILES)
    read(hub, repo)
    assert not any("safetensors-metadata" in path for path in paths(hub))


def test_a_single_file_needs_no_index(hub: LoopbackHub) -> None:
    hub.add_repo(MODEL, {"model.safetensors": FILES["model-00001-of-00005.safetensors"]})
    read(hub)
    assert not any("safetensors-metadata" in path for path in paths(hub))


@pytest.mark.parametrize("status", [401, 404, 400])
def test_a_refusal_is_no_failure(hub: LoopbackHub, status: int) -> None:
    hub.add_repo(MODEL, FILES)
    hub.faults.append(Fault(f"status:{status}", times=1, path_contains="safetensors-metadata"))
    assert len(read(hub).tensors) == 15


GOOD = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}  # 54 bytes of compact JSON
SIZED = {"model-1-of-1.safetensors": RepoFile(path="model-1-of-1.safetensors", size_bytes=8 + 54 + 2 + 16)}


def compact(answer: Any) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode()


def test_a_header_that_agrees_with_the_listing_is_padded_to_its_place() -> None:
    found = beginnings_in(compact({"headers": {"model-1-of-1.safetensors": GOOD}}), INDEX, SIZED)
    (beginning,) = found.values()
    assert beginning.file_bytes == 80
    assert beginning.data == (56).to_bytes(8, "little") + (
        b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'.ljust(56)
    )


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 64]}},  # no room left for the header
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, -9999]}},  # far more than it needs
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": []}},
        {"a": {"data_offsets": ["0", "16"]}},
        {"a": 1},
        {"a": {}},
        [],
        None,
        "text",
    ],
    ids=repr,
)
def test_a_header_that_does_not_is_left_to_ranges(header: Any) -> None:
    assert beginnings_in(compact({"headers": {"model-1-of-1.safetensors": header}}), INDEX, SIZED) == {}


def test_a_header_with_more_spaces_than_the_file_has_is_written_anew() -> None:
    spaced = json.dumps({"headers": {"model-1-of-1.safetensors": GOOD}}, indent=2).encode()
    assert beginnings_in(spaced, INDEX, SIZED) == beginnings_in(
        compact({"headers": {"model-1-of-1.safetensors": GOOD}}), INDEX, SIZED
    )


@pytest.mark.parametrize(
    "end", [b"", b"}", b'{"headers"', b'{"headers":{"model-1-of-1.safetensors":', b"\xff", b"[" * 10**6]
)
def test_an_answer_that_breaks_off_says_nothing(end: bytes) -> None:
    assert beginnings_in(end, INDEX, SIZED) == {}


@pytest.mark.parametrize("answer", [{}, {"headers": None}, {"headers": []}, {"headers": {"other.safetensors": GOOD}}])
def test_an_answer_of_another_form_says_nothing(answer: Any) -> None:
    assert beginnings_in(compact(answer), INDEX, SIZED) == {}


@pytest.mark.parametrize(
    ("shard", "index"),
    [
        ("model-00001-of-00002.safetensors", INDEX),
        ("model_00001-of-00002.safetensors", INDEX),
        ("sub/model-00001-of-00002.safetensors", "sub/model.safetensors.index.json"),
        ("other-00001-of-00002.safetensors", None),
        ("modeling-1.safetensors", None),
    ],
)
def test_the_index_of_a_shard(shard: str, index: str | None) -> None:
    assert index_of([INDEX, "sub/model.safetensors.index.json", "README.md"], shard) == index
