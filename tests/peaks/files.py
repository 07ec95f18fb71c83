"""Files of records: about them, a config with small numbers, and one line for each run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def read_all(folder: Path) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Each file's name, its config, and its runs by column."""
    for file in sorted(folder.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        columns = content["about"]["columns"]
        yield file.stem, content["config"], [dict(zip(columns, row, strict=True)) for row in content["rows"]]


def write_one(
    file: Path, about: Mapping[str, Any], config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> None:
    """One line for each run; the columns are those of the first."""
    columns = list(rows[0])
    lines = ",\n  ".join(json.dumps([row[column] for column in columns]) for row in rows)
    text = (
        f'{{"about": {json.dumps({**about, "columns": columns})},\n"config": {json.dumps(config)},\n'
        f'"rows": [\n  {lines}]}}\n'
    )
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
