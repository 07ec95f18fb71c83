"""`hubvram cache` over what real answers leave behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hubvram.sources.cache import cache_folder
from tests.hub import LoopbackHub, safetensors_file

from .support import run

TENSORS = {"wte.weight": ("F32", (100, 8))}


@pytest.fixture
def warm(hub: LoopbackHub, capsys: pytest.CaptureFixture[str]) -> list[Path]:
    """The three entries of one model: its listing, its config, its headers."""
    hub.add_repo("org/model", {"config.json": b"{}", "model.safetensors": safetensors_file(TENSORS)})
    assert run(capsys, "org/model", "--json").exit_code == 0
    return sorted(path for path in cache_folder().rglob("*") if path.is_file())


def test_nothing_kept(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, "cache")
    assert (ran.exit_code, ran.stdout) == (0, f"{cache_folder()}\n  empty\n")
    assert run(capsys, "cache", "--prune").stdout.endswith("removed 0 entries, 0 bytes\n")


def test_what_is_kept(warm: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert [path.parent.name for path in warm] == ["files", "headers", "listings"]
    shown = run(capsys, "cache").stdout.splitlines()
    assert shown[0] == str(cache_folder())
    sizes = {path.parent.name: f"{path.stat().st_size} bytes" for path in warm}
    assert [line.split(maxsplit=2) for line in shown[2:]] == [[kind, "1", size] for kind, size in sizes.items()]


def test_what_was_used_lately_stays(warm: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    month_ago = time.time() - 31 * 86_400
    os.utime(warm[0], (month_ago, month_ago))
    size = warm[0].stat().st_size
    assert run(capsys, "cache", "--prune").stdout.endswith(f"removed 1 entries, {size} bytes\n")
    assert [path.exists() for path in warm] == [False, True, True]


def test_what_is_damaged_goes(warm: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    warm[1].write_bytes(warm[1].read_bytes()[:-1])
    left_over = warm[2].with_name(f"x-{'0' * 16}.1.2.part")
    left_over.write_bytes(b"half of it")
    assert "damaged" in run(capsys, "cache").stdout
    run(capsys, "cache", "--prune")
    assert [path.exists() for path in (*warm, left_over)] == [True, False, True, False]


@pytest.mark.parametrize("where", ["thesis.tex", "notes/thesis-0123456789abcdef", "mirror/files/thesis.tex"])
def test_what_is_none_of_ours_stays(warm: list[Path], capsys: pytest.CaptureFixture[str], where: str) -> None:
    folder = warm[0].parents[2]
    theirs = folder / where
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("precious")
    os.mkfifo(warm[0].with_name(f"pipe-{'0' * 16}"))  # opening it would wait for ever
    assert "removed 3 entries" in run(capsys, "cache", "--prune", "--unused-days", "0").stdout
    assert theirs.read_text() == "precious"


def test_everything(warm: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "removed 3 entries" in run(capsys, "cache", "--prune", "--unused-days", "0").stdout
    assert not any(path.exists() for path in warm)


def test_less_than_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    ran = run(capsys, "cache", "--prune", "--unused-days=-1")
    assert ran.exit_code == 2
    assert ran.stderr.startswith("hubvram: -1 days cannot have passed\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove anything")
def test_a_folder_that_may_not_be_changed(warm: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    warm[0].parent.chmod(0o500)
    try:
        ran = run(capsys, "cache", "--prune", "--unused-days", "0")
    finally:
        warm[0].parent.chmod(0o700)
    assert ran.exit_code == 3
    assert "Permission denied" in ran.stderr
