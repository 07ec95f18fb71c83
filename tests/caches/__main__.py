"""Run tiny models and record what their caches hold: `python -m tests.caches [TYPE...]` (needs transformers and torch).

The records are committed (fixtures/caches.json): tests compare the formulas with them where torch is not installed.
"""

from __future__ import annotations

import sys

import torch

from tests.caches.record import RUNS, recorded, write
from tests.caches.runs import run_now


def main() -> None:
    torch.set_num_threads(1)
    before, asked = recorded(), set(sys.argv[1:])
    records = {name: record for name, record in before.items() if asked and name in RUNS}
    for name, run in RUNS.items():
        if asked and run.model_type not in asked:
            continue
        try:
            records[name] = run_now(run)
        except Exception as error:  # whatever a class of somebody else's raises
            print(name, "does not run:", type(error).__name__, str(error)[:200], file=sys.stderr)
    write(records)


if __name__ == "__main__":
    main()
