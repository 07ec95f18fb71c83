"""The commands together. `hubvram MODEL` is `hubvram inspect MODEL`; the name of a command wins over a bare id."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from hubvram._version import __version__
from hubvram.cli.errors import EXIT_INTERRUPTED, explain
from hubvram.cli.output import complain, prepare_streams, write, writing
from hubvram.errors import HubvramError

DEFAULT_COMMAND: Final = "inspect"
COMMANDS: Final = (DEFAULT_COMMAND, "audit", "cache", "dtypes", "gpus", "schema")
"""Each is the function of that name in the file of that name, which is imported when it is asked for."""

_EPILOG: Final = (
    f"Other commands: {', '.join(f'hubvram {name}' for name in COMMANDS if name != DEFAULT_COMMAND)}; hubvram "
    "--version. Exit codes: 0 fine, 1 it does not fit, 2 wrong usage, 3 the model could not be read, or not well "
    "enough to say whether it fits."
)


def command_app(name: str) -> typer.Typer:
    """One command as a program of its own, which is all that a call needs to build."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    command = getattr(import_module(f"hubvram.cli.{name}"), name)
    app.command(epilog=_EPILOG if name == DEFAULT_COMMAND else None)(command)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: run a command, turn hubvram's errors into a sentence and an exit code."""
    prepare_streams()
    try:
        _run(list(sys.argv[1:] if arguments is None else arguments))
    except HubvramError as error:
        problem, hint, exit_code = explain(error)
        complain(problem, hint)
        sys.exit(exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _run(words: list[str]) -> None:
    if words == ["--version"]:
        write(f"hubvram {__version__}\n")
        return
    name, program = DEFAULT_COMMAND, "hubvram"
    if words and words[0] in COMMANDS:
        name = words.pop(0)
        program += f" {name}"
    if not words and name == DEFAULT_COMMAND:
        words = ["--help"]
    with writing():
        command_app(name)(words, prog_name=program, obj=tuple(words))
