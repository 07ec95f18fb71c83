"""Exit codes, and what an error comes to: its words, and the code that a script sees."""

from __future__ import annotations

from typing import Final

from hubvram import errors

EXIT_DOES_NOT_FIT: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREADABLE: Final = 3
EXIT_INTERRUPTED: Final = 130
EXIT_BROKEN_PIPE: Final = 141
"""128 + SIGINT and 128 + SIGPIPE, as shells have it."""


def explain(error: errors.HubvramError) -> tuple[str, str, int]:
    """(what is the matter, what to try, exit code)."""
    from hubvram.reports.failures import failure_of  # for those who fail

    failure = failure_of(error)
    exit_code = EXIT_USAGE if isinstance(error, errors.UsageError) else EXIT_UNREADABLE
    return failure.message, failure.hint, exit_code
