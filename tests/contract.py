"""The published JSON Schema, read as strictly as can be: all that hubvram writes must be described in full."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hubvram.reports.schema import schema_text


def schema() -> dict[str, Any]:
    """The schema as it is published."""
    found: dict[str, Any] = json.loads(schema_text())
    return found


def conforms(answer: Mapping[str, Any]) -> None:
    """Fails unless an answer is what the schema describes, and has no field that it does not."""
    error = best_match(_strict("failure" if "error" in answer else "inspection").iter_errors(answer))
    assert error is None, f"{error.json_path}: {error.message[:500]}"


@cache
def _strict(definition: str) -> Draft202012Validator:
    found = schema()
    for described in objects(found):
        described["additionalProperties"] = False
    return Draft202012Validator({"$defs": found["$defs"], "$ref": f"#/$defs/{definition}"})


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The parts of a schema that describe an object by its fields."""
    if isinstance(value, dict):
        if isinstance(value.get("properties"), dict) and value.get("type") == "object":
            yield value
        for item in value.values():
            yield from objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from objects(item)
