"""What is said of whole runs of `generate()` beside what was measured: `python -m tests.generation [NAME...]`.

With `--static`, of those with a static cache. With `--run`, those of the names are measured anew and recorded, which
needs torch and transformers; `--alive NAME VARIANT ATTENTION [padded]` shows what a run holds at its peak.
"""

from __future__ import annotations

import sys

from hubvram.memory.engines.transformers_encoders import ENCODERS
from tests.generation.record import SHAPES, STATIC_SHAPES, Row, compared, recorded, said_bytes, write
from tests.peaks.record import recorded as small_models
from tests.peaks.record import type_of


def _run(names: list[str], cache: str) -> None:
    import torch
    import transformers

    from tests.generation.runs import rows_of

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for name in names:
        new = list(rows_of(name, cache))
        kept = [row for row in recorded(cache) if row.name != name]
        write(sorted([*kept, *new], key=lambda row: row.name), versions, cache)
        print("ran", name, len(new), file=sys.stderr)


def _alive(cache: str, name: str, variant: str, attention: str, padded: str = "") -> None:
    from tests.generation.runs import measured, model_of
    from tests.peaks.record import varied

    batch_size, prompt_tokens, new_tokens = next(
        rest for which, *rest in (*STATIC_SHAPES[2:], *SHAPES) if which == variant
    )
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
    model = model_of(varied(small_models()[name].config, variant), row)
    live = measured(model, row, cache=cache, explain=True)
    for held in live.peak.held:
        print(f"{held.storage_bytes:10,}  {held.made_by}")
    ((_, instant),) = compared([row], cache)
    print(f"{live.peak.total_bytes:,} measured, {said_bytes(instant):,} said:")
    for each in instant.held:
        print(f"{each.size_bytes:10,}  {each.what} {each.factors}")
    print(f"{instant.cached.kv_cache_bytes:10,}  K and V, and states of {instant.cached.state_bytes:,}")


def main() -> None:
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    cache = "static" if "--static" in options else "dynamic"
    if "--alive" in options:
        _alive(cache, *words)
        return
    if "--run" in options:
        _run(words or [name for name in small_models() if type_of(name) not in ENCODERS], cache)
    show(words, cache)


def show(names: list[str], cache: str = "dynamic") -> None:
    """Each run beside what is said of it, of the named ones, or of all."""
    for row, instant in compared((row for row in recorded(cache) if not names or row.name in names), cache):
        run = f"{row.batch_size}x{row.prompt_tokens}+{row.new_tokens}{' padded' * row.padded}"
        off = said_bytes(instant) / row.peak_bytes - 1
        print(
            f"{row.name:24} {row.variant:7} {row.attention:6} {run:14} {instant.name:15} "
            f"{row.peak_bytes:>10} {said_bytes(instant):>10} {off:+8.2%}"
        )


if __name__ == "__main__":
    main()
