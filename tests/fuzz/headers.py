"""The header parser: it accepts and refuses what the `safetensors` package does, and both its decoders agree."""

from __future__ import annotations

import json
from functools import cache
from math import prod
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import hubvram.checkpoint.safetensors as parser
from hubvram.checkpoint.safetensors import Header, HeaderError
from hubvram.dtypes import SAFETENSORS_BITS
from tests.checkpoint.reference import by_hubvram, by_reference, declared
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Target

_NAMES: Final = (
    *("a", "b", "", "model.layers.0.mlp.up_proj.weight", "größe", "a:b", "shape", "},", "\U0001f600"),
    *("a\\b", 'a"b', "a\tb", "a/b", "\x7f"),
)
_FRAGMENTS: Final = (
    *(b'"shape"', b'"dtype"', b'"data_offsets"', b'"__metadata__"', b'"F32"', b'{"F32":null}', b'"shape":[2],'),
    *(b'"__metadata__":{},', b'"__metadata__":{"a":"b"},', b'"__metadata__":null,', b',"__metadata__":{"a":"b"}'),
    *(b'"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},', b'"b":["I8",[0],[0,0]],', b'},"'),
)
_LENGTH_BYTES: Final = 8


def make(random: Random) -> bytes:
    """The bytes of a file: the length of the header, the header, and a few more for the data."""
    header, data_bytes = _written(random)
    header = mutated(header, random, _FRAGMENTS)
    announced = len(header) if random.random() < 0.97 else random.choice((0, 1, len(header) + 1, 2**63, 2**64 - 1))
    data_bytes += random.choice((0, 0, 0, 0, 1))
    return announced.to_bytes(_LENGTH_BYTES, "little") + header + bytes(data_bytes)


def _written(random: Random) -> tuple[bytes, int]:
    """(a valid header, bytes of its data), as one of several writers would leave it."""
    entries: dict[str, Any] = {}
    if random.random() < 0.4:
        entries["__metadata__"] = random.choice(({"format": "pt"}, {}, {"a": 'x"\n\u00e9'}, {"a": "b", "c": "{}"}))
    position = 0
    for name in random.sample(_NAMES, random.randint(0, 6)):
        dtype = random.choice(("BF16", "F32", "I8", *SAFETENSORS_BITS))
        shape = random.choices((0, 1, 2, 3, 4, 8), k=random.randint(0, 3))
        end = position + prod(shape) * SAFETENSORS_BITS[dtype] // 8
        fields = [("dtype", dtype), ("shape", shape), ("data_offsets", [position, end])]
        if random.random() < 0.1:
            random.shuffle(fields)
        entries[name] = dict(fields)
        position = end
    if random.random() < 0.1:
        entries = dict(random.sample(sorted(entries.items()), len(entries)))
    text = json.dumps(
        entries,
        separators=random.choice(((",", ":"), (",", ":"), (",", ":"), (", ", ": "))),
        ensure_ascii=random.random() < 0.3,
        indent=random.choice((None, None, None, None, 1)),
    )
    return text.encode() + b" " * random.choice((0, 0, 1, 7)), position


@cache
def _folder() -> TemporaryDirectory[str]:
    """One for all inputs, gone with the process."""
    return TemporaryDirectory()


def check(content: bytes) -> None:
    path = Path(_folder().name) / "model.safetensors"
    path.write_bytes(content)
    ours, theirs = declared(by_hubvram(path)), by_reference(path)
    assert ours == theirs, f"hubvram reads {ours}, safetensors {theirs}"
    header = content[_LENGTH_BYTES : _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")]
    canonical = parser._canonical(header, "x")
    assert canonical is None or canonical == _unusual(header), "the two decoders differ"


def _unusual(header: bytes) -> Header | None:
    try:
        return parser._unusual(header, "x")
    except HeaderError:
        return None


HEADER: Final = Target(name="header", make=make, check=check)
