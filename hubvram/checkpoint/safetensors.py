"""The safetensors header: bytes -> tensors, accepting and refusing exactly what the `safetensors` package does.

A file is a little-endian u64 N, N bytes of JSON, then the data. The JSON maps tensor names to
`{"dtype", "shape", "data_offsets": [begin, end]}`; `__metadata__` maps strings to strings. The rules below
were read from safetensors 0.8 and tried one by one against it (tests/checkpoint/test_safetensors.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hubvram.checkpoint.tensors import TensorInfo
from hubvram.dtypes import SAFETENSORS_BITS

LENGTH_BYTES: Final = 8
_new_tuple: Final = tuple.__new__  # makes a NamedTuple twice as fast as its own class: there are up to a million
HEADER_LIMIT_BYTES: Final = 100_000_000
"""The format's own limit on N."""
METADATA_KEY: Final = "__metadata__"

_USIZE_LIMIT: Final = 2**64
_NESTING_LIMIT: Final = 127  # serde_json refuses the 128th level
_FIELDS: Final = ("dtype", "shape", "data_offsets")
_NEGATIVE_ZEROS: Final = tuple(f"{before}-0" for before in "[, \t\n\r")
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class HeaderError(ValueError):
    """The header breaks the format; the message says how, and names the tensor where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header: tensors in the order of their data."""

    tensors: tuple[TensorInfo, ...]
    metadata: Mapping[str, str]
    notes: tuple[str, ...]


def header_length(prefix: bytes, file_bytes: int | None = None) -> int:
    """N, from the first 8 bytes of a file; checked before anybody allocates or reads that much."""
    if len(prefix) < LENGTH_BYTES:
        raise HeaderError("the file is shorter than the 8 bytes that announce the header")
    length = int.from_bytes(prefix[:LENGTH_BYTES], "little")
    if length > HEADER_LIMIT_BYTES:
        raise HeaderError(f"it announces a header of {length:,} bytes; the format allows {HEADER_LIMIT_BYTES:,}")
    if file_bytes is not None and length > file_bytes - LENGTH_BYTES:
        raise HeaderError(f"it announces a header of {length:,} bytes in a file of {file_bytes:,}")
    return length


def parse_header(text: bytes, *, data_bytes: int | None, file: str) -> Header:
    """Parse the N bytes of JSON; `data_bytes` is what follows them in the file, None where unknown.

    Raises HeaderError. A tensor name that occurs twice is accepted, the last one wins, and a note says so.
    """
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise HeaderError(f"the header is not UTF-8 (byte {error.start:,})") from None
    entries = _decode_plain(decoded)
    notes: tuple[str, ...] = ()
    is_plain = entries is not None
    if entries is None:
        entries, notes = _decode(decoded)
    metadata = _metadata(entries.pop(METADATA_KEY, None))
    tensors, end = _tensors(entries, file, is_plain=is_plain)
    if data_bytes is not None and end != data_bytes:
        raise HeaderError(f"the tensors take {end:,} bytes, the file holds {data_bytes:,}")
    return Header(tensors=tuple(tensors), metadata=metadata, notes=notes)


def _decode_plain(text: str) -> dict[str, Any] | None:
    """JSON by the C decoder, None where anything in it is unusual."""
    try:
        decoded = json.loads(text, parse_constant=_unusual, parse_float=_unusual)
    except (_UnusualError, RecursionError, ValueError):
        return None
    return decoded if isinstance(decoded, dict) and _is_plain(text, decoded) else None


