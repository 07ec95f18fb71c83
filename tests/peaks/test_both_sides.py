"""The programs meet the peaks of real encoder-decoders: the encoder's forward, the first step, a later one.

The record is committed (`python -m tests.peaks.both_sides --run` makes it), so that neither torch nor transformers is
needed.
"""

from __future__ import annotations

import pytest

from hubvram.memory.engines.transformers_sides import SIDES
from tests.peaks.both_sides_record import WHOLES, Row, compared, recorded

RECORDS = recorded()
RUNS = tuple(compared(RECORDS))

ENCODE, PREFILL, DECODE = 0.005, 0.005, 0.03
"""How far off they may be, as for decoders."""


def label(model_type: str, row: Row) -> str:
    return f"{model_type}-{row.variant}-{row.attention}-{row.batch_size}x{row.tokens}"


def test_every_type_that_is_shown_was_run_and_no_other() -> None:
    assert RECORDS.keys() == {*SIDES, *WHOLES}
    for record in RECORDS.values():
        assert {row.batch_size for row in record.rows} == {1, 2, 3}
        assert len({row.variant for row in record.rows}) >= 2
        assert "eager" in {row.attention for row in record.rows}


@pytest.mark.parametrize("model_type", sorted(RECORDS))
def test_peaks(model_type: str) -> None:
    for name, row, (encode, prefill, decode) in RUNS:
        if name == model_type:
            assert encode.total_bytes == pytest.approx(row.encode_peak_bytes, rel=ENCODE), label(name, row)
            assert prefill.total_bytes == pytest.approx(row.prefill_peak_bytes, rel=PREFILL), label(name, row)
            assert decode.total_bytes == pytest.approx(row.decode_peak_bytes, rel=DECODE), label(name, row)


def test_all_are_met_to_the_byte() -> None:
    exact = sum(
        (encode.total_bytes, prefill.total_bytes, decode.total_bytes)
        == (row.encode_peak_bytes, row.prefill_peak_bytes, row.decode_peak_bytes)
        for _, row, (encode, prefill, decode) in RUNS
    )
    assert exact == len(RUNS)


def test_the_allocator_saw_what_was_counted() -> None:
    """torch's profiler sees kernels' own scratch too: never less than what is counted."""
    for model_type, row, _ in RUNS:
        assert row.allocator_encode_bytes >= 0.999 * row.encode_peak_bytes, label(model_type, row)
