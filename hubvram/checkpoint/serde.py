"""JSON as serde_json reads it, one member of the header's object after the other, so that no tree of it all is built.

Python's decoder accepts more (NaN, halves of surrogate pairs, deep nesting, numbers without end) and forgets keys that
occur twice. It decides here about one member at a time, with what it would let pass checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

UNUSUAL_LIMIT_BYTES: Final = 8 * 2**20
"""Of a header, how much may stand in members too large to describe a tensor. As Python objects they take up to 30 times
as much memory: this is the one thing that is refused here and that serde_json accepts."""
USIZE_LIMIT: Final = 2**64

_NESTING_LIMIT: Final = 127  # serde_json refuses the 128th level
_USUAL_BYTES: Final = 2**12
_SPACE: Final = rb"[ \t\n\r]*+"
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BEGINNING: Final = re.compile(_SPACE + rb"\{" + _SPACE)
_KEY: Final = re.compile(rb"(" + _STRING + rb")" + _SPACE + rb":" + _SPACE, re.DOTALL)
_FLAT: Final = re.compile(rb"\{[^{}\\-]*+\}")
_FLAT_KEYS, _FLAT_LISTS = 3, 2
_SCALAR: Final = re.compile(_STRING + rb"|[^\[\]{}, \t\n\r]++", re.DOTALL)
_STRING_OR_BRACKET: Final = re.compile(_STRING + rb"|[\[\]{}]", re.DOTALL)
_OPENING, _CLOSING = b"[{", b"]}"
_SEPARATOR: Final = re.compile(_SPACE + rb"([,}])" + _SPACE)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class HeaderError(ValueError):
    """The header breaks the format; the message says how, and names the tensor where there is one."""


class Repeating(dict[str, Any]):
    """An object in which keys occur more than once; `earlier` holds what was overwritten."""

    earlier: Sequence[tuple[str, Any]]


def members(text: bytes) -> Iterator[tuple[str, Any]]:
    """The members of the object that a header is, those with the same name too. Raises HeaderError."""
    beginning = _BEGINNING.match(text)
    if beginning is None:
        raise HeaderError("the header is not a JSON object")
    position, room = beginning.end(), UNUSUAL_LIMIT_BYTES
    separator = _SEPARATOR.match(text, position)
    if separator is None or separator[1] != b"}":
        while True:
            key = _KEY.match(text, position)
            if key is None:
                raise _not_json(position)
            name = _decoded(text, key.start(1), key.end(1), _STRICT)
            start = key.end()
            value, stop = _flat(text, start)
            if value is None:
                stop = _end_of_value(text, start, room)
                room -= stop - start if stop - start > _USUAL_BYTES else 0
                value = _decoded(text, start, stop, _STRICT)
            yield name, value
            separator = _SEPARATOR.match(text, stop)
            if separator is None:
                raise _not_json(stop)
            position = separator.end()
            if separator[1] == b"}":
                break
    if separator.end() != len(text):
        raise _not_json(separator.end())


def _flat(text: bytes, start: int) -> tuple[dict[str, Any] | None, int]:
    """(value, where it ends) of an object as every tensor has it; (None, 0) where it might be anything else.

    Without escapes and signs, with as many colons as keys and no lists but two, nothing is left that the two decoders
    would read in different ways, but for numbers that no tensor can have.
    """
    match = _FLAT.match(text, start, start + _USUAL_BYTES)
    if match is None or match[0].count(b":") != _FLAT_KEYS or match[0].count(b"[") != _FLAT_LISTS:
        return None, 0
    try:
        value, length = _LENIENT.raw_decode(match[0].decode())
    except ValueError:
        return None, 0
    if length != match.end() - start or len(value) != _FLAT_KEYS:
        return None, 0
    return value, match.end()


def _end_of_value(text: bytes, start: int, room: int) -> int:
    if text[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(text, start)
        if scalar is None:
            raise _not_json(start)
        return scalar.end()
    depth = 1
    within = start + max(room, _USUAL_BYTES)
    for match in _STRING_OR_BRACKET.finditer(text, start, within):
        first = text[match.start()]
        if first in _OPENING:
            depth += 1
            if depth > _NESTING_LIMIT:
                raise HeaderError(f"the header is nested deeper than {_NESTING_LIMIT} levels")
        elif first in _CLOSING:
            depth -= 1
            if depth == 1:
                return match.end()
    if within < len(text):
        raise HeaderError(f"more than {UNUSUAL_LIMIT_BYTES:,} bytes of it do not describe tensors")
    raise _not_json(len(text))


def _decoded(text: bytes, start: int, stop: int, decoder: json.JSONDecoder) -> Any:
    try:
        spelled = text[start:stop].decode()
    except UnicodeDecodeError as error:
        raise HeaderError(f"the header is not UTF-8 (byte {start + error.start:,})") from None
    try:
        value, length = decoder.raw_decode(spelled)
    except HeaderError:
        raise
    except json.JSONDecodeError as error:
        raise _not_json(start + len(spelled[: error.pos].encode())) from None
    if length != len(spelled):
        raise _not_json(start + len(spelled[:length].encode()))
    if isinstance(value, str):
        _check_string(value)
    return value


def _not_json(position: int) -> HeaderError:
    return HeaderError(f"the header is not JSON (byte {position:,})")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in pairs:
        _check_string(key)
        _check_strings(value)
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    last = {key: position for position, (key, _) in enumerate(pairs)}
    repeating = Repeating(result)
    repeating.earlier = [pair for position, pair in enumerate(pairs) if last[pair[0]] != position]
    return repeating


def _check_strings(value: Any) -> None:
    """Of a value: objects inside it were checked when they were made."""
    if isinstance(value, str):
        _check_string(value)
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)


def _check_string(text: str) -> None:
    if _LONE_SURROGATE.search(text):
        raise HeaderError("a string holds half of a surrogate pair")


def _integer(digits: str) -> int | float:
    # serde_json reads -0, and whatever does not fit 64 bits, as a float: no dimension can be one.
    value = int(digits) if len(digits) <= 20 else USIZE_LIMIT
    return value if digits != "-0" and value < USIZE_LIMIT else _finite(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise HeaderError(f"number out of range: {digits[:40]}")
    return value


def _refuse_constant(name: str) -> None:
    raise HeaderError(f"the header is not JSON: {name}")


_STRICT: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_finite, parse_constant=_refuse_constant
)
_LENIENT: Final = json.JSONDecoder()
