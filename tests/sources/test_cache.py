"""What is kept between runs: never wrong, never in the way."""

from __future__ import annotations

import errno
import multiprocessing
import os
import zlib
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from hubvram.architecture.reconcile import Status
from hubvram.checkpoint.reader import read_checkpoint
from hubvram.errors import NetworkError, OfflineError
from hubvram.inspection import read_model
from hubvram.sources.cache import Cache, cache_folder, entries
from hubvram.sources.hub import HubSource
from hubvram.sources.interface import Beginning, RepoFile
from hubvram.sources.kept_headers import headers_key, kept, packed
from hubvram.sources.network import Network
from hubvram.sources.open import open_source
from tests.hub import Fault, HubFile, LoopbackHub, safetensors_file, sharded_checkpoint

MODEL = "org/model"
SHARDS = sharded_checkpoint([{f"layers.{layer}.weight": ("BF16", (8, 16))} for layer in range(3)])
FILES: dict[str, HubFile | bytes] = {"config.json": b'{"model_type": "of no kind"}', **SHARDS}
ENDPOINT = "https://hub.example"


def stored() -> list[Path]:
    return sorted(path for path in cache_folder().rglob("*") if path.is_file())


class TestEntries:
    def test_what_was_put(self) -> None:
        cache = Cache(ENDPOINT)
        for content in (b"", b"x", bytes(10**6), os.urandom(1000)):
            cache.put("files", "key", content)
            assert cache.get("files", "key") == content
        assert cache.trouble is None
        assert cache.get("files", "other") is None
        assert cache.get("headers", "key") is None
        assert Cache("https://mirror.example").get("files", "key") is None

    def test_its_form(self) -> None:
        """The digest of what follows, then zlib: any change shows."""
        Cache(ENDPOINT).put("files", "org/model@main", b"content")
        (path,) = stored()
        assert path.relative_to(cache_folder()).parts[:2] == ("hub.example", "files")
        assert path.name.startswith("org_model@main-")
        data = path.read_bytes()
        assert data[:32] == sha256(data[32:]).digest()
        assert zlib.decompress(data[32:]) == b"content"

    def test_keys_that_only_differ_in_what_no_name_may_hold(self) -> None:
        cache = Cache(ENDPOINT)
        keys = ["a/b", "a_b", "../../b", "a\0b", "a" * 500, "a" * 501, ""]
        for key in keys:
            cache.put("files", key, key.encode())
        assert [cache.get("files", key) for key in keys] == [key.encode() for key in keys]
        assert all(path.parent.name == "files" for path in stored())

    @pytest.mark.parametrize("place", [0, 31, 32, 40, -1])
    def test_one_bit_wrong(self, place: int) -> None:
        cache = Cache(ENDPOINT)
        cache.put("files", "key", b"content" * 100)
        (path,) = stored()
        data = bytearray(path.read_bytes())
        data[place] ^= 1
        path.write_bytes(data)
        assert cache.get("files", "key") is None
        assert stored() == []

    @pytest.mark.parametrize("length", [0, 1, 31, 32, 40])
    def test_cut_off(self, length: int) -> None:
        cache = Cache(ENDPOINT)
        cache.put("files", "key", b"content" * 100)
        (path,) = stored()
        path.write_bytes(path.read_bytes()[:length])
        assert cache.get("files", "key") is None

    @pytest.mark.parametrize("packed_content", [b"", b"no zlib", zlib.compress(b"content")[:-2]])
    def test_a_good_digest_of_something_else(self, packed_content: bytes) -> None:
        cache = Cache(ENDPOINT)
        cache.put("files", "key", b"content")
        (path,) = stored()
        path.write_bytes(sha256(packed_content).digest() + packed_content)
        assert cache.get("files", "key") is None

    def test_a_full_disk(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Path, data: bytes) -> int:
            with self.open("wb") as stream:
                stream.write(data[:10])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        cache = Cache(ENDPOINT)
        monkeypatch.setattr(Path, "write_bytes", full)
        cache.put("files", "key", b"content")
        assert cache.trouble is not None and cache.trouble.endswith("No space left on device")
        assert cache.get("files", "key") is None
        assert stored() == []

    def test_a_file_where_the_folder_should_be(self) -> None:
        cache_folder().parent.mkdir(parents=True)
        cache_folder().write_bytes(b"")
        cache = Cache(ENDPOINT)
        cache.put("files", "key", b"content")
        assert cache.trouble is not None
        assert cache.get("files", "key") is None

    def test_what_is_there(self) -> None:
        cache = Cache(ENDPOINT)
        cache.put("files", "a", b"content")
        cache.put("headers", "b", b"content")
        found = {entry.path.parent.name: entry for entry in entries()}
        assert set(found) == {"files", "headers"}
        assert all(entry.is_sound and entry.unused_seconds < 60 for entry in found.values())


def _write(endpoint: str, worker: int) -> bool:
    """Put and get one key over and over; whether nothing but whole contents was ever seen."""
    cache = Cache(endpoint)
    seen = []
    for turn in range(100):
        cache.put("files", "key", bytes([worker]) * (turn * 100 + 1))
        content = cache.get("files", "key")
        seen.append(content is not None and len(set(content)) == 1)
    return all(seen)


