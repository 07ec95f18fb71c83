"""The committed record of encoder-decoders, and what is said of it.

fixtures/measurements/transformers-5.23-small-encoder-decoders/MODEL_TYPE.json: each model type in its default config
with small numbers, in VARIANTS that make one phase or another the widest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.dtypes import COMPUTE_BYTES
from hubvram.memory.engines.transformers_sides import encode, step
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Held, Peak
from hubvram.memory.kv_cache import lengths
from hubvram.memory.workload import Attention
from tests.peaks.files import read_all, write_one
from tests.peaks.record import type_of
from tests.samples import architecture_of

FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "transformers-5.23-small-encoder-decoders"


def _variant(inner: int, head: int) -> dict[str, int]:
    widths = ("d_ff", "encoder_ffn_dim", "decoder_ffn_dim", "intermediate_size")
    return {**dict.fromkeys(widths, inner), "d_kv": head}


def _half(inner: int, head: int) -> dict[str, int]:
    return {**dict.fromkeys(("intermediate_size", "decoder_ffn_dim"), inner), "head_dim": head}


VARIANTS: Final[Mapping[str, Mapping[str, int]]] = {
    "wide": _variant(256, 16),
    "narrow": _variant(16, 16),
    "heads": _variant(16, 64),
}
"""A wide MLP; a narrow one; a narrow one beside wide heads. Only fields that a type has."""
WHOLES: Final = ("blip-2+t5", "instructblip+t5", "instructblipvideo+t5")
"""Wholes and the type of their text model."""
_HALVES: Final[Mapping[str, Mapping[str, int]]] = {
    "wide": _half(256, 16),
    "narrow": _half(16, 16),
    "heads": _half(16, 64),
}
"""The same of a side that has a config of its own."""
SHAPES: Final = ((2, 40), (1, 67), (3, 160))
"""Batch and tokens of the encoder's input, where that is not always the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run, without padding. Peaks are bytes beside weights and cache."""

    dtype: str
    variant: str
    attention: str
    batch_size: int
    tokens: int
    encode_peak_bytes: int
    """Of the encoder's forward."""
    prefill_peak_bytes: int
    """Of the decoder's first step."""
    decode_peak_bytes: int
    """Of the step behind `answered` tokens."""
    allocator_encode_bytes: int
    """The encoder's by torch's profiler: with what kernels of the CPU allocate and free within themselves."""

    @property
    def answered(self) -> int:
        """Tokens in the decoder's cache before the later step: its first, and half as many as the input."""
        return 1 + self.tokens // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A config with small numbers, and its runs."""

    config: Mapping[str, Any]
    rows: tuple[Row, ...]


def varied(config: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """The config with the numbers of a variant in place of its own, or of those of its sides or text model."""
    if "patch_embed_hidden_size" in config.get("vision_config", {}):
        own = VARIANTS[variant]
        text = {**config["text_config"], "d_ff": own["d_ff"]}  # whose heads always make up its hidden size
        return {**config, "text_config": text, "vision_config": {**config["vision_config"], **_patches(own)}}
    if "text_config" in config:
        return {**config, "text_config": varied(config["text_config"], variant)}
    halves = {name: _varied_half(config[name], variant) for name in ("encoder", "decoder") if name in config}
    return {**config, **{key: value for key, value in VARIANTS[variant].items() if key in config}, **halves}


def _patches(own: Mapping[str, int]) -> dict[str, int]:
    return {"d_ff": own["d_ff"], "d_kv": own["d_kv"]}


def _varied_half(config: Mapping[str, Any], variant: str) -> dict[str, Any]:
    text = {name: _varied_half(config[name], variant) for name in ("text_config",) if name in config}
    return {**config, **{key: value for key, value in _HALVES[variant].items() if key in config}, **text}


def recorded() -> dict[str, Record]:
    """Model type, TYPE+NAME for a second config of one, or WHOLE+TYPE of its text model -> its record."""
    return {
        name: Record(config=config, rows=tuple(Row(**row) for row in rows)) for name, config, rows in read_all(FOLDER)
    }


def write(name: str, record: Record, versions: Mapping[str, str]) -> None:
    """One line for each run."""
    about = {
        **versions,
        "measured": "storages alive at the peak of a forward of the encoder, and of two of the decoder, on the CPU "
        "(tests/peaks/both_sides.py), beside weights and cache",
    }
    write_one(FOLDER / f"{name}.json", about, record.config, [asdict(row) for row in record.rows])


def said(model_type: str, config: Mapping[str, Any], row: Row) -> tuple[Peak, Peak, Peak]:
    """What the programs say of one run: the encoder's forward, the first step, the later one."""
    architecture = architecture_of({**varied(config, row.variant), "model_type": type_of(model_type)})
    _, source = lengths(architecture, row.tokens, row.tokens)
    run = Sizes(
        batch_size=row.batch_size,
        tokens=source,
        element_bytes=COMPUTE_BYTES[row.dtype],
        attention=Attention(row.attention),
        in_fp16=row.dtype == "fp16",
    )
    first = replace(run, tokens=1, source_tokens=source)
    later = replace(first, past_tokens=row.answered, decodes=True)
    return (
        _largest(tuple(_on_the_cpu(peak, architecture, run) for peak in encode(architecture, run))),
        _largest(step(architecture, first, copies_logits=False)),
        _largest(step(architecture, later, copies_logits=False)),
    )


def _on_the_cpu(peak: Peak, architecture: Architecture, run: Sizes) -> Peak:
    """There a norm of a pair's encoder keeps what it says of rows in the type that is computed in, where a GPU's keeps
    fp32 (ATen, layer_norm_cpu)."""
    if architecture.decoder_type is None:
        return peak
    return peak._replace(held=tuple([_in_own_type(held, run.element_bytes) for held in peak.held]))


def _in_own_type(held: Held, element_bytes: int) -> Held:
    return held._replace(factors=(*held.factors[:-1], 2 * element_bytes)) if held.what == "the norm's rows" else held


def _largest(peaks: tuple[Peak, ...]) -> Peak:
    return max(peaks, key=lambda peak: peak.total_bytes)


def compared(records: Mapping[str, Record]) -> Iterator[tuple[str, Row, tuple[Peak, Peak, Peak]]]:
    """Each run beside what is said of it."""
    for name, record in records.items():
        for row in record.rows:
            yield name, row, said(type_of(name), record.config, row)
