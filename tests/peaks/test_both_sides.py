"""The programs meet the peaks of real encoder-decoders: the encoder's forward, the first step, a later one.

The record is committed (`python -m tests.peaks.both_sides --run` makes it), so that neither torch nor transformers is
needed.
"""

from __future__ import annotations

import pytest

from hubvram.memory.engines.transformers_sides import SIDES, SIDES_ELSEWHERE
from tests.peaks.both_sides_record import WHOLES, Row, compared, recorded
from tests.peaks.record import type_of

RECORDS = recorded()
RUNS = tuple(compared(RECORDS))

ENCODE, PREFILL, DECODE = 0.005, 0.005, 0.01
"""How far off they may be, as for decoders."""


def label(model_type: str, row: Row) -> str:
    return f"{model_type}-{row.variant}-{row.attention}-{row.batch_size}x{row.tokens}"


def test_every_type_that_is_shown_was_run_and_no_other() -> None:
    named = {type_of(name) for name in RECORDS if name not in WHOLES}
    assert named == {*SIDES, *SIDES_ELSEWHERE}
    assert {*WHOLES} <= RECORDS.keys()
    for record in RECORDS.values():
        assert {row.batch_size for row in record.rows} == {1, 2, 3}
        assert len({row.variant for row in record.rows}) >= 2
        assert "eager" in {row.attention for row in record.rows}


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_peaks(record: str) -> None:
    for name, row, (encode, prefill, decode) in RUNS:
        if name == record:
            assert encode.total_bytes == pytest.approx(row.encode_peak_bytes, rel=ENCODE), label(name, row)
            assert prefill.total_bytes == pytest.approx(row.prefill_peak_bytes, rel=PREFILL), label(name, row)
            assert decode.total_bytes == pytest.approx(row.decode_peak_bytes, rel=DECODE), label(name, row)


SINGLE_NUMBERS = 64
"""Bytes of numbers that stand alone, most of which stay on the CPU: a scale, a length, a window of each layer."""


WINDOWS = {"led": 16, "led+windows": 128}
"""Tokens of a window, in the types whose encoder makes no second copy of the ids of whole windows. It is said all the
same, so that a token more never takes less (forward/longformer.py)."""


def said_too_much(name: str, row: Row) -> int:
    """In the encoder: 8 bytes of each token."""
    return 0 if row.tokens % WINDOWS.get(name, row.tokens + 1) else 8 * row.batch_size * row.tokens


def test_all_are_met_to_the_byte() -> None:
    for name, row, peaks in RUNS:
        measured = (row.encode_peak_bytes, row.prefill_peak_bytes, row.decode_peak_bytes)
        most = SINGLE_NUMBERS if type_of(name) in SIDES_ELSEWHERE else 0
        for peak, real, more in zip(peaks, measured, (said_too_much(name, row), 0, 0), strict=True):
            assert abs(peak.total_bytes - real - more) <= most, label(name, row)


def test_the_allocator_saw_what_was_counted() -> None:
    """torch's profiler sees kernels' own scratch too: never less than what is counted."""
    for model_type, row, _ in RUNS:
        assert row.allocator_encode_bytes >= 0.999 * row.encode_peak_bytes, label(model_type, row)
