"""What is said of a whole run of `generate()` is what was alive at its peak, on real classes.

The record is committed (`python -m tests.generation --run` makes it), so that neither torch nor transformers is needed.
"""

from __future__ import annotations

import pytest

from hubvram.memory.engines.transformers_sides import UNPADDED
from tests.generation.record import compared, recorded, said_bytes
from tests.peaks import both_sides_record
from tests.peaks.record import recorded as small_models
from tests.peaks.record import type_of

RUNS = tuple(compared(recorded()))
TOLERANCE = {"encode": 0.005, "prefill": 0.005, "decode": 0.015, "forward": 0.01}
"""Encoder and prefill as of single steps (tests/peaks); a decode step of models of 64 features, half of theirs."""


@pytest.mark.parametrize("name", sorted({row.name for row, _ in RUNS}))
def test_peaks_of_whole_runs(name: str) -> None:
    for row, instant in RUNS:
        if row.name == name:
            off = said_bytes(instant) / row.peak_bytes - 1
            assert abs(off) <= TOLERANCE[instant.name.split("-")[0]], (row, instant.name, said_bytes(instant))


def test_every_type_that_generates_was_run() -> None:
    """All but text models inside of wholes and what reads images or sound alone: those have no `generate()`, and no
    padding."""
    ran = {row.name for row, _ in RUNS}
    assert len(ran & small_models().keys()) >= 0.8 * len(small_models())
    assert {row.padded for row, _ in RUNS} == {True, False}


def test_encoder_decoders_were_run_and_padded_where_something_is_said_of_it() -> None:
    both = both_sides_record.recorded().keys() - {*both_sides_record.WHOLES}
    assert both <= {row.name for row, _ in RUNS}
    assert both & {row.name for row, _ in RUNS if row.padded} == {
        name for name in both if type_of(name) not in UNPADDED
    }
