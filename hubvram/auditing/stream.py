"""Many inputs through one function: on threads of our own, as lazily as the results are taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD: Final = 2
"""Inputs that are being worked on, or whose results nobody has taken yet: so many times the concurrency."""


def stream(
    inputs: Iterable[T], work: Callable[[T], R], *, concurrency: int, in_order: bool
) -> Generator[tuple[T, R], None, None]:
    """(input, result) as they are done, or in the order of the inputs. `work` must not raise.

    Inputs are drawn one at a time, by one thread at a time, and only while there is room for their results.
    What drawing raises is raised here, after the results of all inputs that were drawn before it. Whoever leaves
    early stops new work and waits for none: the threads are daemons, unlike those of an executor.
    """
    crew = _Crew(inputs, work, concurrency)
    crew.hire()
    try:
        yield from crew.in_order() if in_order else crew.as_done()
    finally:
        crew.dismiss()


class _Crew(Generic[T, R]):
    """The threads, what they share, and the queue that their results arrive in."""

    def __init__(self, inputs: Iterable[T], work: Callable[[T], R], concurrency: int) -> None:
        self._inputs = iter(inputs)
        self._work = work
        self._threads_left = concurrency
        self._room = threading.Semaphore(AHEAD * concurrency)
        self._drawing = threading.Lock()
        self._drawn = 0
        self._over = False
        self._failure: BaseException | None = None
        self._done: SimpleQueue[tuple[int, T, R] | None] = SimpleQueue()

    def hire(self) -> None:
        """One more thread, where there may be one: each starts the next as soon as it has work itself."""
        if self._threads_left > 0:
            self._threads_left -= 1
            threading.Thread(target=self._run, name="hubvram-audit", daemon=True).start()

    def dismiss(self) -> None:
        self._over = True
        self._room.release()  # Whoever waits for room leaves, and wakes the next.

    def as_done(self) -> Iterator[tuple[T, R]]:
        return ((item, result) for _, item, result in self._results())

    def in_order(self) -> Iterator[tuple[T, R]]:
        early: dict[int, tuple[T, R]] = {}
        following = 0
        for place, item, result in self._results(holds_room=True):
            early[place] = (item, result)
            while following in early:
                self._room.release()
                yield early.pop(following)
                following += 1

    def _results(self, *, holds_room: bool = False) -> Iterator[tuple[int, T, R]]:
        taken = 0
        while not (self._over and taken == self._drawn):
            found = self._done.get()
            if found is not None:  # None: there is no more input
                taken += 1
                if not holds_room:
                    self._room.release()
                yield found
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (drawn := self._draw()) is not None:
            place, item = drawn
            self._done.put((place, item, self._work(item)))

    def _draw(self) -> tuple[int, T] | None:
        """The next input; None where there is none, or nobody wants its result."""
        self._room.acquire()
        with self._drawing:
            if not self._over:
                try:
                    item = next(self._inputs)
                except BaseException as error:  # whatever it is, it is for whoever takes the results
                    self._failure = None if isinstance(error, StopIteration) else error
                    self._over = True
                    self._done.put(None)
            if self._over:
                self._room.release()
                return None
            self._drawn += 1
            with suppress(RuntimeError):  # the system gives no more threads: those that run will do
                self.hire()
            return self._drawn - 1, item
