"""What is said beside measured peaks, and beside published ones: `python -m tests.peaks [TYPE...]`.

Where no type is named, encoder-decoders follow (both_sides.py), whole runs of `generate()` (tests/generation), and
published peaks. With `--run`, the types' peaks are measured anew and recorded.
`--run` needs torch and transformers; `--alive TYPE VARIANT ATTENTION` shows what a prefill holds at its peak.
All of it is in bf16; with `--fp32` or `--fp16`, in that.
"""

from __future__ import annotations

import sys

from tests.arguments import asked
from tests.generation import __main__ as generation
from tests.peaks import both_sides
from tests.peaks.record import ENCODER_CODE, FOLDERS, compared, recorded, type_of, varied, write
from tests.published.__main__ import main as published

_LINE = "{:20} {:13} {:6} {:>6} {:10} {:>10} {:>10} {:>10} {:>8}"
_DECODE = " | {:10} {:>10} {:>10} {:>8}"


def _run(model_types: list[str], dtype: str) -> None:
    import torch
    import transformers

    from tests.peaks.runs import run_now

    torch.set_num_threads(1)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for model_type in model_types:
        write(model_type, run_now(model_type, dtype), versions)
        print("ran", model_type, file=sys.stderr)


def _alive(dtype: str, name: str, variant: str, attention: str) -> None:
    from tests.peaks.encoders import encoder_with, measured_encoder
    from tests.peaks.runs import config_values, measured, model_with

    model_type, config = type_of(name), varied(config_values(name), variant)
    if model_type in ENCODER_CODE:
        peaks = [measured_encoder(encoder_with(model_type, config, attention, dtype), 2, 40, explain=True)]
    else:
        peaks = list(measured(model_with(model_type, config, attention, dtype), 2, 40, explain=True)[:2])
    for live in peaks:
        for held in live.peak.held:
            print(f"{held.storage_bytes:10,}  {held.storage_bytes / 160:8.2f}  {held.made_by}")
        print()


def main() -> None:
    options, words = asked()
    dtype = next((dtype for dtype in FOLDERS if f"--{dtype}" in options), "bf16")
    if "--alive" in options:
        _alive(dtype, *words)
        return
    if "--run" in options:
        _run(words or list(recorded()), dtype)
    records = recorded(dtype)
    print(_LINE.format("type", "variant", "", "run", "phase", "measured", "allocator", "said", "off"), end="")
    print(_DECODE.format("decode", "measured", "said", "off"))
    for name, row, found in compared({name: records[name] for name in words or records}):
        run, off = f"{row.batch_size}x{row.tokens}", found.prefill_peak_bytes / row.prefill_peak_bytes - 1
        measured = (row.prefill_peak_bytes, row.allocator_prefill_bytes, found.prefill_peak_bytes, f"{off:+.2%}")
        print(_LINE.format(name, row.variant, row.attention, run, found.phase, *measured), end="")
        if not row.decode_peak_bytes:
            print()
            continue
        off = found.decode_peak_bytes / row.decode_peak_bytes - 1
        print(_DECODE.format(found.decode_phase, row.decode_peak_bytes, found.decode_peak_bytes, f"{off:+.2%}"))
    if not words and dtype == "bf16":
        for following in (both_sides.show, generation.show):
            print()
            following([])
        print()
        published()


if __name__ == "__main__":
    main()
