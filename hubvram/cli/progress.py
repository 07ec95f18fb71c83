"""How far an audit is: a bar on stderr, on a terminal only; elsewhere a word where it has to wait.

The bar is a line of its own making, because it shares the terminal with the rows: it is wiped before each row and
drawn again after it. (rich's bars redirect standard output to where the bar is.)
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from hubvram.cli.output import remark
from hubvram.cli.tally import Outcome, Tally

_BAR_COLUMNS: Final = 24
_REFRESH_SECONDS: Final = 0.5
_WORD_EACH_SECONDS: Final = 10.0
"""Between two words about waiting, where they are lines of their own."""
_CLEAR: Final = "\r\x1b[2K"


class Progress:
    """Done and to do, models a second, failures, what is left of the quota, and for what it waits."""

    def __init__(self) -> None:
        self.total = 0
        self._tally = Tally()
        self._start = time.monotonic()
        self._waits_until = 0.0
        self._next_word = 0.0
        self._lock = threading.Lock()
        self._waiting = threading.Lock()  # its own: who waits for the Hub must not wait for a slow reader of our rows
        self._begun = False
        self._over = threading.Event()
        self._draws = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        self._begun = True
        if self._draws:
            threading.Thread(target=self._refresh, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over.set()
            self._show(_CLEAR)

    def count(self, outcome: Outcome) -> None:
        with self._lock:
            self._tally[outcome] += 1

    def wait(self, seconds: float) -> None:
        """Called by every request that waits for the quota: the first of a window is worth a word."""
        with self._waiting:
            now = time.monotonic()
            self._waits_until = max(self._waits_until, now + seconds)
            is_due = now >= self._next_word and not (self._draws and self._begun)
            if is_due:
                self._next_word = now + max(seconds, _WORD_EACH_SECONDS)
        if is_due:
            remark(_waiting(seconds))

    @contextmanager
    def aside(self) -> Iterator[None]:
        """While something else is written to what may be the same terminal."""
        with self._lock:
            self._show(_CLEAR)
            yield
            self._show(self._text())

    def _refresh(self) -> None:
        while not self._over.wait(_REFRESH_SECONDS):
            with self._lock:
                if not self._over.is_set():
                    self._show(_CLEAR + self._text())

    def _show(self, text: str) -> None:
        if self._draws:
            try:
                sys.stderr.write(text)
                sys.stderr.flush()
            except OSError:  # the terminal is gone: the rows may still go to a file
                self._draws = False

    def _text(self) -> str:
        now = time.monotonic()
        done = self._tally.total()
        filled = _BAR_COLUMNS * done // max(1, self.total)
        parts = [
            f"[{'#' * filled}{'.' * (_BAR_COLUMNS - filled)}] {done:,} of {self.total:,}",
            f"{done / max(now - self._start, 0.001):.1f}/s",
            f"{self._tally[Outcome.FAILED]:,} failed" if self._tally[Outcome.FAILED] else "",
            _quota(),
            _waiting(self._waits_until - now) if self._waits_until > now else "",
        ]
        columns = _columns()
        return "  ".join(filter(None, parts))[: max(1, columns - 1)]


def _columns() -> int:
    """Of the terminal that the bar is on: rows may go elsewhere."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        columns = 0
    return columns or shutil.get_terminal_size().columns


def _waiting(seconds: float) -> str:
    return f"waiting {math.ceil(seconds)} s for the Hub's quota"


def _quota() -> str:
    """What the Hub last said that is left."""
    from hubvram.sources.quota import QUOTA

    left = ", ".join(f"{remaining:,} {bucket}" for bucket, (remaining, _) in sorted(QUOTA.left().items()))
    return f"quota left: {left}" if left else ""
