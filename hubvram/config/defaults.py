"""What config.json leaves out: per model type, the defaults and field names of transformers' config classes.

defaults.json is made by `python -m scripts.make_defaults` and compared with the installed transformers by a
test, so that no inspect ever imports transformers.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("defaults.json").read_text(encoding="utf-8"))
    return table


def defaults_of(model_type: str) -> dict[str, Any]:
    """Field -> default; empty for a model type that the table does not know."""
    defaults: dict[str, Any] = _table()["model_types"].get(model_type, {}).get("defaults", {})
    return defaults


def attribute_map_of(model_type: str) -> dict[str, str]:
    """Usual field name -> the name this model type gives it in config.json."""
    attribute_map: dict[str, str] = _table()["model_types"].get(model_type, {}).get("attribute_map", {})
    return attribute_map
