"""The file that an audit writes: whole rows only, whatever happens, and what an earlier run left there."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from hubvram.errors import OutputError, UsageError

if TYPE_CHECKING:
    from hubvram.reports.records import Record, Records


class RowFile:
    """Appends rows; one that could not be written whole is taken back."""

    def __init__(self, path: Path, *, resumed: bool) -> None:
        try:
            if not resumed and path.is_file() and path.stat().st_size > 0:
                raise UsageError(
                    f"{path} is there already", "add --resume to go on with it, or remove it, or name another file"
                )
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self.size_bytes = os.fstat(self._file).st_size
        except OSError as error:
            raise _not_usable(path, error) from None
        self._path = path

    def write(self, text: str) -> None:
        """All of it, or OutputError and none of it."""
        rest = memoryview(text.encode("utf-8", "backslashreplace"))
        length = len(rest)
        try:
            while rest:  # in one piece, unless the disk is nearly full
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            with suppress(OSError):  # no regular file
                os.ftruncate(self._file, self.size_bytes)
            raise OutputError(f"{self._path}: {error.strerror}") from None
        self.size_bytes += length

    def close(self) -> None:
        os.close(self._file)


def _not_usable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path} cannot be used: {error.strerror}", "check --output, and its folder's permissions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier run wrote: the rows worth keeping, and where in the file they are."""

    kept: dict[str, bool | None]
    """Model, as its record names it -> whether it passed the gate."""
    spans: tuple[tuple[int, int], ...]
    all_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    start: int
    stop: int
    record: Record


def read_earlier(path: Path, format: Records, options: str) -> Earlier:
    """The good rows of an interrupted run; none where there is no file. Raises UsageError for any other file."""
    try:
        if not path.exists():
            return Earlier(kept={}, spans=(), all_bytes=0)
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is no file that could be continued", "leave --resume out")
        lines = list(_lines(path, format))
        all_bytes = path.stat().st_size
    except OSError as error:
        raise _not_usable(path, error) from None
    other = next((line.record.options for line in lines if line.record.options != options), None)
    if other is not None:
        raise UsageError(
            f"{path} was made with other options ({other or 'none'}; now: {options or 'none'})",
            "give the same options, or name another file",
        )
    good = list(_good(lines, format.rows_each))
    header = len(format.beginning.encode())
    spans = [(0, header)] if lines and header else []
    return Earlier(
        kept={line.record.model: line.record.gate for line in good},
        spans=(*spans, *((line.start, line.stop) for line in good)),
        all_bytes=all_bytes,
    )


def _good(lines: Sequence[_Line], rows_each: int) -> Iterator[_Line]:
    """Without the rows of what failed, and those of the last model if they may not be all."""
    for _, group in groupby(lines, key=lambda line: line.record.model):
        rows = list(group)
        is_whole = len(rows) >= rows_each or rows[-1] is not lines[-1]
        yield from (row for row in rows if is_whole and not row.record.failed)


def _lines(path: Path, format: Records) -> Iterator[_Line]:
    """Every line that has its end. The last may be torn; then it must at least begin as ours do."""
    expected = format.beginning.encode()
    start = 0
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            begins = expected if start < len(expected) else format.each_begins.encode()
            if not begins.startswith(raw[: len(begins)]):
                raise _foreign(path, number)
            if not raw.endswith(b"\n"):
                return
            stop = start + len(raw)
            if start >= len(expected):
                try:
                    yield _Line(start=start, stop=stop, record=format.read_back(raw.decode()))
                except (ValueError, RecursionError):
                    raise _foreign(path, number) from None
            elif raw != expected:
                raise _foreign(path, number)
            start = stop


def _foreign(path: Path, number: int) -> UsageError:
    return UsageError(
        f"{path} cannot be continued: line {number} is no row of such an audit", "name another file, or leave it be"
    )


def keep_only(path: Path, earlier: Earlier) -> None:
    """Rewrite the file so that it holds the rows worth keeping, in one step: all of them are there at any time."""
    if sum(stop - start for start, stop in earlier.spans) == earlier.all_bytes:
        return
    target = path.resolve()  # a link stays one
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as new, target.open("rb") as old:
                for start, stop in earlier.spans:
                    old.seek(start)
                    new.write(old.read(stop - start))
                new.flush()
                os.fsync(new.fileno())
            shutil.copymode(target, name)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}") from None
