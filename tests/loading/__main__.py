"""What is said of loading beside what was measured: `python -m tests.loading [CASE...]`; with `--run`, measured anew.

`--run` needs torch and transformers, and for what is packed while it is loaded bitsandbytes and accelerate.
"""

from __future__ import annotations

import sys
from importlib import metadata

from hubvram.memory.engines.transformers_loading import DIRECT, THROUGH_CPU
from tests.loading.cases import CASES
from tests.loading.record import Record, recorded, said, write

_LINE = "{:34} {:>10} {:>10} | {:>9} {:>9} | {:>9} {:>9} {:>9} | {:>10} {:>10} | {:>10} {:>10}"
_TOOLS = ("transformers", "torch", "safetensors", "bitsandbytes", "accelerate")


def _run(names: list[str], before: dict[str, Record]) -> dict[str, Record]:
    import torch

    from tests.loading.runs import run_now

    torch.set_num_threads(1)
    records = dict(before)
    versions = {tool: metadata.version(tool) for tool in _TOOLS}
    for name in names:
        records[name] = run_now(name)
        print("ran", name, file=sys.stderr)
        write({name: records[name] for name in CASES if name in records}, versions)
    return records


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    records = recorded()
    if "--run" in sys.argv:
        records = _run(words or list(CASES), records)
    print(
        _LINE.format("", "kept", "said", "1 by 1", "said", "ahead", "said", "threads", "host", "said", "ahead", "said")
    )
    for name in words or records:
        found, measured = said(name, records[name]), records[name].measured
        gpu = found.way(DIRECT).gpu_peak
        row: list[object] = [measured.kept_bytes, found.weight_bytes]
        if gpu.low_bytes is None or gpu.high_bytes is None:
            print(f"{name:34} {gpu.note}")
            continue
        row += [measured.gpu_one_by_one_bytes, gpu.low_bytes - found.weight_bytes]
        row += [measured.gpu_read_ahead_bytes, gpu.high_bytes - found.weight_bytes, measured.gpu_by_threads_bytes]
        low = high = None
        if measured.host_one_by_one_bytes is not None:
            host = found.way(THROUGH_CPU).host
            low, high = host.low_bytes, (host.high_bytes or 0) - found.file_bytes
        row += [measured.host_one_by_one_bytes, low, measured.host_read_ahead_bytes, high]
        print(_LINE.format(name, *("-" if cell is None else cell for cell in row)))


if __name__ == "__main__":
    main()
