"""Schemes beside sizes that others published or measured."""

from __future__ import annotations

import pytest

from benchmarks.schemes import Row, derived_bytes, read, rows

GIB = 2**30


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.model} {row.scheme}")
def test_a_published_size_is_met_to_half_a_percent_or_explained(row: Row) -> None:
    assert row.source
    assert (abs(row.difference) < 0.005) == (not row.explanation)
    assert abs(row.difference) < 0.01


@pytest.mark.parametrize(
    ("model", "precision", "gib"),
    [
        # Built on the meta device by transformers 5 and quantized on load: what bitsandbytes then allocates.
        ("meta-llama/Llama-3.1-8B", "nf4-onload", 5.614),
        ("mistralai/Mixtral-8x7B-v0.1", "nf4-onload", 85.2),
        ("Qwen/Qwen3-30B-A3B", "nf4-onload", 55.7),
    ],
)
def test_on_load_is_what_transformers_does(model: str, precision: str, gib: float) -> None:
    digits = len(str(gib).partition(".")[2])
    assert round(derived_bytes(read(model), precision) / GIB, digits) == gib
