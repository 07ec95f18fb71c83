"""What is said of whole runs of `generate()` beside what was measured: `python -m tests.generation [NAME...]`.

With `--run`, those of the names are measured anew and recorded, which needs torch and transformers;
`--alive NAME VARIANT ATTENTION [padded]` shows what a run holds at its peak.
"""

from __future__ import annotations

import sys

from hubvram.memory.engines.transformers_encoders import ENCODERS
from tests.generation.record import (
    SHAPES,
    SHAPES_OF_BOTH,
    Row,
    compared,
    configs,
    has_two_sides,
    recorded,
    said_bytes,
    write,
)
from tests.peaks.record import type_of


def _run(names: list[str]) -> None:
    import torch
    import transformers

    from tests.generation.runs import rows_of

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for name in names:
        new = list(rows_of(name))
        kept = [row for row in recorded() if row.name != name]
        write(sorted([*kept, *new], key=lambda row: row.name), versions)
        print("ran", name, len(new), file=sys.stderr)


def _alive(name: str, variant: str, attention: str, padded: str = "") -> None:
    from tests.generation.runs import measured, small_model

    shapes = SHAPES_OF_BOTH if has_two_sides(name) else SHAPES
    batch_size, prompt_tokens, new_tokens = next(rest for which, *rest in shapes if which == variant)
    row = Row(
        name=name,
        variant=variant,
        attention=attention,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        padded=bool(padded),
        peak_bytes=0,
    )
    live = measured(small_model(row, configs()[name]), row, explain=True)
    for held in live.peak.held:
        print(f"{held.storage_bytes:10,}  {held.made_by}")
    ((_, instant),) = compared([row])
    print(f"{live.peak.total_bytes:,} measured, {said_bytes(instant):,} said:")
    for each in instant.held:
        print(f"{each.size_bytes:10,}  {each.what} {each.factors}")
    print(f"{instant.cached.kv_cache_bytes:10,}  K and V, and states of {instant.cached.state_bytes:,}")


def main() -> None:
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--alive" in options:
        _alive(*words)
        return
    if "--run" in options:
        _run(words or [name for name in configs() if type_of(name) not in ENCODERS])
    show(words)


def show(names: list[str]) -> None:
    """Each run beside what is said of it, of the named ones, or of all."""
    for row, instant in compared(row for row in recorded() if not names or row.name in names):
        run = f"{row.batch_size}x{row.prompt_tokens}+{row.new_tokens}{' padded' * row.padded}"
        off = said_bytes(instant) / row.peak_bytes - 1
        print(
            f"{row.name:24} {row.variant:7} {row.attention:6} {run:14} {instant.name:15} "
            f"{row.peak_bytes:>10} {said_bytes(instant):>10} {off:+8.2%}"
        )


if __name__ == "__main__":
    main()
