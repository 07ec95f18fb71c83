"""The safetensors header: bytes -> tensors, accepting and refusing exactly what the `safetensors` package does.

A file is a little-endian u64 N, N bytes of JSON, then the data. The JSON maps tensor names to
`{"dtype", "shape", "data_offsets": [begin, end]}`; `__metadata__` maps strings to strings. The rules below
were read from safetensors 0.8 and tried one by one against it (tests/checkpoint/test_safetensors.py).

No tree of the JSON is ever built. Beside the text itself, parsing takes 260 bytes a tensor where it is spelled as
writers leave it, and 530 otherwise: a quarter of a GB for the million that fit into the longest header, most of it
the result (tests/checkpoint/test_memory.py). Only a header of nothing but shapes that occur once needs more, 400.
For the sake of that bound one thing is refused that the package accepts: more than 8 MiB in entries that are too large
to describe a tensor (serde.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from hubvram.checkpoint.serde import USIZE_LIMIT, Repeating, members
from hubvram.checkpoint.serde import HeaderError as HeaderError
from hubvram.checkpoint.tensors import TensorInfo
from hubvram.dtypes import SAFETENSORS_BITS

LENGTH_BYTES: Final = 8
HEADER_LIMIT_BYTES: Final = 100_000_000
"""The format's own limit on N."""
METADATA_KEY: Final = "__metadata__"

_new_tuple: Final = tuple.__new__  # makes a NamedTuple twice as fast as its own class: there are up to a million
_FIELDS: Final = ("dtype", "shape", "data_offsets")
_SHOWN: Final = 100
_PADDING_BYTES: Final = 64

# As writers leave it, without a space; whatever is spelled in another way is swallowed whole, and found to be empty.
_TENSOR: Final = re.compile(
    rb'"([^"\\\x00-\x1f]*+)":\{"dtype":"([A-Z0-9_]++","shape":\[[0-9,]{0,200}+)\],'
    rb'"data_offsets":\[([0-9]++),([1-9][0-9]{0,18}+|0)\]\}(?:,|\Z)|[\s\S]++'
)
_METADATA_START: Final = b'"__metadata__":'
_STRING: Final = rb'"[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+"'
_METADATA: Final = re.compile(
    _METADATA_START + rb"\{(?:" + _STRING + rb":" + _STRING + rb"(?:," + _STRING + rb":" + _STRING + rb")*+)?+\}"
)
_PIECE_BYTES: Final = 2**15
"""How much is looked at in one go: enough to be fast, and what is found in it is soon forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A parsed header: tensors in the order of their data."""

    tensors: tuple[TensorInfo, ...]
    data_bytes: int
    notes: tuple[str, ...] = ()


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
    header = _canonical(text, file) or _unusual(text, file)
    if data_bytes is not None and header.data_bytes != data_bytes:
        raise HeaderError(f"the tensors take {header.data_bytes:,} bytes, the file holds {data_bytes:,}")
    return header


def _canonical(text: bytes, file: str) -> Header | None:
    """A header as writers leave it, its tensors in the order of their data; None where anything in it is unusual.

    This runs a million times: few shapes are repeated often, so what was checked once is looked up.
    """
    tensors: list[TensorInfo] = []
    kinds: dict[bytes, tuple[str, tuple[int, ...], int]] = {}
    position, last = 0, b"0"
    try:
        for start, stop in _ranges(text):
            while start < stop:
                cut = text.find(b'},"', start + _PIECE_BYTES, stop) + 1 or stop
                for name, kind, begin, end in _TENSOR.findall(text, start, cut):
                    try:
                        dtype, shape, size = kinds[kind]
                    except KeyError:
                        dtype, shape, size = kinds[kind] = _kind(kind)
                    position += size
                    if begin != last or int(end) != position:
                        return None
                    last = end
                    tensors.append(_new_tuple(TensorInfo, (name.decode(), dtype, shape, size, file)))
                start = cut + 1
    except ValueError:  # whatever it is, the other decoder finds the words
        return None
    names = set(map(itemgetter(0), tensors))
    if len(names) < len(tensors) or METADATA_KEY in names:
        return None
    return Header(tensors=tuple(tensors), data_bytes=position)


def _ranges(text: bytes) -> Sequence[tuple[int, int]]:
    """Where the tensors stand, parted by commas: before and after the metadata. Raises ValueError."""
    end = len(text) - len(text[-_PADDING_BYTES:]) + len(text[-_PADDING_BYTES:].rstrip(b" \t\n\r")) - 1
    if text[:1] != b"{" or text[end : end + 1] != b"}":
        raise ValueError
    at = text.find(_METADATA_START)
    if at < 0:
        ranges = [(1, end)] if end > 1 else []
    else:
        metadata = _METADATA.match(text, at)
        if metadata is None:
            raise ValueError
        metadata[0].decode()  # is it UTF-8?
        ranges = [(1, at - 1)] if at > 1 else []
        ranges += [(metadata.end() + 1, end)] if metadata.end() != end else []
    for start, stop in ranges:
        if text[start - 1 : start] not in b"{," or text[stop - 1 : stop] != b"}" or text[stop : stop + 1] not in b",}":
            raise ValueError
    return ranges


