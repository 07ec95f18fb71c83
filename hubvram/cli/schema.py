"""`hubvram schema`: what --json prints, described for programs."""

from __future__ import annotations

from hubvram.cli.output import write


def schema() -> None:
    """The JSON Schema (draft 2020-12) of what --json prints: units, meanings, what is always there."""
    from hubvram.reports.schema import schema_text

    write(schema_text())
