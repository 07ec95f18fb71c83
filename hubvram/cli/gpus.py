"""`hubvram gpus`: the accelerator table."""

from __future__ import annotations

from hubvram.cli.output import write


def gpus() -> None:
    """The GPUs that --gpu knows by name: what a process can allocate on each, and who says so."""
    from hubvram.hardware.accelerators import ACCELERATORS
    from hubvram.reports.table import align
    from hubvram.units import gib

    rows = [("name", "usable GiB", "source")]
    rows += [(gpu.name, gib(gpu.usable_bytes), gpu.source_url) for gpu in ACCELERATORS.values()]
    names = align([row[:2] for row in rows])
    width = max(map(len, names))
    write("".join(f"{line:<{width}}  {source}\n" for line, (_, _, source) in zip(names, rows, strict=True)))
