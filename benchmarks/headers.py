"""How long it takes to parse and reconcile the headers of DeepSeek-V3, 92,000 tensors in 163 files.

    python -m benchmarks.headers

CPU time of one process: everything that `read_model` does with a repo that is at hand, over `json.loads` of the same
headers. A machine at rest gives 3.5 to 4.5.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from hubvram.architecture.reconcile import Status
from hubvram.checkpoint.files import weight_files
from hubvram.checkpoint.safetensors import LENGTH_BYTES
from hubvram.inspection import read_model
from hubvram.sources.snapshot import SnapshotSource

REPO: Final = "deepseek-ai/DeepSeek-V3"
ROUNDS: Final = 5


def ratio() -> float:
    """CPU seconds of hubvram over those of `json.loads`; the best of several rounds of each, in turn."""
    folder = Path(__file__).parents[1] / "fixtures" / "models" / REPO.replace("/", "--")
    source = SnapshotSource(REPO, folder)
    texts = [
        beginning.data[LENGTH_BYTES:]
        for beginning in source.read_beginnings(weight_files(source), lambda _, data, __: len(data)).values()
    ]

    def ours() -> None:
        if read_model(source).reconciliation.status is not Status.RECONCILED:
            raise SystemExit(f"{REPO} is not reconciled")

    def theirs() -> None:
        for text in texts:
            json.loads(text)

    pairs = [(_cpu_seconds(ours), _cpu_seconds(theirs)) for _ in range(ROUNDS)]
    # The best: whatever else the machine does only ever adds.
    return min(own for own, _ in pairs) / min(other for _, other in pairs)


def _cpu_seconds(work: Callable[[], None]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


if __name__ == "__main__":
    print(f"read and reconcile {REPO} / json.loads of its headers = {ratio():.2f}")
