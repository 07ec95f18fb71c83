"""The committed records: fixtures/caches.json, and what the formula says for each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.kv_cache import kv_cache_bytes, prefill_excess_bytes, prompt_padding_bytes, state_bytes
from tests.caches.models import BOTH_SIDES, DECODERS, HALVES, PAIRS, VARIANTS, WITH_STATES, WITH_TOWERS

FILE: Final = Path(__file__).parents[2] / "fixtures" / "caches.json"

BATCH: Final = 2
TOKENS: Final = 11
"""In the prompt, or for the encoder; windows are of 8."""
DECODED: Final = 3
"""Steps behind a prompt."""
BOTH_DECODED: Final = 10
"""Steps of a decoder beside an encoder, the token that it starts from included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One model that runs: a type, what is changed in the config of its text model, whether an encoder runs too."""

    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    both_sides: bool = False

    @property
    def name(self) -> str:
        changes = [json.dumps(self.changes, separators=(",", ":"))] if self.changes else []
        return " ".join((self.model_type, *changes, *(["both sides"] if self.both_sides else [])))


RUNS: Final = {
    run.name: run
    for run in (
        *(Run(model_type=name) for name in (*DECODERS, *WITH_TOWERS, *WITH_STATES, *HALVES)),
        *(Run(model_type=name, changes=changes) for name, changes in VARIANTS),
        *(Run(model_type=name, both_sides=True) for name in BOTH_SIDES),
        *(Run(model_type=name, changes=changes, both_sides=True) for name, changes in PAIRS),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A config as transformers writes it, and the bytes that the caches of its model held, step by step, in bf16."""

    config: Mapping[str, Any]
    held_bytes: tuple[int, ...]


def recorded() -> dict[str, Record]:
    """Name of a run -> its record."""
    if not FILE.exists():
        return {}
    return {
        name: Record(config=row["config"], held_bytes=tuple(row["held_bytes"]))
        for name, row in json.loads(FILE.read_text(encoding="utf-8")).items()
    }


def write(records: Mapping[str, Record]) -> None:
    """One line for each run."""
    rows = (
        f"{json.dumps(name)}: "
        + json.dumps({"held_bytes": it.held_bytes, "config": it.config}, separators=(",", ":"), sort_keys=True)
        for name, it in sorted(records.items())
    )
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def said(architecture: Architecture, *, both_sides: bool = False) -> tuple[int, ...]:
    """What the formulas say for the same steps."""
    sizes = {"batch_size": BATCH, "element_bytes": 2}
    states = state_bytes(architecture, **sizes)
    if both_sides:
        encoder = next(stack for stack in architecture.stacks if stack.name == "encoder")
        before = TOKENS if encoder.source_tokens is None else 0
        steps = range(1, BOTH_DECODED + 1)
        return tuple(
            states + kv_cache_bytes(architecture, tokens=before + step, input_tokens=TOKENS, **sizes) for step in steps
        )
    prefill = kv_cache_bytes(architecture, tokens=TOKENS, **sizes)
    prefill += sum(
        beyond(architecture, tokens=TOKENS, **sizes) for beyond in (prefill_excess_bytes, prompt_padding_bytes)
    )
    steps = range(1, DECODED + 1)
    more = (kv_cache_bytes(architecture, tokens=TOKENS + step, input_tokens=TOKENS, **sizes) for step in steps)
    return tuple(states + held for held in (prefill, *more))
