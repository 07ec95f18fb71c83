"""Servers that mean harm, or are broken as if they did: one error, soon, with nothing lost and no secret told."""

from __future__ import annotations

import socket
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.errors import (
    DeadlineError,
    HubBusyError,
    HubResponseError,
    ModelUnreadableError,
    NetworkError,
)
from hubvram.sources.connections import close_connections
from hubvram.sources.hub import HubSource
from hubvram.sources.network import Network
from hubvram.sources.quota import QUOTA, bucket_of
from tests.hub import Fault, HubFile, LoopbackHub, safetensors_file, sharded_checkpoint

from .conftest import forget

MODEL = "org/model"
TOKEN = "hf_very_secret"
SHARDS = sharded_checkpoint([{f"layers.{layer}.weight": ("BF16", (8, 16))} for layer in range(40)])
SINGLE: dict[str, HubFile | bytes] = {
    "config.json": b"{}",
    "model.safetensors": safetensors_file({"a": ("F32", (1000,))}),
}
HASTY = Network(timeout_seconds=0.5)


def tensors(network: Network = HASTY, revision: str | None = None) -> int:
    return len(read_checkpoint(HubSource.open(MODEL, revision, network)).tensors)


@pytest.fixture(autouse=True)
def fresh_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QUOTA, "_left", {})


class TestTheDeadline:
    @pytest.mark.parametrize("origin", ["hub", "cdn"])
    @pytest.mark.parametrize("kind", ["drip-head", "drip", "stall", "stall-body"])
    def test_a_server_that_drips(self, hub: LoopbackHub, kind: str, origin: Any) -> None:
        """Each byte comes within every timeout of a single read, and the last one after a minute."""
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault(kind, times=1000, origin=origin))
        start = time.perf_counter()
        with pytest.raises(DeadlineError) as caught:
            tensors()
        assert 0.4 < time.perf_counter() - start < 10
        assert (caught.value.model_id, caught.value.timeout_seconds) == (MODEL, 0.5)
        # The connections that were given up are closed; the next reading is none the worse.
        hub.faults.clear()
        assert tensors(Network()) == 1

    def test_one_shard_that_hangs_does_not_hold_back_another_s_failure(self, hub: LoopbackHub) -> None:
        hub.serve_safetensors_metadata = False
        hub.add_repo(MODEL, SHARDS)
        hub.faults += [
            Fault("stall", times=1000, path_contains="model-00001-of"),
            Fault("status:410", path_contains="model-00002-of"),
        ]
        start = time.perf_counter()
        with pytest.raises(HubResponseError, match="410"):
            tensors(Network(timeout_seconds=60))
        assert time.perf_counter() - start < 20

    def test_waits_for_the_quota_do_not_count(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("status:429", origin="hub"))
        waits: list[float] = []
        assert tensors(Network(timeout_seconds=0.9, on_wait=waits.append)) == 1
        assert len(waits) == 1 and 0.5 < waits[0] <= 1


