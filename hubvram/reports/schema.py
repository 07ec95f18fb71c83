"""The JSON contract as a JSON Schema, in a file beside this one."""

from __future__ import annotations

from pathlib import Path


def schema_text() -> str:
    """contract.schema.json, as it is."""
    return Path(__file__).with_name("contract.schema.json").read_text(encoding="utf-8")
