"""`hubvram audit`: many models, a row for each as soon as it is known."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

from hubvram.cli import audit_options, options
from hubvram.cli.audit_options import RESUMABLE, RowFormat
from hubvram.errors import UsageError
from hubvram.sources.network import TIMEOUT_SECONDS

_BY_SUFFIX: Final = {
    ".csv": RowFormat.CSV,
    ".json": RowFormat.JSONL,
    ".jsonl": RowFormat.JSONL,
    ".md": RowFormat.MARKDOWN,
    ".ndjson": RowFormat.JSONL,
}


def audit(
    call: typer.Context,
    models: audit_options.Models = None,
    file: audit_options.ListFile = None,
    author: audit_options.Author = None,
    search: audit_options.Search = None,
    collection: audit_options.Collection = None,
    limit: audit_options.Limit = None,
    cached: audit_options.Cached = False,
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
    headers: options.HeadersOption = options.HeadersChoice.AUTO,
    offline: options.Offline = False,
    timeout: options.Timeout = TIMEOUT_SECONDS,
    concurrency: audit_options.Concurrency = 16,
    in_order: audit_options.InOrder = False,
    dry_run: audit_options.DryRun = False,
    format: audit_options.Format = None,
    as_json: options.Json = False,
    output: audit_options.Output = None,
    resume: audit_options.Resume = False,
) -> None:
    """Inspect many models, and write a row for each as it finishes. What is wrong with one is its row, too.

    Waits as long as the Hub's quota asks for. Exit code 0: all fine, 1: some do not fit, 3: some could not be read,
    or not well enough to say whether they fit.
    """
    from hubvram.auditing import Reading, patient
    from hubvram.cli import allocator, audit_list
    from hubvram.cli.asked import request_of
    from hubvram.cli.audit_run import Job, run
    from hubvram.cli.progress import Progress
    from hubvram.inspection import Headers

    progress = Progress()
    network = patient(offline=offline, timeout_seconds=timeout, on_wait=progress.wait)
    reading = Reading(
        network=network, headers=Headers(headers.value), revision=revision, concurrency=concurrency, in_order=in_order
    )
    sequences = (context, input_tokens, batch, kv_dtype, cache, attention, logits, padded)
    request = request_of(dtype, *sequences, engine, gpu, max_vram)
    chosen = _row_format(format, as_json, output, resume)
    wanted = audit_list.Wanted(
        models=models or (), file=file, author=author, search=search, collection=collection, limit=limit, cached=cached
    )
    allocator.share_arenas()
    names = audit_list.gather(wanted, network)
    job = Job(names=names, request=request, reading=reading, format=chosen, output=output, resume=resume)
    raise typer.Exit(run(job, progress, call.obj or (), dry=dry_run))


def _row_format(format: RowFormat | None, as_json: bool, output: Path | None, resume: bool) -> RowFormat:
    if as_json and format not in (None, RowFormat.JSONL):
        raise UsageError(f"--json is --format jsonl, and --format is {format}", "leave one of them out")
    if as_json:
        format = RowFormat.JSONL
    if format is None:
        format = _BY_SUFFIX.get(output.suffix.lower() if output else "", RowFormat.TABLE)
    if output is not None and str(output) in ("-", "."):
        raise UsageError(f"--output {output} is no file to write to", "leave it out: rows go to standard output")
    if resume and output is None:
        raise UsageError("--resume goes on with a file", "name it: --output FILE.jsonl")
    if resume and format not in RESUMABLE:
        raise UsageError(f"a {format} cannot be continued", "--resume takes --format jsonl or csv")
    return format
