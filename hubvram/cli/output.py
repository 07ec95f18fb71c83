"""Where text goes: data to stdout, everything else to stderr; nothing from a repo reaches a terminal raw."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hubvram.sources.interface import OnProgress

_QUIET_SECONDS: Final = 0.5


def printable(text: str) -> str:
    """Control characters made visible: a file or tensor may be named anything."""
    return "".join(
        character if character.isprintable() or character == "\n" else f"\\x{ord(character):02x}" for character in text
    )


def write(text: str) -> None:
    """Data."""
    sys.stdout.write(printable(text))
    sys.stdout.flush()


def write_report(text: str) -> None:
    """The report; on a terminal its title stands out, if colour is welcome (NO_COLOR, TERM)."""
    if not sys.stdout.isatty():
        write(text)
        return
    from rich.console import Console
    from rich.text import Text

    title, _, rest = printable(text).partition("\n")
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text(title, style="bold"))
    for line in rest.splitlines():
        console.print(Text(line, style="bold" if line.startswith("> ") else ""))


def complain(problem: str, hint: str) -> None:
    """One sentence and the next command."""
    sys.stderr.write(printable(f"hubvram: {problem}\n  {hint}\n"))


def remark(text: str) -> None:
    """A word beside the data."""
    sys.stderr.write(printable(f"hubvram: {text}\n"))


@contextmanager
def progress() -> Iterator[OnProgress | None]:
    """A line on stderr while headers are read, once that has taken half a second, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    started = time.monotonic()
    shown = False

    def on_progress(done: int, total: int) -> None:
        nonlocal shown
        if total > 1 and time.monotonic() - started > _QUIET_SECONDS:
            shown = True
            sys.stderr.write(f"\rreading headers: {done} of {total} files")
            sys.stderr.flush()

    try:
        yield on_progress
    finally:
        if shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
