"""Many inputs through one function: laziness, order, back-pressure, early ends."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from hubvram.auditing.stream import stream

SECONDS = 10.0
"""How long a test waits for what should happen at once."""


def _double(number: int) -> int:
    return 2 * number


def _until(true: object, seconds: float = SECONDS) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.005)
    assert true()


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("inputs", [0, 1, 3, 200])
def test_each_input_has_one_result(inputs: int, in_order: bool) -> None:
    found = list(stream(range(inputs), _double, concurrency=4, in_order=in_order))
    assert sorted(found) == [(number, 2 * number) for number in range(inputs)]


def test_in_order_is_the_order_of_the_inputs_and_else_the_first_done_comes_first() -> None:
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert later.wait(SECONDS)
        if number == 3:
            later.set()
        return number

    assert [number for number, _ in stream(range(5), work, concurrency=2, in_order=True)] == [0, 1, 2, 3, 4]
    later.clear()
    found = [number for number, _ in stream(range(5), work, concurrency=2, in_order=False)]
    assert sorted(found) == [0, 1, 2, 3, 4]
    assert found.index(0) > found.index(1)


def test_never_more_at_once_than_allowed_and_as_many_as_allowed() -> None:
    together, most = 0, 0
    lock, full = threading.Lock(), threading.Barrier(3)

    def work(_: int) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        full.wait(SECONDS)  # breaks, and fails the test, unless three are here at once
        with lock:
            together -= 1

    assert len(list(stream(range(9), work, concurrency=3, in_order=False))) == 9
    assert most == 3


@pytest.mark.parametrize("in_order", [True, False])
def test_an_endless_input_is_drawn_from_only_as_results_are_taken(in_order: bool) -> None:
    drawn = 0

    def count() -> Iterator[int]:
        nonlocal drawn
        while True:
            drawn += 1
            yield drawn

    results = stream(count(), _double, concurrency=4, in_order=in_order)
    assert drawn == 0  # nothing begins before somebody takes
    next(results)
    # One was taken; twice the concurrency may be under way or waiting to be taken.
    _until(lambda: drawn == 1 + 2 * 4)
    time.sleep(0.05)
    assert drawn == 1 + 2 * 4
    for _ in range(100):
        next(results)
    _until(lambda: drawn == 101 + 2 * 4)
    results.close()
    time.sleep(0.05)
    assert drawn == 101 + 2 * 4


def test_leaving_waits_for_nothing_that_hangs_and_leaves_no_idle_thread() -> None:
    hang = threading.Event()
    before = threading.active_count()

    def work(number: int) -> int:
        if number > 0:
            hang.wait(SECONDS)
        return number

    start = time.monotonic()
    for number, _ in stream(itertools.count(), work, concurrency=3, in_order=False):
        assert number == 0
        break
    assert time.monotonic() - start < SECONDS / 4
    hang.set()
    _until(lambda: threading.active_count() == before)


def test_a_process_ends_although_work_hangs() -> None:
    code = (
        "import threading\n"
        "from hubvram.auditing.stream import stream\n"
        "work = lambda n: n and threading.Event().wait()\n"
        "print(next(stream(range(9), work, concurrency=3, in_order=False)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert (done.stdout, done.stderr) == ("(0, 0)\n", "")


@pytest.mark.parametrize("in_order", [True, False])
def test_what_the_input_raises_comes_after_the_results_before_it(in_order: bool) -> None:
    def broken() -> Iterator[int]:
        yield from range(10)
        raise OSError("the list cannot be read on")

    found = []
    with pytest.raises(OSError, match="read on"):
        for number, _ in stream(broken(), _double, concurrency=3, in_order=in_order):
            found.append(number)
    assert sorted(found) == list(range(10))


def test_an_input_that_hangs_does_not_hold_back_results() -> None:
    more = threading.Event()

    def slow() -> Iterator[int]:
        yield 1
        more.wait(SECONDS)
        yield 2

    results = stream(slow(), _double, concurrency=4, in_order=True)
    assert next(results) == (1, 2)
    more.set()
    assert next(results) == (2, 4)


def test_several_at_once_do_not_mix() -> None:
    found: dict[int, list[tuple[int, int]]] = {}

    def run(start: int) -> None:
        found[start] = list(stream(range(start, start + 50), _double, concurrency=4, in_order=True))

    threads = [threading.Thread(target=run, args=(start,)) for start in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert found == {start: [(n, 2 * n) for n in range(start, start + 50)] for start in (0, 1000, 2000)}
