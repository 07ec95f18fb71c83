"""The committed records of the other kinds of cache: fixtures/cache_kinds.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hubvram.dtypes import CACHES
from hubvram.memory.cache_packings import PACKINGS
from tests.caches.record import RUNS

FILE: Final = Path(__file__).parents[2] / "fixtures" / "cache_kinds.json"

KINDS: Final = tuple(kind for kind in CACHES if kind != "dynamic")

STATIC: Final = ((16, 4), (3, 4))
"""(prompt, tokens that `generate` makes): room for one less than both, past windows of 8 and within them."""
BOTH_STATIC: Final = ((1, 12), (1, 4))
"""The same of a decoder beside an encoder, which starts from a token of its own."""

STEPS: Final = (16, 1, 126, 1, 1)
"""Tokens of each forward with a packed cache: the prompt; one waits; 127 wait; all 144 are packed anew; one waits."""

REFUSED: Final = "refused"
OWN: Final = "its own"

Found = list[int] | str
"""Bytes; REFUSED where `generate` or a forward fails with the kind, OWN where `generate` makes no cache."""


def recorded() -> dict[str, dict[str, Found]]:
    """Name of a run -> kind of cache -> what was found."""
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def write(records: Mapping[str, Mapping[str, Any]]) -> None:
    """One line for each run."""
    rows = (
        f"{json.dumps(name)}: {json.dumps(found, separators=(',', ':'))}" for name, found in sorted(records.items())
    )
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")


def kinds_of(name: str) -> tuple[str, ...]:
    """Those that are run: the packed ones are not made beside an encoder, and one of them says so."""
    return ("static", "fp8") if RUNS[name].both_sides else ("static", *PACKINGS)
