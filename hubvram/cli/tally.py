"""How an audit went: so many of each outcome, in a sentence and as an exit code."""

from __future__ import annotations

from collections import Counter
from enum import Enum

from hubvram.cli.errors import EXIT_DOES_NOT_FIT, EXIT_UNREADABLE


class Outcome(Enum):
    """(one of them, several of them, what the shell is told); the worst stand last."""

    FINE = ("fine", "fine", 0)
    EXCEEDS = ("does not fit", "do not fit", EXIT_DOES_NOT_FIT)
    IN_DOUBT = ("in doubt", "in doubt", EXIT_UNREADABLE)
    FAILED = ("could not be read", "could not be read", EXIT_UNREADABLE)

    @staticmethod
    def of_gate(gate: bool | None) -> Outcome:
        return {True: Outcome.FINE, False: Outcome.EXCEEDS, None: Outcome.IN_DOUBT}[gate]


class Tally(Counter[Outcome]):
    """Outcome -> how many models."""

    def sentence(self) -> str:
        """`1,000 models: 950 fine, 30 do not fit, 12 in doubt, 8 could not be read`"""
        total = self.total()
        parts = [
            f"{self[outcome]:,} {outcome.value[self[outcome] != 1]}"
            for outcome in Outcome
            if self[outcome] or outcome is Outcome.FINE
        ]
        return f"{total:,} model{'s' * (total != 1)}: {', '.join(parts)}"

    @property
    def exit_code(self) -> int:
        return max((int(outcome.value[2]) for outcome in self.elements()), default=0)