class TestTheQuota:
    @pytest.mark.parametrize(
        ("path", "bucket"),
        [
            ("/api/models/org/model?blobs=true", "api"),
            ("/api/models/org/model/safetensors-metadata/x", "api"),
            ("/api/resolve-cache/models/org/model/abc/config.json", "resolvers"),
            ("/org/model/resolve/main/config.json", "resolvers"),
        ],
    )
    def test_buckets(self, path: str, bucket: str) -> None:
        assert bucket_of(f"https://huggingface.co{path}") == bucket

    def test_what_is_left(self, hub: LoopbackHub) -> None:
        hub.quotas = {"api": (10, 300), "resolvers": (20, 300)}
        hub.add_repo(MODEL, SINGLE)
        assert tensors() == 1
        left = QUOTA.left()
        assert {bucket: remaining for bucket, (remaining, _) in left.items()} == {"api": 9, "resolvers": 19}
        assert all(290 < seconds <= 300 for _, seconds in left.values())

    def test_a_long_wait_is_said_at_once(self, hub: LoopbackHub) -> None:
        hub.quotas = {"api": (1, 300)}
        hub.add_repo(MODEL, SINGLE)
        HubSource.open(MODEL, None)
        for _ in range(2):  # the Hub's own answer, then what is known from it
            with pytest.raises(HubBusyError) as caught:
                HubSource.open(MODEL, None)
            assert caught.value.retry_seconds is not None and 290 < caught.value.retry_seconds <= 300
        assert len(hub.requests) <= 2

    def test_a_window_is_waited_out(self, hub: LoopbackHub) -> None:
        hub.quotas = {"api": (1, 1)}
        hub.add_repo(MODEL, SINGLE)
        waits: list[float] = []
        network = Network(quota_wait_seconds=float("inf"), on_wait=waits.append)
        for _ in range(3):
            HubSource.open(MODEL, None, network)
        assert 1 <= len(waits) <= 4

    def test_used_up_for_ever(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        """The Hub says to come back, again and again: the patience for one request has an end."""
        monkeypatch.setattr("huggingface_hub.utils.parse_ratelimit_headers", lambda _: Used())
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("status:429", times=1000))
        with pytest.raises(HubBusyError):
            HubSource.open(MODEL, None, Network(quota_wait_seconds=0.2))
        assert len(hub.requests) < 100

    @pytest.mark.parametrize("kind", ["status:503", "status:429"])
    def test_storage_has_no_quota(self, hub: LoopbackHub, kind: str) -> None:
        hub.add_repo(MODEL, SINGLE)
        source = HubSource.open(MODEL, None)
        hub.faults.append(Fault(kind, origin="cdn"))
        assert len(read_checkpoint(source).tensors) == 1
        assert all(remaining > 0 for remaining, _ in QUOTA.left().values())


class Used:
    """What `RateLimit: "api";r=0;t=0` says."""

    remaining = 0
    reset_in_seconds = 0.05


class TestRedirects:
    @pytest.mark.parametrize("origin", ["hub", "cdn"])
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("redirect:{target}", "redirects 5 times and more"),
            ("redirect:file:///etc/passwd", "redirects to file://, where hubvram does not follow"),
            ("redirect:ftp://127.0.0.1/x", "redirects to ftp://127.0.0.1, where"),
            ("redirect:http://user:hf_secret@[::1/x", "redirects to no address"),
            ("redirect:data:text/plain,x", "redirects to data://, where"),
        ],
    )
    def test_refused(self, hub: LoopbackHub, kind: str, words: str, origin: Any) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault(kind, times=100, origin=origin))
        with pytest.raises(HubResponseError) as caught:
            tensors()
        assert words in str(caught.value)
        assert "secret" not in str(caught.value)
        assert len(hub.requests) < 20

    def test_to_nobody(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("redirect:http://127.0.0.1:9{target}", times=100))
        with pytest.raises(NetworkError) as caught:
            tensors()
        assert caught.value.origin == "127.0.0.1:9"

    def test_the_token_goes_to_no_other_origin(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        hub.tokens[TOKEN] = set()
        hub.add_repo(MODEL, SINGLE)
        with LoopbackHub() as elsewhere:
            elsewhere.add_repo(MODEL, SINGLE)
            hub.faults.append(Fault(f"redirect:{elsewhere.endpoint}{{target}}", times=100, origin="hub"))
            assert tensors() == 1
            assert [request.headers.get("authorization") for request in hub.requests] == [f"Bearer {TOKEN}"] * 2
            assert {request.headers.get("authorization") for request in elsewhere.requests} == {None}


class TestBodies:
    def test_a_bomb(self, hub: LoopbackHub) -> None:
        """1 MB that inflates to 1 GiB: reading stops at the limit, in bounded memory."""
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("bomb", times=100, path_contains="config.json"))
        source = HubSource.open(MODEL, None)
        tracemalloc.start()
        with pytest.raises(HubResponseError, match="larger than 1,000,000 bytes"):
            source.read("config.json", 1_000_000)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 200e6

    def test_a_bomb_for_a_listing(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("bomb", times=100))
        with pytest.raises(HubResponseError, match="larger than"):
            HubSource.open(MODEL, None)

    def test_a_range_that_is_compressed(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("gzip", times=100, origin="cdn"))
        with pytest.raises(HubResponseError, match="compresses ranges"):
            tensors()

    def test_a_compressed_answer(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("gzip", times=100, origin="hub"))
        assert tensors() == 1
        assert {request.headers["accept-encoding"] for request in hub.requests} == {"gzip", "identity"}

    @pytest.mark.parametrize("origin", ["hub", "cdn"])
    def test_garbage(self, hub: LoopbackHub, origin: Any) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("garbage", times=100, origin=origin))
        with pytest.raises(ModelUnreadableError) as caught:
            tensors()
        assert not isinstance(caught.value, DeadlineError)

    def test_another_range(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("content-range", times=100, origin="cdn"))
        with pytest.raises(HubResponseError, match="another range"):
            tensors()

    def test_no_length(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, SINGLE)
        hub.faults.append(Fault("missing-length", times=100))
        assert tensors() == 1

    def test_a_server_that_ignores_ranges_of_a_huge_file(self, hub: LoopbackHub) -> None:
        huge = safetensors_file({"a": ("F32", (25_000_000_000,))})
        hub.add_repo(MODEL, {"model.safetensors": huge})
        hub.ignore_range = True
        assert tensors(Network()) == 1
        assert huge.size > 100e9
        assert hub.bytes_sent("cdn") < 16e6  # what was under way when the connection was closed

    def test_a_small_file_without_end_is_asked_for_once(self, hub: LoopbackHub) -> None:
        hub.add_repo(MODEL, {"config.json": HubFile(b"{", size_bytes=50_000_000, lfs=False)})
        with pytest.raises(HubResponseError, match="larger than 16,777,216 bytes"):
            HubSource.open(MODEL, None).read("config.json", 2**24)
        assert len(hub.requests) == 2


