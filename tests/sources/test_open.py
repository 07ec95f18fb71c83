"""Which source answers: the Hub first, then what is at hand, and a note that says so."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.errors import (
    BadTokenError,
    FileMissingError,
    GatedRepoError,
    HubBusyError,
    HubResponseError,
    NetworkError,
    OfflineError,
    RepoNotFoundError,
    RevisionNotFoundError,
    UnreachableError,
    UsageError,
)
from hubvram.sources.hub import HubSource
from hubvram.sources.local import LocalSource
from hubvram.sources.open import open_source
from hubvram.sources.snapshot import SnapshotSource
from tests.hub import Fault, HubFile, LoopbackHub, safetensors_file

MODEL = "org/model"
KNOWN = "google/gemma-3-1b-it"  # a snapshot of one file, whose published size is known
KNOWN_SHA = "dcc83ea841ab6100d6b47a070329e1ba4cf78752"
KNOWN_PARAMETERS = 999_885_952
FILE = safetensors_file({"w": ("F32", (5,))})
FILES = {"config.json": b"{}", "model.safetensors": FILE.data.ljust(FILE.size, b"\0")}
FROM_CACHE = "read from the copy in this machine's Hub cache"
FROM_SNAPSHOT = "answered from the snapshot bundled with hubvram of commit dcc83ea (2026-10)"

pytestmark = pytest.mark.usefixtures("downloads")


@pytest.fixture
def published_bytes(fixtures: Path) -> int:
    expected = json.loads((fixtures / KNOWN.replace("/", "--") / "expected.json").read_text())
    return int(expected["published_file_bytes"])


def download(repo_id: str, revision: str | None = None) -> None:
    """As huggingface_hub does it, into its cache."""
    from huggingface_hub import hf_hub_download

    for file in FILES:
        hf_hub_download(repo_id, file, revision=revision)


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


class TestReachable:
    def test_a_folder(self, hub: LoopbackHub, tmp_path: Path) -> None:
        source = open_source(str(tmp_path))
        assert isinstance(source, LocalSource)
        assert hub.requests == []

    @pytest.mark.parametrize("text", [MODEL, f"{MODEL}@main", "{endpoint}/org/model/tree/main"])
    def test_the_hub(self, hub: LoopbackHub, text: str) -> None:
        sha = hub.add_repo(MODEL, FILES)
        source = open_source(text.format(endpoint=hub.endpoint))
        assert isinstance(source, HubSource)
        assert (source.model_id, source.revision, source.notes) == (MODEL, sha, ())
        assert len(hub.requests) == 1

    def test_the_hub_wins_over_copies(self, hub: LoopbackHub) -> None:
        hub.add_repo(KNOWN, FILES)
        download(KNOWN)
        moved = hub.add_revision(KNOWN, "main", {"config.json": b"{}", "model.safetensors": b""})
        source = open_source(KNOWN)
        assert isinstance(source, HubSource)
        assert source.revision == moved

    @pytest.mark.parametrize("revision", ["v1", "refs/pr/1"])
    def test_a_revision(self, hub: LoopbackHub, revision: str) -> None:
        hub.add_repo(MODEL, {})
        sha = hub.add_revision(MODEL, revision, FILES)
        assert open_source(MODEL, revision).revision == open_source(f"{MODEL}@{revision}").revision == sha
        with pytest.raises(RevisionNotFoundError):
            open_source(MODEL, "v2")

    def test_what_the_hub_does_not_have_is_not_answered_from_copies(self, hub: LoopbackHub) -> None:
        with pytest.raises(RepoNotFoundError):
            open_source(KNOWN)

    def test_neither_is_what_it_refuses(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.add_repo(KNOWN, FILES)
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(BadTokenError):
            open_source(KNOWN)

    def test_neither_is_what_is_no_hub(self, hub: LoopbackHub) -> None:
        hub.faults.append(Fault("status:418"))
        with pytest.raises(HubResponseError):
            open_source(KNOWN)

    def test_a_mistake_is_told_before_anybody_is_asked(self, hub: LoopbackHub) -> None:
        for text in ("a b", "https://huggingface.co/datasets/org/name"):
            with pytest.raises(UsageError):
                open_source(text)
        with pytest.raises(FileMissingError):
            open_source("./absent")
        assert hub.requests == []


REASONS = {
    "refused": "the Hub could not be reached",
    "503": "the Hub cannot answer for now",
    "offline": "offline mode is on",
}


class TestUnreachable:
    @pytest.fixture(params=["refused", "503", "offline"])
    def why(self, request: pytest.FixtureRequest, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> str:
        """What is downloaded first is downloaded before this."""
        from huggingface_hub import constants

        hub.add_repo(MODEL, FILES)
        download(MODEL)
        hub.clear_requests()
        if request.param == "refused":
            monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        elif request.param == "503":
            hub.faults.append(Fault("status:503", times=1000))
        else:
            go_offline(monkeypatch)
        return str(request.param)

    def test_the_cached_copy(self, hub: LoopbackHub, why: str) -> None:
        start = time.perf_counter()
        source = open_source(MODEL)
        assert isinstance(source, LocalSource)
        assert source.notes == (f"{REASONS[why]}; {FROM_CACHE}",)
        assert (source.model_id, source.requested_revision) == (MODEL, "main")
        assert source.revision is not None and len(source.revision) == 40
        assert read_checkpoint(source).elements == 5
        assert len(hub.requests) == (4 if why == "503" else 0)
        assert time.perf_counter() - start < 10

    @pytest.mark.parametrize("revision", [None, "main", KNOWN_SHA])
    def test_the_snapshot(self, why: str, revision: str | None) -> None:
        source = open_source(KNOWN, revision)
        assert isinstance(source, SnapshotSource)
        assert source.notes == (f"{REASONS[why]}; {FROM_SNAPSHOT}",)
        assert read_checkpoint(source).elements == KNOWN_PARAMETERS

    @pytest.mark.parametrize("text", [f"{KNOWN}@v1", f"{MODEL}@v1", "org/other", "model"])
    def test_neither(self, why: str, text: str) -> None:
        with pytest.raises(UnreachableError) as caught:
            open_source(text)
        assert type(caught.value) is {"offline": OfflineError, "503": HubBusyError, "refused": NetworkError}[why]
        assert caught.value.model_id == text.partition("@")[0]


def test_a_cached_copy_wins_over_the_snapshot(hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add_repo(KNOWN, FILES)
    download(KNOWN)
    go_offline(monkeypatch)
    assert isinstance(open_source(KNOWN), LocalSource)
    assert isinstance(open_source(KNOWN, KNOWN_SHA), SnapshotSource)


def test_the_id_of_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    go_offline(monkeypatch)
    assert open_source("gpt2").model_id == "openai-community/gpt2"


class TestGated:
    def add(self, hub: LoopbackHub, size_bytes: int) -> str:
        """The gated repo of the snapshot; nobody gets to see what is in its files."""
        files: dict[str, HubFile | bytes] = {
            "config.json": b"{}",
            "model.safetensors": HubFile(b"", size_bytes=size_bytes),
        }
        return hub.add_repo(KNOWN, files, gated="manual", renamed_from=["gemma-of-old"])

    @pytest.mark.parametrize(
        ("token", "reason"),
        [
            (None, "the repo is gated and no token was given"),
            ("hf_stranger", "the repo is gated and this token has no access"),
        ],
    )
    def test_the_snapshot(
        self, hub: LoopbackHub, published_bytes: int, token: str | None, reason: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if token:
            hub.tokens[token] = set()
            monkeypatch.setenv("HF_TOKEN", token)
        sha = self.add(hub, published_bytes)
        source = open_source(KNOWN)
        assert isinstance(source, SnapshotSource)
        assert source.notes == (
            f"{reason}; {FROM_SNAPSHOT}",
            f"its file sizes agree with what the Hub lists at {sha[:7]}",
        )
        assert read_checkpoint(source).elements == KNOWN_PARAMETERS

    def test_the_snapshot_of_what_has_changed_since(self, hub: LoopbackHub, published_bytes: int) -> None:
        sha = self.add(hub, published_bytes + 100_000)
        assert open_source(KNOWN).notes[1] == f"its file sizes DIFFER from what the Hub lists at {sha[:7]}"

    @pytest.mark.parametrize("name", ["Google/Gemma-3-1B-it", "gemma-of-old"])
    def test_under_another_name(self, hub: LoopbackHub, published_bytes: int, name: str) -> None:
        self.add(hub, published_bytes)
        source = open_source(name)
        assert isinstance(source, SnapshotSource)
        assert source.model_id == KNOWN

    def test_another_revision_has_no_snapshot(self, hub: LoopbackHub, published_bytes: int) -> None:
        self.add(hub, published_bytes)
        hub.add_revision(KNOWN, "v1", FILES)
        assert isinstance(open_source(KNOWN, "v1"), HubSource)

    def test_without_a_stand_in_the_listing_is_left(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, FILES, gated="auto", safetensors_summary={"parameters": {"F32": 5}, "total": 5})
        source = open_source(MODEL)
        assert isinstance(source, HubSource)
        assert source.summary is not None and source.summary.elements_by_dtype == {"F32": 5}
        assert source.files["model.safetensors"].size_bytes == FILE.size
        with pytest.raises(GatedRepoError):
            read_checkpoint(source)

    def test_with_access(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.tokens["hf_reader"] = {KNOWN}
        hub.add_repo(KNOWN, FILES, gated="manual")
        monkeypatch.setenv("HF_TOKEN", "hf_reader")
        source = open_source(KNOWN)
        assert isinstance(source, HubSource)
        requests = len(hub.requests)
        assert source.read("config.json", 100) == b"{}"
        assert len(hub.requests) == requests, "the config that decided it is kept"
        assert read_checkpoint(source).elements == 5

    def test_with_access_and_without_a_config(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.tokens["hf_reader"] = {MODEL}
        hub.add_repo(MODEL, {"model.safetensors": FILES["model.safetensors"]}, gated="manual")
        monkeypatch.setenv("HF_TOKEN", "hf_reader")
        assert isinstance(open_source(MODEL), HubSource)

    def test_a_copy_of_the_same_commit(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        """Downloaded with a token that is gone now."""
        hub.tokens["hf_reader"] = {KNOWN}
        sha = hub.add_repo(KNOWN, FILES, gated="manual")
        monkeypatch.setenv("HF_TOKEN", "hf_reader")
        download(KNOWN)
        monkeypatch.delenv("HF_TOKEN")
        source = open_source(KNOWN)
        assert isinstance(source, LocalSource)
        assert source.notes == (f"the repo is gated and no token was given; {FROM_CACHE}",)
        assert (source.revision, source.requested_revision) == (sha, "main")
        hub.add_revision(KNOWN, "main", {"config.json": b"{ }"})
        assert isinstance(open_source(KNOWN), SnapshotSource)
