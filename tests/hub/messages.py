"""Requests and replies as plain values, with the reply of a file by whole, range or condition."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .content import HubFile, Span

Origin = Literal["hub", "cdn"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    """As sent: still percent-encoded, so that a slash inside a branch name stays apart."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    http_version: str = "HTTP/1.1"

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Span = field(default_factory=lambda: Span.whole(b""))


class Refusal(Exception):
    """Ends a handler early with this reply."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    content = {"Content-Type": "application/json; charset=utf-8"}
    return Reply(status, content | dict(headers or {}), Span.whole(json.dumps(value, separators=(",", ":")).encode()))


def text_reply(text: str, status: int, headers: Mapping[str, str] | None = None) -> Reply:
    content = {"Content-Type": "text/plain; charset=utf-8"}
    return Reply(status, content | dict(headers or {}), Span.whole(text.encode()))


def redirect(status: int, location: str, headers: Mapping[str, str] | None = None) -> Reply:
    text = {302: "Found", 307: "Temporary Redirect"}[status]
    headers = {"Location": location, "Cache-Control": "no-store"} | dict(headers or {})
    return text_reply(f"{text}. Redirecting to {location}", status, headers)


def file_reply(file: HubFile, request: Request, headers: Mapping[str, str], *, ignore_range: bool = False) -> Reply:
    """200, 206, 304 or 416; malformed and multiple ranges are ignored, as RFC 9110 allows."""
    headers = {"Accept-Ranges": "bytes"} | dict(headers)
    etag = headers.get("ETag")
    if etag is not None and request.headers.get("if-none-match") == etag:
        return Reply(304, headers)
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if ignore_range or found is None or found.groups() == ("", ""):
        return Reply(200, headers, Span.whole(file))
    return _range_reply(file, found[1], found[2], headers)


def _range_reply(file: HubFile, first: str, last: str, headers: dict[str, str]) -> Reply:
    if first:
        start, stop = int(first), min(file.size, int(last) + 1 if last else file.size)
    else:
        start, stop = max(0, file.size - int(last)), file.size
    if last and first and int(last) < start:
        return Reply(200, headers, Span.whole(file))
    if start >= file.size:
        return Reply(416, headers | {"Content-Range": f"bytes */{file.size}"})
    place = {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"}
    return Reply(206, headers | place, Span(file, start, stop))
