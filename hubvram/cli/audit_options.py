"""The options that only an audit has."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer


class RowFormat(StrEnum):
    """What --format accepts."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    MARKDOWN = "markdown"


RESUMABLE: Final = (RowFormat.JSONL, RowFormat.CSV)
"""Formats whose files say enough to be continued."""

_MODELS = "Which models"
_RUN = "The run"
_OUTPUT = "Output"

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL",
        help="Repo ids, org/name@revision, Hub URLs, local folders; - reads a list from standard input. A model that "
        "is named twice is read once.",
        show_default=False,
    ),
]
ListFile = Annotated[
    str | None,
    typer.Option(
        "--file",
        metavar="LIST",
        help="A list, one model a line; blank lines and # comments are skipped.",
        show_default=False,
        rich_help_panel=_MODELS,
    ),
]
Author = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="All models of this user or organisation.", show_default=False),
]
Search = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="All models with this in their name.", show_default=False),
]
Collection = Annotated[
    str | None,
    typer.Option(metavar="SLUG|URL", help="All models of a collection.", show_default=False),
]
Limit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="At most so many from the search (the most downloaded), the collection.",
        show_default=False,
    ),
]
Cached = Annotated[bool, typer.Option("--cached", help="All models in this machine's Hub cache.")]
Concurrency = Annotated[int, typer.Option(metavar="N", help="Models at once.", rich_help_panel=_RUN)]
InOrder = Annotated[
    bool, typer.Option("--in-order", help="Rows in the order of the list, not as they finish.", rich_help_panel=_RUN)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Say how many models, how many requests and how much quota; read none.", rich_help_panel=_RUN
    ),
]
Format = Annotated[
    RowFormat | None,
    typer.Option(
        "--format",
        case_sensitive=False,
        help="One line a model for people (table, markdown) or the whole answer for programs (jsonl; csv has a row for "
        "each precision). Default: by the name of --output, else table.",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE",
        help="Write the rows there, each as it finishes. A file that is there already is not overwritten.",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with --output (jsonl, csv): keep its good rows, read what failed or is missing.",
        rich_help_panel=_OUTPUT,
    ),
]
