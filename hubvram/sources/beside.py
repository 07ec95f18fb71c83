"""Two things at the same time, where both wait for the network."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def beside(work: Callable[[], T]) -> Callable[[], T]:
    """Do this in a thread of its own, for which the end of the program does not wait; call what is returned for
    its result."""
    found: list[T] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="hubvram-beside", daemon=True)
    thread.start()

    def result() -> T:
        thread.join()
        if failures:
            raise failures[0]
        return found[0]

    return result
