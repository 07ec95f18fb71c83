"""What is said beside measured peaks, and beside published ones: `python -m tests.peaks [TYPE...]`.

With `--run`, the types' peaks are measured anew and recorded; published ones follow where no type is named.
`--run` needs torch and transformers; `--alive TYPE VARIANT ATTENTION` shows what a prefill holds at its peak.
"""

from __future__ import annotations

import sys

from tests.peaks.record import ENCODER_CODE, compared, recorded, varied, write
from tests.published.__main__ import main as published

_LINE = "{:20} {:13} {:6} {:>6} {:10} {:>10} {:>10} {:>10} {:>8}"
_DECODE = " | {:10} {:>10} {:>10} {:>8}"


def _run(model_types: list[str]) -> None:
    import torch
    import transformers

    from tests.peaks.runs import run_now

    torch.set_num_threads(1)
    versions = {"transformers": transformers.__version__, "torch": torch.__version__}
    for model_type in model_types:
        write(model_type, run_now(model_type), versions)
        print("ran", model_type, file=sys.stderr)


def _alive(model_type: str, variant: str, attention: str) -> None:
    from tests.caches.build import values_of
    from tests.peaks.encoders import encoder_with, measured_encoder
    from tests.peaks.runs import measured, model_with

    config = varied(values_of(model_type, {}), variant)
    if model_type in ENCODER_CODE:
        prefill = measured_encoder(encoder_with(model_type, config, attention), 2, 40, explain=True)
    else:
        prefill, _, _, _ = measured(model_with(model_type, config, attention), 2, 40, explain=True)
    for held in prefill.peak.held:
        print(f"{held.storage_bytes:10,}  {held.storage_bytes / 160:8.2f}  {held.made_by}")


def main() -> None:
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--alive" in options:
        _alive(*words)
        return
    if "--run" in options:
        _run(words or list(recorded()))
    records = recorded()
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
    if not words:
        print()
        published()


if __name__ == "__main__":
    main()
