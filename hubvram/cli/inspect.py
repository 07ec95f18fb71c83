"""`hubvram MODEL`: one model, its dimensions, its memory."""

from __future__ import annotations

import typer

from hubvram.cli import options
from hubvram.cli.errors import EXIT_DOES_NOT_FIT, EXIT_UNREADABLE
from hubvram.cli.output import progress, remark, write, write_report
from hubvram.errors import UsageError


def inspect(
    model: options.ModelArgument,
    dtype: options.Dtype = None,
    context: options.Context = None,
    input_tokens: options.Input = None,
    batch: options.Batch = 1,
    kv_dtype: options.KvDtype = None,
    attention: options.AttentionOption = options.AttentionChoice.AUTO,
    gpu: options.Gpu = None,
    max_vram: options.MaxVram = None,
    revision: options.Revision = None,
    layers: options.Layers = False,
    as_json: options.Json = False,
) -> None:
    """What is inside a model on the Hugging Face Hub, and how much GPU memory it takes, without downloading it.

    Reads config.json and the safetensors headers, never the weights.
    """
    from hubvram.hardware.accelerators import find_accelerator, limit
    from hubvram.inspection import inspect as look_inside
    from hubvram.memory.workload import Attention
    from hubvram.units import parse_size, parse_tokens

    asked = [find_accelerator(name) for name in gpu or ()]
    if max_vram is not None:
        asked.append(limit(parse_size(max_vram), f"a budget of {max_vram}"))
    length = context.strip().lower() if context is not None else None
    if length not in (None, "max", "fit"):
        parse_tokens(length)  # A wrong number is said before anything is read.
    with progress() as on_progress:
        found = look_inside(
            model,
            revision=revision,
            precisions=dtype or (),
            context=length,
            input_tokens=None if input_tokens is None else parse_tokens(input_tokens),
            batch_size=_positive(batch),
            kv_cache_dtype=None if kv_dtype is None else kv_dtype.strip().lower(),
            attention=Attention(attention.value),
            accelerators=asked,
            on_progress=on_progress,
        )
    if as_json:
        import json

        from hubvram.reports.contract import as_json as to_json

        write(json.dumps(to_json(found), indent=2) + "\n")
    else:
        from hubvram.reports.terminal import render

        write_report(render(found, every_layer=layers))
    if found.gate is False:
        raise typer.Exit(EXIT_DOES_NOT_FIT)
    if found.gate is None:
        remark("cannot say whether it fits: what is known would, the rest is in doubt; see the notes")
        raise typer.Exit(EXIT_UNREADABLE)


def _positive(batch: int) -> int:
    if batch < 1:
        raise UsageError(f"a batch of {batch} is not possible", "--batch takes 1 or more")
    return batch
