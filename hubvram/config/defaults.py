"""What config.json leaves out: per model type, the defaults and field names of transformers' config classes.

defaults.jsonl is made by `python -m scripts.make_defaults` and compared with the installed transformers by a
test, so that no inspect ever imports transformers. It has one line per model type, of which only those asked
for are parsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

_EMPTY: Final[Mapping[str, Mapping[str, Any]]] = {"defaults": {}, "attribute_map": {}, "inside": {}}


@cache
def _lines() -> dict[str, str]:
    text = Path(__file__).with_name("defaults.jsonl").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in text.splitlines())


@cache
def _entry(model_type: str) -> Mapping[str, Mapping[str, Any]]:
    line = _lines().get(model_type)
    return _EMPTY if line is None or model_type == "transformers" else json.loads(line)


def transformers_version() -> str:
    """The release that the table was made from."""
    version: str = json.loads(_lines()["transformers"])
    return version


def known_types() -> list[str]:
    """All names in the table: model types, and `<outer type>.<field>` for configs without a type of their own."""
    return [name for name in _lines() if name != "transformers"]


def is_known(model_type: str) -> bool:
    """Whether transformers has a config class for it."""
    return model_type in _lines()


def defaults_of(model_type: str) -> Mapping[str, Any]:
    """Field -> default; empty for a model type that the table does not know."""
    return _entry(model_type)["defaults"]


def attribute_map_of(model_type: str) -> Mapping[str, str]:
    """Usual field name -> the name this model type gives it in config.json."""
    return _entry(model_type)["attribute_map"]


def type_inside(outer: str, field: str, named: str | None) -> str | None:
    """The table's name for the config in `field` of an `outer` one, which calls itself `named`.

    Some classes fix the type of what is inside, whatever it calls itself (old configs of towers repeat the outer
    type); others read its `model_type`, and have a usual one.
    """
    inside = _entry(outer)["inside"].get(field)
    if inside is None or (named is not None and not inside["fixed"]):
        return named
    inner: str | None = inside["type"]
    return inner
