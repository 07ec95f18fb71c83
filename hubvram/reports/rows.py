"""An audit for people: one line for each model, as a table of fixed columns or as markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from hubvram.architecture.reconcile import Status
from hubvram.errors import HubvramError
from hubvram.inspection import Inspection, Request
from hubvram.reports.failures import failure_of
from hubvram.reports.text import one_line, shortened
from hubvram.units import count, gib


class Rows(Protocol):
    """A format of rows, each of them whole lines."""

    beginning: str

    def row(self, model: str, found: Inspection) -> str:
        """Of a model as it was asked for, and what was found."""

    def failure(self, model: str, error: HubvramError) -> str:
        """Of a model of which nothing was found."""


VERDICTS: Final = {True: "yes", False: "no", None: "?"}

_NAME_COLUMNS: Final = 60
_NOTE_COLUMNS: Final = 70
_LARGEST_COUNT: Final = count(999_990_000_000)
_LARGEST_GIB: Final = "9,999.99+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`widest`: the longest text that it is made for; a longer one pushes its row aside, and is not cut."""

    title: str
    widest: int
    left: bool = False
    cell: Callable[[Inspection], str]

    @property
    def width(self) -> int:
        return max(self.widest, len(self.title))


def columns(request: Request) -> tuple[Column, ...]:
    """All but the first, which names the model, and the last, which says what else there is to say."""
    facts = (
        Column(
            title="parameters", widest=len(_LARGEST_COUNT), cell=lambda found: count(found.model.reconciliation.total)
        ),
        Column(title="status", widest=max(map(len, Status)), left=True, cell=_status),
        Column(title="files GiB", widest=len(_LARGEST_GIB), cell=_files),
    )
    totals = (
        Column(title=f"VRAM {precision} GiB", widest=len(_LARGEST_GIB), cell=_total(precision))
        for precision in request.deciding_precisions
    )
    fits = (
        Column(title=one_line(f"fits {accelerator.name}"), widest=0, cell=_verdict(place, request))
        for place, accelerator in enumerate(request.accelerators)
    )
    return (*facts, *totals, *fits)


def _status(found: Inspection) -> str:
    return found.model.reconciliation.status.value


def _files(found: Inspection) -> str:
    listed_bytes = found.model.listed_bytes
    return "-" if listed_bytes is None else gib(listed_bytes)


def _total(precision: str) -> Callable[[Inspection], str]:
    def cell(found: Inspection) -> str:
        shown = next((estimate for estimate in found.estimates if estimate.precision == precision), None)
        return "?" if shown is None else gib(shown.total_bytes) + ("" if shown.is_complete else "+")

    return cell


def _verdict(place: int, request: Request) -> Callable[[Inspection], str]:
    """Whether every precision that decides fits this one of the accelerators."""

    def cell(found: Inspection) -> str:
        fits = [
            fits[place].fits
            for estimate, fits in zip(found.estimates, found.fits, strict=True)
            if estimate.precision in request.deciding_precisions
        ]
        in_doubt = any(precision in request.deciding_precisions for precision, _ in found.unknown)
        return VERDICTS[worst([*fits, None] if in_doubt else fits)]

    return cell


def worst(verdicts: Sequence[bool | None]) -> bool | None:
    """A no decides, then a doubt; nothing at all is a doubt."""
    if False in verdicts:
        return False
    return None if None in verdicts or not verdicts else True


def _note(found: Inspection) -> str:
    notes = found.notes
    more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
    return shortened(one_line(notes[0]), _NOTE_COLUMNS - len(more)) + more if notes else ""


def _reason(model: str, error: HubvramError) -> str:
    """Why there is no answer; the model is named at the beginning of the row."""
    return f"error: {one_line(failure_of(error).message.removeprefix(f'{model}: '))}"


class Table:
    """Columns whose widths are known before the first row: rows are written as they come."""

    def __init__(self, models: Sequence[str], request: Request) -> None:
        self._columns = columns(request)
        longest = max((len(one_line(model)) for model in models), default=0)
        self._name_width = max(len("model"), min(longest, _NAME_COLUMNS))
        self.beginning = self._line("model", [column.title for column in self._columns], "note")

    def row(self, model: str, found: Inspection) -> str:
        return self._line(model, [column.cell(found) for column in self._columns], _note(found))

    def failure(self, model: str, error: HubvramError) -> str:
        return self._line(model, ["-"] * len(self._columns), _reason(model, error))

    def _line(self, model: str, cells: Sequence[str], note: str) -> str:
        aligned = (
            cell.ljust(column.width) if column.left else cell.rjust(column.width)
            for column, cell in zip(self._columns, cells, strict=True)
        )
        return "  ".join((one_line(model).ljust(self._name_width), *aligned, note)).rstrip() + "\n"


class Markdown:
    """A table of GitHub's markdown; what a repo calls itself stays text."""

    def __init__(self, request: Request) -> None:
        self._columns = columns(request)
        marks = ("---" if column.left else "---:" for column in self._columns)
        titles = self._line("model", [column.title for column in self._columns], "note")
        self.beginning = f"{titles}| --- | {' | '.join(marks)} | --- |\n"

    def row(self, model: str, found: Inspection) -> str:
        return self._line(model, [column.cell(found) for column in self._columns], _note(found))

    def failure(self, model: str, error: HubvramError) -> str:
        return self._line(model, ["-"] * len(self._columns), _reason(model, error))

    def _line(self, model: str, cells: Sequence[str], note: str) -> str:
        return f"| {' | '.join(_markdown(cell) for cell in (model, *cells, note))} |\n"


_MARKUP: Final = re.compile(r"[\\`*_\[\]<>|&~$]")


def _markdown(text: str) -> str:
    return _MARKUP.sub(lambda found: f"\\{found[0]}", one_line(text))
