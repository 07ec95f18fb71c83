"""The file that an audit writes: whole rows only, whatever happens, and what an earlier run left there."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hubvram.errors import OutputError, UsageError

if TYPE_CHECKING:
    from hubvram.reports.records import Record, Records


_LONGEST_BYTES: Final = 64 * 2**20
"""No row is longer: what a file of something else holds is not read whole."""


class RowFile:
    """Appends rows; one that could not be written whole is taken back. No other audit writes to it meanwhile."""

    def __init__(self, path: Path, *, resumed: bool) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                _lock(self._file, path)
            self.size_bytes = os.fstat(self._file).st_size
        except OSError as error:
            raise _not_usable(path, error) from None
        if self.size_bytes and not resumed:
            raise UsageError(
                f"{path} is there already", "add --resume to go on with it, or remove it, or name another file"
            )

    def keep_only(self, earlier: Earlier) -> None:
        """Rewrite the file so that it holds the rows worth keeping, in one step: all of them are there at any time."""
        if self.size_bytes != earlier.all_bytes:
            raise _in_use(self._path)  # somebody wrote to it since it was read
        if sum(stop - start for start, stop in earlier.spans) == earlier.all_bytes:
            return
        target = self._path.resolve()  # a link stays one
        try:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                _lock(handle, self._path)  # before others can find it
                with os.fdopen(os.dup(handle), "wb") as new, target.open("rb") as old:
                    for start, stop in earlier.spans:
                        old.seek(start)
                        new.write(old.read(stop - start))
                    new.flush()
                    os.fsync(new.fileno())
                shutil.copymode(target, name)
                os.replace(name, target)
            except BaseException:
                os.close(handle)
                os.unlink(name)
                raise
        except OSError as error:
            raise OutputError(f"{self._path}: {error.strerror}") from None
        os.close(self._file)
        self._file = handle  # at its end, which nobody else moves
        self.size_bytes = os.fstat(handle).st_size

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


def _lock(file: int, path: Path) -> None:
    """Until the file is closed. Raises UsageError where another process has it; where there are no locks, goes on."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _in_use(path) from None
    except OSError:  # a file system without locks
        return


def _in_use(path: Path) -> UsageError:
    return UsageError(f"{path} is being written by another audit", "wait for its end, or name another file")


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


def read_earlier(path: Path, format: Records, options: str, wanted: Container[str]) -> Earlier:
    """The rows of an interrupted run that are worth keeping: good ones, and those of models that are not `wanted` now.

    None where there is no file. Raises UsageError for any other file.
    """
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
    good = list(_good(lines, format.rows_each, wanted))
    header = len(format.beginning.encode())
    spans = [(0, header)] if lines and header else []
    return Earlier(
        kept={line.record.model: line.record.gate for line in good if not line.record.failed},
        spans=(*spans, *((line.start, line.stop) for line in good)),
        all_bytes=all_bytes,
    )


def _good(lines: Sequence[_Line], rows_each: int, wanted: Container[str]) -> Iterator[_Line]:
    """Without the rows of what failed and is read again, and those of the last model if they may not be all."""
    for _, group in groupby(lines, key=lambda line: line.record.model):
        rows = list(group)
        is_whole = len(rows) >= rows_each or rows[-1] is not lines[-1] or rows[-1].record.failed
        yield from (row for row in rows if is_whole and not (row.record.failed and row.record.model in wanted))


def _lines(path: Path, format: Records) -> Iterator[_Line]:
    """Every line that has its end. The last may be torn; then it must at least begin as ours do."""
    expected = format.beginning.encode()
    start = 0
    with path.open("rb") as file:
        for number, raw in enumerate(iter(lambda: file.readline(_LONGEST_BYTES), b""), start=1):
            begins = expected if start < len(expected) else format.each_begins.encode()
            is_whole = raw.endswith(b"\n")
            if not is_whole and len(raw) < _LONGEST_BYTES and not raw.strip(b"\0"):
                return  # what a file system leaves after a loss of power
            if not begins.startswith(raw[: len(begins)]) or len(raw) == _LONGEST_BYTES:
                raise _foreign(path, number)
            if not is_whole:
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
