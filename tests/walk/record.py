"""The committed outcomes of the walk, one file for each kind of model: fixtures/walk/<kind>.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from tests.walk.build import saved
from tests.walk.compare import Outcome, outcome_of, parameters_by_default

FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "walk"

NOT_BUILT: Final = "not built"
"""transformers itself cannot make the model from its default config."""


def outcome_now(model_type: str, kind: str) -> Outcome:
    """Build the model with transformers and read what it would save."""
    try:
        config, tensors = saved(model_type, kind)
    except Exception as error:  # whatever a class of somebody else's raises
        return Outcome(status=NOT_BUILT, parameters=0, why=type(error).__name__)
    outcome = outcome_of(config, tensors)
    by_default = outcome.status == "reconciled" and parameters_by_default(model_type) == outcome.parameters
    return replace(outcome, by_default=by_default)


def write(kind: str, outcomes: Mapping[str, Outcome]) -> None:
    """Record the outcomes, one line per model type."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(asdict(outcome))}" for name, outcome in outcomes.items())
    (FOLDER / f"{kind}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def recorded(kind: str) -> dict[str, Outcome]:
    """Model type -> the outcome that is committed."""
    path = FOLDER / f"{kind}.json"
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: Outcome(**record) for name, record in records.items()}
