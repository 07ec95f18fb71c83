"""Run tiny models and record what their caches hold (needs transformers and torch): `python -m tests.caches [TYPE...]`.

With optimum-quanto and hqq too: `python -m tests.caches kinds [TYPE...]` for the other kinds of cache, and
`python -m tests.caches peaks` for what is alive while they pack.
The records are committed (fixtures): tests compare the formulas with them where torch is not installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

from tests.caches import kind_records, packed_records, record
from tests.caches.record import RUNS, Run


def _renewed(before: Mapping[str, Any], asked: set[str], run_now: Callable[[Run], Any]) -> dict[str, Any]:
    """The records before, with those of the types asked for made anew; all where none is."""
    records = {name: found for name, found in before.items() if asked and name in RUNS}
    for name, run in RUNS.items():
        if asked and run.model_type not in asked:
            continue
        try:
            records[name] = run_now(run)
        except Exception as error:  # whatever a class of somebody else's raises
            print(name, "does not run:", type(error).__name__, str(error)[:200], file=sys.stderr)
    return records


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    asked = set(sys.argv[1:])
    if "kinds" in asked:
        from tests.caches.kinds import kinds_now

        kind_records.write(_renewed(kind_records.recorded(), asked - {"kinds"}, kinds_now))
        return
    if "peaks" in asked:
        from tests.caches.packed_peaks import rows_now

        packed_records.write(packed_records.Record(config=config, rows=rows) for config, rows in rows_now())
        return
    from tests.caches.runs import run_now

    record.write(_renewed(record.recorded(), asked, run_now))


if __name__ == "__main__":
    main()
