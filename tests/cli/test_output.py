"""Where text goes, and what a terminal sees."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hubvram.cli import output


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_printable_shows_control_characters_and_keeps_lines() -> None:
    assert output.printable("a\x1b[31m\nb\x07\x9b é") == "a\\x1b[31m\nb\\x07\\x9b é"


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress() as on_progress:
        assert on_progress is None
    assert capsys.readouterr().err == ""


def test_progress_waits_half_a_second_and_cleans_up(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(output, "_QUIET_SECONDS", 0.05)
    with output.progress() as on_progress:
        assert on_progress is not None
        on_progress(1, 30)
        assert terminal.getvalue() == ""
        deadline = time.monotonic() + 10
        while not terminal.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
        on_progress(2, 30)
    shown = terminal.getvalue().split("\r")
    assert shown[1:] == ["reading headers: 1 of 30 files", "reading headers: 2 of 30 files", "\x1b[2K"]


def test_a_quick_answer_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with output.progress() as on_progress:
        assert on_progress is not None
        on_progress(1, 1)
    assert terminal.getvalue() == ""


def test_the_report_is_the_same_on_a_terminal_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    output.write_report("title\n\n> int4  1.00\n  [not markup] \n")
    assert [line.rstrip() for line in terminal.getvalue().splitlines()] == [
        "title",
        "",
        "> int4  1.00",
        "  [not markup]",
    ]


@pytest.mark.parametrize(
    ("shell", "exit_code", "words"),
    [
        ("{} gpt2 > /dev/full", 3, "No space left"),
        ("{} --help > /dev/full", 3, "No space left"),
        ("{} gpt2 --json >&-", 3, "standard output is closed"),
        ("{} gpus >&-", 3, "standard output is closed"),
        ("{} nope/nope 2>&-", 3, ""),
        ("{} gpt2 | {{ exec <&-; sleep 3; }}; exit ${{PIPESTATUS[0]}}", 141, ""),
    ],
)
def test_an_answer_that_cannot_be_written(shell: str, exit_code: int, words: str) -> None:
    command = shell.format(f"{sys.executable} -m hubvram")
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert done.returncode == exit_code


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_any_encoding_will_do(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "hubvram", "gpt2", "--gpu", "\u0662GiB"]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:abc", "http://[::1", "http://127.0.0.1:99999", "x", "http://h:1 "]
)
def test_an_endpoint_that_is_no_address(endpoint: str, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_ENDPOINT": endpoint}
    command = [sys.executable, "-m", "hubvram"]
    done = subprocess.run([*command, "gpt2"], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("hubvram: HF_ENDPOINT")
    # A folder needs no endpoint.
    local = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, env=environment, check=False)
    assert local.returncode == 3
    assert "no safetensors" in local.stderr


@pytest.mark.parametrize("home", ["/dev/null", "/nonexistent/home"])
def test_a_home_that_is_none(home: str) -> None:
    environment = {**os.environ, "HF_HOME": home}
    command = [sys.executable, "-m", "hubvram", "gpt2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