class TestNames:
    def test_dns_failure(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        def unknown(*_: object, **__: object) -> list[Any]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        monkeypatch.setattr(constants, "ENDPOINT", "http://no-such-host.invalid")
        with pytest.raises(NetworkError, match="Name or service not known") as caught:
            HubSource.open(MODEL, None)
        assert caught.value.origin == "no-such-host.invalid"

    def test_a_resolver_that_hangs(self, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(1.5))
        monkeypatch.setattr(constants, "ENDPOINT", "http://no-such-host.invalid")
        start = time.perf_counter()
        with pytest.raises(ModelUnreadableError):
            HubSource.open(MODEL, None, HASTY)
        assert time.perf_counter() - start < 1.2


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A Hub that speaks TLS and HTTP/2."""
    from huggingface_hub import constants

    with LoopbackHub(tls=True) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))
        close_connections()
        yield server
        close_connections()


class TestHTTP2:
    def test_one_connection_to_each_server(self, tls: LoopbackHub) -> None:
        tls.serve_safetensors_metadata = False
        tls.add_repo(MODEL, SHARDS)
        tls.latency_seconds = 0.05
        assert tensors(Network()) == 40
        assert {request.http_version for request in tls.requests} == {"HTTP/2"}
        assert (tls.connections("hub"), tls.connections("cdn")) == (1, 1)

    @pytest.mark.parametrize("kind", ["reset", "truncate", "status:503"])
    def test_faults_of_one_stream(self, tls: LoopbackHub, kind: str) -> None:
        tls.serve_safetensors_metadata = False
        tls.add_repo(MODEL, SHARDS)
        tls.faults.append(Fault(kind, times=3, path_contains="model-0001", origin="cdn"))
        assert tensors(Network()) == 40

    def test_a_server_that_ignores_ranges_is_left(self, tls: LoopbackHub) -> None:
        """Nothing tells it to stop over this connection, so another one is opened."""
        tls.add_repo(MODEL, {"model.safetensors": safetensors_file({"a": ("F32", (25_000_000_000,))})})
        tls.ignore_range = True
        for _ in range(3):
            assert tensors(Network()) == 1
            forget()
        assert tls.connections("cdn") == 3
        assert tls.bytes_sent("cdn") < 3 * 2**24 + 10e6  # the window that a server may fill unasked

    def test_a_certificate_that_nobody_vouches_for(self, tls: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SSL_CERT_FILE")
        close_connections()
        tls.add_repo(MODEL, SINGLE)
        with pytest.raises(NetworkError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            tensors()
        assert f"https://{caught.value.origin}" == tls.endpoint
        assert tls.requests == []

    def test_no_way_back_to_plain_text(self, tls: LoopbackHub) -> None:
        tls.add_repo(MODEL, SINGLE)
        tls.faults.append(Fault("redirect:http://127.0.0.1:9{target}", times=100))
        with pytest.raises(HubResponseError, match=r"redirects to http://127\.0\.0\.1:9, where"):
            tensors()
