"""The same Hub over TLS, by HTTP/2 and by HTTP/1.1."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2
import pytest
from h2.connection import H2Connection
from h2.events import DataReceived, PingAckReceived

from tests.hub import Fault, HubFile, LoopbackHub, http2
from tests.hub.origin import GATHERING_SECONDS

REPO, PATH = "org/model", "/api/models/org/model"
ZEROS = HubFile(b"start", size_bytes=3_000_000)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(tls=True) as hub:
        hub.add_repo(REPO, {"config.json": b"{}", "a.bin": ZEROS, "huge.bin": HubFile(b"", size_bytes=10**11)})
        yield hub


@pytest.fixture
def trust(hub: LoopbackHub) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=hub.ca_file)


@pytest.fixture
def client(hub: LoopbackHub, trust: ssl.SSLContext) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub.endpoint, http2=True, verify=trust, timeout=5) as client:
        yield client


def cdn_url(client: httpx2.Client, name: str = "a.bin") -> str:
    return client.head(f"/{REPO}/resolve/main/{name}").headers["Location"]


@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_the_client_chooses(hub: LoopbackHub, trust: ssl.SSLContext, http2: bool, version: str) -> None:
    with httpx2.Client(base_url=hub.endpoint, http2=http2, verify=trust) as client:
        reply = client.get(cdn_url(client))
    assert reply.http_version == version
    # Many times the window of a stream and the size of a frame.
    assert reply.content == b"start".ljust(3_000_000, b"\0")
    assert {request.http_version for request in hub.requests} == {version}
    assert hub.bytes_sent("cdn") == 3_000_000
    assert hub.endpoint.startswith("https://127.0.0.1:") and hub.cdn_endpoint.startswith("https://")


def test_a_client_that_does_not_trust_it(
    hub: LoopbackHub, client: httpx2.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx2.get(hub.endpoint + PATH)
    assert (hub.requests, hub.connections()) == ([], 1)
    assert client.get(PATH).status_code == 200
    assert capfd.readouterr().err == ""


def test_streams_wait_side_by_side(hub: LoopbackHub, trust: ssl.SSLContext) -> None:
    async def ask() -> list[int]:
        async with httpx2.AsyncClient(base_url=hub.endpoint, http2=True, verify=trust) as client:
            await client.get(PATH)
            hub.gathers = 20
            return [
                reply.status_code
                for reply in await asyncio.gather(*(client.get(PATH, headers={"Range": "bytes=0-"}) for _ in range(20)))
            ]

    start = time.perf_counter()
    assert asyncio.run(ask()) == [200] * 20
    assert time.perf_counter() - start < GATHERING_SECONDS
    assert hub.connections() == 1


def test_a_stream_that_the_client_gives_up(hub: LoopbackHub, client: httpx2.Client, trust: ssl.SSLContext) -> None:
    # By hand: closing a response early, httpx2 leaves its stream open.
    url = urlsplit(cdn_url(client, "huge.bin"))
    trust.set_alpn_protocols(["h2"])
    h2 = H2Connection()
    h2.initiate_connection()
    request = {":method": "GET", ":path": f"{url.path}?{url.query}", ":authority": url.netloc, ":scheme": "https"}
    h2.send_headers(1, list(request.items()), end_stream=True)
    with (
        socket.create_connection((url.hostname or "", url.port or 0), timeout=5) as plain,
        trust.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        events: list[object] = []
        while not any(isinstance(event, DataReceived) for event in events):
            connection.sendall(h2.data_to_send())
            events += h2.receive_data(connection.recv(65536))
        # Room for the stream to go on, in one piece with its end. After the second pong it would have.
        for stream in (None, 1):
            h2.increment_flow_control_window(10**9, stream)
        h2.reset_stream(1)
        for pongs in (1, 2):
            h2.ping(bytes(8))
            connection.sendall(h2.data_to_send())
            while sum(isinstance(event, PingAckReceived) for event in events) < pongs:
                events += h2.receive_data(connection.recv(65536))
        # No more than the window of a new connection.
        assert hub.bytes_sent("cdn") <= 65535


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("reset", httpx2.RemoteProtocolError),
        ("truncate", httpx2.RemoteProtocolError),
        ("stall", httpx2.ReadTimeout),
        ("stall-body", httpx2.ReadTimeout),
    ],
)
def test_answers_that_do_not_come(
    hub: LoopbackHub, client: httpx2.Client, kind: str, error: type[httpx2.HTTPError]
) -> None:
    hub.faults.append(Fault(kind))
    with pytest.raises(error):
        client.get(PATH, timeout=httpx2.Timeout(5, read=0.2))
    assert client.get(PATH).status_code == 200


def test_a_head_byte_by_byte(hub: LoopbackHub, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    pause_seconds = 0.002
    monkeypatch.setattr(http2, "DRIP_SECONDS", pause_seconds)
    hub.faults.append(Fault("drip-head"))
    start = time.perf_counter()
    assert client.get(PATH).json()["id"] == REPO
    # A frame's own head has 9 bytes, and RateLimit-Policy alone is longer than 41.
    assert time.perf_counter() - start > 50 * pause_seconds


def test_an_answer_without_a_length(hub: LoopbackHub, client: httpx2.Client) -> None:
    hub.faults.append(Fault("missing-length"))
    reply = client.get(PATH)
    assert "Content-Length" not in reply.headers and reply.json()["id"] == REPO


def test_it_stops_at_once() -> None:
    with LoopbackHub(tls=True) as hub:
        hub.faults.append(Fault("stall"))
        trust = ssl.create_default_context(cafile=hub.ca_file)
        with httpx2.Client(http2=True, verify=trust) as client, pytest.raises(httpx2.ReadTimeout):
            client.get(hub.endpoint + PATH, timeout=httpx2.Timeout(5, read=0.1))
        address = urlsplit(hub.endpoint)
        # One that has not even begun its handshake.
        waiting = socket.create_connection((address.hostname or "", address.port or 0))
        time.sleep(0.05)
        start = time.perf_counter()
    assert time.perf_counter() - start < 5
    waiting.close()
