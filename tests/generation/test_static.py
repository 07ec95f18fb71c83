"""What is said of whole runs of `generate()` with a static cache is what was alive at their peaks, on real classes.

The record is committed (`python -m tests.generation --static --run` makes it).
"""

from __future__ import annotations

import pytest

from hubvram.memory.engines.transformers_static import MEASURED
from tests.generation.record import Row, compared, recorded, said_bytes
from tests.peaks.record import type_of

RUNS = tuple(compared(recorded("static"), "static"))
SINGLE_NUMBERS = 160
"""Bytes of numbers that stand alone and the programs leave out: the counter of each of six layers, ids of single
tokens, which sequences are done."""


@pytest.mark.parametrize("name", sorted({row.name for row, _ in RUNS}))
def test_peaks_of_whole_runs(name: str) -> None:
    for row, instant in RUNS:
        if row.name == name:
            assert 0 <= row.peak_bytes - said_bytes(instant) <= SINGLE_NUMBERS, (row, instant.name)


def test_every_type_that_is_shown_was_run_to_each_kind_of_peak() -> None:
    assert {type_of(row.name) for row, _ in RUNS} == MEASURED
    for model_type in MEASURED:
        own: list[tuple[Row, str]] = [(row, instant.name) for row, instant in RUNS if type_of(row.name) == model_type]
        assert {row.padded for row, _ in own} == {True, False}
        assert {name.partition("-")[0] for _, name in own} == {"prefill", "decode"}
