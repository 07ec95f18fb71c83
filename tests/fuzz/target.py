"""What is fuzzed, and the loop that does it: bounded in time, each input by its number."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

SECONDS_PER_INPUT: Final = 2.0
_SHOWN_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that reads bytes from strangers."""

    name: str
    make: Callable[[Random], bytes]
    check: Callable[[bytes], None]
    """Returns where the input was read or refused as it should be; raises anything else."""


class FoundError(Exception):
    """An input that does what none may do."""

    def __init__(self, target: Target, seed: int, content: bytes, problem: str) -> None:
        shown = repr(content[:_SHOWN_BYTES]) + (" and more" if len(content) > _SHOWN_BYTES else "")
        again = f"python -m tests.fuzz {target.name} --seed {seed} --cases 1"
        super().__init__(f"{target.name} {seed}: {problem}\n{shown}\nagain: {again}")


def fuzz(target: Target, *, first: int, seconds: float, cases: int | None = None) -> int:
    """Try inputs from number `first` on, until the time or the number of `cases` is over; how many it were.

    Raises FoundError, from what went wrong.
    """
    end, done = time.monotonic() + seconds, 0
    while done < cases if cases is not None else time.monotonic() < end:
        seed = first + done
        content = target.make(Random(seed))
        before = time.process_time()
        try:
            target.check(content)
        except Exception as error:
            raise FoundError(target, seed, content, f"{type(error).__name__}: {error}") from error
        took = time.process_time() - before
        if took > SECONDS_PER_INPUT:
            raise FoundError(target, seed, content, f"it takes {took:.1f} s")
        done += 1
    return done
