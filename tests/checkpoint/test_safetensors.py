"""The header parser, proven against the `safetensors` package: same files accepted, same tensors found."""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import deserialize
from safetensors.numpy import save

import hubvram.checkpoint.safetensors as parser
import hubvram.checkpoint.serde as serde
from hubvram.checkpoint.reader import read_checkpoint
from hubvram.checkpoint.safetensors import HEADER_LIMIT_BYTES, Header, HeaderError, header_length, parse_header
from hubvram.errors import CheckpointError
from hubvram.sources.local import LocalSource

from .reference import by_hubvram, by_reference, declared, write_file

# Of safetensors' documentation and tensor.rs, not of hubvram.dtypes.
BITS = {
    **dict.fromkeys(["F4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"], 8),
    **dict.fromkeys(["I16", "U16", "F16", "BF16"], 16),
    **dict.fromkeys(["I32", "U32", "F32"], 32),
    **dict.fromkeys(["C64", "F64", "I64", "U64"], 64),
}
PLAIN = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
OTHER = '"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}'
MAX = 2**64 - 1


def entry(dtype: str, shape: list[int], begin: int, end: int) -> str:
    return json.dumps({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]})


def tensors(**entries: str) -> str:
    return "{" + ",".join(f'"{name}":{text}' for name, text in entries.items()) + "}"


def one(dtype: str = "F32", shape: str = "[2]", offsets: str = "[0,8]") -> str:
    """One tensor whose fields are given as they are spelled."""
    return f'{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}'


def extra(field: str) -> str:
    """The plain header with one field more in its entry."""
    return PLAIN.replace('"shape"', f'{field},"shape"')


def meta(value: str) -> str:
    return f'{{"__metadata__":{value},{PLAIN[1:]}'


def nested(levels: int) -> str:
    """The plain header with brackets inside brackets: `levels` of them, the two outer objects among them."""
    return extra('"x":' + "[" * (levels - 2) + "]" * (levels - 2))


