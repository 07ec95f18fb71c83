"""What each `--dtype` makes of three models, beside the sizes of published checkpoints.

python -m benchmarks.schemes
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hubvram.inspection import read_model
from hubvram.inspection.inspector import weights_of
from hubvram.inspection.model import Model
from hubvram.memory.weights import Weights
from hubvram.quantization.schemes import SCHEMES
from hubvram.sources.snapshot import SnapshotSource, snapshot_folders

PUBLISHED: Final = Path(__file__).parents[1] / "fixtures" / "schemes" / "published.json"
MODELS: Final = ("meta-llama/Llama-3.1-8B", "mistralai/Mixtral-8x7B-v0.1", "Qwen/Qwen3-30B-A3B")
_UNITS: Final = {"B": 1, "GB": 10**9, "GiB": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A published size beside the derived one."""

    model: str
    scheme: str
    published_bytes: float
    derived_bytes: int
    of: str
    """files, or memory after loading (an engine may repack)."""
    source: str
    explanation: str

    @property
    def difference(self) -> float:
        return self.derived_bytes / self.published_bytes - 1


def read(model: str) -> Model:
    """A bundled model."""
    return read_model(SnapshotSource(model, snapshot_folders()[model]))


def derived_bytes(model: Model, precision: str) -> int:
    """The weights at a precision."""
    weights = weights_of(model, precision)
    assert isinstance(weights, Weights)
    return weights.component.size_bytes


def rows() -> list[Row]:
    """Every published size."""
    return [_row(entry) for entry in json.loads(PUBLISHED.read_text(encoding="utf-8"))]


def _row(entry: dict[str, Any]) -> Row:
    name = entry["model"].replace("--", "/")
    number, unit = entry["published"].split()
    return Row(
        model=name,
        scheme=entry["scheme"],
        published_bytes=float(number) * _UNITS[unit],
        derived_bytes=derived_bytes(read(name), entry["scheme"]),
        of=entry["of"],
        source=entry["source"],
        explanation=entry.get("explanation", ""),
    )


def main() -> None:
    models = {name: read(name) for name in MODELS}
    print(f"{'GiB of weights':18}" + "".join(f"{name.partition('/')[2]:>18}" for name in MODELS))
    for precision in SCHEMES:
        sizes = (derived_bytes(model, precision) / 2**30 for model in models.values())
        print(f"{precision:18}" + "".join(f"{size:18.3f}" for size in sizes))
    print("\npublished")
    for row in rows():
        print(
            f"{row.model:28} {row.scheme:12} {row.published_bytes / 2**30:8.3f} {row.derived_bytes / 2**30:8.3f} "
            f"{row.difference:+.2%}  {row.of}: {row.source}" + (f" ({row.explanation})" if row.explanation else "")
        )


if __name__ == "__main__":
    main()
