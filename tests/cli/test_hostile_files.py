"""Folders that somebody made to do harm, or that broke: one sentence each, nothing raw on the terminal, no waiting."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from hubvram.sources.local import LocalSource
from tests.cli.support import Ran, run
from tests.cli.test_errors import check

Capsys = pytest.CaptureFixture[str]
MODEL: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
PLAIN: Final = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
SECONDS: Final = 10.0
"""Of the processor, and far more than any of it takes: what waits or grows without end takes longer."""


def file_of(header: bytes, data_bytes: int = 8, *, announced: int | None = None) -> bytes:
    return (len(header) if announced is None else announced).to_bytes(8, "little") + header + bytes(data_bytes)


def tensor(shape: str, begin: int, end: int, name: str = "a") -> str:
    return f'"{name}":{{"dtype":"I8","shape":{shape},"data_offsets":[{begin},{end}]}}'


def header_of(*tensors: str) -> bytes:
    return ("{" + ",".join(tensors) + "}").encode()


def run_safely(capsys: Capsys, folder: Path, *arguments: str) -> Ran:
    before = time.process_time()
    ran = run(capsys, str(folder), *arguments)
    assert time.process_time() - before < SECONDS
    for text in (ran.stdout, ran.stderr):
        assert text.replace("\n", "").isprintable()
        assert "Traceback" not in text
    return ran


HEADERS: Final[dict[str, tuple[bytes, str]]] = {
    "of 2^63 bytes": (
        file_of(PLAIN, announced=2**63),
        "9,223,372,036,854,775,808 bytes; the format allows 100,000,000",
    ),
    "of 2^64 - 1 bytes": (file_of(PLAIN, announced=2**64 - 1), "the format allows"),
    "larger than the file": (file_of(b"{}", announced=1_000), "a header of 1,000 bytes in a file of 18"),
    "of a file of three bytes": (b"abc", "shorter than the 8 bytes"),
    "empty": (b"", "shorter than the 8 bytes"),
    "nested": (file_of(b'{"a":' * 2_000_000), "nested deeper than 127 levels"),
    "nested lists": (file_of(b'{"a":' + b"[" * 10_000_000), "nested deeper than 127 levels"),
    "wide": (
        file_of(b'{"a":[' + b"[0,0,0]," * 1_100_000 + b"[]]}"),
        "more than 8,388,608 bytes of it do not describe tensors",
    ),
    "not UTF-8": (file_of(PLAIN.replace(b'"a"', b'"\xff\x1b"')), "not UTF-8 (byte 2)"),
    "overlapping": (file_of(header_of(tensor("[4]", 0, 4), tensor("[4]", 2, 6, "b"))), "expected from 4"),
    "with a hole": (file_of(header_of(tensor("[2]", 0, 2), tensor("[4]", 4, 8, "b"))), "expected from 2"),
    "negative": (file_of(header_of(tensor("[-2]", 0, 8))), "list of non-negative integers"),
    "fractional": (file_of(header_of(tensor("[2.0]", 0, 2))), "list of non-negative integers"),
    "overflowing": (file_of(header_of(tensor(f"[{2**40},{2**40},0]", 0, 0))), "larger than 64 bits can count"),
    "overflowing to the right size": (file_of(header_of(tensor(f"[{2**61},8]", 0, 0))), "larger than 64 bits"),
    "beyond the end": (file_of(header_of(tensor("[100]", 0, 100))), "take 100 bytes, the file holds 8"),
    "with a name of a megabyte": (file_of(header_of(tensor("[-1]", 0, 8, "n" * 2**20))), "nnn..."),
    "with a name that steers terminals": (file_of(header_of(tensor("[-1]", 0, 8, "\\u001b[2J\\u0007"))), "\\x1b[2J"),
    "with a dtype of a megabyte": (file_of(PLAIN.replace(b"F32", b"F" * 2**20)), "unknown dtype 'FFF"),
    "without tensors": (file_of(b"{}", 0), "no tensors"),
}


@pytest.mark.parametrize(("content", "words"), HEADERS.values(), ids=HEADERS)
def test_a_header(capsys: Capsys, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / MODEL).write_bytes(content)
    ran = run_safely(capsys, tmp_path)
    check(ran, 3, MODEL, words)
    assert len(ran.stderr) < 1_000


def test_very_many_tensors_are_fine(capsys: Capsys, tmp_path: Path) -> None:
    number = 50_000
    header = header_of(*(tensor("[1]", place, place + 1, f"layers.{place}.w") for place in range(number)))
    (tmp_path / MODEL).write_bytes(file_of(header, number))
    ran = run_safely(capsys, tmp_path, "--json")
    assert ran.exit_code == 0
    assert ran.json["checkpoint"]["tensors"] == ran.json["checkpoint"]["stored_bytes"] == number


@pytest.mark.parametrize(
    "name",
    [
        *("../outside.safetensors", "/etc/passwd", "https://example.com/m.safetensors", "file:///etc/passwd"),
        *("sub/../a.safetensors", "./a.safetensors", "a.safetensors\0", "\x1b]0;owned\x07.safetensors", "x" * 2**20),
    ],
    ids=lambda name: name[:20],
)
def test_an_index_that_names_what_is_not_in_the_folder(capsys: Capsys, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.safetensors").write_bytes(file_of(PLAIN))
    (folder / "a.safetensors").write_bytes(file_of(PLAIN))
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
    ran = run_safely(capsys, folder)
    check(ran, 3, INDEX, "not among the files")
    assert len(ran.stderr) < 1_000


def test_a_config_of_50_megabytes(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / MODEL).write_bytes(file_of(PLAIN))
    with (tmp_path / "config.json").open("wb") as stream:
        stream.truncate(50_000_000)
    check(run_safely(capsys, tmp_path), 3, "config.json", "larger than 16,777,216 bytes")


def test_a_config_of_nothing_but_nesting(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / MODEL).write_bytes(file_of(PLAIN))
    (tmp_path / "config.json").write_bytes(b'{"a":' * 3_000_000)
    check(run_safely(capsys, tmp_path), 3, "config.json", "nested too deeply")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_pipe, "a pipe or a device"),
        (_endless, "a pipe or a device"),
        (_loop, "symbolic links"),
        (_folder, "Is a directory"),
    ],
)
def test_a_config_that_is_no_file(capsys: Capsys, tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    (tmp_path / MODEL).write_bytes(file_of(PLAIN))
    make(tmp_path / "config.json")
    check(run_safely(capsys, tmp_path), 3, "config.json", words)


@pytest.mark.parametrize("make", [_pipe, _endless, _loop, _folder])
def test_a_model_that_is_no_file(capsys: Capsys, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / MODEL)
    check(run_safely(capsys, tmp_path), 3, "no safetensors model")


def test_a_link_out_of_the_folder_is_the_user_s_own(capsys: Capsys, tmp_path: Path) -> None:
    """As the links of the Hub cache, into its blobs."""
    (tmp_path / "blob").write_bytes(file_of(PLAIN))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / MODEL).symlink_to("../blob")
    assert run_safely(capsys, tmp_path / "folder").exit_code == 0


def test_what_a_link_leads_to_is_not_shown(capsys: Capsys, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hf_secret_of_somebody")
    for name in ("config.json", MODEL):
        (tmp_path / name).symlink_to("secret")
    ran = run_safely(capsys, tmp_path)
    assert ran.exit_code == 3
    assert "somebody" not in ran.stderr


def test_a_model_that_vanishes(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MODEL).write_bytes(file_of(PLAIN))
    listed = LocalSource(tmp_path).files
    (tmp_path / MODEL).unlink()
    monkeypatch.setattr(LocalSource, "files", listed)
    check(run_safely(capsys, tmp_path), 3, f"no file {MODEL}")


def test_a_model_that_shrinks(capsys: Capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = header_of(*(tensor("[1]", place, place + 1, f"t{place}") for place in range(1_000)))
    (tmp_path / MODEL).write_bytes(file_of(header, 1_000))
    take = LocalSource._take

    def take_then_shrink(self: LocalSource, *arguments: object) -> bytes:
        taken: bytes = take(self, *arguments)  # type: ignore[arg-type]
        os.truncate(tmp_path / MODEL, 20_000)
        return taken

    monkeypatch.setattr(LocalSource, "_take", take_then_shrink)
    check(run_safely(capsys, tmp_path), 3, MODEL, "became shorter while it was read")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["config.json", MODEL])
def test_a_file_that_may_not_be_read(capsys: Capsys, tmp_path: Path, name: str) -> None:
    (tmp_path / MODEL).write_bytes(file_of(PLAIN))
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / name).chmod(0)
    check(run_safely(capsys, tmp_path), 3, name, "Permission denied")


def test_a_model_among_very_many_files(capsys: Capsys, tmp_path: Path) -> None:
    for number in range(10_001):
        (tmp_path / f"{number}.txt").touch()
    (tmp_path / MODEL).write_bytes(file_of(PLAIN))
    assert run_safely(capsys, tmp_path).exit_code == 0


@pytest.mark.parametrize(
    "name", [b"\x1b]0;owned\x07", b"a\nhubvram: all is well\r", b"\xc2\x9b2J", b"\xff\xfe", b"\xe2\x80\xae"]
)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep names in Unicode")
def test_names_that_steer_terminals(capsys: Capsys, tmp_path: Path, name: bytes) -> None:
    """As the model, which is answered about, and as what is there instead of one, which is named."""
    path = os.fsencode(tmp_path) + b"/" + name
    with open(path + b".safetensors", "wb") as stream:
        stream.write(file_of(PLAIN))
    assert run_safely(capsys, tmp_path).exit_code == 0
    assert run_safely(capsys, tmp_path, "--json").json["parameters"]["total"] == 2
    os.rename(path + b".safetensors", path + b".gguf")
    check(run_safely(capsys, tmp_path), 3, "GGUF")


def test_tensors_whose_names_steer_terminals(capsys: Capsys, tmp_path: Path) -> None:
    once = tensor("[4]", 0, 4, "\\u001b[2J")
    (tmp_path / MODEL).write_bytes(file_of(header_of(once, once, tensor("[2,2]", 4, 8, "\\u009b2J"))))
    ran = run_safely(capsys, tmp_path)
    assert ran.exit_code == 0
    assert "\\x1b[2J is declared more than once" in " ".join(ran.stdout.split())
    run_safely(capsys, tmp_path, "--json")
