"""Faults as a client meets them, and quotas that close."""

from __future__ import annotations

import gc
import gzip
import http.client
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.hub import Fault, HubFile, LoopbackHub, fault_kinds, quotas

REPO, PATH = "org/model", "/api/models/org/model"


@pytest.fixture
def client(hub: LoopbackHub) -> Iterator[httpx2.Client]:
    hub.add_repo(REPO, {"config.json": b"{}", "a.bin": HubFile(b"0123456789", size_bytes=1000)})
    with httpx2.Client(base_url=hub.endpoint, timeout=5) as client:
        yield client


def cdn_url(client: httpx2.Client) -> str:
    return client.head(f"/{REPO}/resolve/main/a.bin").headers["Location"]


def asked(hub: LoopbackHub) -> socket.socket:
    address = urlsplit(hub.endpoint)
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=5)
    connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return connection


class TestSlowAnswers:
    def test_a_head_byte_by_byte(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("drip-head"))
        start = time.perf_counter()
        with asked(hub) as connection:
            assert [connection.recv(100) for _ in range(4)] == [b"H", b"T", b"T", b"P"]
        # Four bytes have three pauses of 0.05 s between them.
        assert time.perf_counter() - start >= 0.15
        assert client.get(PATH).status_code == 200

    def test_a_body_byte_by_byte(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("drip"))
        with client.stream("GET", PATH) as reply:
            assert int(reply.headers["Content-Length"]) > 100
            pieces = reply.iter_raw()
            start = time.perf_counter()
            assert b"".join(next(pieces) for _ in range(4)) == b'{"_i'
        assert time.perf_counter() - start >= 0.15
        assert hub.bytes_sent() < 10


