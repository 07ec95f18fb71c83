"""What a command among the tests was asked for."""

from __future__ import annotations

import sys


def asked() -> tuple[frozenset[str], list[str]]:
    """Options, which begin with two dashes; and the other words, in order."""
    words = sys.argv[1:]
    return frozenset(word for word in words if word.startswith("--")), [
        word for word in words if not word.startswith("--")
    ]
