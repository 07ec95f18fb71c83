"""Peaks of real classes whose matrices are unpacked for each use, beside what is said of them.

`python -m tests.peaks.unpacked [NAME...]` shows both; with `--run NAME...`, measures and records, which needs torch and
transformers. A linear here is what bitsandbytes' and HQQ's are where they read packed weights with torch's own product
(tests/linears): the matrix in the model's type, made for one product and gone behind it. The head stays as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from hubvram.architecture.layers import Architecture
from hubvram.memory.engines import transformers_code, transformers_sides
from hubvram.memory.forward.linears import LinearCode, Moment
from hubvram.memory.forward.run import Sizes
from hubvram.memory.forward.tape import Peak
from hubvram.memory.kv_cache import lengths
from hubvram.memory.workload import Attention
from tests.peaks import both_sides_record, record
from tests.samples import architecture_of

FILE: Final = Path(__file__).parents[2] / "fixtures" / "measurements" / "transformers-5.23-unpacked-matrices.json"
UNPACKS: Final = LinearCode(
    moments=(Moment(what="what a linear makes", weight_bytes=2, output_bytes=2, holds_output=True),),
)
VARIANTS: Final = ("wide", "narrow")
SHAPES: Final = ((2, 5), (1, 24))
"""Batch and prompt: few tokens, so that matrices are much of what is alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One forward over a prompt, by the encoder where there is one, and a step behind it, in bf16."""

    name: str
    variant: str
    attention: str
    batch_size: int
    tokens: int
    first_peak_bytes: int
    start_peak_bytes: int
    """Of the first step of a decoder beside an encoder; else 0."""
    step_peak_bytes: int


def recorded() -> tuple[Row, ...]:
    return tuple(Row(**row) for row in json.loads(FILE.read_text(encoding="utf-8"))) if FILE.exists() else ()


def write(rows: Iterable[Row]) -> None:
    """One line for each run."""
    FILE.write_text("[\n" + ",\n".join(json.dumps(asdict(row)) for row in rows) + "\n]\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------- what is said


def said(row: Row) -> tuple[int, int, int]:
    """The same by the programs."""
    sizes = Sizes(
        batch_size=row.batch_size,
        tokens=row.tokens,
        element_bytes=2,
        attention=Attention(row.attention),
        linears=UNPACKS,
    )
    sides = both_sides_record.recorded().get(row.name)
    if sides is not None:
        return _said_of_sides(_architecture(row, both_sides_record.varied(sides.config, row.variant)), sizes)
    config = record.recorded()[row.name].config
    architecture = _architecture(row, record.varied(config, row.variant))
    code = record.on_the_cpu(transformers_code.code_of(architecture), 2)
    past = row.tokens + record.DECODED - 1
    step = replace(sizes, tokens=1, past_tokens=past, decodes=True, prompt_tokens=row.tokens)
    first, later = (
        transformers_code.play(architecture, each, copies_logits=False, code=code) for each in (sizes, step)
    )
    return _largest(first), 0, _largest(later)


def _architecture(row: Row, config: Mapping[str, Any]) -> Architecture:
    return architecture_of({**config, "model_type": record.type_of(row.name)})


def _said_of_sides(architecture: Architecture, sizes: Sizes) -> tuple[int, int, int]:
    _, source = lengths(architecture, sizes.tokens, sizes.tokens)
    start = replace(sizes, tokens=1, source_tokens=source)
    later = replace(start, past_tokens=1 + sizes.tokens // 2, decodes=True)
    return (
        _largest(transformers_sides.encode(architecture, replace(sizes, tokens=source))),
        _largest(transformers_sides.step(architecture, start, copies_logits=False)),
        _largest(transformers_sides.step(architecture, later, copies_logits=False)),
    )


def _largest(peaks: tuple[Peak, ...]) -> int:
    """With or without a matrix."""
    return max(max(peak.total_bytes, sum(held.size_bytes for held in peak.unpacking)) for peak in peaks)


# ------------------------------------------------------------------------------------------- what is measured


def _unpack(model: Any) -> Any:
    """Its linears but the head, with weights of a byte each that every use turns into the model's type."""
    import torch
    import transformers

    class Unpacking(torch.nn.Module):  # type: ignore[misc]  # torch is not there for the type checker
        def __init__(self, linear: Any) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(linear.weight.detach().to(torch.int8), requires_grad=False)
            self.bias, self.dtype = linear.bias, linear.weight.dtype
            self.lies = isinstance(linear, transformers.pytorch_utils.Conv1D)
            self.in_features, self.out_features = linear.weight.shape[:: 1 if self.lies else -1]

        def forward(self, x: Any) -> Any:
            matrix = self.weight.to(self.dtype)
            return torch.nn.functional.linear(x, matrix.t() if self.lies else matrix, self.bias)

    head = model.get_output_embeddings()
    for path, module in list(model.named_modules()):
        if type(module) in (torch.nn.Linear, transformers.pytorch_utils.Conv1D) and module is not head:
            model.set_submodule(path, Unpacking(module))
    return model


def _measured(name: str) -> Iterator[Row]:
    from tests.peaks import both_sides
    from tests.peaks.runs import measured, model_with

    model_type, sides = record.type_of(name), both_sides_record.recorded().get(name)
    for variant in VARIANTS:
        for attention in ("sdpa", "eager"):
            try:
                if sides is not None:
                    config = both_sides_record.varied(sides.config, variant)
                    model = _unpack(both_sides.model_with(name, config, attention))
                else:
                    config = record.varied(record.recorded()[name].config, variant)
                    model = _unpack(model_with(model_type, config, attention))
            except ValueError:
                continue
            for batch_size, tokens in SHAPES:
                if sides is not None:
                    runs = both_sides.measured(model, batch_size, tokens)
                    first, start, step = (live.peak.total_bytes + more for live, more in runs)
                else:
                    ids, start = 8 * batch_size, 0
                    prefill, decode, after_prefill, after_decode = measured(model, batch_size, tokens)
                    first = prefill.peak.total_bytes - after_prefill + ids * tokens
                    step = decode.peak.total_bytes - after_decode + ids * (tokens + record.DECODED)
                yield Row(
                    name=name,
                    variant=variant,
                    attention=attention,
                    batch_size=batch_size,
                    tokens=tokens,
                    first_peak_bytes=first,
                    start_peak_bytes=start,
                    step_peak_bytes=step,
                )


def main() -> None:
    names = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--run" in sys.argv[1:]:
        for name in names:
            kept = [row for row in recorded() if row.name != name]
            write(sorted([*kept, *_measured(name)], key=lambda row: row.name))
    for row in recorded():
        if not names or row.name in names:
            run = f"{row.name:18} {row.variant:7} {row.attention:6} {row.batch_size}x{row.tokens:<4}"
            real = (row.first_peak_bytes, row.start_peak_bytes, row.step_peak_bytes)
            for peak_bytes, found in zip(real, said(row), strict=True):
                run += (
                    f" {peak_bytes:>10} {found - peak_bytes:>+8} {found / (peak_bytes or 1) - bool(peak_bytes):+8.2%}"
                )
            print(run)


if __name__ == "__main__":
    main()
