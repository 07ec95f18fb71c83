"""Fuzz for so many seconds each: `python -m tests.fuzz [--seconds 20] [header|config]`. Exit 1 with what was found."""

from __future__ import annotations

import argparse
import random
import sys

from tests.fuzz.target import FoundError, fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; default: all")
    parser.add_argument("--seconds", type=float, default=20, help="for each target (default: 20)")
    parser.add_argument("--seed", type=int, help="number of the first input (default: by chance)")
    parser.add_argument("--cases", type=int, help="so many inputs, however long they take")
    asked = parser.parse_args()
    unknown = set(asked.targets) - TARGETS.keys()
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    first = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    for name in asked.targets or TARGETS:
        try:
            done = fuzz(TARGETS[name], first=first, seconds=asked.seconds, cases=asked.cases)
        except FoundError as found:
            import traceback

            traceback.print_exception(found.__cause__)
            print(found, file=sys.stderr)
            return 1
        print(f"{name}: {done:,} inputs from number {first} on, nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