# What the format's own reader does: (header, bytes of data) by name.
ACCEPTED: dict[str, tuple[str | bytes, int]] = {
    "one tensor": (PLAIN, 8),
    "two tensors": (PLAIN[:-1] + "," + OTHER + "}", 12),
    "two tensors in the wrong order": ("{" + OTHER + "," + PLAIN[1:], 12),
    "fields in another order": ('{"a":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}', 8),
    "no tensors": ("{}", 0),
    "no tensors, with metadata": ('{"__metadata__":{"format":"pt"}}', 0),
    "scalar": (one(shape="[]", offsets="[0,4]"), 4),
    "zero-size tensor": (one(shape="[0]", offsets="[0,0]"), 0),
    "zero-size tensor, many dimensions": (one(shape="[3,0,5]", offsets="[0,0]"), 0),
    "zero-size tensors at the same offset": (
        tensors(a=entry("F32", [0], 0, 0), b=entry("I8", [0], 0, 0), c=entry("U8", [3], 0, 3)),
        3,
    ),
    "zero-size tensor at the end": (tensors(a=entry("U8", [3], 0, 3), b=entry("U8", [0], 3, 3)), 3),
    "zero before an overflow": (one(shape=f"[0,{MAX},{MAX}]", offsets="[0,0]"), 0),
    "padded with spaces": (PLAIN + " " * 7, 8),
    "leading space": (" " + PLAIN, 8),
    "trailing newline, tab, return": (PLAIN + "\n\t\r", 8),
    "spaces everywhere": (json.dumps(json.loads(PLAIN), indent=2), 8),
    "metadata": (meta('{"format":"pt"}'), 8),
    "metadata null": (meta("null"), 8),
    "metadata empty": (meta("{}"), 8),
    "metadata at the end": (PLAIN[:-1] + ',"__metadata__":{"a":"b"}}', 8),
    "metadata with a key twice": (meta('{"a":"b","a":"c"}'), 8),
    "metadata that looks like fields": (meta('{"shape":"[2]","dtype":"F32"}'), 8),
    "metadata with colons and brackets": (meta('{"a:b":"[-1"}'), 8),
    "name starts like metadata": (PLAIN.replace('"a"', '"__metadata__x"'), 8),
    "name empty": (PLAIN.replace('"a"', '""'), 8),
    "name of a field": (PLAIN.replace('"a"', '"shape"'), 8),
    "name with a colon and a bracket": (PLAIN.replace('"a"', '"a:[b"'), 8),
    "name beyond ASCII": (PLAIN.replace('"a"', '"größe.重み"'), 8),
    "name escaped": (PLAIN.replace('"a"', r'"\u0061\n\/\\\""'), 8),
    "name with a surrogate pair": (PLAIN.replace('"a"', r'"\ud83d\ude00"'), 8),
    "name with an escaped zero": (PLAIN.replace('"a"', r'"a\u0000"'), 8),
    "name twice": (PLAIN[:-1] + "," + PLAIN[1:], 8),
    "name twice, the first of another size": (tensors(a=entry("F32", [9], 0, 36))[:-1] + "," + PLAIN[1:], 8),
    "name twice, once escaped": (PLAIN[:-1] + "," + PLAIN[1:].replace('"a"', r'"\u0061"'), 8),
    "field name escaped": (PLAIN.replace('"shape"', r'"sh\u0061pe"'), 8),
    "field unknown": (extra('"x":1'), 8),
    "field unknown, twice": (extra('"x":1,"x":2'), 8),
    "field unknown, of every kind": (extra(r'"x":[null,true,-0,-1.5e-3,"\u00e9",{"y":[],"y":{}}]'), 8),
    "field unknown, pair of surrogates in a list": (extra(r'"x":["\ud83d\ude00"]'), 8),
    "field unknown, more than 64 bits": (extra('"x":123456789012345678901234567890'), 8),
    "field unknown, 308 digits": (extra('"x":1' + "0" * 307), 8),
    "field unknown, underflow": (extra('"x":1e-999'), 8),
    "field unknown, zero with a large exponent": (extra('"x":0e999'), 8),
    "nested 127 levels": (nested(127), 8),
    "entry as an array": ('{"a":["F32",[2],[0,8]]}', 8),
    "dtype as an object": (PLAIN.replace('"F32"', '{"F32":null}'), 8),
    "dimension of 2^62 beside a zero": (one(shape=f"[0,{2**62}]", offsets="[0,0]"), 0),
}

