"""Where matrices are unpacked for each use, the programs meet the peaks of real classes, to the byte.

The record is committed (`python -m tests.peaks.unpacked --run NAME...` makes it).
"""

from __future__ import annotations

import pytest

from hubvram.memory.engines.transformers_sides import SIDES
from tests.peaks.unpacked import recorded, said

ROWS = recorded()


@pytest.mark.parametrize("name", sorted({row.name for row in ROWS}))
def test_peaks(name: str) -> None:
    for row in ROWS:
        if row.name == name:
            assert said(row) == (row.first_peak_bytes, row.start_peak_bytes, row.step_peak_bytes), row


def test_every_type_of_both_sides_that_says_so_was_run() -> None:
    assert {name for name, sides in SIDES.items() if sides.mix is None} <= {row.name for row in ROWS}