class TestOtherAnswers:
    def test_a_redirect_to_itself(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("redirect:{target}", times=99))
        with pytest.raises(httpx2.TooManyRedirects):
            client.get(f"{PATH}?blobs=true", follow_redirects=True)
        assert {(request.path, request.query) for request in hub.requests} == {(PATH, "blobs=true")}

    @pytest.mark.parametrize(
        ("url", "location"),
        [("file:///etc/passwd", "file:///etc/passwd"), ("http://127.0.0.1:1{target}", f"http://127.0.0.1:1{PATH}")],
    )
    def test_a_redirect_elsewhere(self, hub: LoopbackHub, client: httpx2.Client, url: str, location: str) -> None:
        hub.faults.append(Fault(f"redirect:{url}"))
        reply = client.get(PATH)
        assert (reply.status_code, reply.headers["Location"]) == (302, location)

    def test_garbage(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("garbage"))
        reply = client.get(PATH)
        assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert reply.text.startswith("<!DOCTYPE html>")

    def test_compressed_unasked(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("gzip"))
        with client.stream("GET", PATH, headers={"Accept-Encoding": "identity"}) as reply:
            raw = b"".join(reply.iter_raw())
        assert reply.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(raw) == client.get(PATH).content

    def test_a_bomb(self, hub: LoopbackHub, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
        assert fault_kinds.BOMB_BYTES >= 10**9
        # A small one of the same make: its reader checks the length and the checksum.
        monkeypatch.setattr(fault_kinds, "BOMB_BYTES", 2**22)
        monkeypatch.setattr(fault_kinds, "zipped_spaces", fault_kinds.zipped_spaces.__wrapped__)
        hub.faults.append(Fault("bomb"))
        assert client.get(PATH).content == b" " * 2**22
        assert hub.bytes_sent() < 2**22 / 900

    def test_no_length(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("missing-length"))
        reply = client.get(PATH)
        assert "Content-Length" not in reply.headers
        assert reply.content == client.get(PATH).content
        assert hub.connections() == 1

    def test_a_range_that_was_not_asked_for(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        url = cdn_url(client)
        hub.faults.append(Fault("content-range", origin="cdn"))
        reply = client.get(url, headers={"Range": "bytes=2-5"})
        assert (reply.status_code, reply.content) == (206, b"2345")
        assert reply.headers["Content-Range"] == "bytes 3-6/1000"

    @pytest.mark.parametrize("kind", ["teapot", "status:", "redirect", "bomb:1"])
    def test_what_is_none(self, kind: str) -> None:
        with pytest.raises(ValueError, match="no such fault"):
            Fault(kind)


class TestRate:
    def test_a_share_of_all_requests(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        def fates(seed: int) -> list[str]:
            hub.faults.rate(0.2, ["status:503", "truncate"], seed)
            hub.clear_requests()
            for number in range(200):
                try:
                    client.get(f"/api/models/org/{number}")
                except httpx2.RemoteProtocolError:
                    assert hub.requests[-1].fault == "truncate"
            return [request.fault for request in hub.requests]

        first = fates(1)
        assert first == fates(1) != fates(2)
        # 40 expected of 200; the standard deviation is 5.7.
        assert set(first) == {"", "status:503", "truncate"} and 20 < len([fate for fate in first if fate]) < 60
        hub.faults.rate(0.0, [])
        assert client.get(PATH).status_code == 200

    def test_another_attempt_meets_another_fate(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.rate(0.5, ["status:503"])
        assert {client.get(PATH).status_code for _ in range(20)} == {200, 503}


class TestQuotas:
    def test_a_window_closes_and_opens_again(
        self, hub: LoopbackHub, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = [0.0]
        monkeypatch.setattr(quotas, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        hub.quotas = {"api": (2, 0.3)}
        replies = [client.get(PATH) for _ in range(4)]
        assert [reply.status_code for reply in replies] == [200, 200, 429, 429]
        assert [reply.headers["RateLimit"] for reply in replies[1:3]] == ['"api";r=0;t=1'] * 2
        assert replies[2].headers["RateLimit-Policy"] == '"fixed window";"api";q=2;w=1'
        # Neither the other bucket nor the CDN.
        assert client.get(cdn_url(client)).status_code == 200
        clock[0] = 0.3
        assert client.get(PATH).headers["RateLimit"] == '"api";r=1;t=1'

    def test_the_wait_is_in_whole_seconds(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.quotas = {"resolvers": (0, 41.5)}
        reply = client.get(f"/{REPO}/resolve/main/config.json")
        assert (reply.status_code, reply.headers["RateLimit"]) == (429, '"resolvers";r=0;t=42')

    def test_no_longer_than_its_window(
        self, hub: LoopbackHub, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 230.747  # a machine that was started four minutes ago
        assert (now + 300) - now > 300  # in doubles
        monkeypatch.setattr(quotas, "time", SimpleNamespace(monotonic=lambda: now))
        hub.quotas = {"api": (2, 300)}
        assert client.get(PATH).headers["RateLimit"] == '"api";r=1;t=300'


class TestConnections:
    def test_they_are_kept(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        for _ in range(3):
            client.get(PATH)
            client.get(cdn_url(client))
        assert (hub.connections("hub"), hub.connections("cdn"), hub.connections()) == (1, 1, 2)
        hub.clear_requests()
        client.get(PATH, headers={"Connection": "close"})
        client.get(PATH)
        assert hub.connections() == 1

    def test_those_that_come_at_the_end_are_closed(self) -> None:
        """An open socket that nobody holds is a warning, and that an error, of whatever test runs by then."""
        for _ in range(5):
            with LoopbackHub() as hub:
                address = urlsplit(hub.endpoint)
                late = [socket.create_connection((address.hostname or "", address.port or 0)) for _ in range(3)]
            for connection in late:
                connection.close()
            gc.collect()

    def test_what_is_no_http_is_cut_off(self, hub: LoopbackHub) -> None:
        address = urlsplit(hub.endpoint)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
            connection.sendall(b"nonsense\r\n\r\n")
            assert connection.recv(1) == b""

    def test_other_methods(self, hub: LoopbackHub) -> None:
        connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=5)
        connection.request("POST", PATH, body=b"GET / HTTP/1.1\r\n\r\n")
        assert connection.getresponse().status == 501
        connection.close()
        assert [request.method for request in hub.requests] == ["POST"]