REFUSED: dict[str, tuple[str | bytes, int]] = {
    "nothing": ("", 0),
    "only spaces": ("    ", 0),
    "array": ("[]", 0),
    "null": ("null", 0),
    "string": ('"a"', 0),
    "not UTF-8": (PLAIN.encode().replace(b'"a"', b'"\xff"'), 8),
    "overlong UTF-8": (PLAIN.encode().replace(b'"a"', b'"\xc0\xaf"'), 8),
    "surrogate in UTF-8": (PLAIN.encode().replace(b'"a"', b'"\xed\xa0\x80"'), 8),
    "UTF-16": (PLAIN.encode("utf-16"), 8),
    "byte order mark": ("\ufeff" + PLAIN, 8),
    "garbage after the JSON": (PLAIN + "x", 8),
    "zero byte after the JSON": (PLAIN + "\0", 8),
    "no-break space after the JSON": (PLAIN + "\xa0", 8),
    "second object": (PLAIN + "{}", 8),
    "cut off": (PLAIN[:-1], 8),
    "trailing comma": (PLAIN[:-1] + ",}", 8),
    "single quotes": (PLAIN.replace('"', "'"), 8),
    "comment": (PLAIN + "// a", 8),
    "raw tab in a name": (PLAIN.replace('"a"', '"a\tb"'), 8),
    "unknown escape": (PLAIN.replace('"a"', r'"\x61"'), 8),
    "lone surrogate in a name": (PLAIN.replace('"a"', r'"\ud800"'), 8),
    "lone surrogate in an unknown field": (extra(r'"x":"\ud800"'), 8),
    "lone surrogate in an unknown field's name": (extra(r'"\udc00":1'), 8),
    "lone surrogate in a list": (extra(r'"x":["\ud800"]'), 8),
    "lone surrogate in a list of lists": (extra(r'"x":[[1],["\udc00"]]'), 8),
    "lone surrogate in metadata": (meta(r'{"a":"\ud800"}'), 8),
    "surrogates the wrong way round": (extra(r'"x":"\ude00\ud83d"'), 8),
    "NaN": (extra('"x":NaN'), 8),
    "Infinity": (extra('"x":Infinity'), 8),
    "-Infinity": (extra('"x":-Infinity'), 8),
    "1e999": (extra('"x":1e999'), 8),
    "-1e400": (extra('"x":-1e400'), 8),
    "310 digits": (extra('"x":1' + "0" * 309), 8),
    "5000 digits": (extra('"x":' + "9" * 5000), 8),
    "310 digits, where the colons seem to add up": (
        extra('"x":1' + "0" * 309 + ',"y":1,"z":1')[:-1] + ',"b":["F32",[1],[8,12]]}',
        12,
    ),
    "number ends in a point": (extra('"x":1.'), 8),
    "nested 128 levels": (nested(128), 8),
    "nested 100,000 levels": (nested(100_000), 8),
    "not an object": ('{"a":3}', 0),
    "entry null": ('{"a":null}', 0),
    "entry as an array of four": ('{"a":["F32",[2],[0,8],1]}', 8),
    "entry as an array of two": ('{"a":["F32",[2]]}', 8),
    "dtype missing": ('{"a":{"shape":[2],"data_offsets":[0,8]}}', 8),
    "shape missing": ('{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8),
    "data_offsets missing": ('{"a":{"dtype":"F32","shape":[2]}}', 8),
    "dtype twice": (extra('"dtype":"F32"'), 8),
    "shape twice": (extra('"shape":[2]'), 8),
    "shape twice, once escaped": (extra(r'"sh\u0061pe":[2]'), 8),
    "data_offsets twice": (extra('"data_offsets":[0,8]'), 8),
    "shape twice, missing elsewhere": (
        extra('"shape":[2]')[:-1] + ',"b":{"dtype":"F32","data_offsets":[8,12]}}',
        12,
    ),
    "dtype unknown": (one(dtype="F33"), 8),
    "dtype in lower case": (one(dtype="f32"), 8),
    "dtype null": (PLAIN.replace('"F32"', "null"), 8),
    "dtype number": (PLAIN.replace('"F32"', "0"), 8),
    "dtype as an object with a value": (PLAIN.replace('"F32"', '{"F32":1}'), 8),
    "dtype as an object with a key twice": (PLAIN.replace('"F32"', '{"F32":null,"F32":null}'), 8),
    "dtype as an empty object": (PLAIN.replace('"F32"', "{}"), 8),
    "dtype as a list": (PLAIN.replace('"F32"', '["F32"]'), 8),
    "shape null": (one(shape="null"), 8),
    "shape string": (one(shape='"2"'), 8),
    "shape object": (one(shape="{}"), 8),
    "dimension bool": (one(shape="[true,2]"), 8),
    "dimension string": (one(shape='["2"]'), 8),
    "dimension null": (one(shape="[null]"), 8),
    "dimension 2.0": (one(shape="[2.0]"), 8),
    "dimension 2e0": (one(shape="[2e0]"), 8),
    "dimension -2": (one(shape="[-2]"), 8),
    "dimension -0": (one(shape="[-0]", offsets="[0,0]"), 0),
    "dimension 02": (one(shape="[02]"), 8),
    "dimension +2": (one(shape="[+2]"), 8),
    "dimension 2^64 beside a zero": (one(shape=f"[0,{2**64}]", offsets="[0,0]"), 0),
    "product overflows before the zero": (one(shape=f"[{MAX},{MAX},0]", offsets="[0,0]"), 0),
    "bits overflow": (one(shape=f"[{2**62}]", offsets="[0,0]"), 0),
    "bits overflow to the right size": (one(shape=f"[{2**59 + 2}]"), 8),
    "offsets null": (one(offsets="null"), 8),
    "one offset": (one(offsets="[8]"), 8),
    "three offsets": (one(offsets="[0,8,9]"), 8),
    "offset 8.0": (one(offsets="[0,8.0]"), 8),
    "offset -0": (one(offsets="[-0,8]"), 8),
    "offset false": (one(offsets="[false,8]"), 8),
    "offset -8": (one(offsets="[-8,0]"), 8),
    "end before begin": (one(offsets="[8,0]"), 8),
    "end beyond the file": (one(), 7),
    "trailing bytes": (one(), 9),
    "no tensors, trailing bytes": ("{}", 1),
    "shape of another size than the offsets": (one(shape="[3]"), 8),
    "scalar of another size": (one(shape="[]"), 8),
    "hole at the start": (one(offsets="[4,12]"), 12),
    "hole in the middle": (tensors(a=entry("U8", [4], 0, 4), b=entry("U8", [4], 5, 9)), 9),
    "overlap": (tensors(a=entry("U8", [4], 0, 4), b=entry("U8", [4], 3, 7)), 7),
    "tied offsets": (tensors(a=entry("U8", [4], 0, 4), b=entry("U8", [4], 0, 4)), 4),
    "contained": (tensors(a=entry("U8", [8], 0, 8), b=entry("U8", [4], 2, 6)), 8),
    "zero-size tensor inside another": (tensors(a=entry("U8", [8], 0, 8), b=entry("U8", [0], 4, 4)), 8),
    "metadata list": (meta("[]"), 8),
    "metadata string": (meta('"a"'), 8),
    "metadata number": (meta('{"a":1}'), 8),
    "metadata null inside": (meta('{"a":null}'), 8),
    "metadata object inside": (meta('{"a":{}}'), 8),
    "metadata with a key twice, first an object": (meta('{"a":{},"a":"b"}'), 8),
    "metadata twice": ('{"__metadata__":{},' + meta("{}")[1:], 8),
    "metadata twice, once null": ('{"__metadata__":null,' + meta("{}")[1:], 8),
    "name twice, the first null": ('{"a":null,' + PLAIN[1:], 8),
    "name twice, the first of unknown dtype": ('{"a":' + entry("XX", [2], 0, 8) + "," + PLAIN[1:], 8),
    "name twice, the first with a field twice": (extra('"shape":[2]')[:-1] + "," + PLAIN[1:], 8),
    "name twice, the last too short": (PLAIN[:-1] + "," + tensors(a=entry("F32", [1], 0, 4))[1:], 8),
}


def as_bytes(header: str | bytes) -> bytes:
    return header.encode() if isinstance(header, str) else header


@pytest.mark.parametrize(("header", "data_bytes"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(tmp_path: Path, header: str | bytes, data_bytes: int) -> None:
    path = write_file(tmp_path, as_bytes(header), data_bytes)
    expected = by_reference(path)
    assert expected is not None
    checkpoint = by_hubvram(path)
    assert declared(checkpoint) == expected
    assert checkpoint is not None
    assert checkpoint.stored_bytes == data_bytes
    assert checkpoint.file_bytes == path.stat().st_size


@pytest.mark.parametrize(("header", "data_bytes"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path: Path, header: str | bytes, data_bytes: int) -> None:
    path = write_file(tmp_path, as_bytes(header), data_bytes)
    assert by_reference(path) is None
    assert by_hubvram(path) is None


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4,), (2, 3), (7, 4)], ids=str)
@pytest.mark.parametrize("dtype", BITS)
def test_every_dtype(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    """Sub-byte tensors must end on a byte; everything else is as large as its elements."""
    bits = BITS[dtype] * prod(shape)
    path = write_file(tmp_path, tensors(a=entry(dtype, list(shape), 0, bits // 8)).encode(), bits // 8)
    expected = by_reference(path)
    assert (expected is None) == (bits % 8 != 0)
    checkpoint = by_hubvram(path)
    assert declared(checkpoint) == expected
    if checkpoint is not None:
        ((_, read),) = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
        (tensor,) = checkpoint.tensors
        assert tensor.stored_bytes == len(read["data"]) == bits // 8


def test_the_table_of_dtypes_is_the_reader_s() -> None:
    from hubvram.dtypes import SAFETENSORS_BITS

    assert SAFETENSORS_BITS == BITS


class TestLength:
    """N, the first eight bytes."""

    @pytest.mark.parametrize("content", [b"", b"\0", b"\0" * 7, b"\0" * 8, b"\2\0\0\0\0\0\0\0{"], ids=repr)
    def test_short_files(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        assert by_reference(path) is None
        assert by_hubvram(path) is None

    def test_nine_bytes_are_too_few(self, tmp_path: Path) -> None:
        assert by_reference(write_file(tmp_path, b" ")) is None
        assert by_hubvram(tmp_path / "model.safetensors") is None

    def test_ten_bytes_are_a_file(self, tmp_path: Path) -> None:
        assert by_reference(write_file(tmp_path, b"{}")) == {}
        assert declared(by_hubvram(tmp_path / "model.safetensors")) == {}

    @pytest.mark.parametrize(
        "announced",
        [0, 1, len(PLAIN) - 1, len(PLAIN) + 1, len(PLAIN) + 9, 2**31, 2**32 + len(PLAIN), 2**63, 2**64 - 8, MAX],
    )
    def test_wrong_lengths(self, tmp_path: Path, announced: int) -> None:
        path = write_file(tmp_path, PLAIN.encode(), 8, announced=announced)
        assert by_reference(path) is None
        assert by_hubvram(path) is None

    @pytest.mark.parametrize("length", [99_990, 99_999, 100_000, 100_001, 100_010])
    def test_around_the_first_guess_of_other_readers(self, tmp_path: Path, length: int) -> None:
        path = write_file(tmp_path, PLAIN.encode().ljust(length), 8)
        assert declared(by_hubvram(path)) == by_reference(path) == {"a": ("F32", (2,))}

    def test_longest_header(self) -> None:
        assert header_length(HEADER_LIMIT_BYTES.to_bytes(8, "little"), HEADER_LIMIT_BYTES + 8) == 100_000_000

    def test_longer_than_the_format_allows(self, tmp_path: Path) -> None:
        """A file large enough for it, and not one byte of it is read."""
        path = tmp_path / "model.safetensors"
        with path.open("wb") as stream:
            stream.write((100_000_001).to_bytes(8, "little") + b"{}")
            stream.truncate(300_000_000)
        assert by_reference(path) is None
        with pytest.raises(CheckpointError, match="100,000,001 bytes; the format allows 100,000,000"):
            read_checkpoint(LocalSource(tmp_path))

    def test_longer_than_the_file(self, tmp_path: Path) -> None:
        write_file(tmp_path, b"{}", announced=3)
        with pytest.raises(CheckpointError, match="a header of 3 bytes in a file of 10"):
            read_checkpoint(LocalSource(tmp_path))

    def test_size_of_the_file_unknown(self) -> None:
        assert header_length((5000).to_bytes(8, "little")) == 5000
        assert parse_header(PLAIN.encode(), data_bytes=None, file="x").tensors[0].shape == (2,)


class TestDuplicates:
    def test_the_last_one_counts_and_a_note_says_so(self, tmp_path: Path) -> None:
        first = tensors(a=entry("F64", [100], 0, 800))
        path = write_file(tmp_path, (first[:-1] + "," + PLAIN[1:]).encode(), 8)
        checkpoint = read_checkpoint(LocalSource(tmp_path))
        assert declared(checkpoint) == by_reference(path) == {"a": ("F32", (2,))}
        (note,) = checkpoint.notes
        assert note.startswith("model.safetensors: tensor a is declared more than once")

    def test_one_note_for_all(self) -> None:
        three_times = PLAIN[:-1] + "," + PLAIN[1:-1] + "," + PLAIN[1:]
        (note,) = parse_header(three_times.encode(), data_bytes=8, file="x").notes
        assert note.startswith("tensor a is declared more than once")
        many = "{" + ",".join([OTHER, OTHER.replace('"b"', '"c"')] * 2 + [PLAIN[1:]])
        many = many.replace("8,12", "8,8").replace("[1]", "[0]")
        (note,) = parse_header(many.encode(), data_bytes=8, file="x").notes
        assert note.startswith("tensor b (and 1 more) is declared more than once")

    @pytest.mark.parametrize("name", ["metadata with a key twice", "field unknown, twice", "one tensor"])
    def test_nothing_to_note(self, name: str) -> None:
        header, data_bytes = ACCEPTED[name]
        assert parse_header(as_bytes(header), data_bytes=data_bytes, file="x").notes == ()


class TestBounds:
    """However it is spelled, a header of 100 MB is read or refused with a bounded amount of memory and time."""

    def test_100_megabytes_of_nesting(self) -> None:
        for piece in (b'{"a":', b'{"a":['):
            with pytest.raises(HeaderError, match="nested deeper than 127 levels"):
                parse_header(piece * (HEADER_LIMIT_BYTES // len(piece)), data_bytes=8, file="x")
        with pytest.raises(HeaderError, match="not a JSON object"):
            parse_header(b"[" * HEADER_LIMIT_BYTES, data_bytes=8, file="x")

    def test_a_tree_of_more_than_8_megabytes_is_not_built(self) -> None:
        """The one header that the package accepts and that is refused here."""
        values = ",".join(["[0,0,0]"] * 1_100_000)
        with pytest.raises(HeaderError, match="more than 8,388,608 bytes of it do not describe tensors"):
            parse_header(extra(f'"x":[{values}]').encode(), data_bytes=8, file="x")

    def test_only_what_is_too_large_for_a_tensor_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(serde, "UNUSUAL_LIMIT_BYTES", 10_000)
        small = [f'"{number}":{{"x":[[],{{}}],"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for number in range(500)]
        assert len(parse_header(("{" + ",".join(small) + "}").encode(), data_bytes=0, file="x").tensors) == 500
        large = '"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":"' + "x" * 6_000 + '"}'
        parse_header(f'{{"a":{{{large}}}'.encode(), data_bytes=0, file="x")
        with pytest.raises(HeaderError, match="do not describe tensors"):
            parse_header(f'{{"a":{{{large},"b":{{{large}}}'.encode(), data_bytes=0, file="x")

    def test_words_are_short_however_long_the_names(self) -> None:
        name = "n" * 1_000_000
        for header in (PLAIN.replace("[2]", "[3]"), PLAIN.replace("F32", name), one(shape=str([1] * 100_000))):
            with pytest.raises(HeaderError) as caught:
                parse_header(header.replace('"a"', f'"{name}"').encode(), data_bytes=8, file="x")
            assert len(str(caught.value)) < 400


def test_tensors_come_in_the_order_of_their_data() -> None:
    header = tensors(z=entry("U8", [3], 0, 3), a=entry("U8", [1], 4, 5), m=entry("U8", [1], 3, 4))
    parsed = parse_header(header.encode(), data_bytes=5, file="x")
    assert [tensor.name for tensor in parsed.tensors] == ["z", "m", "a"]
    assert {tensor.file for tensor in parsed.tensors} == {"x"}


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("dtype unknown", "tensor a: unknown dtype 'F33'"),
        ("shape missing", "tensor a: shape is missing"),
        ("shape twice", "tensor a: a field occurs twice"),
        ("dimension -2", "tensor a: shape must be a list of non-negative integers"),
        ("three offsets", "tensor a: data_offsets must be two non-negative integers"),
        ("shape of another size than the offsets", "tensor a: F32 [3] takes 12 bytes, its offsets span 8"),
        ("hole in the middle", "tensor b: its data runs from 5 to 9, expected from 4"),
        ("end beyond the file", "the tensors take 8 bytes, the file holds 7"),
        ("product overflows before the zero", "is larger than 64 bits can count"),
        ("not UTF-8", "the header is not UTF-8 (byte 2)"),
        ("NaN", "the header is not JSON: NaN"),
        ("nested 128 levels", "nested deeper than 127 levels"),
        ("nested 100,000 levels", "nested deeper than 127 levels"),
        ("metadata number", "__metadata__ must map strings to strings"),
        ("metadata twice", "__metadata__ occurs twice"),
        ("array", "the header is not a JSON object"),
    ],
)
def test_the_reason_names_the_place(case: str, reason: str) -> None:
    header, data_bytes = REFUSED[case]
    with pytest.raises(HeaderError, match=re.escape(reason)):
        parse_header(as_bytes(header), data_bytes=data_bytes, file="x")


# Both ways to decode

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\'), max_size=12)
SHAPES = st.lists(st.integers(0, 5), max_size=4)
KINDS = st.sampled_from([np.float32, np.float16, np.int8, np.uint64, np.bool_])


@st.composite
def ordinary_headers(draw: st.DrawFn) -> tuple[bytes, int]:
    """(header, bytes of data) of a file that the package itself writes."""
    arrays: dict[str, np.ndarray[Any, Any]] = {
        name: np.zeros(draw(SHAPES), draw(KINDS)) for name in draw(st.sets(NAMES, max_size=5)) - {"__metadata__"}
    }
    content = save(arrays, metadata=draw(st.none() | st.dictionaries(NAMES, NAMES, min_size=1, max_size=3)))
    stop = 8 + int.from_bytes(content[:8], "little")
    return content[8:stop], len(content) - stop


def both_ways(header: bytes, data_bytes: int) -> tuple[Header | None, Header | None]:
    """As parsed, and as parsed without the fast path; None for a refusal."""

    def attempt() -> Header | None:
        try:
            return parse_header(header, data_bytes=data_bytes, file="x")
        except HeaderError:
            return None

    as_is = attempt()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parser, "_canonical", lambda text, file: None)
        return as_is, attempt()


class TestBothDecoders:
    """The fast path is an optimisation: it must not be seen."""

    @given(ordinary_headers())
    @settings(max_examples=100, deadline=None, derandomize=True)
    def test_agree_on_ordinary_headers(self, case: tuple[bytes, int]) -> None:
        as_is, strictly = both_ways(*case)
        assert as_is is not None
        assert as_is == strictly

    @pytest.mark.parametrize("name", [*ACCEPTED, *REFUSED])
    def test_agree_on_the_unusual_ones(self, name: str) -> None:
        header, data_bytes = (ACCEPTED | REFUSED)[name]
        as_is, strictly = both_ways(as_bytes(header), data_bytes)
        assert as_is == strictly
        assert (as_is is not None) == (name in ACCEPTED)

    def test_ordinary_headers_do_take_the_fast_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unexpected(text: bytes) -> None:
            raise AssertionError(text)

        monkeypatch.setattr(parser, "members", unexpected)
        for name in (
            *("one tensor", "two tensors", "padded with spaces", "no tensors", "scalar", "name beyond ASCII"),
            *("metadata", "metadata at the end", "metadata empty", "no tensors, with metadata"),
        ):
            header, data_bytes = ACCEPTED[name]
            assert parse_header(as_bytes(header), data_bytes=data_bytes, file="x")


# Fuzzing

SEEDS: list[tuple[str, int]] = [
    (PLAIN, 8),
    (meta('{"format":"pt"}')[:-1] + "," + OTHER + "}  ", 12),
    (tensors(a=entry("F4", [2, 4], 0, 4), b=entry("BF16", [0], 4, 4), c=entry("BOOL", [], 4, 5)), 5),
    (extra(r'"x":[1,{"y":"\u00e9"}]'), 8),
    ('{"a":{"dtype":{"F32":null},"shape":[2],"data_offsets":[0,8]},"a":["F32",[2],[0,8]]}', 8),
]
NASTY = [
    *('"shape"', '"dtype"', '"data_offsets"', '"__metadata__"', '"a"', '"F32"', '"F6_E2M3"', '"x":1,', '"shape":[2],'),
    *("-0", "0", "2", "-1", "1e999", "1E2", "2.0", "0e9999", str(MAX), str(2**64), "1" + "0" * 309, "-"),
    *(
        "null",
        "true",
        "NaN",
        "Infinity",
        "[]",
        "{}",
        "[",
        "{",
        "]",
        "}",
        ",",
        ":",
        '"',
        "\\",
        " ",
        "\n",
        "\0",
        "\ufeff",
    ),
    *(r"\ud800", r"\udc00", r"\u0061", r'"x":["\ud800"],', r'"\udc00":1,', '"x":' + "[" * 125 + "]" * 125 + ","),
    *('"__metadata__":null,', '"__metadata__":{},', '{"F32":null}', '{"F32":null,"F32":null}', PLAIN[1:-1] + ","),
]


@st.composite
def mutated_headers(draw: st.DrawFn) -> tuple[bytes, int]:
    text, data_bytes = draw(st.sampled_from(SEEDS))
    header = text.encode()
    for _ in range(draw(st.integers(1, 4))):
        tokens = [match.span() for match in re.finditer(rb'"[^"]*"|\d+|\[[^][]*\]|\{[^{}]*\}|[][{}:,]', header)]
        start, stop = draw(st.sampled_from(tokens)) if tokens else (0, 0)
        piece = draw(st.sampled_from(NASTY)).encode()
        at = draw(st.integers(0, len(header)))
        header = draw(
            st.sampled_from(
                [
                    header[:start] + piece + header[start:],
                    header[:start] + piece + header[stop:],
                    header[:start] + header[stop:],
                    header[:stop] + header[start:],
                    header[:at] + draw(st.binary(max_size=2)) + header[at + draw(st.integers(0, 2)) :],
                ]
            )
        )
    return header, draw(st.sampled_from([data_bytes, data_bytes, data_bytes, 0, data_bytes + 1]))


@st.composite
def odd_headers(draw: st.DrawFn) -> tuple[bytes, int]:
    """Well-formed JSON, mostly accepted: entries in all their spellings, with whatever JSON as extra fields."""
    values = st.recursive(
        st.sampled_from(["0", "-0", "-5", "1.5e3", "null", "true", '"s"', r'"\ud800"', r'"\ud83d\ude00"', "9" * 309]),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
            st.lists(st.tuples(st.sampled_from(['"p"', '"q"', r'"\u0070"']), inner), max_size=3).map(
                lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
            ),
        ),
        max_leaves=6,
    )
    position, entries = 0, []
    for name in draw(st.lists(st.sampled_from(["a", "b", "c", "", "shape", "a:b", "["]), max_size=4)):
        dtype, shape = draw(st.sampled_from(sorted(BITS))), draw(st.lists(st.integers(0, 4), max_size=2))
        end = position + BITS[dtype] * prod(shape) // 8
        fields = [draw(st.sampled_from([f'"{dtype}"', f'"{dtype}"', f'{{"{dtype}":null}}'])), json.dumps(shape)]
        fields.append(json.dumps([position, end]))
        if draw(st.integers(0, 9)) == 0:
            entries.append(f'"{name}":[{",".join(fields)}]')
        else:
            pairs = [f'"{key}":{value}' for key, value in zip(("dtype", "shape", "data_offsets"), fields, strict=True)]
            pairs += [f'"x":{value}' for value in draw(st.lists(values, max_size=2))]
            entries.append(f'"{name}":{{{",".join(draw(st.permutations(pairs)))}}}')
        position = end
    return ("{" + ",".join(entries) + "}").encode(), position


def agree(folder: Path, header: bytes, data_bytes: int) -> None:
    path = write_file(folder, header, data_bytes)
    assert declared(by_hubvram(path)) == by_reference(path)
    as_is, strictly = both_ways(header, data_bytes)
    assert as_is == strictly


FUZZ = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class TestFuzz:
    """Nothing but CheckpointError comes out, and exactly where the package refuses the file too."""

    @given(case=mutated_headers())
    @FUZZ
    def test_mutations(self, tmp_path: Path, case: tuple[bytes, int]) -> None:
        agree(tmp_path, *case)

    @given(case=odd_headers())
    @FUZZ
    def test_odd_spellings(self, tmp_path: Path, case: tuple[bytes, int]) -> None:
        agree(tmp_path, *case)

    @given(
        content=st.binary(max_size=64) | st.binary(max_size=40).map(lambda text: len(text).to_bytes(8, "little") + text)
    )
    @FUZZ
    def test_random_bytes(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "model.safetensors"
        path.write_bytes(content)
        assert declared(by_hubvram(path)) == by_reference(path)