def test_processes_do_not_get_into_each_other_s_way() -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert all(pool.map(partial(_write, ENDPOINT), range(3)))
    assert len(stored()) == 1


HASHED = {
    name: RepoFile(path=name, size_bytes=100, content_hash=content_hash)
    for name, content_hash in (("a.safetensors", "1"), ("b.safetensors", "2"), ("config.json", None))
}


class TestKeptHeaders:
    def test_there_and_back(self) -> None:
        beginnings = {"1": Beginning(data=b"abc\n{", file_bytes=10), "2": Beginning(data=b"", file_bytes=None)}
        assert kept(packed(beginnings)) == beginnings

    @pytest.mark.parametrize(
        "entry", [None, b"", b"{", b"[]\n", b'{"1": 5}\n', b'{"1": [5, 3]}\nab', b'{"1": [5, 3]}\nabcd']
    )
    def test_something_else(self, entry: bytes | None) -> None:
        assert kept(entry) == {}

    def test_the_key_is_of_the_content(self) -> None:
        key = headers_key(HASHED)
        assert key == sha256(b"1 2").hexdigest()
        unknown = HASHED | {"c.safetensors": RepoFile(path="c.safetensors", size_bytes=1)}
        assert headers_key(unknown) is None
        assert headers_key({}) is None


class TestAModel:
    def test_the_second_time_one_request(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, FILES)
        first = read_model(open_source(MODEL))
        hub.clear_requests()
        assert read_model(open_source(MODEL)) == first
        assert [request.path for request in hub.requests] == [f"/api/models/{MODEL}"]

    @pytest.mark.parametrize("what", ["files", "headers", "listings"])
    def test_what_is_damaged_is_read_again(self, hub: LoopbackHub, what: str) -> None:
        hub.add_repo(MODEL, FILES)
        first = read_model(open_source(MODEL))
        for path in stored():
            if path.parent.name == what:
                path.write_bytes(path.read_bytes()[:-3])
        hub.clear_requests()
        assert read_model(open_source(MODEL)) == first
        assert len(hub.requests) == (1 if what == "listings" else 2)
        hub.clear_requests()
        assert read_model(open_source(MODEL)) == first
        assert len(hub.requests) == 1

    def test_a_new_commit_only_costs_what_is_new(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, FILES)
        read_model(open_source(MODEL))
        hub.add_revision(MODEL, "main", FILES | {"config.json": b'{"model_type": "changed"}'})
        hub.clear_requests()
        assert read_model(open_source(MODEL)).model_type == "changed"
        assert len(hub.requests) == 2

    def test_offline_none(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, FILES)
        first = read_model(open_source(MODEL))
        hub.clear_requests()
        source = open_source(MODEL, network=Network(offline=True))
        assert read_model(source).reconciliation == first.reconciliation
        assert source.notes == (
            f"offline mode is on; answered from what was kept of commit {(first.revision or '')[:7]}",
        )
        assert hub.requests == []

    def test_a_hub_that_is_gone(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        sha = hub.add_repo(MODEL, FILES)
        read_checkpoint(HubSource.open(MODEL, sha))
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(NetworkError):  # another endpoint, of which nothing is kept
            open_source(MODEL, sha)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        hub.faults.append(Fault("reset", times=1000))
        source = open_source(MODEL, sha)
        assert len(read_checkpoint(source).tensors) == 3
        assert source.notes[0].startswith("the Hub could not be reached; answered from what was kept")

    def test_offline_and_never_read(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, FILES)
        HubSource.open(MODEL, None)  # The listing alone is known.
        source = open_source(MODEL, network=Network(offline=True))
        with pytest.raises(OfflineError):
            read_model(source)
        with pytest.raises(OfflineError):
            open_source("org/other", network=Network(offline=True))

    def test_a_disk_that_takes_nothing_is_a_note(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, FILES)
        cache_folder().parent.mkdir(parents=True)
        cache_folder().write_bytes(b"")
        model = read_model(open_source(MODEL))
        assert model.reconciliation.status is Status.UNKNOWN_ARCHITECTURE
        assert any("could not be kept" in note for note in model.notes)

    def test_half_of_the_headers(self, hub: LoopbackHub) -> None:
        """What an earlier run had read is not read again."""
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, FILES)
        names = [name for name in SHARDS if name.endswith("safetensors")]
        everything = lambda path, prefix, _: 8 + int.from_bytes(prefix[:8], "little")  # noqa: E731
        HubSource.open(MODEL, None).read_beginnings(names[:2], everything)
        hub.clear_requests()
        assert set(HubSource.open(MODEL, None).read_beginnings(names, everything)) == set(names)
        asked = {request.path.rpartition("/")[2] for request in hub.requests if "/resolve/" in request.path}
        assert asked == {names[2]}


def test_a_single_file(hub: LoopbackHub) -> None:
    hub.add_repo(MODEL, {"model.safetensors": safetensors_file({"a": ("F32", (4,))})})
    first = read_checkpoint(HubSource.open(MODEL, None))
    hub.clear_requests()
    assert read_checkpoint(HubSource.open(MODEL, None)) == first
    assert len(hub.requests) == 1