def _decode(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """JSON as serde_json reads it."""
    try:
        return _decode_strictly(text)
    except HeaderError:
        raise
    except ValueError as error:
        raise HeaderError(f"the header is not JSON: {error}") from None


def _is_plain(text: str, decoded: dict[str, Any]) -> bool:
    """Whether nothing that Python's decoder treats otherwise than serde_json can be in this header.

    No escapes, no key twice or beyond the three fields (a tensor without one of these is refused later, so that as
    many colons as keys leave no room for another), no deeper nesting than a tensor has, no number but
    integers, no -0. A text that looks unusual for a harmless reason (a colon in a name) only costs time.
    """
    metadata = decoded.get(METADATA_KEY)
    tensors = len(decoded) - (METADATA_KEY in decoded)
    keys = tensors * (1 + len(_FIELDS)) + (METADATA_KEY in decoded)
    keys += len(metadata) if isinstance(metadata, dict) else 0
    return (
        "\\" not in text
        and text.count(":") == keys
        and text.count("[") == 2 * tensors
        and not ("-0" in text and any(start in text for start in _NEGATIVE_ZEROS))
        and "true" not in text
        and "false" not in text
    )


class _UnusualError(Exception):
    """Something in the header that only the strict decoder may judge."""


def _unusual(digits: str) -> None:
    raise _UnusualError


class _Repeating(dict[str, Any]):
    """An object in which keys occur more than once; `earlier` holds the values that were overwritten."""

    earlier: list[tuple[str, Any]]


def _decode_strictly(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    _check_nesting(text)
    decoded = json.loads(
        text,
        object_pairs_hook=_object,
        parse_int=_integer,
        parse_float=_finite,
        parse_constant=_refuse_constant,
    )
    if not isinstance(decoded, dict):
        raise HeaderError("the header is not a JSON object")
    if not isinstance(decoded, _Repeating):
        return decoded, ()
    notes = []
    for name, overwritten in decoded.earlier:
        if name == METADATA_KEY:
            raise HeaderError(f"{METADATA_KEY} occurs twice")
        _fields(name, overwritten)  # It must be a tensor too, although nobody reads it.
        notes.append(f"tensor {name} is declared more than once; the last one counts, as for every reader")
    return decoded, tuple(notes)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in pairs:
        _check_string(key)
        _check_strings(value)
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    repeating = _Repeating(result)
    last = {key: position for position, (key, _) in enumerate(pairs)}
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


def _check_nesting(text: str) -> None:
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            if depth > _NESTING_LIMIT:
                raise HeaderError(f"the header is nested deeper than {_NESTING_LIMIT} levels")
        elif token in "]}":
            depth -= 1


def _integer(digits: str) -> int | float:
    # serde_json reads -0, and whatever does not fit 64 bits, as a float: no dimension can be one.
    value = int(digits) if len(digits) <= 20 else _USIZE_LIMIT
    return value if digits != "-0" and value < _USIZE_LIMIT else _finite(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise HeaderError(f"number out of range: {digits[:40]}")
    return value


def _refuse_constant(name: str) -> None:
    raise HeaderError(f"the header is not JSON: {name}")


def _metadata(value: Any) -> Mapping[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise HeaderError(f"{METADATA_KEY} must map strings to strings")
    return value


def _tensors(entries: dict[str, Any], file: str, *, is_plain: bool) -> tuple[list[TensorInfo], int]:
    """(tensors in the order of the data, where the data ends).

    Few shapes are repeated many times: what was checked once is looked up, unless it might hold what is equal to
    an integer and is none (1.0, true). Data that is in the order of the names, as writers leave it, needs no sort.
    """
    tensors: list[TensorInfo] = []
    checked: dict[tuple[str, tuple[int, ...]], int] = {}
    sizes = checked if is_plain else {}
    position, in_order = 0, True
    for name, entry in entries.items():
        try:
            dtype, shape = entry["dtype"], tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            expected = sizes[dtype, shape]
            fits = end - begin == expected
        except (KeyError, TypeError, ValueError):
            dtype, shape, begin, end = _fields(name, entry)
            expected = checked[dtype, shape] = _stored_bytes(name, dtype, shape)
            fits = end - begin == expected
        if not fits:
            raise HeaderError(
                f"tensor {name}: {dtype} {list(shape)} takes {expected:,} bytes, its offsets span {end - begin:,}"
            )
        in_order = in_order and begin == position
        position = end
        tensors.append(_new_tuple(TensorInfo, (name, dtype, shape, expected, file)))
    return (tensors, position) if in_order else _sorted(tensors, entries)


def _fields(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """The three fields of an entry, which may be an object or (a serde habit) an array of the three."""
    if isinstance(entry, list) and len(entry) == len(_FIELDS):
        entry = dict(zip(_FIELDS, entry, strict=True))
    if not isinstance(entry, dict):
        raise HeaderError(f"tensor {name}: not an object of dtype, shape and data_offsets")
    if isinstance(entry, _Repeating) and any(key in _FIELDS for key, _ in entry.earlier):
        raise HeaderError(f"tensor {name}: a field occurs twice")
    try:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    except KeyError as error:
        raise HeaderError(f"tensor {name}: {error.args[0]} is missing") from None
    if isinstance(dtype, dict) and not isinstance(dtype, _Repeating) and list(dtype.values()) == [None]:
        (dtype,) = dtype  # `{"F32": null}`: the other spelling serde knows of an enum without data
    if not isinstance(dtype, str) or dtype not in SAFETENSORS_BITS:
        raise HeaderError(f"tensor {name}: unknown dtype {dtype!r}")
    if not _are_sizes(shape):
        raise HeaderError(f"tensor {name}: shape must be a list of non-negative integers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise HeaderError(f"tensor {name}: data_offsets must be two non-negative integers")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _are_sizes(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    # A loop, since this runs for each of up to a million tensors. `type is int`: a bool is no size.
    for item in value:  # noqa: SIM110
        if type(item) is not int or not 0 <= item < _USIZE_LIMIT:
            return False
    return True


def _stored_bytes(name: str, dtype: str, shape: tuple[int, ...]) -> int:
    bits = 1
    for factor in shape:
        bits *= factor
        if bits >= _USIZE_LIMIT:
            break
    else:
        bits *= SAFETENSORS_BITS[dtype]
    if bits >= _USIZE_LIMIT:
        raise HeaderError(f"tensor {name}: {dtype} {list(shape)} is larger than 64 bits can count")
    size, remainder = divmod(bits, 8)
    if remainder:
        raise HeaderError(f"tensor {name}: {dtype} {list(shape)} does not end on a byte")
    return size


def _sorted(tensors: list[TensorInfo], entries: dict[str, Any]) -> tuple[list[TensorInfo], int]:
    """Sorted by offsets, the data must run from 0 to its end without a hole or an overlap."""
    spans = {name: _fields(name, entry)[2:] for name, entry in entries.items()}
    tensors = sorted(tensors, key=lambda tensor: spans[tensor.name])
    position = 0
    for tensor in tensors:
        begin, end = spans[tensor.name]
        if begin != position or end < begin:
            raise HeaderError(
                f"tensor {tensor.name}: its data runs from {begin:,} to {end:,}, expected from {position:,}"
            )
        position = end
    return tensors, position
