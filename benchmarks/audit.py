"""A thousand models on a Hub that fails: whether any is lost, how long it takes, how much memory.

    python -m benchmarks.audit [ROUNDS]

A loopback Hub in a process of its own waits 50 ms before each answer and spoils one request in twenty: 503, 429 with
a second to wait, a reset connection, half a body. The models are the bundled ones under other names, half of them
without the Hub's totals, so that their headers have to be read; a few are missing or broken. Figures are of a whole
process, `hubvram audit --format jsonl`, with nothing kept from before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.hub_of_snapshots import snapshot_files
from hubvram.auditing.audit import CONCURRENCY
from hubvram.sources.snapshot import snapshot_folders
from tests.hub import HubFile, LoopbackHub
from tests.hub.process import RemoteHub, hub_process

MODELS: Final = 1_000
ROUNDS: Final = 5
LATENCY_SECONDS: Final = 0.05
FAULTS: Final = ("status:503", "status:429", "reset", "truncate")
FAULT_RATE: Final = 0.05
MISSING_EVERY, BROKEN_EVERY = 100, 150
"""So many models, and one of them is not there, or has a config.json that is no JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A whole audit."""

    rows: list[Any]
    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    requests: int
    faults: int

    @property
    def least_seconds(self) -> float:
        """What the network or the processor takes at the least, whichever is more."""
        network_seconds = self.requests * LATENCY_SECONDS / CONCURRENCY
        return max(network_seconds, self.cpu_seconds)


def names(models: int) -> list[str]:
    """Which bundled model each of them is can be read from its name."""
    bundled = sorted(snapshot_folders())
    return [f"copies/{number:04}-{bundled[number % len(bundled)].replace('/', '_')}" for number in range(models)]


def truth(name: str) -> int | str:
    """The published parameters of the bundled model, or the kind of error that a spoiled one must come to."""
    number, _, bundled = name.partition("/")[2].partition("-")
    if int(number) % MISSING_EVERY == 7:
        return "repo_not_found"
    if int(number) % BROKEN_EVERY == 11:
        return "malformed_config"
    expected = snapshot_folders()[bundled.replace("_", "/", 1)] / "expected.json"
    return int(json.loads(expected.read_text(encoding="utf-8"))["parameters"])


def fill(hub: LoopbackHub, models: int) -> None:
    """The repos, and how the Hub fails."""
    for number, name in enumerate(names(models)):
        right = truth(name)
        if right == "repo_not_found":
            continue
        originals, elements = snapshot_files(name.partition("-")[2].replace("_", "/", 1))
        copy = number // len(snapshot_folders())
        files = {path: _copied(path, file, copy) for path, file in originals.items()}
        if right == "malformed_config":
            files["config.json"] = HubFile(b"{not JSON")
        totals = {"parameters": elements, "total": sum(elements.values())}
        hub.add_repo(name, files, safetensors_summary=totals if copy % 2 else None)
    hub.latency_seconds = LATENCY_SECONDS
    hub.faults.rate(FAULT_RATE, FAULTS)


def _copied(path: str, file: HubFile, copy: int) -> HubFile:
    """The same with another hash, so that no answer about one copy can stand for another: spaces at the end."""
    if path == "config.json":
        return HubFile(file.data + b" " * copy)
    if not path.endswith(".safetensors"):
        return file
    header = file.data[8:] + b" " * 8 * copy
    return HubFile(len(header).to_bytes(8, "little") + header, size_bytes=file.size + 8 * copy)


def measure(hub: RemoteHub, models: int) -> Run:
    """One audit of all of them, in a process of its own."""
    hub.clear_requests()
    with tempfile.TemporaryDirectory() as home:
        output = Path(home) / "rows.jsonl"
        environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": home, "HF_HUB_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-m", "hubvram", "audit", "-", "--output", str(output)]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        assert process.stdin is not None
        process.stdin.write("\n".join(names(models)).encode())
        process.stdin.close()
        peak_bytes, ended = 0, 0
        while not ended:
            peak_bytes = max(peak_bytes, _peak_bytes(process.pid))
            time.sleep(0.01)
            ended, status, used = os.wait4(process.pid, os.WNOHANG)
        wall_seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    traffic = hub.traffic()
    return Run(
        rows=rows,
        exit_code=process.returncode,
        wall_seconds=wall_seconds,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_bytes=peak_bytes,
        requests=traffic.requests,
        faults=sum(traffic.faults.values()),
    )


def _peak_bytes(process: int) -> int:
    """Of memory so far, where /proc says it; ru_maxrss would count what the parent had when it forked."""
    with suppress(OSError):
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
    return 0


def wrong(run: Run, models: int) -> list[str]:
    """Models without a row, with several, or with another answer than the published one."""
    found: dict[str, list[int | str]] = {name: [] for name in names(models)}
    for row in run.rows:
        answer = row["error"]["kind"] if "error" in row else row["parameters"]["total"]
        found.setdefault(row["audit"]["model"], []).append(answer)
    return [f"{name}: {answers}" for name, answers in found.items() if answers != [truth(name)]]


def main(rounds: int, models: int = MODELS) -> None:
    with hub_process(partial(fill, models=models)) as hub:
        runs = [measure(hub, models) for _ in range(rounds)]
    for run in runs:
        print(
            f"{models:,} models, {CONCURRENCY} at once: {run.requests:,} requests, {run.faults} of them spoiled; "
            f"{run.wall_seconds:.1f} s, at the least {run.least_seconds:.1f} s ({run.cpu_seconds:.1f} s of CPU); "
            f"peak {run.peak_bytes / 2**20:.0f} MiB; {len(wrong(run, models))} wrong"
        )
        for line in wrong(run, models)[:10]:
            print(f"  {line}")
    ratio = median(run.wall_seconds / run.least_seconds for run in runs)
    print(f"median: {ratio:.2f} times the least; peak {max(run.peak_bytes for run in runs) / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
