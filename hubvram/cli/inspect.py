"""`hubvram MODEL`: one model, its dimensions, its memory."""

from __future__ import annotations

import typer

from hubvram.cli import options
from hubvram.cli.errors import EXIT_DOES_NOT_FIT, EXIT_UNREADABLE
from hubvram.cli.output import progress, remark, write, write_report
from hubvram.sources.network import TIMEOUT_SECONDS


def inspect(
    model: options.ModelArgument,
    dtype: options.Dtype = None,
    context: options.Context = None,
    input_tokens: options.Input = None,
    batch: options.Batch = 1,
    kv_dtype: options.KvDtype = None,
    cache: options.Cache = "dynamic",
    attention: options.AttentionOption = options.AttentionChoice.AUTO,
    logits: options.LogitsOption = options.LogitsChoice.LAST,
    padded: options.Padded = False,
    engine: options.EngineOption = "transformers",
    gpu: options.Gpu = None,
    max_vram: options.MaxVram = None,
    revision: options.Revision = None,
    headers: options.HeadersOption = options.HeadersChoice.ALWAYS,
    offline: options.Offline = False,
    timeout: options.Timeout = TIMEOUT_SECONDS,
    layers: options.Layers = False,
    explain: options.Explain = False,
    as_json: options.Json = False,
) -> None:
    """What is inside a model on the Hugging Face Hub, and how much GPU memory it takes, without downloading it.

    Reads config.json and the safetensors headers, never the weights.
    """
    from hubvram.cli.asked import request_of
    from hubvram.inspection import Headers, inspect_as, read_model
    from hubvram.sources.network import Network
    from hubvram.sources.open import open_source

    request = request_of(
        dtype, context, input_tokens, batch, kv_dtype, cache, attention, logits, padded, engine, gpu, max_vram
    )
    network = Network(offline=offline, timeout_seconds=timeout)
    with progress() as on_progress:
        source = open_source(model, revision, network)
        found = inspect_as(read_model(source, on_progress, headers=Headers(headers.value)), request)
    if as_json:
        import json

        from hubvram.reports.contract import as_json as to_json

        write(json.dumps(to_json(found, explain=explain), indent=2) + "\n")
    else:
        from hubvram.reports.terminal import render

        write_report(render(found, every_layer=layers, explain=explain))
    if found.gate is False:
        raise typer.Exit(EXIT_DOES_NOT_FIT)
    if found.gate is None:
        remark("cannot say whether it fits: what is known would, the rest is in doubt; see the notes")
        raise typer.Exit(EXIT_UNREADABLE)
