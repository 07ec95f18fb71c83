"""HubSource against a Hub on real sockets: what is asked, what is read, and what is refused."""

from __future__ import annotations

import re
import time
from collections import Counter

import pytest

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.errors import (
    BadTokenError,
    CheckpointError,
    DisabledRepoError,
    FileMissingError,
    GatedRepoError,
    HubBusyError,
    HubResponseError,
    ModelUnreadableError,
    NetworkError,
    OfflineError,
    RepoNotFoundError,
    RevisionNotFoundError,
)
from hubvram.sources.hub import HubSource
from hubvram.sources.interface import PublicSummary, RepoFile
from hubvram.sources.network import Network
from tests.hub import Fault, HubFile, LoopbackHub, Tensors, safetensors_file, sharded_checkpoint

MODEL = "org/model"
CONFIG = b'{"model_type": "llama"}'
SMALL: Tensors = {"w": ("BF16", (4, 8)), "b": ("F32", (4,))}
MIB = 2**20
GB = 10**9
TOKEN = "hf_secret"


def single(tensors: Tensors = SMALL) -> dict[str, HubFile | bytes]:
    return {"config.json": CONFIG, "model.safetensors": safetensors_file(tensors, {"format": "pt"})}


def sharded(number: int, tensors_each: int = 3) -> dict[str, HubFile | bytes]:
    shards: list[Tensors] = [
        {f"layers.{shard}.{index}.weight": ("BF16", (64, 64)) for index in range(tensors_each)}
        for shard in range(number)
    ]
    return {"config.json": CONFIG, **sharded_checkpoint(shards)}


def header_bytes(file: HubFile | bytes) -> int:
    """8 + N of a file made by safetensors_file, which stores nothing else."""
    assert isinstance(file, HubFile)
    return len(file.data)


def ranges(hub: LoopbackHub) -> list[str]:
    return [request.headers["range"] for request in hub.requests if request.origin == "cdn"]


