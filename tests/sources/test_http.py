"""Servers that answer otherwise than the Hub does: proxies, mirrors, portals."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from hubvram.checkpoint.reader import read_checkpoint
from hubvram.errors import (
    AccessError,
    FileMissingError,
    GatedRepoError,
    HubResponseError,
    ModelUnreadableError,
    RepoNotFoundError,
)
from hubvram.sources.hub import HubSource
from tests.hub import safetensors_file
from tests.hub.content import Span
from tests.hub.messages import Reply, Request, json_reply, text_reply

from .conftest import Answer, Server

Serve = Callable[[Answer], Server]

MODEL = "org/model"
FILE = safetensors_file({f"layers.{index}.weight": ("U8", (1000,)) for index in range(100)})
CONTENT = FILE.data.ljust(FILE.size, b"\0")
LISTING = {"id": MODEL, "sha": "ab" * 20, "siblings": [{"rfilename": "model.safetensors", "size": FILE.size}]}


def body(content: bytes, status: int = 200, **headers: str) -> Reply:
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, Span.whole(content))


def listed(files: Answer, **changes: Any) -> Answer:
    """A good listing; `files` answers everything else."""

    def answer(request: Request) -> Reply:
        return json_reply(LISTING | changes) if request.path.startswith("/api/") else files(request)

    return answer


def asked(request: Request) -> tuple[int, int]:
    """[start, stop) of the range asked for."""
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"])
    assert match is not None
    assert request.headers["accept-encoding"] == "identity"
    return int(match[1]), int(match[2]) + 1


def partial(start: int, stop: int, size: int | str = FILE.size) -> Reply:
    stop = min(stop, FILE.size)
    return body(CONTENT[start:stop], 206, Content_Range=f"bytes {start}-{stop - 1}/{size}")


class TestNotAHub:
    @pytest.mark.parametrize(
        "content",
        [
            *(b"<html><body>Please log in</body></html>", b"", b"[]", b"[1, 2]", b"null", b"3", b'"a"', b"{}", b"\xff"),
            *(b"[" * 100_000, b'{"id": "org/model"}', b'{"id": "org/model", "sha": null, "siblings": []}'),
            *(b'{"id": 5, "sha": "ab", "siblings": []}', b'{"id": "", "sha": "ab", "siblings": []}'),
            *(b'{"id": "a/b", "sha": "ab"}', b'{"id": "a/b", "sha": "ab", "siblings": null}'),
            *(b'{"id": "a/b", "sha": "ab", "siblings": [5]}', b'{"id": "a/b", "sha": "ab", "siblings": [{}]}'),
            *(b'{"id": "a/b", "sha": "ab", "siblings": ["abc"]}', b'{"id": "a/b", "sha": "ab", "siblings": {"a": 1}}'),
            b'{"id": "a/b", "sha": "ab", "siblings": [{"rfilename": 5}]}',
            b'{"id": "a/b", "sha": "ab", "siblings": [{"rfilename": "x", "lfs": 5}]}',
            b'{"id": "a/b", "sha": "ab", "siblings": [], "config": [1]}',
            b'{"id": "a/b", "sha": "ab", "siblings": [], "safetensors": {"parameters": [36]}}',
        ],
        ids=lambda content: repr(content[:60]),
    )
    def test_a_listing_that_is_none(self, serve: Serve, content: bytes) -> None:
        server = serve(lambda request: body(content))
        with pytest.raises(HubResponseError, match="did not answer like a Hugging Face Hub") as caught:
            HubSource.open(MODEL, None)
        assert caught.value.model_id == MODEL
        assert server.url in caught.value.detail
        assert len(server.requests) == 1

    def test_sizes_may_be_missing(self, serve: Serve) -> None:
        serve(listed(lambda request: partial(*asked(request)), siblings=[{"rfilename": "model.safetensors"}]))
        source = HubSource.open(MODEL, None)
        assert source.files["model.safetensors"].size_bytes is None
        assert len(read_checkpoint(source).tensors) == 100

    def test_a_listing_without_end(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hubvram.sources.hub.LISTING_LIMIT_BYTES", 10_000)
        bomb = gzip.compress(json.dumps(LISTING | {"padding": " " * 10_000_000}).encode())
        serve(lambda request: body(bomb, Content_Encoding="gzip"))
        with pytest.raises(HubResponseError, match="larger than 10,000 bytes"):
            HubSource.open(MODEL, None)

    def test_a_compressed_listing(self, serve: Serve) -> None:
        serve(lambda request: body(gzip.compress(json.dumps(LISTING).encode()), Content_Encoding="gzip"))
        assert HubSource.open(MODEL, None).model_id == MODEL

    def test_a_body_that_is_not_what_it_says(self, serve: Serve) -> None:
        serve(lambda request: body(b"not gzip", Content_Encoding="gzip"))
        with pytest.raises(HubResponseError):
            HubSource.open(MODEL, None)

    def test_a_redirect_to_itself(self, serve: Serve) -> None:
        serve(lambda request: body(b"", 307, Location=request.target))
        with pytest.raises(HubResponseError, match="redirects"):
            HubSource.open(MODEL, None)

    @pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "http://[::1", "//", "http://"])
    def test_a_redirect_to_nowhere(self, serve: Serve, location: str) -> None:
        serve(lambda request: body(b"", 307, Location=location))
        with pytest.raises(ModelUnreadableError):
            HubSource.open(MODEL, None)

    @pytest.mark.parametrize("endpoint", ["ftp://127.0.0.1", "127.0.0.1:80", "", "http://[::1", "http://a b/"])
    def test_an_endpoint_that_is_none(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        with pytest.raises(ModelUnreadableError):
            HubSource.open(MODEL, None)


class TestRefusals:
    """The code decides, then the words, then the status."""

    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_the_code_comes_first(self, serve: Serve, status: int) -> None:
        serve(lambda request: text_reply("x", status, {"X-Error-Code": "GatedRepo"}))
        with pytest.raises(GatedRepoError):
            HubSource.open(MODEL, None)

    @pytest.mark.parametrize("status", [401, 403])
    def test_a_refusal_in_other_words(self, serve: Serve, status: int) -> None:
        serve(lambda request: text_reply("x", status, {"X-Error-Message": "Your country is not on the list"}))
        with pytest.raises(AccessError, match="Your country is not on the list") as caught:
            HubSource.open(MODEL, None)
        assert type(caught.value) is AccessError

    def test_a_mirror_without_codes(self, serve: Serve) -> None:
        serve(listed(lambda request: text_reply("no", 404)))
        with pytest.raises(FileMissingError) as caught:
            HubSource.open(MODEL, None).read("config.json", 1000)
        assert caught.value.file == "config.json"
        serve(lambda request: text_reply("no", 404))
        with pytest.raises(RepoNotFoundError):
            HubSource.open(MODEL, None)

    @pytest.mark.parametrize("status", [400, 405, 418, 451, 501])
    def test_any_other_status(self, serve: Serve, status: int) -> None:
        serve(lambda request: text_reply("x", status, {"X-Error-Message": "because"}))
        with pytest.raises(HubResponseError, match=f"the Hub answered {status} because"):
            HubSource.open(MODEL, None)


class TestRanges:
    def test_the_plain_case(self, serve: Serve) -> None:
        serve(listed(lambda request: partial(*asked(request))))
        assert len(read_checkpoint(HubSource.open(MODEL, None)).tensors) == 100

    def test_compressed(self, serve: Serve) -> None:
        serve(
            listed(
                lambda request: body(gzip.compress(CONTENT), 206, Content_Encoding="gzip", Content_Range="bytes 0-9/10")
            )
        )
        with pytest.raises(HubResponseError, match="the server compresses ranges"):
            read_checkpoint(HubSource.open(MODEL, None))

    @pytest.mark.parametrize(
        "content_range",
        [None, "bytes 1-100/200", "bytes */200", "bytes 0-100", "chunks 0-100/200", "bytes -5-9/10", ""],
    )
    def test_another_range(self, serve: Serve, content_range: str | None) -> None:
        headers = {} if content_range is None else {"Content-Range": content_range}
        serve(listed(lambda request: Reply(206, headers, Span.whole(CONTENT))))
        with pytest.raises(HubResponseError, match="another range than was asked for"):
            read_checkpoint(HubSource.open(MODEL, None))

    @pytest.mark.parametrize("status", [201, 204, 304])
    def test_another_status(self, serve: Serve, status: int) -> None:
        serve(listed(lambda request: body(b"", status)))
        with pytest.raises(HubResponseError, match="another range than was asked for"):
            read_checkpoint(HubSource.open(MODEL, None))

    def test_not_satisfiable(self, serve: Serve) -> None:
        serve(listed(lambda request: body(b"", 416, Content_Range="bytes */0")))
        with pytest.raises(HubResponseError, match="416"):
            read_checkpoint(HubSource.open(MODEL, None))

    @pytest.mark.parametrize("at_most", [8, 100, 1000])
    def test_answers_shorter_than_asked(self, serve: Serve, at_most: int) -> None:
        """Allowed by RFC 9110; each one goes on where the last one ended."""

        def some(request: Request) -> Reply:
            start, stop = asked(request)
            return partial(start, min(stop, start + (at_most if start == 0 else 1000)))

        server = serve(listed(some))
        assert len(read_checkpoint(HubSource.open(MODEL, None)).tensors) == 100
        starts = [asked(Request("GET", r.path, r.query, r.headers))[0] for r in server.requests[1:]]
        assert starts == sorted(set(starts))

    def test_answers_that_stay_empty(self, serve: Serve) -> None:
        def nothing(request: Request) -> Reply:
            start, stop = asked(request)
            return (
                partial(start, min(stop, 1000)) if start < 1000 else body(b"", 206, Content_Range="bytes 1000-1000/9")
            )

        serve(listed(nothing))
        with pytest.raises(HubResponseError, match="fewer bytes than it announces"):
            read_checkpoint(HubSource.open(MODEL, None))

    def test_ignored_the_second_time(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hubvram.sources.ranges._GUESS_BYTES", 100)
        serve(listed(lambda request: partial(*asked(request)) if asked(request)[0] == 0 else body(CONTENT)))
        assert len(read_checkpoint(HubSource.open(MODEL, None)).tensors) == 100

    def test_more_than_asked(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("hubvram.sources.ranges._GUESS_BYTES", 100)
        serve(listed(lambda request: partial(asked(request)[0], FILE.size)))
        source = HubSource.open(MODEL, None)
        assert len(read_checkpoint(source).tensors) == 100
        (beginning,) = source.read_beginnings(["model.safetensors"], lambda *_: 20).values()
        assert beginning.data == CONTENT[:20]

    def test_size_only_in_the_listing(self, serve: Serve) -> None:
        serve(listed(lambda request: partial(*asked(request), size="*")))
        (beginning,) = HubSource.open(MODEL, None).read_beginnings(["model.safetensors"], lambda *_: 8).values()
        assert beginning.file_bytes == FILE.size


def test_the_token_does_not_follow_a_redirect(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    elsewhere = serve(lambda request: json_reply(LISTING))
    home = serve(lambda request: body(b"", 307, Location=elsewhere.url + request.target))
    assert HubSource.open(MODEL, None).model_id == MODEL
    assert [request.headers.get("authorization") for request in home.requests] == ["Bearer hf_secret"]
    assert [request.headers.get("authorization") for request in elsewhere.requests] == [None]
