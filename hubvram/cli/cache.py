"""`hubvram cache`: what is kept of earlier answers, and how to be rid of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from hubvram.cli.output import write
from hubvram.errors import OutputError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubvram.sources.cache import Entry

_DAY_SECONDS: Final = 86_400
_UNUSED_DAYS: Final = 30

Prune = Annotated[
    bool,
    typer.Option("--prune", help="Remove what is damaged, and what was not used for a while."),
]
UnusedDays = Annotated[
    float,
    typer.Option("--unused-days", metavar="DAYS", help="How long a while is; 0 removes everything."),
]


def cache(prune: Prune = False, unused_days: UnusedDays = _UNUSED_DAYS) -> None:
    """What hubvram keeps of the Hub's answers (listings, configs, headers; never weights), and where.

    Entries go by the hash of their content, so they are never out of date. HF_ASSETS_CACHE moves them.
    """
    if unused_days < 0:
        raise UsageError(f"{unused_days:g} days cannot have passed", "--unused-days takes 0 or more")
    from hubvram.sources.cache import cache_folder, entries

    try:
        found = list(entries())
        gone = [entry for entry in found if _is_over(entry, unused_days)] if prune else []
        for entry in gone:
            entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename}: {error.strerror}") from None
    write(f"{cache_folder()}\n" + _table(entry for entry in found if entry not in gone))
    if prune:
        write(f"removed {len(gone):,} entries, {_size(gone)}\n")


def _is_over(entry: Entry, unused_days: float) -> bool:
    return not entry.is_sound or entry.unused_seconds >= unused_days * _DAY_SECONDS


def _table(found: Iterable[Entry]) -> str:
    from hubvram.reports.table import align

    kinds: dict[str, list[Entry]] = {}
    for entry in found:
        kinds.setdefault(entry.path.parent.name if entry.is_sound else "damaged", []).append(entry)
    rows = [("kept", "entries", "size")]
    rows += [(kind, f"{len(of_kind):,}", _size(of_kind)) for kind, of_kind in sorted(kinds.items())]
    return "".join(f"  {line}\n" for line in align(rows)) if kinds else "  empty\n"


def _size(found: Iterable[Entry]) -> str:
    from hubvram.units import size

    return size(sum(entry.size_bytes for entry in found))
