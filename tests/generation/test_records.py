"""What is said of a whole run of `generate()` is what was alive at its peak, on real classes.

The record is committed (`python -m tests.generation --run` makes it), so that neither torch nor transformers is needed.
"""

from __future__ import annotations

import pytest

from tests.generation.record import compared, recorded, said_bytes
from tests.peaks.record import recorded as small_models

RUNS = tuple(compared(recorded()))
TOLERANCE = {"prefill": 0.005, "decode": 0.015, "forward": 0.01}
"""Prefill as of single steps (tests/peaks/test_records.py); a decode step of models of 64 features, half of theirs."""


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
    assert len(ran) >= 0.8 * len(small_models())
    assert {row.padded for row, _ in RUNS} == {True, False}
