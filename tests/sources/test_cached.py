"""Models that huggingface_hub downloaded before."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.sources.cached import find_cached
from tests.hub import LoopbackHub, safetensors_file

MODEL = "org/model"
FILE = safetensors_file({"w": ("F32", (5,))})
FILES = {"config.json": b"{}", "model.safetensors": FILE.data.ljust(FILE.size, b"\0")}


pytestmark = pytest.mark.usefixtures("downloads")


@pytest.fixture
def sha(hub: LoopbackHub) -> str:
    """The commit that huggingface_hub itself has put into the cache."""
    from huggingface_hub import hf_hub_download

    sha = hub.add_repo(MODEL, FILES)
    for file in FILES:
        hf_hub_download(MODEL, file)
    hub.clear_requests()
    return sha


@pytest.mark.parametrize("revision", [None, "main"])
def test_found_by_branch(hub: LoopbackHub, sha: str, revision: str | None) -> None:
    source = find_cached(MODEL, revision, "the Hub sleeps")
    assert source is not None
    assert (source.model_id, source.revision, source.requested_revision) == (MODEL, sha, "main")
    assert source.notes == ("the Hub sleeps; read from the copy in this machine's Hub cache",)
    assert source.read("config.json", 10) == b"{}"
    assert read_checkpoint(source).elements == 5
    assert hub.requests == []


def test_found_by_commit(sha: str) -> None:
    source = find_cached(MODEL, sha, "x")
    assert source is not None
    assert (source.revision, source.requested_revision) == (sha, sha)


@pytest.mark.parametrize(("repo", "revision"), [(MODEL, "v1"), (MODEL, "0" * 40), ("org/other", None), ("model", None)])
def test_not_found(sha: str, repo: str, revision: str | None) -> None:
    assert find_cached(repo, revision, "x") is None


def test_no_cache_at_all() -> None:
    assert find_cached(MODEL, None, "x") is None


def test_a_cache_without_the_weights(hub: LoopbackHub) -> None:
    """transformers' AutoConfig leaves just this behind."""
    from huggingface_hub import hf_hub_download

    hub.add_repo(MODEL, FILES)
    hf_hub_download(MODEL, "config.json")
    assert find_cached(MODEL, None, "x") is None


def test_a_file_that_is_known_not_to_exist(hub: LoopbackHub) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    hub.add_repo(MODEL, {"model.safetensors": b""})
    with pytest.raises(EntryNotFoundError):
        hf_hub_download(MODEL, "config.json")
    assert find_cached(MODEL, None, "x") is None


def test_the_cache_is_where_huggingface_hub_has_it(sha: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert find_cached(MODEL, None, "x") is None
