"""`hubvram audit` as a process of its own: interrupted, killed, out of disk, and continued."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.auditing.models import add_llamas
from tests.cli.support import run
from tests.hub import Fault, LoopbackHub

Capsys = pytest.CaptureFixture[str]

SECONDS = 30.0
"""How long a test waits for what should happen soon."""

HUBVRAM = (sys.executable, "-m", "hubvram")


def _started(hub: LoopbackHub, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*HUBVRAM, "audit", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
    )


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, standard error)"""
    _, stderr = process.communicate(timeout=SECONDS)
    return process.returncode, stderr


def _rows_are_there(path: Path, number: int) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if path.exists() and path.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.01)
    raise AssertionError(f"there are no {number} rows in time")


def _models(path: Path) -> list[str]:
    return [json.loads(line)["audit"]["model"] for line in path.read_text().splitlines()]


@pytest.fixture
def models(hub: LoopbackHub) -> list[str]:
    """Six models, of which the last three hang for now."""
    names = [f"org/{letter}" for letter in "abcdef"]
    add_llamas(hub, *names)
    hub.faults.extend(Fault("stall", times=100, path_contains=f"/{name}") for name in names[3:])
    return names


def test_an_interrupted_run_says_how_to_go_on(
    capsys: Capsys, hub: LoopbackHub, models: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "the rows.jsonl"
    process = _started(hub, *models, "--concurrency", "4", "--output", str(path))
    _rows_are_there(path, 3)
    time.sleep(0.2)  # The third is counted just after it is written.
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    exit_code, stderr = _ended(process)
    assert exit_code == 130
    assert time.monotonic() - start < SECONDS / 6  # without waiting for what hangs
    assert sorted(_models(path)) == models[:3]
    (line,) = stderr.splitlines()
    found = re.fullmatch(r"hubvram: stopped with 3 of 6 models done; continue with: hubvram (.*)", line)
    assert found
    again = shlex.split(found[1])
    assert again == ["audit", "--resume", *models, "--concurrency", "4", "--output", str(path)]
    hub.faults.clear()
    assert run(capsys, *again).stderr == "hubvram: 6 models: 6 fine\n"
    assert sorted(_models(path)) == models


def test_a_killed_run_leaves_whole_rows(capsys: Capsys, hub: LoopbackHub, models: list[str], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    arguments = (*models, "--concurrency", "4", "--output", str(path))
    process = _started(hub, *arguments)
    _rows_are_there(path, 3)
    process.kill()
    process.communicate(timeout=SECONDS)
    assert sorted(_models(path)) == models[:3]
    hub.faults.clear()
    assert run(capsys, "audit", *arguments, "--resume").exit_code == 0
    assert sorted(_models(path)) == models


@pytest.mark.parametrize(("suffix", "largest_kib"), [("jsonl", 20), ("csv", 4)])
def test_a_disk_that_fills_up_takes_no_row_apart(
    capsys: Capsys, hub: LoopbackHub, tmp_path: Path, suffix: str, largest_kib: int
) -> None:
    names = [f"org/{number}" for number in range(8)]
    add_llamas(hub, *names)
    path = tmp_path / f"rows.{suffix}"
    words = ["audit", *names, "--output", str(path)]
    # The row that does not fit into the largest file is begun by the system, and taken back.
    done = subprocess.run(
        ["bash", "-c", f'ulimit -f {largest_kib}; exec "$@"', "-", *HUBVRAM, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "File too large" in done.stderr
    assert "continue with: hubvram audit --resume org/0" in done.stderr
    content = path.read_bytes()
    assert content.endswith(b"\n") and 1 < len(content) < largest_kib * 1024
    assert run(capsys, *words, "--resume").exit_code == 0
    assert path.read_bytes().startswith(content)
    lines = path.read_text().splitlines()
    assert len(lines) == (len(names) if suffix == "jsonl" else 1 + 5 * len(names))


def test_a_reader_that_leaves_ends_the_run(hub: LoopbackHub) -> None:
    add_llamas(hub, *(f"org/{number}" for number in range(50)))
    names = " ".join(f"org/{number}" for number in range(50))
    command = f"{shlex.join(HUBVRAM)} audit {names} --json | head -1 > /dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_ENDPOINT": hub.endpoint},
        timeout=SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) in ((141, ""), (0, "hubvram: 50 models: 50 fine\n"))


def test_rows_and_bar_share_a_terminal(hub: LoopbackHub) -> None:
    names = [f"org/{letter}" for letter in "abcdef"]
    add_llamas(hub, *names)
    shown = _on_a_terminal([*HUBVRAM, "audit", *names, "--in-order"], hub)
    assert "6 of 6" in shown or "5 of 6" in shown
    assert "quota left:" in shown
    # What remains when every line that was wiped is left out.
    kept = [re.sub(r".*\x1b\[2K", "", line) for line in shown.replace("\r\n", "\n").split("\n")]
    assert [line.split()[0] for line in kept if line] == ["model", *names, "hubvram:"]


def _on_a_terminal(command: Sequence[str], hub: LoopbackHub) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "COLUMNS": "200", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # Linux: the other side is closed
            pass
        finally:
            os.close(ours)
        assert process.wait(SECONDS) == 0
    return shown.decode()
