"""An audit under way: rows as they come, what was there before, and how it ended."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hubvram.auditing import Reading, answers
from hubvram.cli.audit_options import RESUMABLE, RowFormat
from hubvram.cli.dry_run import dry_run
from hubvram.cli.errors import EXIT_INTERRUPTED
from hubvram.cli.output import remark, write
from hubvram.cli.progress import Progress
from hubvram.cli.row_file import Earlier, RowFile, read_earlier
from hubvram.cli.tally import Outcome, Tally
from hubvram.errors import HubvramError, OutputError, UsageError
from hubvram.inspection import Inspection, Request
from hubvram.reports.records import Csv, JsonLines, described
from hubvram.reports.rows import Markdown, Rows, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the command line asks for."""

    names: Sequence[str]
    request: Request
    reading: Reading
    format: RowFormat
    output: Path | None
    resume: bool


_NEW: Final = Earlier(kept={}, spans=(), all_bytes=0)


def run(job: Job, progress: Progress, words: Sequence[str], *, dry: bool) -> int:
    """The exit code. `words` are those of the command line, to say how to go on."""
    options = described(job.request, job.reading.revision, job.reading.headers)
    rows, earlier, names, tally = _rows(job, options), _NEW, job.names, Tally()
    if job.resume and job.output is not None and isinstance(rows, JsonLines | Csv):
        earlier = read_earlier(job.output, rows, options, _keys(job.names, rows))
        names = [name for name in names if rows.key(name) not in earlier.kept]
        tally.update(Outcome.of_gate(earlier.kept[key]) for key in map(rows.key, job.names) if key in earlier.kept)
    if dry:
        dry_run(names, job.reading)
        return 0
    file = None if job.output is None else _opened(job.output, earlier, resume=job.resume)
    sink = write if file is None else file.write
    try:
        if file is None or file.size_bytes == 0:
            sink(rows.beginning)
        _write_rows(names, job, rows, sink, tally, progress)
    except (KeyboardInterrupt, OutputError) as stop:
        remark(f"stopped with {tally.total():,} of {len(job.names):,} models done; {_how_to_go_on(job, words)}")
        if isinstance(stop, OutputError):
            raise
        return EXIT_INTERRUPTED
    finally:
        if file is not None:
            file.close()
    remark(tally.sentence())
    return tally.exit_code


def _keys(names: Sequence[str], rows: JsonLines | Csv) -> dict[str, str]:
    """What rows call the models -> the models. Raises UsageError where two are called the same."""
    found: dict[str, str] = {}
    for name in names:
        other = found.setdefault(rows.key(name), name)
        if other != name:
            raise UsageError(f"{other!r} and {name!r} are one name in a csv file", "--format jsonl tells them apart")
    return found


def _opened(path: Path, earlier: Earlier, *, resume: bool) -> RowFile:
    file = RowFile(path, resumed=resume)
    if resume:
        file.keep_only(earlier)
    return file


def _write_rows(
    names: Sequence[str], job: Job, rows: Rows, sink: Callable[[str], None], tally: Tally, progress: Progress
) -> None:
    def row(model: str, found: Inspection) -> tuple[str, Outcome]:
        return rows.row(model, found), Outcome.of_gate(found.gate)

    progress.total = len(names)
    with progress, closing(answers(names, job.request, job.reading, row)) as results:
        for model, found in results:
            if isinstance(found, HubvramError):
                text, outcome = rows.failure(model, found), Outcome.FAILED
            else:
                text, outcome = found
            with progress.aside():
                sink(text)
                tally[outcome] += 1  # at once: who interrupts it is told how many rows there are
            progress.count(outcome)


def _how_to_go_on(job: Job, words: Sequence[str]) -> str:
    if job.output is None or job.format not in RESUMABLE:
        return "a run with --output FILE.jsonl could be continued"
    again = words if job.resume else ("--resume", *words)
    same = ", and the same list" if "-" in words else ""
    return f"continue with: {shlex.join(('hubvram', 'audit', *again))}{same}"


def _rows(job: Job, options: str) -> Rows:
    makers: dict[RowFormat, Callable[[], Rows]] = {
        RowFormat.TABLE: lambda: Table(job.names, job.request),
        RowFormat.MARKDOWN: lambda: Markdown(job.request),
        RowFormat.CSV: lambda: Csv(job.request, options),
        RowFormat.JSONL: lambda: JsonLines(options),
    }
    return makers[job.format]()
