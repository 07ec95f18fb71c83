"""What can go wrong with an answer: another one in its place, a change to it, or a bad way to send it."""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from .content import Span
from .messages import Origin, Reply, Request, json_reply, redirect

DRIP_SECONDS = 0.05
"""Between two bytes of what is sent byte by byte."""
BOMB_BYTES = 2**30

_CLOSED_WINDOW = {
    "RateLimit": '"api";r=0;t=1',
    "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
}
_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in to this network.</body></html>\n"
)
_ZIPPED_BYTES = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How an answer goes over the wire."""

    answered: bool = True
    half: bool = False
    """Of the body, with the whole length promised."""
    sized: bool = True
    """False: the head does not tell the length."""
    drips: Literal["head", "body"] | None = None
    ending: Literal["end", "break off", "reset", "stall"] = "end"


SOUND = Sending()

SENDINGS = {
    "reset": Sending(answered=False, ending="reset"),
    "truncate": Sending(half=True, ending="break off"),
    "stall": Sending(answered=False, ending="stall"),
    "stall-body": Sending(half=True, ending="stall"),
    "drip-head": Sending(drips="head"),
    "drip": Sending(drips="body"),
    "missing-length": Sending(sized=False),
}


def _status(status: str, origin: Origin, request: Request) -> Reply:
    headers = _CLOSED_WINDOW if status == "429" and origin == "hub" else {}
    return json_reply({"error": f"Fault: {status}"}, int(status), headers)


def _redirect(url: str, origin: Origin, request: Request) -> Reply:
    return redirect(302, url.replace("{target}", request.target))


def _garbage(_: str, origin: Origin, request: Request) -> Reply:
    return Reply(200, {"Content-Type": "text/html; charset=utf-8"}, Span.whole(_PAGE))


def _bomb(_: str, origin: Origin, request: Request) -> Reply:
    return Reply(200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, Span.whole(zipped_spaces()))


@cache
def zipped_spaces() -> bytes:
    """A gzip file of BOMB_BYTES spaces, in a thousandth of them: one block that stands on its own, again and again."""
    block = b" " * 2**20
    blocks = BOMB_BYTES // len(block)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = 0
    for _ in range(blocks):
        checksum = zlib.crc32(block, checksum)
    start = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return start + packed * blocks + packer.flush() + struct.pack("<II", checksum, BOMB_BYTES % 2**32)


def _gzipped(reply: Reply) -> Reply:
    content = b"".join(reply.body.head(_ZIPPED_BYTES).chunks())
    return replace(
        reply,
        headers={**reply.headers, "Content-Encoding": "gzip"},
        body=Span.whole(gzip.compress(content, mtime=0)),
    )


def _misplaced(reply: Reply) -> Reply:
    first, last = reply.body.start + 1, reply.body.stop
    place = f"bytes {first}-{last}/{max(reply.body.file.size, last + 1)}"
    return replace(reply, status=206, headers={**reply.headers, "Content-Range": place})


INSTEAD: dict[str, Callable[[str, Origin, Request], Reply]] = {
    "status": _status,
    "redirect": _redirect,
    "garbage": _garbage,
    "bomb": _bomb,
}

CHANGES: dict[str, Callable[[Reply], Reply]] = {"gzip": _gzipped, "content-range": _misplaced}

KIND = re.compile("|".join((r"status:\d{3}", r"redirect:.+", "garbage", "bomb", *CHANGES, *SENDINGS)))
