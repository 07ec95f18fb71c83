"""The committed record, fixtures/measurements/transformers-5.23-small-models/MODEL_TYPE.json, and what is said of it.

Each model type is its default config with small numbers, in VARIANTS that make one phase or another the widest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines.transformers_code import play
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Peak
from hubvram.memory.workload import Attention
from tests.samples import architecture_of

FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "transformers-5.23-small-models"

_INNER: Final = ("intermediate_size", "ffn_dim", "d_ff", "n_inner", "d_inner", "ffn_hidden_size")


def _variant(inner: int, of_expert: int, window: int, head: int) -> dict[str, int]:
    found = dict.fromkeys(_INNER, inner)
    return {**found, "moe_intermediate_size": of_expert, "sliding_window": window, "head_dim": head}


VARIANTS: Final[Mapping[str, Mapping[str, int]]] = {
    "wide": _variant(256, 128, 8, 16),
    "narrow": _variant(16, 8, 4096, 16),
    "heads": _variant(16, 8, 4096, 64),
}
"""A wide MLP, and windows that cut in; a narrow one; a narrow one beside wide heads. Only fields that a type has."""
SHAPES: Final = ((2, 40), (1, 67), (3, 160))
"""Batch and prompt; positions suffice for the longest and the tokens decoded."""
POSITIONS: Final = 256
DECODED: Final = 2
"""Tokens behind the prompt when the decode step is measured that was: the first one drops what windows left over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run in bf16, without padding, logits of the last token. Peaks are bytes beside weights and cache."""

    variant: str
    attention: str
    batch_size: int
    tokens: int
    prefill_peak_bytes: int
    decode_peak_bytes: int
    allocator_prefill_bytes: int
    """The prefill's by torch's profiler: with what kernels of the CPU allocate and free within themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A config with small numbers, and its runs."""

    config: Mapping[str, Any]
    rows: tuple[Row, ...]


def varied(config: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """The config with the numbers of a variant in place of its own."""
    changes = {key: value for key, value in VARIANTS[variant].items() if key in config}
    return {**config, **changes}


def recorded() -> dict[str, Record]:
    """Model type -> its record."""
    names = tuple(Row.__dataclass_fields__)
    found = {}
    for file in sorted(FOLDER.glob("*.json")):
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = tuple(Row(**dict(zip(names, row, strict=True))) for row in content["rows"])
        found[file.stem] = Record(config=content["config"], rows=rows)
    return found


def write(model_type: str, record: Record, versions: Mapping[str, str]) -> None:
    """One line for each run."""
    about = {
        **versions,
        "measured": "storages alive at the peak of one forward of the class on the CPU (tests/peaks), "
        "beside weights and cache",
        "dtype": "bf16",
        "columns": list(Row.__dataclass_fields__),
    }
    rows = ",\n  ".join(json.dumps(list(asdict(row).values())) for row in record.rows)
    text = f'{{"about": {json.dumps(about)},\n"config": {json.dumps(record.config)},\n"rows": [\n  {rows}]}}\n'
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{model_type}.json").write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the closed forms say of one run."""

    phase: str
    prefill_peak_bytes: int
    decode_phase: str
    decode_peak_bytes: int


def said(model_type: str, config: Mapping[str, Any], row: Row) -> Said:
    """The peak of prefill, with the buffers that all sequences share; and that of a decode step."""
    architecture = architecture_of({**varied(config, row.variant), "model_type": model_type})
    run = Sizes(batch_size=row.batch_size, tokens=row.tokens, element_bytes=2, attention=Attention(row.attention))
    prefill = _largest(architecture, run)
    decode = _largest(architecture, replace(run, tokens=1, past_tokens=row.tokens + DECODED - 1, decodes=True))
    return Said(
        phase=prefill.phase,
        prefill_peak_bytes=prefill.total_bytes,
        decode_phase=decode.phase,
        decode_peak_bytes=decode.total_bytes,
    )


def _largest(architecture: Architecture, sizes: Sizes) -> Peak:
    """A forward makes no 32-bit copy of the logits, as `generate()` does."""
    peaks = play(architecture, sizes, copies_logits=False)
    return max(peaks, key=lambda peak: peak.total_bytes)


def compared(records: Mapping[str, Record]) -> Iterator[tuple[str, Row, Said]]:
    """Each run beside what is said of it."""
    for model_type, record in records.items():
        for row in record.rows:
            yield model_type, row, said(model_type, record.config, row)