def _kind(spelled: bytes) -> tuple[str, tuple[int, ...], int]:
    """(dtype, shape, bytes) of what a tensor begins with. Raises ValueError."""
    dtype, _, dimensions = spelled.decode().partition('","shape":[')
    shape = json.loads(f"[{dimensions}]")
    if dtype not in SAFETENSORS_BITS or not _are_sizes(shape):
        raise ValueError
    return dtype, tuple(shape), _stored_bytes("", dtype, tuple(shape))


def _unusual(text: bytes, file: str) -> Header:
    """Any header, one tensor at a time."""
    entries: dict[str, tuple[str, tuple[int, ...], int, int]] = {}
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
    repeated: dict[str, None] = {}
    has_metadata = False
    for name, value in members(text):
        if name == METADATA_KEY:
            if has_metadata:
                raise HeaderError(f"{METADATA_KEY} occurs twice")
            has_metadata = True
            _check_metadata(value)
            continue
        dtype, shape, begin, end = _fields(name, value)
        if name in entries:
            repeated[name] = None
        entries[name] = dtype, shapes.setdefault(shape, shape), begin, end
    tensors, position = _in_order(entries, file)
    return Header(tensors=tensors, data_bytes=position, notes=_notes(tuple(repeated)))


def _notes(repeated: Sequence[str]) -> tuple[str, ...]:
    if not repeated:
        return ()
    others = f" (and {len(repeated) - 1:,} more)" if len(repeated) > 1 else ""
    return (
        f"tensor {_shown(repeated[0])}{others} is declared more than once; the last one counts, as for every reader",
    )


def _check_metadata(value: Any) -> None:
    if value is None:
        return
    earlier = [item for _, item in value.earlier] if isinstance(value, Repeating) else []
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in (*value.values(), *earlier)):
        raise HeaderError(f"{METADATA_KEY} must map strings to strings")


def _in_order(
    entries: dict[str, tuple[str, tuple[int, ...], int, int]], file: str
) -> tuple[tuple[TensorInfo, ...], int]:
    """(tensors in the order of their data, where it ends): it must run from 0 without a hole or an overlap."""
    sizes: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, (dtype, shape, begin, end) in entries.items():
        expected = sizes.get((dtype, shape))
        if expected is None:
            expected = sizes[dtype, shape] = _stored_bytes(name, dtype, shape)
        if end - begin != expected:
            raise HeaderError(
                f"tensor {_shown(name)}: {dtype} {_shown(shape)} takes {expected:,} bytes, "
                f"its offsets span {end - begin:,}"
            )
    tensors = []
    position = 0
    for name, (dtype, shape, begin, end) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise HeaderError(
                f"tensor {_shown(name)}: its data runs from {begin:,} to {end:,}, expected from {position:,}"
            )
        position = end
        tensors.append(_new_tuple(TensorInfo, (name, dtype, shape, sizes[dtype, shape], file)))
    return tuple(tensors), position


def _fields(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """The three fields of an entry, which may be an object or (a serde habit) an array of the three."""
    if isinstance(entry, list) and len(entry) == len(_FIELDS):
        entry = dict(zip(_FIELDS, entry, strict=True))
    if not isinstance(entry, dict):
        raise HeaderError(f"tensor {_shown(name)}: not an object of dtype, shape and data_offsets")
    if isinstance(entry, Repeating) and any(key in _FIELDS for key, _ in entry.earlier):
        raise HeaderError(f"tensor {_shown(name)}: a field occurs twice")
    try:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    except KeyError as error:
        raise HeaderError(f"tensor {_shown(name)}: {error.args[0]} is missing") from None
    if isinstance(dtype, dict) and not isinstance(dtype, Repeating) and list(dtype.values()) == [None]:
        (dtype,) = dtype  # `{"F32": null}`: the other spelling serde knows of an enum without data
    if not isinstance(dtype, str) or dtype not in SAFETENSORS_BITS:
        raise HeaderError(f"tensor {_shown(name)}: unknown dtype {_shown(repr(dtype))}")
    if not _are_sizes(shape):
        raise HeaderError(f"tensor {_shown(name)}: shape must be a list of non-negative integers")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise HeaderError(f"tensor {_shown(name)}: data_offsets must be two non-negative integers")
    return dtype, tuple(shape), offsets[0], offsets[1]


def _are_sizes(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    # A loop, since this runs for each of up to a million tensors. `type is int`: a bool is no size.
    for item in value:  # noqa: SIM110
        if type(item) is not int or not 0 <= item < USIZE_LIMIT:
            return False
    return True


def _stored_bytes(name: str, dtype: str, shape: tuple[int, ...]) -> int:
    bits = 1
    for factor in shape:
        bits *= factor
        if bits >= USIZE_LIMIT:
            break
    else:
        bits *= SAFETENSORS_BITS[dtype]
    if bits >= USIZE_LIMIT:
        raise HeaderError(f"tensor {_shown(name)}: {dtype} {_shown(shape)} is larger than 64 bits can count")
    size, remainder = divmod(bits, 8)
    if remainder:
        raise HeaderError(f"tensor {_shown(name)}: {dtype} {_shown(shape)} does not end on a byte")
    return size


def _shown(value: str | tuple[int, ...]) -> str:
    """A name or a shape as it may stand in a sentence: they can be as long as the header."""
    text = value if isinstance(value, str) else str(list(value[:_SHOWN]))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
