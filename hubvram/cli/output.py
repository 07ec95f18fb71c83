"""Where text goes: data to stdout, everything else to stderr; nothing from a repo reaches a terminal raw."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from hubvram.cli.errors import EXIT_BROKEN_PIPE
from hubvram.errors import OutputError
from hubvram.reports.text import printable as printable

if TYPE_CHECKING:
    from hubvram.sources.interface import OnProgress

_QUIET_SECONDS: Final = 0.5


def prepare_streams() -> None:
    """A terminal that cannot show a character shows its number; none of it is a reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def writing() -> Iterator[None]:
    """What the system says when stdout is full becomes an OutputError; when its reader left, that is no error."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        # The rest goes nowhere, so that the interpreter's own flush at the end does not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(EXIT_BROKEN_PIPE)
        raise OutputError(error.strerror or type(error).__name__) from None


def write(text: str) -> None:
    """Data."""
    if sys.stdout is None:  # closed by whoever started us
        raise OutputError("standard output is closed")
    with writing():
        sys.stdout.write(printable(text))


def write_report(text: str) -> None:
    """The report; on a terminal its title stands out, if colour is welcome (NO_COLOR, TERM)."""
    if sys.stdout is None or not sys.stdout.isatty():
        write(text)
        return
    from rich.console import Console
    from rich.text import Text

    title, _, rest = printable(text).partition("\n")
    console = Console(highlight=False, soft_wrap=True)
    with writing():
        console.print(Text(title, style="bold"))
        for line in rest.splitlines():
            console.print(Text(line, style="bold" if line.startswith("> ") else ""))


def complain(problem: str, hint: str) -> None:
    """One sentence and the next command."""
    _aside(f"hubvram: {_one_line(problem)}\n  {_one_line(hint)}\n")


def remark(text: str) -> None:
    """A word beside the data."""
    _aside(f"hubvram: {_one_line(text)}\n")


def _aside(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):  # nowhere left to say it
            sys.stderr.write(printable(text))


def _one_line(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def progress() -> Iterator[OnProgress | None]:
    """A line on stderr once the answer takes more than half a second, on a terminal only."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    line = _ProgressLine()
    timer = threading.Timer(_QUIET_SECONDS, line.show)
    timer.daemon = True
    timer.start()
    try:
        yield line.update
    finally:
        timer.cancel()
        line.clear()


class _ProgressLine:
    """One line that is rewritten in place; silent until `show`, gone after `clear`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._text = "asking the Hub"
        self._visible = False
        self._over = False

    def show(self) -> None:
        with self._lock:
            if self._over:  # the timer fired while the answer came
                return
            self._visible = True
            self._write()

    def update(self, done: int, total: int) -> None:
        with self._lock:
            self._text = f"reading headers: {done} of {total} files"
            if self._visible:
                self._write()

    def clear(self) -> None:
        with self._lock:
            if self._visible:
                sys.stderr.write("\r\x1b[2K")
                sys.stderr.flush()
            self._visible = False
            self._over = True

    def _write(self) -> None:
        sys.stderr.write(f"\r{self._text}")
        sys.stderr.flush()
