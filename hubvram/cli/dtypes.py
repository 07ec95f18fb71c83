"""`hubvram dtypes`: what --dtype accepts."""

from __future__ import annotations

from hubvram.cli.output import write


def dtypes() -> None:
    """The names that --dtype accepts, with what each does: precisions, tools' schemes, GGUF mixtures."""
    from hubvram.quantization.precisions import described
    from hubvram.reports.table import align

    rows = list(described())
    names = align([(name, f"{bits} bit") for name, bits, _ in rows])
    width = max(map(len, names))
    write("".join(f"{line:<{width}}  {text}\n" for line, (_, _, text) in zip(names, rows, strict=True)))
