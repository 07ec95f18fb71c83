"""The committed peaks of packed caches: fixtures/measurements/transformers-5.23-packed-caches.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "transformers-5.23-packed-caches.json"

BATCH: Final = 2
PROMPT: Final = 512
KINDS: Final = ("fp8", "quanto-int4", "quanto-int2", "hqq-int8", "hqq-int4", "hqq-int3", "hqq-int2", "hqq-int1")

_HEADS: Final = {"num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 1024}
_SIZES: Final = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, **_HEADS}
MODELS: Final[Mapping[str, Mapping[str, int]]] = {
    **dict.fromkeys(("llama", "qwen3", "gemma", "gpt_neox", "stablelm", "starcoder2"), _SIZES),
    "gpt2": {"n_embd": 256, "n_layer": 2, "n_head": 8, "n_positions": 1024},
    "qwen3_moe": {**_SIZES, "moe_intermediate_size": 128},
}
"""Type -> sizes, so that what kernels take for themselves is little beside all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Peaks of three forwards: the prompt, the second token behind it, the 128th, at which all is packed anew."""

    model_type: str
    attention: str
    kind: str
    prefill_peak_bytes: int
    decode_peak_bytes: int
    anew_peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A config, and the peaks of its class, without ids, tables of positions or weights."""

    config: Mapping[str, Any]
    rows: Sequence[Row]


def recorded() -> list[Record]:
    if not FILE.exists():
        return []
    return [
        Record(config=found["config"], rows=[Row(**row) for row in found["rows"]])
        for found in json.loads(FILE.read_text(encoding="utf-8"))
    ]


def write(records: Iterable[Record]) -> None:
    """One line for each row."""
    texts = []
    for record in records:
        rows = ",\n  ".join(json.dumps(asdict(row)) for row in record.rows)
        texts.append(f'{{"config": {json.dumps(record.config)},\n "rows": [\n  {rows}]}}')
    FILE.write_text("[\n" + ",\n".join(texts) + "\n]\n", encoding="utf-8")
