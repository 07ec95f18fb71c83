"""The committed record, fixtures/measurements/transformers-5.23-generate.json: whole runs of `generate()`.

Each is one of tests/peaks' small configs, in two of their variants, with its mask of ones or with some padding. What
encoders see or hear has no mask.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.dtypes import COMPUTE_BYTES
from hubvram.memory.engines import ENGINES
from hubvram.memory.engines.transformers_fp32 import generates_in
from hubvram.memory.engines.transformers_sides import SIDES, SIDES_ELSEWHERE
from hubvram.memory.estimate import Instant
from hubvram.memory.estimator import largest_of
from hubvram.memory.workload import Attention, Logits, Workload
from tests.peaks import both_sides_record
from tests.peaks.record import VARIANTS, type_of, varied, with_text_fields
from tests.peaks.record import recorded as small_models
from tests.samples import architecture_of

_FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "measurements"
FILES: Final = {
    "dynamic": _FOLDER / "transformers-5.23-generate.json",
    "static": _FOLDER / "transformers-5.23-generate-static.json",
}
"""Kind of cache -> runs with it."""
SHAPES: Final = (("narrow", 2, 40, 3), ("wide", 3, 10, 20), ("narrow", 2, 40, 0))
"""Variant, batch, prompt and new tokens: the peak is mostly in the prompt, or at the last tokens. Without new ones it
is one forward for the logits of all tokens, of many words."""
STATIC_SHAPES: Final = (*SHAPES[:2], ("wide", 2, 16, 100), ("wide", 3, 1, 40))
"""Also one with room for far more than the prompt, and one whose peak is in a step behind it. A forward alone makes no
static cache."""
SHAPES_OF_BOTH: Final = (("narrow", 2, 40, 3), ("wide", 3, 10, 20), ("narrow", 8, 60, 3), ("narrow", 2, 10, 60))
"""The same of an encoder-decoder, whose prompt the encoder reads; last, most is made while the decoder answers."""
_WORDS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run in bf16, or in fp32 where it runs in nothing else; greedy, and the last token is made and not read. The
    peak is beside the weights.

    Where no token is new, it is one forward for the logits of all.
    """

    name: str
    variant: str
    attention: str
    batch_size: int
    prompt_tokens: int
    new_tokens: int
    padded: bool = False
    peak_bytes: int = 0
    """0 before it has run."""


def shapes_of(name: str, cache: str) -> tuple[tuple[str, int, int, int], ...]:
    """Those in which it is run."""
    if cache == "static":
        return STATIC_SHAPES
    return SHAPES_OF_BOTH if has_two_sides(name) else SHAPES


def to_run(name: str, attention: str, shape: tuple[str, int, int, int], *, padded: bool = False) -> Row:
    """A run that is to be measured."""
    variant, batch_size, prompt_tokens, new_tokens = shape
    return Row(
        name=name,
        variant=variant,
        attention=attention,
        batch_size=batch_size,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        padded=padded,
    )


def configs() -> dict[str, Mapping[str, Any]]:
    """Those of tests/peaks' records."""
    of_both = {name: record.config for name, record in both_sides_record.recorded().items()}
    return {**{name: record.config for name, record in small_models().items()}, **of_both}


def has_two_sides(name: str) -> bool:
    """Whether it is an encoder-decoder."""
    return type_of(name) in SIDES or type_of(name) in SIDES_ELSEWHERE


def config_of(config: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """That of one of tests/peaks' records, as this run has it."""
    if has_two_sides(row.name):
        return both_sides_record.varied(config, row.variant)
    found = varied(config, row.variant)
    if row.new_tokens or row.variant not in VARIANTS:
        return found
    words = {"vocab_size": _WORDS}
    return {**with_text_fields(found, words), **(words if "vocab_size" in found else {})}


def recorded(cache: str = "dynamic") -> tuple[Row, ...]:
    file = FILES[cache]
    if not file.exists():
        return ()
    content = json.loads(file.read_text(encoding="utf-8"))
    return tuple(Row(**dict(zip(content["about"]["columns"], row, strict=True))) for row in content["rows"])


def write(rows: Iterable[Row], versions: Mapping[str, str], cache: str = "dynamic") -> None:
    """One line for each run."""
    about = {
        **versions,
        "measured": "storages alive at the peak of generate() on the CPU (tests/generation), beside the weights",
        "dtype": "bf16, and fp32 of types whose generate() runs in nothing else",
        "columns": list(Row.__slots__),
    }
    lines = ",\n".join(json.dumps(list(asdict(row).values())) for row in rows)
    FILES[cache].write_text(f'{{"about": {json.dumps(about)},\n"rows": [\n{lines}]}}\n', encoding="utf-8")


def compared(rows: Iterable[Row], cache: str = "dynamic") -> Iterator[tuple[Row, Instant]]:
    """Each run beside the moment that is said to be its peak."""
    found = configs()
    for row in rows:
        model_type = type_of(row.name)
        config = config_of(found[row.name], row)
        yield row, said(architecture_of({**config, "model_type": model_type}), row, cache)


def dtype_of(architecture: Architecture, row: Row) -> str:
    """The type that a run is in."""
    return "bf16" if not row.new_tokens or generates_in(architecture, "bf16") else "fp32"


def said(architecture: Architecture, row: Row, cache: str) -> Instant:
    engine = ENGINES["transformers"]
    given, behind = row.prompt_tokens, max(row.new_tokens - 1, 0)
    if architecture.encoder is not None:
        # The decoder's prompt is the token that it starts from: of a context that its input is not a part of, all.
        given, behind = (1, behind) if architecture.encoder.source_tokens else (given, behind + 1)
    workload = Workload(
        context_tokens=given + behind,
        input_tokens=given,
        batch_size=row.batch_size,
        cache=cache,
        attention=Attention(row.attention),
        padded=row.padded,
        logits=Logits.LAST if row.new_tokens or not engine.generates(architecture) else Logits.ALL,
    )
    element_bytes = COMPUTE_BYTES[dtype_of(architecture, row)]
    instants = engine.instants(architecture, workload, element_bytes=element_bytes, cache_element_bytes=element_bytes)
    return largest_of(instants)


def said_bytes(instant: Instant) -> int:
    """With what all sequences share."""
    return instant.total_bytes + instant.buffers_bytes