class TestListing:
    def test_files_with_sizes_and_hashes(self, hub: LoopbackHub) -> None:
        from huggingface_hub import HfApi

        sha = hub.add_repo(MODEL, single() | {"sub/notes.txt": b"notes"})
        source = HubSource.open(MODEL, None)
        info = HfApi(endpoint=hub.endpoint, token=False).model_info(MODEL, files_metadata=True)
        assert info.siblings is not None
        assert dict(source.files) == {
            file.rfilename: RepoFile(
                path=file.rfilename,
                size_bytes=file.size,
                content_hash=file.lfs.sha256 if file.lfs else file.blob_id,
            )
            for file in info.siblings
        }
        assert (source.model_id, source.revision, source.requested_revision) == (MODEL, sha, "main")
        assert source.notes == ()

    def test_one_request(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        HubSource.open(MODEL, None)
        (request,) = hub.requests
        assert (request.path, request.query) == (f"/api/models/{MODEL}", "blobs=true")
        assert re.fullmatch(r"hubvram/\d+\.\d+\.\d+", request.headers["user-agent"])

    def test_what_the_hub_tells_everybody(self, hub: LoopbackHub) -> None:
        hub.add_repo(
            MODEL,
            single(),
            gated="manual",
            config={"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
            safetensors_summary={"parameters": {"BF16": 32, "F32": 4}, "total": 36},
        )
        assert HubSource.open(MODEL, None).summary == PublicSummary(
            gated=True,
            model_type="llama",
            architectures=("LlamaForCausalLM",),
            library="transformers",
            elements_by_dtype={"BF16": 32, "F32": 4},
        )

    def test_a_hub_that_tells_little(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        assert HubSource.open(MODEL, None).summary == PublicSummary(
            gated=False, model_type=None, architectures=(), library="transformers", elements_by_dtype={}
        )

    @pytest.mark.parametrize("elements", [-1, "36", 1.5, None])
    def test_totals_that_make_no_sense_are_none(self, hub: LoopbackHub, elements: object) -> None:
        hub.add_repo(MODEL, single(), safetensors_summary={"parameters": {"BF16": 32, "F32": elements}})
        summary = HubSource.open(MODEL, None).summary
        assert summary is not None and summary.elements_by_dtype == {}

    @pytest.mark.parametrize("name", ["former/name", "gpt0", "ORG/Model"])
    def test_other_names_lead_to_the_present_one(self, hub: LoopbackHub, name: str) -> None:
        hub.add_repo(MODEL, single(), renamed_from=["former/name", "gpt0"])
        source = HubSource.open(name, None)
        assert source.model_id == MODEL
        assert read_checkpoint(source).elements == 36
        # Once led on, the present name is used.
        assert Counter(request.status for request in hub.requests) == {307: 1, 200: 1, 302: 1, 206: 1}

    def test_an_id_without_an_organisation(self, hub: LoopbackHub) -> None:
        hub.add_repo("gpt0", single())
        source = HubSource.open("gpt0", None)
        assert source.model_id == "gpt0"
        assert source.read("config.json", 1000) == CONFIG
        assert read_checkpoint(source).elements == 36

    def test_names_that_must_be_quoted(self, hub: LoopbackHub) -> None:
        files = single() | {"a dir/ü#?%2F&.json": b"odd"}
        hub.add_repo(MODEL, files)
        assert HubSource.open(MODEL, None).read("a dir/ü#?%2F&.json", 10) == b"odd"


class TestRevisions:
    def test_what_was_listed_is_what_is_read(self, hub: LoopbackHub) -> None:
        """main moves between the listing and the rest: everything stays at the listed commit."""
        old = hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        new = hub.add_revision(MODEL, "main", {"config.json": b"{}", "model.safetensors": safetensors_file({})})
        assert source.revision == old != new
        assert source.read("config.json", 1000) == CONFIG
        assert {tensor.name for tensor in read_checkpoint(source).tensors} == {"w", "b"}
        assert HubSource.open(MODEL, None).revision == new

    @pytest.mark.parametrize("revision", ["v1.0", "refs/pr/1", "feature/a b"])
    def test_by_name(self, hub: LoopbackHub, revision: str) -> None:
        hub.add_repo(MODEL, single())
        sha = hub.add_revision(MODEL, revision, single({"only": ("U8", (7,))}))
        source = HubSource.open(MODEL, revision)
        assert (source.revision, source.requested_revision) == (sha, revision)
        assert read_checkpoint(source).elements == 7
        assert all(f"/{sha}/" in request.path for request in hub.requests[1:] if request.origin == "hub")

    def test_by_commit(self, hub: LoopbackHub) -> None:
        old = hub.add_repo(MODEL, single())
        hub.add_revision(MODEL, "main", {})
        source = HubSource.open(MODEL, old)
        assert (source.revision, source.requested_revision) == (old, old)
        assert read_checkpoint(source).elements == 36

    def test_missing(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        with pytest.raises(RevisionNotFoundError) as caught:
            HubSource.open(MODEL, "nope/x")
        assert (caught.value.model_id, caught.value.revision) == (MODEL, "nope/x")


class TestBeginnings:
    def test_a_single_file(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single({"w": ("U8", (100 * GB,))}))
        checkpoint = read_checkpoint(HubSource.open(MODEL, None))
        assert checkpoint.stored_bytes == 100 * GB
        assert checkpoint.file_bytes == 100 * GB + header_bytes(single({"w": ("U8", (100 * GB,))})["model.safetensors"])
        assert [request.status for request in hub.requests] == [200, 302, 206]
        assert hub.bytes_sent("cdn") == 64 * 1024

    def test_never_more_than_the_file(self, hub: LoopbackHub) -> None:
        files = single()
        hub.add_repo(MODEL, files)
        read_checkpoint(HubSource.open(MODEL, None))
        file = files["model.safetensors"]
        assert isinstance(file, HubFile)
        assert ranges(hub) == [f"bytes=0-{file.size - 1}"]

    def test_a_header_longer_than_the_first_guess(self, hub: LoopbackHub) -> None:
        tensors: Tensors = {f"layers.{index}.weight": ("F16", (1000, 1000)) for index in range(5000)}
        files = single(tensors)
        length = header_bytes(files["model.safetensors"])
        hub.add_repo(MODEL, files)
        checkpoint = read_checkpoint(HubSource.open(MODEL, None))
        assert {tensor.name for tensor in checkpoint.tensors} == set(tensors)
        assert ranges(hub) == ["bytes=0-65535", f"bytes=65536-{length - 1}"]
        assert hub.bytes_sent("cdn") == length

    @pytest.mark.parametrize("tensors_each", [1, 40, 400])
    def test_shards_take_one_request_each(self, hub: LoopbackHub, tensors_each: int) -> None:
        """Where no endpoint has all headers at once, which is asked first, the index tells how long they are: two
        answers (redirect, bytes) per shard, few bytes too many."""
        files = sharded(6, tensors_each)
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, files)
        checkpoint = read_checkpoint(HubSource.open(MODEL, None))
        assert len(checkpoint.tensors) == 6 * tensors_each
        assert len(checkpoint.files) == 6
        assert len(hub.requests) == 1 + 1 + 2 * 6
        needed = sum(header_bytes(file) for name, file in files.items() if name.endswith(".safetensors"))
        assert needed <= hub.bytes_sent("cdn") <= 1.6 * needed + 6 * 4096

    def test_shards_without_an_index(self, hub: LoopbackHub) -> None:
        files = sharded(3)
        del files["model.safetensors.index.json"]
        hub.add_repo(MODEL, files)
        assert len(read_checkpoint(HubSource.open(MODEL, None)).tensors) == 9

    @pytest.mark.parametrize("tensors", [1, 5000], ids=["short header", "long header"])
    def test_a_server_that_ignores_ranges(self, hub: LoopbackHub, tensors: int) -> None:
        """It would send 100 GB: reading stops, and what is on its way is no more than sockets hold."""
        hub.ignore_range = True
        names = {f"layers.{index}.weight": ("U8", (100 * GB // tensors,)) for index in range(tensors)}
        hub.add_repo(MODEL, single(names))
        checkpoint = read_checkpoint(HubSource.open(MODEL, None))
        assert len(checkpoint.tensors) == tensors
        assert checkpoint.stored_bytes == 100 * GB
        assert [request.status for request in hub.requests] == [200, 302, 200]
        assert hub.bytes_sent("cdn") < 16 * MIB

    @pytest.mark.parametrize("ignore_range", [False, True])
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ((1001 - 8).to_bytes(8, "little") + b"{}", "a header of 993 bytes in a file of 1,000"),
            ((2**63).to_bytes(8, "little") + b"{}", "the format allows 100,000,000"),
            ((2).to_bytes(8, "little") + b"[]", "not a JSON object"),
            ((2).to_bytes(8, "little") + b"{}", "the tensors take 0 bytes, the file holds 990"),
        ],
        ids=["beyond the file", "beyond the format", "not a header", "trailing bytes"],
    )
    def test_malformed(self, hub: LoopbackHub, content: bytes, reason: str, ignore_range: bool) -> None:
        hub.ignore_range = ignore_range
        hub.add_repo(MODEL, {"model.safetensors": HubFile(content, size_bytes=1000)})
        with pytest.raises(CheckpointError, match=reason) as caught:
            read_checkpoint(HubSource.open(MODEL, None))
        assert (caught.value.model_id, caught.value.file) == (MODEL, "model.safetensors")
        assert len(hub.requests) == 3

    @pytest.mark.parametrize("content", [b"\2", b"\2\0\0\0\0\0\0"], ids=["1 byte", "7 bytes"])
    def test_too_short_to_be_a_file(self, hub: LoopbackHub, content: bytes) -> None:
        hub.add_repo(MODEL, {"model.safetensors": content})
        with pytest.raises(CheckpointError, match="shorter than the 8 bytes"):
            read_checkpoint(HubSource.open(MODEL, None))

    def test_an_empty_file_has_no_range(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, {"model.safetensors": b""})
        with pytest.raises(ModelUnreadableError):
            read_checkpoint(HubSource.open(MODEL, None))

    def test_a_file_that_is_not_in_lfs(self, hub: LoopbackHub) -> None:
        """A tiny model may be a plain git blob: the Hub itself serves the range."""
        file = safetensors_file(SMALL)
        plain = HubFile(file.data.ljust(file.size, b"\0"), lfs=False)
        hub.add_repo(MODEL, {"model.safetensors": plain})
        assert read_checkpoint(HubSource.open(MODEL, None)).elements == 36
        assert [request.status for request in hub.requests] == [200, 307, 206]


class TestConcurrency:
    def test_all_at_once(self, hub: LoopbackHub) -> None:
        """40 shards are asked for over 40 connections to the Hub, and over 40 to its storage.

        No answer comes before all 40 have asked, so that no connection is free for a second request.
        """
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, sharded(40))
        source = HubSource.open(MODEL, None)
        hub.gathers = 40
        assert len(read_checkpoint(source).files) == 40
        assert (hub.connections("hub"), hub.connections("cdn")) == (40, 40)

    def test_a_bound_on_what_is_in_flight(self, hub: LoopbackHub) -> None:
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, sharded(40))
        source = HubSource.open(MODEL, None, Network(requests_in_flight=4))
        hub.latency_seconds = 0.01
        assert len(read_checkpoint(source).files) == 40
        assert hub.connections("cdn") <= 4

    def test_progress(self, hub: LoopbackHub) -> None:
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, sharded(12))
        seen: list[tuple[int, int]] = []
        read_checkpoint(HubSource.open(MODEL, None), lambda done, total: seen.append((done, total)))
        assert seen == [(done, 12) for done in range(1, 13)]

    def test_a_bad_shard_ends_it(self, hub: LoopbackHub) -> None:
        files = sharded(100)
        files["model-00003-of-00100.safetensors"] = b"not a safetensors file"
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, files)
        source = HubSource.open(MODEL, None)
        hub.latency_seconds = 0.05
        with pytest.raises(CheckpointError) as caught:
            read_checkpoint(source)
        assert caught.value.file == "model-00003-of-00100.safetensors"
        # What was waiting is not begun any more.
        assert len(hub.requests) < 2 * 100

    def test_a_shard_that_vanished_ends_it(self, hub: LoopbackHub) -> None:
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, sharded(20))
        source = HubSource.open(MODEL, None)
        hub.faults.append(Fault("status:404", times=3, path_contains="model-00007", origin="cdn"))
        start = time.perf_counter()
        with pytest.raises(FileMissingError, match="model-00007"):
            read_checkpoint(source)
        assert time.perf_counter() - start < 5

    def test_no_files_at_all(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        assert HubSource.open(MODEL, None).read_beginnings([], lambda *_: 8) == {}


class TestSmallFiles:
    def test_one_request_pinned_to_the_commit(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        assert source.read("config.json", 1000) == CONFIG
        assert [request.path for request in hub.requests[1:]] == [
            f"/api/resolve-cache/models/{MODEL}/{source.revision}/config.json"
        ]

    @pytest.mark.parametrize("status", [400, 404])
    def test_a_server_without_that_address_is_asked_the_usual_way(self, hub: LoopbackHub, status: int) -> None:
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        hub.faults.append(Fault(f"status:{status}", times=1, path_contains="resolve-cache"))
        assert source.read("config.json", 1000) == CONFIG
        assert [request.status for request in hub.requests[1:]] == [status, 307, 200]

    def test_a_file_that_is_not_listed_is_not_asked_for(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        with pytest.raises(FileMissingError):
            source.read("other.json", 1000)
        assert len(hub.requests) == 1

    def test_read_once(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        assert source.read("config.json", 1000) == CONFIG
        requests = len(hub.requests)
        assert source.read("config.json", 1000) == CONFIG
        assert len(hub.requests) == requests

    def test_limit(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        assert source.read("config.json", len(CONFIG)) == CONFIG
        with pytest.raises(HubResponseError, match="larger than 22 bytes"):
            HubSource.open(MODEL, None).read("config.json", len(CONFIG) - 1)

    def test_a_large_file_where_a_small_one_belongs(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, {"config.json": HubFile(b"{", size_bytes=100 * GB, lfs=True)})
        with pytest.raises(HubResponseError, match="larger than"):
            HubSource.open(MODEL, None).read("config.json", MIB)
        assert hub.bytes_sent("cdn") < 16 * MIB

    def test_missing(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, {"model.safetensors": b""})
        with pytest.raises(FileMissingError) as caught:
            HubSource.open(MODEL, None).read("config.json", 1000)
        assert caught.value.file == "config.json"


class TestTransientFailures:
    @pytest.mark.parametrize("origin", ["hub", "cdn"])
    @pytest.mark.parametrize(
        "kind", ["status:503", "status:500", "status:502", "status:504", "status:429", "reset", "truncate"]
    )
    def test_twice_is_survived(self, hub: LoopbackHub, kind: str, origin: str) -> None:
        hub.add_repo(MODEL, single())
        hub.faults.append(Fault(kind, times=2, origin="cdn" if origin == "cdn" else "hub"))
        assert read_checkpoint(HubSource.open(MODEL, None)).elements == 36
        assert hub.faults == []

    @pytest.mark.parametrize("origin", ["hub", "cdn"])
    @pytest.mark.parametrize("kind", ["stall", "stall-body"])
    def test_a_stall_is_survived(
        self, hub: LoopbackHub, kind: str, origin: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("hubvram.sources.http.READ_SECONDS", 0.2)
        hub.add_repo(MODEL, single())
        hub.faults.append(Fault(kind, origin="cdn" if origin == "cdn" else "hub"))
        assert read_checkpoint(HubSource.open(MODEL, None)).elements == 36

    @pytest.mark.parametrize(
        ("kind", "detail"),
        [
            ("reset", "the connection broke"),
            ("truncate", "the connection broke"),
            ("stall", "no answer in time"),
            ("stall-body", "no answer in time"),
        ],
    )
    def test_for_ever(self, hub: LoopbackHub, kind: str, detail: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hubvram.sources.http.READ_SECONDS", 0.1)
        hub.add_repo(MODEL, single())
        hub.faults.append(Fault(kind, times=1000))
        with pytest.raises(NetworkError, match=detail) as caught:
            HubSource.open(MODEL, None)
        assert len(hub.requests) == 4
        assert f"http://{caught.value.origin}" == hub.endpoint
        assert caught.value.model_id == MODEL

    def test_too_many_requests_to_the_cdn(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        hub.faults.append(Fault("status:429", times=1000, origin="cdn"))
        with pytest.raises(HubBusyError, match="429"):
            read_checkpoint(source)

    @pytest.mark.parametrize("status", [503, 500])
    def test_busy_for_ever(self, hub: LoopbackHub, status: int) -> None:
        hub.add_repo(MODEL, single())
        hub.faults.append(Fault(f"status:{status}", times=1000))
        with pytest.raises(HubBusyError) as caught:
            HubSource.open(MODEL, None)
        assert len(hub.requests) == 4
        assert caught.value.status == status

    @pytest.mark.parametrize("status", [400, 404, 410, 418, 501])
    def test_other_refusals_are_final(self, hub: LoopbackHub, status: int) -> None:
        hub.add_repo(MODEL, single())
        hub.faults.append(Fault(f"status:{status}", times=1000))
        with pytest.raises(ModelUnreadableError) as caught:
            HubSource.open(MODEL, None)
        assert not isinstance(caught.value, NetworkError)
        assert len(hub.requests) == 1

    def test_nobody_listens(self) -> None:
        start = time.perf_counter()
        with pytest.raises(NetworkError) as caught:
            HubSource.open(MODEL, None)
        assert caught.value.origin == "127.0.0.1:9"
        assert time.perf_counter() - start < 5  # a timeout of the network's own takes longer

    def test_an_expired_link_is_asked_for_again(self, hub: LoopbackHub) -> None:
        """Links to the CDN are followed at once and never kept."""
        hub.add_repo(MODEL, single())
        source = HubSource.open(MODEL, None)
        read_checkpoint(source)
        hub.expire_signed_urls()
        assert read_checkpoint(source).elements == 36


class TestAccess:
    @pytest.fixture(autouse=True)
    def repos(self, hub: LoopbackHub) -> None:
        hub.tokens |= {TOKEN: {"org/gated", "org/private"}, "hf_stranger": set()}
        hub.add_repo(MODEL, single())
        hub.add_repo("org/gated", single(), gated="auto")
        hub.add_repo("org/private", single(), private=True)
        hub.add_repo("org/disabled", single(), disabled=True)

    @pytest.mark.parametrize("repo", ["org/absent", "org/private", "absent"])
    @pytest.mark.parametrize("token", [None, "hf_stranger"])
    def test_missing_and_private_look_alike(
        self, repo: str, token: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(RepoNotFoundError) as caught:
            HubSource.open(repo, None)
        assert caught.value.token_sent == (token is not None)
        assert caught.value.model_id == repo

    @pytest.mark.parametrize("repo", [MODEL, "org/private", "org/gated"])
    def test_with_a_token_that_opens_it(self, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        source = HubSource.open(repo, None)
        assert source.read("config.json", 1000) == CONFIG
        assert read_checkpoint(source).elements == 36

    @pytest.mark.parametrize("token", [None, "hf_stranger"])
    def test_gated(self, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        """The listing is public, the files are not."""
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        source = HubSource.open("org/gated", None)
        assert source.summary is not None and source.summary.gated
        for attempt in (lambda: source.read("config.json", 1000), lambda: read_checkpoint(source)):
            with pytest.raises(GatedRepoError) as caught:
                attempt()
            assert caught.value.token_sent == (token is not None)

    @pytest.mark.parametrize("repo", [MODEL, "org/gated", "org/absent"])
    def test_a_token_that_the_hub_does_not_know(self, repo: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_wrong")
        with pytest.raises(BadTokenError) as caught:
            HubSource.open(repo, None)
        assert caught.value.token_sent

    @pytest.mark.parametrize("token", ["hf_sécret", "hf_s\x0becret", "hf_s\x0cecret"], ids=ascii)
    def test_a_token_that_cannot_be_sent(self, hub: LoopbackHub, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(BadTokenError, match="not plain text") as caught:
            HubSource.open(MODEL, None)
        assert not caught.value.token_sent
        assert "cret" not in str(caught.value)
        assert hub.requests == []

    def test_disabled(self) -> None:
        with pytest.raises(DisabledRepoError):
            HubSource.open("org/disabled", None)

    def test_no_implicit_token(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        HubSource.open(MODEL, None)
        assert "authorization" not in hub.requests[0].headers

    def test_offline(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import close_session, constants

        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        close_session()
        with pytest.raises(OfflineError) as caught:
            HubSource.open(MODEL, None)
        assert caught.value.model_id == MODEL
        assert hub.requests == []


class TestTheTokenStaysWithTheHub:
    def test_the_cdn_never_sees_it(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.tokens[TOKEN] = {MODEL}
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, sharded(5), gated="manual", renamed_from=["former/name"])
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        source = HubSource.open("former/name", None)
        source.read("config.json", 1000)
        read_checkpoint(source)
        sent = {(request.origin, request.headers.get("authorization")) for request in hub.requests}
        assert sent == {("hub", f"Bearer {TOKEN}"), ("cdn", None)}
        assert not any(TOKEN in request.path + request.query for request in hub.requests)

    @pytest.mark.parametrize(
        "fault",
        ["status:400", "status:401", "status:403", "status:404", "status:416", "status:429", "status:500", "reset"],
    )
    @pytest.mark.parametrize("origin", ["hub", "cdn"])
    def test_no_error_tells_it(
        self, hub: LoopbackHub, fault: str, origin: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.tokens[TOKEN] = set()
        hub.add_repo(MODEL, single())
        hub.faults.append(Fault(fault, times=1000, origin="cdn" if origin == "cdn" else "hub"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        with pytest.raises(ModelUnreadableError) as caught:
            read_checkpoint(HubSource.open(MODEL, None))
        error: BaseException | None = caught.value
        while error is not None:
            assert TOKEN not in f"{error!s} {error!r} {vars(error)}"
            error = error.__context__


def test_requests_are_closed_whatever_happens(hub: LoopbackHub) -> None:
    """More refused reads than the client has connections: none may be kept."""
    hub.ignore_range = True
    content = (2).to_bytes(8, "little") + b"[]"
    hub.add_repo(MODEL, {"model.safetensors": HubFile(content, size_bytes=100 * GB)})
    source = HubSource.open(MODEL, None)
    for _ in range(120):
        with pytest.raises(CheckpointError):
            read_checkpoint(source)
