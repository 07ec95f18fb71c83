"""Changes to a text of JSON that are likely to matter: of its tokens, of its bytes, of its length."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Final

_TOKEN: Final = re.compile(rb'"[^"]*"|-?\d+|\[[^][]*\]|\{[^{}]*\}|[][{}:,]')
EXTREMES: Final = (
    *(b"0", b"-0", b"-1", b"1", b"00", b"1.0", b"1e3", b"0.5", b"1e400", b"-1e400", b"0e9999", b"1e-999", b"NaN"),
    *(b"Infinity", b"9" * 20, b"1" + b"0" * 309, b"9" * 5000, str(2**31).encode(), str(2**53 + 1).encode()),
    *(str(2**63).encode(), str(2**64 - 1).encode(), str(2**64).encode(), b"null", b"true", b'""', b'"x"', b"[]", b"{}"),
)
_FRAGMENTS: Final = (
    *(b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b" ", b"\n", b"\t", b"\0", b"\x1b[2J", b"\xff", b"\xc0\xaf"),
    *(b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u2028".encode(), "\U0001f600".encode(), rb"\ud800", rb"\ud83d\ude00"),
    *(rb"\u0061", rb"\u001b", rb"\/", b'"x":1,', b',"x":[[],{}]', b"//", b"'", b"[" * 130, b"[" * 50 + b"]" * 50),
)


def mutated(content: bytes, random: Random, fragments: Sequence[bytes] = ()) -> bytes:
    """`content` with a few changes, or none; `fragments` are what matters in this kind of text."""
    for _ in range(random.choice((0, 0, 1, 1, 1, 1, 2, 4))):
        content = random.choice(_CHANGES)(content, random, (*fragments, *_FRAGMENTS))
    return content


def _token(content: bytes, random: Random) -> tuple[int, int]:
    spans = [match.span() for match in _TOKEN.finditer(content[:20_000])]
    return random.choice(spans) if spans else (0, 0)


def _extreme(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    start, stop = _token(content, random)
    return content[:start] + random.choice(EXTREMES) + content[stop:]


def _number(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    spans = [match.span() for match in re.finditer(rb"\d+", content[:20_000])]
    start, stop = random.choice(spans) if spans else (0, 0)
    return content[:start] + random.choice(EXTREMES) + content[stop:]


def _insert(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    place = random.choice((*_token(content, random), *_token(content, random), random.randint(0, len(content))))
    return content[:place] + random.choice(fragments) + content[place:]


def _delete(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    start, stop = _token(content, random)
    return content[:start] + content[stop:]


def _repeat(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    start, _ = _token(content, random)
    _, stop = _token(content, random)
    separator = random.choice((b"", b","))
    return content[:stop] + separator + content[start:]


def _swap(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    (start, stop), (other, end) = sorted((_token(content, random), _token(content, random)))
    if stop > other:
        return content
    return content[:start] + content[other:end] + content[stop:other] + content[start:stop] + content[end:]


def _nest(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    start, stop = _token(content, random)
    before, behind = random.choice(((b"[", b"]"), (b'{"x":', b"}")))
    times = random.choice((1, 2, 125, 126, 127, 2000))
    return content[:start] + before * times + content[start:stop] + behind * times + content[stop:]


def _bytes(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    place = random.randint(0, len(content))
    return content[:place] + random.randbytes(random.randint(0, 3)) + content[place + random.randint(0, 3) :]


def _truncate(content: bytes, random: Random, fragments: Sequence[bytes]) -> bytes:
    return content[: random.randint(0, len(content))]


_CHANGES: Final = (
    *(_extreme, _number, _number, _number, _insert, _insert, _insert, _repeat, _swap, _swap, _bytes),
    *(_delete, _nest, _truncate),
)
