"""The loopback Hub, proven with the official client and with raw HTTP."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from huggingface_hub import HfApi, close_session, constants, hf_hub_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile, RepoFolder

from tests.hub import (
    Fault,
    HubFile,
    LoopbackHub,
    Tensors,
    safetensors_file,
    sharded_checkpoint,
)

SINGLE, SHARDED, GATED, PRIVATE = "org/single", "org/sharded", "org/gated", "org/private"
CONFIG = b'{"model_type": "llama"}'
GB = 10**9
SHARDS: list[Tensors] = [
    {"embed.weight": ("BF16", (1000, 64)), "norm.weight": ("F32", (64,))},
    {"head.weight": ("BF16", (1000, 64))},
]
HUGE = safetensors_file({"w": ("U8", (100 * GB,))}, {"format": "pt"})


@pytest.fixture(autouse=True)
def quiet_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No telemetry, no token of this machine, no connection left open for the garbage collector."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    yield
    close_session()


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.tokens["reader"] = {GATED, PRIVATE}
        hub.tokens["stranger"] = set()
        weights: dict[str, HubFile | bytes] = {"config.json": CONFIG, "model.safetensors": HUGE}
        hub.add_repo(
            SINGLE,
            weights | {"sub/dir/notes.txt": b"notes", ".gitattributes": b""},
            config={"model_type": "llama"},
            safetensors_summary={"parameters": {"U8": 100 * GB}, "total": 100 * GB},
            renamed_from=["gpt0", "former/name"],
        )
        hub.add_repo(SHARDED, {"config.json": CONFIG, **sharded_checkpoint(SHARDS)})
        hub.add_repo(GATED, weights, gated="manual")
        hub.add_repo(PRIVATE, weights, private=True)
        hub.add_repo("org/disabled", weights, disabled=True)
        yield hub


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=False)


@pytest.fixture
def client(hub: LoopbackHub) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=hub.endpoint, timeout=5) as client:
        yield client


def cdn_url(client: httpx2.Client, repo: str = SINGLE, path: str = "model.safetensors") -> str:
    return client.head(f"/{repo}/resolve/main/{path}").headers["Location"]


def bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


class TestOfficialClient:
    def test_model_info_with_files(self, hub: LoopbackHub, api: HfApi) -> None:
        info = api.model_info(SINGLE, files_metadata=True)
        assert info.siblings is not None and info.safetensors is not None
        files = {sibling.rfilename: sibling for sibling in info.siblings}
        assert list(files) == sorted(files)
        assert files["config.json"].size == len(CONFIG) and files["config.json"].lfs is None
        large = files["model.safetensors"]
        assert large.size == HUGE.size == 100 * GB + len(HUGE.data)
        assert large.lfs is not None and large.lfs.size == HUGE.size
        assert info.safetensors.total == 100 * GB
        assert info.config == {"model_type": "llama"}
        assert (info.id, info.gated, info.private) == (SINGLE, False, False)

    def test_model_info_without_files_and_expanded(self, api: HfApi) -> None:
        info = api.model_info(SINGLE)
        assert info.siblings is not None and {s.size for s in info.siblings} == {None}
        assert api.model_info(SINGLE, expand=["gated"]).siblings is None

    def test_download_takes_three_requests(self, hub: LoopbackHub, api: HfApi, tmp_path: Path) -> None:
        path = api.hf_hub_download(SHARDED, "config.json", cache_dir=tmp_path)
        assert Path(path).read_bytes() == CONFIG
        seen = [(request.method, request.status) for request in hub.requests]
        assert seen == [("HEAD", 307), ("HEAD", 200), ("GET", 200)]
        assert hub.requests[-1].path.startswith(f"/api/resolve-cache/models/{SHARDED}/")

    def test_download_of_a_large_file(self, hub: LoopbackHub, api: HfApi, tmp_path: Path) -> None:
        content = bytes(range(256)) * 10
        hub.add_repo("org/bin", {"a.bin": HubFile(content, size_bytes=300_000)})
        path = api.hf_hub_download("org/bin", "a.bin", cache_dir=tmp_path)
        assert Path(path).read_bytes() == content.ljust(300_000, b"\0")

    def test_safetensors_metadata_of_one_file(self, api: HfApi) -> None:
        metadata = api.get_safetensors_metadata(SINGLE)
        assert not metadata.sharded
        assert metadata.files_metadata["model.safetensors"].tensors["w"].shape == [100 * GB]

    def test_safetensors_metadata_of_shards(
        self, hub: LoopbackHub, api: HfApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        by_ranges = api.get_safetensors_metadata(SHARDED)
        at_once = api.get_sharded_safetensors_metadata(SHARDED)
        assert by_ranges.files_metadata == at_once.files_metadata
        assert by_ranges.weight_map == at_once.weight_map
        assert by_ranges.metadata == at_once.metadata == {"total_size": 256_256}
        assert at_once.parameter_count == {"BF16": 128_000, "F32": 64}

    def test_sharded_metadata_switched_off(self, hub: LoopbackHub, api: HfApi) -> None:
        hub.serve_safetensors_metadata = False
        with pytest.raises(HfHubHTTPError) as caught:
            api.get_sharded_safetensors_metadata(SHARDED)
        assert caught.value.response.status_code == 404

    def test_tree(self, hub: LoopbackHub, api: HfApi) -> None:
        hub.tree_page_size = 2
        top = {item.path: item for item in api.list_repo_tree(SINGLE)}
        assert list(top) == [".gitattributes", "config.json", "model.safetensors", "sub"]
        large = top["model.safetensors"]
        assert isinstance(large, RepoFile) and large.lfs is not None
        assert (large.size, large.lfs.size) == (HUGE.size, HUGE.size)
        assert isinstance(top["sub"], RepoFolder)
        everything = [item.path for item in api.list_repo_tree(SINGLE, recursive=True)]
        assert everything[-3:] == ["sub", "sub/dir", "sub/dir/notes.txt"]
        inside = [item.path for item in api.list_repo_tree(SINGLE, "sub/dir")]
        assert inside == ["sub/dir/notes.txt"]

    def test_revisions(self, hub: LoopbackHub, api: HfApi) -> None:
        old = api.model_info(SHARDED).sha
        assert old is not None
        sha = hub.add_revision(SHARDED, "refs/pr/1", {"only.txt": b"1"})
        assert api.model_info(SHARDED, revision="refs/pr/1").sha == sha
        assert api.model_info(SHARDED).sha == old
        moved = hub.add_revision(SHARDED, "main", {"only.txt": b"2"}, sha="ab" * 20)
        assert api.model_info(SHARDED).sha == moved == "ab" * 20
        assert api.file_exists(SHARDED, "config.json", revision=old)
        assert not api.file_exists(SHARDED, "config.json")

    @pytest.mark.parametrize("name", ["gpt0", "former/name", "ORG/Single"])
    def test_other_names_are_followed(self, hub: LoopbackHub, api: HfApi, name: str) -> None:
        assert api.model_info(name).id == SINGLE
        assert [request.status for request in hub.requests] == [307, 200]
        assert api.parse_safetensors_file_metadata(name, "model.safetensors").tensors
        assert [request.status for request in hub.requests[2:]] == [307, 302, 206]
        assert [item.path for item in api.list_repo_tree(name, "sub")] == ["sub/dir"]

    def test_an_id_of_one_part(self, hub: LoopbackHub, api: HfApi, tmp_path: Path) -> None:
        hub.add_repo("gpt1", {"config.json": CONFIG, "model.safetensors": HUGE})
        assert api.model_info("gpt1", revision="main").id == "gpt1"
        assert api.list_repo_files("gpt1") == ["config.json", "model.safetensors"]
        assert api.hf_hub_download("gpt1", "config.json", cache_dir=tmp_path)
        assert not api.get_safetensors_metadata("gpt1").sharded

    def test_the_token_stays_with_the_hub(self, hub: LoopbackHub) -> None:
        api = HfApi(endpoint=hub.endpoint, token="reader")
        api.parse_safetensors_file_metadata(GATED, "model.safetensors")
        tokens = {request.origin: request.headers.get("authorization") for request in hub.requests}
        assert tokens == {"hub": "Bearer reader", "cdn": None}


class TestRefusalsToTheOfficialClient:
    def test_missing_file(self, api: HfApi) -> None:
        with pytest.raises(RemoteEntryNotFoundError):
            api.parse_safetensors_file_metadata(SINGLE, "absent.safetensors")

    def test_missing_revision(self, api: HfApi) -> None:
        with pytest.raises(RevisionNotFoundError, match="Invalid rev id: nope"):
            api.model_info(SINGLE, revision="nope")

    def test_missing_repository(self, hub: LoopbackHub, api: HfApi) -> None:
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("org/absent", token="stranger")
        # Over http:// the client takes no anonymous 401 for a missing repository.
        with pytest.raises(HfHubHTTPError, match="Invalid username or password"):
            api.model_info("org/absent")

    @pytest.mark.parametrize(("token", "status"), [(False, 401), ("stranger", 403), ("bad", 401)])
    def test_gated(self, api: HfApi, token: str | bool, status: int, tmp_path: Path) -> None:
        if token != "bad":
            assert api.model_info(GATED, files_metadata=True, token=token).gated == "manual"
        with pytest.raises(GatedRepoError) as caught:
            api.parse_safetensors_file_metadata(GATED, "model.safetensors", token=token)
        assert caught.value.response.status_code == status
        with pytest.raises(GatedRepoError):
            hf_hub_download(GATED, "config.json", endpoint=api.endpoint, token=token, cache_dir=tmp_path)

    def test_disabled(self, api: HfApi) -> None:
        with pytest.raises(DisabledRepoError):
            api.model_info("org/disabled")


REFUSALS = [
    (None, "/api/models/org/absent", 401, None, "Invalid username or password."),
    (None, f"/api/models/{PRIVATE}", 401, None, "Invalid username or password."),
    (None, f"/{PRIVATE}/resolve/main/config.json", 401, None, "Invalid username or password."),
    ("stranger", f"/api/models/{PRIVATE}", 404, "RepoNotFound", "Repository not found"),
    ("bad", f"/api/models/{SINGLE}", 401, None, "Invalid credentials in Authorization header"),
    ("bad", f"/{GATED}/resolve/main/config.json", 401, "GatedRepo", "Access to model org/gated"),
    (None, f"/{GATED}/resolve/main/absent", 401, "GatedRepo", "Please log in."),
    ("stranger", f"/{GATED}/resolve/main/config.json", 403, "GatedRepo", "to ask for access."),
    (None, f"/{SINGLE}/resolve/main/absent", 404, "EntryNotFound", "Entry not found"),
    (None, f"/{SINGLE}/resolve/bad/config.json", 404, "RevisionNotFound", "Invalid rev id: bad"),
    (None, f"/api/models/{SINGLE}/tree/main/absent", 404, "EntryNotFound", "Entry not found"),
    (None, "/org/disabled/resolve/main/x", 403, None, "Access to this resource is disabled."),
]


class TestProtocol:
    @pytest.mark.parametrize(("token", "path", "status", "code", "message"), REFUSALS)
    def test_refusals(
        self,
        client: httpx2.Client,
        token: str | None,
        path: str,
        status: int,
        code: str | None,
        message: str,
    ) -> None:
        reply = client.get(path, headers=bearer(token))
        assert reply.status_code == status
        assert reply.headers.get("X-Error-Code") == code
        assert message in reply.headers["X-Error-Message"]
        assert reply.headers["X-Error-Message"] in reply.text
        assert ("X-Repo-Commit" in reply.headers) == (code == "EntryNotFound")
        assert reply.headers["RateLimit"].endswith(";t=300")

    def test_a_token_opens_what_it_was_given(self, client: httpx2.Client) -> None:
        assert client.get(f"/api/models/{PRIVATE}", headers=bearer("reader")).status_code == 200
        reply = client.get(f"/{GATED}/resolve/main/config.json", headers=bearer("reader"))
        assert reply.status_code == 307
        path = f"/api/models/{GATED}/safetensors-metadata/model.safetensors.index.json"
        assert client.get(path).status_code == 401

    def test_small_file(self, client: httpx2.Client) -> None:
        first = client.get(f"/{SINGLE}/resolve/main/sub/dir/notes.txt")
        sha = first.headers["X-Repo-Commit"]
        location = first.headers["Location"]
        assert location.startswith(f"/api/resolve-cache/models/{SINGLE}/{sha}/sub/dir/notes.txt?")
        second = client.get(location)
        assert (second.status_code, second.content) == (200, b"notes")
        assert second.headers["ETag"] == first.headers["X-Linked-Etag"]
        unchanged = client.get(location, headers={"If-None-Match": second.headers["ETag"]})
        assert unchanged.status_code == 304
        by_branch = f"/api/resolve-cache/models/{SINGLE}/main/config.json"
        assert client.get(by_branch).status_code == 400

    def test_large_file(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        reply = client.head(f"/{SINGLE}/resolve/main/model.safetensors")
        assert reply.status_code == 302
        assert reply.headers["Location"].startswith(f"{hub.cdn_endpoint}/xet-bridge/")
        assert reply.headers["X-Linked-Size"] == str(HUGE.size)
        sibling = client.get(f"/api/models/{SINGLE}?blobs=true").json()["siblings"][2]
        assert reply.headers["X-Linked-Etag"] == f'"{sibling["lfs"]["sha256"]}"'
        assert reply.headers["X-Repo-Commit"] == client.get(f"/api/models/{SINGLE}").json()["sha"]

    def test_rate_limits_count_down_by_bucket(self, client: httpx2.Client) -> None:
        paths = [f"/api/models/{SINGLE}"] * 2 + [f"/{SINGLE}/resolve/main/config.json"]
        left = [client.get(path).headers["RateLimit"] for path in paths]
        assert left == ['"api";r=499;t=300', '"api";r=498;t=300', '"resolvers";r=2999;t=300']

    def test_a_path_of_no_route(self, client: httpx2.Client) -> None:
        assert client.get("/api/spaces").status_code == 404

    def test_concurrent_requests_are_all_recorded(self, hub: LoopbackHub) -> None:
        def ask() -> None:
            with httpx2.Client(base_url=hub.endpoint) as client:
                for _ in range(10):
                    client.get(f"/api/models/{SINGLE}").raise_for_status()

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(hub.requests) == 80
        hub.clear_requests()
        assert hub.requests == []


RANGES = [
    ("bytes=0-7", 206, "bytes 0-7/1000", b"01234567"),
    ("bytes=8-11", 206, "bytes 8-11/1000", b"89\0\0"),
    ("bytes=998-5000", 206, "bytes 998-999/1000", b"\0\0"),
    ("bytes=990-", 206, "bytes 990-999/1000", bytes(10)),
    ("bytes=-3", 206, "bytes 997-999/1000", bytes(3)),
    ("bytes=1000-1001", 416, "bytes */1000", b""),
    ("bytes=0-1,4-5", 200, None, b"0123456789".ljust(1000, b"\0")),
    (None, 200, None, b"0123456789".ljust(1000, b"\0")),
]


class TestCdn:
    @pytest.mark.parametrize(("asked", "status", "place", "body"), RANGES)
    def test_ranges(
        self,
        hub: LoopbackHub,
        client: httpx2.Client,
        asked: str | None,
        status: int,
        place: str | None,
        body: bytes,
    ) -> None:
        hub.add_repo("org/ten", {"a.bin": HubFile(b"0123456789", size_bytes=1000)})
        headers = {"Range": asked} if asked else {}
        reply = client.get(cdn_url(client, "org/ten", "a.bin"), headers=headers)
        assert (reply.status_code, reply.headers.get("Content-Range")) == (status, place)
        assert reply.content == body
        assert hub.bytes_sent("cdn") == len(body)
        assert hub.bytes_sent() == len(body) + hub.bytes_sent("hub")

    def test_signatures(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        url = cdn_url(client)
        part = {"Range": "bytes=0-7"}
        assert client.get(url, headers=part).status_code == 206
        for bad in (url.partition("?")[0], url.replace("Signature=", "Signature=0")):
            reply = client.get(bad, headers=part)
            assert reply.status_code == 403
            assert "<Code>AccessDenied</Code>" in reply.text
        hub.expire_signed_urls()
        assert client.get(url, headers=part).status_code == 403
        assert client.get(cdn_url(client), headers=part).status_code == 206

    def test_a_huge_file_by_range(self, client: httpx2.Client) -> None:
        url = cdn_url(client)
        head = client.get(url, headers={"Range": f"bytes=0-{len(HUGE.data) - 1}"})
        assert head.content == HUGE.data
        end = client.get(url, headers={"Range": f"bytes={HUGE.size - 2}-{HUGE.size + 9}"})
        assert end.content == bytes(2)
        assert end.headers["Content-Range"] == (f"bytes {HUGE.size - 2}-{HUGE.size - 1}/{HUGE.size}")

    def test_an_ignored_range_cut_off_early(
        self,
        hub: LoopbackHub,
        client: httpx2.Client,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        hub.ignore_range = True
        with client.stream("GET", cdn_url(client), headers={"Range": "bytes=0-7"}) as reply:
            assert reply.status_code == 200
            assert reply.headers["Content-Length"] == str(HUGE.size)
            assert next(reply.iter_bytes())[: len(HUGE.data)] == HUGE.data
        hub.ignore_range = False
        assert client.get(cdn_url(client), headers={"Range": "bytes=0-7"}).status_code == 206
        assert hub.bytes_sent("cdn") < 50_000_000
        assert capfd.readouterr().err == ""


class TestFaults:
    def test_a_status_so_many_times(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.faults.append(Fault("status:503", times=2, path_contains="config.json"))
        paths = [f"/{SINGLE}/resolve/main/{name}" for name in ("sub/dir/notes.txt", "config.json")]
        seen = [client.get(path).status_code for path in paths * 3]
        assert seen == [307, 503, 307, 503, 307, 307]
        assert hub.faults == []

    def test_rate_limit(self, hub: LoopbackHub, client: httpx2.Client, api: HfApi) -> None:
        hub.faults.extend([Fault("status:429"), Fault("status:429")])
        reply = client.get(f"/api/models/{SINGLE}")
        assert reply.status_code == 429
        assert reply.headers["RateLimit"] == '"api";r=0;t=1'
        with pytest.raises(HfHubHTTPError, match="Retry after 1 seconds"):
            api.model_info(SINGLE)

    def test_reset(self, hub: LoopbackHub) -> None:
        hub.faults.append(Fault("reset"))
        connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=5)
        connection.request("GET", f"/api/models/{SINGLE}")
        with pytest.raises(ConnectionResetError):
            connection.getresponse()
        connection.close()
        assert [request.status for request in hub.requests] == [0]

    def test_truncate(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        url = cdn_url(client)
        hub.faults.append(Fault("truncate", origin="cdn", path_contains="model.safetensors"))
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(url, headers={"Range": "bytes=0-99"})
        assert hub.bytes_sent("cdn") == 50
        assert client.get(url, headers={"Range": "bytes=0-99"}).status_code == 206

    @pytest.mark.parametrize(("kind", "status"), [("stall", 0), ("stall-body", 200)])
    def test_stall(self, hub: LoopbackHub, client: httpx2.Client, kind: str, status: int) -> None:
        hub.faults.append(Fault(kind))
        with pytest.raises(httpx2.ReadTimeout):
            client.get(f"/api/models/{SINGLE}", timeout=httpx2.Timeout(5, read=0.1))
        assert hub.requests[0].status == status
        assert client.get(f"/api/models/{SINGLE}").status_code == 200

    def test_latency(self, hub: LoopbackHub, client: httpx2.Client) -> None:
        hub.latency_seconds = 0.1
        start = time.perf_counter()
        client.get(f"/api/models/{SINGLE}")
        assert time.perf_counter() - start >= 0.1

    def test_unknown_kinds_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no such fault"):
            Fault("teapot")


class TestShutdown:
    @pytest.mark.parametrize("fault", ["stall", "stall-body", None])
    def test_is_quick_whatever_is_under_way(self, fault: str | None) -> None:
        with LoopbackHub() as hub:
            hub.add_repo(SINGLE, {"model.safetensors": HUGE, "config.json": CONFIG})
            hub.faults.extend([Fault(fault, origin="hub")] if fault else [])
            with httpx2.Client(base_url=hub.endpoint) as client:
                address = urlsplit(hub.endpoint if fault else cdn_url(client))
            target = f"{address.path}?{address.query}" if not fault else f"/api/models/{SINGLE}"
            waiting = socket.create_connection((address.hostname or "", address.port or 0))
            waiting.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            time.sleep(0.1)
            start = time.perf_counter()
        assert time.perf_counter() - start < 5
        waiting.close()

    def test_leaves_no_thread_behind(self) -> None:
        before = threading.active_count()
        with LoopbackHub() as hub:
            hub.add_repo(SINGLE, {"config.json": CONFIG})
            with httpx2.Client() as client:
                client.get(f"{hub.endpoint}/api/models/{SINGLE}")
        deadline = time.monotonic() + 10
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before


class TestFiles:
    def test_a_size_below_the_data_is_refused(self) -> None:
        with pytest.raises(ValueError, match="size_bytes=1"):
            HubFile(b"12", size_bytes=1)

    def test_shas_follow_from_the_content(self) -> None:
        def sha(content: bytes, size: int) -> str:
            return LoopbackHub().add_repo("a/b", {"x.bin": HubFile(content, size_bytes=size)})

        assert sha(b"1", 9) == sha(b"1", 9)
        assert len({sha(b"1", 9), sha(b"1", 8), sha(b"2", 9)}) == 3

    def test_headers_are_ones_that_the_format_s_reader_accepts(self, tmp_path: Path) -> None:
        from safetensors import safe_open

        for name, file in sharded_checkpoint(SHARDS).items():
            if not name.endswith(".safetensors"):
                assert json.loads(file.data)["weight_map"].keys() == {tensor for shard in SHARDS for tensor in shard}
                continue
            path = tmp_path / name
            path.write_bytes(file.data.ljust(file.size, b"\0"))
            with safe_open(path, framework="numpy") as reader:
                assert reader.metadata() == {"format": "pt"}
